import Channel
import Diagnostics
import Foundation
import Kernels
import OneTimePad
import Randomness

/// The KSA: hands key to the roles at its node and forgets it.
///
/// A sending role's request makes new key, which is relayed to the receiving role's node before it is handed out; the
/// copy for the receiving role waits there in secret memory until it is taken or given up. A durable mark per stream,
/// set before key leaves the generator, keeps an offset from being generated twice.
/// `@unchecked Sendable`: `condition` guards every variable.
final class KeySupplyAgent: @unchecked Sendable {
    /// Brings pieces of key to the receiver's node and returns when all are stored there.
    typealias Relay = @Sendable (
        _ stream: PadStream, _ pieces: [(offset: UInt64, key: SecureBytes)], _ timeout: Double
    ) throws -> Void

    /// Throws "insufficient key" when the node's links cannot carry that many bytes in time; nothing is spent by
    /// asking.
    typealias Afford = @Sendable (_ stream: PadStream, _ bytes: UInt64, _ timeout: Double) throws -> Void

    static let block = 64 << 10
    private static let maximumWaiting: UInt64 = 256 << 20

    private struct Stream {
        var account: PadAccount
        var pieces = KeyPieces()
        var durable = 0.0
    }

    private let node: String
    private let topology: NetworkTopology
    private let ledger: PadLedger
    private let source: any RandomSource
    private let afford: Afford
    private let relay: Relay
    private let condition = NSCondition()
    private var sending: [PadStream: Stream] = [:]
    private var receiving: [PadStream: Stream] = [:]
    /// One maker of key per stream at a time.
    private var busy: Set<PadStream> = []
    private var stopped = false

    init(
        node: String, topology: NetworkTopology, ledger: PadLedger, source: any RandomSource,
        afford: @escaping Afford, relay: @escaping Relay
    ) {
        self.node = node
        self.topology = topology
        self.ledger = ledger
        self.source = source
        self.afford = afford
        self.relay = relay
    }

    /// Refuses roles that have nothing to look for here, and streams that this network does not serve.
    private func check(_ stream: PadStream, role: String) throws {
        guard stream.pool == topology.pool, stream.sender != stream.receiver, role == stream.sender || role == stream.receiver,
            try topology.home(of: role).name == node
        else {
            throw Failure(
                .notAuthorised, at: "node \(node)", "\"\(role)\" may not take key of \(stream) here",
                remedy: "let the role ask at its own node, with the pool of the key network")
        }
        _ = try topology.home(of: stream.sender)
        _ = try topology.home(of: stream.receiver)
    }

    // MARK: - Roles

    func take(
        _ stream: PadStream, role: String, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        try check(stream, role: role)
        guard offset <= UInt64(Int64.max) - UInt64(destination.count) else {
            throw Failure(.data, at: "\(stream)", "the offset \(offset) is impossible", remedy: "refuse this message")
        }
        if role == stream.sender {
            try makeKey(stream, offset: offset, into: destination, timeout: timeout)
        } else {
            try handOver(stream, offset: offset, into: destination, timeout: timeout)
        }
    }

    func resume(_ stream: PadStream, role: String, from offset: UInt64) throws -> UInt64 {
        try check(stream, role: role)
        return try condition.withLock {
            if role == stream.sender { return max(offset, try open(stream, .sender).account.snapshot.mark) }
            let state = try open(stream, .receiver)
            return state.pieces.firstAvailable(from: offset) ?? max(offset, state.account.snapshot.mark)
        }
    }

    func discard(_ stream: PadStream, role: String, below offset: UInt64) throws {
        try check(stream, role: role)
        guard role == stream.receiver else { return }
        try condition.withLock {
            _ = try open(stream, .receiver)
            let lost = receiving[stream]?.pieces.discard(below: offset) ?? 0
            receiving[stream]?.account.update { $0.expired += lost }
        }
    }

