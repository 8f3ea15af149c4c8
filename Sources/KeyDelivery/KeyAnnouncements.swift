import Channel
import Diagnostics
import Foundation
import Kernels
public import OneTimePad

/// How the two roles of a stream tell each other which keys of foreign key servers lie where.
///
/// Over mutual TLS, with the certificates that the roles show to their key servers: what is told is no secret, but whoever
/// could tell wrong things could cut the line. A message is the length of what follows (4 bytes, big-endian) and JSON; a
/// connection carries one question and its answer after the other.
enum KeyAnnouncementMessage {
    struct Question: Codable {
        /// The sending end has taken these keys; the answer comes when the receiving end has them.
        var announcement: ForeignKeySource.Announcement?
        /// The receiving end wants what was announced of a stream from an offset on.
        var stream: PadStream?
        var offset: UInt64?
    }

    struct Answer: Codable {
        var announcements: [ForeignKeySource.Announcement]?
        var kind: FailureKind?
        var problem: String?
    }

    /// More than the identifiers of the keys that come in one request.
    static let longest = 4 << 20

    static func write(_ value: some Encodable, _ connection: TLSConnection, _ deadline: Deadline) throws {
        let text = try JSONEncoder().encode(value)
        guard text.count <= longest else {
            throw Failure(
                .data, at: connection.socket.remote, "an announcement of \(text.count) bytes",
                remedy: "let the key server give longer keys")
        }
        var message = Data(count: 4)
        message.withUnsafeMutableBytes { $0.store(bigEndian: UInt32(text.count), at: 0) }
        message.append(text)
        try message.withUnsafeBytes { try connection.write($0, deadline) }
    }

    /// Nil when the peer has ended.
    static func read<Value: Decodable>(
        _ kind: Value.Type, _ connection: TLSConnection, _ deadline: Deadline
    ) throws -> Value? {
        var head = [UInt8](repeating: 0, count: 4)
        guard try head.withUnsafeMutableBytes({ try connection.readWhole($0, deadline, mayEnd: true) }) else {
            return nil
        }
        let count = head.withUnsafeBytes { Int($0.load(bigEndian: UInt32.self, at: 0)) }
        guard count <= longest else {
            throw Failure(
                .data, at: connection.socket.remote, "a message of \(count) bytes", remedy: "look at who announces keys")
        }
        var text = Data(count: count)
        _ = try text.withUnsafeMutableBytes { try connection.readWhole($0, deadline, mayEnd: false) }
        do {
            return try JSONDecoder().decode(kind, from: text)
        } catch {
            throw Failure(
                .data, at: connection.socket.remote, "no message about keys", remedy: "run the same release of dsgd")
        }
    }
}

/// A role's end of what two roles tell each other of keys from foreign key servers: it listens for the one peer, and calls
/// it.
///
/// `@unchecked Sendable`: `lock` guards `source`, `connection`, `calls` and `isStopped`.
public final class KeyAnnouncements: @unchecked Sendable {
    private let listener: TLSListener
    private let peer: String
    private let host: String
    private let peerPort: UInt16
    private let context: TLSContext
    private let timeout: Double
    private let log: @Sendable (String) -> Void
    private let lock = NSLock()
    private weak var source: ForeignKeySource?
    /// Kept for the next question.
    private var connection: TLSConnection?
    /// Of questions that are under way.
    private var calls: [ObjectIdentifier: Socket] = [:]
    private var isStopped = false

