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
    let window: ReadWindow
    let pileup: Pileup
    let tracts: RepeatTracts
    /// Absolute position of the tracts' first base.
    let tractOrigin: Int
    let reference: UnsafeBufferPointer<UInt8>
    let options: CallingOptions

    /// Two active places closer than this are one region (Strelka2 uses 13).
    static let joinDistance = 13
    /// A substitution this close to an indel's tract is settled together with it: alignments end badly there.
    static let indelReach = 20
    /// Ends clipped alike count from one in so many reads on, as in the assembly's graph.
    static let readsPerClip = 12
    /// Clipped ends this close to each other are of one event: the two sides of a deletion or of a tandem duplication.
    static let clipPairReach = 110
    /// What alignments show this close to clipped ends is likely to be the clipped event too.
    static let clipReach = 60
    /// So many substitutions at this mean distance are likely to be a shifted alignment: two indels, or an inversion.
    static let crowd = 5
    static let crowdSpacing = 6
    /// Indels of a smaller share of the reads are no trigger, and those of a larger one always are.
    static let leastShare = 0.06
    static let clearShare = 0.2
    /// From this length error on a tract decides with the bases in it and beside it.
    static let errorOfLongTract = 5e-4

    private enum Kind { case column, indel, clip }
    private struct Trigger {
        var range: Range<Int>
        var kind: Kind
    }

    private func tract(of position: Int) -> Range<Int> {
        let index = min(max(0, position - tractOrigin), tracts.start.count - 1)
        return Int(tracts.start[index]) + tractOrigin..<Int(tracts.end[index]) + tractOrigin
    }

    private func error(at position: Int) -> Double {
        Double(tracts.error[min(max(0, position - tractOrigin), tracts.error.count - 1)])
    }

    /// The whole tract of a position with the base in front of it, as far as one region may reach.
    private func tractReach(_ position: Int) -> Range<Int> {
        let tract = tract(of: position)
        let half = options.maximumRegionLength / 2
        return max(0, max(tract.lowerBound - 1, position - half))..<min(tract.upperBound, position + half)
    }

    /// Reach of an indel: its tract, or the reference bases it could be shifted over.
    private func reach(_ event: Event) -> Range<Int> {
        var upper = max(event.end, event.start + 1)
        if error(at: event.start) > 0 { upper = max(upper, tractReach(event.start).upperBound) }
        return event.start - 1..<upper
    }

    /// Indels are triggers when all those of their tract are more than its error rate explains (two standard
    /// deviations), or more than no error rate explains.
    private func triggeringIndels() -> [Event] {
        var sums: [Int: Int] = [:]
        func key(_ event: Event) -> Int {
            error(at: event.start) > 0 ? tract(of: event.start).lowerBound : -1 - event.start
        }
        for (event, count) in pileup.indels { sums[key(event), default: 0] += count }
        let reads = TractReads(window: window, reference: reference)
        return pileup.indels.compactMap { event, count in
            guard pileup.range.contains(event.start) else { return nil }
            var depth = Int(pileup.depth[event.start - pileup.range.lowerBound])
            var sum = sums[key(event)]!
            let error = error(at: event.start)
            if error > 0, tract(of: event.start).count >= TractReads.leastTract {
                let (spanning, tails) = reads.support(event, tract: tract(of: event.start))
                guard count + tails >= 2 else { return nil }
                depth = min(depth, max(spanning, sum))
                sum += tails
            } else if count < 2 {
                return nil
            }
            let expected = Double(depth) * error
            let least = max(Self.leastShare * Double(depth), expected + 2 * expected.squareRoot())
            return Double(sum) >= min(least, Self.clearShare * Double(depth)) ? event : nil
        }
    }

    /// Splits the active places: columns that stand alone, and regions in order. `candidates` are the columns that were
    /// looked at: moved units of a repeat need not look like alleles one by one.
    func split(columns: [Int], candidates: [Int]) -> (alone: [Int], regions: [ActiveRegion]) {
        var triggers = columns.map { position -> Trigger in
            // A base in or beside a long repeat shares its fate, and that of the repeat's indels.
            for neighbour in position - 1...position + 1 where error(at: neighbour) > Self.errorOfLongTract {
                let reach = tractReach(neighbour)
                let joined = min(position, reach.lowerBound)..<max(position + 1, reach.upperBound)
                return Trigger(range: joined, kind: .indel)
            }
            return Trigger(range: position..<position + 1, kind: .column)
        }
        for event in triggeringIndels() { triggers.append(Trigger(range: reach(event), kind: .indel)) }
        triggers += clipTriggers()
        let substitutions = candidates.flatMap { pileup.substitutions(at: $0) }.map(\.event)
        let shifts = RepeatShift.found(substitutions, reference: reference)
        triggers += shifts.map { Trigger(range: $0.range, kind: .indel) }
        triggers.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
        return group(triggers)
    }

    /// Places where reads are clipped alike, joined to pairs.
    private func clipTriggers() -> [Trigger] {
        var found: [Trigger] = []
        let clips = pileup.clips
        for place in pileup.covered.joined() where clips[place] >= 2 && place < pileup.range.count {
            guard Int(clips[place]) * Self.readsPerClip >= Int(pileup.depth[place]) else { continue }
            let position = pileup.range.lowerBound + place
            if let last = found.last, position - last.range.upperBound < Self.clipPairReach,
                position + 1 - last.range.lowerBound <= options.maximumRegionLength
            {
                found[found.count - 1].range = last.range.lowerBound..<position + 1
            } else {
                found.append(Trigger(range: position..<position + 1, kind: .clip))
            }
        }
        return found
    }

    /// How far apart two neighbouring triggers may be and still be one region.
    private func reach(_ a: Kind, _ b: Kind) -> Int {
        if a == .clip || b == .clip { return Self.clipReach }
        return a == .indel || b == .indel ? Self.indelReach : Self.joinDistance
    }

    private func group(_ triggers: [Trigger]) -> (alone: [Int], regions: [ActiveRegion]) {
        var alone: [Int] = []
        var regions: [ActiveRegion] = []
        var first = 0
        while first < triggers.count {
            var core = triggers[first].range
            var next = first + 1
            var previous = triggers[first].kind
            while next < triggers.count {
                let trigger = triggers[next]
                let joined = core.lowerBound..<max(core.upperBound, trigger.range.upperBound)
                guard trigger.range.lowerBound - core.upperBound < reach(previous, trigger.kind),
                    joined.count <= options.maximumRegionLength
                else { break }
                if trigger.range.upperBound >= core.upperBound { previous = trigger.kind }
                core = joined
                next += 1
            }
            let members = triggers[first..<next]
            if members.allSatisfy({ $0.kind == .column }), members.count == 1 {
                alone.append(core.lowerBound)
            } else {
                let columns = members.count { $0.kind == .column }
                let isCrowded = columns >= Self.crowd && core.count < columns * Self.crowdSpacing
                let isClipped = members.contains { $0.kind == .clip }
                regions.append(ActiveRegion(core: core, owned: core, needsAssembly: isClipped || isCrowded))
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
