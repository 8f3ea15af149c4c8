public import Compression
import Diagnostics
import Storage

/// Writes a VCF as BGZF and builds its tabix index in the same pass.
///
/// Records are checked as they pass (columns, contig, POS, order), so that a writer cannot make a file that the
/// project's own reader refuses.
public final class VCFWriter {
    public let header: VCFHeader
    private let bgzf: BGZFWriter
    private var scanner: VCFRecordScanner
    private var index: TabixIndexBuilder?
    private let newline: [UInt8] = [10]
    public var recordCount: Int { scanner.recordCount }
    /// Plain VCF bytes written, and compressed bytes given out.
    public var plainBytes: Int { bgzf.inputBytes }
    public var compressedBytes: Int { bgzf.outputBytes }

    /// - Parameters:
    ///   - makesIndex: without an index, records need not be sorted.
    ///   - sink: receives the compressed file in order.
    public init(
        header: VCFHeader, label: String, level: CompressionLevel = .compact, makesIndex: Bool = true, sink: @escaping ByteSink
    ) throws {
        self.header = header
        bgzf = BGZFWriter(level: level, sink: sink)
        scanner = VCFRecordScanner(header: header, label: label)
        index = makesIndex ? TabixIndexBuilder(label: label) : nil
        try bgzf.write(header.text)
        try bgzf.flushBlock()
    }

    /// Writes one record, without its line end.
    ///
    /// - Throws: ``Failure`` `.data` when the record is malformed or out of order, or what the sink throws.
    public func write(line: UnsafeRawBufferPointer) throws {
        let record = try scanner.scan(line)
        let start = bgzf.virtualOffset
        try bgzf.write(record.line)
        try newline.withUnsafeBytes { try bgzf.write($0) }
        try index?.add(
            contig: record.contig, name: Array(record.chrom), position: record.position, end: record.end(),
            startOffset: start, endOffset: bgzf.virtualOffset)
    }

    /// Writes records that end with line ends.
    public func write(lines: UnsafeRawBufferPointer) throws {
        var at = 0
        while at < lines.count {
            let end = Bytes.find(10, in: lines, from: at) ?? lines.count
            try write(line: UnsafeRawBufferPointer(rebasing: lines[at..<end]))
            at = end + 1
        }
    }

    public func write(line: String) throws {
        var line = line
        try line.withUTF8 { try write(line: UnsafeRawBufferPointer($0)) }
    }

    /// Writes the end marker and returns the index (.tbi), or nil when none is made.
    public func finish() throws -> [UInt8]? {
        try bgzf.finish()
        return index?.finish()
    }
}

/// A ``VCFWriter`` to `path` and `path.tbi`; both appear only when whole.
public final class VCFFileWriter {
    public let writer: VCFWriter
    private let file: PartialFile
    private let indexFile: PartialFile?

    public init(path: String, header: VCFHeader, level: CompressionLevel = .compact, makesIndex: Bool = true) throws {
        let file = try PartialFile(path: path, audience: .everyone)
        self.file = file
        indexFile = makesIndex ? try PartialFile(path: path + ".tbi", audience: .everyone) : nil
        writer = try VCFWriter(header: header, label: path, level: level, makesIndex: makesIndex) {
            try file.write($0)
        }
    }

    /// The VCF appears first, then its index, so that no index is ever older than its file.
    public func commit() throws {
        let index = try writer.finish()
        if let index, let indexFile { try indexFile.write(index) }
        try file.commit()
        try indexFile?.commit()
    }

    /// Removes what was written so far.
    public func abandon() {
        file.abandon()
        indexFile?.abandon()
    }
}
