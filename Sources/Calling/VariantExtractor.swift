import Foundation
import GenomicFormats

/// Reads records off the pairs of haplotypes: events with the same anchor are the alleles of one record, and its
/// genotype likelihoods are sums over all pairs, the other events' priors included.
struct VariantExtractor {
    let events: [Event]
    let masks: [UInt64]
    let likelihoods: [Double]
    let isUsable: [Bool]
    let pairs: [(a: Int, b: Int, likelihood: Double)]
    /// Heterozygosity of each event.
    let priors: [Double]
    let reads: RegionReads
    let window: ReadWindow
    let reference: UnsafeBufferPointer<UInt8>
    let pileup: Pileup
    /// Events whose records are made even when the sample does not have them.
    var forced: [Event] = []
    /// The single substitutions that forced events are made of, as masks; 0 for all other events.
    private var parts: [UInt64] {
        events.map { event in
            let own = forced.contains(event) ? event.parts(reference) : []
            let indices = own.compactMap { events.firstIndex(of: $0) }
            return own.isEmpty || indices.count < own.count ? 0 : indices.reduce(0) { $0 | 1 << UInt64($1) }
        }
    }

    /// log10 below the best that a genotype without any pair of haplotypes gets.
    private static let unsupported = 30.0
    /// A fragment counts for an allele when that is this many times likelier than the next one, in log10.
    private static let clearlyBetter = 0.5

    func records() -> [VariantRecord] {
        var groups: [[Int]] = []
        for index in events.indices {
            let same = groups.firstIndex {
                events[$0[0]].anchor == events[index].anchor
                    && events[$0[0]].isSubstitution == events[index].isSubstitution
            }
            if let same { groups[same].append(index) } else { groups.append([index]) }
        }
        return groups.compactMap(record)
    }

    private func record(_ group: [Int]) -> VariantRecord? {
        let whole = table(group)
        let asked = group.indices.filter { forced.contains(events[group[$0]]) }.map { $0 + 1 }
        let chosen = Set([whole.genotype.0, whole.genotype.1] + asked).subtracting([0]).sorted().map { group[$0 - 1] }
        guard !chosen.isEmpty else { return nil }
        let answer = asked.isEmpty ? nil : forcedTable(chosen)
        let table = answer?.table ?? (chosen.count == group.count ? whole : self.table(chosen))
        guard table.genotype != (0, 0) || !asked.isEmpty else { return nil }
        let place = events[chosen[0]].anchor
        let end = chosen.map { max(events[$0].end, place + 1) }.max()!
        let alternates = chosen.map { index -> [UInt8] in
            let event = events[index]
            if event.isSubstitution { return event.alternate }
            return [reference[place]] + event.alternate + reference[event.end..<end]
        }
        let letters = Array(reference[place..<end])
        guard letters.allSatisfy({ $0 < 4 }) else { return nil }
        let support = support(chosen, asksForOthers: answer != nil)
        let offset = place - pileup.range.lowerBound
        let inRange = offset >= 0 && offset < pileup.range.count
        let (mapped, unmapped) = inRange ? (pileup.depth[offset], pileup.unmappableDepth[offset]) : (1, 0)
        return VariantRecord(
            place: place, reference: letters, alternates: alternates, table: table, alleleDepths: support.depths,
            depth: support.total, mappingQuality: support.mappingQuality, strandBias: strandBias(support.strands),
            endShare: 0, unmappableShare: Double(unmapped) / Double(max(1, mapped + unmapped)),
            witnesses: support.witnesses, lead: answer?.lead)
    }

    /// Allele of each haplotype for the events of a group: 0 without any.
    private func alleles(_ group: [Int]) -> [Int] {
        masks.map { mask in
            for (rank, index) in group.enumerated() where mask >> UInt64(index) & 1 == 1 { return rank + 1 }
            return 0
        }
    }

    /// As ``alleles(_:)``; a haplotype that changes the reference bases of the group in another way has the number
    /// behind the last allele.
    private func allelesAndOthers(_ group: [Int]) -> [Int] {
        let parts = parts
        let colliding = events.indices.filter { index in
            !group.contains(index) && group.contains { events[$0].collides(with: events[index], reference: reference) }
        }.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
        return masks.map { mask in
            for (rank, index) in group.enumerated() {
                if mask >> UInt64(index) & 1 == 1 { return rank + 1 }
                if parts[index] != 0, mask & colliding == parts[index] { return rank + 1 }
            }
            return mask & colliding != 0 ? group.count + 1 : 0
        }
    }

