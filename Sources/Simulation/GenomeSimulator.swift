public import GenomicFormats
import Threads

/// How much and how young the repeated sequence of a simulated genome is.
public enum RepeatContent: String, Sendable, Codable, CaseIterable {
    /// 45 % interspersed repeats (copies 3.5-26 % from the consensus), 5 % segmental duplications (1-5 %), 3 % tandem.
    case plain
    /// As `plain`, with a tenth of the families young (0.4-5 %), duplications of 0.2-5 % and 2 % satellite arrays.
    case hard
}

/// Makes a reference genome with the features that make mapping and calling hard: interspersed repeat families,
/// segmental duplications, microsatellites and minisatellites, GC isochores and runs of N.
///
/// The genome is made in segments of a megabase with a random stream each, so that the same seed gives the same bases
/// for any number of threads.
public struct GenomeSimulator: Sendable {
    public var length: Int
    public var repeatContent: RepeatContent
    public var contigs: Int
    public var seed: UInt64
    public var threads = 1

    /// - Parameters:
    ///   - length: bases in all, shared by the contigs in the proportions of human chromosomes 1 to 22, X and Y; at
    ///     least 4,000 per contig.
    public init(length: Int, repeatContent: RepeatContent = .plain, contigs: Int = 2, seed: UInt64) {
        precondition(contigs >= 1 && length / contigs >= 4_000, "a contig has at least 4,000 bases on average")
        self.length = length
        self.repeatContent = repeatContent
        self.contigs = contigs
        self.seed = seed
    }

    public func run() -> ReferenceGenome {
        let lengths = Self.contigLengths(total: length, contigs: contigs)
        let draft = DraftGenome(lengths: lengths)
        var random = RandomStream(seed: seed, lane: Lane.genome)
        let families = RepeatFamilies(genomeLength: length, content: repeatContent, &random)
        forEachSegment(of: draft, stage: 0) { segment, random in
            writeBackground(into: segment, &random)
            let budget = Int(0.45 * Double(segment.count))
            var placed = 0
            while placed < budget { placed += families.writeCopy(into: segment, &random) }
        }
        duplicateSegments(of: draft, &random)
        forEachSegment(of: draft, stage: 1) { writeTandemRepeats(into: $0, &$1) }
        if repeatContent == .hard { writeSatelliteArrays(into: draft, &random) }
        for contig in draft.contigs { writeGaps(into: contig, &random) }
        return ReferenceGenome(
            contigs: lengths.indices.map { .init(name: Self.name(ofContig: $0), bases: draft.take(contig: $0)) })
    }

    // MARK: Contigs

    /// Megabases of human chromosomes 1 to 22, X and Y (GRCh38, rounded).
    private static let humanLengths = [
        249, 242, 198, 190, 182, 171, 159, 145, 138, 134, 135, 133, 114, 107, 102, 90, 83, 80, 59, 64, 47, 51, 156, 57,
    ]

    /// Contigs after the twenty-fourth are small ones of equal length, as unplaced scaffolds are.
    static func contigLengths(total: Int, contigs: Int) -> [Int] {
        let shares = (0..<contigs).map { $0 < humanLengths.count ? humanLengths[$0] : 40 }
        let sum = shares.reduce(0, +)
        var lengths = shares.map { total / sum * $0 + total % sum * $0 / sum }
        lengths[0] += total - lengths.reduce(0, +)
        return lengths
    }

    /// The longest contig of such a genome.
    static func longestContig(total: Int, contigs: Int) -> Int {
        contigLengths(total: total, contigs: contigs).max() ?? 0
    }

    private static func name(ofContig index: Int) -> String {
        index == 22 ? "chrX" : index == 23 ? "chrY" : "chr\(index < 22 ? index + 1 : index - 1)"
    }

    // MARK: Stages

    private func forEachSegment(
        of draft: DraftGenome, stage: UInt64,
        _ body: @Sendable (UnsafeMutableBufferPointer<UInt8>, inout RandomStream) -> Void
    ) {
        let segments = draft.segments
        inParallel(segments.count, threads: threads) { index in
            var random = RandomStream(seed: seed, lane: Lane.segments + 2 * UInt64(index) + stage)
            body(draft.segment(index), &random)
        }
    }

