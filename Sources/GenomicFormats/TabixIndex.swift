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
        /// Its windows in ``TabixIndex/places``.
        public var windows: Range<Int>
    }

    public private(set) var contigs: [Contig] = []
    /// Virtual offsets of all windows of all contigs, in the order of the file. Windows without records have the place
    /// of a neighbour.
    public private(set) var places: [UInt64] = []

    /// - Throws: ``Failure`` `.data` when the bytes are no tabix index of VCF, or its places are not in order.
    public init(parsing compressed: UnsafeRawBufferPointer, label: String, threads: Int = 1) throws {
        let bytes = try GzipInflater.inflate(
            compressed, label: label, limits: .init(maximumOutput: 1 << 30), threads: threads)
        let bad = Failure(
            .data, at: label, "is no whole tabix index of a VCF", remedy: "make it again with dsgd filter or tabix -p vcf")
        try bytes.withUnsafeBytes { bytes in
            var at = 0
            func number() throws -> Int {
                guard at + 4 <= bytes.count else { throw bad }
                defer { at += 4 }
                return Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int32.self)))
            }
            guard bytes.starts(with: Array("TBI\u{1}".utf8)) else { throw bad }
            at = 4
            let layout = try (0..<8).map { _ in try number() }
            let (count, nameBytes) = (layout[0], layout[7])
            guard layout[1] & 0xffff == 2, count >= 0, nameBytes >= 0, at + nameBytes <= bytes.count else { throw bad }
            let names = bytes[at..<at + nameBytes].split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            at += nameBytes
            guard names.count == count else { throw bad }
            places.reserveCapacity((bytes.count - at) / 8)
            for name in names {
                for _ in 0..<max(0, try number()) {
                    _ = try number()
                    let chunks = try number()
                    guard chunks >= 0, chunks <= (bytes.count - at) / 16 else { throw bad }
                    at += 16 * chunks
                }
                let count = try number()
                guard count >= 0, count <= (bytes.count - at) / 8 else { throw bad }
                let first = places.count
                var before = places.last ?? 0
                for window in 0..<count {
                    let place = UInt64(
                        littleEndian: bytes.loadUnaligned(fromByteOffset: at + 8 * window, as: UInt64.self))
                    // Some programs write 0 for windows before the first record.
                    if place != 0 {
                        guard place >= before else { throw bad }
                        before = place
                    }
                    places.append(before)
                }
                at += 8 * count
                contigs.append(Contig(name: name, windows: first..<places.count))
            }
        }
    }

    /// The last place before `place`; nil when there is none.
    public func place(before place: UInt64) -> UInt64? {
        let index = firstIndex { $0 >= place }
        return index > 0 ? places[index - 1] : nil
    }

    /// The first place behind `place`; nil when there is none.
    public func place(behind place: UInt64) -> UInt64? {
        let index = firstIndex { $0 > place }
        return index < places.count ? places[index] : nil
    }

    private func firstIndex(where isReached: (UInt64) -> Bool) -> Int {
        var low = 0
        var high = places.count
        while low < high {
            let middle = (low + high) / 2
            if isReached(places[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
