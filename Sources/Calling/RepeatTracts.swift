internal import CKernels

/// Short tandem repeats of a sequence: where gaps are likely errors, and where an indel has many equal places.
///
/// The length error of ``StutterModel`` is a property of the tract, so each of its bases gets an equal part of it.
struct RepeatTracts {
    static let longestPeriod = 6
    static let baseGapOpen: Float = 3e-5
    static let gapExtend: Float = 0.1
    /// Bases of the longest sequence: the rank of a tract has 16 bits, and there are fewer tracts than bases.
    static let longestSequence = 1 << 16

    /// A property of the tract that holds each position; what stands for no tract outside.
    struct Column<Value> {
        fileprivate let values: [Value]
        fileprivate let ranks: [UInt16]
        var count: Int { ranks.count }
        var indices: Range<Int> { 0..<ranks.count }
        subscript(place: Int) -> Value { values[Int(ranks[place])] }
    }

    /// First base and one past the last base of the tract that holds each position; 0 outside tracts.
    let start: Column<Int32>
    let end: Column<Int32>
    /// Probability that the tract's length is misread; 0 outside tracts.
    let error: Column<Float>
    let period: Column<UInt8>

    /// Units that make a tract.
    static func leastUnits(_ period: Int) -> Int { period == 1 ? 4 : 3 }

    init(_ bases: UnsafeBufferPointer<UInt8>, model: StutterModel) {
        precondition(bases.count <= Self.longestSequence)
        var start: [Int32] = [0]
        var end: [Int32] = [0]
        var error: [Float] = [0]
        var period: [UInt8] = [0]
        var ranks = [UInt16](repeating: 0, count: bases.count)
        Self.forEachTract(bases) { tract, step in
            let probability = model.lengthError(period: step, units: tract.count / step)
            let rank = UInt16(error.count)
            var isShown = false
            // The tract that is misread most holds a position, the one of the shorter period among equals.
            for place in tract where probability > error[Int(ranks[place])] {
                ranks[place] = rank
                isShown = true
            }
            guard isShown else { return }
            start.append(Int32(tract.lowerBound))
            end.append(Int32(tract.upperBound))
            error.append(probability)
            period.append(UInt8(step))
        }
        self.start = Column(values: start, ranks: ranks)
        self.end = Column(values: end, ranks: ranks)
        self.error = Column(values: error, ranks: ranks)
        self.period = Column(values: period, ranks: ranks)
    }

    /// Calls `body` for the tracts of each period, from the shortest period on; they may overlap.
    private static func forEachTract(
        _ bases: UnsafeBufferPointer<UInt8>, _ body: (_ tract: Range<Int>, _ period: Int) -> Void
    ) {
        guard let first = bases.baseAddress else { return }
        // No period has more runs than that of the shortest least run.
        let most = bases.count / leastUnits(1) + 1
        withUnsafeTemporaryAllocation(of: ck_run.self, capacity: most) { runs in
            for step in 1...longestPeriod {
                // Bases in a row that equal those one period before them.
                let least = (leastUnits(step) - 1) * step
                let found = ck_find_repeats(first, bases.count, step, least, runs.baseAddress)
                for run in runs[..<found] { body(Int(run.first) - step..<Int(run.end), step) }
            }
        }
    }

    /// Gap-open probability of each base for the pair HMM.
    func gapOpen() -> [Float] {
        error.indices.map { place in
            let error = self.error[place]
            guard error > 0 else { return Self.baseGapOpen }
            return max(Self.baseGapOpen, error / Float(end[place] - start[place]))
        }
    }
}
