internal import CHTS
public import Compression
internal import Diagnostics
internal import GenomicFormats
internal import Threads

/// Turns pushed VCF text into a BCF2.2 file, and makes its index (.csi).
///
/// Text comes in pieces of any size. Records are parsed by htslib on several threads; the bytes do not depend on their
/// number. Memory holds some text for each thread, and the index. Not for use by two threads at once.
public final class BCFWriter {
    public enum Form: Sendable, Equatable {
        case compressed(CompressionLevel)
        /// Plain bytes without BGZF around them, for pipes (`bcftools view -Ou`).
        case plain
    }

    /// Bytes of text that one thread takes.
    private static let pieceBytes = 1 << 17

    /// Some lines, which one thread turns into records.
    private final class Piece: @unchecked Sendable {
        struct Place {
            var contig: Int
            var start: Int
            var end: Int
            /// Where the record ends in the piece's bytes.
            var byteEnd: Int
        }

        let header: HTSHeader
        let record = HTSRecord()
        let line = HTSBytes()
        let bytes = HTSBytes()
        var range = 0..<0
        var places: [Place] = []
        /// Records that were begun.
        var records = 0

        init(_ header: HTSHeader) { self.header = header }
    }

    private let label: String
    private let threads: Int
    private let form: Form
    private let sink: ByteSink
    private let bgzf: BGZFWriter
    private var index: TabixIndexBuilder?
    private let wantsIndex: Bool
    private let workers: Workers<Void>
    private var pieces: [Piece] = []
    private var pending: [UInt8] = []
    private var plainBytes = 0
    /// Records written.
    public private(set) var recordCount = 0
    /// Bytes of the file.
    public var fileBytes: Int { form == .plain ? plainBytes : bgzf.outputBytes }

    /// - Parameters:
    ///   - label: the name of the output in error messages.
    ///   - makesIndex: records must be in order then; a plain file has none.
    ///   - sink: receives the file's bytes in order.
    public init(
        label: String, form: Form = .compressed(.compact), threads: Int = 1, makesIndex: Bool = true,
        sink: @escaping ByteSink
    ) {
        self.label = label
        self.threads = max(1, threads)
        self.form = form
        self.sink = sink
        wantsIndex = makesIndex && form != .plain
        var level = CompressionLevel.compact
        if case .compressed(let wanted) = form { level = wanted }
        bgzf = BGZFWriter(level: level, threads: threads, sink: sink)
        workers = Workers(threads) {}
    }

    /// Takes the next bytes of a VCF.
    ///
    /// - Throws: `Failure` `.data` for what BCF cannot hold: records whose contig, filters or keys the header does not
    ///   define, records that are malformed or out of order; what the sink throws. Nothing may be written afterwards.
    public func write(_ text: UnsafeRawBufferPointer) throws {
        pending.append(contentsOf: text)
        if pieces.isEmpty {
            guard let end = pending.withUnsafeBytes({ VCFHeader.byteCount(in: $0) }) else { return }
            try begin(end)
        }
        if pending.count >= threads * Self.pieceBytes { try encode() }
    }

    /// Writes what is left, and returns the index file's bytes where one was wanted.
    public func finish() throws -> [UInt8]? {
        if pieces.isEmpty { try begin(pending.count) }
        if !pending.isEmpty && pending.last != 10 { pending.append(10) }
        try encode()
        guard form != .plain else { return nil }
        try bgzf.finish()
        return index?.finish { [bgzf] in bgzf.virtualOffset(ofPlainByte: Int($0)) }
    }

    private func begin(_ end: Int) throws {
        let parsed = try pending.withUnsafeBytes {
            try VCFHeader(parsing: UnsafeRawBufferPointer(rebasing: $0[..<end]), label: label)
        }
        if let line = HTSHeader.lineWithImpossibleNumber(parsed.metaLines) {
            throw Failure(
                .data, at: "\(label):header line \(line)", "IDX is no number from 0 to \(HTSHeader.largestNumber)",
                remedy: "take IDX out of the header, or write VCF")
        }
        if parsed.columnCount == 9 {
            throw Failure(
                .data, at: "\(label):header", "has a FORMAT column without samples, which BCF cannot hold",
                remedy: "take the column out of header and records, or write VCF")
        }
        guard let header = HTSHeader(text: pending[..<end]), let text = header.text(isBCF: true) else {
            throw Failure(
                .data, at: "\(label):header", "lines contradict each other, or name one thing twice",
                remedy: "mend the header, or write VCF")
        }
        pending.removeFirst(end)
        pieces = try (0..<threads).map { _ in
            guard let copy = HTSHeader(copying: header) else {
                throw Failure(.inputOutput, at: label, "no memory for the header", remedy: "use fewer threads (-@)")
            }
            return Piece(copy)
        }
        if wantsIndex {
            let longest = parsed.contigs.compactMap(\.length).max()
            index = TabixIndexBuilder(
                label: label, kind: .bcf(contigs: header.contigCount, longestContig: longest ?? Int(Int32.max)),
                block: { $0 / UInt64(BGZF.blockPayload) })
        }
        var bytes = BCFDecoder.magic
        withUnsafeBytes(of: UInt32(text.count + 1).littleEndian) { bytes.append(contentsOf: $0) }
        try (bytes + text + [0]).withUnsafeBytes { try put($0) }
    }