    /// Isochores of 20 to 200 kbp, each with a GC content of its own from 35 to 58 %.
    private func writeBackground(into segment: UnsafeMutableBufferPointer<UInt8>, _ random: inout RandomStream) {
        var at = 0
        while at < segment.count {
            let end = min(at + random.uniform(20_000...200_000), segment.count)
            let strong = UInt64(random.uniform(0.35...0.58) * 0x1p15)
            while at < end {
                // Sixteen bits for each of four bases: fifteen choose between strong and weak, one between the two.
                var bits = random.next()
                for place in at..<min(at + 4, end) {
                    let second = UInt8(truncatingIfNeeded: bits & 1)
                    segment[place] = (bits >> 1) & 0x7FFF < strong ? BaseCode.c + second : BaseCode.t * second
                    bits >>= 16
                }
                at = min(at + 4, end)
            }
        }
    }

    private func duplicateSegments(of draft: DraftGenome, _ random: inout RandomStream) {
        let longest = min(100_000, length / 20, draft.longestContig / 4)
        let shortest = min(10_000, longest / 2)
        let hosts = draft.contigs.filter { $0.count > 2 * longest }
        guard longest >= 1_000, !hosts.isEmpty else { return }
        let bases = hosts.reduce(0) { $0 + $1.count }
        let scratch = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: longest)
        defer { scratch.deallocate() }
        var placed = 0
        while placed < length / 20 {
            let size = random.uniform(shortest...longest)
            let source = draft.place(random.below(bases), ofLength: size, in: hosts)
            // Log-uniform between 0.2 and 5 %: halve 5 % up to 4.64 times.
            let divergence = repeatContent == .hard
                ? 0.05 * halved(random.unit() * 4.64) : random.uniform(0.01...0.05)
            let copy = UnsafeMutableBufferPointer(rebasing: scratch[..<size])
            _ = copy.update(from: source)
            let target = draft.place(random.below(bases), ofLength: size, in: hosts)
            placed += writeMutated(
                UnsafeBufferPointer(copy), isReverse: random.chance(0.5), GapSampler(rate: divergence), into: target,
                &random)
        }
    }

    private func writeTandemRepeats(into segment: UnsafeMutableBufferPointer<UInt8>, _ random: inout RandomStream) {
        // The longest array has 20 copies of 60 bases.
        let array = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 1_200)
        defer { array.deallocate() }
        let budget = Int(0.03 * Double(segment.count))
        var placed = 0
        while placed < budget {
            let isMicrosatellite = random.chance(0.95)
            let unit = isMicrosatellite ? random.uniform(1...6) : random.uniform(10...60)
            let copies = isMicrosatellite ? random.uniform(5...40) : random.uniform(4...20)
            let size = unit * copies
            for place in 0..<unit { array[place] = random.base() }
            for place in unit..<size { array[place] = array[place - unit] }
            let gaps = GapSampler(rate: isMicrosatellite ? random.uniform(0.0...0.03) : random.uniform(0.01...0.13))
            placed += size
            guard size < segment.count else { continue }
            let target = segment[random.below(segment.count - size)...]
            _ = writeMutated(
                UnsafeBufferPointer(rebasing: array[..<size]), isReverse: false, gaps,
                into: UnsafeMutableBufferPointer(rebasing: target), &random)
        }
    }

    /// Arrays of a 171-base monomer in higher-order repeats, the structure of human alpha satellite.
    private func writeSatelliteArrays(into draft: DraftGenome, _ random: inout RandomStream) {
        let longest = min(500_000, max(2_000, length / 50), draft.longestContig / 4)
        let hosts = draft.contigs.filter { $0.count > 2 * longest }
        guard !hosts.isEmpty else { return }
        let bases = hosts.reduce(0) { $0 + $1.count }
        let monomer = (0..<171).map { _ in random.base() }
        let monomerDrift = GapSampler(rate: 0.25)
        let unit = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 16 * 400)
        defer { unit.deallocate() }
        var placed = 0
        while placed < length / 50 {
            var unitLength = 0
            for _ in 0..<random.uniform(4...16) {
                unitLength += monomer.withUnsafeBufferPointer {
                    writeMutated(
                        $0, isReverse: false, monomerDrift,
                        into: UnsafeMutableBufferPointer(rebasing: unit[unitLength..<unitLength + 400]), &random)
                }
            }
            let size = random.uniform(longest / 5...longest)
            let array = draft.place(random.below(bases), ofLength: size, in: hosts)
            var written = 0
            while written < size {
                written += writeMutated(
                    UnsafeBufferPointer(rebasing: unit[..<unitLength]), isReverse: false,
                    GapSampler(rate: random.uniform(0.005...0.02)),
                    into: UnsafeMutableBufferPointer(rebasing: array[written...]), &random)
            }
            placed += size
        }
    }

    /// Runs of N over the ends, and gaps of up to 50 kbp inside: one, and one more for every ten megabases.
    private func writeGaps(into contig: UnsafeMutableBufferPointer<UInt8>, _ random: inout RandomStream) {
        let telomere = min(10_000, contig.count / 50)
        contig[..<telomere].update(repeating: BaseCode.n)
        contig[(contig.count - telomere)...].update(repeating: BaseCode.n)
        guard contig.count >= 50_000 else { return }
        let longest = min(50_000, contig.count / 50)
        for _ in 0...contig.count / 10_000_000 {
            let size = min(longest, Int(50_000 * halved(random.unit() * 9)))
            let start = random.uniform(contig.count / 10...contig.count / 10 * 8)
            contig[start..<start + size].update(repeating: BaseCode.n)
        }
    }
}

