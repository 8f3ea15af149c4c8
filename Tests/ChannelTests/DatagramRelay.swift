import Channel
import Foundation
import Glibc
import Synchronization
import TestSupport

/// Stands between the two ends of a datagram channel and loses, repeats, delays, alters and injects.
///
/// The caller's datagrams arrive at `callerPort` and leave from `listenerPort`, and the other way round.
final class DatagramRelay: Sendable {
    struct Trouble: Sendable {
        var loss = 0.0
        var duplication = 0.0
        var reordering = 0.0
    }

    /// A datagram of the caller, as it passed.
    struct Passed: Sendable {
        var bytes: [UInt8]
        var isLost: Bool
    }

    let callerPort: UInt16
    let listenerPort: UInt16
    private let toCaller: Int32
    private let toListener: Int32
    /// A socket that nobody reads.
    private let nowhere: (descriptor: Int32, port: UInt16)
    private let ports = Mutex<(caller: UInt16, listener: UInt16)>((0, 0))
    private let stopped = Atomic(false)
    private let ended = DispatchSemaphore(value: 0)
    private let capture: Bool
    let passed = Mutex<[Passed]>([])
    /// Both directions: the caller's and the listener's datagrams suffer alike.
    private let trouble: Mutex<Trouble>

    init(_ trouble: Trouble, capture: Bool = true) {
        self.trouble = Mutex(trouble)
        self.capture = capture
        (toCaller, callerPort) = Self.open()
        (toListener, listenerPort) = Self.open()
        nowhere = Self.open(bufferBytes: 4096)
        for isCaller in [true, false] {
            Thread.detachNewThread { [self] in
                run(from: isCaller ? toCaller : toListener, isCaller: isCaller)
                ended.signal()
            }
        }
    }

    func set(_ new: Trouble) { trouble.withLock { $0 = new } }

    func stop() {
        stopped.store(true, ordering: .relaxed)
        // Both threads look at least every 100 ms, and must not use descriptors that belong to somebody else by then.
        ended.wait()
        ended.wait()
        close(toCaller)
        close(toListener)
        close(nowhere.descriptor)
    }

    /// For the caller's options.
    var callerRoute: @Sendable (UInt16) -> UInt16 {
        { [self] port in
            ports.withLock { $0.listener = port }
            return callerPort
        }
    }

    /// For the listener's options.
    var listenerRoute: @Sendable (UInt16) -> UInt16 {
        { [self] port in
            ports.withLock { $0.caller = port }
            return listenerPort
        }
    }

    /// Sends something to the listener, as if it came from the caller.
    func inject(_ bytes: [UInt8]) { send(bytes, from: toListener, to: ports.withLock { $0.listener }) }

    /// Sends it where nobody reads it: what injecting costs without what it does.
    func injectNowhere(_ bytes: [UInt8]) { send(bytes, from: toListener, to: nowhere.port) }

    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func open(bufferBytes: Int32 = 8 << 20) -> (Int32, UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var size = bufferBytes
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
        var patience = timeval(tv_sec: 0, tv_usec: 100_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var local = address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &local) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                precondition(bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0)
            }
        }
        return (descriptor, UInt16(bigEndian: local.sin_port))
    }

    private func send(_ bytes: [UInt8], from descriptor: Int32, to port: UInt16) {
        var remote = Self.address(port)
        withUnsafePointer(to: &remote) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private func run(from descriptor: Int32, isCaller: Bool) {
        var random = SplitMix64(seed: isCaller ? 1 : 2)
        func chance(_ probability: Double) -> Bool {
            probability > 0 && Double(random.next() >> 11) * 0x1p-53 < probability
        }
        let out = isCaller ? toListener : toCaller
        var held: [(bytes: [UInt8], after: Int)] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while !stopped.load(ordering: .relaxed) {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            let trouble = trouble.withLock { $0 }
            let port = ports.withLock { isCaller ? $0.listener : $0.caller }
            if count > 0 {
                let bytes = Array(buffer[0..<count])
                let isLost = chance(trouble.loss)
                if isCaller && capture { passed.withLock { $0.append(Passed(bytes: bytes, isLost: isLost)) } }
                if !isLost {
                    if chance(trouble.reordering) {
                        held.append((bytes, 1 + Int(random.next() % 40)))
                    } else {
                        send(bytes, from: out, to: port)
                    }
                    if chance(trouble.duplication) { send(bytes, from: out, to: port) }
                }
            }
            // A line that falls silent gives up what it held.
            let isSilent = count <= 0
            held = held.filter { entry in
                if isSilent || entry.after <= 0 { send(entry.bytes, from: out, to: port) }
                return !isSilent && entry.after > 0
            }.map { ($0.bytes, $0.after - 1) }
        }
    }

    /// Something that resembles a genuine datagram more or less.
    static func noise(_ genuine: [UInt8], _ number: Int, _ random: inout SplitMix64) -> [UInt8] {
        var bytes = genuine
        switch number % 5 {
        case 0:  // One bit is wrong.
            let place = Int(random.next() % UInt64(bytes.count))
            bytes[place] ^= 1 << UInt8(random.next() % 8)
        case 1:  // Cut.
            bytes.removeLast(Int(random.next() % UInt64(bytes.count)))
        case 2:  // An offset anywhere.
            for place in 0..<8 { bytes[place] = UInt8(truncatingIfNeeded: random.next()) }
        case 3:  // An offset nearby.
            bytes[6] = UInt8(truncatingIfNeeded: random.next())
            bytes[7] = UInt8(truncatingIfNeeded: random.next())
        default:
            // Cheap, because the generator of noise runs on the listener's processors.
            bytes = [UInt8](repeating: 0, count: Int(random.next() % 1500))
            bytes.withUnsafeMutableBytes { bytes in
                for place in stride(from: 0, through: bytes.count - 8, by: 8) {
                    bytes.storeBytes(of: random.next(), toByteOffset: place, as: UInt64.self)
                }
            }
        }
        return bytes
    }
}
