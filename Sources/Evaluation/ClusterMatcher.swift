/// Finds, within one group of neighbouring calls, the largest sets of truth and query calls that give the same pair of
/// haplotypes, over every choice of phase: the criterion of vcfeval (Cleary et al. 2015) and hap.py.
///
/// Each side is enumerated on its own (every call left out, or laid on the haplotypes in each phase) and the two sides
/// meet in a table keyed by the pair of haplotypes, so the cost is the sum, not the product, of the two enumerations.
struct ClusterMatcher {
    /// Choices one side may have before calls that agree exactly are taken out and the rest is cut at its widest gap.
    static let bound = 7_000

    struct Matched {
        var truth: Set<Int> = []
        var query: Set<Int> = []
    }

    let reference: UnsafeBufferPointer<UInt8>

    func match(truth: [DecodedCall], query: [DecodedCall]) -> Matched {
        if truth.isEmpty || query.isEmpty { return Matched() }
        if truth.count == query.count, zip(truth, query).allSatisfy({ $0.key == $1.key }),
            Self.cost(truth) > Self.bound || isConsistent(truth)
        {
            return Matched(truth: Set(truth.map(\.index)), query: Set(query.map(\.index)))
        }
        if Self.cost(truth) <= Self.bound, Self.cost(query) <= Self.bound {
            return enumerate(truth: truth, query: query)
        }
        let (exact, truthLeft, queryLeft) = takeExact(truth, query)
        if !exact.truth.isEmpty {
            return exact.joined(match(truth: truthLeft, query: queryLeft))
        }
        guard let cut = widestGap(truth + query) else {
            // Many contradictory calls at one place: as many as can be enumerated are tried, in file order.
            return enumerate(truth: Array(truth.prefix(8)), query: Array(query.prefix(8)))
        }
        return match(truth: truth.filter { $0.start < cut }, query: query.filter { $0.start < cut })
            .joined(match(truth: truth.filter { $0.start >= cut }, query: query.filter { $0.start >= cut }))
    }

    /// Whether all calls can be laid on two haplotypes at once; duplicates and contradictions cannot.
    private func isConsistent(_ calls: [DecodedCall]) -> Bool {
        zip(calls, calls.dropFirst()).allSatisfy { $0.end < $1.start }
            || sides(of: calls).values.contains { $0.count == calls.count }
    }

    private static func cost(_ calls: [DecodedCall]) -> Int {
        var cost = 1
        for call in calls {
            cost *= call.isHomozygous ? 2 : 3
            if cost > bound { return cost }
        }
        return cost
    }

    private func enumerate(truth: [DecodedCall], query: [DecodedCall]) -> Matched {
        let lowest = (truth + query).map(\.start).min() ?? 0
        let highest = (truth + query).map(\.end).max() ?? 0
        let truthSides = sides(of: truth, window: lowest..<highest)
        let querySides = sides(of: query, window: lowest..<highest)
        var best: (truth: Choice, query: Choice)?
        for (key, one) in truthSides {
            guard let two = querySides[key] else { continue }
            if let known = best {
                let better = one.count + two.count
                let old = known.truth.count + known.query.count
                if better < old { continue }
                // Equal counts are told apart by the calls themselves, because the table has no order.
                if better == old, (one.mask, two.mask) >= (known.truth.mask, known.query.mask) { continue }
            }
            best = (one, two)
        }
        guard let best else { return Matched() }
        return Matched(truth: best.truth.indices(in: truth), query: best.query.indices(in: query))
    }

    /// A subset of one side's calls.
    private struct Choice {
        var mask: UInt64
        var count: Int { mask.nonzeroBitCount }
        func indices(in calls: [DecodedCall]) -> Set<Int> {
            Set(calls.indices.filter { mask >> UInt64($0) & 1 == 1 }.map { calls[$0].index })
        }
    }

    private struct HaplotypePair: Hashable {
        var first: [UInt8]
        var second: [UInt8]
    }

    private func sides(of calls: [DecodedCall]) -> [HaplotypePair: Choice] {
        sides(of: calls, window: (calls.map(\.start).min() ?? 0)..<(calls.map(\.end).max() ?? 0))
    }

    /// Every pair of haplotypes that some of the calls can make, with the largest set of calls that makes it.
    private func sides(of calls: [DecodedCall], window: Range<Int>) -> [HaplotypePair: Choice] {
        var table: [HaplotypePair: Choice] = [:]
        var first: [Edit] = []
        var second: [Edit] = []

        func record(_ mask: UInt64) {
            guard let one = replay(first, window), let two = replay(second, window) else { return }
            let isOrdered = !two.lexicographicallyPrecedes(one)
            let pair = HaplotypePair(first: isOrdered ? one : two, second: isOrdered ? two : one)
            let choice = Choice(mask: mask)
            if let known = table[pair],
                known.count > choice.count || (known.count == choice.count && known.mask <= mask)
            {
                return
            }
            table[pair] = choice
        }
        func descend(_ place: Int, _ mask: UInt64) {
            guard place < calls.count else { return record(mask) }
            descend(place + 1, mask)
            let edits = calls[place].edits
            for isSwapped in calls[place].isHomozygous ? [false] : [false, true] {
                let one = isSwapped ? edits[1] : edits[0]
                let two = isSwapped ? edits[0] : edits[1]
                if let one { first.append(one) }
                if let two { second.append(two) }
                descend(place + 1, mask | 1 << UInt64(place))
                if one != nil { first.removeLast() }
                if two != nil { second.removeLast() }
            }
        }
        descend(0, 0)
        return table
    }

    /// The window's bases after the edits, or nil when two edits want the same base or the same gap.
    private func replay(_ edits: [Edit], _ window: Range<Int>) -> [UInt8]? {
        var bases: [UInt8] = []
        var position = window.lowerBound
        var lastWasInsertion = false
        for edit in edits.sorted() {
            guard edit.start >= position else { return nil }
            // An insertion sorts before a deletion at its place; two insertions into one gap have no order.
            if lastWasInsertion, edit.start == edit.end, edit.start == position { return nil }
            bases += reference[position..<edit.start]
            bases += edit.bases
            position = edit.end
            lastWasInsertion = edit.start == edit.end
        }
        bases += reference[position..<max(position, window.upperBound)]
        return bases
    }

    private func takeExact(_ truth: [DecodedCall], _ query: [DecodedCall]) -> (Matched, [DecodedCall], [DecodedCall]) {
        var matched = Matched()
        var byKey: [[Edit]: [Int]] = [:]
        for call in query { byKey[call.key, default: []].append(call.index) }
        for call in truth {
            guard var found = byKey[call.key], !found.isEmpty else { continue }
            matched.truth.insert(call.index)
            matched.query.insert(found.removeFirst())
            byKey[call.key] = found
        }
        return (
            matched, truth.filter { !matched.truth.contains($0.index) },
            query.filter { !matched.query.contains($0.index) }
        )
    }

    /// The start of the call after the widest gap, the leftmost of equals; nil when all start at one place.
    private func widestGap(_ calls: [DecodedCall]) -> Int? {
        let starts = calls.map(\.start).sorted()
        var cut: Int?
        var widest = 0
        for (one, two) in zip(starts, starts.dropFirst()) where two - one > widest {
            widest = two - one
            cut = two
        }
        return cut
    }
}

extension ClusterMatcher.Matched {
    func joined(_ other: Self) -> Self {
        Self(truth: truth.union(other.truth), query: query.union(other.query))
    }
}
