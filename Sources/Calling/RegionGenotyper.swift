import Foundation
import GenomicFormats
import Metering

/// Genotypes a region by haplotypes: candidate events, their combinations, the pair HMM, and diploid pairs of
/// haplotypes.
struct RegionGenotyper {
    let window: ReadWindow
    let reference: UnsafeBufferPointer<UInt8>
    let tracts: RepeatTracts
    let tractOrigin: Int
    let pileup: Pileup
    let options: CallingOptions
    let stutter: StutterModel

    /// Bases of reference beside the core: enough to anchor a read.
    static let flank = 26
    static let longestFlankGrowth = 80
    /// More of them for assembly: as many as a deletion behind clipped ends may have, or fewer where so many repeat.
    static let assemblyFlank = 140
    static let narrowAssemblyFlank = 40
    /// One mutation often changes several bases (a few in a hundred do, Schrider et al. 2011): an event this close
    /// behind another one of its haplotype is likelier than alone, by this much in log10.
    static let neighbourReach = 10
    static let neighbourBonus = 1.0
    /// A read fits a haplotype by chance at least this often, whatever its qualities say: a tenth of the reads that are
    /// foreign or damaged.
    static let leastForeign = ColumnGenotyper.leastForeign / 10
    /// Indels of at least this many bases are looked for by assembly too, because alignments break there.
    static let longIndel = 12

    /// Haplotypes with the events that each carries, and the likelihoods of the fragments.
    private struct Model {
        var events: [Event]
        var masks: [UInt64]
        var fragments: Int
        /// Likelihood of each fragment by haplotype, 1 for its best one.
        var likelihoods: [Double]
        var isUsable: [Bool]
        /// log10 likelihood and event prior of each pair (a, b), a <= b.
        var pairs: [(a: Int, b: Int, likelihood: Double)] = []
    }

    /// The records of a region; of `forced` events too when the sample does not have them.
    func records(
        _ region: ActiveRegion, columns: [Int], forced: [Event] = [], metrics: inout CallingMetrics
    ) -> [VariantRecord] {
        let aligned = alignedEvents(region, columns: columns)
        let shifts = shifts(in: region.core)
        var events = Set(aligned + forced + shifts.flatMap(\.events)).sorted()
        var core = region.core
        var stretch = self.stretch(core, events: events, more: region.needsAssembly ? Self.assemblyFlank : 0)
        var reads = regionReads(core, stretch: stretch)
        guard reads.fragmentCount > 0 else { return [] }
        var assembled: [[Event]] = []
        if region.needsAssembly || events.contains(where: { !$0.isSubstitution && $0.length >= Self.longIndel }) {
            let begin = monotonicSeconds()
            assembled = assembledHaplotypes(reads, core: core, stretch: stretch)
            events = Set(events + assembled.joined()).sorted()
            metrics.assembledRegions += 1
            metrics.assemblySeconds += monotonicSeconds() - begin
            // Assembly sees beyond the core: the reads of what it found must speak too.
            let most = options.maximumRegionLength
            let low = max(events.map { $0.start - 1 }.min() ?? core.lowerBound, core.upperBound - most)
            let high = min(events.map { $0.end }.max() ?? core.upperBound, core.lowerBound + most)
            core = min(low, core.lowerBound)..<max(high, core.upperBound)
            events.removeAll { $0.start <= core.lowerBound - 1 || $0.end > core.upperBound }
            stretch = self.stretch(core, events: events)
            reads = regionReads(core, stretch: stretch)
        }
        metrics.sampledOutReads += reads.sampledOut
        events = Array(events.prefix(60))
        guard !events.isEmpty else { return [] }
        metrics.regions += 1
        let masks = assembled.compactMap { Self.mask(of: $0, in: events) }
        guard
            let model = model(
                events, shifts: shifts, assembled: masks, reads: reads, stretch: stretch, metrics: &metrics)
        else { return [] }
        return VariantExtractor(
            events: model.events, masks: model.masks, likelihoods: model.likelihoods, isUsable: model.isUsable,
            pairs: model.pairs, priors: model.events.map(prior), reads: reads, window: window, reference: reference,
            pileup: pileup, forced: forced
        ).records().filter { region.owned.contains($0.place) }
    }

