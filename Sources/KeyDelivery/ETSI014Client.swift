import Channel
import Diagnostics
import Foundation
import Kernels

/// An application's side of ETSI GS QKD 014 V1.1.1: takes key from any KME that speaks it.
///
/// One request at a time; connections are kept and made again. What other servers add to the standard is passed over:
/// more fields, `details` as strings, and codes that the standard does not have, which are told as they are.
/// `@unchecked Sendable`: `lock` guards `connection` and is held for a request and its answer; `ending` guards `socket` and
/// `isClosed`, and is taken after it.
public final class ETSI014Client: @unchecked Sendable {
    private let host: String
    private let port: UInt16
    private let path: String
    private let context: TLSContext
    private let kmeID: String?
    /// Seconds for a request and its answer.
    let timeout: Double
    private let lock = NSLock()
    private let pool = SecretMemoryPool()
    private typealias Connection = (tls: TLSConnection, stream: HTTPStream)
    /// Only one on which nothing is owed: each answer that was asked for on it has been read whole.
    private var connection: Connection?
    private let ending = NSLock()
    /// Of the connection that is kept, or in use.
    private weak var socket: Socket?
    private var isClosed = false
    /// Bytes of an answer.
    private static let longestAnswer = 256 << 20

    /// Connects at the first request.
    ///
    /// - Parameters:
    ///   - url: `https://host:port`, with a path where the KME is not at the root.
    ///   - kmeID: the KME ID that the server's certificate must name; nil when the host's name is enough.
    ///   - timeout: seconds for a request and its answer.
    public init(url: String, context: TLSContext, kmeID: String? = nil, timeout: Double = 30) throws {
        guard let parts = URLComponents(string: url), parts.scheme?.lowercased() == "https",
            let host = parts.host, !host.isEmpty, parts.query == nil, parts.port.map({ 1...65_535 ~= $0 }) ?? true
        else {
            throw Failure(.usage, at: url, "is no URL of a key server", remedy: "write https://host:port")
        }
        self.host = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        port = UInt16(parts.port ?? 443)
        path =
            parts.percentEncodedPath.hasSuffix("/")
            ? String(parts.percentEncodedPath.dropLast()) : parts.percentEncodedPath
        self.context = context
        self.kmeID = kmeID
        self.timeout = timeout
    }

    /// "Get status".
    public func status(slave: String) throws -> ETSI014Status {
        let (bytes, count) = try call("GET", slave, "status", nil)
        do {
            return try bytes.withUnsafeBytes {
                try JSONDecoder().decode(ETSI014Status.self, from: Data($0.slice(0..<count)))
            }
        } catch {
            throw malformed("the status cannot be read: \(error)")
        }
    }

    /// "Get key": new keys for this application and a slave.
    ///
    /// - Parameters: `bits` is the size of each key; nil for the KME's default.
    /// - Throws: `Failure` `.data` (400 and what the standard has no code for), `.notAuthorised` (401), `.transient`
    ///   (503).
    public func newKeys(slave: String, number: Int = 1, bits: Int? = nil) throws -> KeyContainer {
        let body = try Self.encoded(ETSI014KeyRequest(number: number, size: bits))
        let keys = try read(call("POST", slave, "enc_keys", body))
        guard keys.lengths.count == number, bits == nil || keys.lengths.allSatisfy({ $0 * 8 == bits }) else {
            keys.bytes.wipe()
            throw malformed("the keys are not as many or not as long as were asked for")
        }
        guard Set(keys.identifiers.map { $0.lowercased() }).count == number else {
            keys.bytes.wipe()
            throw malformed("it gives a key twice in one answer")
        }
        return keys
    }

    /// "Get key with key IDs": this application's copies of keys that a master got.
    public func keys(_ identifiers: [String], master: String) throws -> KeyContainer {
        let request = ETSI014KeyIDs(key_IDs: identifiers.map { .init(key_ID: $0) })
        let keys = try read(call("POST", master, "dec_keys", Self.encoded(request)))
        // In the order of the request, whatever the order of the answer.
        guard keys.identifiers.map({ $0.lowercased() }) == identifiers.map({ $0.lowercased() }) else {
            let sorted = Self.reordered(keys, identifiers)
            keys.bytes.wipe()
            guard let sorted else { throw malformed("the keys are not those that were asked for") }
            return sorted
        }
        return keys
    }

    /// The same bytes for the same request, so that exchanges can be compared.
    private static func encoded(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return try encoder.encode(value)
    }

    /// Wipes keys and keeps their memory for the next answer, which is then had at less cost. Nobody may use them
    /// after.
    public func recycle(_ keys: KeyContainer) { pool.giveBack(keys.bytes) }

    /// Ends the connection and a request that is under way. Nothing can be asked any more.
    public func close() {
        ending.withLock {
            isClosed = true
            socket?.stop()
        }
    }

