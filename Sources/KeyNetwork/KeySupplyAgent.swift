import Channel
import Diagnostics
import Dispatch
import Foundation
package import Kernels
package import OneTimePad
package import Randomness

/// The KSA: hands key to the roles at its node and forgets it.
///
/// A sending role's request makes new key, which is relayed to the receiving role's node before it is handed out
/// (`KeySupplyAgent+Sending.swift`); the copy for the receiving role waits there in secret memory until it is taken or
/// given up (`KeySupplyAgent+Receiving.swift`). A durable mark per stream and end keeps an offset from being generated
/// twice, and from being taken in twice.
/// `@unchecked Sendable`: `condition` guards every variable.
package final class KeySupplyAgent: @unchecked Sendable {
    /// A stretch of a stream's key.
    package typealias Piece = (offset: UInt64, key: SecureBytes)

    /// Brings the pieces that `next` gives to the receiver's node, on one way or in two parts on two, several at a time
    /// and in order; `bytes` are wanted for the moment. `arrived` is told of each that is stored there for good; when it
    /// throws, the others are lost. It may end before `next` has no more.
    package typealias Relay =
        @Sendable (
            _ stream: PadStream, _ bytes: UInt64, _ ways: Int, _ timeout: Double, _ next: () throws -> Piece?,
            _ arrived: (Piece) -> Void
        ) throws -> Void

    /// Throws "insufficient key" when the node's links cannot carry that many bytes in time; nothing is spent by
    /// asking.
    package typealias Afford =
        @Sendable (_ stream: PadStream, _ bytes: UInt64, _ ways: Int, _ timeout: Double) throws -> Void

    /// Bytes of key in one message between nodes: what a record of the channel carries beside the longest envelope.
    static let block = 224 << 10
    static let mostWays = 2
    /// Seconds beyond a role's own that a request may take: for key under way, and for marks that are being written.
    package static let patience = 10.0

    let node: String
    let topology: NetworkTopology
    let ledger: PadLedger
    let source: any RandomSource
    let lifetime: KeyLifetime?
    let patience: Double
    let afford: Afford
    let relay: Relay
    let condition = NSCondition()
    /// Held while an account is opened, and taken before `condition`.
    private let opening = NSLock()
    var outgoing: [PadStream: Outgoing] = [:]
    var incoming: [PadStream: Incoming] = [:]
    /// Streams with key that arrived since their last durable mark.
    var unmarked: Set<PadStream> = []
    /// Whether `scribe` is at work.
    var isMarking = false
    /// Makes the marks of what arrived durable, so that no thread that reads a channel waits for a disk.
    let scribe = DispatchQueue(label: "dsgd.ksa-marks")
    var stopped = false

    package init(
        node: String, topology: NetworkTopology, ledger: PadLedger, source: any RandomSource,
        patience: Double = KeySupplyAgent.patience,
        afford: @escaping Afford, relay: @escaping Relay
    ) {
        self.node = node
        self.topology = topology
        self.ledger = ledger
        self.source = source
        self.patience = patience
        lifetime = KeyLifetime(hours: topology.keyLifetimeHours)
        self.afford = afford
        self.relay = relay
    }

    /// Refuses roles that have nothing to look for here, and streams that this network does not serve.
    private func check(_ stream: PadStream, role: String) throws {
        guard topology.serves(pool: stream.pool), stream.sender != stream.receiver,
            role == stream.sender || role == stream.receiver,
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

    /// - Parameter ways: of a sender: 2 for key that no single node between the two nodes has seen.
    package func take(
        _ stream: PadStream, role: String, offset: UInt64, into destination: UnsafeMutableRawBufferPointer,
        timeout: Double, ways: Int = 1
    ) throws {
        try check(stream, role: role)
        guard (1...Self.mostWays).contains(ways) else {
            throw Failure(.data, at: "\(stream)", "key on \(ways) ways", remedy: "ask for one way or two")
        }
        guard offset <= UInt64(Int64.max) - UInt64(destination.count) else {
            throw Failure(.data, at: "\(stream)", "the offset \(offset) is impossible", remedy: "refuse this message")
        }
        if role == stream.sender {
            try openOutgoing(stream)
            let wish = Wish(
                stream: stream, offset: offset, end: offset + UInt64(destination.count), ways: ways, timeout: timeout,
                limit: Date(timeIntervalSinceNow: min(timeout, 3600) + patience))
            try makeKey(wish, into: destination)
        } else {
            try openIncoming(stream)
            try handOver(stream, offset: offset, into: destination, timeout: timeout)
        }
    }

    package func resume(_ stream: PadStream, role: String, from offset: UInt64) throws -> UInt64 {
        try check(stream, role: role)
        try open(stream, role: role)
        return try condition.withLock {
            if role == stream.sender {
                // Key on its way counts as made, and is here once the receiver's node has said that it has it: without
                // waiting, all of it would be passed over.
                let limit = Date(timeIntervalSinceNow: 5)
                while outgoing[stream]?.onItsWay(from: offset) == true, !stopped, condition.wait(until: limit) {}
                guard let state = outgoing[stream] else { throw stopping() }
                return state.pieces.firstAvailable(from: offset) ?? max(offset, state.made)
            }
            guard let state = incoming[stream] else { throw stopping() }
            return state.pieces.firstAvailable(from: offset) ?? max(offset, state.stored)
        }
    }

    /// One past the newest key of a stream; after a restart as far as the durable mark allows.
    func made(_ stream: PadStream, role: String) throws -> UInt64 {
        try check(stream, role: role)
        try open(stream, role: role)
        return try condition.withLock {
            guard let end = role == stream.sender ? outgoing[stream]?.made : incoming[stream]?.stored else {
                throw stopping()
            }
            return end
        }
    }

    package func discard(_ stream: PadStream, role: String, below offset: UInt64) throws {
        try check(stream, role: role)
        guard role == stream.receiver else { return }
        try openIncoming(stream)
        condition.withLock { giveUp(stream, below: offset) }
    }

    // MARK: - Accounts

    private func open(_ stream: PadStream, role: String) throws {
        if role == stream.sender { try openOutgoing(stream) } else { try openIncoming(stream) }
    }

    /// Opens an account where `isOpen` says that it is not, and calls `add` with it; both under the lock, which is not held
    /// while the ledger is written.
    func open(
        _ stream: PadStream, _ side: LedgerLine.Side, isOpen: () -> Bool, _ add: (PadAccount) -> Void
    ) throws {
        if condition.withLock(isOpen) { return }
        try opening.withLock {
            if condition.withLock(isOpen) { return }
            guard !condition.withLock({ stopped }) else { throw stopping() }
            let account = try ledger.account(stream, side: side)
            try condition.withLock {
                guard !stopped else {
                    account.release()
                    throw stopping()
                }
                add(account)
            }
        }
    }

    func stopping() -> Failure {
        Failure(.transient, at: "node \(node)", "the node is stopping", remedy: "try again when it has restarted")
    }

    // MARK: - Life

    /// Erases key that waits for its role for too long.
    func expire() {
        guard let lifetime else { return }
        condition.withLock {
            if stopped { return }
            for stream in outgoing.keys { outgoing[stream]?.expire(after: lifetime.sending) }
            for stream in incoming.keys { incoming[stream]?.expire(after: lifetime.receiving) }
        }
    }

    package func close() throws {
        try condition.withLock {
            if stopped { return }
            stopped = true
            condition.broadcast()
            // Key on its way is booked by the thread that sent it, which sees soon that the node stops.
            let limit = Date(timeIntervalSinceNow: 3)
            while isMarking || outgoing.values.contains(where: \.isMaking), condition.wait(until: limit) {}
            for stream in incoming.keys { try incoming[stream]?.close() }
            for stream in outgoing.keys { try outgoing[stream]?.close() }
        }
    }
}
