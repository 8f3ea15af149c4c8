internal import Diagnostics
internal import Foundation
public import Glibc

/// A file that appears under its name only when it is whole and durable.
public final class PartialFile {
    public let path: String
    private var descriptor: Int32
    private var partialPath: String { path + ".partial" }

    /// Creates `path.partial`, or empties one that a crash left.
    ///
    /// - Throws: `Failure(.cannotCreate)` or `Failure(.inputOutput)`.
    public init(path: String, mode: mode_t = 0o600) throws {
        self.path = path
        descriptor = open(path + ".partial", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failure("cannot be created") }
    }

    /// Appends bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        var written = 0
        while written < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress! + written, bytes.count - written)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("cannot be written") }
            written += count
        }
    }

    /// Makes the bytes durable, gives them the final name and makes the name durable.
    public func commit() throws {
        guard fsync(descriptor) == 0 else { throw failure("cannot be made durable") }
        close(descriptor)
        descriptor = -1
        guard rename(partialPath, path) == 0 else { throw failure("cannot be renamed from .partial") }
        let folder = open((path as NSString).deletingLastPathComponent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if folder >= 0 { close(folder) } }
        guard folder >= 0, fsync(folder) == 0 else { throw failure("its directory cannot be made durable") }
    }

    deinit {
        if descriptor >= 0 {
            close(descriptor)
            unlink(partialPath)
        }
    }

    private func failure(_ problem: String) -> Failure {
        Failure(
            errno == ENOENT || errno == EACCES ? .cannotCreate : .inputOutput, at: path, "\(problem): \(errorText())",
            remedy: "check the directory, its permissions and the free space")
    }
}

/// Reads a file, or standard input under the name `-`, from its beginning in pieces of constant size.
public final class FileReader {
    public let path: String
    /// Bytes of a regular file; 0 for a pipe.
    public let length: Int
    private let descriptor: Int32
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)

    public init(path: String) throws {
        self.path = path
        descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            let reason = errorText()
            if descriptor >= 0 { close(descriptor) }
            buffer.deallocate()
            throw Failure(.noInput, at: path, "cannot be read: \(reason)", remedy: "check the path and its permissions")
        }
        length = Int(status.st_size)
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    }

    /// Hands the next piece to `body`; false at the end of the file.
    public func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw Failure(.inputOutput, at: path, "cannot be read: \(errorText())", remedy: "check the device")
            }
            if count == 0 { return false }
            try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            return true
        }
    }

    deinit {
        close(descriptor)
        buffer.deallocate()
    }
}

/// Creates a directory that only this account can read, with its parents.
public func createPrivateDirectory(_ path: String) throws {
    do {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
        throw Failure(
            .cannotCreate, at: path, "the directory cannot be created: \(error.localizedDescription)",
            remedy: "check the parent directory and its permissions")
    }
}

/// Writes small bytes to a file, all or nothing.
public func writeWhole(_ bytes: [UInt8], to path: String) throws {
    let file = try PartialFile(path: path)
    try bytes.withUnsafeBytes { try file.write($0) }
    try file.commit()
}

/// The system's words for the last error of this thread.
public func errorText() -> String { String(cString: strerror(errno)) }