    /// Listens at once; answers after `start`.
    ///
    /// - Parameters:
    ///   - server, client: of the same certificate; the peer is known by its name in its own, not by its host.
    ///   - peer: the SAE ID that the peer's certificate must name.
    ///   - timeout: seconds for a question and its answer, in which the peer asks its key server.
    public init(
        listenAt own: (host: String, port: UInt16), server: TLSContext, client: TLSContext, peer: String,
        peerAt place: (host: String, port: UInt16), timeout: Double = 40,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws {
        self.peer = peer
        (host, peerPort) = place
        self.timeout = timeout
        self.log = log
        context = client
        listener = try TLSListener(host: own.host, port: own.port, context: server, log: log)
    }

    /// Answers the peer's questions with what `source` knows.
    public func start(_ source: ForeignKeySource) {
        lock.withLock { self.source = source }
        listener.start { [weak self] in try self?.serve($0) }
    }

    /// Answers no more, and ends this end's own questions.
    public func stop() {
        lock.withLock {
            isStopped = true
            for socket in calls.values { socket.stop() }
            connection = nil
        }
        listener.stop()
    }

    private func check(_ connection: TLSConnection) throws {
        guard connection.peerNames.contains(peer) else {
            throw Failure(
                .notAuthorised, at: connection.socket.remote, "its certificate is not that of \"\(peer)\"",
                remedy: "check peer_sae_id, and who calls from there")
        }
    }

    // MARK: - The peer asks

    private func serve(_ connection: TLSConnection) throws {
        try check(connection)
        // The peer keeps its connection; who has been silent for an hour connects again.
        while let question = try KeyAnnouncementMessage.read(
            KeyAnnouncementMessage.Question.self, connection, Deadline(in: 3600))
        {
            var answer = KeyAnnouncementMessage.Answer()
            do {
                guard let source = lock.withLock({ source }) else { return }
                if let announcement = question.announcement {
                    try source.accept(announcement)
                } else if let stream = question.stream {
                    answer.announcements = try newest(source.announcements(of: stream, from: question.offset ?? 0))
                }
            } catch {
                log("keys that \(peer) announced: \(error)")
                answer.kind = (error as? Failure)?.kind ?? .internalError
                answer.problem = (error as? Failure)?.problem ?? "\(error)"
            }
            try KeyAnnouncementMessage.write(answer, connection, Deadline(in: timeout))
        }
    }

    /// As many of the newest announcements as a message holds.
    private func newest(_ all: [ForeignKeySource.Announcement]) throws -> [ForeignKeySource.Announcement] {
        // The brackets of the answer, and commas.
        var left = KeyAnnouncementMessage.longest - 1024
        var count = 0
        for announcement in all.reversed() {
            left -= try JSONEncoder().encode(announcement).count + 1
            guard left >= 0 else { break }
            count += 1
        }
        return all.suffix(count)
    }

    // MARK: - This end asks

    /// Tells the peer of keys; returns when it has them.
    public func announce(_ announcement: ForeignKeySource.Announcement) throws {
        _ = try ask(KeyAnnouncementMessage.Question(announcement: announcement))
    }

    /// What the peer announced of a stream at and above an offset.
    public func recall(_ stream: PadStream, from offset: UInt64) throws -> [ForeignKeySource.Announcement] {
        try ask(KeyAnnouncementMessage.Question(stream: stream, offset: offset)).announcements ?? []
    }

    private func ask(_ question: KeyAnnouncementMessage.Question) throws -> KeyAnnouncementMessage.Answer {
        let deadline = Deadline(in: timeout)
        // Questions about different streams may go side by side: each has a connection while it waits.
        var answer: KeyAnnouncementMessage.Answer?
        if let kept = lock.withLock({ () -> TLSConnection? in
            defer { connection = nil }
            return connection
        }) {
            // The peer may have been restarted since.
            answer = try? during(kept.socket) { try ask(question, over: kept, deadline) }
        }
        if answer == nil {
            let socket = try Sockets.connect(host: host, port: peerPort, deadline)
            answer = try during(socket) {
                let fresh = try TLSConnection(context, over: socket, host: host, deadline)
                try check(fresh)
                return try ask(question, over: fresh, deadline)
            }
        }
        guard let answer else {
            throw Failure(
                .peerUnavailable, at: "\(host):\(peerPort)", "it does not answer about keys",
                remedy: "look whether \(peer) runs, and at its log")
        }
        if let problem = answer.problem {
            throw Failure(
                answer.kind ?? .data, at: "\(host):\(peerPort)", "\(peer) has not got the keys: \(problem)",
                remedy: "look at its key server")
        }
        return answer
    }

    /// Calls the body with a socket that `stop` ends.
    private func during<R>(_ socket: Socket, _ body: () throws -> R) throws -> R {
        try lock.withLock {
            guard !isStopped else {
                throw Failure(
                    .transient, at: "\(host):\(peerPort)", "this process is stopping",
                    remedy: "try again when it has restarted")
            }
            calls[ObjectIdentifier(socket)] = socket
        }
        defer { _ = lock.withLock { calls.removeValue(forKey: ObjectIdentifier(socket)) } }
        return try body()
    }

    /// Nil when the peer had closed.
    private func ask(
        _ question: KeyAnnouncementMessage.Question, over connection: TLSConnection, _ deadline: Deadline
    ) throws -> KeyAnnouncementMessage.Answer? {
        try KeyAnnouncementMessage.write(question, connection, deadline)
        let answer = try KeyAnnouncementMessage.read(KeyAnnouncementMessage.Answer.self, connection, deadline)
        if answer != nil { lock.withLock { self.connection = isStopped ? nil : connection } }
        return answer
    }
}
