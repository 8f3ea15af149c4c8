/// Read-backed phasing: heterozygous records that the same fragments cover are put on haplotypes.
///
/// Neighbours are joined when at least ``leastFragments`` fragments agree on how, and those that contradict are few. A
/// set never goes beyond a unit of work, so what is joined does not depend on the order of work.
enum Phasing {
    static let leastFragments = 2
    /// Of the fragments that cover both records at most this share may contradict.
    static let mostContradicting = 0.1
    /// A record is compared with this many heterozygous records in front of it.
    static let reach = 6

    /// A record's fragments by allele: sorted, those that speak for two alleles left out.
    private struct Site {
        var record: Int
        var first: Int
        var second: Int
        var alleles: [(fragment: UInt64, isSecond: Bool)]
    }

    static func phase(_ records: inout [VariantRecord], window: ReadWindow) {
        let sites = records.indices.compactMap { site($0, records[$0], window) }
        var set = [Int](repeating: -1, count: sites.count)
        var isFlipped = [Bool](repeating: false, count: sites.count)
        for index in sites.indices {
            set[index] = index
            for earlier in (max(0, index - reach)..<index).reversed() {
                guard let isTrans = link(sites[earlier], sites[index]) else { continue }
                set[index] = set[earlier]
                isFlipped[index] = isFlipped[earlier] != isTrans
                break
            }
        }
        var sizes: [Int: Int] = [:]
        for number in set { sizes[number, default: 0] += 1 }
        for (index, site) in sites.enumerated() where sizes[set[index]]! > 1 {
            let place = records[sites[set[index]].record].place
            records[site.record].phase =
                isFlipped[index]
                ? .init(set: place, first: site.second, second: site.first)
                : .init(set: place, first: site.first, second: site.second)
        }
    }

    private static func site(_ index: Int, _ record: VariantRecord, _ window: ReadWindow) -> Site? {
        let (first, second) = record.table.genotype
        guard first != second else { return nil }
        var alleles: [(fragment: UInt64, isSecond: Bool)] = []
        for witness in record.witnesses where Int(witness.allele) == first || Int(witness.allele) == second {
            alleles.append((window.reads[witness.read].fragment, Int(witness.allele) == second))
        }
        alleles.sort { $0.fragment < $1.fragment }
        var kept: [(fragment: UInt64, isSecond: Bool)] = []
        var start = 0
        while start < alleles.count {
            var next = start + 1
            while next < alleles.count, alleles[next].fragment == alleles[start].fragment { next += 1 }
            if alleles[start..<next].allSatisfy({ $0.isSecond == alleles[start].isSecond }) { kept.append(alleles[start]) }
            start = next
        }
        return Site(record: index, first: first, second: second, alleles: kept)
    }

    /// Whether the second alleles of two sites are on different haplotypes; nil when the fragments do not say.
    private static func link(_ a: Site, _ b: Site) -> Bool? {
        var (cis, trans) = (0, 0)
        var (i, j) = (0, 0)
        while i < a.alleles.count, j < b.alleles.count {
            if a.alleles[i].fragment < b.alleles[j].fragment {
                i += 1
            } else if a.alleles[i].fragment > b.alleles[j].fragment {
                j += 1
            } else {
                if a.alleles[i].isSecond == b.alleles[j].isSecond { cis += 1 } else { trans += 1 }
                i += 1
                j += 1
            }
        }
        let (most, least) = (max(cis, trans), min(cis, trans))
        guard most >= leastFragments, Double(least) <= mostContradicting * Double(most + least) else { return nil }
        return trans > cis
    }
}
