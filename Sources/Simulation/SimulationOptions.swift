public import Compression
import Diagnostics

/// What to simulate. The defaults make the demonstration: 1 Mbp in two contigs at 30x, about 100,000 pairs.
public struct SimulationOptions: Sendable {
    /// A FASTA file (plain, gzip or BGZF) to take instead of a simulated genome.
    public var referencePath: String?
    public var genomeLength = 1_000_000
    public var contigs = 2
    public var repeatContent = RepeatContent.plain
    /// Mean depth over the bases that are not N, in the regions if there are any.
    public var coverage = 30.0
    /// Overrides `coverage`.
    public var pairs: Int?
    /// A BED file: fragments have their middle in its regions.
    public var regionsPath: String?
    /// Reads of random sequence instead of a sample's; needs `pairs`.
    public var isRandom = false
    public var readLength1 = 150
    public var readLength2 = 150
    public var insertMean = 400.0
    public var insertDeviation = 80.0
    /// Lets inserts be shorter than the reads, which then go on into the adapter.
    public var readsAdapters = false
    public var snpRate = 1e-3
    public var indelRate = 1.2e-4
    public var qualityModel = QualityModel.novaseq
    public var errorRate = 0.002
    /// Writes where each pair comes from into its name.
    public var namesTruth = false
    public var sampleName = "SIM1"
    public var seed: UInt64 = 1
    /// Worker threads; the files do not depend on it.
    public var threads = 1
    /// libdeflate's level for FASTQ files whose name ends in `.gz`.
    public var compressionLevel = CompressionLevel.fast

    public init() {}

    func check() throws {
        func refuse(_ option: String, _ problem: String) throws -> Never {
            throw Failure(.usage, at: "simulate:\(option)", problem, remedy: "give a value in the range named")
        }
        if referencePath == nil, !isRandom {
            if contigs < 1 || contigs > 10_000 { try refuse("contigs", "the number must be 1 to 10,000") }
            if genomeLength < 4_000 * contigs || genomeLength > 10_000_000_000 {
                try refuse("length", "the genome must have 4,000 bases per contig to 10 Gbp in all")
            }
            if GenomeSimulator.longestContig(total: genomeLength, contigs: contigs) > Int(Int32.max) {
                try refuse("contigs", "a contig would be longer than 2^31 - 1 bases")
            }
        }
        let lengths = 20...1_000
        guard lengths.contains(readLength1), lengths.contains(readLength2) else {
            try refuse("read length", "reads must have 20 to 1,000 bases")
        }
        guard coverage >= 0, coverage <= 10_000 else { try refuse("coverage", "the depth must be 0 to 10,000") }
        guard (0...10_000_000_000).contains(pairs ?? 0) else { try refuse("pairs", "there must be 0 to 10^10 pairs") }
        guard insertMean > 0, insertMean < 100_000, insertDeviation >= 0, insertDeviation <= insertMean else {
            try refuse("insert", "the mean must be below 100,000 and the deviation at most the mean")
        }
        guard snpRate >= 0, indelRate >= 0, snpRate + indelRate <= 0.1 else {
            try refuse("variants", "there must be at most 0.1 SNPs and indels per base")
        }
        guard errorRate == 0 || QualityProfile.errorRates.contains(errorRate) else {
            try refuse("error rate", "the rate must be 0, or 0.0003 to 0.05")
        }
        guard (1...1_024).contains(threads) else { try refuse("threads", "there must be 1 to 1,024 threads") }
        let isName = !sampleName.isEmpty && sampleName.utf8.allSatisfy { $0 > 32 && $0 < 127 }
        guard isName else { try refuse("sample", "the name must be printable, without spaces") }
        if isRandom {
            guard pairs != nil else { try refuse("random", "reads of random sequence need a number of pairs") }
            guard referencePath == nil, regionsPath == nil else {
                try refuse("random", "reads of random sequence come from no reference and no regions")
            }
        }
    }
}

/// Which files to write; those that are nil are not made. Names that end in `.gz` are written as BGZF.
public struct SimulationFiles: Sendable {
    public var reference: String?
    /// Both or neither.
    public var reads1: String?
    public var reads2: String?
    public var truth: String?
    public var confident: String?
    public var panel: String?
    public var variants: String?

    public init() {}

    /// All files of a data set under the names by which the other commands and the demonstration find them.
    public init(directory: String) {
        reference = directory + "/reference.fa.gz"
        reads1 = directory + "/reads_R1.fastq.gz"
        reads2 = directory + "/reads_R2.fastq.gz"
        truth = directory + "/truth.vcf.gz"
        confident = directory + "/confident.bed"
        panel = directory + "/panel.bed"
        variants = directory + "/variants.tsv"
    }

    /// Every file that would be written.
    public var paths: [String] {
        [reference, reads1, reads2, truth, confident, panel, variants].compactMap(\.self)
            + (truth.map { $0.hasSuffix(".gz") ? [$0 + ".tbi"] : [] } ?? [])
    }

    var needsSample: Bool { reads1 != nil || truth != nil || variants != nil }

    func check(_ options: SimulationOptions) throws {
        func refuse(_ problem: String, _ remedy: String) throws -> Never {
            throw Failure(.usage, at: "simulate", problem, remedy: remedy)
        }
        guard (reads1 == nil) == (reads2 == nil) else {
            try refuse("one file of reads is named", "name a file for the first and one for the second mates")
        }
        guard !paths.isEmpty else { try refuse("no file is named to write", "name a directory or a file") }
        if options.isRandom, paths.count != 2 || reads1 == nil {
            try refuse("reads of random sequence have no genome and no truth", "name two files of reads only")
        }
    }
}