/// The genome while it is made: memory that several threads write to in disjoint places.
private final class DraftGenome: @unchecked Sendable {
    struct Segment {
        var contig: Int
        var range: Range<Int>
    }

    /// Emptied one by one when the genome is whole. Threads write to their own segments only; all other stages run on
    /// one thread.
    private(set) var contigs: [UnsafeMutableBufferPointer<UInt8>]
    let segments: [Segment]
    private static let segmentLength = 1 << 20

    init(lengths: [Int]) {
        contigs = lengths.map { .allocate(capacity: $0) }
        var segments: [Segment] = []
        for (contig, length) in lengths.enumerated() {
            // A last piece that would be short is part of the one before.
            let pieces = max(1, (length + Self.segmentLength / 2) / Self.segmentLength)
            for piece in 0..<pieces {
                let end = piece == pieces - 1 ? length : (piece + 1) * Self.segmentLength
                segments.append(Segment(contig: contig, range: piece * Self.segmentLength..<end))
            }
        }
        self.segments = segments
    }

    deinit { for contig in contigs { contig.deallocate() } }

    func segment(_ index: Int) -> UnsafeMutableBufferPointer<UInt8> {
        UnsafeMutableBufferPointer(rebasing: contigs[segments[index].contig][segments[index].range])
    }

    var longestContig: Int { contigs.reduce(0) { max($0, $1.count) } }

    /// The `size` bases at or before place `number` of the contigs put end to end, within one contig.
    func place(
        _ number: Int, ofLength size: Int, in hosts: [UnsafeMutableBufferPointer<UInt8>]
    ) -> UnsafeMutableBufferPointer<UInt8> {
        var start = number
        var host = 0
        while start >= hosts[host].count {
            start -= hosts[host].count
            host += 1
        }
        start = min(start, hosts[host].count - size)
        return UnsafeMutableBufferPointer(rebasing: hosts[host][start..<start + size])
    }

    /// Moves a contig out, so that the genome is in memory once.
    func take(contig: Int) -> [UInt8] {
        let bases = contigs[contig]
        contigs[contig] = UnsafeMutableBufferPointer(start: nil, count: 0)
        defer { bases.deallocate() }
        return Array(bases)
    }
}

/// One half to the power of `times`, with straight lines between whole powers.
private func halved(_ times: Double) -> Double {
    var value = 1.0
    var left = times
    while left >= 1 {
        value *= 0.5
        left -= 1
    }
    return value * (1 - 0.5 * left)
}
