public import GenomicFormats

/// How many copies of each place a genome has: 2 where nothing else is said.
public struct PloidyMap: Sendable {
    /// By contig: sorted, disjoint ranges with another ploidy than the usual one.
    private var ranges: [[(range: Range<Int>, ploidy: Int)]]
    private let usual: Int

    public init(_ usual: Int = 2) {
        precondition((1...2).contains(usual))
        self.usual = usual
        ranges = []
    }

    /// What a list says of one sex.
    ///
    /// - Throws: `Failure` when the list names a contig that the reference does not have.
    public init(_ list: PloidyList, sex: Sex, reference: ReferenceGenome) throws {
        let rules = try list.rules(of: sex, contigs: reference.contigs.map { ($0.name, $0.length) })
        usual = rules.usual
        ranges = rules.ranges
    }

    /// 0, 1 or 2.
    public func ploidy(contig: Int, at place: Int) -> Int {
        guard contig < ranges.count else { return usual }
        let list = ranges[contig]
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if list[middle].range.upperBound > place { high = middle } else { low = middle + 1 }
        }
        return low < list.count && list[low].range.contains(place) ? list[low].ploidy : usual
    }
}

extension GenotypeTable {
    /// The same evidence for one chromosome instead of two: what a homozygote says of its allele.
    func haploid() -> GenotypeTable {
        GenotypeTable(
            likelihoods: (0..<alleleCount).map { likelihoods[Self.index($0, $0)] }, alternatePriors: alternatePriors,
            ploidy: 1)
    }

    /// The evidence for the reference and some of the alternates.
    func keeping(_ alleles: [Int]) -> GenotypeTable {
        let kept = [0] + alleles
        let priors = alleles.map { alternatePriors[$0 - 1] }
        if ploidy == 1 {
            return GenotypeTable(likelihoods: kept.map { likelihoods[$0] }, alternatePriors: priors, ploidy: 1)
        }
        let pairs = kept.indices.flatMap { k in (0...k).map { likelihoods[Self.index(kept[$0], kept[k])] } }
        return GenotypeTable(likelihoods: pairs, alternatePriors: priors)
    }

    /// Phred-scaled likelihoods with one more allele, which no read shows, behind the others.
    ///
    /// A fragment costs nothing in a homozygote of its allele, a half of its likelihood in a heterozygote, and `W`
    /// summed over the fragments of an allele where that allele is missing. The likelihoods of the homozygotes say what
    /// the `W` are.
    func scaledWithUnseenAllele(depths: [Int]) -> [Int] {
        let scaled = self.scaled
        let half = 10 * 0.30103
        let homozygotes = (0..<alleleCount).map { Double(scaled[ploidy == 1 ? $0 : Self.index($0, $0)]) }
        let best = scaled.firstIndex(of: 0) ?? 0
        let (a, b) = ploidy == 1 ? (best, best) : Self.alleles(best)
        let least = a == b ? 0 : half * Double(depths[a] + depths[b])
        let unseen: Double
        if alleleCount == 1 {
            unseen = Double(depths[0]) * 30
        } else {
            unseen = (homozygotes.reduce(0, +) + Double(alleleCount) * least) / Double(alleleCount - 1) - least
        }
        let last = min(9999, Int(unseen.rounded()))
        if ploidy == 1 { return scaled + [last] }
        let mixed = (0..<alleleCount).map { min(9999, Int((homozygotes[$0] + half * Double(depths[$0])).rounded())) }
        return scaled + mixed + [last]
    }
}

extension VariantRecord {
    /// The record where the genome has `ploidy` copies; nil when nothing of it is left.
    func converted(toPloidy ploidy: Int) -> VariantRecord? {
        guard ploidy == 1 else { return ploidy == 0 ? nil : self }
        let whole = table.haploid()
        let allele = whole.genotype.0
        guard allele > 0 else { return nil }
        return keeping([allele], table: whole.keeping([allele]))
    }
}
