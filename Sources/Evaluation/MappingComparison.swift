import Compression
import Diagnostics
import GenomicFormats
import Storage

/// Compares alignments (SAM text, plain or gzip) with the true places that simulated reads carry in their names
/// (docs/FORMATS.md), as a stream.
///
/// A minimal reader on purpose: the evaluation must not share a decoder with what it judges.
public final class MappingComparison {
    /// How far from the true place a correct read may start.
    public static let tolerance = 60

    private let label: String
    private let isForeign: Bool
    private var report = MappingReport()
    private var mapped = [Int](repeating: 0, count: 256)
    private var wrong = [Int](repeating: 0, count: 256)
    private var pending: [UInt8] = []
    private var line = 0

    private static let longestLine = 1 << 28

    /// - Parameter isForeign: the reads come from another genome, so that every placed one is wrong; their names are
    ///   not looked at.
    public init(label: String, isForeign: Bool = false) {
        self.label = label
        self.isForeign = isForeign
    }

    /// Judges the alignments of a file, or of standard input under the name `-`.
    ///
    /// - Throws: `Failure` `.noInput`, `.inputOutput`, or `.data` with the line: not SAM, no truth in the name.
    public static func run(_ path: String, isForeign: Bool = false) throws -> MappingReport {
        let comparison = MappingComparison(label: path, isForeign: isForeign)
        let inflater = GzipInflater(label: path)
        try FileReader.forEachPiece(of: path) { chunk in
            try inflater.feed(chunk) { try comparison.feed($0) }
        }
        try inflater.finish { try comparison.feed($0) }
        return try comparison.finish()
    }

    /// Takes the next piece of the text, of any size.
    public func feed(_ bytes: UnsafeRawBufferPointer) throws {
        var start = 0
        while start < bytes.count {
            let end = Bytes.find(10, in: bytes, from: start)
            let part = UnsafeRawBufferPointer(rebasing: bytes[start..<(end ?? bytes.count)])
            if end == nil || !pending.isEmpty {
                pending.append(contentsOf: part)
                guard pending.count <= Self.longestLine else { throw failure("the line is longer than 256 MiB") }
                guard end != nil else { return }
                try pending.withUnsafeBytes { try take($0) }
                pending.removeAll(keepingCapacity: true)
            } else {
                try take(part)
            }
            start = (end ?? bytes.count) + 1
        }
    }

    /// The counts of all that was taken.
    public func finish() throws -> MappingReport {
        if !pending.isEmpty { try pending.withUnsafeBytes { try take($0) } }
        pending = []
        guard report.reads > 0 else { throw failure("holds no primary alignment") }
        report.qualities = (0..<256).reversed().compactMap { quality in
            mapped[quality] > 0 ? .init(quality: quality, mapped: mapped[quality], wrong: wrong[quality]) : nil
        }
        return report
    }

    private func failure(_ problem: String, remedy: String = "give SAM text, as mappers write it") -> Failure {
        Failure(.data, at: "\(label):line \(line)", problem, remedy: remedy)
    }

    // MARK: Records

    private func take(_ record: UnsafeRawBufferPointer) throws {
        line += 1
        guard let first = record.first, first != UInt8(ascii: "@") else { return }
        if line == 1, record.starts(with: "BAM\u{1}".utf8) || record.starts(with: "CRAM".utf8) {
            throw failure("is BAM or CRAM", remedy: "give SAM: samtools view -h FILE | dsgd evaluate mapping -")
        }
        guard let base = record.baseAddress, let nameEnd = Bytes.find(9, in: record, from: 0),
            let flagEnd = Bytes.find(9, in: record, from: nameEnd + 1),
            let contigEnd = Bytes.find(9, in: record, from: flagEnd + 1),
            let positionEnd = Bytes.find(9, in: record, from: contigEnd + 1),
            let qualityEnd = Bytes.find(9, in: record, from: positionEnd + 1),
            let cigarEnd = Bytes.find(9, in: record, from: qualityEnd + 1)
        else { throw failure("the record has too few columns") }
        guard let flags = Bytes.decimal(base, nameEnd + 1, flagEnd), flags <= 0xFFFF,
            let position = Bytes.decimal(base, contigEnd + 1, positionEnd),
            let quality = Bytes.decimal(base, positionEnd + 1, qualityEnd), quality <= 255
        else { throw failure("FLAG, POS or MAPQ is not a number in its range") }
        // Secondary and supplementary records.
        guard flags & 0x900 == 0 else {
            report.passedOver += 1
            return
        }
        report.reads += 1
        let origin = isForeign ? nil : try origin(UnsafeRawBufferPointer(rebasing: record[..<nameEnd]), flags: flags)
        if origin == nil { report.foreign += 1 }
        guard flags & 4 == 0 else { return }
        report.mapped += 1
        if origin == nil { report.foreignMapped += 1 }
        var isCorrect = false
        if let origin, origin.isReverse == (flags & 16 != 0), origin.contig.count == contigEnd - flagEnd - 1,
            origin.contig.elementsEqual(record[flagEnd + 1..<contigEnd])
        {
            let clip = clippedBases(record, qualityEnd + 1, cigarEnd)
            // What is clipped is part of the read as a rule; an adapter lies outside of its true place.
            isCorrect =
                abs(position - origin.position) <= Self.tolerance
                || abs(position - clip - origin.position) <= Self.tolerance
        }
        count(quality: quality, isCorrect: isCorrect)
    }

