internal import Diagnostics
internal import Glibc

/// Who may read a file that is written.
public enum FileAudience: Sendable {
    /// Shares, tags, keys, results in the clear of a bank: mode 0600.
    case owner
    /// Ordinary results: mode 0666 less the process's mask, as any program's.
    case everyone
}

/// Nobody reads standard output any more. In a pipeline that is no fault: `head` has seen enough.
public struct ReaderGone: Error {}

/// A file that appears under its name only when it is whole and durable: bytes go to `name.partial`, ``commit()`` flushes
/// them, renames, and flushes the directory. Without a commit nothing is left, and what the name held before stays.
///
/// `-` is standard output. Devices and pipes are written as they are. A directory or a symbolic link at the name is
/// refused, and so is a name that another process is writing.
public final class PartialFile {
    public let path: String
    /// Bytes written so far.
    public private(set) var byteCount = 0
    /// Whether the bytes go straight to standard output, a device or a pipe, where no index can lie beside them.
    public var isStream: Bool { partialPath == nil }
    private var descriptor: Int32 = -1
    /// nil when the bytes go straight to a device or pipe.
    private var partialPath: String?

    /// - Throws: `Failure` `.cannotCreate`.
    public init(path: String, audience: FileAudience = .owner) throws {
        self.path = path
        if path == "-" {
            descriptor = dup(STDOUT_FILENO)
            guard descriptor >= 0 else { throw Self.refusal(at: "standard output", "cannot be opened: \(errorText())") }
            return
        }
        guard try !Self.leadsToStream(path) else {
            descriptor = open(path, O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw Self.refusal(at: path, "cannot be opened: \(errorText())") }
            return
        }
        let partial = Self.partialName(of: path)
        descriptor = try Self.create(partial, for: path, mode: audience == .owner ? 0o600 : 0o666)
        partialPath = partial
    }

