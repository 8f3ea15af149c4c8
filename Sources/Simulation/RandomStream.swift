/// A seeded random stream: xoshiro256++ (Blackman and Vigna 2019) whose state is filled by splitmix64.
///
/// Simulated data must be the same to the byte for the same seed on every machine, so nothing here depends on the
/// system's generator or on the floating-point library.
public struct RandomStream: RandomNumberGenerator, Sendable {
    private var s0: UInt64
    private var s1: UInt64
    private var s2: UInt64
    private var s3: UInt64

    /// Streams of the same seed and different `lane`s are independent for all practical purposes.
    public init(seed: UInt64, lane: UInt64 = 0) {
        var state = seed &+ lane &* 0xD1B5_4A32_D192_ED03
        func splitmix() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
        s0 = splitmix()
        s1 = splitmix()
        s2 = splitmix()
        s3 = splitmix()
    }

    @inline(__always)
    public mutating func next() -> UInt64 {
        let sum = s0 &+ s3
        let result = ((sum << 23) | (sum >> 41)) &+ s0
        let shifted = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = (s3 << 45) | (s3 >> 19)
        return result
    }

    /// A uniform number in `0 ..< bound`; the bias of the multiply-shift is below 2^-32 for the bounds used here.
    @inline(__always)
    public mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0)
        return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// A uniform number in `0 ..< 1`, 53 bits.
    @inline(__always)
    public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    @inline(__always)
    public mutating func chance(_ probability: Double) -> Bool { unit() < probability }

    public mutating func uniform(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * unit()
    }

    public mutating func uniform(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + below(range.upperBound - range.lowerBound + 1)
    }

    /// Approximately normal with mean 0 and deviation 1: the sum of twelve uniform numbers less 6, which needs no
    /// library function and is therefore the same on every platform.
    public mutating func standardNormal() -> Double {
        var sum = -6.0
        for _ in 0..<12 { sum += unit() }
        return sum
    }

    /// A length of at least 1 with a geometric distribution: it grows by one with the probability given.
    public mutating func geometric(continuing probability: Double, limit: Int) -> Int {
        var length = 1
        while length < limit && chance(probability) { length += 1 }
        return length
    }
}
