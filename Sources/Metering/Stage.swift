import Glibc

/// The stages of the paper's Figure 4, in the order in which data passes through them.
///
/// The paper calls them A, B-1, B-2, B-3 and C. Holders are called A, B and C too, so code uses these names and only
/// ``label`` prints the letters.
public enum Stage: String, CaseIterable, Codable, Sendable {
    /// Not in the paper's list of throughputs, but inside its total: two shares to FASTQ.gz.
    case restore
    /// FASTQ to VCF.gz.
    case genotyping
    /// VCF.gz to VCF.
    case decompression
    /// VCF to F_VCF.
    case filtering
    /// F_VCF to F_VCF.gz.
    case compression
    /// F_VCF.gz to the user.
    case delivery

    /// The paper's name of the stage's throughput; "restore" has none.
    public var label: String {
        switch self {
        case .restore: "restore"
        case .genotyping: "A"
        case .decompression: "B-1"
        case .filtering: "B-2"
        case .compression: "B-3"
        case .delivery: "C"
        }
    }
}

/// What one stage of one job moved, and how long it took.
public struct StageMeasurement: Codable, Sendable, Equatable {
    public var stage: Stage
    /// The bytes that the paper's formula counts for this stage: input plus output, or only the output for delivery.
    public var bytes: Int
    public var seconds: Double

    public init(stage: Stage, bytes: Int, seconds: Double) {
        self.stage = stage
        self.bytes = bytes
        self.seconds = seconds
    }

    /// Throughput in Mbit/s, 1 Mbit = 10^6 bit. Zero when no time was measured.
    public var megabitsPerSecond: Double {
        seconds > 0 ? Double(bytes) * 8 / 1e6 / seconds : 0
    }
}

/// A steady clock in seconds since the machine started, sleep included, for stages and rates. Never wall-clock time.
public func monotonicSeconds() -> Double {
    // `ContinuousClock` is this clock too, but its 128-bit arithmetic takes longer than asking the kernel.
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
