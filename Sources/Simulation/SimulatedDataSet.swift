import Diagnostics
import GenomicFormats
import Glibc

/// What was written.
public struct SimulationSummary: Sendable, Codable, Equatable {
    public var contigs = 0
    public var bases = 0
    public var basesNotN = 0
    public var snps = 0
    public var indels = 0
    public var heterozygous = 0
    public var pairs = 0
    public var readBases = 0
    public var readErrors = 0
}

/// A whole set of simulated data: reference, reads, truth, confident regions, a gene panel and a list of variants, or
/// some of these files. The same options give the same bytes on every machine and for any number of threads.
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
        return try run(writing: SimulationFiles(directory: directory))
    }

    /// Writes the files named. Each appears only when whole.
    ///
    /// - Throws: as ``run(into:)``, and `.usage` for files that do not go together.
    public func run(writing files: SimulationFiles) throws -> SimulationSummary {
        try options.check()
        try files.check(options)
        var summary = SimulationSummary()
        let reads = readSimulator
        if options.isRandom {
            summary.count(
                try reads.writeRandom(
                    pairs: options.pairs ?? 0, to: [files.reads1, files.reads2].compactMap(\.self)))
            return summary
        }
        let genome = try makeGenome()
        let regions = try readRegions(genome)
        summary.contigs = genome.contigs.count
        summary.bases = genome.contigs.reduce(0) { $0 + $1.length }
        summary.basesNotN = genome.runsWithoutN(threads: options.threads).joined().reduce(0) { $0 + $1.count }
        if let path = files.reference { try ReferenceWriter.write(genome, to: path, threads: options.threads) }
        var sampler = DiploidSampleSimulator(seed: options.seed)
        sampler.snpRate = options.snpRate
        sampler.indelRate = options.indelRate
        sampler.threads = options.threads
        let sample = files.needsSample ? sampler.run(on: genome) : DiploidSample(variants: [], haplotypes: [])
        let side = SideFiles(genome: genome, sample: sample, seed: options.seed, threads: options.threads)
        if let path = files.truth { try side.writeTruth(to: path, sampleName: options.sampleName) }
        if let path = files.confident { try side.writeConfident(to: path) }
        if let path = files.panel { try side.writePanel(to: path) }
        if let path = files.variants { try side.writeVariantList(to: path) }
        summary.snps = sample.variants.count(where: \.isSNP)
        summary.indels = sample.variants.count - summary.snps
        summary.heterozygous = sample.variants.count { !$0.isHomozygous }
        if let reads1 = files.reads1, let reads2 = files.reads2 {
            var reads = reads
            reads.regions = regions
            summary.count(
                try reads.write(
                    sample: sample, genome: genome, pairs: options.pairs, coverage: options.coverage,
                    to: [reads1, reads2]))
        }
        return summary
    }

    private func makeGenome() throws -> ReferenceGenome {
        if let path = options.referencePath { return try FASTAReader.read(path) }
        var genome = GenomeSimulator(
            length: options.genomeLength, repeatContent: options.repeatContent, contigs: options.contigs,
            seed: options.seed)
        genome.threads = options.threads
        return genome.run()
    }

    private func readRegions(_ genome: ReferenceGenome) throws -> RegionSet? {
        guard let path = options.regionsPath else { return nil }
        let regions = try BEDReader.read(path)
        try regions.check(
            against: genome.contigs.map { VCFHeader.Contig(name: $0.name, length: $0.length) }, label: path)
        return regions
    }

    private var readSimulator: ReadSimulator {
        var reads = ReadSimulator(seed: options.seed)
        reads.readLength1 = options.readLength1
        reads.readLength2 = options.readLength2
        reads.insertMean = options.insertMean
        reads.insertDeviation = options.insertDeviation
        reads.readsAdapters = options.readsAdapters
        reads.qualityModel = options.qualityModel
        reads.errorRate = options.errorRate
        reads.namesTruth = options.namesTruth
        reads.threads = options.threads
        reads.compressionLevel = options.compressionLevel
        return reads
    }
}

extension SimulationSummary {
    fileprivate mutating func count(_ totals: ReadSimulator.Totals) {
        pairs = totals.pairs
        readBases = totals.bases
        readErrors = totals.errors
    }
}
