import Diagnostics
import Foundation
import Glibc
import Metering

/// A point in time by the monotonic clock.
package struct Deadline: Sendable {
    let at: Double

    package init(in seconds: Double) { at = monotonicSeconds() + max(0, min(seconds, 1e9)) }

    package var left: Double { max(0, at - monotonicSeconds()) }
}

/// A connected stream socket, TCP or Unix, with deadlines and without SIGPIPE.
///
/// Plain POSIX calls into buffers that the caller owns, because what passes through here is wiped afterwards, and that
/// cannot be promised of the buffers of a networking framework.
/// `@unchecked Sendable`: the descriptor never changes and is closed in `deinit`, so no thread can meet a reused
/// number; one thread at a time reads and one writes; `watchfulness` belongs to the reader.
package final class Socket: @unchecked Sendable {
    package let descriptor: Int32
    /// For messages: the address of the other side.
    package let remote: String

    /// How often watching for the next bytes has paid of late.
    private var watchfulness = 0
    private static let mostWatchfulness = 16
    /// Seconds that a reader watches before it sleeps: about what waking it costs both ends, and longer than a sender on
    /// the same machine takes from one record to the next.
    private static let watchSeconds = 40e-6
    /// Seconds between two looks: each takes a lock that the peer's segments go through, and on one machine it is the
    /// peer who waits for it.
    private static let lookSeconds = 1e-6
    private static let mayWatch = ProcessInfo.processInfo.activeProcessorCount > 1

    package init(descriptor: Int32, remote: String) {
        self.descriptor = descriptor
        self.remote = remote
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    deinit { close(descriptor) }

    /// Ends both directions; threads that wait on the socket return.
    package func stop() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Tells the peer that nothing more comes.
    package func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    package func write(_ bytes: UnsafeRawBufferPointer, _ deadline: Deadline) throws {
        var done = 0
        while done < bytes.count {
            let count = Glibc.send(descriptor, bytes.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
            if count > 0 {
                done += count
            } else if count < 0 && errno == EAGAIN {
                guard try wait(Int16(POLLOUT), deadline) else {
                    throw Failure(
                        .transient, at: remote, "the peer took no data in time",
                        remedy: "try again; look whether the peer hangs")
                }
            } else if count < 0 && errno != EINTR {
                throw Failure(
                    .peerUnavailable, at: remote, "the connection broke: \(reason())", remedy: "connect again")
            }
        }
    }

    /// Fills the buffer. False when the peer had closed before the first byte.
    ///
    /// - Parameter isBegun: whether the message that is being read began before, so that an end is a truncation.
    package func read(
        _ bytes: UnsafeMutableRawBufferPointer, _ deadline: Deadline, isBegun: Bool = false
    ) throws -> Bool {
        guard let done = try read(bytes, atLeast: bytes.count, isBegun: isBegun, deadline) else { return false }
        return done == bytes.count
    }

    /// Reads until `least` bytes are there, and what came with them; returns by how many they are more.
    package func read(_ bytes: UnsafeMutableRawBufferPointer, atLeast least: Int, _ deadline: Deadline) throws -> Int {
        guard let done = try read(bytes, atLeast: least, isBegun: true, deadline) else { return 0 }
        return done - least
    }

    /// Reads what is there, or comes in a moment; 0 also when the peer has closed.
    package func readSome(_ bytes: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = Glibc.recv(descriptor, bytes.baseAddress!, bytes.count, 0)
            if count >= 0 { return count }
            if errno == EAGAIN { return watch(bytes.baseAddress!, bytes.count) }
            if errno != EINTR {
                throw Failure(
                    .peerUnavailable, at: remote, "the connection broke: \(reason())", remedy: "connect again")
            }
        }
    }

    /// Reads `least` bytes and more when there are more; nil when the peer had closed before the first byte of a
    /// message.
    private func read(
        _ bytes: UnsafeMutableRawBufferPointer, atLeast least: Int, isBegun: Bool, _ deadline: Deadline
    ) throws -> Int? {
        var done = 0
        while done < least {
            let count = Glibc.recv(descriptor, bytes.baseAddress! + done, bytes.count - done, 0)
            if count > 0 {
                done += count
            } else if count == 0 {
                if done == 0 && !isBegun { return nil }
                throw Failure(
                    .peerUnavailable, at: remote,
                    "the stream is truncated: it ended after \(done) of \(least) bytes",
                    remedy: "connect again; what was not acknowledged is sent again under new pad")
            } else if errno == EAGAIN {
                let arrived = watch(bytes.baseAddress! + done, bytes.count - done)
                if arrived > 0 {
                    done += arrived
                    continue
                }
                guard try wait(Int16(POLLIN), deadline) else {
                    throw Failure(
                        .transient, at: remote,
                        done == 0 && !isBegun
                            ? "the peer sent nothing in time"
                            : "the peer stalled after \(done) of \(least) bytes",
                        remedy: "try again; look whether the peer hangs")
                }
            } else if errno != EINTR {
                throw Failure(
                    .peerUnavailable, at: remote, "the connection broke: \(reason())", remedy: "connect again")
            }
        }
        return done
    }

    /// Looks again and again for a moment whether the rest of a message comes, instead of sleeping: in a busy stream
    /// it does, and then neither end pays for waking the reader. Where it does not pay, it is seldom tried.
    private func watch(_ place: UnsafeMutableRawPointer, _ room: Int) -> Int {
        guard Self.mayWatch else { return 0 }
        guard watchfulness >= 0 else {
            watchfulness += 1
            return 0
        }
        let end = monotonicSeconds() + Self.watchSeconds
        repeat {
            let count = Glibc.recv(descriptor, place, room, 0)
            if count > 0 {
                watchfulness = min(watchfulness + 1, Self.mostWatchfulness)
                return count
            }
            if count == 0 || errno != EAGAIN { break }
            let next = monotonicSeconds() + Self.lookSeconds
            while monotonicSeconds() < next {}
        } while monotonicSeconds() < end
        watchfulness = watchfulness > 0 ? watchfulness / 2 : -Self.mostWatchfulness
        return 0
    }

    /// Like `read`, where the end of the stream is an error too.
    package func readWhole(_ bytes: UnsafeMutableRawBufferPointer, _ deadline: Deadline) throws {
        guard try bytes.isEmpty || read(bytes, deadline) else {
            throw Failure(
                .peerUnavailable, at: remote, "the peer closed the connection",
                remedy: "connect again, or look at its log")
        }
    }

    /// Whether something can be read before the deadline.
    package func readable(_ deadline: Deadline) throws -> Bool { try wait(Int16(POLLIN), deadline) }

    private func wait(_ events: Int16, _ deadline: Deadline) throws -> Bool {
        while true {
            var poller = pollfd(fd: descriptor, events: events, revents: 0)
            let milliseconds = Int32(min(deadline.left * 1000 + 0.999, 1e9))
            let ready = poll(&poller, 1, milliseconds)
            if ready > 0 { return true }
            if ready == 0 {
                if deadline.left <= 0 { return false }
            } else if errno != EINTR {
                throw Failure(.inputOutput, at: remote, "poll failed: \(reason())", remedy: "report the fault")
            }
        }
    }

    private func reason() -> String { String(cString: strerror(errno)) }
}

/// TCP and Unix sockets as far as the secrecy wing needs them.
package enum Sockets {
    private static func refuse(_ kind: FailureKind, _ place: String, _ what: String, _ remedy: String) -> Failure {
        Failure(kind, at: place, "\(what): \(String(cString: strerror(errno)))", remedy: remedy)
    }

    /// Calls `body` with each address of the host until one succeeds.
    private static func resolve<R>(
        _ host: String, _ port: UInt16, passive: Bool, _ body: (UnsafePointer<addrinfo>) throws -> R
    ) throws -> R {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = passive ? Int32(AI_PASSIVE) : 0
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0, let list else {
            throw Failure(
                .configuration, at: host, "the host name does not resolve: \(String(cString: gai_strerror(code)))",
                remedy: "correct the host in the configuration")
        }
        defer { freeaddrinfo(list) }
        var last: any Error = Failure(.configuration, at: host, "the host has no address", remedy: "correct the host")
        var entry: UnsafeMutablePointer<addrinfo>? = list
        while let address = entry {
            do { return try body(address) } catch { last = error }
            entry = address.pointee.ai_next
        }
        throw last
    }

    /// - Parameter segment: the largest TCP segment in bytes; 0 leaves it to the system.
    package static func connect(host: String, port: UInt16, segment: Int = 0, _ deadline: Deadline) throws -> Socket {
        let place = "\(host):\(port)"
        return try resolve(host, port, passive: false) { address in
            let descriptor = socket(address.pointee.ai_family, Int32(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else {
                throw refuse(.inputOutput, place, "no socket", "raise the limit of open files")
            }
            let connection = Socket(descriptor: descriptor, remote: place)
            if segment > 0 {
                var size = Int32(clamping: segment)
                setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_MAXSEG, &size, 4)
            }
            try finish(
                connection, Glibc.connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen), deadline)
            prepare(descriptor)
            return connection
        }
    }

    /// Options of a connected TCP socket. Between two ends on one machine no line is shared and none is slow: a
    /// congestion control that paces (BBR) would only hold the stream back, so the kernel's plain one takes its place.
    private static func prepare(_ descriptor: Int32) {
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
        if let near = address(descriptor, getsockname), near == address(descriptor, getpeername) {
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, "reno", 4)
        }
    }

    /// The network address of one end of a connection, without its port.
    private static func address(
        _ descriptor: Int32, _ name: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> [UInt8]? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name(descriptor, $0, &size) }
        }
        // sin_addr and sin6_addr.
        let places = [sa_family_t(AF_INET): 4..<8, sa_family_t(AF_INET6): 8..<24]
        guard result == 0, let place = places[storage.ss_family] else { return nil }
        return withUnsafeBytes(of: storage) { Array($0[place]) }
    }

    private static func finish(_ connection: Socket, _ result: Int32, _ deadline: Deadline) throws {
        let remedy = "start the peer, or correct its address"
        if result == 0 { return }
        guard errno == EINPROGRESS || errno == EAGAIN else {
            throw refuse(.peerUnavailable, connection.remote, "cannot connect", remedy)
        }
        var poller = pollfd(fd: connection.descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&poller, 1, Int32(min(deadline.left * 1000 + 1, 1e9))) > 0 else {
            throw Failure(.peerUnavailable, at: connection.remote, "no connection in time", remedy: remedy)
        }
        var problem: Int32 = 0
        var size = socklen_t(4)
        getsockopt(connection.descriptor, SOL_SOCKET, SO_ERROR, &problem, &size)
        errno = problem
        if problem != 0 { throw refuse(.peerUnavailable, connection.remote, "cannot connect", remedy) }
    }

    /// A listening TCP socket and its actual port.
    package static func listen(host: String, port: UInt16) throws -> (descriptor: Int32, port: UInt16) {
        let place = "\(host):\(port)"
        return try resolve(host, port, passive: true) { address in
            let descriptor = socket(address.pointee.ai_family, Int32(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else {
                throw refuse(.inputOutput, place, "no socket", "raise the limit of open files")
            }
            var on: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            guard bind(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0,
                Glibc.listen(descriptor, 128) == 0
            else {
                let failure = refuse(.configuration, place, "cannot listen", "use a free port of this machine")
                close(descriptor)
                throw failure
            }
            return (descriptor, localPort(descriptor))
        }
    }

    private static func localPort(_ descriptor: Int32) -> UInt16 {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(descriptor, $0, &size) }
            // The port has the same place in sockaddr_in and sockaddr_in6.
            return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                UInt16(bigEndian: $0.pointee.sin_port)
            }
        }
    }

    /// The next connection, or nil when the listener was shut down.
    package static func accept(_ descriptor: Int32) -> Socket? {
        while true {
            var storage = sockaddr_storage()
            var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let (connection, remote) = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> (Int32, String) in
                    let connection = Glibc.accept(descriptor, address, &size)
                    guard connection >= 0, address.pointee.sa_family != sa_family_t(AF_UNIX) else {
                        return (connection, "local process")
                    }
                    var name = [CChar](repeating: 0, count: 1025)
                    getnameinfo(address, size, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
                    return (
                        connection,
                        String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                    )
                }
            }
            if connection >= 0 {
                prepare(connection)
                return Socket(descriptor: connection, remote: remote)
            }
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(50_000)
            default: return nil
            }
        }
    }

    // MARK: - Unix sockets

    /// The longest path that the kernel's address structure holds.
    package static let longestPath = 107

    private static func withAddress<R>(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> R
    ) throws -> R {
        let bytes = Array(path.utf8)
        guard bytes.count <= longestPath, !bytes.contains(0) else {
            throw Failure(
                .configuration, at: path,
                "the path of a Unix socket may have \(longestPath) bytes, this one has \(bytes.count)",
                remedy: "use a state directory with a shorter path")
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return try withUnsafePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    package static func connect(path: String, _ deadline: Deadline) throws -> Socket {
        try withAddress(path) { address, size in
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else {
                throw refuse(.inputOutput, path, "no socket", "raise the limit of open files")
            }
            let connection = Socket(descriptor: descriptor, remote: path)
            guard Glibc.connect(descriptor, address, size) == 0 else {
                throw refuse(.peerUnavailable, path, "cannot connect", "start the process that serves this socket")
            }
            return connection
        }
    }

    /// A listening Unix socket that only this user can open. A socket file that nobody serves is replaced.
    package static func listen(path: String) throws -> Int32 {
        try withAddress(path) { address, size in
            if let live = try? connect(path: path, Deadline(in: 1)) {
                live.stop()
                throw Failure(
                    .configuration, at: path, "another process serves this socket", remedy: "stop it first")
            }
            unlink(path)
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else {
                throw refuse(.inputOutput, path, "no socket", "raise the limit of open files")
            }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            // On Linux the mode of the descriptor before bind is the mode of the file, so it is never wider.
            fchmod(descriptor, 0o600)
            guard bind(descriptor, address, size) == 0, chmod(path, 0o600) == 0, Glibc.listen(descriptor, 128) == 0
            else {
                let failure = refuse(
                    .cannotCreate, path, "cannot listen", "create the directory and let this user write there")
                close(descriptor)
                throw failure
            }
            return descriptor
        }
    }
}
