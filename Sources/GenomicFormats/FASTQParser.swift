internal import CKernels
internal import Diagnostics

/// Strict FASTQ of four lines a record, pushed in pieces of any size.
///
/// LF and CRLF line ends, a last line without line end and empty lines at the very end are accepted. Bases may be lower
/// case or IUPAC codes; checks on letters and quality values are made by ``ReadBatcher`` while it converts them.
public final class FASTQParser {
    /// The longest read taken, in bases.
    public static let maximumReadLength = 500
    /// The longest name line taken, in bytes.
    public static let maximumNameLength = 8_192
    /// Bytes that are parsed at a time, far more than a record has: a block stays in a core's own cache.
    private static let bytesAtATime = 1 << 18
    /// Line ends that are looked for at a time.
    private static let endsAtATime = 16_384

    public typealias Emit = (FASTQBlock) throws -> Void

    public let label: String
    public private(set) var recordCount = 0
    /// Bytes taken in since the last block went out.
    private var byteCount = 0
    /// What has come and was not parsed.
    private var text: FASTQBlock.Text
    private var textCount = 0
    private var sawBlankLine = false
    private let pool = FASTQBlock.Pool(capacity: bytesAtATime)
    private let ends = UnsafeMutablePointer<UInt32>.allocate(capacity: endsAtATime)

    public init(label: String) {
        self.label = label
        text = FASTQBlock.Text(from: pool)
    }

    deinit { ends.deallocate() }

