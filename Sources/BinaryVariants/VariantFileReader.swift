internal import Compression
internal import Storage

/// Reads a file of variants, or standard input under the name `-`, from its beginning: BCF, compressed or not, comes as
/// VCF text, and everything else as it lies in the file. The kind is told by the content.
///
/// Memory is bounded. Not for use by two threads at once.
public final class VariantFileReader {
    /// Bytes of a compressed file that are inflated to see whether it is BCF: more than one block of BGZF.
    private static let detectedBytes = 1 << 17
    private static let sliceBytes = 1 << 14

    public let isBCF: Bool
    /// Bytes of the file that were taken.
    public private(set) var fileBytes = 0

    private let file: FileReader
    private let inflater: GzipInflater
    private let decoder: BCFDecoder
    /// What is to be given out next, from `at` on.
    private var ready: [UInt8] = []
    private var at = 0
    private var isOver = false

    /// - Throws: `Failure` `.noInput` when there is no such file, `.data` for BCF that ``BCFDecoder`` refuses.
    public init(path: String, threads: Int = 1) throws {
        let file = try FileReader(path: path)
        let inflater = GzipInflater(label: path, threads: threads)
        self.file = file
        self.inflater = inflater
        decoder = BCFDecoder(label: path, threads: threads)
        var raw: [UInt8] = []
        var plain: [UInt8] = []
        var fed = 0
        var damage: (any Error)?
        while damage == nil, plain.count < BCFDecoder.magic.count, fed < Self.detectedBytes {
            if fed == raw.count, !isOver { isOver = try !file.next { raw.append(contentsOf: $0) } }
            let slice = fed..<min(raw.count, fed + Self.sliceBytes)
            if slice.isEmpty { break }
            fed = slice.upperBound
            do { try raw[slice].withUnsafeBytes { try inflater.feed($0) { plain.append(contentsOf: $0) } } } catch {
                damage = error
            }
        }
        isBCF = BCFDecoder.isBCF(plain)
        fileBytes = raw.count
        guard isBCF else {
            // Damage is met again by whoever reads the bytes.
            ready = raw
            return
        }
        if let damage { throw damage }
        try plain.withUnsafeBytes { try decoder.feed($0) { ready.append(contentsOf: $0) } }
        try raw[fed...].withUnsafeBytes { try translate($0) }
        if isOver { try end() }
    }

    /// Fills as much of the room as there is, at least one byte; 0 at the end.
    ///
    /// - Throws: `Failure` `.data` for damaged BCF, `.inputOutput`.
    public func read(into room: UnsafeMutableRawBufferPointer) throws -> Int {
        while at == ready.count {
            ready.removeAll(keepingCapacity: true)
            at = 0
            guard !isOver else { return 0 }
            let isMore = try file.next { piece in
                fileBytes += piece.count
                guard isBCF else { return ready.append(contentsOf: piece) }
                try translate(piece)
            }
            guard isMore else {
                isOver = true
                if isBCF { try end() }
                continue
            }
        }
        let count = min(room.count, ready.count - at)
        ready.withUnsafeBytes { room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[at..<at + count])) }
        at += count
        return count
    }

    private func translate(_ bytes: UnsafeRawBufferPointer) throws {
        try inflater.feed(bytes) { plain in try decoder.feed(plain) { ready.append(contentsOf: $0) } }
    }

    private func end() throws {
        try inflater.finish { plain in try decoder.feed(plain) { ready.append(contentsOf: $0) } }
        try decoder.finish()
    }
}