    /// The table of a group whose other haplotypes are no reference, and how far its best genotype leads theirs.
    private func forcedTable(_ group: [Int]) -> (table: GenotypeTable, lead: VariantRecord.Lead) {
        let logs = likelihoods(group, allelesAndOthers(group), count: group.count + 2)
        let own = (group.count + 1) * (group.count + 2) / 2
        let homozygotes = (0...group.count).map { logs[GenotypeTable.index($0, $0)] }.max()!
        let lead = VariantRecord.Lead(
            diploid: logs[..<own].max()! - logs[own...].max()!, haploid: homozygotes - logs.last!)
        return (GenotypeTable(likelihoods: Array(logs[..<own]), alternatePriors: group.map { priors[$0] }), lead)
    }

    private func table(_ group: [Int]) -> GenotypeTable {
        GenotypeTable(
            likelihoods: likelihoods(group, alleles(group), count: group.count + 1),
            alternatePriors: group.map { priors[$0] })
    }

    /// log10 likelihoods of the genotypes of `count` alleles.
    private func likelihoods(_ group: [Int], _ allele: [Int], count: Int) -> [Double] {
        let groupMask = group.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
        let logPriors = priors.map { log10($0) }
        let half = log10(0.5)
        var sums = [[Double]](repeating: [], count: count * (count + 1) / 2)
        for pair in pairs {
            var value = pair.likelihood
            var others = (masks[pair.a] | masks[pair.b]) & ~groupMask
            let shared = masks[pair.a] & masks[pair.b]
            while others != 0 {
                let index = others.trailingZeroBitCount
                others &= others - 1
                value += logPriors[index] + (shared >> UInt64(index) & 1 == 1 ? half : 0)
            }
            sums[GenotypeTable.index(allele[pair.a], allele[pair.b])].append(value)
        }
        var logs = sums.map(log10Sum)
        let best = logs.max()!
        for index in logs.indices where logs[index] < best - Self.unsupported && sums[index].isEmpty {
            logs[index] = best - Self.unsupported
        }
        return logs
    }

    private struct Support {
        var depths: [Int]
        var total = 0
        var strands = (0, 0, 0, 0)
        var mappingQuality = 0.0
        var witnesses: [VariantRecord.Witness] = []
    }

    /// Counts the fragments that overlap the chosen events by the allele that explains them best.
    private func support(_ group: [Int], asksForOthers: Bool) -> Support {
        let allele = asksForOthers ? allelesAndOthers(group) : alleles(group)
        let start = group.map { events[$0].start }.min()!
        let end = max(start + 1, group.map { events[$0].end }.max()!)
        var support = Support(depths: [Int](repeating: 0, count: group.count + 1))
        var seen = Set<Int>()
        var squared = 0.0
        for entry in reads.entries where isUsable[entry.fragment] {
            let read = window.reads[entry.read]
            guard read.position < end, read.end > start - 1, seen.insert(entry.fragment).inserted else { continue }
            support.total += 1
            squared += Double(read.mappingQuality) * Double(read.mappingQuality)
            var best = [Double](repeating: 0, count: group.count + (asksForOthers ? 2 : 1))
            for (index, own) in allele.enumerated() {
                best[own] = max(best[own], likelihoods[entry.fragment * masks.count + index])
            }
            let order = best.indices.sorted { (best[$0], $1) > (best[$1], $0) }
            guard log10(best[order[0]]) - log10(max(1e-300, best[order[1]])) >= Self.clearlyBetter else { continue }
            guard order[0] <= group.count else { continue }
            support.depths[order[0]] += 1
            support.witnesses.append(VariantRecord.Witness(read: entry.read, allele: UInt8(order[0])))
            switch (order[0] == 0, read.isReverse) {
            case (true, false): support.strands.0 += 1
            case (true, true): support.strands.1 += 1
            case (false, false): support.strands.2 += 1
            case (false, true): support.strands.3 += 1
            }
        }
        support.mappingQuality = (squared / Double(max(1, support.total))).squareRoot()
        return support
    }
}