    /// Where the repeat that ends at a place, or holds it, ends.
    func tractEnd(_ end: Int) -> Int {
        let index = min(max(0, end - 1 - tractOrigin), tracts.end.count - 1)
        return tracts.error[index] > 0 ? max(end, Int(tracts.end[index]) + tractOrigin) : end
    }

    private func stretch(_ core: Range<Int>, events: [Event], more: Int = 0) -> Range<Int> {
        // What is clipped in front of an event is laid out as far beside it as the event is long.
        let growth = min(Self.longestFlankGrowth, events.map(\.length).max() ?? 0)
        return anchored(core, flank: Self.flank + growth + more)
    }

    private func regionReads(_ core: Range<Int>, stretch: Range<Int>) -> RegionReads {
        let share = max(1, (core.count + 150) / 150)
        return RegionReads(window, core: core, stretch: stretch, mostReads: options.maximumRegionDepth * share)
    }

    /// Substitutions of the active columns and the reads' own indels, the best supported ones.
    private func alignedEvents(_ region: ActiveRegion, columns: [Int]) -> [Event] {
        var counted: [(event: Event, count: Int)] = []
        for position in columns where region.core.contains(position) {
            counted += pileup.substitutions(at: position)
        }
        for (event, count) in pileup.indels
        where event.start > region.core.lowerBound && event.end <= region.core.upperBound {
            let depth = Double(pileup.depth[min(pileup.depth.count - 1, event.start - pileup.range.lowerBound)])
            let seen = count + (count == 1 ? tails(event) : 0)
            if seen >= 2, Double(seen) >= 0.04 * depth { counted.append((event, seen)) }
        }
        let best = counted.sorted { ($0.count, $1.event) > ($1.count, $0.event) }.prefix(HaplotypeBuilder.mostEvents)
        return best.map(\.event).sorted()
    }

    /// Fragments that show an indel of a tandem repeat beside those whose alignments do.
    private func tails(_ event: Event) -> Int {
        let index = min(max(0, event.start - tractOrigin), tracts.error.count - 1)
        guard tracts.error[index] > 0 else { return 0 }
        let tract = Int(tracts.start[index]) + tractOrigin..<Int(tracts.end[index]) + tractOrigin
        return TractReads(window: window, reference: reference).support(event, tract: tract).tails
    }

    /// Shifts of a repeat that explain substitutions, the best supported ones, with the indels that make them.
    private func shifts(in core: Range<Int>) -> [(substitutions: [Event], events: [Event])] {
        let substitutions = core.clamped(to: pileup.range).flatMap { pileup.substitutions(at: $0) }.map(\.event)
        let found = RepeatShift.found(substitutions, reference: reference)
        let best = found.sorted {
            ($1.substitutions.count, abs($0.delta), $0.delta) < ($0.substitutions.count, abs($1.delta), $1.delta)
        }
        return best.prefix(RepeatShift.most).map { shift in
            let indels = shift.events(reference: reference, limit: core.lowerBound + 2)
            return (shift.substitutions, indels.filter { $0.start > core.lowerBound + 1 && $0.end <= core.upperBound })
        }
    }

    /// The stretch of reference for the haplotypes: flanks end outside repeats where that is near.
    private func anchored(_ core: Range<Int>, flank: Int) -> Range<Int> {
        func isRepeat(_ position: Int) -> Bool {
            let index = position - tractOrigin
            return tracts.error.indices.contains(index) && tracts.error[index] > 0
        }
        var low = max(0, core.lowerBound - flank)
        var high = min(reference.count, core.upperBound + flank)
        for _ in 0..<30 where low > 0 && isRepeat(low) { low -= 1 }
        for _ in 0..<30 where high < reference.count && isRepeat(high - 1) { high += 1 }
        return low..<high
    }

