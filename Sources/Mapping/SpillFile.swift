import Diagnostics
import Foundation
import Kernels
import Storage
import Synchronization

/// Memory's overflow: one file without a name, encrypted under a key that exists in this process alone.
///
/// The file has no name from the start (`O_TMPFILE`), so nothing is left of it however the process ends; where the file
/// system has no such files, a name of random letters is removed as soon as it is made. Bytes are AES-256 in counter
/// mode under a fresh random key, the counter being the place in the file; every place is written once. Each piece has
/// a polynomial hash under a second key, kept in memory and never in the file, by which a damaged piece is noticed. The
/// guarantee of secrecy is computational. Keys lie in secret memory and are wiped with the object.
final class SpillFile: @unchecked Sendable {
    // Keys and descriptor never change; `end` is atomic; each place of the file belongs to who reserved it.

    /// A stretch of the file: what `bin` it belongs to is the store's business.
    struct Piece: BitwiseCopyable {
        var bin: UInt32
        var byteCount: UInt32
        var place: Int
        var hash: (UInt64, UInt64)
    }

    /// Pieces begin at multiples of a cipher block.
    static let alignment = 16
    static func aligned(_ bytes: Int) -> Int { (bytes + alignment - 1) / alignment * alignment }

    let directory: String
    private let descriptor: Int32
    private let key = SecureBytes(count: AESCounterMode.keySize)
    private let hash: PolynomialHash
    private let end = Atomic<Int>(0)

    /// - Parameter directory: nil for `TMPDIR`, or `/var/tmp` when that is not set.
    /// - Throws: `Failure` `.cannotCreate` when there can be no file there, `.inputOutput` without random bytes.
    init(directory: String?) throws {
        self.directory = directory ?? ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp"
        try key.withUnsafeMutableBytes { try fillFromKernel($0) }
        let hashKey = SecureBytes(count: PolynomialHash.size)
        try hashKey.withUnsafeMutableBytes { key in
            // All zeros is no key of a hash; one bit set costs one bit of its strength.
            try fillFromKernel(key)
            key[0] |= 1
        }
        hash = hashKey.withUnsafeBytes { PolynomialHash(key: $0) }
        descriptor = try Self.open(in: self.directory)
    }

    deinit { close(descriptor) }

    /// Bytes written so far.
    var byteCount: Int { end.load(ordering: .relaxed) }

    private static func open(in directory: String) throws -> Int32 {
        // O_TMPFILE, which Glibc's module does not show: __O_TMPFILE with O_DIRECTORY.
        let unnamed = Glibc.open(directory, O_RDWR | O_CLOEXEC | O_EXCL | 0o20_000_000 | O_DIRECTORY, 0o600)
        if unnamed >= 0 { return unnamed }
        var code = errno
        if [EOPNOTSUPP, EISDIR, EINVAL].contains(code) {
            var path = Array((directory + "/dsgd-spill-XXXXXX").utf8CString)
            let named = mkstemp(&path)
            if named >= 0 {
                unlink(path)
                _ = fcntl(named, F_SETFD, FD_CLOEXEC)
                return named
            }
            code = errno
        }
        throw Failure(
            .cannotCreate, at: directory, "no file for the reads that memory has no room for: \(errorText(code))",
            remedy: "name another directory for spilling in the hardware profile or in TMPDIR")
    }

    private func cipher(from place: Int) -> AESCounterMode {
        precondition(place % Self.alignment == 0)
        var counter = (UInt64(0), UInt64(place / Self.alignment).bigEndian)
        return key.withUnsafeBytes { key in withUnsafeBytes(of: &counter) { AESCounterMode(key: key, counter: $0) } }
    }

    /// Encrypts `bytes` where they are, writes them at the end and returns them as pieces. `pieces` has bins and
    /// lengths, all multiples of ``alignment``. Safe from many threads.
    ///
    /// - Throws: `Failure` `.inputOutput`, for example when the disk is full.
    func append(
        _ bytes: UnsafeMutableRawBufferPointer, _ pieces: [(bin: UInt32, bytes: Int)]
    ) throws -> [Piece] {
        precondition(bytes.count % Self.alignment == 0)
        let place = end.add(bytes.count, ordering: .relaxed).oldValue
        cipher(from: place).xor(bytes, UnsafeRawBufferPointer(bytes))
        var hash = hash
        var written: [Piece] = []
        var from = 0
        for (bin, count) in pieces {
            var piece = Piece(bin: bin, byteCount: UInt32(count), place: place + from, hash: (0, 0))
            hash.update(UnsafeRawBufferPointer(rebasing: bytes[from..<from + count]))
            withUnsafeMutableBytes(of: &piece.hash) { hash.finish(into: $0) }
            written.append(piece)
            from += count
        }
        precondition(from == bytes.count)
        try write(UnsafeRawBufferPointer(bytes), at: place)
        return written
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at place: Int) throws {
        var done = 0
        while done < bytes.count {
            let count = pwrite(
                descriptor, bytes.baseAddress! + done, min(bytes.count - done, 1 << 28), off_t(place + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw Failure(
                    .inputOutput, at: directory, "reads cannot be spilled there: \(errorText(errno))",
                    remedy: "free space there, name another directory in the hardware profile, or allow more memory")
            }
            done += count
        }
    }

    /// Reads pieces into `out`, one after the other, checked and decrypted.
    ///
    /// - Throws: `Failure` `.inputOutput` when the file cannot be read or is not what was written.
    func read(_ pieces: some Collection<Piece>, into out: UnsafeMutableRawBufferPointer) throws {
        var hash = hash
        var from = 0
        for piece in pieces {
            let bytes = UnsafeMutableRawBufferPointer(rebasing: out[from..<from + Int(piece.byteCount)])
            var done = 0
            while done < bytes.count {
                let count = pread(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(piece.place + done))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw damaged(count < 0 ? errorText(errno) : "it has been cut short") }
                done += count
            }
            var found = (UInt64(0), UInt64(0))
            hash.update(UnsafeRawBufferPointer(bytes))
            withUnsafeMutableBytes(of: &found) { hash.finish(into: $0) }
            guard found == piece.hash else { throw damaged("it is not what was written") }
            cipher(from: piece.place).xor(bytes, UnsafeRawBufferPointer(bytes))
            from += bytes.count
        }
    }

    private func damaged(_ what: String) -> Failure {
        Failure(
            .inputOutput, at: directory, "spilled reads cannot be read back: \(what)",
            remedy: "check the disk, and start the job again")
    }

    /// Shows the file as it lies on the disk, and lets a test damage it.
    package func withDescriptor<Result>(_ body: (Int32) throws -> Result) rethrows -> Result { try body(descriptor) }
}
