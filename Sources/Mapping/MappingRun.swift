import CKernels
import Diagnostics
import Foundation
public import GenomicFormats
import Kernels
import Metering
import Threads

/// What a mapping run counted.
public struct MappingMetrics: Sendable, Codable, Equatable {
    public var reads = 0
    public var mapped = 0
    public var properlyPaired = 0
    public var rescued = 0
    public var duplicates = 0
    /// Further alignments of reads that lie in parts; they are looked for when alignments are to be written.
    public var supplementary = 0
    public var bases = 0
    public var insertSizeMean = 0.0
    public var insertSizeStandardDeviation = 0.0
    /// Thread time of mapping and storing by stage, and what the mapper did.
    public var stages = MappingStages()
    /// Processor time of the mapping threads, which other programs on the machine do not lengthen.
    /// Processor time of mapping and storing, of all workers and of each.
    public var processorNanoseconds = 0
    public var workerNanoseconds: [Int] = []
    public var paths = MappingPaths()
    /// Elapsed seconds of marking duplicates and ordering bins.
    public var duplicateSeconds = 0.0
    public var sealSeconds = 0.0
    /// Bytes of reads in memory after sealing, and of reads that were spilled.
    public var storeBytes = 0
    public var spilledBytes = 0
    public init() {}
}

/// Maps a stream of batches on several threads into a ``ReadStore``.
///
/// One thread calls ``submit(_:)`` with batches in input order, then ``finish()``. The result does not depend on the
/// number of threads or on how reads are cut into batches: the insert-size model comes from the first
/// ``Options/modelPairs`` pairs, each pair is mapped by itself, and the store and the duplicates have a total order.
public final class MappingRun: @unchecked Sendable {
    // `state` guards the queue, the two flags, the count of workers and the first failure; each worker has its own
    // mapper and tallies, which `finish()` reads after the workers have ended. `pending`, `model` and `isStarted`
    // belong to the submitting thread.

    /// How a run uses the machine; results do not depend on it, `modelPairs` apart.
    public struct Options: Sendable {
        public var threads: Int
        /// Pairs from whose insert sizes the model is learned.
        public var modelPairs: Int
        /// Batches that may wait; `submit` blocks when there are more.
        public var queueLength: Int
        /// What the store of reads may take; its number of threads is the run's.
        public var limits = ReadStore.Limits()
        public var keeps = Keeping.mappedReads
        /// The number of each read group's library: templates of different libraries are no duplicates of each other.
        public var libraries = [0]
        /// Receives every mapped batch, on any thread and in any order; what it throws ends the run.
        public var observer: (@Sendable (ReadBatch, MappedBatch) throws -> Void)?

        public init(threads: Int = 1, modelPairs: Int = 10_000, queueLength: Int = 0) {
            precondition(threads > 0 && modelPairs > 0)
            self.threads = threads
            self.modelPairs = modelPairs
            self.queueLength = queueLength > 0 ? queueLength : 2 * threads
        }
    }

    /// What stays of the reads until the end.
    public enum Keeping: Sendable {
        /// Nothing: the observer has seen it all, supplementary alignments included. Duplicates are not marked.
        case nothing
        /// What callers need.
        case mappedReads
        /// All that SAM says of all reads, supplementary alignments included; batches must have names.
        case alignments
    }

    /// What a run leaves: a sealed store, counts, and the insert sizes that pairs were judged by.
    public struct Result: Sendable {
        public let store: ReadStore
        /// When whole alignments were kept.
        public let unmapped: UnmappedReads?
        public let metrics: MappingMetrics
        public let insertSizes: InsertSizeModel
    }

    private struct Tally {
        var metrics = MappingMetrics()
    }

    private let index: ReferenceIndex
    private let options: Options
    private let store: ReadStore
    private let unmapped: UnmappedReads?
    private let state = NSCondition()
    private var queue: [ReadBatch] = []
    private var isClosed = false
    private var isCancelled = false
    private var runningWorkers = 0
    private var failure: (any Error)?
    private var tallies: [Tally]
    private var pending: [ReadBatch] = []
    private var pendingPairs = 0
    private var model = InsertSizeModel.default
    private var isStarted = false

    public init(index: ReferenceIndex, options: Options = Options()) {
        self.index = index
        self.options = options
        var limits = options.limits
        limits.threads = options.threads
        if options.keeps == .alignments {
            // Few reads of a sample map nowhere.
            var share = limits
            share.memory = max(1, limits.memory / 8)
            limits.memory = max(1, limits.memory - share.memory)
            unmapped = UnmappedReads(contigLengths: index.contigLengths, limits: share)
        } else {
            unmapped = nil
        }
        store = ReadStore(contigLengths: index.contigLengths, limits: limits)
        tallies = Array(repeating: Tally(), count: options.threads)
    }

    /// Takes the next batch. Blocks while the workers are behind.
    ///
    /// - Throws: `Failure(.data)` for reads that cannot be mapped (too long, mates missing), of this or an earlier
    /// batch.
    public func submit(_ batch: ReadBatch) throws {
        try PairedMapper.check(batch)
        precondition(options.keeps != .alignments || batch.names != nil, "alignments need the reads' names")
        if isStarted { return try enqueue(batch) }
        pending.append(batch)
        pendingPairs += batch.isPaired ? batch.readCount / 2 : batch.readCount
        if pendingPairs >= options.modelPairs { try start() }
    }