    /// The events of one haplotype as a mask; nil when one of them is not in the list.
    private static func mask(of haplotype: [Event], in events: [Event]) -> UInt64? {
        var mask: UInt64 = 0
        for event in haplotype {
            guard let index = events.firstIndex(of: event) else { return nil }
            mask |= 1 << UInt64(index)
        }
        return mask
    }

    /// The events of each haplotype that assembly finds.
    private func assembledHaplotypes(_ reads: RegionReads, core: Range<Int>, stretch: Range<Int>) -> [[Event]] {
        window.bases.withUnsafeBufferPointer { bases in
            window.qualities.withUnsafeBufferPointer { qualities in
                let parts = reads.entries.map {
                    (
                        bases: UnsafeBufferPointer(rebasing: bases[$0.first..<$0.first + $0.count]),
                        qualities: UnsafeBufferPointer(rebasing: qualities[$0.first..<$0.first + $0.count])
                    )
                }
                // Where the wide stretch repeats itself, a narrow one may not.
                let reach = Self.flank + Self.narrowAssemblyFlank
                let narrow = (core.lowerBound - reach..<core.upperBound + reach).clamped(to: stretch)
                var found: [[UInt8]]?
                for part in [stretch, narrow] where found == nil {
                    let before = Array(reference[stretch.lowerBound..<part.lowerBound])
                    let behind = Array(reference[part.upperBound..<stretch.upperBound])
                    found = LocalAssembler.haplotypes(
                        reference: Array(reference[part]), reads: parts, most: options.maximumHaplotypes / 2
                    )?.map { before + $0 + behind }
                }
                return (found ?? []).map {
                    HaplotypeAligner.events(haplotype: $0, reference: reference, range: stretch)
                        .filter { $0.start > stretch.lowerBound && $0.end < stretch.upperBound }
                }
            }
        }
    }

    /// Prior probability that a haplotype pair is heterozygous for an event.
    private func prior(_ event: Event) -> Double {
        if event.isSubstitution { return options.snpHeterozygosity }
        let index = min(max(0, event.start - tractOrigin), tracts.error.count - 1)
        // Tracts that are misread often also mutate often.
        let instability = min(30, 1 + 3000 * Double(tracts.error[index]))
        return options.indelHeterozygosity * instability * pow(10, -0.02 * Double(min(50, event.length - 1)))
    }

    private func model(
        _ events: [Event], shifts: [(substitutions: [Event], events: [Event])], assembled: [UInt64],
        reads: RegionReads, stretch: Range<Int>, metrics: inout CallingMetrics
    ) -> Model? {
        var rivals = [UInt64](repeating: 0, count: events.count)
        var explained: UInt64 = 0
        for shift in shifts where !shift.events.isEmpty {
            let indels = events.indices.filter { shift.events.contains(events[$0]) }
            for substitution in events.indices where shift.substitutions.contains(events[substitution]) {
                explained |= 1 << UInt64(substitution)
                for indel in indels {
                    rivals[max(indel, substitution)] |= 1 << UInt64(min(indel, substitution))
                }
            }
        }
        let reach = events.map { event -> Range<Int> in
            let index = min(max(0, event.start - tractOrigin), tracts.error.count - 1)
            guard !event.isSubstitution else { return event.start..<event.end }
            return event.start..<max(event.end, tracts.error[index] > 0 ? Int(tracts.end[index]) + tractOrigin : 0)
        }
        let witnesses = reads.witnesses(
            events: events, reach: reach, reference: reference, floor: options.minimumBaseQuality)
        let combinations = HaplotypeBuilder.combinations(
            events: events, rivals: rivals, witnesses: witnesses, assembled: assembled,
            limit: options.maximumHaplotypes)
        var masks: [UInt64] = []
        var haplotypes: [[UInt8]] = []
        // Equal sequences with different events: the simplest description stays.
        for mask in combinations.sorted(by: { ($0.nonzeroBitCount, $0) < ($1.nonzeroBitCount, $1) }) {
            let bases = HaplotypeBuilder.bases(mask: mask, events: events, reference: reference, range: stretch)
            guard !haplotypes.contains(bases) else { continue }
            masks.append(mask)
            haplotypes.append(bases)
        }
        guard masks.count > 1 else { return nil }
        let begin = monotonicSeconds()
        let table = readLikelihoods(reads, haplotypes)
        metrics.pairs += reads.entries.count * haplotypes.count
        metrics.cells += reads.entries.reduce(0) { $0 + $1.count } * haplotypes.reduce(0) { $0 + $1.count }
        metrics.likelihoodSeconds += monotonicSeconds() - begin
        var model = Model(
            events: events, masks: masks, fragments: reads.fragmentCount, likelihoods: [], isUsable: [])
        combineMates(reads, table, &model)
        addPairs(&model, explained: explained)
        return model
    }

