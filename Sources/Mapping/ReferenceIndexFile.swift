import CKernels
import Diagnostics
import Foundation
public import GenomicFormats
import Storage

/// The index as a file. Layout, little endian, 64-bit words: magic, version, seed window, seed extension, reference
/// digest, counts of contigs, plane words, buckets and list words, checksum of the header words before it; then one
/// record per contig (start, length, name length, name padded to whole words); then planes, buckets and lists, each
/// padded to whole words; then the checksum of everything after the header.
extension ReferenceIndex {
    static let fileMagic: UInt64 = 0x3158_4449_4447_5344  // "DSGDIDX1"
    /// Raised whenever seeds, hashes or the layout change.
    static let fileVersion: UInt64 = 2

    /// Writes the index; the file appears under `path` only when it is whole.
    ///
    /// - Throws: `Failure(.cannotCreate)` or `Failure(.inputOutput)`.
    public func save(to path: String) throws {
        let file = try PartialFile(path: path, audience: .everyone)
        var header: [UInt64] = [
            Self.fileMagic, Self.fileVersion, UInt64(shape.window), UInt64(shape.extensionLength), referenceDigest,
            UInt64(contigs.count), UInt64(planes.count), UInt64(buckets.count), UInt64(lists.count),
        ]
        header.append(Self.checksum(header))
        var names: [UInt64] = []
        for contig in contigs {
            let name = Array(contig.name.utf8)
            names += [UInt64(contig.start), UInt64(contig.length), UInt64(name.count)]
            for from in stride(from: 0, to: name.count, by: 8) {
                names.append(name[from..<min(from + 8, name.count)].reversed().reduce(0) { $0 << 8 | UInt64($1) })
            }
        }
        var hash = WordHash()
        try header.withUnsafeBytes { try file.write($0) }
        try names.withUnsafeBytes { try file.write($0) }
        names.withUnsafeBufferPointer { hash.add($0) }
        for section in [words(of: planes), words(of: buckets), words(of: lists)] {
            hash.add(section)
            try file.write(UnsafeRawBufferPointer(section))
        }
        try withUnsafeBytes(of: hash.value) { try file.write($0) }
        try file.commit()
    }

    /// Reads an index and checks that it is whole and, when `genome` is given, that it was built from that reference.
    ///
    /// - Throws: `Failure(.noInput)` when there is no such file, `Failure(.data)` when it is damaged, of another
    ///   version or of another reference.
    public convenience init(contentsOf path: String, matching genome: ReferenceGenome? = nil, threads: Int = 1) throws {
        var reader = IndexReader(file: try PositionedFile(path: path, remedy: IndexReader.remedy))
        let header = try reader.words(10)
        guard header[0] == Self.fileMagic else {
            throw Failure(.data, at: path, "this is not a DSGD index", remedy: "build it with dsgd index")
        }
        guard header[1] == Self.fileVersion else {
            throw Failure(
                .data, at: path, "the index has format version \(header[1]), this program reads \(Self.fileVersion)",
                remedy: "build it again with dsgd index")
        }
        guard Self.checksum(Array(header[..<9])) == header[9] else { throw reader.damaged }
        let shape = try Self.shape(header, reader)
        var hash = WordHash()
        var contigs: [Contig] = []
        for _ in 0..<header[5] { contigs.append(try reader.contig(&hash)) }
        guard !contigs.isEmpty, header[6] < 1 << 40, header[7] > 0, header[7] <= UInt64(UInt32.max),
            header[8] < 1 << 40, Self.planeWords(contigs) == Int(header[6])
        else { throw reader.damaged }
        let planes: LargeBuffer<UInt64> = try reader.section(Int(header[6]), &hash)
        let buckets: LargeBuffer<ck_bucket> = try reader.section(Int(header[7]), &hash)
        let lists: LargeBuffer<UInt32> = try reader.section(Int(header[8]), &hash)
        guard try reader.words(1)[0] == hash.value, reader.left == 0 else { throw reader.damaged }
        if let genome, try Self.digest(of: genome, threads: threads) != header[4] {
            throw Failure(
                .data, at: path, "the index was built from another reference",
                remedy: "give the reference it was built from, or build it again with dsgd index")
        }
        self.init(
            contigs: contigs, shape: shape, referenceDigest: header[4], planes: planes, buckets: buckets, lists: lists)
    }

