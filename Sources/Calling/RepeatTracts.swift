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

    private let model: StutterModel

    init(_ bases: UnsafeBufferPointer<UInt8>, model: StutterModel) {
        self.model = model
        let count = bases.count
        start = (0..<Int32(count)).map { $0 }
        end = (0..<Int32(count)).map { $0 + 1 }
        error = [Float](repeating: 0, count: count)
        period = [UInt8](repeating: 0, count: count)
        for step in 1...Self.longestPeriod where count > step {
            var run = step
            while run < count {
                guard bases[run] == bases[run - step], bases[run] < 4 else {
                    run += 1
                    continue
                }
                let from = run - step
                while run < count, bases[run] == bases[run - step], bases[run] < 4 { run += 1 }
                mark(from..<run, period: step)
            }
        }
    }

    private mutating func mark(_ tract: Range<Int>, period step: Int) {
        let units = tract.count / step
        guard units >= Self.leastUnits(step) else { return }
        let probability = model.lengthError(period: step, units: units)
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
