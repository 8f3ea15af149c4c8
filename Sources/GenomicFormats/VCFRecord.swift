public import Diagnostics
import Glibc

/// One VCF record as column borders in memory that belongs to somebody else: valid only while that memory is.
public struct VCFRecord {
    /// The line, without its line end.
    public let line: UnsafeRawBufferPointer
    /// The place of the contig in ``VCFRecordScanner/contigNames``.
    public let contig: Int
    /// 1-based, as written.
    public let position: Int
    public let chromEnd: Int
    public let posEnd: Int
    public let idEnd: Int
    public let refEnd: Int
    public let altEnd: Int

    public init(
        line: UnsafeRawBufferPointer, contig: Int, position: Int, chromEnd: Int, posEnd: Int, idEnd: Int, refEnd: Int,
        altEnd: Int
    ) {
        self.line = line
        self.contig = contig
        self.position = position
        self.chromEnd = chromEnd
        self.posEnd = posEnd
        self.idEnd = idEnd
        self.refEnd = refEnd
        self.altEnd = altEnd
    }

    /// The same record with another number for its contig.
    public func with(contig: Int) -> VCFRecord {
        VCFRecord(
            line: line, contig: contig, position: position, chromEnd: chromEnd, posEnd: posEnd, idEnd: idEnd,
            refEnd: refEnd, altEnd: altEnd)
    }

    @inline(__always)
    private func part(_ from: Int, _ to: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: line.baseAddress! + from, count: to - from)
    }

    public var chrom: UnsafeRawBufferPointer { part(0, chromEnd) }
    public var id: UnsafeRawBufferPointer { part(posEnd + 1, idEnd) }
    public var reference: UnsafeRawBufferPointer { part(idEnd + 1, refEnd) }
    /// All alternative alleles with their commas.
    public var alternatives: UnsafeRawBufferPointer { part(refEnd + 1, altEnd) }

    /// Where QUAL, FILTER and INFO end.
    public func tailEnds() -> (qual: Int, filter: Int, info: Int) {
        let qual = Bytes.find(9, in: line, from: altEnd + 1) ?? line.count
        let filter = Bytes.find(9, in: line, from: qual + 1) ?? line.count
        return (qual, filter, Bytes.find(9, in: line, from: filter + 1) ?? line.count)
    }

    public var info: UnsafeRawBufferPointer {
        let ends = tailEnds()
        return ends.filter < line.count ? part(ends.filter + 1, ends.info) : part(line.count, line.count)
    }

    /// The value of an INFO key, or nil when the key is absent (a flag has an empty value).
    public func infoValue(_ key: StaticString) -> UnsafeRawBufferPointer? {
        let info = self.info
        guard let base = info.baseAddress else { return nil }
        let length = key.utf8CodeUnitCount
        var at = 0
        while at + length <= info.count {
            let stop = Bytes.find(UInt8(ascii: ";"), in: info, from: at) ?? info.count
            if stop - at >= length, memcmp(base + at, key.utf8Start, length) == 0 {
                let end = at + length
                if end == stop { return UnsafeRawBufferPointer(start: base + end, count: 0) }
                if info[end] == UInt8(ascii: "=") {
                    return UnsafeRawBufferPointer(start: base + end + 1, count: stop - end - 1)
                }
            }
            at = stop + 1
        }
        return nil
    }

    /// The last reference base of the record, 1-based: INFO/END where it lies beyond POS, else the end of REF.
    public func end() -> Int {
        if let value = infoValue("END"), let base = value.baseAddress,
            let end = Bytes.decimal(base, 0, value.count), end >= position
        {
            return end
        }
        return position + max(1, reference.count) - 1
    }
}

/// Splits VCF lines, checks what every record must keep to, and follows the order of records.
public struct VCFRecordScanner {
    public let label: String
    public private(set) var contigNames: [String]
    private let knowsContigs: Bool
    private let columnCount: Int
    private var contigByName: [String: Int]
    /// In bases; `Int.max` where the header does not say.
    private var contigLengths: [Int]
    private var contigIsPast: [Bool]
    private var lastContig = -1
    private var lastName: [UInt8] = []
    private var lastPosition = 0
    /// False once a record came before its predecessor or its contig in pieces.
    public private(set) var isSorted = true
    public private(set) var recordCount = 0

