internal import CKernels

/// Short tandem repeats of a sequence: where gaps are likely errors, and where an indel has many equal places.
///
/// The length error of ``StutterModel`` is a property of the tract, so each of its bases gets an equal part of it.
/// Tracts are looked for where somebody asks for them; the sequence must live as long as that.
struct RepeatTracts {
    static let longestPeriod = 6
    static let baseGapOpen: Float = 3e-5
    static let gapExtend: Float = 0.1

    private let table: TractTable

    /// Units that make a tract.
    static func leastUnits(_ period: Int) -> Int { period == 1 ? 4 : 3 }

    init(_ bases: UnsafeBufferPointer<UInt8>, model: StutterModel) { table = TractTable(bases, model: model) }

    /// A property of the tract that holds each position.
    struct Column<Value> {
        fileprivate let table: TractTable
        fileprivate let value: (TractTable.Tract) -> Value
        var count: Int { table.count }
        var indices: Range<Int> { 0..<table.count }
        subscript(place: Int) -> Value { value(table[place]) }
    }

    /// First base and one past the last base of the tract; 0 outside tracts.
    var start: Column<Int32> { Column(table: table) { $0.start } }
    var end: Column<Int32> { Column(table: table) { $0.end } }
    /// Probability that the tract's length is misread; 0 outside tracts.
    var error: Column<Float> { Column(table: table) { $0.error } }
    var period: Column<UInt8> { Column(table: table) { $0.period } }

    /// Gap-open probability of each base for the pair HMM.
    func gapOpen() -> [Float] {
        (0..<table.count).map { place in
            let tract = table[place]
            guard tract.error > 0 else { return Self.baseGapOpen }
            return max(Self.baseGapOpen, tract.error / Float(tract.end - tract.start))
        }
    }
}

/// The tracts of a sequence, filled in by blocks when one of their places is asked for.
private final class TractTable {
    // Belongs to one thread.

    struct Tract: BitwiseCopyable {
        var start: Int32
        var end: Int32
        var error: Float
        var period: UInt8
    }

    /// Short, because most of those who ask have a few places in mind.
    private static let blockLength = 256
    /// The rank of a tract has 16 bits: so many blocks of nothing but tracts have fewer of them.
    private static let longestSequence = 1 << 16

    private let bases: UnsafeBufferPointer<UInt8>
    private let model: StutterModel
    /// The first one stands for all places without a tract; one that reaches over several blocks has one for each.
    private var tracts = [Tract(start: 0, end: 0, error: 0, period: 0)]
    /// Rank of the tract that holds each position of the blocks that are filled.
    private let ranks: UnsafeMutablePointer<UInt16>
    private var isFilled: [Bool]
    var count: Int { bases.count }

    init(_ bases: UnsafeBufferPointer<UInt8>, model: StutterModel) {
        precondition(bases.count <= Self.longestSequence)
        self.bases = bases
        self.model = model
        ranks = .allocate(capacity: bases.count)
        isFilled = [Bool](repeating: false, count: bases.count / Self.blockLength + 1)
    }

    deinit { ranks.deallocate() }

    subscript(place: Int) -> Tract {
        precondition(place >= 0 && place < bases.count)
        if !isFilled[place / Self.blockLength] { fill(place / Self.blockLength) }
        return tracts[Int(ranks[place])]
    }

    private func fill(_ number: Int) {
        isFilled[number] = true
        let block = number * Self.blockLength..<min(bases.count, (number + 1) * Self.blockLength)
        (ranks + block.lowerBound).initialize(repeating: 0, count: block.count)
        for period in 1...RepeatTracts.longestPeriod {
            forEachTract(period, touching: block) { whole in
                let error = model.lengthError(period: period, units: whole.count / period)
                let rank = UInt16(tracts.count)
                var isShown = false
                // The tract that is misread most holds a position, the one of the shorter period among equals.
                for place in whole.clamped(to: block) where error > tracts[Int(ranks[place])].error {
                    ranks[place] = rank
                    isShown = true
                }
                guard isShown else { return }
                tracts.append(
                    Tract(
                        start: Int32(whole.lowerBound), end: Int32(whole.upperBound), error: error,
                        period: UInt8(period)))
            }
        }
    }

    /// Calls `body` for the tracts of a period that have places in `block`, in order, each as long as it gets.
    private func forEachTract(_ period: Int, touching block: Range<Int>, _ body: (Range<Int>) -> Void) {
        let first = bases.baseAddress.unsafelyUnwrapped
        /// Whether a base, not one of the first `period`, is the one a period before it.
        func isRepeated(_ place: Int) -> Bool { first[place] == first[place - period] && first[place] < 4 }
        // Of a run that goes on outside, enough is inside to be found.
        let least = (RepeatTracts.leastUnits(period) - 1) * period
        let from = max(0, block.lowerBound - least - period)
        let to = min(bases.count, block.upperBound + period + least)
        withUnsafeTemporaryAllocation(of: ck_run.self, capacity: (to - from) / (least + 1) + 1) { runs in
            let found = ck_find_repeats(first + from, to - from, period, least, runs.baseAddress)
            for run in runs[..<found] {
                var low = from + Int(run.first)
                var high = from + Int(run.end)
                while low > period, isRepeated(low - 1) { low -= 1 }
                while high < bases.count, isRepeated(high) { high += 1 }
                let tract = low - period..<high
                if tract.overlaps(block) { body(tract) }
            }
        }
    }
}
