import Foundation

/// How often a read shows another number of repeat units than its molecule has.
///
/// The probability grows about geometrically with the number of units until it saturates (DRAGEN-GATK tabulates the
/// same by period and length). Chemistry and PCR change it several fold, so the sample itself corrects the
/// curve of each period where it shows enough tracts.
struct StutterModel: Sendable {
    static let longestPeriod = RepeatTracts.longestPeriod
    /// Tracts of more units share the last entry.
    static let mostUnits = 40
    /// Probabilities stay below this: beyond it a tract's length cannot be told at all.
    private static let highest = 0.2
    /// What is expected of a length is worth this many observed errors.
    private static let weight = 3.0

    /// By period and number of units.
    private let errors: [Float]

    private static let slots = longestPeriod * (mostUnits + 1)

    private static func slot(_ period: Int, _ units: Int) -> Int {
        (period - 1) * (mostUnits + 1) + min(units, mostUnits)
    }

    /// Probability of a length error before the sample is seen.
    private static func curve(period: Int, units: Int) -> Double {
        let (first, growth) = period == 1 ? (1.5e-4, 1.5) : (period == 2 ? (1.4e-4, 1.8) : (1.5e-4, 1.7))
        return min(0.06, first * pow(growth, Double(max(0, units - RepeatTracts.leastUnits(period)))))
    }

    /// From short tracts to long ones: each length expects what its predecessor shows, grown as the curve grows there,
    /// and corrects it by its own reads.
    init(_ observation: Observation = Observation()) {
        var errors = [Float](repeating: 0, count: Self.slots)
        for period in 1...Self.longestPeriod {
            let least = RepeatTracts.leastUnits(period)
            var ratio = 1.0
            for units in least...Self.mostUnits {
                let slot = Self.slot(period, units)
                let curve = Self.curve(period: period, units: units)
                let before = min(Self.highest, ratio * curve)
                let value = (observation.errors[slot] + Self.weight)
                    / (Double(observation.reads[slot]) + Self.weight / before)
                errors[slot] = Float(min(Self.highest, value))
                ratio = value / curve
            }
        }
        self.errors = errors
    }

    /// Probability that a read of a tract shows another length.
    func lengthError(period: Int, units: Int) -> Float { errors[Self.slot(period, units)] }

    /// Counts over tracts: reads that differ from the length, or the two lengths, that the sample has there.
    struct Observation {
        fileprivate var reads = [Int](repeating: 0, count: slots)
        fileprivate var errors = [Double](repeating: 0, count: slots)

        static let leastReads = 8
        static let leastAnchor = 5
        static let mostRatio = 6.0

        mutating func add(_ window: ReadWindow, range: Range<Int>, reference: UnsafeBufferPointer<UInt8>) {
            let tracts = RepeatTracts(UnsafeBufferPointer(rebasing: reference[range]), model: StutterModel())
            var place = 0
            while place < range.count {
                let end = Int(tracts.end[place])
                let period = Int(tracts.period[place])
                // The tract that holds its first and its last base whole, the range's ends left out.
                if period > 0, Int(tracts.start[place]) == place, place > 0, end < range.count {
                    add(place + range.lowerBound..<end + range.lowerBound, period: period, window, reference)
                }
                place = max(place + 1, end)
            }
        }

        private mutating func add(
            _ tract: Range<Int>, period: Int, _ window: ReadWindow, _ reference: UnsafeBufferPointer<UInt8>
        ) {
            var counts: [Int: Int] = [:]
            for read in window.indices(around: tract) {
                let entry = window.reads[read]
                guard entry.position + Self.leastAnchor <= tract.lowerBound,
                    entry.end >= tract.upperBound + Self.leastAnchor, entry.mappingQuality >= 20
                else { continue }
                var difference = 0
                if entry.cigarCount > 1 {
                    for event in window.indels(of: read, reference: reference)
                    where event.start >= tract.lowerBound - 1 && event.start <= tract.upperBound {
                        difference += event.alternate.count - event.referenceLength
                    }
                }
                counts[difference, default: 0] += 1
            }
            let sorted = counts.values.sorted(by: >)
            let total = sorted.reduce(0, +)
            guard total >= Self.leastReads else { return }
            // A quarter of the reads with a second length is a heterozygote, not stutter.
            let second = sorted.count > 1 && sorted[1] * 4 >= total ? sorted[1] : 0
            let units = tract.count / period
            let slot = StutterModel.slot(period, units)
            reads[slot] += total
            // One tract says no more than the most that the curve may be wrong by: the rest is a variant.
            let most = 1 + Self.mostRatio * Double(total) * StutterModel.curve(period: period, units: units)
            errors[slot] += min(most, Double(total - sorted[0] - second))
        }
    }
}
