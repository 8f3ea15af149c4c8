public import GenomicFormats

/// One true difference between a sample and the reference, left-aligned and with one anchor base if it is an indel.
public struct TruthVariant: Sendable, Equatable {
    public var contig: Int
    /// 0-based position of the first base of `reference` (VCF's POS less 1).
    public var position: Int
    /// ``BaseCode`` values.
    public var reference: [UInt8]
    public var alternate: [UInt8]
    /// Which of the two haplotypes carry it.
    public var isOnFirst: Bool
    public var isOnSecond: Bool

    public init(
        contig: Int, position: Int, reference: [UInt8], alternate: [UInt8], isOnFirst: Bool, isOnSecond: Bool
    ) {
        self.contig = contig
        self.position = position
        self.reference = reference
        self.alternate = alternate
        self.isOnFirst = isOnFirst
        self.isOnSecond = isOnSecond
    }

    public var isSNP: Bool { reference.count == 1 && alternate.count == 1 }
    public var isHomozygous: Bool { isOnFirst && isOnSecond }
    /// VCF genotype, phased: `0|1`, `1|0` or `1|1`.
    public var genotype: String { "\(isOnFirst ? 1 : 0)|\(isOnSecond ? 1 : 0)" }
    public var end: Int { position + reference.count }
}

/// A haplotype of one contig, with the way back to the reference.
public struct Haplotype: Sendable {
    public var bases: [UInt8]
    /// Where a stretch of the haplotype starts, in its own and in the reference's coordinates, in rising order.
    /// Inside a stretch both run in step; inserted bases count as the reference base after them.
    var anchors: [(own: Int, reference: Int)]

    /// The reference position (0-based) that haplotype position `own` lies on.
    public func referencePosition(of own: Int) -> Int {
        var low = 0
        var high = anchors.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if anchors[middle].own <= own { low = middle } else { high = middle }
        }
        let position = anchors[low].reference + (own - anchors[low].own)
        return low + 1 < anchors.count ? min(position, anchors[low + 1].reference) : position
    }

    /// The reference bases with the variants of one contig laid in, which must be sorted and must not overlap.
    public static func applying(_ variants: [TruthVariant], to reference: [UInt8]) -> Haplotype {
        var bases: [UInt8] = []
        bases.reserveCapacity(reference.count + 1_024)
        var anchors: [(own: Int, reference: Int)] = [(0, 0)]
        var position = 0
        for variant in variants {
            precondition(variant.position >= position, "variants are sorted and do not overlap")
            bases += reference[position..<variant.position]
            bases += variant.alternate
            position = variant.end
            if variant.reference.count != variant.alternate.count { anchors.append((bases.count, position)) }
        }
        bases += reference[position...]
        return Haplotype(bases: bases, anchors: anchors)
    }
}

/// A simulated person: the true variants and, contig by contig, both haplotypes.
public struct DiploidSample: Sendable {
    /// Sorted by contig and position.
    public var variants: [TruthVariant]
    /// `haplotypes[contig]` holds two.
    public var haplotypes: [[Haplotype]]
}

/// Places SNPs and indels on a reference genome.
///
/// No two variants touch, nor do the ranges over which an indel could be shifted, so every record has exactly one
/// normalised form and the truth is unambiguous. Variants keep away from N.
public struct DiploidSampleSimulator: Sendable {
    public var snpRate = 1e-3
    public var indelRate = 1.2e-4
    public var longestIndel = 50
    /// Heterozygous variants for each homozygous one.
    public var heterozygousRatio = 2.0
    /// Transitions for each transversion.
    public var transitionRatio = 2.0
    public var seed: UInt64

    public init(seed: UInt64) { self.seed = seed }

