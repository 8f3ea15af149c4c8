public import BenchmarkSupport
public import GenomicFormats
internal import Kernels
public import Mapping
internal import Metering

/// Time of mapping by stage, as the shipped path measures itself: the same reads through ``Mapping/MappingRun`` several
/// times at each number of threads.
public struct MappingBenchmark {
    /// Reads in memory, and what it took to bring them there.
    public struct Reads {
        public var batches: [ReadBatch] = []
        public var count = 0
        public var fastqBytes = 0
        public var seconds = 0.0

        /// Reads at most `limit` reads of `files` (parsing, and inflating where they are compressed).
        ///
        /// - Throws: as ``GenomicFormats/ReadFiles/forEachBatch(_:)``.
        public init(of files: ReadFiles, limit: Int) throws {
            let started = monotonicSeconds()
            do {
                let counts = try files.forEachBatch { batch in
                    batches.append(batch)
                    count += batch.readCount
                    if count >= limit { throw Enough() }
                }
                fastqBytes = counts.fastqBytes
            } catch is Enough {
                // Two bytes a base, the line with '+', four line ends and a name of usual length.
                fastqBytes = batches.reduce(0) { $0 + 2 * $1.bases.count + 37 * $1.readCount }
            }
            seconds = monotonicSeconds() - started
        }

        private struct Enough: Error {}
    }

    private let index: ReferenceIndex
    private let reads: Reads
    private let samples: Int

    /// - Parameter samples: runs at each number of threads; the one with the least processor time is reported.
    public init(index: ReferenceIndex, reads: Reads, samples: Int = 3) {
        precondition(samples > 0 && reads.count > 0)
        self.index = index
        self.reads = reads
        self.samples = samples
    }

    /// Measures at one thread and at `threads` threads; hands out each figure when it is known.
    ///
    /// - Throws: as ``Mapping/MappingRun``.
    public func run(threads: Int, _ report: (BenchmarkResult) -> Void) throws -> [BenchmarkResult] {
        var results: [BenchmarkResult] = []
        func add(
            _ name: String, _ value: Double, _ unit: String, threads: Int = 1, spread: Double = 0,
            place: String = "dram"
        ) {
            let result = BenchmarkResult(
                name: name, variant: CPU.cap.name, threads: threads, place: place, value: value, unit: unit,
                spread: spread)
            results.append(result)
            report(result)
        }
        let count = Double(reads.count)
        let parse = reads.seconds * 1e9 / count
        add("map.parse", parse, "ns/read", place: "file")
        for threads in threads > 1 ? [1, threads] : [1] {
            var runs: [(seconds: Double, metrics: MappingMetrics)] = []
            for _ in 0..<samples { runs.append(try sample(threads: threads)) }
            runs.sort { $0.metrics.processorNanoseconds < $1.metrics.processorNanoseconds }
            let (seconds, metrics) = runs[0]
            let least = Double(metrics.processorNanoseconds)
            let spread = (Double(runs[samples - 1].metrics.processorNanoseconds) - least) / least
            let stages = metrics.stages
            for (name, nanoseconds) in [
                ("pack", stages.pack), ("seed", stages.seed), ("lookup", stages.lookup),
                ("candidates", stages.candidates), ("evaluate", stages.evaluate), ("rescue", stages.rescue),
                ("lost", stages.lost), ("pair", stages.pair), ("store", stages.store), ("total", stages.total),
            ] { add("map.\(name)", Double(nanoseconds) / count, "ns/read", threads: threads, spread: spread) }
            add(
                "map.processor", Double(metrics.processorNanoseconds) / count, "ns/read", threads: threads,
                spread: spread)
            add("map.duplicates", metrics.duplicateSeconds * 1e9 / count, "ns/read", threads: threads, spread: spread)
            add("map.seal", metrics.sealSeconds * 1e9 / count, "ns/read", threads: threads, spread: spread)
            add("map.rate", count / seconds, "reads/s", threads: threads, spread: spread)
            add("map.rate", Double(reads.fastqBytes) * 8e-6 / seconds, "Mbit/s", threads: threads, spread: spread)
            if let most = metrics.workerNanoseconds.max(), let least = metrics.workerNanoseconds.min(), threads > 1 {
                // The busiest worker's processor time over the idlest one's.
                add("map.balance", Double(most) / Double(max(1, least)), "ratio", threads: threads, spread: spread)
            }
            guard threads == 1 else { continue }
            let paths = metrics.paths
            for (name, value) in [
                ("mapped", metrics.mapped), ("proper", metrics.properlyPaired), ("rescued", metrics.rescued),
                ("seeds", paths.seeds), ("diagonals", paths.diagonals), ("gap-searches", paths.gapSearches),
                ("banded", paths.bandedAlignments), ("rescue-scans", paths.rescueScans), ("near-seeds", paths.nearSeeds),
            ] { add("map.\(name)", Double(value) / count, "per read") }
        }
        add("map.index", Double(index.byteCount) / 1_048_576, "MiB")
        add("map.resident", Double(peakResidentBytes()) / 1_048_576, "MiB")
        return results
    }

    private func sample(threads: Int) throws -> (seconds: Double, metrics: MappingMetrics) {
        let started = monotonicSeconds()
        let run = MappingRun(index: index, options: MappingRun.Options(threads: threads))
        for batch in reads.batches { try run.submit(batch) }
        let result = try run.finish()
        return (monotonicSeconds() - started, result.metrics)
    }
}
