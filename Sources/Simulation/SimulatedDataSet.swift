public import Compression
import GenomicFormats
import Diagnostics
import Glibc
import Storage

/// What to simulate. The defaults make the demonstration: 1 Mbp in two contigs at 30x, about 100,000 pairs.
public struct SimulationOptions: Sendable {
    /// A FASTA file (plain, gzip or BGZF) to take instead of a simulated genome.
    public var referencePath: String?
    public var genomeLength = 1_000_000
    public var contigs = 2
    public var repeatContent = RepeatContent.plain
    /// Mean depth over the bases that are not N.
    public var coverage = 30.0
    /// Overrides `coverage`.
    public var pairs: Int?
    public var readLength1 = 150
    public var readLength2 = 150
    public var insertMean = 400.0
    public var insertDeviation = 80.0
    public var snpRate = 1e-3
    public var indelRate = 1.2e-4
    public var errorScale = 1.0
    /// Writes where each pair comes from into its name.
    public var namesTruth = false
    public var sampleName = "SIM1"
    public var seed: UInt64 = 1
    /// Of the FASTQ files.
    public var compressionLevel = CompressionLevel.fast

    public init() {}

    func check() throws {
        func refuse(_ option: String, _ problem: String) throws -> Never {
            throw Failure(.usage, at: "simulate:\(option)", problem, remedy: "give a value in the range named")
        }
        if referencePath == nil {
            if contigs < 1 || contigs > 10_000 { try refuse("contigs", "the number must be 1 to 10,000") }
            if genomeLength < 4_000 * contigs || genomeLength > 10_000_000_000 {
                try refuse("length", "the genome must have 4,000 bases per contig to 10 Gbp in all")
            }
        }
        let lengths = 20...1_000
        guard lengths.contains(readLength1), lengths.contains(readLength2) else {
            try refuse("read length", "reads must have 20 to 1,000 bases")
        }
        guard coverage >= 0, coverage <= 10_000, pairs ?? 0 >= 0 else {
            try refuse("coverage", "the depth must be 0 to 10,000")
        }
        guard insertMean > 0, insertMean < 100_000, insertDeviation >= 0, insertDeviation <= insertMean else {
            try refuse("insert", "the mean must be below 100,000 and the deviation at most the mean")
        }
        guard snpRate >= 0, indelRate >= 0, snpRate + indelRate <= 0.1, errorScale >= 0, errorScale <= 10 else {
            try refuse("rates", "variants must be at most 0.1 per base and errors at most ten times the standard")
        }
        let isName = !sampleName.isEmpty && sampleName.utf8.allSatisfy { $0 > 32 && $0 < 127 }
        guard isName else { try refuse("sample", "the name must be printable, without spaces") }
    }
}

/// What was written.
public struct SimulationSummary: Sendable, Codable, Equatable {
    public var contigs: Int
    public var bases: Int
    public var basesNotN: Int
    public var snps: Int
    public var indels: Int
    public var heterozygous: Int
    public var pairs: Int
    public var readBases: Int
    public var readErrors: Int
}

/// A whole set of simulated data in one directory: reference, reads, truth, confident regions, a gene panel and a list
/// of variants. The same options give the same bytes on every machine.
public struct SimulatedDataSet: Sendable {
    public var options: SimulationOptions

    public init(_ options: SimulationOptions = SimulationOptions()) { self.options = options }

    /// Writes `reference.fa.gz`, `reads_R1.fastq.gz`, `reads_R2.fastq.gz`, `truth.vcf.gz` with `.tbi`, `confident.bed`,
    /// `panel.bed` and `variants.tsv` into `directory`, which is made if need be. Each file appears only when whole.
    ///
    /// - Throws: `Failure` `.usage` for options out of range, `.noInput` and `.data` for a bad reference,
    ///   `.cannotCreate` and `.inputOutput` for the directory.
    public func run(into directory: String) throws -> SimulationSummary {
        try options.check()
        if mkdir(directory, 0o755) != 0 && errno != EEXIST {
            throw Failure(
                .cannotCreate, at: directory, "the directory cannot be made", remedy: "make it, or choose another")
        }
        let genome: ReferenceGenome
        if let path = options.referencePath {
            genome = try FASTAReader.read(path)
        } else {
            genome = GenomeSimulator(
                length: options.genomeLength, repeatContent: options.repeatContent, contigs: options.contigs,
                seed: options.seed
            ).run()
        }
        var sampler = DiploidSampleSimulator(seed: options.seed)
        sampler.snpRate = options.snpRate
        sampler.indelRate = options.indelRate
        let sample = sampler.run(on: genome)
        let side = SideFiles(genome: genome, sample: sample, seed: options.seed)
        try side.writeReference(to: directory + "/reference.fa.gz")
        try side.writeTruth(to: directory + "/truth.vcf.gz", sampleName: options.sampleName)
        try side.writeConfident(to: directory + "/confident.bed")
        try side.writePanel(to: directory + "/panel.bed")
        try side.writeVariantList(to: directory + "/variants.tsv")
        let notN = genome.contigs.reduce(0) { $0 + $1.bases.reduce(0) { $0 + ($1 < 4 ? 1 : 0) } }
        let totals = try writeReads(sample, genome, notN, directory)
        return SimulationSummary(
            contigs: genome.contigs.count, bases: genome.contigs.reduce(0) { $0 + $1.length }, basesNotN: notN,
            snps: sample.variants.count(where: \.isSNP), indels: sample.variants.count { !$0.isSNP },
            heterozygous: sample.variants.count { !$0.isHomozygous }, pairs: totals.pairs, readBases: totals.bases,
            readErrors: totals.errors)
    }

    private func writeReads(
        _ sample: DiploidSample, _ genome: ReferenceGenome, _ notN: Int, _ directory: String
    ) throws -> ReadSimulator.Totals {
        var reads = ReadSimulator(seed: options.seed)
        reads.readLength1 = options.readLength1
        reads.readLength2 = options.readLength2
        reads.insertMean = options.insertMean
        reads.insertDeviation = options.insertDeviation
        reads.errorScale = options.errorScale
        reads.namesTruth = options.namesTruth
        let perPair = Double(options.readLength1 + options.readLength2)
        let pairs = options.pairs ?? Int((options.coverage * Double(notN) / perPair).rounded())
        let first = try PartialFile(path: directory + "/reads_R1.fastq.gz", audience: .everyone)
        let second = try PartialFile(path: directory + "/reads_R2.fastq.gz", audience: .everyone)
        let one = BGZFWriter(level: options.compressionLevel) { try first.write($0) }
        let two = BGZFWriter(level: options.compressionLevel) { try second.write($0) }
        let totals = try reads.run(sample: sample, genome: genome, pairs: pairs) { text1, text2 in
            try one.write(text1)
            try two.write(text2)
        }
        if totals.pairs < pairs {
            throw Failure(
                .data, at: options.referencePath ?? "simulate", "no stretch of the reference is long enough for a read",
                remedy: "give a longer reference, or shorter reads")
        }
        try one.finish()
        try two.finish()
        try first.commit()
        try second.commit()
        return totals
    }
}