    /// Reads the index at `path`, or builds it anew there when the file is of an older or newer format.
    ///
    /// - Throws: as ``init(contentsOf:matching:threads:)`` and ``save(to:)``; an index of another reference and a
    ///   damaged one are refused, never replaced.
    public static func load(from path: String, matching genome: ReferenceGenome, threads: Int = 1) throws
        -> ReferenceIndex
    {
        guard try isOfOtherVersion(path) else {
            return try ReferenceIndex(contentsOf: path, matching: genome, threads: threads)
        }
        let index = try ReferenceIndex(genome: genome, threads: threads)
        try index.save(to: path)
        return index
    }

    private static func isOfOtherVersion(_ path: String) throws -> Bool {
        var reader = IndexReader(file: try PositionedFile(path: path, remedy: IndexReader.remedy))
        guard reader.left >= 16 else { return false }
        let words = try reader.words(2)
        return words[0] == fileMagic && words[1] != fileVersion
    }

    private static func shape(_ header: [UInt64], _ reader: IndexReader) throws -> SeedShape {
        guard header[2] % 2 == 1, (3...9).contains(header[2]), header[3] <= 4 else { throw reader.damaged }
        return SeedShape(window: Int(header[2]), extensionLength: Int(header[3]))
    }

    private func words<Element>(of buffer: LargeBuffer<Element>) -> UnsafeBufferPointer<UInt64> {
        // Mapped memory comes in whole pages, so rounding up to a word stays inside it and adds zeroes.
        let start = UnsafeRawPointer(buffer.pointer).assumingMemoryBound(to: UInt64.self)
        return UnsafeBufferPointer(start: start, count: (buffer.byteCount + 7) / 8)
    }

    private static func checksum(_ words: [UInt64]) -> UInt64 {
        var hash = WordHash()
        words.withUnsafeBufferPointer { hash.add($0) }
        return hash.value
    }
}

/// Reads the parts of an index file one after the other.
private struct IndexReader {
    static let remedy = "build it again with dsgd index"

    let file: PositionedFile
    /// Bytes not read yet.
    var left: Int

    init(file: PositionedFile) {
        self.file = file
        left = file.size
    }

    var damaged: Failure {
        Failure(.data, at: file.path, "the index is damaged or cut short", remedy: Self.remedy)
    }

    mutating func fill(_ bytes: UnsafeMutableRawBufferPointer) throws {
        guard bytes.count <= left else { throw damaged }
        try file.read(bytes, at: file.size - left)
        left -= bytes.count
    }

    mutating func words(_ count: Int) throws -> [UInt64] {
        guard count * 8 <= left else { throw damaged }
        var words = [UInt64](repeating: 0, count: count)
        try words.withUnsafeMutableBytes { try fill($0) }
        return words
    }

    mutating func contig(_ hash: inout WordHash) throws -> ReferenceIndex.Contig {
        let fixed = try words(3)
        guard fixed[0] <= UInt64(UInt32.max), fixed[1] <= UInt64(UInt32.max), fixed[2] < 1 << 16 else { throw damaged }
        let nameWords = try words((Int(fixed[2]) + 7) / 8)
        for word in fixed + nameWords { hash.add(word) }
        let bytes = nameWords.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
        return ReferenceIndex.Contig(
            name: String(decoding: bytes.prefix(Int(fixed[2])), as: UTF8.self), length: Int(fixed[1]),
            start: UInt32(fixed[0]))
    }

    mutating func section<Element>(_ count: Int, _ hash: inout WordHash) throws -> LargeBuffer<Element> {
        let bytes = (count * MemoryLayout<Element>.stride + 7) / 8 * 8
        guard bytes <= left else { throw damaged }
        let buffer = LargeBuffer<Element>(count: count)
        try fill(UnsafeMutableRawBufferPointer(start: buffer.pointer, count: bytes))
        let words = UnsafeRawPointer(buffer.pointer).assumingMemoryBound(to: UInt64.self)
        hash.add(UnsafeBufferPointer(start: words, count: bytes / 8))
        return buffer
    }
}
