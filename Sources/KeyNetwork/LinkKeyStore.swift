import Channel
import Diagnostics
import Foundation
import Kernels
import OneTimePad

/// A node's store of one link's key, masked until it is due: the pad source of the channel to that neighbour.
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
    /// Bytes per direction that the store takes.
    let limit: UInt64
    /// Bytes delivered between durable states of the account.
    private static let commitBytes: UInt64 = 16 << 20

    private struct Direction {
        /// Key that is due, then key that is masked, by ascending offset.
        var pieces = KeyPieces()
        var masked: [MaskedKey] = []
        /// How many of `masked` were used up; the array is cut now and then.
        var head = 0
        var maskedBytes: UInt64 = 0
        /// Numbers of blocks divided by two.
        var next: UInt64
        var account: PadAccount
        var uncommitted: UInt64 = 0

        var onHand: UInt64 { pieces.onHand + maskedBytes }

        /// Takes the first masked key out of the row.
        mutating func popMasked() -> MaskedKey {
            let key = masked[head]
            maskedBytes -= UInt64(key.count)
            head += 1
            if head >= 64 || head == masked.count {
                masked.removeFirst(head)
                head = 0
            }
            return key
        }

        /// Unmasks what begins below `end`.
        mutating func reveal(below end: UInt64) {
            while head < masked.count, masked[head].offset < end {
                let key = masked[head]
                let bytes = pieces.buffer(count: key.count)
                bytes.withUnsafeMutableBytes { key.reveal(into: $0) }
                pieces.append(bytes, at: key.offset)
                _ = popMasked()
            }
        }

        func firstAvailable(from offset: UInt64) -> UInt64? {
            pieces.firstAvailable(from: offset)
                ?? masked[head...].first { $0.end > offset }.map { max(offset, $0.offset) }
        }

        mutating func discard(below offset: UInt64) -> UInt64 {
            var lost: UInt64 = 0
            while head < masked.count, masked[head].end <= offset { lost += UInt64(popMasked().count) }
            reveal(below: offset)
            return lost + pieces.discard(below: offset)
        }
    }
    private let condition = NSCondition()
    private var directions: [Direction] = []
    private var stopped = false

    init(link: NetworkTopology.Link, node: String, ledger: PadLedger) throws {
        self.link = link
        me = node
        peer = link.other(than: node) ?? ""
        limit = Self.limit(of: link)
        let (first, second) = link.ordered
        for (sender, receiver) in [(first, second), (second, first)] {
            let stream = PadStream(pool: Self.storePool, sender: sender, receiver: receiver)
            let account = try ledger.account(stream, side: sender == node ? .sender : .receiver)
            let next = (account.snapshot.mark + UInt64(QuantumSocket.block) - 1) / UInt64(QuantumSocket.block)
            directions.append(Direction(next: next, account: account))
        }
    }

    static func limit(of link: NetworkTopology.Link) -> UInt64 {
        max(UInt64(link.stockMib * 1_048_576 / 2), 1 << 20) + (1 << 20)
    }

    private func index(_ stream: PadStream) -> Int { stream.sender == link.ordered.0 ? 0 : 1 }

    // MARK: - From the link

    func state() -> QuantumSocket.State {
        condition.withLock {
            func room(_ index: Int) -> UInt64 { limit - min(limit, directions[index].onHand) }
            return QuantumSocket.State(
                next: (directions[0].next * 2, directions[1].next * 2 + 1), room: (room(0), room(1)))
        }
    }

    /// Stores whole blocks with consecutive numbers; the caller wipes them.
    func deliver(_ number: UInt64, _ bytes: UnsafeRawBufferPointer) throws -> QuantumSocket.Status {
        let index = Int(number & 1)
        let position = number / 2
        guard position < 1 << 45 else { return .refused }
        let offset = position * UInt64(QuantumSocket.block)
        let key = try MaskedKey(bytes, offset: offset)
        return try condition.withLock {
            guard !stopped, position >= directions[index].next else { return .refused }
            guard directions[index].onHand + UInt64(bytes.count) <= limit else { return .full }
            directions[index].masked.append(key)
            directions[index].maskedBytes += UInt64(key.count)
            directions[index].next = position + UInt64(key.count / QuantumSocket.block)
            let account = directions[index].account
            account.update {
                // Numbers that the driver left out never were key here; they count as lost so that offsets add up.
                $0.lost += offset - $0.mark
                $0.mark = key.end
            }
            directions[index].uncommitted += UInt64(key.count)
            if directions[index].uncommitted >= Self.commitBytes {
                directions[index].uncommitted = 0
                try account.commit()
            }
            condition.broadcast()
            return .stored
        }
    }

    /// Gives up the key of a direction below a block, which the other end has lost.
    func discard(belowBlock number: UInt64) {
        condition.withLock {
            let index = Int(number & 1)
            guard !stopped, number / 2 <= directions[index].next else { return }
            let lost = directions[index].discard(below: number / 2 * UInt64(QuantumSocket.block))
            directions[index].account.update { $0.lost += lost }
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
                directions[index].reveal(below: end)
                if directions[index].pieces.take(at: offset, into: destination) {
                    // A sender never goes back, so what it passed over is of no more use.
                    let passed = me == stream.sender ? directions[index].discard(below: offset) : 0
                    directions[index].account.update {
                        $0.data += UInt64(destination.count)
                        $0.lost += passed
                    }
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
            return direction.firstAvailable(from: offset)
                ?? max(offset, direction.next * UInt64(QuantumSocket.block))
        }
    }

    func discard(_ stream: PadStream, below offset: UInt64) {
        condition.withLock {
            let index = index(stream)
            let lost = directions[index].discard(below: offset)
            directions[index].account.update { $0.lost += lost }
        }
    }

    /// Bytes of key on hand that this node may send with, and receive with.
    var stock: (out: UInt64, in: UInt64) {
        condition.withLock {
            let first = directions[0].onHand
            let second = directions[1].onHand
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
                let rest = directions[index].discard(below: UInt64.max)
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
