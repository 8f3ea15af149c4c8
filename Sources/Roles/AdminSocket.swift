internal import Bank
public import Diagnostics
internal import Foundation
internal import Glibc
internal import Kernels
internal import Metering
internal import Storage

/// A command to the process that plays the data owner, from the same account on the same machine.
///
/// The owner's pads, catalogue and jobs belong to one process, so `dsgd deposit`, `grant` and `revoke` ask it instead
/// of opening its files beside it.
public enum AdminCommand: Codable, Sendable {
    case deposit(dataSet: String, sample: String, files: [DepositFile])
    case retrieve(dataSet: String, part: String, output: String)
    case grant(Grant)
    case revoke(right: String)
    case jobs
    case ledger
}

/// A file to deposit and what it is to its data set; the owner's process opens it itself, so the path is absolute.
public struct DepositFile: Codable, Sendable, Equatable {
    public var path: String
    public var part: String
    public init(path: String, part: String) {
        self.path = path
        self.part = part
    }
}

/// What `dsgd grant` asks for; the owner adds the identifier.
public struct Grant: Codable, Sendable, Equatable {
    public var user: String
    public var dataSet: String
    public var purpose: String
    public var coverage: String
    public var list: String
    public var overlap: String
    public var formatFields: [String]?
    public var notAfter: Double?
    public var usesMaximum: Int?

    public init(
        user: String, dataSet: String, purpose: String, coverage: String, list: String, overlap: String,
        formatFields: [String]? = nil, notAfter: Double? = nil, usesMaximum: Int? = nil
    ) {
        self.user = user
        self.dataSet = dataSet
        self.purpose = purpose
        self.coverage = coverage
        self.list = list
        self.overlap = overlap
        self.formatFields = formatFields
        self.notAfter = notAfter
        self.usesMaximum = usesMaximum
    }
}

/// One line of an answer. A command may be answered by progress lines, and ends with `done` or `failed`.
public enum AdminReply: Codable, Sendable {
    case progress(step: String, done: Int, total: Int)
    case done(text: String)
    case failed(kind: Int32, place: String, problem: String, remedy: String)
}

/// The server end: one JSON command a connection, answered by JSON lines.
final class AdminSocket: @unchecked Sendable {
    private let descriptor: Int32
    private let path: String

    /// Listens at `path`, mode 0600.
    init(path: String) throws {
        self.path = path
        unlink(path)
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let before = umask(0o177)
        defer { umask(before) }
        guard descriptor >= 0, withUnixAddress(path, { bind(descriptor, $0, $1) }) == 0, listen(descriptor, 8) == 0
        else {
            throw Failure(
                .cannotCreate, at: path, "cannot listen: \(errorText())",
                remedy: "use a state directory that is writable and has a short path (107 bytes at the most)")
        }
    }

    /// Serves until `stop`, each connection on a thread of its own.
    func start(_ handler: @escaping @Sendable (AdminCommand, @escaping (AdminReply) -> Void) throws -> String) {
        Thread.detachNewThread { [descriptor] in
            while true {
                let connection = accept(descriptor, nil, nil)
                if connection < 0 {
                    if errno == EINTR { continue }
                    return
                }
                Thread.detachNewThread {
                    defer { close(connection) }
                    guard peerAccount(ofSocket: connection) == geteuid(), let line = readLine(from: connection),
                        let command = try? JSONDecoder().decode(AdminCommand.self, from: Data(line))
                    else { return }
                    let answer = { (reply: AdminReply) in
                        guard let bytes = try? encodeJSON(reply) else { return }
                        writeAll(bytes + [UInt8(ascii: "\n")], to: connection)
                    }
                    do {
                        answer(.done(text: try handler(command, answer)))
                    } catch {
                        let failure = asFailure(error)
                        answer(
                            .failed(
                                kind: failure.kind.rawValue, place: failure.place, problem: failure.problem,
                                remedy: failure.remedy))
                    }
                }
            }
        }
    }

    func stop() {
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
        unlink(path)
    }
}

/// Sends one command to the owner's process and waits for its end.
///
/// - Returns: the text of the final answer.
public func administer(
    _ command: AdminCommand, socket path: String, progress: (String, Int, Int) -> Void = { _, _, _ in }
) throws -> String {
    let connection = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(connection) }
    guard connection >= 0, withUnixAddress(path, { connect(connection, $0, $1) }) == 0 else {
        throw Failure(
            .peerUnavailable, at: path, "the data owner's process does not answer: \(errorText())",
            remedy: "start it with `dsgd serve -c` and its configuration")
    }
    writeAll(try encodeJSON(command) + [UInt8(ascii: "\n")], to: connection)
    while let line = readLine(from: connection) {
        switch try JSONDecoder().decode(AdminReply.self, from: Data(line)) {
        case .progress(let step, let done, let total): progress(step, done, total)
        case .done(let text): return text
        case .failed(let kind, let place, let problem, let remedy):
            throw Failure(FailureKind(rawValue: kind) ?? .internalError, at: place, problem, remedy: remedy)
        }
    }
    throw Failure(
        .peerUnavailable, at: path, "the data owner's process ended in the middle of the command",
        remedy: "look at its log, start it again and repeat the command")
}

/// The receipt of a job that was delivered. The trusted server reports to the owner a moment after the user has the
/// answer, so this waits a little.
public func receipt(ofJob job: String, socket path: String) throws -> Receipt {
    let deadline = monotonicSeconds() + 10
    while true {
        let text = try administer(.jobs, socket: path)
        let lines = try JSONDecoder().decode([JobLine].self, from: Data(text.utf8))
        if let line = lines.first(where: { $0.id == job }), line.state == .delivered {
            return try JSONDecoder().decode(Receipt.self, from: Data(line.outcome.utf8))
        }
        guard monotonicSeconds() < deadline else {
            throw Failure(
                .noInput, at: "job \(job)", "the data owner has no receipt of it", remedy: "see `dsgd audit show`")
        }
        usleep(20_000)
    }
}

/// Any error as the failure that a person gets to see.
public func asFailure(_ error: any Error) -> Failure {
    if let failure = error as? Failure { return failure }
    return Failure(.internalError, at: "dsgd", "\(error)", remedy: "report this with the log of the process")
}

// MARK: Plain socket helpers

func withUnixAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8) + [0]
    guard bytes.count <= MemoryLayout.size(ofValue: address.sun_path) else {
        errno = ENAMETOOLONG
        return -1
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
}

func readLine(from descriptor: Int32, limit: Int = 256 << 20) -> [UInt8]? {
    var line: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while line.count < limit {
        // MSG_PEEK keeps what comes after the newline for the next line.
        let peeked = recv(descriptor, &buffer, buffer.count, Int32(MSG_PEEK))
        if peeked < 0, errno == EINTR { continue }
        guard peeked > 0 else { return nil }
        let newline = buffer[..<peeked].firstIndex(of: UInt8(ascii: "\n"))
        let taken = recv(descriptor, &buffer, newline.map { $0 + 1 } ?? peeked, 0)
        guard taken > 0 else { return nil }
        line.append(contentsOf: buffer[..<taken])
        if newline != nil {
            line.removeLast()
            return line
        }
    }
    return nil
}

func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes {
            send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return }
        sent += count
    }
}
