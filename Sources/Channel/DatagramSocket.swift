import Diagnostics
import Foundation
import Glibc
package import Kernels

/// A connected UDP socket that sends and receives in batches.
///
/// `@unchecked Sendable`: the descriptor never changes and is closed in `deinit`; one thread at a time sends and one
/// receives; `offload` belongs to the sender.
package final class DatagramSocket: @unchecked Sendable {
    package let descriptor: Int32
    package let port: UInt16
    package static let slotSize = Datagrams.slotSize
    /// Bytes of the socket's buffers, where the system allows that much.
    private static let bufferBytes = 8 << 20
    private var offload: Bool

    /// A socket at the address that the connected TCP socket has on this side, at a port of its own.
    package init(besideTCP descriptor: Int32) throws {
        var address = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        guard result == 0 else { throw Self.failure("the connection has no address") }
        let made = socket(Int32(address.ss_family), Int32(SOCK_DGRAM.rawValue), 0)
        guard made >= 0 else { throw Self.failure("no socket for datagrams") }
        _ = fcntl(made, F_SETFD, FD_CLOEXEC)
        _ = fcntl(made, F_SETFL, O_NONBLOCK)
        offload = Datagrams.prepare(made, bufferBytes: Self.bufferBytes)
        Self.setPort(&address, 0)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> Int32 in
                guard bind(made, address, size) == 0 else { return -1 }
                return getsockname(made, address, &size)
            }
        }
        self.descriptor = made
        port = Self.port(address)
        // From here on `deinit` closes the socket.
        guard bound == 0 else { throw Self.failure("no port for datagrams") }
    }

    deinit { close(descriptor) }

    /// Takes datagrams from the peer of the TCP connection and that port only.
    package func connect(besideTCP tcp: Int32, port: UInt16) throws {
        var address = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(tcp, $0, &size) }
        }
        guard result == 0 else { throw Self.failure("the connection broke") }
        Self.setPort(&address, port)
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, size) }
        }
        guard connected == 0 else { throw Self.failure("no way to the peer's datagram port") }
    }

    // The port has the same place in sockaddr_in and sockaddr_in6.
    private static func setPort(_ address: inout sockaddr_storage, _ port: UInt16) {
        withUnsafeMutableBytes(of: &address) { $0.store(bigEndian: port, at: 2) }
    }

    private static func port(_ address: sockaddr_storage) -> UInt16 {
        withUnsafeBytes(of: address) { $0.load(bigEndian: UInt16.self, at: 2) }
    }

    private static func failure(_ what: String) -> Failure {
        Failure(
            .peerUnavailable, at: "datagrams", "\(what): \(String(cString: strerror(errno)))",
            remedy: "try again, or use TCP alone")
    }

    /// Sends `bytes` as datagrams of `segment` bytes, the last one with what is left. What the network refuses is lost.
    package func send(_ bytes: UnsafeRawBufferPointer, segment: Int, timeout: Double) throws {
        let deadline = Deadline(in: timeout)
        var done = 0
        while done < bytes.count {
            let sent = Datagrams.send(
                descriptor, UnsafeRawBufferPointer(rebasing: bytes[done...]), segment: segment, offload: offload)
            if sent > 0 {
                done += sent
                continue
            }
            switch Int32(-sent) {
            case EAGAIN, ENOBUFS:
                guard wait(writing: true, deadline.left) || deadline.left > 0 else {
                    throw Failure(
                        .transient, at: "datagrams", "the network took nothing in time", remedy: "try again")
                }
            case EINTR: continue
            case ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPERM: return
            case EIO where offload, EINVAL where offload: offload = false
            case EMSGSIZE:
                throw Failure(
                    .configuration, at: "datagrams", "datagrams of \(segment) bytes do not fit the path",
                    remedy: "set a smaller MTU")
            case let code:
                throw Failure(
                    .peerUnavailable, at: "datagrams", "cannot be sent: \(String(cString: strerror(code)))",
                    remedy: "connect again")
            }
        }
    }

    /// Receives batches into the slots; returns how many, 0 when none came in time.
    package func receive(
        into slots: UnsafeMutableRawBufferPointer, _ batches: UnsafeMutableBufferPointer<Datagrams.Batch>,
        timeout: Double
    ) throws -> Int {
        let deadline = Deadline(in: timeout)
        while true {
            let count = Datagrams.receive(descriptor, into: slots, batches)
            if count > 0 { return count }
            switch Int32(-count) {
            case EAGAIN: if deadline.left <= 0 || !wait(writing: false, deadline.left) { return 0 }
            // An earlier datagram of ours met no listener.
            case EINTR, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH: if deadline.left <= 0 { return 0 }
            case let code:
                throw Failure(
                    .peerUnavailable, at: "datagrams", "cannot be received: \(String(cString: strerror(code)))",
                    remedy: "connect again")
            }
        }
    }

    private func wait(writing: Bool, _ seconds: Double) -> Bool {
        Datagrams.wait(descriptor, writing: writing, seconds: seconds)
    }
}
