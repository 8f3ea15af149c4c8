internal import Diagnostics
internal import Glibc

/// Reads a file, or standard input under the name `-`, from its beginning in pieces of constant size.
///
/// One thread reads; any thread may ``interrupt()`` it.
public final class FileReader: @unchecked Sendable {
    public let path: String
    /// Bytes of a regular file; 0 for a pipe.
    public let length: Int
    private let descriptor: Int32
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    /// Both ends of a pipe that ends a wait for input; -1 for regular files, which never make one wait for long.
    private let wake: (read: Int32, write: Int32)

    /// - Throws: `Failure` `.noInput` when there is no such file, it may not be read or it is a directory.
    public init(path: String) throws {
        self.path = path
        do {
            let isRegular: Bool
            (descriptor, length, isRegular) = try openForReading(path)
            var ends: [Int32] = [-1, -1]
            if !isRegular, pipe(&ends) != 0 {
                close(descriptor)
                throw readFailure(path)
            }
            for end in ends where end >= 0 { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            wake = (ends[0], ends[1])
        } catch {
            buffer.deallocate()
            throw error
        }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    }

    /// Hands the next piece to `body`; false at the end of the file.
    public func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        while true {
            try waitForInput()
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw readFailure(path) }
            if count == 0 { return false }
            try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            return true
        }
    }

    /// Makes a ``next(_:)`` that waits for a pipe or a terminal throw, and every later one.
    public func interrupt() {
        if wake.write >= 0 { _ = write(wake.write, [0], 1) }
    }

    private func waitForInput() throws {
        guard wake.read >= 0 else { return }
        var waits = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wake.read, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&waits, 2, -1) < 0 {
            guard errno == EINTR else { throw readFailure(path) }
        }
        guard waits[1].revents == 0 else {
            throw Failure(.transient, at: path, "reading was given up", remedy: "start the job again")
        }
    }

    /// Reads a file front to back.
    public static func forEachPiece(of path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let file = try FileReader(path: path)
        while try file.next(body) {}
    }

    deinit {
        for descriptor in [descriptor, wake.read, wake.write] where descriptor >= 0 { close(descriptor) }
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
        (descriptor, size, _) = try openForReading(path, mustBeRegular: true)
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

private func openForReading(
    _ path: String, mustBeRegular: Bool = false
) throws -> (descriptor: Int32, length: Int, isRegular: Bool) {
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
    return (descriptor, kind == S_IFREG ? Int(status.st_size) : 0, kind == S_IFREG)
}

private func readFailure(_ place: String) -> Failure {
    Failure(.inputOutput, at: place, "cannot be read: \(errorText())", remedy: "check the storage and try again")
}
