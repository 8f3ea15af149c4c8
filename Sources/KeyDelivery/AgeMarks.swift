/// How far a stream stood how long ago: tells which of its key is older than a limit without a note for each key.
struct AgeMarks {
    private var marks: [(time: Double, end: UInt64)] = []
    /// Key counts as this much older than it is at most; it keeps the notes few.
    private let granularity: Double

    init(limit: Double) { granularity = limit / 32 }

    /// The stream ends at `end` at that time; times ascend.
    mutating func note(_ end: UInt64, at time: Double) {
        guard let last = marks.last else { return marks.append((time, end)) }
        if last.end >= end { return }
        if time - last.time < granularity { marks[marks.count - 1].end = end } else { marks.append((time, end)) }
    }

    /// Where key ends that is older than `age`; what was noted of it is forgotten.
    mutating func end(olderThan age: Double, at time: Double) -> UInt64? {
        let old = marks.prefix { time - $0.time > age }
        let end = old.last?.end
        marks.removeFirst(old.count)
        return end
    }
}
