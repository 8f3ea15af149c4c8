import Foundation
import Glibc
import Synchronization

/// Passes TCP connections on and cuts each after a number of bytes of one direction.
public final class Cutter: Sendable {
    /// Whose bytes count.
    public enum Side: Sendable { case caller, listener }

    public let port: UInt16
    private let descriptor: Int32
    private let target: UInt16
    private let side: Side
    /// Bytes after which the next connections are cut, the next one last; those beyond run through.
    private let cuts: Mutex<[Int]>
    private let count = Mutex((connections: 0, cut: 0))

    public init(target: UInt16, cuts: [Int], counting side: Side = .caller) throws {
        self.target = target
        self.side = side
        self.cuts = Mutex(cuts.reversed())
        (descriptor, port) = try Self.listen()
        Thread.detachNewThread { [self] in
            while true {
                let caller = accept(descriptor, nil, nil)
                guard caller >= 0 else { return }
                let limit = self.cuts.withLock { $0.popLast() } ?? Int.max
                count.withLock { $0.connections += 1 }
                guard let listener = Self.connect(self.target) else {
                    close(caller)
                    continue
                }
                let pair = Pair(caller, listener)
                Thread.detachNewThread { self.pass(caller, listener, side == .caller ? limit : .max, pair) }
                Thread.detachNewThread { self.pass(listener, caller, side == .listener ? limit : .max, pair) }
            }
        }
    }

    deinit { close(descriptor) }

    /// Connections so far, and how many of them were cut.
    public var connections: (all: Int, cut: Int) { count.withLock { ($0.connections, $0.cut) } }

    public func stop() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Both sockets of a connection, closed when neither direction needs them.
    private final class Pair: Sendable {
        let sockets: [Int32]

        init(_ caller: Int32, _ listener: Int32) { sockets = [caller, listener] }

        deinit { for socket in sockets { close(socket) } }
    }

    private func pass(_ from: Int32, _ to: Int32, _ limit: Int, _ pair: Pair) {
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var left = limit
        while left > 0 {
            let count = recv(from, &buffer, min(buffer.count, left), 0)
            if count <= 0 { break }
            var sent = 0
            while sent < count {
                let taken = buffer.withUnsafeBytes {
                    send(to, $0.baseAddress! + sent, count - sent, Int32(MSG_NOSIGNAL))
                }
                if taken <= 0 { break }
                sent += taken
            }
            if sent < count { break }
            left -= count
        }
        if limit == Int.max {
            shutdown(to, Int32(SHUT_WR))
        } else {
            if left == 0 { count.withLock { $0.cut += 1 } }
            for socket in pair.sockets { shutdown(socket, Int32(SHUT_RDWR)) }
        }
    }

    private static func withAddress<R>(
        _ port: UInt16, _ body: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> R
    ) -> (result: R, port: UInt16) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &size) }
        }
        return (result, UInt16(bigEndian: address.sin_port))
    }

    private static func listen() throws -> (Int32, UInt16) {
        let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let (code, port) = withAddress(0) { address, size in
            bind(made, address, size) | Glibc.listen(made, 64) | getsockname(made, address, &size)
        }
        guard made >= 0, code == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        return (made, port)
    }

    private static func connect(_ port: UInt16) -> Int32? {
        let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard withAddress(port, { Glibc.connect(made, $0, $1) }).result == 0 else {
            close(made)
            return nil
        }
        return made
    }
}
