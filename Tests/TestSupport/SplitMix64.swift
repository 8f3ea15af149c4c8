/// A seeded generator: the same test data on every machine. SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// That many pseudo-random bytes.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        var at = 0
        while at < count {
            var word = next()
            for _ in 0..<min(8, count - at) {
                result[at] = UInt8(truncatingIfNeeded: word)
                word >>= 8
                at += 1
            }
        }
        return result
    }
}
