internal import CHTS
internal import Diagnostics
internal import GenomicFormats
internal import Threads

/// Turns the plain bytes of a BCF2.2 file into VCF text, spelled as bcftools spells it.
///
/// Bytes come in pieces of any size. Records are checked here and written by htslib, on several threads; the text does
/// not depend on their number. Memory holds a few records for each thread. Not for use by two threads at once.
public final class BCFDecoder {
    public typealias Emit = (UnsafeRawBufferPointer) throws -> Void

    /// The first bytes of a BCF2.2 file.
    static let magic = Array("BCF\u{2}\u{2}".utf8)
    private static let headerStart = magic.count + 4
    /// Bytes of records that one thread takes.
    private static let pieceBytes = 1 << 17

    /// Some records, which one thread turns into text.
    private final class Piece: @unchecked Sendable {
        var range = 0..<0
        var firstRecord = 0
        let record = HTSRecord()
        let text = HTSBytes()
    }

    private let label: String
    private let workers: Workers<Void>
    private var pieces: [Piece]
    private var pending: [UInt8] = []
    private var header: HTSHeader?
    private var check: BCFRecordCheck?
    /// Whole records that were turned into text.
    public private(set) var recordCount = 0

    /// - Parameter label: the name of the input in error messages.
    public init(label: String, threads: Int = 1) {
        self.label = label
        workers = Workers(threads) {}
        pieces = (0..<max(1, threads)).map { _ in Piece() }
    }

    /// Whether a file of which these are the first plain bytes is BCF, of whatever version.
    public static func isBCF(_ beginning: some Collection<UInt8>) -> Bool { beginning.starts(with: magic[..<3]) }

    /// Takes the next bytes and gives out the text of the header and of whole records.
    ///
    /// - Throws: ``Failure`` `.data` when the bytes are no BCF2.2, or a record does not agree with the header or itself,
    ///   and what `emit` throws. Nothing may be fed afterwards.
    public func feed(_ bytes: UnsafeRawBufferPointer, emit: Emit) throws {
        pending.append(contentsOf: bytes)
        var at = 0
        if header == nil {
            guard let end = try readHeader(emit) else { return }
            at = end
        }
        while let end = try cut(from: at) {
            try decode(emit)
            at = end
        }
        pending.removeFirst(at)
    }

    /// Says that the input is over.
    ///
    /// - Throws: ``Failure`` `.data` when it stops inside the header or a record.
    public func finish() throws {
        guard header != nil else {
            throw failure("header", "BCF ends inside its header", "the file is not whole: fetch it again")
        }
        guard pending.isEmpty else {
            throw failure(
                "record \(recordCount + 1)", "BCF ends inside a record", "the file is not whole: fetch it again")
        }
    }

    private func failure(
        _ place: String, _ problem: String, _ remedy: String = "the file is damaged: fetch it again"
    ) -> Failure {
        Failure(.data, at: "\(label):\(place)", problem, remedy: remedy)
    }

    private func number(_ at: Int) -> Int {
        pending.withUnsafeBytes { Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt32.self))) }
    }

    /// Where the header ends, once all of it is there.
    private func readHeader(_ emit: Emit) throws -> Int? {
        guard pending.count >= Self.headerStart else { return nil }
        guard pending.starts(with: Self.magic) else {
            throw failure("header", "is no BCF of version 2.2", "convert it to VCF with the program that wrote it")
        }
        let count = number(Self.magic.count)
        guard count <= BCFRecordCheck.largestRecord else {
            throw failure("header", "is longer than 256 MiB")
        }
        let end = Self.headerStart + count
        guard pending.count >= end else { return nil }
        var text = pending[Self.headerStart..<end]
        while text.last == 0 { text.removeLast() }
        // The project's own parser says what is wrong, and in which line.
        let lines = try text.withUnsafeBytes { try VCFHeader(parsing: $0, label: label) }.metaLines
        if let line = HTSHeader.lineWithImpossibleNumber(lines) {
            throw failure("line \(line)", "IDX is no number from 0 to \(HTSHeader.largestNumber)")
        }
        guard let header = HTSHeader(text: text), let text = header.text(isBCF: false) else {
            throw failure("header", "lines contradict each other, or name one thing twice")
        }
        self.header = header
        check = BCFRecordCheck(header)
        try text.withUnsafeBytes { try emit($0) }
        return end
    }

    /// Gives neighbouring whole records from a place on to the pieces; where they end, or nil when there is none.
    private func cut(from start: Int) throws -> Int? {
        var at = start
        var records = recordCount
        for piece in pieces {
            let from = at
            piece.firstRecord = records
            while at - from < Self.pieceBytes, pending.count - at >= BCFRecordCheck.lengthBytes {
                let shared = number(at)
                let whole = BCFRecordCheck.lengthBytes + shared + number(at + 4)
                guard shared >= BCFRecordCheck.fixedBytes, whole <= BCFRecordCheck.largestRecord else {
                    // Records before it may be damaged too, and come first.
                    if at > start { break }
                    throw failure("record \(records + 1)", "length of the record cannot be true")
                }
                guard pending.count - at >= whole else { break }
                at += whole
                records += 1
            }
            piece.range = from..<at
        }
        recordCount = records
        return at > start ? at : nil
    }

    private func decode(_ emit: Emit) throws {
        guard let header, let check else { return }
        let used = pieces.count { !$0.range.isEmpty }
        let failed = pending.withUnsafeBytes { bytes in
            // Read by all threads while nothing is appended.
            nonisolated(unsafe) let bytes = bytes
            return workers.forEach(used) { [pieces, label] _, number in
                let piece = pieces[number]
                try Self.decode(
                    UnsafeRawBufferPointer(rebasing: bytes[piece.range]), piece, header: header, check: check,
                    label: label)
            }
        }
        if let failed { throw failed.error }
        for piece in pieces[..<used] { try emit(piece.text.bytes) }
    }

    private static func decode(
        _ bytes: UnsafeRawBufferPointer, _ piece: Piece, header: HTSHeader, check: BCFRecordCheck, label: String
    ) throws {
        var at = 0
        var record = piece.firstRecord
        func number(_ at: Int) -> Int {
            Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
        }
        piece.text.removeAll()
        while at < bytes.count {
            record += 1
            let middle = at + BCFRecordCheck.lengthBytes + number(at)
            let end = middle + number(at + 4)
            let shared = UnsafeRawBufferPointer(rebasing: bytes[at + BCFRecordCheck.lengthBytes..<middle])
            let individual = UnsafeRawBufferPointer(rebasing: bytes[middle..<end])
            at = end
            var problem = check.problem(shared, individual)
            if problem == nil {
                let rest = shared.baseAddress! + BCFRecordCheck.fixedBytes
                let isWritten =
                    chts_load(
                        piece.record.pointer, shared.baseAddress, rest, shared.count - BCFRecordCheck.fixedBytes,
                        individual.baseAddress, individual.count) == 0
                    && vcf_format(header.pointer, piece.record.pointer, &piece.text.value) == 0
                if !isWritten { problem = "a value is not of the type that its key has" }
            }
            if let problem {
                throw Failure(
                    .data, at: "\(label):record \(record)", problem, remedy: "the file is damaged: fetch it again")
            }
        }
    }
}
