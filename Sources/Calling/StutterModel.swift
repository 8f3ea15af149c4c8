/// How often a read shows another number of repeat units than its molecule has.
///
/// The probability grows about geometrically with the number of units until it saturates (DRAGEN-GATK tabulates the
/// same by period and length). The curve is fixed; its height is the sample's own, because chemistry and PCR change it
/// several fold.
struct StutterModel: Sendable {
    /// Homopolymers that are frequent enough to learn from and short enough to be spanned.
    static let observedLengths = 8...18
    private static let weight = 10.0
    private static let limits: ClosedRange<Double> = 0.25...6

    let scale: Float

    init(scale: Float = 1) { self.scale = scale }

    /// The ratio of observed to expected errors, drawn towards 1 while there are few.
    init(_ observation: Observation) {
        let ratio = (Double(observation.errors) + Self.weight) / (observation.expected + Self.weight)
        scale = Float(min(max(ratio, Self.limits.lowerBound), Self.limits.upperBound))
    }

    func lengthError(period: Int, units: Int) -> Float {
        let (first, growth): (Float, Float) =
            period == 1 ? (1.5e-4, 1.5) : (period == 2 ? (1.4e-4, 1.8) : (1.5e-4, 1.7))
        var probability = first
        for _ in 0..<max(0, units - (period == 1 ? 4 : 3)) where probability < 0.06 { probability *= growth }
        return min(0.2, min(probability, 0.06) * scale)
    }

    /// Counts over homopolymer tracts: reads that differ from the length, or the two lengths, that the sample has
    /// there.
    struct Observation {
        private(set) var errors = 0
        private(set) var expected = 0.0

        static let leastReads = 10
        static let leastAnchor = 5

        mutating func add(_ window: ReadWindow, range: Range<Int>, reference: UnsafeBufferPointer<UInt8>) {
            var tracts: [Range<Int>] = []
            var start = range.lowerBound
            while start < range.upperBound {
                var end = start + 1
                while end < range.upperBound, reference[end] == reference[start] { end += 1 }
                if reference[start] < 4, StutterModel.observedLengths.contains(end - start) {
                    tracts.append(start..<end)
                }
                start = end
            }
            for tract in tracts { add(tract, window, reference) }
        }

        private mutating func add(_ tract: Range<Int>, _ window: ReadWindow, _ reference: UnsafeBufferPointer<UInt8>) {
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
            errors += total - sorted[0] - second
            expected += Double(total) * Double(StutterModel().lengthError(period: 1, units: tract.count))
        }
    }
}
