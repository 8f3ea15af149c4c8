public import Compression
import Diagnostics
import GenomicFormats
import Storage

/// ``VCFFilter`` in bounded memory: pushed VCF (plain, gzip or BGZF) in, BGZF out, index at the end.
///
/// Memory holds one piece of input, the longest line and the index. Records go through the same code as in
/// ``VCFFilter/filter(_:label:)``.
public final class VCFFilterStream {
    /// The longest header or line taken, in bytes.
    public static let maximumLineBytes = 256 << 20

    private let filter: VCFFilter
    private let label: String
    private let level: CompressionLevel
    private let sink: ByteSink
    private let inflater: GzipInflater
    private var carry: [UInt8] = []
    private var records: RecordFilter?
    private var writer: VCFWriter?

    public init(_ filter: VCFFilter, label: String, level: CompressionLevel = .compact, sink: @escaping ByteSink) {
        self.filter = filter
        self.label = label
        self.level = level
        self.sink = sink
        inflater = GzipInflater(label: label)
    }

    public var counts: FilterCounts { records?.counts ?? FilterCounts() }

    /// Takes the next bytes of the file.
    public func feed(_ bytes: UnsafeRawBufferPointer) throws {
        try inflater.feed(bytes) { try take($0) }
    }

    /// Says that the input is over; returns the index, or nil when order is not required.
    public func finish() throws -> [UInt8]? {
        try inflater.finish { try take($0) }
        if inflater.outputBytes == 0 {
            throw Failure(.data, at: label, "is empty", remedy: "check that the right file was given")
        }
        if records == nil { try carry.withUnsafeBytes { try begin($0) } }
        try carry.withUnsafeBytes { bytes in
            let headerSize = headerBytes
            headerBytes = 0
            _ = try process(UnsafeRawBufferPointer(rebasing: bytes[headerSize...]), isLast: true)
        }
        carry = []
        return try writer?.finish()
    }

    /// Bytes at the head of `carry` that were the header.
    private var headerBytes = 0

    private func take(_ bytes: UnsafeRawBufferPointer) throws {
        if carry.isEmpty && records != nil {
            let used = try process(bytes, isLast: false)
            carry.append(contentsOf: bytes[used...])
            return
        }
        carry.append(contentsOf: bytes)
        if carry.count > Self.maximumLineBytes {
            throw Failure(
                .data, at: label, "header or line is longer than 256 MiB", remedy: "check that this is VCF")
        }
        let used = try carry.withUnsafeBytes { carried -> Int in
            var start = 0
            if records == nil {
                guard VCFHeader.byteCount(in: carried) != nil else { return 0 }
                try begin(carried)
                start = headerBytes
                headerBytes = 0
            }
            return start + (try process(UnsafeRawBufferPointer(rebasing: carried[start...]), isLast: false))
        }
        carry.removeSubrange(0..<used)
    }

    private func begin(_ bytes: UnsafeRawBufferPointer) throws {
        headerBytes = VCFHeader.byteCount(in: bytes) ?? bytes.count
        let input = try VCFHeader(parsing: UnsafeRawBufferPointer(rebasing: bytes[..<headerBytes]), label: label)
        let output = try filter.prepare(input, label: label)
        records = RecordFilter(filter, input: input, output: output, label: label)
        writer = try VCFWriter(
            header: output.header, label: label, level: level, makesIndex: filter.requiresSortedInput, sink: sink)
    }

    private func process(_ bytes: UnsafeRawBufferPointer, isLast: Bool) throws -> Int {
        guard let records, let writer else { return 0 }
        return try records.process(bytes, isLast: isLast) { try writer.write(lines: $0) }
    }
}

extension VCFFilter {
    /// Filters a file to `output` and `output.tbi`, in bounded memory; both appear only when whole. `-` is standard
    /// input and standard output, which gets no index.
    @discardableResult
    public func filterFile(_ input: String, to output: String, level: CompressionLevel = .compact) throws -> FilterCounts {
        let file = try PartialFile(path: output, audience: .everyone)
        let stream = VCFFilterStream(self, label: input, level: level) { try file.write($0) }
        try FileReader.forEachPiece(of: input) { try stream.feed($0) }
        let index = try stream.finish()
        let indexFile = try file.isStream ? nil : index.map { bytes in
            let indexFile = try PartialFile(path: output + ".tbi", audience: .everyone)
            try indexFile.write(bytes)
            return indexFile
        }
        try file.commit()
        try indexFile?.commit()
        return stream.counts
    }
}