    private static func reordered(_ keys: KeyContainer, _ identifiers: [String]) -> KeyContainer? {
        var places: [String: Range<Int>] = [:]
        var at = 0
        for (identifier, length) in zip(keys.identifiers, keys.lengths) {
            places[identifier.lowercased()] = at..<at + length
            at += length
        }
        let wanted = identifiers.compactMap { places[$0.lowercased()] }
        guard keys.identifiers.count == identifiers.count, wanted.count == identifiers.count,
            places.count == wanted.count
        else { return nil }
        let bytes = SecureBytes(count: at)
        bytes.withUnsafeMutableBytes { to in
            keys.bytes.withUnsafeBytes { from in
                var at = 0
                for range in wanted {
                    to.slice(at..<at + range.count).copyMemory(from: from.slice(range))
                    at += range.count
                }
            }
        }
        return KeyContainer(identifiers: identifiers, lengths: wanted.map(\.count), bytes: bytes)
    }

    private func read(_ body: (bytes: SecureBytes, count: Int)) throws -> KeyContainer {
        do {
            return try KeyContainerReader.read(body.bytes, count: body.count)
        } catch let malformed as KeyContainerReader.Malformed {
            throw self.malformed(malformed.problem)
        }
    }

    private var place: String { "key server \(host):\(port)" }

    private func malformed(_ problem: String) -> Failure {
        Failure(.data, at: place, problem, remedy: "check that it speaks ETSI GS QKD 014 V1.1.1")
    }

    // MARK: - HTTP

    private func call(
        _ method: String, _ application: String, _ name: String, _ body: Data?
    ) throws -> (bytes: SecureBytes, count: Int) {
        let unreserved = CharacterSet(
            charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        let segment = application.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
        var request = "\(method) \(path)/api/v1/keys/\(segment)/\(name) HTTP/1.1\r\n"
        request += "host: \(host.contains(":") ? "[\(host)]" : host):\(port)\r\naccept: application/json\r\n"
        if let body { request += "content-type: application/json\r\ncontent-length: \(body.count)\r\n" }
        let message = Data((request + "\r\n").utf8) + (body ?? Data())
        return try lock.withLock {
            // What waited for another request has all its time: one that is cut short may lose keys that are given once.
            let deadline = Deadline(in: timeout)
            if let kept = connection {
                do {
                    if let answer = try exchange(message, over: kept, deadline) { return answer }
                } catch let failure as Failure where failure.kind == .peerUnavailable {}
                // The server closed it since the last request, which came to nothing.
            }
            guard let answer = try exchange(message, over: connect(deadline), deadline) else {
                throw Failure(
                    .peerUnavailable, at: place, "it closed the connection without an answer", remedy: "look at its log"
                )
            }
            return answer
        }
    }

    private func connect(_ deadline: Deadline) throws -> Connection {
        try checkOpen()
        let socket = try Sockets.connect(host: host, port: port, deadline)
        ending.withLock { self.socket = socket }
        try checkOpen()
        let tls = try TLSConnection(context, over: socket, host: host, deadline)
        if let kmeID, !tls.peerNames.contains(kmeID) {
            throw Failure(
                .notAuthorised, at: place, "its certificate is not that of the KME \"\(kmeID)\"",
                remedy: "check the address and the KME ID")
        }
        return (tls, HTTPStream(tls, pool))
    }

    private func checkOpen() throws {
        guard !ending.withLock({ isClosed }) else {
            throw Failure(
                .transient, at: place, "the client was closed", remedy: "ask again when the process has restarted")
        }
    }

    /// Nil when the server had closed before it answered. The connection is kept when the answer was read whole and nothing
    /// came behind it: on any other, what is read next would be the rest of this answer, or all of it come late.
    private func exchange(
        _ message: Data, over connection: Connection, _ deadline: Deadline
    ) throws -> (bytes: SecureBytes, count: Int)? {
        self.connection = nil
        try message.withUnsafeBytes { try connection.tls.write($0, deadline) }
        do {
            while true {
                guard let head = try connection.stream.head(deadline) else { return nil }
                guard head.start[0].hasPrefix("HTTP/1."), let status = Int(head.start[1]) else {
                    throw HTTPFault(problem: "the answer is not HTTP/1.1")
                }
                if 100..<200 ~= status { continue }
                let framing = try connection.stream.framing(head, otherwise: status == 204 ? .length(0) : .untilClose)
                let body = try connection.stream.body(framing, limit: Self.longestAnswer, deadline)
                if framing != .untilClose, head.keepsAlive(version: head.start[0]), connection.stream.isRead {
                    self.connection = connection
                }
                guard status == 200 else { throw refusal(status, body) }
                return body
            }
        } catch let fault as HTTPFault {
            throw malformed(fault.problem)
        }
    }

    private func refusal(_ status: Int, _ body: (bytes: SecureBytes, count: Int)) -> Failure {
        // Nothing of the body but the standard's message is told: with a code of success it may hold keys.
        let said =
            status < 400
            ? nil
            : body.bytes.withUnsafeBytes {
                try? JSONDecoder().decode(ETSI014Error.self, from: Data($0.slice(0..<min(body.count, 4096)))).message
            }
        body.bytes.wipe()
        let problem = "it refuses with code \(status)" + (said.map { ": \($0.prefix(200))" } ?? "")
        switch status {
        case 401:
            return Failure(
                .notAuthorised, at: place, problem, remedy: "show the certificate of the SAE that may have it")
        case 503: return Failure(.transient, at: place, problem, remedy: "try again when there is key")
        default: return Failure(.data, at: place, problem, remedy: "look at the server's status for what it gives")
        }
    }
}
