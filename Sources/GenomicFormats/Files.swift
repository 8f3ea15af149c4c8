import Diagnostics
import Glibc

/// Whole-file and chunked reading, and output files that appear only when they are whole.
public enum FileBytes {
    /// Reads a file front to back in pieces of at most `chunkSize` bytes.
    ///
    /// - Throws: ``Failure`` `.noInput` when the file cannot be opened, `.inputOutput` when reading fails.
    public static func forEachChunk(
        of path: String, chunkSize: Int = 1 << 20, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let descriptor = try openForReading(path)
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunkSize, alignment: 64)
        defer { buffer.deallocate() }
        while true {
            let count = try readSome(descriptor, into: buffer, path: path)
            if count == 0 { return }
            try body(UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
        }
    }

    /// The whole of a file as it lies on disk.
    public static func contents(of path: String) throws -> [UInt8] {
        let descriptor = try openForReading(path)
        defer { close(descriptor) }
        var status = stat()
        var expected = fstat(descriptor, &status) == 0 ? max(0, Int(status.st_size)) : 0
        var result = [UInt8]()
        while true {
            let before = result.count
            let room = max(expected - before, 1 << 16) + 1
            expected = max(expected, before + room)
            let piece = try [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                count = try readSome(descriptor, into: UnsafeMutableRawBufferPointer(buffer), path: path)
            }
            if piece.isEmpty { return result }
            if before == 0 { result = piece } else { result.append(contentsOf: piece) }
        }
    }

    private static func openForReading(_ path: String) throws -> Int32 {
        let descriptor = path == "-" ? dup(0) : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw Failure(
                .noInput, at: path, "cannot be opened (\(errorText(errno)))",
                remedy: "check the name and the permissions")
        }
        return descriptor
    }

    private static func readSome(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, path: String
    ) throws -> Int {
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno == EINTR { continue }
            throw Failure(
                .inputOutput, at: path, "cannot be read (\(errorText(errno)))",
                remedy: "check the storage and try again")
        }
    }
}

private func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }

/// A file that appears under its final name only when it is whole: bytes go to `name.partial`, and ``commit()`` flushes
/// them to the storage, renames, and flushes the directory. Without a commit the partial file is removed.
public final class AtomicFile {
    public let path: String
    private let partialPath: String
    private var descriptor: Int32
    public private(set) var byteCount = 0

    /// - Throws: ``Failure`` `.cannotCreate` when the partial file cannot be created.
    public init(path: String) throws {
        self.path = path
        partialPath = path + ".partial"
        descriptor = open(partialPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Failure(
                .cannotCreate, at: path, "cannot be created (\(errorText(errno)))",
                remedy: "check the directory and its permissions")
        }
    }

    deinit { abandon() }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        precondition(descriptor >= 0, "write after commit")
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("cannot be written")
            }
            byteCount += count
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    public func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }

    /// Makes the file appear under its final name, with mode 0644 less the process's mask.
    public func commit() throws {
        precondition(descriptor >= 0, "commit twice")
        let mask = umask(0o077)
        umask(mask)
        guard fchmod(descriptor, 0o644 & ~mask) == 0, fsync(descriptor) == 0 else {
            throw failure("cannot be flushed")
        }
        let closed = close(descriptor)
        descriptor = -1
        guard closed == 0, rename(partialPath, path) == 0 else { throw failure("cannot be renamed into place") }
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let directoryDescriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directoryDescriptor >= 0 {
            // Some network file systems refuse to flush a directory; the rename has happened all the same.
            _ = fsync(directoryDescriptor)
            close(directoryDescriptor)
        }
    }

    /// Removes the partial file. Harmless after a commit.
    public func abandon() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        unlink(partialPath)
    }

    private func failure(_ what: String) -> Failure {
        Failure(.inputOutput, at: path, "\(what) (\(errorText(errno)))", remedy: "check free space and the storage")
    }
}
