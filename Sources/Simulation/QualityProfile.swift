import GenomicFormats

/// How a sequencer writes its qualities.
public enum QualityModel: String, Sendable, Codable, CaseIterable {
    /// Four values, 2, 12, 23 and 37, as NovaSeq instruments bin them; no-calls have 2.
    case novaseq
    /// All values from 41 down to 2, as older instruments write them; no-calls have 2.
    case unbinned
}

/// Qualities by mate and position in the read, and the errors that follow from them: a base of quality q is wrong with
/// the probability 10^(-q/10) that it states. Qualities fall along the read, second mates are worse, and a few clusters
/// are poor throughout; how much is scaled so that the mean of all errors is the rate asked for.
struct QualityProfile: Sendable {
    /// Mean error rates that the models can have; 0 gives reads without errors, all of the best quality.
    static let errorRates = 0.0003...0.05

    private static let poorShare = 0.03
    private let qualities: [UInt8]
    /// Of 2^32, by quality: how many draws are errors.
    private let errorBounds: [UInt32]
    /// Of 2^32, by mate, kind of cluster, position and quality: the share of this quality and those before it.
    private let cumulative: [UInt32]
    private let readLengths: [Int]
    private let hasErrors: Bool

    init(model: QualityModel, errorRate: Double, readLength1: Int, readLength2: Int) {
        readLengths = [readLength1, readLength2]
        hasErrors = errorRate > 0
        qualities = model == .novaseq ? [37, 23, 12, 2] : (2...41).reversed()
        let errors = qualities.map { $0 == 2 ? 1 : Self.errorProbability(of: $0) }
        var (low, high) = (0.0, 1_000.0)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            let mean = Self.meanError(model, scale: middle, readLengths, errors)
            if mean < errorRate { low = middle } else { high = middle }
        }
        let scale = hasErrors ? low : 0
        errorBounds = errors.map { UInt32(min($0 * 0x1p32, 0x1p32 - 1)) }
        var cumulative: [UInt32] = []
        for mate in 0..<2 {
            for isPoor in [false, true] {
                for position in 0..<readLengths[mate] {
                    let fraction = Double(position) / Double(readLengths[mate])
                    let factor = scale * Self.factor(mate: mate, isPoor: isPoor)
                    var sum = 0.0
                    for share in Self.shares(model, factor: factor, fraction: fraction) {
                        sum += share
                        cumulative.append(UInt32(min(sum * 0x1p32, 0x1p32 - 1)))
                    }
                    cumulative[cumulative.count - 1] = .max
                }
            }
        }
        self.cumulative = cumulative
    }

    /// Where the positions of one read begin in the table of shares.
    func row(mate: Int, _ random: inout RandomStream) -> Int {
        let isPoor = random.chance(Self.poorShare)
        let before = mate == 0 ? 0 : 2 * readLengths[0]
        return (before + (isPoor ? readLengths[mate] : 0)) * qualities.count
    }

    /// Writes letters and qualities of a read whose true bases are given, and returns how many are wrong or N.
    func write(
        _ bases: UnsafePointer<UInt8>, count: Int, row: Int, letters: UnsafeMutablePointer<UInt8>,
        qualities out: UnsafeMutablePointer<UInt8>, _ random: inout RandomStream
    ) -> Int {
        var wrong = 0
        let kinds = qualities.count
        cumulative.withUnsafeBufferPointer { cumulative in
            qualities.withUnsafeBufferPointer { qualities in
                errorBounds.withUnsafeBufferPointer { errorBounds in
                    var at = row
                    for place in 0..<count {
                        let draw = random.next()
                        let share = UInt32(truncatingIfNeeded: draw >> 32)
                        var kind = 0
                        while share > cumulative[at + kind] { kind += 1 }
                        at += kinds
                        var base = bases[place]
                        let quality = qualities[kind]
                        if UInt32(truncatingIfNeeded: draw) < errorBounds[kind], hasErrors {
                            wrong += 1
                            base = quality == 2 ? 4 : (base + 1 + UInt8(random.below(3))) & 3
                        }
                        letters[place] = BaseCode.letter(base)
                        out[place] = quality + 33
                    }
                }
            }
        }
        return wrong
    }

    // MARK: Model

    private static func factor(mate: Int, isPoor: Bool) -> Double { (mate == 0 ? 0.9 : 1.2) * (isPoor ? 4 : 0.9) }

    /// The share of each quality at a position, best first; what they lack of 1 belongs to the last.
    private static func shares(_ model: QualityModel, factor: Double, fraction: Double) -> [Double] {
        let decline = fraction * fraction
        switch model {
        case .novaseq:
            let noCall = min(0.1, factor * (0.0001 + 0.0006 * decline))
            let poor = min(0.9 - noCall, factor * (0.010 + 0.030 * decline))
            let fair = min(1 - noCall - poor, factor * (0.030 + 0.060 * decline))
            return [1 - noCall - poor - fair, fair, poor, noCall]
        case .unbinned:
            // Geometric below the best value, with a mean distance that grows along the read.
            let distance = factor * (0.8 + 3.2 * decline)
            let ratio = distance / (1 + distance)
            var left = 1.0
            return (0..<40).map { _ in
                defer { left *= ratio }
                return left * (1 - ratio)
            }
        }
    }

    private static func errorProbability(of quality: UInt8) -> Double {
        (0..<quality).reduce(1.0) { value, _ in value * 0.794328234724281502 }
    }

    private static func meanError(
        _ model: QualityModel, scale: Double, _ readLengths: [Int], _ errors: [Double]
    ) -> Double {
        var sum = 0.0
        // Twenty positions stand for the read: the shares change slowly along it.
        for mate in 0..<2 {
            for (isPoor, weight) in [(false, 1 - poorShare), (true, poorShare)] {
                for step in 0..<20 {
                    let fraction = (Double(step) + 0.5) / 20
                    let all = shares(model, factor: scale * factor(mate: mate, isPoor: isPoor), fraction: fraction)
                    let rest = 1 - all.reduce(0, +)
                    let mean = zip(all, errors).reduce(rest) { $0 + $1.0 * $1.1 }
                    sum += weight * Double(readLengths[mate]) * mean / 20
                }
            }
        }
        return sum / Double(readLengths[0] + readLengths[1])
    }
}