    private func readLikelihoods(_ reads: RegionReads, _ haplotypes: [[UInt8]]) -> [Double] {
        window.bases.withUnsafeBufferPointer { bases in
            window.qualities.withUnsafeBufferPointer { qualities in
                PairHMM.likelihoods(
                    reads: reads.entries.map {
                        PairHMM.Read(
                            bases: bases.baseAddress! + $0.first, qualities: qualities.baseAddress! + $0.first,
                            count: $0.count)
                    }, haplotypes: haplotypes, model: stutter)
            }
        }
    }

    /// Multiplies the likelihoods of mates; a read that fits no haplotype is left out, and mapping quality bounds how
    /// much a read can say.
    private func combineMates(_ reads: RegionReads, _ table: [Double], _ model: inout Model) {
        let width = model.masks.count
        model.likelihoods = [Double](repeating: 1, count: reads.fragmentCount * width)
        model.isUsable = [Bool](repeating: false, count: reads.fragmentCount)
        for (index, entry) in reads.entries.enumerated() {
            let row = table[index * width..<(index + 1) * width]
            let best = row.max()!
            let least = -4 * max(2, (Double(entry.count) * 0.03).rounded(.up)) - log10(Double(width) * 100)
            guard best > max(PairHMM.least, least) else { continue }
            let mappingQuality = Double(window.reads[entry.read].mappingQuality)
            let foreign = max(Self.leastForeign, pow(10, -mappingQuality / 10))
            model.isUsable[entry.fragment] = true
            for (column, value) in row.enumerated() {
                let relative = pow(10, value - best)
                model.likelihoods[entry.fragment * width + column] *= (1 - foreign) * relative + foreign
            }
        }
    }

    /// The events of a haplotype that stand close behind another one of it.
    private static func neighbours(_ mask: UInt64, _ events: [Event]) -> UInt64 {
        var found: UInt64 = 0
        var previous: Event?
        for index in events.indices where mask >> UInt64(index) & 1 == 1 {
            if let previous, events[index].start - previous.end < neighbourReach { found |= 1 << UInt64(index) }
            previous = events[index]
        }
        return found
    }

    /// Substitutions that a shift explains are no neighbours: it is their common cause.
    private func addPairs(_ model: inout Model, explained: UInt64) {
        let width = model.masks.count
        let neighbours = model.masks.map { Self.neighbours($0, model.events) & ~explained }
        for a in 0..<width {
            for b in a..<width {
                var total = 0.0
                var product = 1.0
                for fragment in model.isUsable.indices where model.isUsable[fragment] {
                    let row = fragment * width
                    product *= (model.likelihoods[row + a] + model.likelihoods[row + b]) / 2
                    if product < 1e-200 {
                        total += log10(product)
                        product = 1
                    }
                }
                let prior = Double((neighbours[a] | neighbours[b]).nonzeroBitCount) * Self.neighbourBonus
                model.pairs.append((a, b, total + log10(product) + prior))
            }
        }
    }
}
