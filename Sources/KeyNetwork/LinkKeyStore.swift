import Channel
import Diagnostics
import Foundation
import Kernels
import OneTimePad

/// A node's store of one link's key, in secret memory: the pad source of the channel to that neighbour.
///
/// The key of the two directions is kept apart from its arrival on. What is in memory is lost when the node stops; the
/// ledger books it.
/// `@unchecked Sendable`: `condition` guards every variable.
final class LinkKeyStore: PadSource, @unchecked Sendable {
    /// Pools of the rows in a node's ledger: key in the store, and pads of the channels between nodes.
    static let storePool = "store"
    static let channelPool = "link"

    let link: NetworkTopology.Link
    let peer: String
    private let me: String
    /// Room above `limit` for the blocks that bring two ends to the same number after one of them lost its key.
    static let slack = UInt64(64 * QuantumSocket.block)
    /// Bytes per direction that the store takes.
    let limit: UInt64

    private struct Direction {
        var pieces = KeyPieces()
        /// Numbers of blocks divided by two.
        var next: UInt64
        var account: PadAccount
        var uncommitted = 0
    }
    private let condition = NSCondition()
    private var directions: [Direction] = []
    private var stopped = false

    init(link: NetworkTopology.Link, node: String, ledger: PadLedger) throws {
        self.link = link
        me = node
        peer = link.other(than: node) ?? ""
        limit = max(UInt64(link.stockMib * 1_048_576 / 2), 1 << 20) + (1 << 20)
        let (first, second) = link.ordered
        for (sender, receiver) in [(first, second), (second, first)] {
            let stream = PadStream(pool: Self.storePool, sender: sender, receiver: receiver)
            let account = try ledger.account(stream, side: sender == node ? .sender : .receiver)
            let next = (account.snapshot.mark + UInt64(QuantumSocket.block) - 1) / UInt64(QuantumSocket.block)
            directions.append(Direction(next: next, account: account))
        }
    }

    private func index(_ stream: PadStream) -> Int { stream.sender == link.ordered.0 ? 0 : 1 }

    // MARK: - From the link

    func state() -> QuantumSocket.State {
        condition.withLock {
            func room(_ index: Int) -> UInt64 { limit - min(limit, directions[index].pieces.onHand) }
            return QuantumSocket.State(
                next: (directions[0].next * 2, directions[1].next * 2 + 1), room: (room(0), room(1)))
        }
    }

    func deliver(_ number: UInt64, _ bytes: SecureBytes) throws -> QuantumSocket.Status {
        try condition.withLock {
            let index = Int(number & 1)
            let position = number / 2
            guard !stopped, position >= directions[index].next, position < 1 << 45 else { return .refused }
            guard directions[index].pieces.onHand + UInt64(bytes.count) <= limit + Self.slack else { return .full }
            let offset = position * UInt64(QuantumSocket.block)
            directions[index].pieces.append(bytes, at: offset)
            directions[index].next = position + 1
            let account = directions[index].account
            account.update {
                // Numbers that the driver left out never were key here; they count as lost so that offsets add up.
                $0.lost += offset - $0.mark
                $0.mark = offset + UInt64(bytes.count)
            }
            directions[index].uncommitted += 1
            if directions[index].uncommitted >= 256 {
                directions[index].uncommitted = 0
                try account.commit()
            }
            condition.broadcast()
            return .stored
        }
    }

    // MARK: - To the channel

    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let index = index(stream)
        let limit = Date(timeIntervalSinceNow: timeout)
        let end = offset + UInt64(destination.count)
        try condition.withLock {
            while true {
                if directions[index].pieces.take(at: offset, into: destination) {
                    directions[index].account.update { $0.data += UInt64(destination.count) }
                    return
                }
                let frontier = directions[index].next * UInt64(QuantumSocket.block)
                if end <= frontier {
                    throw Failure(
                        .data, at: "link \(link.name)", "the link key at offset \(offset) was used before or lost",
                        remedy: "the two nodes agree on newer key when they connect again")
                }
                let have = frontier - min(frontier, offset)
                if stopped || !condition.wait(until: limit) {
                    throw insufficientKey(
                        "link \(link.name)", need: UInt64(destination.count), have: have, bitsPerSecond: link.rate / 2)
                }
            }
        }
    }

    func resume(_ stream: PadStream, from offset: UInt64) throws -> UInt64 {
        condition.withLock {
            let direction = directions[index(stream)]
            return direction.pieces.firstAvailable(from: offset)
                ?? max(offset, direction.next * UInt64(QuantumSocket.block))
        }
    }

    func discard(_ stream: PadStream, below offset: UInt64) throws {
        condition.withLock {
            let index = index(stream)
            let lost = directions[index].pieces.discard(below: offset)
            directions[index].account.update { $0.lost += lost }
        }
    }

    /// Bytes of key on hand that this node may send with, and receive with.
    var stock: (out: UInt64, in: UInt64) {
        condition.withLock {
            let first = directions[0].pieces.onHand
            let second = directions[1].pieces.onHand
            return me == link.ordered.0 ? (first, second) : (second, first)
        }
    }

    /// Bytes that the link delivered since the ledger began, and bytes of them that were used; both directions.
    var totals: (generated: UInt64, used: UInt64) {
        condition.withLock {
            let counts = directions.map { $0.account.snapshot }
            return (counts.reduce(0) { $0 + $1.mark }, counts.reduce(0) { $0 + $1.data })
        }
    }

    func close() throws {
        try condition.withLock {
            if stopped { return }
            stopped = true
            condition.broadcast()
            for index in directions.indices {
                let rest = directions[index].pieces.discard(below: UInt64.max)
                try directions[index].account.commit { $0.expired += rest }
                directions[index].account.release()
            }
        }
    }
}

/// The line that a person reads when key is short: need, have, refill rate and time.
func insufficientKey(_ place: String, need: UInt64, have: UInt64, bitsPerSecond: Double) -> Failure {
    let missing = Double(need - min(need, have)) * 8
    let rate = (bitsPerSecond / 1e6 * 1000).rounded() / 1000
    let time = bitsPerSecond > 0 ? "about \((missing / bitsPerSecond * 10).rounded() / 10) s" : "never at this rate"
    return Failure(
        .transient, at: place,
        "insufficient key: need \(need) bytes, have \(have), refill \(rate) Mbit/s, enough in \(time)",
        remedy: "wait, or ask `dsgd keys plan` when the job is affordable")
}
