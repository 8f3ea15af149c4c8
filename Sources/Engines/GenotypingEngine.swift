public import Alignments
public import Calling
public import Compression
public import GenomicFormats
public import RunMetrics

/// What an engine is and can do.
public struct EngineCapabilities: Sendable, Codable, Equatable {
    /// Name as the command line and the VCF header print it.
    public var name: String
    /// Longest read accepted, in bases.
    public var maximumReadLength: Int
    /// Engines of one group give the same VCF body to the byte.
    public var bitExactGroup: String

    public init(name: String, maximumReadLength: Int, bitExactGroup: String) {
        self.name = name
        self.maximumReadLength = maximumReadLength
        self.bitExactGroup = bitExactGroup
    }
}

/// One sample's genotyping, FASTQ to VCF.
public struct GenotypingJob: Sendable {
    /// Name of the VCF's sample column.
    public var sample: String
    /// Text for the header's `##dsgdCommand` line; nil leaves the line out.
    public var command: String?
    /// Where variants and blocks are written, by the reference's contig names; nil for everywhere.
    public var regions: RegionSet?
    /// Copies of each place of the genome.
    public var ploidy = PloidyMap()
    /// Whether ``GenotypingResult/vcfGz`` is wanted; empty, with its index, when not.
    public var wantsVariants = true
    /// Whether a gVCF is wanted, which ``GenotypingSession/finish(alignments:gvcf:)`` then writes.
    public var wantsGVCF = false
    /// Sites that are genotyped whatever the reads show; nil for none.
    public var sites: SiteList?
    /// What ``ReadBatch/readGroup`` counts: lanes and libraries of the sample, at least one.
    public var readGroups: [ReadGroup]
    /// The header of the alignments that ``GenotypingSession/finish(alignments:gvcf:)`` is to write; batches then need
    /// names. nil when none are wanted.
    public var alignments: AlignmentHeader?
    /// Whether the result is to have ``GenotypingResult/figures``.
    public var wantsFigures = false

    /// - Parameter readGroups: when left out, one for the whole sample.
    public init(
        sample: String, command: String? = nil, regions: RegionSet? = nil, readGroups: [ReadGroup]? = nil,
        alignments: AlignmentHeader? = nil
    ) {
        self.alignments = alignments
        self.sample = sample
        self.command = command
        self.regions = regions
        self.readGroups = readGroups ?? [ReadGroup(sample: sample)]
    }
}

/// Whether an engine can take jobs; the text says what is wrong with it.
public enum EngineHealth: Sendable, Equatable {
    case ok
    case degraded(String)
    case gone(String)
}

/// Counts and times of one finished job.
public struct GenotypingMetrics: Sendable, Codable, Equatable {
    public var reads = 0
    public var mappedReads = 0
    public var properPairs = 0
    public var duplicates = 0
    public var records = 0
    public var insertSizeMean = 0.0
    public var insertSizeDeviation = 0.0
    /// Bytes of reads that memory had no room for.
    public var spilledBytes = 0
    /// The most memory that the process has had so far, in bytes.
    public var residentBytes = 0
    /// Seconds by part of the engine; names are the engine's own.
    public var seconds: [String: Double] = [:]

    public init() {}
}

/// A BGZF-compressed VCF and its tabix index.
public struct IndexedVCF: Sendable {
    public var vcfGz: [UInt8]
    public var index: [UInt8]

    public init(vcfGz: [UInt8], index: [UInt8]) {
        self.vcfGz = vcfGz
        self.index = index
    }
}

/// What a job leaves: everything in memory, nothing on disk.
public struct GenotypingResult: Sendable {
    /// BGZF-compressed VCF 4.3.
    public var vcfGz: [UInt8]
    /// Its tabix index, BGZF-compressed as `tabix` writes it.
    public var index: [UInt8]
    /// Bytes of the VCF before compression: `size(VCF)` of the paper's formulas.
    public var vcfBytes: Int
    /// The listed sites as ``vcfGz``, and their index, when the job names any.
    public var sites: IndexedVCF?
    /// The index of the gVCF, when the job wanted one.
    public var gvcfIndex: [UInt8]?
    /// The index of the alignments, when the job wanted them.
    public var alignmentIndex: AlignmentIndex?
    public var metrics: GenotypingMetrics
    /// What metrics files say, when the job wanted it.
    public var figures: RunFigures?

    public init(
        vcfGz: [UInt8], index: [UInt8], vcfBytes: Int, alignmentIndex: AlignmentIndex? = nil, metrics: GenotypingMetrics,
        figures: RunFigures? = nil
    ) {
        self.figures = figures
        self.alignmentIndex = alignmentIndex
        self.vcfGz = vcfGz
        self.index = index
        self.vcfBytes = vcfBytes
        self.metrics = metrics
    }
}

/// A device or program that turns reads into genotypes: the place where a card or an appliance plugs in.
public protocol GenotypingEngine: Sendable {
    var capabilities: EngineCapabilities { get }

    /// Makes the engine ready for jobs against `reference`. Idempotent; may take seconds.
    func prepare(_ reference: ReferenceGenome) throws

    /// Starts a job. Throws when the engine is not prepared or not healthy.
    func open(_ job: GenotypingJob) throws -> any GenotypingSession

    func health() -> EngineHealth

    /// Brings a hung engine back; running sessions fail.
    func reset() throws
}

extension GenotypingSession {
    /// As ``finish(alignments:gvcf:)``, for jobs that want neither.
    public func finish() throws -> GenotypingResult { try finish(alignments: nil, gvcf: nil) }
}

/// One job in an engine. Batches come in input order from one thread.
public protocol GenotypingSession: AnyObject {
    /// Hands over one batch. Blocks while the engine is behind.
    func submit(_ batch: ReadBatch) throws

    /// Waits for all batches, calls variants and returns the result. Throws when the reads cannot be genotyped.
    ///
    /// - Parameters:
    ///   - alignments: receives the BAM file that the job wants, in order.
    ///   - gvcf: receives the BGZF-compressed gVCF that the job wants, in order.
    func finish(alignments: ByteSink?, gvcf: ByteSink?) throws -> GenotypingResult

    /// Gives the job up and frees what it held. Safe to call at any time, also after `finish`.
    func cancel()
}
