import Compression
import Diagnostics
import GenomicFormats
import Storage

/// Reads what a comparison needs from a VCF file: plain, gzip or BGZF, of any size, as a stream.
///
/// A minimal reader on purpose: the evaluation must not share a decoder with what it judges.
public struct VCFTextReader: Sendable {
    /// The sample to read; nil takes the first one.
    public var sample: String?

    public init(sample: String? = nil) { self.sample = sample }

    /// All records of one sample, in file order.
    ///
    /// - Throws: `Failure` `.noInput`, `.inputOutput`, or `.data` with the line number: no header, sample not there,
    ///   too few columns, a position or genotype that is no number.
    public func read(_ path: String) throws -> [VariantRecord] {
        let parser = Parser(path: path, sample: sample)
        let inflater = GzipInflater(label: path)
        try FileReader.forEachPiece(of: path) { chunk in
            try inflater.feed(chunk) { try parser.feed($0) }
        }
        try inflater.finish { try parser.feed($0) }
        return try parser.finish()
    }

    /// All records of one sample in a text.
    public func read(text: String, label: String) throws -> [VariantRecord] {
        let parser = Parser(path: label, sample: sample)
        try Array(text.utf8).withUnsafeBytes { try parser.feed($0) }
        return try parser.finish()
    }
}

private final class Parser {
    let path: String
    let sample: String?
    var records: [VariantRecord] = []
    private var pending: [UInt8] = []
    private var line = 0
    private var sampleColumn: Int?
    private var hasHeader = false

    private static let longestLine = 1 << 28
    private static let tab = UInt8(ascii: "\t")

    init(path: String, sample: String?) {
        self.path = path
        self.sample = sample
    }

    func feed(_ bytes: UnsafeRawBufferPointer) throws {
        var start = 0
        while start < bytes.count {
            var end = start
            while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
            if end == bytes.count || !pending.isEmpty {
                pending += bytes[start..<end]
                guard pending.count <= Self.longestLine else { throw failure("the line is longer than 256 MiB") }
                if end == bytes.count { return }
                try pending.withUnsafeBytes { try take($0) }
                pending.removeAll(keepingCapacity: true)
            } else {
                try take(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            }
            start = end + 1
        }
    }

    func finish() throws -> [VariantRecord] {
        if !pending.isEmpty { try pending.withUnsafeBytes { try take($0) } }
        pending = []
        guard hasHeader else { throw failure("the file has no #CHROM line") }
        return records
    }

    private func failure(_ problem: String) -> Failure {
        Failure(.data, at: "\(path):line \(line)", problem, remedy: "give a VCF file with a header and a sample")
    }

    private func take(_ raw: UnsafeRawBufferPointer) throws {
        line += 1
        var bytes = raw
        if bytes.last == UInt8(ascii: "\r") { bytes = UnsafeRawBufferPointer(rebasing: bytes.dropLast()) }
        guard let first = bytes.first else { return }
        if first == UInt8(ascii: "#") {
            if bytes.count > 1, bytes[1] != UInt8(ascii: "#") { try takeColumns(bytes) }
            return
        }
        guard hasHeader, let sampleColumn else { throw failure("a record comes before the #CHROM line") }
        let fields = bytes.split(separator: Self.tab, maxSplits: sampleColumn + 1, omittingEmptySubsequences: false)
        guard fields.count > sampleColumn else { throw failure("the record has too few columns") }
        guard let position = number(fields[1]), position >= 0 else { throw failure("POS is not a number") }
        let reference = fields[3].map(upper)
        guard !reference.isEmpty, reference.allSatisfy({ isLetter($0) }) else { throw failure("REF is not a sequence") }
        var alternates: [[UInt8]] = []
        if !isDot(fields[4]) {
            alternates = fields[4].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map {
                $0.first == UInt8(ascii: "<") ? Array($0) : $0.map(upper)
            }
            guard alternates.allSatisfy({ !$0.isEmpty }) else { throw failure("an ALT allele is empty") }
        }
        var quality: Double?
        if !isDot(fields[5]) {
            guard let value = Double(String(decoding: fields[5], as: UTF8.self)), value.isFinite else {
                throw failure("QUAL is not a number")
            }
            quality = value
        }
        let keys = fields[8].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        let values = fields[sampleColumn].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        func value(_ key: String) -> Slice<UnsafeRawBufferPointer>? {
            guard let place = keys.firstIndex(where: { $0.elementsEqual(key.utf8) }), place < values.count else {
                return nil
            }
            return values[place]
        }
        var record = VariantRecord(
            contig: String(decoding: fields[0], as: UTF8.self), position: position - 1, reference: "", alternates: [],
            genotype: try value("GT").map { try genotype($0, alternates: alternates.count) } ?? [], quality: quality,
            isPassing: isDot(fields[6]) || fields[6].elementsEqual("PASS".utf8),
            depth: value("DP").flatMap { number($0) } ?? infoDepth(fields[7]), line: line)
        record.reference = reference
        record.alternates = alternates
        // POS 0 is the telomere and holds no base to compare.
        if position > 0 { records.append(record) }
    }

    private func takeColumns(_ bytes: UnsafeRawBufferPointer) throws {
        let names = bytes.split(separator: Self.tab, omittingEmptySubsequences: false)
        guard !hasHeader else { throw failure("a second #CHROM line follows: two files were put together") }
        guard names.count >= 10, names[0].elementsEqual("#CHROM".utf8) else {
            throw failure("the #CHROM line names no sample")
        }
        hasHeader = true
        guard let sample else {
            sampleColumn = 9
            return
        }
        guard let place = names[9...].firstIndex(where: { $0.elementsEqual(sample.utf8) }) else {
            throw failure("the sample asked for is not in the file")
        }
        sampleColumn = place
    }

    private func genotype(_ field: Slice<UnsafeRawBufferPointer>, alternates: Int) throws -> [Int?] {
        var alleles: [Int?] = []
        for part in field.split(
            omittingEmptySubsequences: false, whereSeparator: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "|") })
        {
            if isDot(part) {
                alleles.append(nil)
            } else {
                guard let allele = number(part), allele <= alternates else {
                    throw failure("the genotype names an allele that the record lacks")
                }
                alleles.append(allele)
            }
        }
        return alleles
    }

    private func infoDepth(_ field: Slice<UnsafeRawBufferPointer>) -> Int? {
        for item in field.split(separator: UInt8(ascii: ";")) where item.starts(with: "DP=".utf8) {
            return number(item.dropFirst(3))
        }
        return nil
    }

    /// A non-negative decimal number below 2^31.
    private func number(_ field: Slice<UnsafeRawBufferPointer>) -> Int? {
        guard !field.isEmpty, field.count <= 10 else { return nil }
        var value = 0
        for byte in field {
            guard byte >= 48, byte <= 57 else { return nil }
            value = value * 10 + Int(byte - 48)
        }
        return value <= Int(Int32.max) ? value : nil
    }

    private func isDot(_ field: Slice<UnsafeRawBufferPointer>) -> Bool { field.elementsEqual([UInt8(ascii: ".")]) }

    private func isLetter(_ byte: UInt8) -> Bool { byte >= 65 && byte <= 90 }

    private func upper(_ byte: UInt8) -> UInt8 { byte >= 97 && byte <= 122 ? byte - 32 : byte }
}
