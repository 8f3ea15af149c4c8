public import Diagnostics
import Foundation
import Glibc

/// Accepts peers over TCP: one thread per connection, proof of identity first.
///
/// `@unchecked Sendable`: `lock` guards the variables.
public final class ChannelListener: @unchecked Sendable {
    /// The actual port, also when 0 was asked for.
    public let port: UInt16
    public let identity: String
    private let provider: any PadProvider
    private let options: ChannelOptions
    private let limiter: RateLimiter
    private let onRefusal: (@Sendable (Failure) -> Void)?
    private let descriptor: Int32

    private let lock = NSCondition()
    private var running = 0
    private var accepting = false
    private var stopped = false
    private var sockets: [ObjectIdentifier: Socket] = [:]

    /// Binds the port; peers may connect from then on and are served after `start`.
    ///
    /// - Parameter onRefusal: told of every connection that was refused and why, for the log.
    public init(
        host: String, port: UInt16, identity: String, pads: any PadProvider, options: ChannelOptions = ChannelOptions(),
        onRefusal: (@Sendable (Failure) -> Void)? = nil
    ) throws {
        self.identity = identity
        provider = pads
        self.options = options
        self.onRefusal = onRefusal
        limiter = RateLimiter(first: options.firstPenalty, longest: options.longestPenalty)
        (descriptor, self.port) = try Sockets.listen(host: host, port: port)
    }

    deinit { Glibc.close(descriptor) }

    /// Serves peers on threads of their own; each channel is closed when `handler` returns.
    public func start(handler: @escaping @Sendable (SecureChannel) -> Void) {
        lock.withLock {
            precondition(!accepting && !stopped, "a listener is started once")
            accepting = true
        }
        detachThread("dsgd-accept") { [self] in
            while let socket = Sockets.accept(descriptor) {
                let admitted = lock.withLock { () -> Bool in
                    guard !stopped, running < options.maximumConnections else { return false }
                    running += 1
                    sockets[ObjectIdentifier(socket)] = socket
                    return true
                }
                guard admitted else {
                    socket.stop()
                    continue
                }
                detachThread("dsgd-peer") { [self] in serve(socket, handler) }
            }
            lock.withLock {
                accepting = false
                lock.broadcast()
            }
        }
    }

    private func serve(_ socket: Socket, _ handler: @Sendable (SecureChannel) -> Void) {
        defer {
            lock.withLock {
                sockets.removeValue(forKey: ObjectIdentifier(socket))
                running -= 1
                lock.broadcast()
            }
        }
        do {
            let session = try Handshake.server(
                socket, identity: identity, provider: provider, limiter: limiter,
                deadline: Deadline(in: options.handshakeTimeout))
            let channel = SecureChannel(socket: socket, identity: identity, session: session, options: options)
            handler(channel)
            channel.close()
        } catch {
            socket.stop()
            onRefusal?(
                error as? Failure ?? Failure(.inputOutput, at: socket.remote, "\(error)", remedy: "look at the peer"))
        }
    }

    /// Accepts no more, breaks off open connections and waits until their threads ended (at most `grace` seconds).
    public func stop(grace: Double = 5) {
        let open = lock.withLock { () -> [Socket] in
            stopped = true
            return Array(sockets.values)
        }
        shutdown(descriptor, Int32(SHUT_RDWR))
        for socket in open { socket.stop() }
        let limit = Date(timeIntervalSinceNow: grace)
        lock.withLock {
            while running > 0 || accepting {
                if !lock.wait(until: limit) { break }
            }
        }
    }
}

/// Starts a thread. Its stack is large enough for the kernels and for SQLite.
package func detachThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.name = name
    thread.stackSize = 1 << 20
    thread.start()
}
