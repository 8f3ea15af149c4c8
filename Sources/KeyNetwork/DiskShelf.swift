import Diagnostics
import Foundation
import Glibc
import Kernels
import OneTimePad

/// Key that waits as Figure 5 of the paper has it: K1 on a disk, K2 in secret memory and never on a disk.
///
/// A chunk becomes due as a whole: K4 = K1 + K3 goes to secret memory, K2 is overwritten, a hole is punched where K1
/// was. From then on no disk and no other memory of the node tells anything of it. What the pad of a chunk came to is
/// in a receipt, written when the last byte of it is gone.
///
/// K1 lies in files of 64 chunks, at the place that it has in K0; the 32 bytes of K2 are left out, so a file begins
/// with a hole of 32 bytes. Nothing is synchronised: without K2, which goes with the power, K1 is of no use.
struct DiskShelf: KeyShelf {
    private struct Chunk {
        var number: UInt64
        var expansion: KeyExpansion
        /// Pad offsets: what is in the file and was not revealed.
        var offset: UInt64
        var end: UInt64
        var isWhole: Bool { end == (number + 1) * KeyCut.pad }
    }
    private static let chunksPerFile: UInt64 = 64

    private let name: String
    private let directory: String
    private let receipt: ErasureReceipt
    private let log: ErasureLog
    private var chunks: [Chunk] = []
    private var head = 0
    private(set) var bytes: UInt64 = 0
    /// Open files by the number of their first chunk divided by `chunksPerFile`.
    private var files: [UInt64: Int32] = [:]
    /// Erased on the disk, and still to be spent from secret memory.
    private var pending: [ErasureReceipt] = []

    /// - Parameters:
    ///   - stream: the link's direction.
    ///   - directory: the node's; the files go to `keys` in it.
    init(stream: PadStream, link: String, node: String, directory: String, log: ErasureLog) throws {
        name = (stream.sender == node ? "to-" + stream.receiver : "from-" + stream.sender).replacing("/", with: "_")
        self.directory = directory + "/keys"
        self.log = log
        receipt = ErasureReceipt(
            time: Date(), link: link, node: node, sender: stream.sender, offset: 0, bytes: 0, reason: .used, steps: [])
        do {
            try FileManager.default.createDirectory(
                atPath: self.directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Failure(
                .cannotCreate, at: self.directory, "the directory for key cannot be created: \(error)",
                remedy: "check the node's directory")
        }
        eraseLeftovers()
    }

    private static let suffix = ".k1"

    private func path(_ file: UInt64) -> String {
        let digits = String(file * Self.chunksPerFile, radix: 16)
        return "\(directory)/\(name)-" + String(repeating: "0", count: 12 - min(12, digits.count)) + digits
            + Self.suffix
    }

    /// K1 of a process that ended without closing: its K2 are gone.
    private func eraseLeftovers() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        for file in names.sorted() where file.hasPrefix(name + "-") && file.hasSuffix(Self.suffix) {
            guard let first = UInt64(file.dropFirst(name.count + 1).dropLast(Self.suffix.count), radix: 16) else {
                continue
            }
            let descriptor = open(directory + "/" + file, O_RDWR | O_CLOEXEC)
            var status = stat()
            var isHole = false
            if descriptor >= 0, fstat(descriptor, &status) == 0 {
                isHole = Self.erase(descriptor, 0, Int(status.st_size))
                close(descriptor)
            }
            unlink(directory + "/" + file)
            write(.lostBefore, first * KeyCut.pad, UInt64(status.st_blocks) * 512, isHole: isHole)
        }
    }

    private func write(_ reason: ErasureReceipt.Reason, _ offset: UInt64, _ count: UInt64, isHole: Bool?) {
        log.write(made(reason, offset, count, isHole: isHole))
    }

    private func made(_ reason: ErasureReceipt.Reason, _ offset: UInt64, _ count: UInt64, isHole: Bool?)
        -> ErasureReceipt
    {
        var receipt = receipt
        (receipt.time, receipt.offset, receipt.bytes, receipt.reason) = (Date(), offset, count, reason)
        receipt.steps = ErasureReceipt.steps(isHole: isHole, reason: reason)
        return receipt
    }

    // MARK: - Arrival

    mutating func add(_ key: DeliveredKey) throws {
        guard let expansion = key.expansion else { preconditionFailure("key for a disk comes cut") }
        let number = key.offset / KeyCut.pad
        try write(key.bytes, number, position: key.offset % KeyCut.pad)
        if chunks.count > head, chunks[chunks.count - 1].number == number {
            chunks[chunks.count - 1].end = key.end
        } else {
            chunks.append(Chunk(number: number, expansion: expansion, offset: key.offset, end: key.end))
        }
        bytes += UInt64(key.bytes.count)
    }

    private mutating func file(_ number: UInt64) throws -> Int32 {
        if let descriptor = files[number] { return descriptor }
        let descriptor = open(path(number), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure(path(number), "cannot be created") }
        files[number] = descriptor
        return descriptor
    }

    private func failure(_ place: String, _ what: String) -> Failure {
        Failure(
            .inputOutput, at: place, "\(what): \(String(cString: strerror(errno)))",
            remedy: "make room on the node's disk; the link delivers again when there is some")
    }

