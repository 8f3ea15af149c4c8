import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
public import OneTimePad

/// The messages on a node's `ksa.sock`, an indexed key stream in the manner of ETSI GS QKD 004's GET_KEY.
///
/// Request: length of what follows (4 bytes, big-endian), JSON. Answer: status (1 byte: 0 key or JSON, 1 failure as
/// JSON), 3 zero bytes, length (4), the key or JSON. Key is never inside JSON.
struct SupplyRequest: Codable {
    enum Operation: String, Codable { case take, resume, made, discard, status }
    var operation: Operation
    var role: String
    var stream: PadStream?
    var offset: UInt64?
    var length: Int?
    var timeout: Double?
    /// Of a sender's take: 2 for key in two parts, on ways that have no node in common; 1 when left out.
    var ways: Int?

    static let headerSize = 8
    static let longestTake = 16 << 20
}

struct SupplyFailure: Codable {
    var kind: FailureKind
    var place: String
    var problem: String
    var remedy: String

    init(_ error: any Error) {
        let failure =
            error as? Failure ?? Failure(.internalError, at: "key supply", "\(error)", remedy: "report the fault")
        (kind, place, problem, remedy) = (failure.kind, failure.place, failure.problem, failure.remedy)
    }

    var failure: Failure { Failure(kind, at: place, problem, remedy: remedy) }
}

/// A role's door to the key supply agent of its node: the `PadSource` of its pads.
///
/// The role and the agent are inside one trusted node; the socket is open to this user only, and the agent checks that.
/// `@unchecked Sendable`: `lock` guards `idle`, the connections that no call uses.
public final class KeySupplyClient: PadSource, @unchecked Sendable {
    public let socketPath: String
    public let role: String
    private let ways: Int
    private let lock = NSLock()
    private var idle: [Socket] = []

    /// - Parameter ways: 2 for key to send with that goes through the network in two parts, on ways that have no node in
    ///   common, so that no single node between the two ends' nodes learns it.
    public init(socketPath: String, role: String, ways: Int = 1) {
        self.socketPath = socketPath
        self.role = role
        self.ways = ways
    }

    public func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let request = SupplyRequest(
            operation: .take, role: role, stream: stream, offset: offset, length: destination.count, timeout: timeout,
            ways: ways == 1 ? nil : ways)
        try call(request, wait: timeout + 15) { socket, count, deadline in
            guard count == destination.count else { throw self.broken() }
            try socket.readWhole(destination, deadline)
        }
    }

    public func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
        try json(SupplyRequest(operation: .resume, role: role, stream: stream, offset: offset), wait: timeout)
    }

    public func made(_ stream: PadStream, timeout: Double) throws -> UInt64? {
        try json(SupplyRequest(operation: .made, role: role, stream: stream, offset: 0), wait: timeout) as UInt64
    }

    public func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {
        let request = SupplyRequest(operation: .discard, role: role, stream: stream, offset: offset)
        let _: UInt64 = try json(request, wait: timeout)
    }

    /// What the node knows of its links and streams.
    public func status() throws -> KeyNodeStatus {
        try json(SupplyRequest(operation: .status, role: role), wait: Self.patience)
    }

    private func broken() -> Failure {
        Failure(
            .inputOutput, at: socketPath, "the key supply agent answers what was not asked",
            remedy: "run the same release of dsgd at the node")
    }

    private func json<T: Decodable>(_ request: SupplyRequest, wait: Double) throws -> T {
        try call(request, wait: wait) { socket, count, deadline in
            var bytes = Data(count: count)
            try bytes.withUnsafeMutableBytes { try socket.readWhole($0, deadline) }
            return try JSONDecoder().decode(T.self, from: bytes)
        }
    }

    private func call<R>(
        _ request: SupplyRequest, wait: Double, _ body: (Socket, Int, Deadline) throws -> R
    ) throws -> R {
        let deadline = Deadline(in: wait)
        if let socket = lock.withLock({ idle.popLast() }) {
            do {
                return try call(request, over: socket, deadline, body)
            } catch let failure as Failure where failure.kind == .peerUnavailable {
                // The node was restarted since: all connections to its last run are gone.
                lock.withLock { idle.removeAll() }
            }
        }
        return try call(request, over: Sockets.connect(path: socketPath, deadline), deadline, body)
    }

    private func call<R>(
        _ request: SupplyRequest, over socket: Socket, _ deadline: Deadline, _ body: (Socket, Int, Deadline) throws -> R
    ) throws -> R {
        let text = try JSONEncoder().encode(request)
        var message = Data(count: 4)
        message.withUnsafeMutableBytes { $0.store(bigEndian: UInt32(text.count), at: 0) }
        message.append(text)
        try message.withUnsafeBytes { try socket.write($0, deadline) }
        let (status, count) = try withUnsafeTemporaryAllocation(byteCount: SupplyRequest.headerSize, alignment: 8) {
            header in
            try socket.readWhole(header, deadline)
            return (header[0], Int(UnsafeRawBufferPointer(header).load(bigEndian: UInt32.self, at: 4)))
        }
        guard count <= SupplyRequest.longestTake else { throw broken() }
        if status != 0 {
            var bytes = Data(count: count)
            try bytes.withUnsafeMutableBytes { try socket.readWhole($0, deadline) }
            let failure = try JSONDecoder().decode(SupplyFailure.self, from: bytes).failure
            lock.withLock { idle.append(socket) }
            throw failure
        }
        let result = try body(socket, count, deadline)
        // A socket whose call failed half-way is dropped, never used again.
        lock.withLock { idle.append(socket) }
        return result
    }
}

