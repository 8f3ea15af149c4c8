/// Substitutions in a tandem repeat that one shift explains: where the repeat's units are not all alike, a unit more or
/// fewer moves those that differ, and a read that spans only one end of the repeat is laid out without a gap.
struct RepeatShift {
    /// Each substitution shows the reference's base this far behind its place (in front of it when negative).
    let delta: Int
    /// The repeat, units that differ included.
    private(set) var tract: Range<Int>
    private(set) var substitutions: [Event]

    static let longestPeriod = RepeatTracts.longestPeriod
    static let mostUnits = 4
    /// Substitutions see no more of a repeat than this on each side of them, about what a read spans.
    static let reach = 130
    /// Shifts that one region tries.
    static let most = 3
    /// A base unlike the one a period away costs as much as so many like it: one unit that differs costs twice that.
    private static let differencePenalty = 4
    private static let mostDrop = 12
    private static let leastScore = 12

    /// The approximate repeat of a period around a place; nil when there is none.
    private static func tract(
        around place: Int, period: Int, reference: UnsafeBufferPointer<UInt8>
    ) -> Range<Int>? {
        func reached(_ places: some Sequence<Int>) -> (last: Int?, score: Int) {
            var (score, best) = (0, 0)
            var last: Int?
            for here in places {
                let isLike = reference[here] == reference[here + period] && reference[here] < 4
                score += isLike ? 1 : -differencePenalty
                if score > best { (best, last) = (score, here) }
                if score < best - mostDrop { break }
            }
            return (last, best)
        }
        let behind = reached(place..<max(place, min(place + reach, reference.count - period)))
        let before = reached((max(0, place - reach)..<min(place, reference.count - period)).reversed())
        guard behind.score + before.score >= leastScore else { return nil }
        return (before.last ?? place)..<max(place + 1, (behind.last ?? place) + period + 1)
    }

    /// The shifts that move a unit that differs: it is seen where it is not expected, and not where it is. The
    /// substitutions are in order.
    static func found(_ substitutions: [Event], reference: UnsafeBufferPointer<UInt8>) -> [RepeatShift] {
        var shifts: [RepeatShift] = []
        for (index, event) in substitutions.enumerated() {
            func isNear(_ other: Int) -> Bool {
                substitutions.indices.contains(other) && abs(substitutions[other].start - event.start) < 2 * reach
            }
            guard isNear(index - 1) || isNear(index + 1) else { continue }
            var periods: [Int] = []
            for period in 1...longestPeriod where !periods.contains(where: { period.isMultiple(of: $0) }) {
                guard let tract = tract(around: event.start, period: period, reference: reference) else { continue }
                periods.append(period)
                for units in 1...mostUnits {
                    for delta in [units * period, -units * period]
                    where tract.contains(event.start + delta)
                        && reference[event.start + delta] == event.alternate[0]
                    {
                        let known = shifts.lastIndex { $0.delta == delta && $0.tract.overlaps(tract) }
                        if let known {
                            shifts[known].add(event, tract)
                        } else {
                            shifts.append(RepeatShift(delta: delta, tract: tract, substitutions: [event]))
                        }
                    }
                }
            }
        }
        for index in shifts.indices { shifts[index].removeUnpaired(reference) }
        return shifts.filter { !$0.substitutions.isEmpty }
    }

    /// Keeps the substitutions that belong to a moved unit: one shows the base that another one misses. Units that
    /// differ alike and stand in a row move as one.
    private mutating func removeUnpaired(_ reference: UnsafeBufferPointer<UInt8>) {
        var kept = Set<Int>()
        for event in substitutions {
            var place = event.start + delta
            while tract.contains(place), reference[place] == event.alternate[0] {
                if substitutions.contains(where: { $0.start == place }) {
                    kept.formUnion([event.start, place])
                    break
                }
                place += delta
            }
        }
        substitutions.removeAll { !kept.contains($0.start) }
    }

    private mutating func add(_ event: Event, _ other: Range<Int>) {
        if substitutions.last != event { substitutions.append(event) }
        tract = min(tract.lowerBound, other.lowerBound)..<max(tract.upperBound, other.upperBound)
    }

    /// What a region must hold: the repeat and a base in front of it, or as much as reads span.
    var range: Range<Int> {
        let middle = (substitutions[0].start + substitutions[substitutions.count - 1].start) / 2
        return max(0, tract.lowerBound - 2, middle - Self.reach)..<min(tract.upperBound + 1, middle + Self.reach)
    }

    /// The two indels that shift the substitutions' bases so: the one in front of them is seen by reads that lie there,
    /// the one behind them by the others.
    func events(reference: UnsafeBufferPointer<UInt8>, limit: Int) -> [Event] {
        let first = substitutions[0].start
        let next = substitutions[substitutions.count - 1].start + 1
        let events: [Event]
        if delta > 0 {
            guard first + delta < reference.count, next + delta <= reference.count else { return [] }
            events = [
                Event(start: first, referenceLength: delta, alternate: []),
                Event(start: next, referenceLength: 0, alternate: Array(reference[next..<next + delta])),
            ]
        } else {
            guard first + delta > 0 else { return [] }
            events = [
                Event(start: first, referenceLength: 0, alternate: Array(reference[first + delta..<first])),
                Event(start: next + delta, referenceLength: -delta, alternate: []),
            ]
        }
        return events.map { $0.leftAligned(reference: reference, limit: limit) }
    }
}
