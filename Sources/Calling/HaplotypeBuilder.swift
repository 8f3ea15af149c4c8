/// What one fragment's alignments say of a region's events: bit i of `known` is set when event i was looked at, bit i
/// of `present` when it was there.
struct Witness {
    var known: UInt64 = 0
    var present: UInt64 = 0

    mutating func note(_ event: Int, _ isPresent: Bool) {
        let bit: UInt64 = 1 << UInt64(event)
        // Mates that contradict each other leave the event unknown.
        if known & bit != 0, (present & bit != 0) != isPresent {
            known &= ~bit
            present &= ~bit
            return
        }
        known |= bit
        if isPresent { present |= bit }
    }
}

/// Combines events into candidate haplotypes: all combinations when they are few, else those that fragments support.
enum HaplotypeBuilder {
    static let mostEvents = 14

    /// Event masks of the haplotypes, the reference (0) first: `assembled`, which were seen as they are, and beside
    /// them at most `limit`. `events` are sorted; one is never together with its `rivals`.
    static func combinations(
        events: [Event], rivals: [UInt64], witnesses: [Witness], assembled: [UInt64], limit: Int
    ) -> [UInt64] {
        var patterns: [UInt64] = [0]
        var seen: UInt64 = 0
        for index in events.indices {
            let bit: UInt64 = 1 << UInt64(index)
            seen |= bit
            for pattern in patterns {
                let previous = pattern == 0 ? nil : events[63 - pattern.leadingZeroBitCount]
                if let previous, !previous.precedes(events[index]) { continue }
                guard pattern & rivals[index] == 0 else { continue }
                patterns.append(pattern | bit)
            }
            if patterns.count > limit {
                patterns = pruned(patterns, witnesses: witnesses, seen: seen, newest: bit, limit: limit)
            }
        }
        return patterns + Set(assembled).subtracting(patterns).sorted()
    }

    /// Keeps the reference, the best haplotype of every event so far, and then the best supported ones.
    private static func pruned(
        _ patterns: [UInt64], witnesses: [Witness], seen: UInt64, newest: UInt64, limit: Int
    ) -> [UInt64] {
        func support(_ pattern: UInt64) -> Int {
            witnesses.reduce(0) { sum, witness in
                let known = witness.known & seen
                return (witness.present ^ pattern) & known == 0 ? sum + known.nonzeroBitCount : sum
            }
        }
        let ranked = patterns.map { (pattern: $0, support: support($0)) }.sorted {
            ($0.support, $1.pattern.nonzeroBitCount, $1.pattern) > ($1.support, $0.pattern.nonzeroBitCount, $0.pattern)
        }
        var kept: [UInt64] = [0]
        var missing = seen
        for entry in ranked where kept.count < limit && entry.pattern & missing != 0 {
            kept.append(entry.pattern)
            missing &= ~entry.pattern
        }
        for entry in ranked where kept.count < limit && !kept.contains(entry.pattern) { kept.append(entry.pattern) }
        return kept
    }

    /// The bases of `range` with the events of `mask` applied.
    static func bases(
        mask: UInt64, events: [Event], reference: UnsafeBufferPointer<UInt8>, range: Range<Int>
    ) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(range.count + 64)
        var position = range.lowerBound
        for index in events.indices where mask >> UInt64(index) & 1 == 1 {
            result.append(contentsOf: reference[position..<events[index].start])
            result.append(contentsOf: events[index].alternate)
            position = events[index].end
        }
        result.append(contentsOf: reference[position..<range.upperBound])
        return result
    }
}
