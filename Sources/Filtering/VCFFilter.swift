public import Compression
import Diagnostics
import GenomicFormats
public import Metering

/// A right applied to VCF: which records, which fields, which header (stages B-1, B-2 and B-3 of the paper).
///
/// docs/FILTER-RULES.md says how every kind of record is decided.
public struct VCFFilter: Sendable {
    public var selection: Selection
    public var overlap: OverlapRule
    public var fields: FieldProjection
    public var header: HeaderPolicy
    /// Refuse input whose records are out of order. Needed for an index, and always so when disclosing.
    public var requiresSortedInput: Bool

    public init(
        selection: Selection, overlap: OverlapRule = .within, fields: FieldProjection = .all,
        header: HeaderPolicy = .keep(commandLine: nil), requiresSortedInput: Bool = true
    ) {
        self.selection = selection
        self.overlap = overlap
        self.fields = fields
        self.header = header
        self.requiresSortedInput = requiresSortedInput
        if discloses { self.requiresSortedInput = true }
    }

    var discloses: Bool {
        if case .disclose = header { true } else { false }
    }

    /// F_VCF with its counts.
    public struct FilteredVCF: Sendable {
        public var bytes: [UInt8]
        public var counts: FilterCounts
    }

    /// F_VCF.gz with its index; `tbi` is nil when order is not required.
    public struct CompressedVCF: Sendable {
        public var bytes: [UInt8]
        public var tbi: [UInt8]?
    }

    /// All that one job gives.
    public struct Output: Sendable {
        public var vcfGz: [UInt8]
        public var tbi: [UInt8]?
        public var counts: FilterCounts
        /// `.decompression`, `.filtering`, `.compression`, with the bytes of the paper's formulas.
        public var measurements: [StageMeasurement]
    }

    // MARK: The three stages

    /// B-1: VCF.gz to VCF, in memory. Plain VCF passes.
    public static func decompress(
        _ vcfGz: UnsafeRawBufferPointer, label: String, maximumOutput: Int? = nil, threads: Int = 1
    ) throws -> [UInt8] {
        if vcfGz.isEmpty {
            throw Failure(.data, at: label, "is empty", remedy: "check that the right file was given")
        }
        return try GzipInflater.inflate(
            vcfGz, label: label, limits: .init(maximumOutput: maximumOutput), threads: threads)
    }

    /// B-2: VCF to F_VCF, in memory.
    ///
    /// - Throws: ``Failure`` `.data` for what ``VCFHeader``, ``VCFRecordScanner`` or the right's contigs refuse.
    public func filter(_ vcf: UnsafeRawBufferPointer, label: String) throws -> FilteredVCF {
        let headerSize = VCFHeader.byteCount(in: vcf) ?? vcf.count
        let input = try VCFHeader(parsing: UnsafeRawBufferPointer(rebasing: vcf[..<headerSize]), label: label)
        let output = try prepare(input, label: label)
        let records = RecordFilter(self, input: input, output: output, label: label)
        var result = output.header.text
        _ = try records.process(UnsafeRawBufferPointer(rebasing: vcf[headerSize...]), isLast: true) {
            result.append(contentsOf: $0)
        }
        return FilteredVCF(bytes: result, counts: records.counts)
    }

    /// B-3: F_VCF to F_VCF.gz and its index, in memory.
    public func compress(
        _ vcf: UnsafeRawBufferPointer, label: String, level: CompressionLevel = .compact, threads: Int = 1
    ) throws -> CompressedVCF {
        let compressed = BGZF.compress(vcf, level: level, threads: threads)
        guard requiresSortedInput else { return CompressedVCF(bytes: compressed.bytes, tbi: nil) }
        let headerSize = VCFHeader.byteCount(in: vcf) ?? vcf.count
        let header = try VCFHeader(parsing: UnsafeRawBufferPointer(rebasing: vcf[..<headerSize]), label: label)
        var scanner = VCFRecordScanner(header: header, label: label)
        var index = TabixIndexBuilder(label: label)
        var at = headerSize
        while at < vcf.count {
            let end = Bytes.find(10, in: vcf, from: at) ?? vcf.count
            let record = try scanner.scan(UnsafeRawBufferPointer(rebasing: vcf[at..<end]))
            try index.add(
                contig: record.contig, name: Array(record.chrom), position: record.position, end: record.end(),
                startOffset: compressed.virtualOffset(ofPlainByte: at),
                endOffset: compressed.virtualOffset(ofPlainByte: min(end + 1, vcf.count)))
            at = end + 1
        }
        return CompressedVCF(bytes: compressed.bytes, tbi: index.finish())
    }

    /// The three stages one after the other, each measured.
    public func run(
        _ vcfGz: UnsafeRawBufferPointer, label: String, level: CompressionLevel = .compact, threads: Int = 1, maximumOutput: Int? = nil
    ) throws -> Output {
        let start = monotonicSeconds()
        let plain = try Self.decompress(vcfGz, label: label, maximumOutput: maximumOutput, threads: threads)
        let decompressed = monotonicSeconds()
        let filtered = try plain.withUnsafeBytes { try filter($0, label: label) }
        let done = monotonicSeconds()
        let result = try filtered.bytes.withUnsafeBytes {
            try compress($0, label: label, level: level, threads: threads)
        }
        let end = monotonicSeconds()
        return Output(
            vcfGz: result.bytes, tbi: result.tbi, counts: filtered.counts,
            measurements: [
                StageMeasurement(
                    stage: .decompression, bytes: vcfGz.count + plain.count, seconds: decompressed - start),
                StageMeasurement(
                    stage: .filtering, bytes: plain.count + filtered.bytes.count, seconds: done - decompressed),
                StageMeasurement(
                    stage: .compression, bytes: filtered.bytes.count + result.bytes.count, seconds: end - done),
            ])
    }

    func prepare(_ input: VCFHeader, label: String) throws -> OutputHeader {
        switch selection {
        case .regions(let set): try set.check(against: input.contigs, label: label)
        case .variants(let list): try list.positions.check(against: input.contigs, label: label)
        case .everything, .identifiers: break
        }
        return try OutputHeader(input, fields: fields, policy: header, label: label)
    }
}