/// The agent's side of `ksa.sock`.
enum SupplyServer {
    static func serve(_ socket: Socket, agent: KeySupplyAgent, status: () throws -> KeyNodeStatus) throws {
        guard peerAccount(ofSocket: socket.descriptor) == geteuid() else {
            let failure = Failure(
                .notAuthorised, at: "ksa.sock", "a process of another user asked for key",
                remedy: "run the roles of a node under the node's user")
            try answer(socket, 1, JSONEncoder().encode(SupplyFailure(failure)))
            throw failure
        }
        // One buffer per connection: fresh secret pages cost more than the copy into them.
        var scratch: SecureBytes?
        while true {
            let length = try withUnsafeTemporaryAllocation(byteCount: 4, alignment: 4) { header -> Int? in
                guard try socket.read(header, Deadline(in: 1e9)) else { return nil }
                return Int(UnsafeRawBufferPointer(header).load(bigEndian: UInt32.self, at: 0))
            }
            guard let length else { return }
            guard length <= 4096 else {
                throw Failure(
                    .data, at: "ksa.sock", "a request of \(length) bytes",
                    remedy: "run the same release of dsgd in all roles")
            }
            var text = Data(count: length)
            try text.withUnsafeMutableBytes { try socket.readWhole($0, Deadline(in: 10)) }
            do {
                try handle(socket, try JSONDecoder().decode(SupplyRequest.self, from: text), agent, status, &scratch)
            } catch let broken as BrokenPipe {
                throw broken.failure
            } catch {
                try answer(socket, 1, JSONEncoder().encode(SupplyFailure(error)))
            }
        }
    }

    /// A failure of the connection itself, which no answer can follow.
    private struct BrokenPipe: Error { var failure: any Error }

    private static func handle(
        _ socket: Socket, _ request: SupplyRequest, _ agent: KeySupplyAgent, _ status: () throws -> KeyNodeStatus,
        _ scratch: inout SecureBytes?
    ) throws {
        if request.operation == .status {
            return try answer(socket, 0, JSONEncoder().encode(try status()))
        }
        guard let stream = request.stream, let offset = request.offset else {
            throw Failure(.data, at: "ksa.sock", "a request without stream or offset", remedy: "name both")
        }
        switch request.operation {
        case .status: break
        case .resume:
            try answer(socket, 0, JSONEncoder().encode(try agent.resume(stream, role: request.role, from: offset)))
        case .made:
            try answer(socket, 0, JSONEncoder().encode(try agent.made(stream, role: request.role)))
        case .discard:
            try agent.discard(stream, role: request.role, below: offset)
            try answer(socket, 0, JSONEncoder().encode(offset))
        case .take:
            guard let length = request.length, length > 0, length <= SupplyRequest.longestTake else {
                throw Failure(
                    .data, at: "ksa.sock", "an impossible length of key",
                    remedy: "ask for 1 to \(SupplyRequest.longestTake) bytes")
            }
            let size = SupplyRequest.headerSize + length
            let memory = scratch.flatMap { $0.count >= size ? $0 : nil } ?? SecureBytes(count: size)
            scratch = memory
            try memory.withUnsafeMutableBytes { memory in
                // Header and key leave in one call, so that the role wakes once.
                let key = memory.slice(SupplyRequest.headerSize..<size)
                defer { wipe(key) }
                try agent.take(
                    stream, role: request.role, offset: offset, into: key,
                    timeout: max(0, min(request.timeout ?? 0, 3600)), ways: request.ways ?? 1)
                do {
                    fill(memory.slice(0..<SupplyRequest.headerSize), 0, length)
                    try socket.write(UnsafeRawBufferPointer(memory.slice(0..<size)), Deadline(in: 10))
                } catch {
                    throw BrokenPipe(failure: error)
                }
            }
        }
    }

    private static func header(_ socket: Socket, _ status: UInt8, _ count: Int) throws {
        try withUnsafeTemporaryAllocation(byteCount: SupplyRequest.headerSize, alignment: 8) { header in
            fill(header, status, count)
            try socket.write(UnsafeRawBufferPointer(header), Deadline(in: 10))
        }
    }

    private static func fill(_ header: UnsafeMutableRawBufferPointer, _ status: UInt8, _ count: Int) {
        wipe(header)
        header[0] = status
        header.store(bigEndian: UInt32(count), at: 4)
    }

    private static func answer(_ socket: Socket, _ status: UInt8, _ text: Data) throws {
        do {
            try header(socket, status, text.count)
            try text.withUnsafeBytes { try socket.write($0, Deadline(in: 10)) }
        } catch {
            throw BrokenPipe(failure: error)
        }
    }
}