    /// Writes all whole lines that wait.
    private func encode() throws {
        guard let last = pending.lastIndex(of: 10) else { return }
        let end = last + 1
        var at = 0
        while at < end {
            var used = 0
            while used < pieces.count, at < end {
                // Up to the first line end behind a share of the bytes.
                let least = min(end - 1, at + Self.pieceBytes)
                let stop = pending[least..<end].firstIndex(of: 10).map { $0 + 1 } ?? end
                pieces[used].range = at..<stop
                at = stop
                used += 1
            }
            let failed = pending.withUnsafeBytes { text in
                // Read by all threads while nothing is appended.
                nonisolated(unsafe) let text = text
                return workers.forEach(used) { [pieces] _, number in
                    let piece = pieces[number]
                    try Self.encode(UnsafeRawBufferPointer(rebasing: text[piece.range]), piece)
                }
            }
            for piece in pieces[..<(failed?.piece ?? used)] { try commit(piece) }
            if let failed {
                var problem = failed.error
                if var failure = problem as? Failure {
                    failure.place = "\(label):record \(recordCount + pieces[failed.piece].records)"
                    problem = failure
                }
                throw problem
            }
        }
        pending.removeFirst(end)
    }

    private static func encode(_ text: UnsafeRawBufferPointer, _ piece: Piece) throws {
        piece.bytes.removeAll()
        piece.places.removeAll(keepingCapacity: true)
        piece.records = 0
        var at = 0
        while at < text.count {
            piece.records += 1
            let end = Bytes.find(10, in: text, from: at) ?? text.count
            let record = piece.record.pointer
            let isParsed =
                piece.line.set(UnsafeRawBufferPointer(rebasing: text[at..<end]))
                && vcf_parse(&piece.line.value, piece.header.pointer, record) == 0
            if let failure = failure(isParsed, record.pointee.errcode) { throw failure }
            guard chts_store(record, &piece.bytes.value) == 0 else {
                throw Failure(.inputOutput, at: "", "no memory for a record", remedy: "use fewer threads (-@)")
            }
            piece.places.append(
                .init(
                    contig: Int(record.pointee.rid), start: Int(record.pointee.pos),
                    end: Int(record.pointee.pos + max(1, record.pointee.rlen)), byteEnd: piece.bytes.value.l))
            at = end + 1
        }
    }

    private static func failure(_ isParsed: Bool, _ errors: Int32) -> Failure? {
        if isParsed && errors == 0 { return nil }
        let (problem, remedy) =
            if errors & BCF_ERR_CTG_UNDEF != 0 {
                ("contig is not in the header, which BCF needs", "add a ##contig line, or write VCF (-O z)")
            } else if errors & BCF_ERR_TAG_UNDEF != 0 {
                (
                    "names an INFO key, a FORMAT key or a filter that the header does not define, which BCF needs",
                    "define it (bcftools annotate -h), or write VCF (-O z)"
                )
            } else {
                ("cannot be written as BCF", "correct the record, or write VCF (-O z)")
            }
        return Failure(.data, at: "", problem, remedy: remedy)
    }

    private func commit(_ piece: Piece) throws {
        var start = plainBytes
        for place in piece.places {
            recordCount += 1
            try index?.add(
                contig: place.contig, name: [], position: place.start + 1, end: place.end, startOffset: UInt64(start),
                endOffset: UInt64(plainBytes + place.byteEnd))
            start = plainBytes + place.byteEnd
        }
        try put(piece.bytes.bytes)
    }

    private func put(_ bytes: UnsafeRawBufferPointer) throws {
        plainBytes += bytes.count
        if form == .plain { try sink(bytes) } else { try bgzf.write(bytes) }
    }
}
