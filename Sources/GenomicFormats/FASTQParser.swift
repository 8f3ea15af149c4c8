import Diagnostics
import Glibc

/// One FASTQ record, as pointers into the parser's memory: valid only inside the call that receives it.
public struct FASTQRecord {
    /// The name line without '@', up to the first blank, and without a trailing `/1` or `/2`.
    public let name: UnsafeRawBufferPointer
    public let sequence: UnsafeRawBufferPointer
    public let quality: UnsafeRawBufferPointer
}

/// Strict FASTQ of four lines a record, pushed in pieces of any size.
///
/// LF and CRLF line ends, a last line without line end and empty lines at the very end are accepted. Bases may be lower
/// case or IUPAC codes; checks on letters and quality values are made by ``ReadBatcher`` while it converts them.
public final class FASTQParser {
    /// The longest read taken, in bases.
    public static let maximumReadLength = 500
    /// The longest name line taken, in bytes.
    public static let maximumNameLength = 8_192

    public let label: String
    public private(set) var recordCount = 0
    /// Plain FASTQ bytes taken in.
    public private(set) var byteCount = 0
    private var carry: [UInt8] = []
    private var sawBlankLine = false

    public init(label: String) { self.label = label }

    /// Takes the next bytes and gives out the records that they complete.
    public func feed(_ bytes: UnsafeRawBufferPointer, _ body: (FASTQRecord) throws -> Void) throws {
        byteCount += bytes.count
        if carry.isEmpty {
            let used = try parse(bytes, isLast: false, body)
            carry.append(contentsOf: bytes[used...])
        } else {
            carry.append(contentsOf: bytes)
            let used = try carry.withUnsafeBytes { try parse($0, isLast: false, body) }
            carry.removeSubrange(0..<used)
        }
    }

    /// Says that the input is over.
    public func finish(_ body: (FASTQRecord) throws -> Void) throws {
        while let last = carry.last, last == 10 || last == 13 {
            carry.removeLast()
        }
        if !carry.isEmpty {
            carry.append(10)
            let used = try carry.withUnsafeBytes { try parse($0, isLast: true, body) }
            if used < carry.count {
                throw failure("record is not whole", "the file is truncated: fetch it again")
            }
            carry = []
        }
        if recordCount == 0 {
            throw Failure(.data, at: label, "holds no reads", remedy: "check that the right file was given")
        }
    }

    func failure(_ problem: String, _ remedy: String, record: Int? = nil) -> Failure {
        Failure(.data, at: "\(label):record \(record ?? recordCount + 1)", problem, remedy: remedy)
    }

    /// Parses whole records and returns how many bytes they took.
    private func parse(
        _ bytes: UnsafeRawBufferPointer, isLast: Bool, _ body: (FASTQRecord) throws -> Void
    ) throws -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let end = bytes.count
        var start = 0
        while start < end {
            let first = base.load(fromByteOffset: start, as: UInt8.self)
            if first == 10 || first == 13 {
                // Blank lines are harmless only where nothing follows them.
                sawBlankLine = true
                start += 1
                continue
            }
            if first != UInt8(ascii: "@") || sawBlankLine {
                throw failure(
                    "record does not begin with '@'",
                    "give FASTQ of four lines a record (FASTA and SAM are not accepted)")
            }
            guard let nameEnd = lineEnd(base, start, end) else {
                try checkLength(end - start, Self.maximumNameLength, "name line")
                break
            }
            try checkLength(nameEnd - start, Self.maximumNameLength, "name line")
            guard let sequenceEnd = lineEnd(base, nameEnd + 1, end) else {
                // One byte of grace: the carriage return of a line end whose line feed has not come yet.
                try checkRead(end - nameEnd - 2)
                break
            }
            let sequence = trimmed(base, nameEnd + 1, sequenceEnd)
            try checkRead(sequence.count)
            guard let plusEnd = lineEnd(base, sequenceEnd + 1, end) else {
                try checkLength(end - sequenceEnd, Self.maximumNameLength, "separator line")
                break
            }
            if base.load(fromByteOffset: sequenceEnd + 1, as: UInt8.self) != UInt8(ascii: "+") {
                throw failure(
                    "third line does not begin with '+'", "give FASTQ of four lines a record; unwrap long sequences")
            }
            guard let qualityEnd = lineEnd(base, plusEnd + 1, end) else {
                if isLast || end - plusEnd > sequence.count + 3 { try refuseQuality() }
                break
            }
            let quality = trimmed(base, plusEnd + 1, qualityEnd)
            if quality.count != sequence.count { try refuseQuality() }
            let name = Self.name(trimmed(base, start + 1, nameEnd))
            if name.isEmpty { throw failure("read has no name", "every read needs a name after '@'") }
            try body(FASTQRecord(name: name, sequence: sequence, quality: quality))
            recordCount += 1
            start = qualityEnd + 1
        }
        return start
    }

    private func refuseQuality() throws {
        throw failure(
            "sequence and quality differ in length", "the file is damaged or truncated: make or fetch it again")
    }

    private func checkLength(_ count: Int, _ limit: Int, _ what: String) throws {
        if count > limit {
            throw failure("\(what) is longer than \(limit) bytes", "check that this is FASTQ")
        }
    }

    private func checkRead(_ count: Int) throws {
        if count > Self.maximumReadLength {
            throw failure(
                "read is longer than \(Self.maximumReadLength) bases", "give short reads; long reads are not supported")
        }
    }

    private func lineEnd(_ base: UnsafeRawPointer, _ from: Int, _ end: Int) -> Int? {
        guard from < end, let found = memchr(base + from, 10, end - from) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private func trimmed(_ base: UnsafeRawPointer, _ from: Int, _ end: Int) -> UnsafeRawBufferPointer {
        var end = end
        if end > from && base.load(fromByteOffset: end - 1, as: UInt8.self) == 13 { end -= 1 }
        return UnsafeRawBufferPointer(start: base + from, count: end - from)
    }

    /// The part of a name line that both mates share: up to the first blank (Casava puts the mate's number behind it),
    /// and without `/1` or `/2`.
    static func name(_ line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var count = 0
        while count < line.count && line[count] != 32 && line[count] != 9 { count += 1 }
        if count > 2 && line[count - 2] == UInt8(ascii: "/")
            && (line[count - 1] == UInt8(ascii: "1") || line[count - 1] == UInt8(ascii: "2"))
        {
            count -= 2
        }
        return UnsafeRawBufferPointer(rebasing: line[0..<count])
    }
}
