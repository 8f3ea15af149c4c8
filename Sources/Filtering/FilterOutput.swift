public import Compression
import GenomicFormats
public import Metering

/// How the filter's result is written.
public struct FilterOutput: Sendable {
    public enum Format: String, Sendable, CaseIterable {
        case vcf, vcfGz
        /// BCF2.2 in BGZF, and without it.
        case bcf, bcfPlain

        public var isBCF: Bool { self == .bcf || self == .bcfPlain }
    }

    public var format: Format
    public var level: CompressionLevel
    /// Threads that inflate, filter and deflate. The bytes do not depend on it.
    public var threads: Int
    /// Write an index, where the format and the filter's demand for order allow one.
    public var makesIndex: Bool
    /// Lengthen VCF.gz with empty blocks to a multiple of so many bytes, so that its size does not tell how many records
    /// it has; 1 for no padding.
    public var lengthMultiple: Int

    public init(
        format: Format = .vcfGz, level: CompressionLevel = .compact, threads: Int = 1, makesIndex: Bool = true,
        lengthMultiple: Int = 1
    ) {
        self.format = format
        self.level = level
        self.threads = threads
        self.makesIndex = makesIndex
        self.lengthMultiple = lengthMultiple
    }

    /// Tabix indexes end at base 2^29.
    func indexKind(longestContig: Int) -> TabixIndexBuilder.Kind {
        longestContig > BinningScheme.standard.limit ? .csi(longestContig: longestContig) : .tbi
    }
}

/// What one pass of the filter did.
public struct FilterReport: Sendable {
    public var counts: FilterCounts
    /// The index file's bytes, and its suffix: `.tbi`, or `.csi` where contigs are longer than 2^29 bases.
    public var index: [UInt8]?
    public var indexSuffix: String
    /// Plain bytes of blocks that were passed as they were.
    public var passedBytes: Int
    /// Whether blocks were skipped by an index; their records are not counted.
    public var skipped: Bool
    /// `.decompression`, `.filtering`, `.compression`: bytes of the paper's formulas, of what was read; the time of each
    /// is its share of processor time in the time of all three, which run side by side.
    public var measurements: [StageMeasurement]
}