    public init(header: VCFHeader, label: String) {
        self.label = label
        contigNames = header.contigs.map(\.name)
        knowsContigs = !header.contigs.isEmpty
        columnCount = header.columnCount
        contigByName = Dictionary(uniqueKeysWithValues: contigNames.enumerated().map { ($1, $0) })
        contigIsPast = contigNames.map { _ in false }
        contigLengths = header.contigs.map { $0.length ?? .max }
    }

    public func failure(_ problem: String, _ remedy: String, record: Int? = nil) -> Failure {
        Failure(.data, at: "\(label):record \(record ?? recordCount)", problem, remedy: remedy)
    }

    /// Splits one line (without LF; a trailing CR is taken off) and checks its columns.
    ///
    /// - Throws: ``Failure`` `.data`: wrong number of columns, NUL, unknown contig, POS that is no number from 1 to
    ///   2^31 - 1 or lies beyond the contig's end, REF that is no sequence, empty ALT, QUAL that is no number.
    public mutating func scan(_ rawLine: UnsafeRawBufferPointer) throws -> VCFRecord {
        recordCount += 1
        var line = rawLine
        if line.last == 13 { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
        guard let base = line.baseAddress, !line.isEmpty else {
            throw failure("line is empty", "remove empty lines")
        }
        let (tabs, hasNUL) = Bytes.count(9, in: base, count: line.count)
        if hasNUL { throw failure("holds a NUL byte", "the file is damaged: fetch it again") }
        guard tabs + 1 == columnCount else {
            throw failure(
                "has \(tabs + 1) columns where the header has \(columnCount)", "separate by tabs, one value a column")
        }
        let chromEnd = tab(base, 0)
        let posEnd = tab(base, chromEnd + 1)
        let idEnd = tab(base, posEnd + 1)
        let refEnd = Bytes.find(9, in: line, from: idEnd + 1)!
        let altEnd = Bytes.find(9, in: line, from: refEnd + 1)!
        guard let position = Bytes.decimal(base, chromEnd + 1, posEnd), position >= 1, position <= Int(Int32.max) else {
            throw failure("POS is no number from 1 to 2^31 - 1", "correct or remove the record")
        }
        guard refEnd > idEnd + 1, altEnd > refEnd + 1 else {
            throw failure("REF or ALT is empty", "write '.' for no alternative allele")
        }
        guard Self.isQuality(line, from: altEnd + 1) else {
            throw failure("QUAL is no number", "write '.' where it is not known")
        }
        for at in idEnd + 1..<refEnd where !Self.isLetter(base.load(fromByteOffset: at, as: UInt8.self)) {
            throw failure("REF is no sequence of bases", "correct or remove the record")
        }
        let contig = try contigIndex(base, chromEnd)
        // One beyond the last base is the telomere (VCF 4.3, section 1.6.1).
        guard position - 1 <= contigLengths[contig] else {
            throw failure(
                "POS lies beyond the end of the contig", "check that header and records are of the same genome build")
        }
        if contig == lastContig {
            if position < lastPosition { isSorted = false }
        } else {
            if lastContig >= 0 { contigIsPast[lastContig] = true }
            if contigIsPast[contig] { isSorted = false }
            lastContig = contig
        }
        lastPosition = position
        return VCFRecord(
            line: line, contig: contig, position: position, chromEnd: chromEnd, posEnd: posEnd, idEnd: idEnd,
            refEnd: refEnd, altEnd: altEnd)
    }

    /// Whether a column is `.` or a number (VCF 4.3, section 1.3).
    private static func isQuality(_ line: UnsafeRawBufferPointer, from start: Int) -> Bool {
        var at = start
        func byte() -> UInt8 { at < line.count ? line[at] : 9 }
        func skipSign() { if byte() == UInt8(ascii: "-") || byte() == UInt8(ascii: "+") { at += 1 } }
        func skipDigits() -> Int {
            let first = at
            while (48...57).contains(byte()) { at += 1 }
            return at - first
        }
        if byte() == UInt8(ascii: "."), at + 1 >= line.count || line[at + 1] == 9 { return true }
        skipSign()
        var digits = skipDigits()
        if digits == 0, isLetter(byte()) {
            let word = line[at...].prefix { $0 != 9 }.map { $0 | 32 }
            return ["inf", "infinity", "nan"].contains { word.elementsEqual($0.utf8) }
        }
        if byte() == UInt8(ascii: ".") {
            at += 1
            digits += skipDigits()
        }
        guard digits > 0 else { return false }
        if byte() | 32 == UInt8(ascii: "e") {
            at += 1
            skipSign()
            if skipDigits() == 0 { return false }
        }
        return byte() == 9
    }

    @inline(__always)
    private static func isLetter(_ byte: UInt8) -> Bool { (97...122).contains(byte | 32) }

    @inline(__always)
    private func tab(_ base: UnsafeRawPointer, _ from: Int) -> Int {
        var at = from
        while base.load(fromByteOffset: at, as: UInt8.self) != 9 { at += 1 }
        return at
    }

    private mutating func contigIndex(_ base: UnsafeRawPointer, _ count: Int) throws -> Int {
        if lastContig >= 0, count == lastName.count,
            lastName.withUnsafeBytes({ memcmp($0.baseAddress!, base, count) == 0 })
        {
            return lastContig
        }
        let bytes = UnsafeRawBufferPointer(start: base, count: count)
        let name = String(decoding: bytes, as: UTF8.self)
        lastName = Array(bytes)
        if let known = contigByName[name] { return known }
        if name.isEmpty { throw failure("CHROM is empty", "correct or remove the record") }
        if knowsContigs {
            throw failure(
                "contig is not in the header", "add a ##contig line, or check that the names agree (chr20 is not 20)")
        }
        contigNames.append(name)
        contigIsPast.append(false)
        contigLengths.append(.max)
        contigByName[name] = contigNames.count - 1
        return contigNames.count - 1
    }

    /// Checks that every GT of a record names only alleles that the record has.
    public func checkGenotypes(of record: VCFRecord) throws {
        let line = record.line
        let infoEnd = record.tailEnds().info
        guard infoEnd < line.count else { return }
        // GT is the first FORMAT key wherever it is present (VCF 4.3, section 1.6.2).
        guard infoEnd + 2 < line.count, line[infoEnd + 1] == UInt8(ascii: "G"), line[infoEnd + 2] == UInt8(ascii: "T"),
            infoEnd + 3 == line.count || line[infoEnd + 3] == 9 || line[infoEnd + 3] == UInt8(ascii: ":")
        else { return }
        var alleles = 1
        if !(record.alternatives.count == 1 && record.alternatives[0] == UInt8(ascii: ".")) {
            alleles = 2
            for byte in record.alternatives where byte == UInt8(ascii: ",") { alleles += 1 }
        }
        var at = Bytes.find(9, in: line, from: infoEnd + 1) ?? line.count
        while at < line.count {
            at += 1
            var value = -1
            scan: while at < line.count {
                let byte = line[at]
                switch byte {
                case 48...57: value = min(1 << 20, max(0, value) * 10 + Int(byte) - 48)
                case UInt8(ascii: "/"), UInt8(ascii: "|"):
                    if value >= alleles { try refuseAllele() }
                    value = -1
                case UInt8(ascii: "."): break
                case UInt8(ascii: ":"), 9: break scan
                default: throw failure("GT holds a character that is no allele", "correct or remove the record")
                }
                at += 1
            }
            if value >= alleles { try refuseAllele() }
            if at < line.count && line[at] != 9 { at = Bytes.find(9, in: line, from: at) ?? line.count }
        }
    }

    private func refuseAllele() throws {
        throw failure("GT names an allele that the record does not have", "correct or remove the record")
    }
}
