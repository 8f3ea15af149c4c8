/// How often each non-negative integer was seen. Any size of value is kept; small ones, which are nearly all, in an
/// array.
public struct Histogram: Sendable, Equatable {
    /// Values below this are in the array.
    static let denseLimit = 4096

    /// Trailing zeros are never kept, so that equal histograms are equal.
    private var dense: [Int] = []
    private var rare: [Int: Int] = [:]

    public init() {}

    public mutating func add(_ value: Int, times: Int = 1) {
        precondition(value >= 0 && times >= 0)
        if times == 0 { return }
        if value >= Self.denseLimit {
            rare[value, default: 0] += times
            return
        }
        if value >= dense.count { dense += [Int](repeating: 0, count: value + 1 - dense.count) }
        dense[value] += times
    }

    public mutating func add(_ other: Histogram) {
        for (value, times) in other.dense.enumerated() { add(value, times: times) }
        for (value, times) in other.rare { add(value, times: times) }
    }

    public subscript(value: Int) -> Int { dense.indices.contains(value) ? dense[value] : rare[value] ?? 0 }

    /// Values that were seen, and how often, in ascending order.
    public var entries: [(value: Int, times: Int)] {
        dense.enumerated().filter { $0.element > 0 }.map { ($0.offset, $0.element) }
            + rare.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    public var total: Int { dense.reduce(0, +) + rare.values.reduce(0, +) }
    public var sum: Int { entries.reduce(0) { $0 + $1.value * $1.times } }

    /// How many values lie in `range`.
    public func count(in range: Range<Int>) -> Int {
        entries.reduce(0) { $0 + (range.contains($1.value) ? $1.times : 0) }
    }

    /// nil when there are no values, as for the other averages.
    public var mean: Double? { total > 0 ? Double(sum) / Double(total) : nil }

    /// The middle value, or the mean of the two middle ones.
    public var median: Double? {
        let total = total
        guard total > 0 else { return nil }
        func value(rank: Int) -> Int {
            var seen = 0
            for entry in entries {
                seen += entry.times
                if seen > rank { return entry.value }
            }
            preconditionFailure("a rank lies below the total")
        }
        return Double(value(rank: (total - 1) / 2) + value(rank: total / 2)) / 2
    }

    /// Of the whole population, not of a sample of it.
    public var standardDeviation: Double? {
        guard let mean else { return nil }
        let squares = entries.reduce(0.0) {
            $0 + (Double($1.value) - mean) * (Double($1.value) - mean) * Double($1.times)
        }
        return (squares / Double(total)).squareRoot()
    }
}
