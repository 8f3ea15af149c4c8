import Diagnostics
import Foundation
import Glibc
import Synchronization

extension Sockets {
    /// Where the search goes on. It begins anywhere, as other processes search too.
    private static let next = Mutex<Int?>(nil)
    private static let lowest = 10_000

    /// TCP ports on loopback that nobody listens on; no process is given one twice.
    ///
    /// They lie below the range from which the system takes the ports of outgoing connections: one of those may be taken
    /// between this call and the moment at which its process listens, and a client that comes before its server may be
    /// connected to itself.
    package static func freePorts(_ count: Int) throws -> [UInt16] {
        let range = try? String(contentsOfFile: "/proc/sys/net/ipv4/ip_local_port_range", encoding: .utf8)
        let first = range?.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) } ?? 0
        // A system that takes nearly every port for outgoing connections leaves no such range.
        let end = first > lowest + 1_000 ? min(first, 1 << 16) : 32_768
        return try next.withLock { next in
            var ports: [UInt16] = []
            for _ in lowest..<end where ports.count < count {
                let port = next ?? Int.random(in: lowest..<end)
                next = port + 1 < end ? port + 1 : lowest
                if let socket = try? listen(host: "127.0.0.1", port: UInt16(port)) {
                    close(socket.descriptor)
                    ports.append(UInt16(port))
                }
            }
            if ports.count == count { return ports }
            throw Failure(
                .inputOutput, at: "loopback", "of the ports from \(lowest) to \(end - 1) no \(count) are free",
                remedy: "close some programs")
        }
    }
}
