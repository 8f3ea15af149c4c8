public import Compression
import Diagnostics
public import GenomicFormats

/// Draws read pairs from a diploid sample, or reads of random sequence, as an Illumina instrument would write them.
///
/// Pairs come in pieces of 2,048 with a random stream each: the bytes do not depend on the number of threads, and fewer
/// pairs of the same seed are the beginning of more.
public struct ReadSimulator: Sendable {
    public var readLength1 = 150
    public var readLength2 = 150
    public var insertMean = 400.0
    public var insertDeviation = 80.0
    public var qualityModel = QualityModel.novaseq
    /// Mean share of wrong bases, no-calls included: 0, or 0.0003 to 0.05.
    public var errorRate = 0.002
    /// Lets inserts be shorter than the reads, which then go on into the adapter.
    public var readsAdapters = false
    /// Appends the true place to the read name, as docs/FORMATS.md says.
    public var namesTruth = false
    public var regions: RegionSet?
    public var seed: UInt64
    public var threads = 1
    /// libdeflate's level for files whose name ends in `.gz`.
    public var compressionLevel = CompressionLevel.fast

    public init(seed: UInt64) { self.seed = seed }

    /// What was drawn, for the summary and for tests.
    public struct Totals: Sendable, Equatable, Codable {
        public var pairs = 0
        public var bases = 0
        /// Bases that differ from the haplotype, no-calls included.
        public var errors = 0
        public init() {}
    }

    static let pairsPerPiece = 2_048
    private static let shortestInsert = 30

    /// Writes pairs of a sample to two FASTQ files.
    ///
    /// - Parameters:
    ///   - pairs: how many; nil gives `coverage`.
    ///   - coverage: mean depth over the bases that are not N (in the regions, if there are any).
    /// - Throws: `Failure` `.data` when no stretch of the reference is long enough for a read, and what writing throws.
    public func write(
        sample: DiploidSample, genome: ReferenceGenome, pairs: Int? = nil, coverage: Double = 0, to paths: [String]
    ) throws -> Totals {
        let source = FragmentSource(
            sample: sample, runs: genome.runsWithoutN(threads: threads), names: genome.contigs.map(\.name),
            regions: regions, atLeast: max(readLength1, readLength2) + 1)
        let perPair = Double(readLength1 + readLength2)
        let wanted = pairs ?? Int((coverage * Double(source.referenceBases) / perPair).rounded())
        guard wanted == 0 || !source.isEmpty else {
            throw Failure(
                .data, at: "simulate", "no stretch of the reference, or of the regions, is long enough for a read",
                remedy: "give a longer reference, other regions, or shorter reads")
        }
        let names = genome.contigs.map { Array($0.name.utf8) }
        return try write(pairs: wanted, longestName: names.map(\.count).max() ?? 0, to: paths) { writer, _, random in
            let fragment = source.draw(insert: insert(&random), &random)
            let haplotype = sample.haplotypes[fragment.contig][fragment.haplotype]
            writer.copyEnds(of: haplotype, fragment.range, isSwapped: random.chance(0.5))
            guard namesTruth else { return }
            writer.setOrigin(
                contig: names[fragment.contig], haplotype: fragment.haplotype,
                positions: writer.starts.map { haplotype.referencePosition(of: $0) })
        }
    }

    /// Writes pairs of uniformly random sequence, which come from no genome.
    public func writeRandom(pairs: Int, to paths: [String]) throws -> Totals {
        try write(pairs: pairs, longestName: 1, to: paths) { writer, _, random in
            writer.fillRandom(&random)
            if namesTruth { writer.setNoOrigin() }
        }
    }

    // MARK: Drawing

    private func insert(_ random: inout RandomStream) -> Int {
        let drawn = Int((insertMean + insertDeviation * random.standardNormal()).rounded())
        return max(drawn, readsAdapters ? Self.shortestInsert : max(readLength1, readLength2))
    }

    private func write(
        pairs: Int, longestName: Int, to paths: [String],
        _ draw: @Sendable (PairWriter, Int, inout RandomStream) -> Void
    ) throws -> Totals {
        let profile = QualityProfile(
            model: qualityModel, errorRate: errorRate, readLength1: readLength1, readLength2: readLength2)
        let pieces = (pairs + Self.pairsPerPiece - 1) / Self.pairsPerPiece
        let errors = ResultTable<Int>(repeating: 0, count: pieces)
        let files = try PieceFiles(paths: paths, level: compressionLevel, threads: threads)
        let record = 2 * max(readLength1, readLength2) + longestName + 200
        try files.write(pieces: pieces, capacity: record * Self.pairsPerPiece) { piece, texts in
            var random = RandomStream(seed: seed, lane: Lane.reads + UInt64(piece))
            let writer = PairWriter(lengths: [readLength1, readLength2], profile: profile)
            let first = piece * Self.pairsPerPiece
            for pair in first..<min(first + Self.pairsPerPiece, pairs) {
                draw(writer, pair, &random)
                writer.write(pair: pair, to: texts, &random)
            }
            errors.set(piece, writer.errors)
        }
        try files.commit()
        var totals = Totals()
        totals.pairs = pairs
        totals.bases = pairs * (readLength1 + readLength2)
        totals.errors = errors.values.reduce(0, +)
        return totals
    }
}

