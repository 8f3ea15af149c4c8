import Compression
import Diagnostics
import Glibc
import Storage

/// The linear part of a tabix index (.tbi): for each 2^14 bases the first record that touches them.
///
/// Whoever reads by it treats it as a hint: nothing says that it belongs to the file.
public struct TabixIndex: Sendable {
    public struct Contig: Sendable {
        public var name: String
        /// Virtual offsets by window.
        public var windows: [UInt64]
    }

    public private(set) var contigs: [Contig] = []
    /// All offsets of windows, each once, in order: places where records are said to begin.
    public private(set) var places: [UInt64] = []

    /// - Throws: ``Failure`` `.data` when the bytes are no tabix index of VCF.
    public init(parsing compressed: UnsafeRawBufferPointer, label: String) throws {
        let bytes = try GzipInflater.inflate(compressed, label: label, limits: .init(maximumOutput: 1 << 30))
        var at = 0
        let bad = Failure(
            .data, at: label, "is no whole tabix index of a VCF", remedy: "make it again with dsgd filter or tabix -p vcf")
        func number() throws -> Int {
            guard at + 4 <= bytes.count else { throw bad }
            defer { at += 4 }
            return bytes.withUnsafeBytes { Int(Int32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: Int32.self))) }
        }
        func offset() throws -> UInt64 {
            guard at + 8 <= bytes.count else { throw bad }
            defer { at += 8 }
            return bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt64.self)) }
        }
        guard bytes.starts(with: Array("TBI\u{1}".utf8)) else { throw bad }
        at = 4
        let layout = try (0..<8).map { _ in try number() }
        let (count, nameBytes) = (layout[0], layout[7])
        guard layout[1] & 0xffff == 2, count >= 0, nameBytes >= 0, at + nameBytes <= bytes.count else { throw bad }
        let names = bytes[at..<at + nameBytes].split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        at += nameBytes
        guard names.count == count else { throw bad }
        var all: Set<UInt64> = []
        for name in names {
            for _ in 0..<max(0, try number()) {
                _ = try number()
                let chunks = try number()
                guard chunks >= 0, chunks <= (bytes.count - at) / 16 else { throw bad }
                at += 16 * chunks
            }
            let count = try number()
            guard count >= 0, count <= (bytes.count - at) / 8 else { throw bad }
            let windows = try (0..<count).map { _ in try offset() }
            all.formUnion(windows)
            contigs.append(Contig(name: name, windows: windows))
        }
        all.remove(0)
        places = all.sorted()
    }
}
