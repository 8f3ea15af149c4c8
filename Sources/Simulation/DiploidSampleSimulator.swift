public import GenomicFormats
import Threads

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
    /// Share of the indels that add or remove units of a homopolymer or short tandem repeat.
    public var slippageShare = 0.45
    /// Heterozygous variants for each homozygous one.
    public var heterozygousRatio = 2.0
    /// Transitions for each transversion.
    public var transitionRatio = 2.0
    public var seed: UInt64
    public var threads = 1

    public init(seed: UInt64) { self.seed = seed }

    /// A variant and the end of the last place to which it could be shifted without changing the haplotype.
    private struct Candidate: Sendable {
        var variant: TruthVariant
        var reach: Int
    }

    private static let segmentLength = 1 << 20

    public func run(on genome: ReferenceGenome) -> DiploidSample {
        var sample = DiploidSample(variants: [], haplotypes: [])
        let lengths = IndelLengths(longest: longestIndel)
        var lane = Lane.variants
        for (index, contig) in genome.contigs.enumerated() {
            let segments = (contig.length + Self.segmentLength - 1) / Self.segmentLength
            let first = lane
            let found = ResultTable<[Candidate]>(repeating: [], count: segments)
            inParallel(segments, threads: threads) { segment in
                var random = RandomStream(seed: seed, lane: first + UInt64(segment))
                let start = segment * Self.segmentLength
                let candidates = contig.bases.withUnsafeBufferPointer { bases in
                    propose(
                        start..<min(start + Self.segmentLength, bases.count), bases, lengths, contig: index, &random)
                }
                found.set(segment, candidates)
            }
            lane += UInt64(segments)
            let variants = Self.apart(found.values)
            sample.haplotypes.append([
                .applying(variants.lazy.filter(\.isOnFirst), to: contig.bases),
                .applying(variants.lazy.filter(\.isOnSecond), to: contig.bases),
            ])
            sample.variants += variants
        }
        return sample
    }

    /// In order of position, without those whose reach touches one before.
    private static func apart(_ segments: [[Candidate]]) -> [TruthVariant] {
        // An indel in a repeat can lie behind the candidates of the next segment.
        let sorted = Array(segments.joined()).enumerated().sorted {
            ($0.element.variant.position, $0.offset) < ($1.element.variant.position, $1.offset)
        }
        var variants: [TruthVariant] = []
        variants.reserveCapacity(sorted.count)
        var free = 1
        for (_, candidate) in sorted where candidate.variant.position >= free {
            variants.append(candidate.variant)
            free = candidate.reach + 1
        }
        return variants
    }

    private func propose(
        _ range: Range<Int>, _ bases: UnsafeBufferPointer<UInt8>, _ lengths: IndelLengths, contig: Int,
        _ random: inout RandomStream
    ) -> [Candidate] {
        let rate = snpRate + indelRate
        let gaps = GapSampler(rate: rate)
        var candidates: [Candidate] = []
        var position = max(range.lowerBound, 1) + gaps.next(&random)
        while position < range.upperBound {
            let isSNP = random.chance(snpRate / rate)
            if bases[position] < 4,
                var variant = isSNP ? snp(at: position, bases, &random) : indel(at: position, bases, lengths, &random)
            {
                let reach = isSNP ? variant.end : rightmostEnd(of: variant, bases)
                if reach < bases.count, bases[variant.position...reach].allSatisfy({ $0 < 4 }) {
                    variant.contig = contig
                    if random.chance(heterozygousRatio / (heterozygousRatio + 1)) {
                        variant.isOnFirst = random.chance(0.5)
                        variant.isOnSecond = !variant.isOnFirst
                    }
                    candidates.append(Candidate(variant: variant, reach: reach))
                }
            }
            position += 1 + gaps.next(&random)
        }
        return candidates
    }

    /// One array for each base, so that the millions of SNPs share them.
    private static let single: [[UInt8]] = [[0], [1], [2], [3]]

    private func snp(
        at position: Int, _ bases: UnsafeBufferPointer<UInt8>, _ random: inout RandomStream
    ) -> TruthVariant {
        let base = bases[position]
        // A and G, C and T are transitions: the codes differ in bit 1 only.
        let isTransition = random.chance(transitionRatio / (transitionRatio + 1))
        let other = isTransition ? base ^ 2 : base ^ (random.chance(0.5) ? 1 : 3)
        return TruthVariant(
            contig: 0, position: position, reference: Self.single[Int(base)], alternate: Self.single[Int(other)],
            isOnFirst: true, isOnSecond: true)
    }

    private func indel(
        at position: Int, _ bases: UnsafeBufferPointer<UInt8>, _ lengths: IndelLengths, _ random: inout RandomStream
    ) -> TruthVariant? {
        if random.chance(slippageShare), let variant = slippage(after: position, bases, &random) { return variant }
        let length = lengths.draw(&random)
        guard position + length < bases.count else { return nil }
        if random.chance(0.5) { return deletion(of: position..<position + length, bases) }
        // Half of the insertions copy what follows, as duplications do; the rest is random.
        let inserted = random.chance(0.5)
            ? Array(bases[position..<position + length]) : (0..<length).map { _ in random.base() }
        return insertion(of: inserted, before: position, bases)
    }

    /// Removes or adds units of the next homopolymer or short tandem repeat, if there is one within 4,000 bases. The
    /// repeat asked for is of random length, so that longer ones are hit more often, as they are by slippage.
    private func slippage(
        after position: Int, _ bases: UnsafeBufferPointer<UInt8>, _ random: inout RandomStream
    ) -> TruthVariant? {
        let homopolymer = random.uniform(6...12)
        let units = random.uniform(3...6)
        var matches: (Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0)
        return withUnsafeMutableBytes(of: &matches) { raw -> TruthVariant? in
            let matches = raw.bindMemory(to: Int.self)
            for place in max(position, 6)..<min(position + 4_000, bases.count) {
                let base = bases[place]
                guard base < 4 else { return nil }
                for period in 1...6 {
                    guard base == bases[place - period] else {
                        matches[period] = 0
                        continue
                    }
                    matches[period] += 1
                    let wanted = period == 1 ? homopolymer - 1 : max((units - 1) * period, 8)
                    guard matches[period] >= wanted else { continue }
                    let tract = matches[period] + period
                    let most = min(longestIndel, tract - period) / period
                    guard most >= 1 else { return nil }
                    let length = random.geometric(continuing: 0.25, limit: most) * period
                    return random.chance(0.5)
                        ? deletion(of: place + 1 - length..<place + 1, bases)
                        : insertion(of: Array(bases[place + 1 - length..<place + 1]), before: place + 1, bases)
                }
            }
            return nil
        }
    }

    private func deletion(of range: Range<Int>, _ bases: UnsafeBufferPointer<UInt8>) -> TruthVariant {
        aligned(
            TruthVariant(
                contig: 0, position: range.lowerBound - 1,
                reference: Array(bases[range.lowerBound - 1..<range.upperBound]),
                alternate: [bases[range.lowerBound - 1]], isOnFirst: true, isOnSecond: true), bases)
    }

    private func insertion(
        of inserted: [UInt8], before position: Int, _ bases: UnsafeBufferPointer<UInt8>
    ) -> TruthVariant {
        aligned(
            TruthVariant(
                contig: 0, position: position - 1, reference: [bases[position - 1]],
                alternate: [bases[position - 1]] + inserted, isOnFirst: true, isOnSecond: true), bases)
    }

    private func aligned(_ unaligned: TruthVariant, _ bases: UnsafeBufferPointer<UInt8>) -> TruthVariant {
        var variant = unaligned
        while variant.position > 0, variant.reference.last == variant.alternate.last {
            let before = bases[variant.position - 1]
            guard before < 4 else { break }
            variant.reference.insert(before, at: 0)
            variant.alternate.insert(before, at: 0)
            variant.reference.removeLast()
            variant.alternate.removeLast()
            variant.position -= 1
        }
        return variant
    }

    /// The end of the last place to which the indel could be shifted without changing the haplotype.
    private func rightmostEnd(of variant: TruthVariant, _ bases: UnsafeBufferPointer<UInt8>) -> Int {
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

/// Lengths of indels outside of repeats: half of them 1 base, and a tail between the powers -1.5 and -2 of the length,
/// as in human genomes.
private struct IndelLengths: Sendable {
    private let cumulative: [Double]

    init(longest: Int) {
        var sum = 0.0
        cumulative = (1...longest).map { length in
            let value = Double(length)
            sum += 0.5 / (value * value.squareRoot()) + 0.5 / (value * value)
            return sum
        }
    }

    func draw(_ random: inout RandomStream) -> Int {
        let place = random.unit() * cumulative[cumulative.count - 1]
        return min(cumulative.partitionPoint { $0 <= place }, cumulative.count - 1) + 1
    }
}