    deinit { abandon() }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        precondition(descriptor >= 0, "a file that was committed or abandoned takes no bytes")
        var written = 0
        while written < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress! + written, min(bytes.count - written, 1 << 28))
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EPIPE, path == "-" { throw ReaderGone() }
            guard count > 0 else { throw failure("cannot be written") }
            written += count
        }
        byteCount += bytes.count
    }

    public func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }

    /// Makes the bytes durable, gives them the final name and makes the name durable.
    public func commit() throws {
        precondition(descriptor >= 0, "a file is committed once")
        guard let partialPath else {
            let closed = close(descriptor)
            descriptor = -1
            guard closed == 0 else { throw failure("cannot be written") }
            return
        }
        guard fsync(descriptor) == 0 else { throw failure("cannot be made durable") }
        guard rename(partialPath, path) == 0 else { throw failure("cannot be renamed from .partial") }
        close(descriptor)
        descriptor = -1
        let folder = open(directory(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if folder >= 0 { close(folder) } }
        // A directory that may be written but not read, and some network file systems, cannot be flushed.
        guard folder >= 0 ? fsync(folder) == 0 || errno == EINVAL : errno == EACCES else {
            throw failure("its directory cannot be made durable")
        }
    }

    /// Removes what was written so far. Harmless after a commit.
    public func abandon() {
        guard descriptor >= 0 else { return }
        // The name goes before the lock, so that nobody else's partial file is removed.
        if let partialPath { unlink(partialPath) }
        close(descriptor)
        descriptor = -1
    }

    /// The name that a file has until it is whole.
    static func partialName(of path: String) -> String { path + ".partial" }

    /// Whether the name is a device, a pipe or a socket, and not the place of a regular file.
    package static func leadsToStream(_ path: String) throws -> Bool {
        guard !path.isEmpty else { throw refusal(at: "output", "the name is empty") }
        var status = stat()
        let kind: mode_t? = stat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
        if let kind, kind != S_IFREG, kind != S_IFDIR { return true }
        guard kind != S_IFDIR, path.utf8.last != UInt8(ascii: "/") else {
            throw refusal(at: path, "is a directory", remedy: "name a file")
        }
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
            throw refusal(at: path, "is a symbolic link", remedy: "name the file itself, or `-` for standard output")
        }
        return false
    }

    /// Creates and locks the partial file. One that a killed process left behind is removed first.
    private static func create(_ partial: String, for path: String, mode: mode_t) throws -> Int32 {
        for _ in 0..<16 {
            let made = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
            if made >= 0 {
                // File systems without locks answer with an error, and then nobody else has one either.
                if flock(made, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, isSame(made, partial) { return made }
                close(made)
                continue
            }
            guard errno == EEXIST else { throw refusal(at: path, "cannot be created: \(errorText())") }
            let stale = open(partial, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
            if stale < 0, errno == ENOENT { continue }
            guard stale >= 0 else { throw refusal(at: partial, "is in the way: \(errorText())", remedy: "remove it") }
            defer { close(stale) }
            var status = stat()
            guard fstat(stale, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                throw refusal(at: partial, "is in the way and no regular file", remedy: "remove it")
            }
            if flock(stale, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK { break }
            if isSame(stale, partial) { unlink(partial) }
        }
        throw refusal(at: path, "another process is writing it", remedy: "wait for that process, or name another file")
    }

    /// Whether the name still leads to the file that is open.
    private static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
        var opened = stat(), named = stat()
        return fstat(descriptor, &opened) == 0 && lstat(path, &named) == 0 && opened.st_ino == named.st_ino
            && opened.st_dev == named.st_dev
    }

    private static func refusal(
        at path: String, _ problem: String, remedy: String = "check the directory and its permissions"
    ) -> Failure {
        Failure(.cannotCreate, at: path, problem, remedy: remedy)
    }

    private func failure(_ problem: String) -> Failure {
        let reason = errno
        let place = path == "-" ? "standard output" : path
        return Failure(
            .inputOutput, at: place, "\(problem): \(errorText(reason))",
            remedy: reason == EPIPE ? "look at the program that reads it" : "check the free space and the storage")
    }
}

/// The directory part of a path.
private func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// Writes small bytes to a file, all or nothing.
public func writeWhole(_ bytes: [UInt8], to path: String, audience: FileAudience = .owner) throws {
    let file = try PartialFile(path: path, audience: audience)
    try file.write(bytes)
    try file.commit()
}

/// Refuses outputs that are one of the inputs, or each other, under whatever name, and standard input that is named
/// twice.
///
/// - Throws: `Failure` `.usage`.
public func checkFileNames(inputs: [String], outputs: [String]) throws {
    guard inputs.count(where: { $0 == "-" }) <= 1 else {
        throw Failure(.usage, at: "standard input", "is named for two inputs", remedy: "name a file for one of them")
    }
    for (position, output) in outputs.enumerated() {
        if let input = inputs.first(where: { isSameFile($0, output) }) {
            throw Failure(
                .usage, at: output, "is the output and also the input \(input)", remedy: "name another file to write")
        }
        // The file is written under this name until it is whole.
        if let input = inputs.first(where: { isSameFile($0, PartialFile.partialName(of: output)) }) {
            throw Failure(
                .usage, at: output, "would be written over the input \(input)", remedy: "name another file to write")
        }
        guard output == "-" || !outputs[..<position].contains(where: { isSamePlace($0, output) }) else {
            throw Failure(.usage, at: output, "is named for two outputs", remedy: "name a file for each")
        }
    }
}

/// Whether two names are of one entry of one directory; devices may be named twice.
private func isSamePlace(_ one: String, _ other: String) -> Bool {
    func name(_ path: String) -> Substring { path.split(separator: "/", omittingEmptySubsequences: false).last ?? "" }
    var first = stat(), second = stat()
    if stat(one, &first) == 0, first.st_mode & S_IFMT != S_IFREG { return false }
    return one == other
        || name(one) == name(other) && stat(directory(of: one), &first) == 0
            && stat(directory(of: other), &second) == 0 && first.st_dev == second.st_dev
            && first.st_ino == second.st_ino
}

/// Whether two names lead to one regular file.
public func isSameFile(_ one: String, _ other: String) -> Bool {
    var first = stat(), second = stat()
    return one != "-" && other != "-" && stat(one, &first) == 0 && stat(other, &second) == 0
        && first.st_mode & S_IFMT == S_IFREG && first.st_dev == second.st_dev && first.st_ino == second.st_ino
}

/// The system's words for an error code; the last error of this thread when none is given.
public func errorText(_ code: Int32? = nil) -> String { String(cString: strerror(code ?? errno)) }