    private func count(quality: Int, isCorrect: Bool) {
        mapped[quality] += 1
        guard isCorrect else {
            wrong[quality] += 1
            // 255 stands for a quality that is not known.
            if quality >= 20, quality < 255 { report.wrongAt20 += 1 }
            return
        }
        report.correct += 1
        if quality >= 20, quality < 255 { report.correctAt20 += 1 }
        if quality >= 60, quality < 255 { report.correctAt60 += 1 }
    }

    /// How many bases the CIGAR clips before the first that is aligned.
    private func clippedBases(_ record: UnsafeRawBufferPointer, _ start: Int, _ end: Int) -> Int {
        var clipped = 0
        var length = 0
        for place in start..<end {
            let byte = record[place]
            if byte >= 48, byte <= 57 {
                guard length < 1 << 30 else { return clipped }
                length = length * 10 + Int(byte - 48)
            } else if byte == UInt8(ascii: "S") || byte == UInt8(ascii: "H") {
                clipped += length
                length = 0
            } else {
                return clipped
            }
        }
        return clipped
    }

    // MARK: Names

    private struct Origin {
        var contig: UnsafeRawBufferPointer
        var isReverse: Bool
        /// 1-based, of the leftmost base.
        var position: Int
    }

    /// The true place of the mate that the flags speak of, or nil for a read that comes from nowhere. Unpaired reads
    /// count as first mates.
    private func origin(_ name: UnsafeRawBufferPointer, flags: Int) throws -> Origin? {
        guard let mark = Bytes.find(UInt8(ascii: "#"), in: name, from: 0) else { throw noTruth }
        var rest = UnsafeRawBufferPointer(rebasing: name[(mark + 1)...])
        if rest.count > 2, rest[rest.count - 2] == UInt8(ascii: "/") {
            rest = UnsafeRawBufferPointer(rebasing: rest.dropLast(2))
        }
        if rest.count == 1, rest[0] == UInt8(ascii: "*") { return nil }
        let second = try takePlace(&rest)
        let first = try takePlace(&rest)
        let isSecond = flags & 0x81 == 0x81
        guard rest.count > 2, rest[rest.count - 2] == UInt8(ascii: "_"),
            rest[rest.count - 1] == UInt8(ascii: "1") || rest[rest.count - 1] == UInt8(ascii: "2")
        else { throw noTruth }
        let place = isSecond ? second : first
        return Origin(
            contig: UnsafeRawBufferPointer(rebasing: rest.dropLast(2)), isReverse: place.isReverse,
            position: place.position)
    }

    /// Takes `_+123` or `_-123` from the end of the name.
    @inline(__always)
    private func takePlace(_ rest: inout UnsafeRawBufferPointer) throws -> (isReverse: Bool, position: Int) {
        var at = rest.count
        var position = 0
        var weight = 1
        while at > 0, weight <= 1_000_000_000_000, case let digit = rest[at - 1] &- 48, digit <= 9 {
            position += weight * Int(digit)
            weight *= 10
            at -= 1
        }
        guard at >= 2, at < rest.count, rest[at - 2] == UInt8(ascii: "_"),
            rest[at - 1] == UInt8(ascii: "+") || rest[at - 1] == UInt8(ascii: "-")
        else { throw noTruth }
        let isReverse = rest[at - 1] == UInt8(ascii: "-")
        rest = UnsafeRawBufferPointer(rebasing: rest[..<(at - 2)])
        return (isReverse, position)
    }

    private var noTruth: Failure {
        failure(
            "the read's name does not say where it comes from",
            remedy: "map reads of dsgd simulate --truth-in-names, or give --foreign if they come from another genome")
    }
}
