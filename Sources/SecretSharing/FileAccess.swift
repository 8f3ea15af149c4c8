import Diagnostics
import Glibc

/// A file that appears under its name only when it is whole: written beside it as `name.partial`, synchronised,
/// renamed, and the directory synchronised. Dropped without `commit`, it leaves nothing.
final class AtomicFile {
    let path: String
    private var descriptor: Int32

    /// - Parameter mode: permissions; secrets are for their owner alone.
    init(_ path: String, mode: mode_t = 0o600) throws {
        self.path = path
        descriptor = open(path + ".partial", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else {
            throw Failure(
                .cannotCreate, at: path, "the file cannot be created (\(errorText()))",
                remedy: "choose a writable directory")
        }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(path + ".partial")
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            if count < 0 {
                if errno == EINTR { continue }
                throw failed("written")
            }
            done += count
        }
    }

    func commit() throws {
        guard fsync(descriptor) == 0 else { throw failed("synchronised") }
        guard rename(path + ".partial", path) == 0 else { throw failed("renamed") }
        close(descriptor)
        descriptor = -1
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let handle = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if handle >= 0 { close(handle) } }
        guard handle >= 0, fsync(handle) == 0 else { throw failed("made durable in its directory") }
    }

    private func failed(_ what: String) -> Failure {
        Failure(
            .inputOutput, at: path, "the file cannot be \(what) (\(errorText()))",
            remedy: "check the disk's free space and health")
    }
}

/// A file that is read by position.
final class InputFile {
    let path: String
    let size: Int
    private let descriptor: Int32

    init(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw Failure(
                .noInput, at: path, "the file cannot be opened (\(errorText()))",
                remedy: "check its name and permissions")
        }
        self.descriptor = descriptor
        self.path = path
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            size = 0
            throw Failure(.noInput, at: path, "this is not a regular file", remedy: "name a file")
        }
        size = Int(status.st_size)
    }

    deinit { close(descriptor) }

    /// Fills the buffer from that offset.
    func read(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < buffer.count {
            let count = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, offset + done)
            if count < 0 {
                if errno == EINTR { continue }
                throw Failure(
                    .inputOutput, at: "\(path):byte \(offset + done)", "the file cannot be read (\(errorText()))",
                    remedy: "check the disk; a share can be repaired from the other two")
            }
            guard count > 0 else {
                throw Failure(
                    .data, at: "\(path):byte \(offset + done)", "the file ends too early",
                    remedy: "fetch it again; a share can be repaired from the other two")
            }
            done += count
        }
    }
}

private func errorText() -> String { String(cString: strerror(errno)) }