    /// Waits for the workers, marks duplicates and seals the store.
    ///
    /// - Throws: the first failure of any worker, or of spilling what is left.
    public func finish() throws -> Result {
        if !isStarted { try start() }
        state.lock()
        isClosed = true
        state.broadcast()
        while runningWorkers > 0 { state.wait() }
        let problem = isCancelled ? Self.cancelled : failure
        state.unlock()
        if let problem { throw problem }
        var metrics = MappingMetrics()
        for tally in tallies { metrics.add(tally.metrics) }
        metrics.workerNanoseconds = tallies.map(\.metrics.processorNanoseconds)
        metrics.insertSizeMean = model.mean
        metrics.insertSizeStandardDeviation = model.standardDeviation
        let begin = monotonicSeconds()
        let duplicates = try store.markDuplicates(threads: options.threads)
        metrics.duplicates = duplicates.count
        let marked = monotonicSeconds()
        try store.seal(threads: options.threads) { duplicates.contains($0) }
        try unmapped?.seal(threads: options.threads)
        metrics.duplicateSeconds = marked - begin
        metrics.sealSeconds = monotonicSeconds() - marked
        metrics.storeBytes = store.byteCount + (unmapped?.byteCount ?? 0)
        metrics.spilledBytes = store.spilledBytes + (unmapped?.spilledBytes ?? 0)
        return Result(store: store, unmapped: unmapped, metrics: metrics, insertSizes: model)
    }

    /// Stops the workers without a result; batches that wait are dropped. Any thread may call it: a `submit` that
    /// waits, and every later one, throws.
    public func cancel() {
        state.lock()
        queue = []
        isClosed = true
        isCancelled = true
        state.broadcast()
        while runningWorkers > 0 { state.wait() }
        state.unlock()
    }

    private func start() throws {
        isStarted = true
        let observer = PairedMapper(index: index)
        var sizes: [Int] = []
        var left = options.modelPairs
        for batch in pending where left > 0 {
            sizes += try observer.observeInsertSizes(batch, pairs: left)
            left -= batch.isPaired ? batch.readCount / 2 : batch.readCount
        }
        model = InsertSizeModel(insertSizes: sizes)
        state.lock()
        let isCancelled = isCancelled
        if !isCancelled { runningWorkers = options.threads }
        state.unlock()
        if isCancelled { throw Self.cancelled }
        for worker in 0..<options.threads {
            let thread = Thread { [self] in work(worker) }
            thread.stackSize = 4 << 20
            thread.start()
        }
        let waiting = pending
        pending = []
        for batch in waiting { try enqueue(batch) }
    }

    private func enqueue(_ batch: ReadBatch) throws {
        state.lock()
        defer { state.unlock() }
        while queue.count >= options.queueLength && failure == nil && !isCancelled { state.wait() }
        if isCancelled { throw Self.cancelled }
        if let failure { throw failure }
        queue.append(batch)
        state.broadcast()
    }

    private func next() -> ReadBatch? {
        state.lock()
        defer { state.unlock() }
        while queue.isEmpty && !isClosed { state.wait() }
        guard !queue.isEmpty else { return nil }
        let batch = queue.removeFirst()
        state.broadcast()
        return batch
    }

    private static var cancelled: Failure {
        Failure(.transient, at: "mapping", "the job was cancelled", remedy: "start it again")
    }

    private func work(_ worker: Int) {
        // Foundation's `Thread.name` reaches the system only when `start()` has returned already.
        ck_process_name_thread("dsgd-map-\(worker)")
        WorkerThreads.pin(worker: worker)
        let mapper = PairedMapper(
            index: index, insertSizes: model, findsSupplementary: options.keeps != .mappedReads)
        let writers = (mapped: store.addWriter(), unmapped: unmapped?.addWriter())
        var tally = Tally()
        while let batch = next() {
            do {
                let mapped = try mapper.map(batch)
                var begin = monotonicNanoseconds()
                try keep(batch, mapped, writers, &tally)
                tally.metrics.stages.note(\.store, since: &begin)
                try options.observer?(batch, mapped)
            } catch {
                state.lock()
                failure = failure ?? error
                queue = []
                state.unlock()
                break
            }
        }
        tally.metrics.stages.add(mapper.stages)
        tally.metrics.processorNanoseconds = threadNanoseconds()
        tally.metrics.paths.add(mapper.paths)
        state.lock()
        tallies[worker] = tally
        runningWorkers -= 1
        state.broadcast()
        state.unlock()
    }

    /// Counts the batch's reads, stores them and notes their signatures.
    private func keep(
        _ batch: ReadBatch, _ mapped: MappedBatch, _ writers: (mapped: ReadStoreWriter, unmapped: ReadStoreWriter?),
        _ tally: inout Tally
    ) throws {
        tally.metrics.reads += batch.readCount
        tally.metrics.bases += batch.bases.count
        tally.metrics.supplementary += mapped.supplementary.count
        for read in 0..<batch.readCount {
            let placed = mapped.reads[read]
            guard placed.isMapped else { continue }
            tally.metrics.mapped += 1
            if placed.flags.contains(.properPair) { tally.metrics.properlyPaired += 1 }
            if placed.isRescued { tally.metrics.rescued += 1 }
        }
        if options.keeps == .nothing { return }
        try writers.mapped.append(batch, mapped, whole: options.keeps == .alignments)
        if let unmapped, let writer = writers.unmapped { try unmapped.append(batch, mapped, to: writer) }
        let step = batch.isPaired ? 2 : 1
        for read in stride(from: 0, to: batch.readCount, by: step) {
            try TemplateSignature.append(
                batch, mapped, read, library: options.libraries[batch.readGroup], to: writers.mapped)
        }
    }
}

extension MappingMetrics {
    mutating func add(_ other: MappingMetrics) {
        reads += other.reads
        mapped += other.mapped
        properlyPaired += other.properlyPaired
        rescued += other.rescued
        supplementary += other.supplementary
        bases += other.bases
        stages.add(other.stages)
        processorNanoseconds += other.processorNanoseconds
        paths.add(other.paths)
    }
}
