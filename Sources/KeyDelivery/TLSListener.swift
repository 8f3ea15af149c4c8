import Channel
import Diagnostics
import Foundation
import Glibc

/// How long a peer may take, and how much it may send.
public struct DoorLimits: Sendable {
    /// Seconds from connect, or from the last answer, until a request is here whole: handshake and pauses included.
    public var request = 30.0
    /// Seconds until an answer has gone out.
    public var response = 120.0
    /// Bytes of a request's body.
    public var body = 64 << 10
    /// Connections at once; of more the oldest that has not shown a certificate is closed, or the new one.
    public var connections = 128

    public init() {}
}

/// Accepts applications over mutual TLS, one thread for each connection.
///
/// `@unchecked Sendable`: `condition` guards `open`, `greeting`, `threads`, `accepting` and `stopped`.
public final class TLSListener: @unchecked Sendable {
    /// The actual port, also when 0 was asked for.
    public let port: UInt16
    let limits: DoorLimits
    let log: @Sendable (String) -> Void
    private let descriptor: Int32
    private let context: TLSContext
    private let condition = NSCondition()
    private var open: [ObjectIdentifier: Socket] = [:]
    /// Those of them whose handshake is under way, the oldest first.
    private var greeting: [Socket] = []
    /// Threads that serve connections, those included whose connection was closed and that have not noticed.
    private var threads = 0
    private var accepting = false
    private var stopped = false

    /// Listens at once; answers after `start`.
    public init(
        host: String, port: UInt16, context: TLSContext, limits: DoorLimits = DoorLimits(),
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws {
        (descriptor, self.port) = try Sockets.listen(host: host, port: port)
        self.context = context
        self.limits = limits
        self.log = log
    }

    deinit { Glibc.close(descriptor) }

    /// Calls `handler` with each connection whose handshake succeeded; the connection ends when it returns.
    func start(_ handler: @escaping @Sendable (TLSConnection) throws -> Void) {
        condition.withLock { accepting = true }
        detachThread("dsgd-etsi-accept") { [self] in
            while let socket = Sockets.accept(descriptor) {
                guard admit(socket) else {
                    socket.stop()
                    continue
                }
                // A peer whose machine is gone says nothing of it.
                var (yes, idle, every, tries) = (Int32(1), Int32(60), Int32(10), Int32(3))
                setsockopt(socket.descriptor, SOL_SOCKET, SO_KEEPALIVE, &yes, 4)
                setsockopt(socket.descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, &idle, 4)
                setsockopt(socket.descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, &every, 4)
                setsockopt(socket.descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, &tries, 4)
                detachThread("dsgd-etsi") { [self] in
                    do {
                        let connection = try greet(socket)
                        defer { connection.close() }
                        try handler(connection)
                    } catch {
                        log("an application's connection from \(socket.remote) ended: \(error)")
                    }
                    condition.withLock {
                        _ = open.removeValue(forKey: ObjectIdentifier(socket))
                        threads -= 1
                        condition.broadcast()
                    }
                }
            }
            condition.withLock {
                accepting = false
                condition.broadcast()
            }
        }
    }

    private func greet(_ socket: Socket) throws -> TLSConnection {
        defer { condition.withLock { greeting.removeAll { $0 === socket } } }
        return try TLSConnection(context, over: socket, Deadline(in: limits.request))
    }

    /// Who only opens connections must not shut out who has a certificate.
    private func admit(_ socket: Socket) -> Bool {
        condition.withLock {
            if !stopped, open.count >= limits.connections, !greeting.isEmpty {
                let oldest = greeting.removeFirst()
                open.removeValue(forKey: ObjectIdentifier(oldest))
                oldest.stop()
            }
            guard !stopped, open.count < limits.connections, threads < 2 * limits.connections else { return false }
            threads += 1
            open[ObjectIdentifier(socket)] = socket
            greeting.append(socket)
            return true
        }
    }

    /// Accepts no more, breaks off open connections and waits until their threads have ended, 5 seconds at most.
    func stop() {
        let sockets = condition.withLock { () -> [Socket] in
            stopped = true
            return Array(open.values)
        }
        shutdown(descriptor, Int32(SHUT_RDWR))
        for socket in sockets { socket.stop() }
        let limit = Date(timeIntervalSinceNow: 5)
        condition.withLock {
            while threads > 0 || accepting, condition.wait(until: limit) {}
        }
    }
}
