internal import Metering

/// One measured figure, as every `dsgd bench` prints it.
public struct BenchmarkResult: Codable, Sendable, Equatable {
    /// What was measured, such as `share.split`.
    public var name: String
    /// The kernel variants in use (`portable`, `avx2`, `avx512`), or the peer (`openssl`, `libc`).
    public var variant: String
    public var threads: Int
    /// `cache`, `dram`, `file` or `loopback`.
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
        var rates: [Double] = []
        for _ in 0..<samples {
            var repeats = 0
            let start = monotonicSeconds()
            var elapsed = 0.0
            repeat {
                try work()
                repeats += 1
                elapsed = monotonicSeconds() - start
            } while elapsed < seconds
            rates.append(Double(bytes) * Double(repeats) / elapsed / 1e9)
        }
        rates.sort()
        let median = rates[samples / 2]
        return (median, (rates[samples * 3 / 4] - rates[samples / 4]) / median)
    }
}
