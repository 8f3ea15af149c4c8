/// Short tandem repeats of a sequence: where gaps are likely errors, and where an indel has many equal places.
///
/// The length error of ``StutterModel`` is a property of the tract, so each of its bases gets an equal part of it.
struct RepeatTracts {
    static let longestPeriod = 6
    static let baseGapOpen: Float = 3e-5
    static let gapExtend: Float = 0.1

    /// First base and one past the last base of the tract that holds each position; the position itself when none does.
    private(set) var start: [Int32]
    private(set) var end: [Int32]
    /// Probability that the tract's length is misread; 0 outside tracts.
    private(set) var error: [Float]
    private(set) var period: [UInt8]

    /// Units that make a tract.
    static func leastUnits(_ period: Int) -> Int { period == 1 ? 4 : 3 }

    init(_ bases: UnsafeBufferPointer<UInt8>, model: StutterModel) {
        let count = bases.count
        start = [Int32](unsafeUninitializedCapacity: count) { places, filled in
            for place in 0..<count { places.initializeElement(at: place, to: Int32(place)) }
            filled = count
        }
        end = [Int32](unsafeUninitializedCapacity: count) { places, filled in
            for place in 0..<count { places.initializeElement(at: place, to: Int32(place + 1)) }
            filled = count
        }
        error = [Float](repeating: 0, count: count)
        period = [UInt8](repeating: 0, count: count)
        guard let first = bases.baseAddress else { return }
        for step in 1...Self.longestPeriod where count > step {
            // Bases in a row that equal those one period before them.
            let least = (Self.leastUnits(step) - 1) * step
            var run = step
            while run < count {
                guard first[run] == first[run - step], first[run] < 4 else {
                    run += 1
                    continue
                }
                let from = run - step
                while run < count, first[run] == first[run - step], first[run] < 4 { run += 1 }
                if run - from - step >= least { mark(from..<run, period: step, model) }
            }
        }
    }

    private mutating func mark(_ tract: Range<Int>, period step: Int, _ model: StutterModel) {
        let probability = model.lengthError(period: step, units: tract.count / step)
        for place in tract where probability > error[place] {
            error[place] = probability
            start[place] = Int32(tract.lowerBound)
            end[place] = Int32(tract.upperBound)
            period[place] = UInt8(step)
        }
    }

    /// Gap-open probability of each base for the pair HMM.
    func gapOpen() -> [Float] {
        var open = [Float](repeating: Self.baseGapOpen, count: error.count)
        for place in open.indices where error[place] > 0 {
            open[place] = max(Self.baseGapOpen, error[place] / Float(end[place] - start[place]))
        }
        return open
    }
}
