/// What the caller may be told. The defaults are for one diploid human sample of paired short reads.
public struct CallingOptions: Sendable, Equatable {
    /// Reads below this mapping quality never speak for or against a variant.
    public var minimumMappingQuality: UInt8 = 1
    /// Bases below this quality are not counted in the pileup and do not speak in a column.
    public var minimumBaseQuality: UInt8 = 10
    /// Base qualities above this are lowered to it: an error before sequencing is not seen by the sequencer.
    public var maximumBaseQuality: UInt8 = 40
    /// Prior probability that a base is heterozygous.
    public var snpHeterozygosity: Double = 1e-3
    /// Prior probability of a heterozygous insertion or deletion of one base outside repeats.
    public var indelHeterozygosity: Double = 1e-4
    /// Variants with at least this QUAL pass, those below carry `LowQual`: 3 is a probability of one half, where a
    /// calibrated QUAL gives the best F1.
    public var passQuality: Double = 3
    /// Variants below this QUAL are not written.
    public var emitQuality: Double = 1
    /// Depth above which the reads of a place are sampled, by a hash of the fragment's ordinal.
    public var maximumDepth: Int = 500
    /// The same for the reads of a region that goes through the pair HMM.
    public var maximumRegionDepth: Int = 200
    /// Upper limit on the haplotypes of a region.
    public var maximumHaplotypes: Int = 16
    /// Upper limit on a region's core, in bases.
    public var maximumRegionLength: Int = 300

    public init() {}
}

/// What one run of the caller did, and where the time went. Seconds are summed over threads, except ``wallSeconds``.
public struct CallingMetrics: Sendable, Equatable {
    public var wallSeconds = 0.0
    public var loadSeconds = 0.0
    public var pileupSeconds = 0.0
    public var columnSeconds = 0.0
    public var assemblySeconds = 0.0
    public var likelihoodSeconds = 0.0
    public var regionSeconds = 0.0
    /// Reads read by the units; a read at the border of two units counts twice.
    public var reads = 0
    /// Reads left out because a place was deeper than the cap.
    public var sampledOutReads = 0
    public var columns = 0
    public var regions = 0
    public var assembledRegions = 0
    /// Read-haplotype pairs, and their dynamic-programming cells.
    public var pairs = 0
    public var cells = 0
    public var records = 0
    public var passedRecords = 0

    public init() {}

    mutating func add(_ other: CallingMetrics) {
        loadSeconds += other.loadSeconds
        pileupSeconds += other.pileupSeconds
        columnSeconds += other.columnSeconds
        assemblySeconds += other.assemblySeconds
        likelihoodSeconds += other.likelihoodSeconds
        regionSeconds += other.regionSeconds
        reads += other.reads
        sampledOutReads += other.sampledOutReads
        columns += other.columns
        regions += other.regions
        assembledRegions += other.assembledRegions
        pairs += other.pairs
        cells += other.cells
        records += other.records
        passedRecords += other.passedRecords
    }
}