/// Makes the two records of one pair after the other. Used by one thread.
private final class PairWriter {
    private let lengths: [Int]
    private let profile: QualityProfile
    /// The true bases of both mates, as the instrument reads them.
    private let bases: [UnsafeMutablePointer<UInt8>]
    private let scratch: UnsafeMutablePointer<UInt8>
    /// Leftmost haplotype positions of the mates.
    private(set) var starts = [0, 0]
    private var isSwapped = false
    private var origin: [UInt8] = []
    private(set) var errors = 0

    /// Illumina's TruSeq adapters, as the first and second mate read them; behind them the instrument sees no signal,
    /// which it calls G.
    private static let adapters = [
        "AGATCGGAAGAGCACACGTCTGAACTCCAGTCA", "AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGT",
    ].map { $0.utf8.map { BaseCode.ofASCII[Int($0)] } }

    init(lengths: [Int], profile: QualityProfile) {
        self.lengths = lengths
        self.profile = profile
        bases = lengths.map { .allocate(capacity: $0) }
        scratch = .allocate(capacity: max(lengths[0], lengths[1]))
    }

    deinit {
        for base in bases { base.deallocate() }
        scratch.deallocate()
    }

    /// The mates at both ends of a fragment; the first one on the left strand unless swapped.
    func copyEnds(of haplotype: Haplotype, _ fragment: Range<Int>, isSwapped: Bool) {
        self.isSwapped = isSwapped
        for mate in 0..<2 {
            let isReverse = (mate == 1) != isSwapped
            let count = min(lengths[mate], fragment.count)
            let start = isReverse ? fragment.upperBound - count : fragment.lowerBound
            starts[mate] = start
            let out = bases[mate]
            if isReverse {
                haplotype.copy(start..<start + count, to: scratch)
                for place in 0..<count { out[place] = 3 - scratch[count - 1 - place] }
            } else {
                haplotype.copy(start..<start + count, to: out)
            }
            for place in count..<lengths[mate] {
                let adapter = Self.adapters[mate]
                out[place] = place - count < adapter.count ? adapter[place - count] : BaseCode.g
            }
        }
    }

    func fillRandom(_ random: inout RandomStream) {
        for mate in 0..<2 { for place in 0..<lengths[mate] { bases[mate][place] = random.base() } }
    }

    func setOrigin(contig: [UInt8], haplotype: Int, positions: [Int]) {
        origin.removeAll(keepingCapacity: true)
        origin.append(UInt8(ascii: "#"))
        origin += contig
        origin += isSwapped
            ? "_\(haplotype + 1)_-\(positions[0] + 1)_+\(positions[1] + 1)".utf8
            : "_\(haplotype + 1)_+\(positions[0] + 1)_-\(positions[1] + 1)".utf8
    }

    func setNoOrigin() { origin = Array("#*".utf8) }

    func write(pair: Int, to texts: [TextPiece], _ random: inout RandomStream) {
        for mate in 0..<2 {
            let text = texts[mate]
            text.append("@A00500:77:HDSGDSIMXX:")
            text.append(pair / 156_000_000 + 1)
            text.append(UInt8(ascii: ":"))
            text.append(1_101 + pair / 1_000_000 % 78 + 1_000 * (pair / 78_000_000 % 2))
            text.append(UInt8(ascii: ":"))
            text.append(1_000 + pair % 1_000 * 31)
            text.append(UInt8(ascii: ":"))
            text.append(1_000 + pair / 1_000 % 1_000 * 35)
            text.append(origin)
            text.append(mate == 0 ? " 1:N:0:ACGTTGCA+TGCAACGT\n" : " 2:N:0:ACGTTGCA+TGCAACGT\n")
            let length = lengths[mate]
            let out = text.extend(by: 2 * length + 4)
            out[length] = UInt8(ascii: "\n")
            out[length + 1] = UInt8(ascii: "+")
            out[length + 2] = UInt8(ascii: "\n")
            out[2 * length + 3] = UInt8(ascii: "\n")
            errors += profile.write(
                bases[mate], count: length, row: profile.row(mate: mate, &random), letters: out,
                qualities: out + length + 3, &random)
        }
    }
}