    private mutating func write(_ key: UnsafeRawBufferPointer, _ chunk: UInt64, position: UInt64) throws {
        let descriptor = try file(chunk / Self.chunksPerFile)
        let start = Self.place(chunk) + Int(KeyCut.secret + position)
        var done = 0
        while done < key.count {
            let count = pwrite(descriptor, key.baseAddress! + done, key.count - done, start + done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let failure = failure(path(chunk / Self.chunksPerFile), "key cannot be written")
                // What did get there is erased, so that the file holds nothing that the shelf does not know.
                _ = Self.erase(descriptor, start, done)
                throw failure
            }
            done += count
        }
    }

    /// Where a chunk lies in its file.
    private static func place(_ chunk: UInt64) -> Int { Int(chunk % chunksPerFile * KeyCut.chunk) }

    // MARK: - Departure

    mutating func reveal(below end: UInt64, into pieces: inout KeyPieces) -> UInt64 {
        var lost: UInt64 = 0
        while head < chunks.count, chunks[head].offset < end {
            let chunk = chunks[head]
            if chunk.end > chunk.offset {
                let pad = pieces.buffer(count: Int(chunk.end - chunk.offset))
                if read(chunk, into: pad) {
                    pieces.append(pad, at: chunk.offset)
                } else {
                    pad.wipe()
                    lost += chunk.end - chunk.offset
                }
                bytes -= chunk.end - chunk.offset
                let isHole = eraseOnDisk(chunk)
                pending.append(made(.used, chunk.offset, chunk.end - chunk.offset, isHole: isHole))
            }
            // A chunk that is still on its way keeps its K2 for the rest.
            chunks[head].offset = chunk.end
            guard chunk.isWhole || head + 1 < chunks.count else { break }
            remove()
        }
        return lost
    }

    private func read(_ chunk: Chunk, into pad: SecureBytes) -> Bool {
        guard let descriptor = files[chunk.number / Self.chunksPerFile] else { return false }
        let position = chunk.offset - chunk.number * KeyCut.pad
        let start = Self.place(chunk.number) + Int(KeyCut.secret + position)
        return pad.withUnsafeMutableBytes { pad in
            var done = 0
            while done < pad.count {
                let count = pread(descriptor, pad.baseAddress! + done, pad.count - done, start + done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                done += count
            }
            chunk.expansion.apply(pad, at: position)
            return true
        }
    }

    /// Erases the K1 of a chunk as far as it is on the shelf.
    private func eraseOnDisk(_ chunk: Chunk) -> Bool {
        guard let descriptor = files[chunk.number / Self.chunksPerFile] else { return false }
        let start = Self.place(chunk.number)
        let from = Int(chunk.offset - chunk.number * KeyCut.pad)
        return Self.erase(
            descriptor, from == 0 ? start : start + Int(KeyCut.secret) + from,
            Int(chunk.end - chunk.offset) + (from == 0 ? Int(KeyCut.secret) : 0))
    }

    /// Punches a hole, or overwrites where the file system knows no holes; whether there is one.
    private static func erase(_ descriptor: Int32, _ start: Int, _ count: Int) -> Bool {
        guard count > 0 else { return true }
        if punchHole(descriptor, at: start, count: count) { return true }
        let zeros = [UInt8](repeating: 0, count: min(count, 1 << 16))
        var done = 0
        while done < count {
            let written = pwrite(descriptor, zeros, min(zeros.count, count - done), start + done)
            guard written > 0 else { break }
            done += written
        }
        return false
    }

    /// Takes the first chunk off the shelf: K2 is overwritten, and its file goes when no chunk of it is left.
    private mutating func remove() {
        let chunk = chunks[head]
        chunk.expansion.wipe()
        head += 1
        let file = chunk.number / Self.chunksPerFile
        if head == chunks.count || chunks[head].number / Self.chunksPerFile != file {
            // The next chunk to come may belong to the same file, which is made again then.
            if let descriptor = files.removeValue(forKey: file) { close(descriptor) }
            unlink(path(file))
        }
        if head >= 64 || head == chunks.count {
            chunks.removeFirst(head)
            head = 0
        }
    }

    func firstAvailable(from offset: UInt64) -> UInt64? {
        chunks[head...].first { $0.end > offset && $0.end > $0.offset }.map { max(offset, $0.offset) }
    }

    mutating func discard(below offset: UInt64, _ reason: ErasureReceipt.Reason) -> UInt64 {
        var lost: UInt64 = 0
        while head < chunks.count, chunks[head].end <= offset {
            let chunk = chunks[head]
            let count = chunk.end - chunk.offset
            // K2 goes first, by the order of Figure 5. A chunk that is still on its way keeps it, unless the node
            // stops.
            let isLast = !chunk.isWhole && head + 1 == chunks.count && reason != .stopped
            if !isLast { chunk.expansion.wipe() }
            if count > 0 {
                let isHole = eraseOnDisk(chunk)
                write(reason, chunk.offset, count, isHole: isHole)
                lost += count
                bytes -= count
            }
            chunks[head].offset = chunk.end
            if isLast { break }
            remove()
        }
        return lost
    }

    mutating func spent(below offset: UInt64) {
        while let receipt = pending.first, receipt.offset + receipt.bytes <= offset {
            var receipt = pending.removeFirst()
            receipt.time = Date()
            log.write(receipt)
        }
    }
}
