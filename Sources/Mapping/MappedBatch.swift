/// Where one read went. Coordinates are zero-based; a read that maps nowhere has `contig` -1.
public struct MappedRead: Sendable, Hashable {
    public var contig: Int32 = -1
    public var position: Int32 = -1
    /// One past the rightmost reference base covered.
    public var end: Int32 = -1
    public var mateContig: Int32 = -1
    public var matePosition: Int32 = -1
    public var templateLength: Int32 = 0
    /// Match 1, mismatch -4, gap -(6 + length); clipped bases cost nothing here (SAM's AS).
    public var score: Int32 = 0
    /// The best score elsewhere (SAM's XS), 0 if none was seen.
    public var secondScore: Int32 = 0
    /// Range of the CIGAR in ``MappedBatch/cigars``.
    public var cigarStart: Int32 = 0
    public var cigarCount: UInt16 = 0
    public var editDistance: UInt16 = 0
    public var flags: AlignmentFlags = []
    public var mappingQuality: UInt8 = 0
    /// Found by looking near the mate, not by its own seeds.
    public var isRescued = false
    /// Where the read's further parts stand in ``MappedBatch/supplementary``.
    public var supplementaryStart: Int32 = 0
    public var supplementaryCount: UInt8 = 0

    public init() {}

    public var isMapped: Bool { contig >= 0 }
}

/// The reads of one ``GenomicFormats/ReadBatch``, in the same order.
public struct MappedBatch: Sendable, Equatable {
    public var reads: [MappedRead] = []
    /// CIGAR operations of all reads, in BAM's packing.
    public var cigars: [UInt32] = []
    /// Further alignments of reads that lie in parts, by read, best first; when they are looked for.
    public var supplementary: [MappedRead] = []
    public init() {}

    /// How many alignments a read has, a read that maps nowhere counted as one.
    @inline(__always)
    func partCount(of read: Int) -> Int { 1 + Int(reads[read].supplementaryCount) }

    /// The primary alignment of a read, which is part 0, or a supplementary one.
    @inline(__always)
    func part(_ part: Int, of read: Int) -> MappedRead {
        part == 0 ? reads[read] : supplementary[Int(reads[read].supplementaryStart) + part - 1]
    }
}

/// Insert sizes (5' end to 5' end, mates facing each other) of the library.
public struct InsertSizeModel: Sendable, Hashable {
    public var mean: Double
    public var standardDeviation: Double
    /// Insert sizes that count as proper.
    public var properRange: ClosedRange<Int>
    /// Pairs that the model was learned from; 0 for the default.
    public var observations: Int

    public init(mean: Double, standardDeviation: Double, properRange: ClosedRange<Int>, observations: Int) {
        self.mean = mean
        self.standardDeviation = standardDeviation
        self.properRange = properRange
        self.observations = observations
    }

    /// Wide enough for common short-read libraries; used until, or unless, enough pairs were seen.
    public static let `default` = InsertSizeModel(
        mean: 350, standardDeviation: 150, properRange: 1...1000, observations: 0)

    /// Fewest observations to learn from.
    public static let fewest = 32

    /// Learns from insert sizes of confidently mapped pairs; outliers by quartiles are left out, as in bwa mem.
    public init(insertSizes: [Int]) {
        guard insertSizes.count >= Self.fewest else {
            self = .default
            return
        }
        let sorted = insertSizes.sorted()
        func quantile(_ share: Double) -> Int { sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))] }
        let (low, high) = (quantile(0.25), quantile(0.75))
        let spread = max(1, high - low)
        let kept = sorted.filter { $0 >= low - 2 * spread && $0 <= high + 2 * spread }
        let mean = Double(kept.reduce(0, +)) / Double(kept.count)
        let variance = kept.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(kept.count)
        let deviation = max(1, variance.squareRoot())
        let lowest = min(low - 3 * spread, Int(mean - 4 * deviation))
        let highest = max(high + 3 * spread, Int(mean + 4 * deviation))
        self.init(
            mean: mean, standardDeviation: deviation, properRange: max(1, lowest)...max(1, min(highest, 5000)),
            observations: insertSizes.count)
    }

    /// Logarithmic score of an insert size, in units of the alignment score (bwa mem's formula).
    func score(_ insertSize: Int) -> Double {
        let deviations = (Double(insertSize) - mean) / standardDeviation
        return 0.721 * Self.logTwoTails(abs(deviations))
    }

    /// log(2 * erfc(x / sqrt 2)) from a table in steps of 1/64, so that all machines agree.
    private static func logTwoTails(_ deviations: Double) -> Double {
        logTable[min(logTable.count - 1, Int(deviations * 64))]
    }

    private static let logTable: [Double] = (0..<1024).map { step in
        // Numerical Recipes' erfc approximation; the logarithm is rounded to 1e-6.
        let x = Double(step) / 64 / 2.0.squareRoot()
        let t = 1 / (1 + 0.5 * x)
        let coefficients = [
            -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587,
            -0.82215223, 0.17087277,
        ]
        let polynomial = coefficients.reversed().reduce(0) { $0 * t + $1 }
        let logarithm = 0.6931471805599453 + logarithmOfFraction(t) - x * x + polynomial
        return (logarithm * 1e6).rounded() / 1e6
    }

    /// ln(t) for 0 < t <= 1 by the series of atanh.
    private static func logarithmOfFraction(_ t: Double) -> Double {
        var value = t
        var halvings = 0.0
        while value < 0.5 {
            value *= 2
            halvings += 1
        }
        let z = (value - 1) / (value + 1)
        var term = z
        var sum = 0.0
        for k in 0..<40 {
            sum += term / Double(2 * k + 1)
            term *= z * z
        }
        return 2 * sum - halvings * 0.6931471805599453
    }
}