    public func run(on genome: ReferenceGenome) -> DiploidSample {
        var sample = DiploidSample(variants: [], haplotypes: [])
        for (index, contig) in genome.contigs.enumerated() {
            var random = RandomStream(seed: seed, lane: 1_000 + UInt64(index))
            let variants = place(on: contig.bases, contig: index, &random)
            sample.haplotypes.append([
                .applying(variants.filter(\.isOnFirst), to: contig.bases),
                .applying(variants.filter(\.isOnSecond), to: contig.bases),
            ])
            sample.variants += variants
        }
        return sample
    }

    private func place(on bases: [UInt8], contig: Int, _ random: inout RandomStream) -> [TruthVariant] {
        var variants: [TruthVariant] = []
        let rate = snpRate + indelRate
        var free = 1
        for position in 1..<max(1, bases.count) where random.chance(rate) {
            let isSNP = random.chance(snpRate / rate)
            guard position >= free, bases[position] < 4 else { continue }
            let candidate = isSNP
                ? snp(at: position, bases, &random) : indel(at: position, bases, &random)
            guard var variant = candidate, variant.position >= free else { continue }
            let reach = isSNP ? variant.end : rightmostEnd(of: variant, bases)
            guard reach < bases.count, bases[variant.position...reach].allSatisfy({ $0 < 4 }) else { continue }
            variant.contig = contig
            if random.chance(heterozygousRatio / (heterozygousRatio + 1)) {
                variant.isOnFirst = random.chance(0.5)
                variant.isOnSecond = !variant.isOnFirst
            }
            variants.append(variant)
            free = reach + 1
        }
        return variants
    }

    private func snp(at position: Int, _ bases: [UInt8], _ random: inout RandomStream) -> TruthVariant {
        let base = bases[position]
        // A and G, C and T are transitions: the codes differ in bit 1 only.
        let isTransition = random.chance(transitionRatio / (transitionRatio + 1))
        let other = isTransition ? base ^ 2 : base ^ (random.chance(0.5) ? 1 : 3)
        return TruthVariant(
            contig: 0, position: position, reference: [base], alternate: [other], isOnFirst: true, isOnSecond: true)
    }

    private func indel(at position: Int, _ bases: [UInt8], _ random: inout RandomStream) -> TruthVariant? {
        var length = random.geometric(continuing: 0.6, limit: longestIndel)
        if random.chance(0.05) { length = random.uniform(1...longestIndel) }
        var variant: TruthVariant
        if random.chance(0.5) {
            guard position + length < bases.count else { return nil }
            variant = TruthVariant(
                contig: 0, position: position - 1, reference: Array(bases[position - 1..<position + length]),
                alternate: [bases[position - 1]], isOnFirst: true, isOnSecond: true)
        } else {
            // Half of the insertions copy what follows, as slippage and duplication do; the rest is random.
            let copies = random.chance(0.5) && position + length < bases.count
            let inserted = copies
                ? Array(bases[position..<position + length])
                : (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next() >> 62) }
            variant = TruthVariant(
                contig: 0, position: position - 1, reference: [bases[position - 1]],
                alternate: [bases[position - 1]] + inserted, isOnFirst: true, isOnSecond: true)
        }
        leftAlign(&variant, bases)
        return variant
    }

    private func leftAlign(_ variant: inout TruthVariant, _ bases: [UInt8]) {
        while variant.position > 0, variant.reference.last == variant.alternate.last {
            let before = bases[variant.position - 1]
            guard before < 4 else { return }
            variant.reference.insert(before, at: 0)
            variant.alternate.insert(before, at: 0)
            variant.reference.removeLast()
            variant.alternate.removeLast()
            variant.position -= 1
        }
    }

    /// The end of the last place to which the indel could be shifted without changing the haplotype.
    private func rightmostEnd(of variant: TruthVariant, _ bases: [UInt8]) -> Int {
        let isDeletion = variant.reference.count > variant.alternate.count
        let unit = Array(isDeletion ? variant.reference.dropFirst() : variant.alternate.dropFirst())
        var end = variant.end
        var phase = 0
        while end < bases.count, bases[end] == unit[phase] {
            end += 1
            phase = (phase + 1) % unit.count
        }
        return end
    }
}
