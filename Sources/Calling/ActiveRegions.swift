import GenomicFormats

/// A stretch of reference that the region genotyper looks at, with the events that the reads' alignments suggest.
struct ActiveRegion {
    /// The bases where something differs.
    var core: Range<Int>
    /// The places for which this region, and no neighbour, writes records.
    var owned: Range<Int>
    var needsAssembly: Bool
}

/// Turns the pileup of a unit into lone columns and regions.
struct ActiveRegionFinder {
    let pileup: Pileup
    let tracts: RepeatTracts
    /// Absolute position of the tracts' first base.
    let tractOrigin: Int
    let options: CallingOptions

    /// Two active places closer than this are one region (Strelka2 uses 13).
    static let joinDistance = 13
    /// A substitution this close to an indel's tract is settled together with it: alignments end badly there.
    static let indelReach = 20

    private enum Kind { case column, indel, clip }
    private struct Trigger {
        var range: Range<Int>
        var kind: Kind
    }

    private func tract(of position: Int) -> Range<Int> {
        let index = min(max(0, position - tractOrigin), tracts.start.count - 1)
        return Int(tracts.start[index]) + tractOrigin..<Int(tracts.end[index]) + tractOrigin
    }

    /// Reach of an indel: its tract, or the reference bases it could be shifted over.
    private func reach(_ event: Event) -> Range<Int> {
        let behind = tract(of: event.start)
        var upper = max(event.end, event.start + 1)
        if tracts.error[min(max(0, event.start - tractOrigin), tracts.error.count - 1)] > 0 {
            upper = max(upper, behind.upperBound)
        }
        return event.start - 1..<upper
    }

    /// An indel is a trigger when its count is more than the tract's error rate explains (two standard deviations).
    private func isTrigger(_ event: Event, count: Int) -> Bool {
        guard count >= 2, pileup.range.contains(event.start) else { return false }
        let depth = Double(pileup.depth[event.start - pileup.range.lowerBound])
        let index = min(max(0, event.start - tractOrigin), tracts.error.count - 1)
        let expected = depth * Double(tracts.error[index])
        return Double(count) >= max(0.06 * depth, expected + 2 * expected.squareRoot())
    }

    /// Splits the active places: columns that stand alone, and regions in order.
    func split(columns: [Int]) -> (alone: [Int], regions: [ActiveRegion]) {
        var triggers = columns.map { position -> Trigger in
            let index = position - tractOrigin
            // A base in or beside a long repeat shares its fate.
            for neighbour in [index - 1, index, index + 1] where tracts.start.indices.contains(neighbour) {
                if tracts.error[neighbour] > 5e-4 {
                    return Trigger(range: position..<position + 1, kind: .indel)
                }
            }
            return Trigger(range: position..<position + 1, kind: .column)
        }
        for (event, count) in pileup.indels where isTrigger(event, count: count) {
            triggers.append(Trigger(range: reach(event), kind: .indel))
        }
        for place in 0..<pileup.range.count where pileup.clips[place] >= 2 {
            let depth = max(1, Int(pileup.depth[place]))
            guard Int(pileup.clips[place]) * 8 >= depth else { continue }
            let position = pileup.range.lowerBound + place
            triggers.append(Trigger(range: position..<position + 1, kind: .clip))
        }
        triggers.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
        return group(triggers)
    }

    private func group(_ triggers: [Trigger]) -> (alone: [Int], regions: [ActiveRegion]) {
        var alone: [Int] = []
        var regions: [ActiveRegion] = []
        var first = 0
        while first < triggers.count {
            var core = triggers[first].range
            var next = first + 1
            var previousIsIndel = triggers[first].kind != .column
            while next < triggers.count {
                let trigger = triggers[next]
                let distance = previousIsIndel || trigger.kind != .column ? Self.indelReach : Self.joinDistance
                let joined = core.lowerBound..<max(core.upperBound, trigger.range.upperBound)
                guard trigger.range.lowerBound - core.upperBound < distance,
                    joined.count <= options.maximumRegionLength
                else { break }
                if trigger.range.upperBound >= core.upperBound { previousIsIndel = trigger.kind != .column }
                core = joined
                next += 1
            }
            let members = triggers[first..<next]
            if members.allSatisfy({ $0.kind == .column }), members.count == 1 {
                alone.append(core.lowerBound)
            } else {
                regions.append(
                    ActiveRegion(core: core, owned: core, needsAssembly: members.contains { $0.kind == .clip }))
            }
            first = next
        }
        return (alone, withOwners(regions))
    }

    /// Gives each place near the regions to one of them: borders lie half way between neighbouring cores. A region of
    /// clipped ends owns more: a tandem duplication's reads are clipped behind it, its record stands in front of it.
    private func withOwners(_ regions: [ActiveRegion]) -> [ActiveRegion] {
        var result = regions
        var border = 0
        var reached = 0
        for index in regions.indices {
            let core = regions[index].core
            reached = max(reached, core.upperBound)
            let next = index + 1 < regions.count ? regions[index + 1].core.lowerBound : Int.max
            let reach = RegionGenotyper.flank + (regions[index].needsAssembly ? RegionGenotyper.longestFlankGrowth : 0)
            let end = next <= reached ? reached : min(reached + reach, reached + (next - reached) / 2)
            let start = max(border, core.lowerBound - reach)
            result[index].owned = min(start, end)..<end
            border = end
        }
        return result
    }
}
