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

    /// An exponentially distributed number with mean 1, from tabulated quantiles with straight lines between them; the
    /// first cell, where the distribution has its tail, is drawn anew.
    @inline(__always)
    public mutating func exponential() -> Double {
        var tail = 0.0
        while true {
            let draw = next()
            let cell = Int(draw >> 52)
            if cell > 0 {
                let fraction = Double(draw & 0xF_FFFF_FFFF_FFFF) * 0x1p-52
                let (upper, lower) = (Quantiles.table[cell], Quantiles.table[cell + 1])
                return tail + upper + (lower - upper) * fraction
            }
            tail += Quantiles.table[1]
        }
    }
}

/// Natural logarithm of a positive number by the series of the inverse hyperbolic tangent: the same bits everywhere.
func naturalLogarithm(_ value: Double) -> Double {
    precondition(value > 0 && value.isFinite)
    let ratio = (value.significand - 1) / (value.significand + 1)
    let square = ratio * ratio
    var power = ratio
    var sum = 0.0
    for term in 0..<20 {
        sum += power / Double(2 * term + 1)
        power *= square
    }
    return 2 * sum + Double(value.exponent) * 0.693147180559945309417
}

/// Distances between events that happen at each of a row of places with the same probability.
struct GapSampler: Sendable {
    private let scale: Double

    /// - Parameter rate: probability at each place; 0 gives distances beyond any sequence.
    init(rate: Double) { scale = rate > 0 ? -1 / naturalLogarithm(max(1 - rate, 0x1p-60)) : 0x1p50 }

    /// How many places are passed over before the next event.
    @inline(__always)
    func next(_ random: inout RandomStream) -> Int { Int(random.exponential() * scale) }
}

private enum Quantiles {
    /// `table[i]` = -ln(i / 4096) for i from 1 to 4,096, written once and kept for the life of the process.
    nonisolated(unsafe) static let table: UnsafePointer<Double> = {
        let cells = UnsafeMutablePointer<Double>.allocate(capacity: 4_097)
        cells[0] = .infinity
        for cell in 1...4_096 { cells[cell] = -naturalLogarithm(Double(cell) / 4_096) }
        return UnsafePointer(cells)
    }()
}
