internal import Metering

/// One measured figure, as every `dsgd bench` prints it.
public struct BenchmarkResult: Codable, Sendable, Equatable {
    /// What was measured, such as `share.split`.
    public var name: String
    /// The kernel variants in use (`portable`, `avx2`, `avx512`), `dsgd` where there are none, or the peer (`openssl`,
    /// `libc`, `bgzip`, `libdeflate`, `isal`, `zlib`, `bcftools`, `tabix`).
    public var variant: String
    public var threads: Int
    /// `cache`, `dram`, `file` or `loopback`; of compression, the text: `fastq` or `vcf`.
    public var place: String
    /// Median of the samples.
    public var value: Double
    public var unit: String
    /// (third quartile - first quartile) / median.
    public var spread: Double

    enum CodingKeys: String, CodingKey {
        case name, variant, threads, value, unit, spread
        case place = "where"
    }

    public init(
        name: String, variant: String, threads: Int, place: String, value: Double, unit: String, spread: Double
    ) {
        self.name = name
        self.variant = variant
        self.threads = threads
        self.place = place
        self.value = value
        self.unit = unit
        self.spread = spread
    }
}

/// The object that `--json` prints.
public struct BenchmarkReport: Codable, Sendable {
    public var machine: String
    public var profile: String
    public var version: String
    /// Digests or descriptions of the inputs.
    public var inputs: [String]
    public var results: [BenchmarkResult]

    public init(machine: String, profile: String, version: String, inputs: [String], results: [BenchmarkResult]) {
        self.machine = machine
        self.profile = profile
        self.version = version
        self.inputs = inputs
        self.results = results
    }
}

/// Repeats a piece of work and takes the median of its rates.
public struct Measure: Sendable {
    /// Samples for a figure.
    public var samples: Int
    /// Least seconds that a sample lasts.
    public var seconds: Double

    public init(samples: Int = 9, seconds: Double = 0.03) {
        precondition(samples > 0)
        self.samples = samples
        self.seconds = seconds
    }

    /// Calls `work`, which handles `bytes` bytes, often enough, and returns GB/s (10^9 bytes) and their spread.
    public func rate(bytes: Int, _ work: () throws -> Void) rethrows -> (value: Double, spread: Double) {
        try work()
        return summary(try (0..<samples).map { _ in try sample(bytes, work) })
    }

    /// The same for several pieces of work that are to be compared: their samples are taken in turn, so that what else
    /// the machine does meets all of them. Their `best` samples compare best where others use the machine as well.
    public func rates(bytes: Int, _ works: [() -> Void]) -> [(value: Double, spread: Double, best: Double)] {
        var taken = [[Double]](repeating: [], count: works.count)
        for work in works { work() }
        for _ in 0..<samples {
            for (index, work) in works.enumerated() { taken[index].append(sample(bytes, work)) }
        }
        return taken.map { rates in
            let (value, spread) = summary(rates)
            return (value, spread, rates.max()!)
        }
    }

    private func sample(_ bytes: Int, _ work: () throws -> Void) rethrows -> Double {
        var repeats = 0
        let start = monotonicSeconds()
        var elapsed = 0.0
        repeat {
            try work()
            repeats += 1
            elapsed = monotonicSeconds() - start
        } while elapsed < seconds
        return Double(bytes) * Double(repeats) / elapsed / 1e9
    }

    private func summary(_ rates: [Double]) -> (value: Double, spread: Double) {
        let rates = rates.sorted()
        let median = rates[rates.count / 2]
        return (median, (rates[rates.count * 3 / 4] - rates[rates.count / 4]) / median)
    }
}