    private func makeKey(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let count = UInt64(destination.count)
        try afford(stream, count, timeout)
        let account = try condition.withLock { () -> PadAccount in
            while busy.contains(stream) && !stopped { condition.wait() }
            let account = try open(stream, .sender).account
            guard offset >= account.snapshot.mark else {
                throw Failure(
                    .data, at: "\(stream)", "key at offset \(offset) was made before, the mark is \(account.snapshot.mark)",
                    remedy: "the sender's state was rolled back: never restore it from a copy")
            }
            // The mark is durable before the key exists; what is left out was lost at the sender.
            try account.commit {
                $0.lost += offset - $0.mark
                $0.mark = offset + count
            }
            busy.insert(stream)
            return account
        }
        defer {
            condition.withLock {
                busy.remove(stream)
                condition.broadcast()
            }
        }
        do {
            var pieces: [(offset: UInt64, key: SecureBytes)] = []
            var at = 0
            while at < destination.count {
                let key = SecureBytes(count: min(Self.block, destination.count - at))
                try key.withUnsafeMutableBytes { try source.fill($0) }
                pieces.append((offset + UInt64(at), key))
                at += key.count
            }
            try relay(stream, pieces, timeout)
            for piece in pieces {
                let start = Int(piece.offset - offset)
                piece.key.withUnsafeBytes {
                    destination.slice(start..<start + piece.key.count).copyMemory(from: $0)
                }
            }
            account.update { $0.data += count }
        } catch {
            wipe(destination)
            account.update { $0.lost += count }
            throw error
        }
    }

    private func handOver(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let limit = Date(timeIntervalSinceNow: min(timeout, 3600))
        let end = offset + UInt64(destination.count)
        try condition.withLock {
            let account = try open(stream, .receiver).account
            while true {
                if receiving[stream]?.pieces.take(at: offset, into: destination) == true {
                    account.update { $0.data += UInt64(destination.count) }
                    return
                }
                let mark = account.snapshot.mark
                if end <= mark {
                    throw Failure(
                        .data, at: "\(stream)",
                        "key at offset \(offset) was handed out before, or lost when node \(node) was restarted",
                        remedy: "connect again: the sender moves on to newer key")
                }
                if stopped || !condition.wait(until: limit) {
                    throw insufficientKey(
                        "\(stream)", need: UInt64(destination.count), have: mark - min(mark, offset), bitsPerSecond: 0)
                }
            }
        }
    }

    // MARK: - From the network

    /// Stores key that another node, or this one, made for a role here.
    func store(_ stream: PadStream, offset: UInt64, from origin: String, _ key: SecureBytes) throws {
        guard stream.pool == topology.pool, key.count > 0, offset <= UInt64(Int64.max) - UInt64(key.count),
            try topology.home(of: stream.receiver).name == node, try topology.home(of: stream.sender).name == origin
        else {
            throw Failure(
                .data, at: "node \(node)", "node \(origin) sent key of \(stream), which is not between the two",
                remedy: "give all nodes the same topology")
        }
        try condition.withLock {
            let account = try open(stream, .receiver).account
            let mark = account.snapshot.mark
            guard !stopped, offset >= mark else {
                throw Failure(
                    .data, at: "\(stream)", "key at offset \(offset) came before", remedy: "the sender moves on to newer key")
            }
            guard (receiving[stream]?.pieces.onHand ?? 0) + UInt64(key.count) <= Self.maximumWaiting else {
                throw Failure(
                    .transient, at: "\(stream)", "the receiving role does not take its key, the store is full",
                    remedy: "start the receiving role")
            }
            receiving[stream]?.pieces.append(key, at: offset)
            account.update {
                $0.lost += offset - $0.mark
                $0.mark = offset + UInt64(key.count)
            }
            // The durable mark may follow: a node that lost it is offered higher offsets only.
            let time = monotonicTime()
            if time - (receiving[stream]?.durable ?? 0) > 1 {
                receiving[stream]?.durable = time
                try account.commit()
            }
            condition.broadcast()
        }
    }

    /// Under the lock.
    private func open(_ stream: PadStream, _ side: LedgerLine.Side) throws -> Stream {
        if let state = side == .sender ? sending[stream] : receiving[stream] { return state }
        let state = Stream(account: try ledger.account(stream, side: side))
        if side == .sender { sending[stream] = state } else { receiving[stream] = state }
        return state
    }

    func close() throws {
        try condition.withLock {
            if stopped { return }
            stopped = true
            condition.broadcast()
            for stream in receiving.keys {
                let rest = receiving[stream]?.pieces.discard(below: UInt64.max) ?? 0
                try receiving[stream]?.account.commit { $0.expired += rest }
                receiving[stream]?.account.release()
            }
            for state in sending.values {
                try state.account.commit()
                state.account.release()
            }
        }
    }
}