    /// Takes the next bytes and gives out records that they complete, when there are enough for a block.
    ///
    /// - Throws: ``Failure`` `.data` with the record's number; the records before it have gone out then.
    public func feed(_ bytes: UnsafeRawBufferPointer, _ emit: Emit) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = min(rest.count, pool.capacity - textCount)
            UnsafeMutableRawPointer(text.bytes + textCount).copyMemory(from: rest.baseAddress!, byteCount: count)
            textCount += count
            byteCount += count
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            if textCount == pool.capacity { try parse(isLast: false, emit) }
        }
    }

    /// Says that the input is over.
    public func finish(_ emit: Emit) throws {
        try parse(isLast: false, emit)
        while textCount > 0, [10, 13].contains(text.bytes[textCount - 1]) { textCount -= 1 }
        if textCount > 0 {
            // A last line may lack its end.
            text.bytes[textCount] = 10
            textCount += 1
            try parse(isLast: true, emit)
            guard textCount == 0 else { throw failure("record is not whole", "the file is truncated: fetch it again") }
        }
        if recordCount == 0 {
            throw Failure(.data, at: label, "holds no reads", remedy: "check that the right file was given")
        }
        if byteCount > 0 {
            // Line ends behind the last block.
            try emit(FASTQBlock(text: FASTQBlock.Text(from: pool), records: [], byteCount: byteCount))
            byteCount = 0
        }
    }

    private func failure(_ problem: String, _ remedy: String) -> Failure {
        Failure(.data, at: "\(label):record \(recordCount + 1)", problem, remedy: remedy)
    }

    /// Parses the whole records of the text; the rest of it waits in other memory.
    private func parse(isLast: Bool, _ emit: Emit) throws {
        let whole = text
        var records: [FASTQBlock.Record] = []
        records.reserveCapacity(textCount / 256 + 4)
        var used = textCount
        var problem: (any Error)?
        do { used = try parse(whole.bytes, textCount, isLast: isLast, &records) } catch { problem = error }
        text = FASTQBlock.Text(from: pool)
        textCount -= used
        text.bytes.update(from: whole.bytes + used, count: textCount)
        if !records.isEmpty {
            let taken = byteCount
            byteCount = 0
            try emit(FASTQBlock(text: whole, records: records, byteCount: taken))
        }
        if let problem { throw problem }
    }

    /// Appends whole records and returns how many bytes they took.
    private func parse(
        _ text: UnsafePointer<UInt8>, _ count: Int, isLast: Bool, _ records: inout [FASTQBlock.Record]
    ) throws -> Int {
        var start = 0
        while start < count {
            let from = start
            var scanned = 0
            let found = ck_line_ends(text + from, count - from, ends, Self.endsAtATime, &scanned)
            var line = 0
            while start < count {
                let first = text[start]
                if first == 10 || first == 13 {
                    // Blank lines are harmless only where nothing follows them.
                    sawBlankLine = true
                    if first == 10 { line += 1 }
                    start += 1
                    if start - from >= scanned { break }
                    continue
                }
                if found - line < 4 && scanned < count - from { break }
                let lines = Lines(
                    text: text, from: from, start: start, end: count, ends: ends + line, count: found - line)
                guard let record = try self.record(lines, isLast: isLast) else { return start }
                records.append(record)
                recordCount += 1
                start = from + Int(ends[line + 3]) + 1
                line += 4
            }
        }
        return start
    }

    /// Where the lines of one record end, as far as they are there.
    private struct Lines {
        let text: UnsafePointer<UInt8>
        let from: Int
        let start: Int
        let end: Int
        let ends: UnsafePointer<UInt32>
        let count: Int

        /// The offset of the line feed of that line, or nil when it has not come.
        @inline(__always)
        subscript(line: Int) -> Int? { line < count ? from + Int(ends[line]) : nil }
    }

    /// The record, or nil when it is not whole; what is wrong with it is told as early as it can be seen.
    @inline(__always)
    private func record(_ lines: Lines, isLast: Bool) throws -> FASTQBlock.Record? {
        let (text, start, end) = (lines.text, lines.start, lines.end)
        if text[start] != UInt8(ascii: "@") || sawBlankLine {
            throw failure(
                "record does not begin with '@'", "give FASTQ of four lines a record (FASTA and SAM are not accepted)")
        }
        let nameEnd = lines[0] ?? end
        if nameEnd - start > Self.maximumNameLength {
            throw failure("name line is longer than \(Self.maximumNameLength) bytes", "check that this is FASTQ")
        }
        guard lines.count > 0 else { return nil }
        guard let sequenceEnd = lines[1] else {
            // One byte of grace: the carriage return of a line end whose line feed has not come yet.
            try checkRead(end - nameEnd - 2)
            return nil
        }
        let count = length(text, nameEnd + 1, sequenceEnd)
        try checkRead(count)
        let plusEnd = lines[2] ?? end
        if plusEnd - sequenceEnd > Self.maximumNameLength {
            throw failure("separator line is longer than \(Self.maximumNameLength) bytes", "check that this is FASTQ")
        }
        guard lines.count > 2 else { return nil }
        if text[sequenceEnd + 1] != UInt8(ascii: "+") {
            throw failure(
                "third line does not begin with '+'", "give FASTQ of four lines a record; unwrap long sequences")
        }
        guard let qualityEnd = lines[3] else {
            if isLast || end - plusEnd > count + 3 { throw lengthsDiffer }
            return nil
        }
        if length(text, plusEnd + 1, qualityEnd) != count { throw lengthsDiffer }
        let name = text + start + 1
        let nameCount = Self.nameLength(name, length(text, start + 1, nameEnd))
        if nameCount == 0 { throw failure("read has no name", "every read needs a name after '@'") }
        return FASTQBlock.Record(
            name: name, sequence: text + nameEnd + 1, quality: text + plusEnd + 1, nameCount: Int32(nameCount),
            count: Int32(count))
    }

    private var lengthsDiffer: Failure {
        failure("sequence and quality differ in length", "the file is damaged or truncated: make or fetch it again")
    }

    @inline(__always)
    private func checkRead(_ count: Int) throws {
        if count > Self.maximumReadLength {
            throw failure(
                "read is longer than \(Self.maximumReadLength) bases", "give short reads; long reads are not supported")
        }
    }

    /// The length of a line without the carriage return.
    @inline(__always)
    private func length(_ text: UnsafePointer<UInt8>, _ from: Int, _ end: Int) -> Int {
        end > from && text[end - 1] == 13 ? end - 1 - from : end - from
    }

    /// The part of a name line that both mates share: up to the first blank (Casava puts the mate's number behind it),
    /// and without `/1` or `/2`.
    @inline(__always)
    private static func nameLength(_ line: UnsafePointer<UInt8>, _ count: Int) -> Int {
        let word = ck_word_length(line, count)
        guard word > 2, line[word - 2] == UInt8(ascii: "/") else { return word }
        return line[word - 1] == UInt8(ascii: "1") || line[word - 1] == UInt8(ascii: "2") ? word - 2 : word
    }
}
