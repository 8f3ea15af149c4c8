internal import Alignments
internal import Calling
internal import Compression
internal import Diagnostics
internal import Foundation
public import GenomicFormats
public import Hardware
package import Mapping
internal import Metering
internal import RunMetrics

/// The engine in this process: maps on all its threads while reads arrive, calls variants when they have ended.
public final class CPUEngine: GenotypingEngine, @unchecked Sendable {
    /// At least this share of 100 reads or more must map, or the reads are not of this reference.
    public static let leastMappedFraction = 0.1

    public let capabilities = EngineCapabilities(name: "cpu", maximumReadLength: 500, bitExactGroup: "cpu-1")
    private let profile: HardwareProfile
    private let threads: Int
    private let memory: Int
    /// Guards `prepared`.
    private let lock = NSLock()
    private var prepared: (genome: ReferenceGenome, index: ReferenceIndex)?

    /// Bytes of memory for reads, however little the process is to take.
    static let leastReadMemory = 16 << 20
    /// Bytes that batches in flight and calling take on each thread, and the program by itself.
    private static let threadMemory = 32 << 20
    private static let programMemory = 512 << 20

    /// - Parameters:
    ///   - threads: worker threads; 0 for the profile's number.
    ///   - memory: bytes that the process is to stay under, as far as reference, index and one bin of reads for each
    ///     thread allow; 0 for the profile's number. Reads beyond it are spilled. The result does not depend on it.
    public init(profile: HardwareProfile, threads: Int = 0, memory: Int = 0) {
        self.profile = profile
        self.memory = memory
        self.threads = threads > 0 ? threads : profile.threads
    }

    public func prepare(_ reference: ReferenceGenome) throws {
        let index = try ReferenceIndex(genome: reference, threads: threads)
        lock.withLock { prepared = (reference, index) }
    }

    /// As ``prepare(_:)``, with an index that was built before. Refused when it was made from another genome; made anew
    /// when it is of another format version.
    public func prepare(_ reference: ReferenceGenome, index path: String) throws {
        let index = try ReferenceIndex.load(from: path, matching: reference, threads: threads)
        lock.withLock { prepared = (reference, index) }
    }

    public func open(_ job: GenotypingJob) throws -> any GenotypingSession {
        guard let prepared = lock.withLock({ prepared }) else {
            throw Failure(
                .configuration, at: "engine cpu", "no reference is prepared", remedy: "prepare one before a job is opened")
        }
        var options = MappingRun.Options(threads: threads, queueLength: profile.uses.queuedBatches)
        options.limits = Self.readLimits(
            profile, threads: threads, memory: memory, genome: prepared.genome, index: prepared.index)
        options.libraries = ReadGroup.libraries(of: job.readGroups)
        if job.alignments != nil { options.keeps = .alignments }
        let counter =
            job.wantsFigures ? RunCounter(reference: prepared.genome, readGroups: job.readGroups.map(\.id)) : nil
        if let counter { options.observer = { batch, _ in counter.count(batch) } }
        return CPUSession(
            job: job, genome: prepared.genome, index: prepared.index, options: options, counter: counter)
    }

    /// What a store of reads may take beside reference and index.
    ///
    /// - Parameter memory: bytes that the process is to stay under; 0 for the profile's number.
    package static func readLimits(
        _ profile: HardwareProfile, threads: Int, memory: Int, genome: ReferenceGenome, index: ReferenceIndex
    ) -> ReadStore.Limits {
        let fixed =
            index.byteCount + genome.contigs.reduce(0) { $0 + $1.length } + programMemory + threads * threadMemory
        return ReadStore.Limits(
            memory: max(leastReadMemory, (memory > 0 ? memory : profile.memory) - fixed),
            spillDirectory: profile.uses.spillDirectory)
    }

    public func health() -> EngineHealth { .ok }

    public func reset() throws {}
}

final class CPUSession: GenotypingSession {
    private let job: GenotypingJob
    private let genome: ReferenceGenome
    private let run: MappingRun
    private let threads: Int
    /// When the job wants figures.
    private let counter: RunCounter?
    private let started = monotonicSeconds()

    init(
        job: GenotypingJob, genome: ReferenceGenome, index: ReferenceIndex, options: MappingRun.Options,
        counter: RunCounter?
    ) {
        self.job = job
        self.counter = counter
        self.genome = genome
        threads = options.threads
        run = MappingRun(index: index, options: options)
    }

    func submit(_ batch: ReadBatch) throws { try run.submit(batch) }

    func finish(alignments: ByteSink?, gvcf: ByteSink?) throws -> GenotypingResult {
        precondition((job.alignments == nil) == (alignments == nil), "alignments are written when the job wants them")
        precondition(job.wantsGVCF == (gvcf != nil), "a gVCF is written when the job wants one")
        let mapped = try run.finish()
        let mapping = monotonicSeconds() - started
        let counts = mapped.metrics
        guard counts.reads < 100 || Double(counts.mapped) >= Double(counts.reads) * CPUEngine.leastMappedFraction else {
            throw Failure(
                .data, at: "sample \(job.sample)",
                "only \(counts.mapped) of \(counts.reads) reads map to the reference",
                remedy: "check that reads and reference are of the same species and build")
        }
        let written = monotonicSeconds()
        var alignmentIndex: AlignmentIndex?
        if let wanted = job.alignments, let alignments {
            alignmentIndex = try BAMWriter(header: wanted, genome: genome, threads: threads)
                .write(mapped, sink: alignments)
        }
        let writing = monotonicSeconds() - written
        let counting = monotonicSeconds()
        try counter?.count(mapped.store, threads: threads)
        let counted = monotonicSeconds() - counting
        let files = try CallFiles(job: job, genome: genome, gvcf: gvcf)
        let caller = VariantCaller(reference: genome, options: CallingOptions())
        let calling = try caller.call(store: mapped.store, threads: threads, request: files.request) {
            if $0 == .variants { $1.withUnsafeBytes { counter?.count(line: $0) } }
            try files.write($0, $1)
        }
        try files.finish()
        var metrics = GenotypingMetrics()
        metrics.reads = counts.reads
        metrics.mappedReads = counts.mapped
        metrics.properPairs = counts.properlyPaired
        metrics.duplicates = counts.duplicates
        metrics.records = calling.records
        metrics.insertSizeMean = counts.insertSizeMean
        metrics.insertSizeDeviation = counts.insertSizeStandardDeviation
        metrics.spilledBytes = counts.spilledBytes
        metrics.residentBytes = peakResidentBytes()
        metrics.seconds = [
            "mapping": mapping, "duplicates": counts.duplicateSeconds, "sorting": counts.sealSeconds,
            "calling": calling.wallSeconds,
        ]
        if alignmentIndex != nil { metrics.seconds["alignments"] = writing }
        if counter != nil { metrics.seconds["metrics"] = counted }
        var result = GenotypingResult(
            vcfGz: files.bytes(.variants), index: files.index(.variants), vcfBytes: files.plainBytes,
            alignmentIndex: alignmentIndex, metrics: metrics, figures: counter?.figures)
        if job.wantsGVCF { result.gvcfIndex = files.index(.gvcf) }
        if job.sites != nil { result.sites = IndexedVCF(vcfGz: files.bytes(.sites), index: files.index(.sites)) }
        return result
    }

    func cancel() { run.cancel() }
}
