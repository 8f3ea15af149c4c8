internal import Diagnostics
internal import Glibc

/// Reads a file, or standard input under the name `-`, from its beginning in pieces of constant size.
public final class FileReader {
    public let path: String
    /// Bytes of a regular file; 0 for a pipe.
    public let length: Int
    private let descriptor: Int32
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)

    /// - Throws: `Failure` `.noInput` when there is no such file, it may not be read or it is a directory.
    public init(path: String) throws {
        self.path = path
        do {
            (descriptor, length) = try openForReading(path)
        } catch {
            buffer.deallocate()
            throw error
        }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    }

    /// Hands the next piece to `body`; false at the end of the file.
    public func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw readFailure(path) }
            if count == 0 { return false }
            try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            return true
        }
    }

    /// Reads a file front to back.
    public static func forEachPiece(of path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let file = try FileReader(path: path)
        while try file.next(body) {}
    }

    deinit {
        close(descriptor)
        buffer.deallocate()
    }
}

/// A regular file that is read by position. Its user says in `remedy` what to do when it cannot be read to the end.
public final class PositionedFile {
    public let path: String
    public let size: Int
    private let descriptor: Int32
    private let remedy: String

    /// - Throws: `Failure` `.noInput` when there is no such regular file.
    public init(path: String, remedy: String) throws {
        self.path = path
        self.remedy = remedy
        (descriptor, size) = try openForReading(path, mustBeRegular: true)
    }

    deinit { close(descriptor) }

    /// Fills the buffer from that offset.
    ///
    /// - Throws: `Failure` `.data` when the file ends before, `.inputOutput`.
    public func read(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < buffer.count {
            let count = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, offset + done)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw readFailure("\(path):byte \(offset + done)") }
            guard count > 0 else {
                throw Failure(.data, at: "\(path):byte \(offset + done)", "the file ends too early", remedy: remedy)
            }
            done += count
        }
    }
}

/// The whole of a file, or of standard input, as it lies on disk.
///
/// - Throws: `Failure` `.data` when it is longer than `limit` bytes; otherwise as ``FileReader``.
public func readWhole(_ path: String, limit: Int = .max) throws -> [UInt8] {
    let file = try FileReader(path: path)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(min(file.length, limit))
    while try file.next({ piece in
        guard piece.count <= limit - bytes.count else {
            throw Failure(.data, at: path, "is longer than \(limit) bytes", remedy: "check that this is the right file")
        }
        bytes.append(contentsOf: piece)
    }) {}
    return bytes
}

private func openForReading(_ path: String, mustBeRegular: Bool = false) throws -> (descriptor: Int32, length: Int) {
    let descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
    var status = stat()
    let isOpen = descriptor >= 0 && fstat(descriptor, &status) == 0
    let kind = status.st_mode & S_IFMT
    let problem: String? =
        if !isOpen { "cannot be opened: \(errorText())" } else if kind == S_IFDIR {
            "is a directory"
        } else if mustBeRegular && kind != S_IFREG { "is not a regular file" } else { nil }
    if let problem {
        if descriptor >= 0 { close(descriptor) }
        throw Failure(.noInput, at: path, problem, remedy: "check the name and the permissions")
    }
    return (descriptor, kind == S_IFREG ? Int(status.st_size) : 0)
}

private func readFailure(_ place: String) -> Failure {
    Failure(.inputOutput, at: place, "cannot be read: \(errorText())", remedy: "check the storage and try again")
}
