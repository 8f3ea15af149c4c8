import Channel
import Diagnostics
import Foundation
import Kernels
import Metering
import OneTimePad

/// A node's store of one link's key: the pad source of the channel to that neighbour. What waits lies on a shelf in
/// memory or on a disk, in a form that tells nothing without a secret in memory.
///
/// The key of the two directions is kept apart from its arrival on. What waits is lost when the node stops; the ledger
/// books it.
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
    /// Whether the link's key is cut into K1 and K2.
    private let isCut: Bool
    private let lifetime: KeyLifetime?
    /// Bytes delivered between durable states of the account.
    private static let commitBytes: UInt64 = 16 << 20
    private static let block = UInt64(QuantumSocket.block)

    private struct Direction {
        let stream: PadStream
        /// Key that is due, then key that waits, by ascending offset.
        var pieces = KeyPieces()
        var shelf: any KeyShelf
        var cutter = KeyCutter()
        var ages: KeyAges?
        /// Numbers of blocks divided by two.
        var next: UInt64
        var account: PadAccount
        var uncommitted: UInt64 = 0
        /// When a shelf that could not take key is tried again.
        var blockedUntil = 0.0

        var onHand: UInt64 { pieces.onHand + shelf.bytes }

        /// Brings what begins below `end` into secret memory. Returns how many bytes were lost.
        mutating func reveal(below end: UInt64) -> UInt64 { shelf.reveal(below: end, into: &pieces) }

        func firstAvailable(from offset: UInt64) -> UInt64? {
            pieces.firstAvailable(from: offset) ?? shelf.firstAvailable(from: offset)
        }

        /// Erases all below an offset; returns how many bytes that were.
        mutating func discard(below offset: UInt64, _ reason: ErasureReceipt.Reason) -> UInt64 {
            let whole = shelf.discard(below: offset, reason)
            // A stretch that is not old in full waits for its youngest part: nothing is brought back only to be erased.
            let lost = (reason == .expired ? 0 : reveal(below: offset)) + pieces.discard(below: offset)
            settle()
            return whole + lost
        }

        /// Tells the shelf what is gone from secret memory.
        mutating func settle() { shelf.spent(below: pieces.firstAvailable(from: 0) ?? UInt64.max) }
    }
    private let condition = NSCondition()
    private var directions: [Direction] = []
    private var stopped = false
    private var problem: Failure?

    init(link: NetworkTopology.Link, node: String, topology: NetworkTopology, ledger: PadLedger, log: ErasureLog) throws
    {
        self.link = link
        me = node
        peer = link.other(than: node) ?? ""
        let place = try topology.node(node)
        limit = topology.storeLimit(of: link, at: place)
        isCut = topology.isCut(link)
        lifetime = KeyLifetime(hours: topology.keyLifetimeHours)
        let (first, second) = link.ordered
        let pads = try ledger.balance().filter { $0.pool == Self.channelPool }
        for (sender, receiver) in [(first, second), (second, first)] {
            let stream = PadStream(pool: Self.storePool, sender: sender, receiver: receiver)
            let account = try ledger.account(stream, side: sender == node ? .sender : .receiver)
            // After a crash the channel's mark may be ahead of the store's: key below it would never be asked for.
            let pad = pads.first { $0.sender == sender && $0.receiver == receiver }
            let next = Self.nextBlock(from: max(account.snapshot.mark, pad?.supplied ?? 0), isCut: isCut)
            let shelf: any KeyShelf =
                place.keyStore == .disk
                ? try DiskShelf(stream: stream, link: link.name, node: node, directory: place.directory, log: log)
                : MemoryShelf()
            directions.append(
                Direction(
                    stream: stream, shelf: shelf, ages: lifetime.map { KeyAges(lifetime: $0.sending) }, next: next,
                    account: account))
        }
    }

    /// The first block no byte of which lies below a pad offset. A chunk's K2 is gone with the process that held it, so
    /// a cut link goes on with a new chunk.
    private static func nextBlock(from offset: UInt64, isCut: Bool) -> UInt64 {
        isCut ? KeyCut.chunk(from: offset) * (KeyCut.chunk / block) : (offset + block - 1) / block
    }

    private func index(_ stream: PadStream) -> Int { stream.sender == link.ordered.0 ? 0 : 1 }

    // MARK: - From the link

    func state() -> QuantumSocket.State {
        condition.withLock {
            func room(_ index: Int) -> UInt64 {
                directions[index].blockedUntil > monotonicSeconds()
                    ? QuantumSocket.State.blocked : limit - min(limit, directions[index].onHand)
            }
            return QuantumSocket.State(
                next: (directions[0].next * 2, directions[1].next * 2 + 1), room: (room(0), room(1)))
        }
    }

    /// Seconds for which a shelf that failed takes nothing.
    private static let pause = 10.0

    /// Stores whole blocks with consecutive numbers; the caller wipes them.
    func deliver(_ number: UInt64, _ bytes: UnsafeRawBufferPointer) throws -> QuantumSocket.Status {
        let index = Int(number & 1)
        let position = number / 2
        guard position < 1 << 44 else { return .refused }
        let offset = position * Self.block
        return try condition.withLock {
            guard !stopped, position >= directions[index].next else { return .refused }
            guard directions[index].onHand + UInt64(bytes.count) <= limit else { return .full }
            guard !isCut || directions[index].cutter.accepts(offset) else {
                directions[index].next = (offset / KeyCut.chunk + 1) * (KeyCut.chunk / Self.block)
                return .refused
            }
            do {
                try put(bytes, at: offset, index)
            } catch {
                giveUpChunk(at: offset, index)
                problem = error as? Failure
                return .full
            }
            directions[index].next = position + UInt64(bytes.count) / Self.block
            if directions[index].uncommitted >= Self.commitBytes {
                directions[index].uncommitted = 0
                try directions[index].account.commit()
            }
            condition.broadcast()
            return .stored
        }
    }

    // MARK: Under the lock

    private func put(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ index: Int) throws {
        guard isCut else { return try add(DeliveredKey(offset: offset, bytes: bytes), index) }
        var cutter = directions[index].cutter
        directions[index].cutter = KeyCutter()
        try cutter.cut(bytes, at: offset) { try add($0, index) }
        directions[index].cutter = cutter
    }

    private func add(_ key: DeliveredKey, _ index: Int) throws {
        try directions[index].shelf.add(key)
        directions[index].ages?.add(end: key.end)
        directions[index].uncommitted += UInt64(key.bytes.count)
        directions[index].account.update {
            // Numbers that the driver left out never were key here; they count as lost so that offsets add up.
            $0.lost += key.offset - $0.mark
            $0.mark = key.end
        }
    }

    /// What could not be stored of a chunk is lost; the link goes on with the next one after a while.
    private func giveUpChunk(at offset: UInt64, _ index: Int) {
        let end = directions[index].account.snapshot.mark
        let key = max(offset, isCut ? KeyCut.chunk(from: end) * KeyCut.chunk : end)
        directions[index].next = (key / KeyCut.chunk + 1) * (KeyCut.chunk / Self.block)
        directions[index].blockedUntil = monotonicSeconds() + Self.pause
    }

    /// A sender never goes back, so key below what it asks for, here and still to come, is of no more use.
    private func skip(to offset: UInt64, _ index: Int) {
        let lost = directions[index].discard(below: UInt64.max, .givenUp)
        directions[index].account.update { $0.lost += lost }
        directions[index].cutter = KeyCutter()
        directions[index].next = Self.nextBlock(from: offset, isCut: isCut)
    }

    /// One past the newest pad of a direction.
    private func frontier(_ direction: Direction) -> UInt64 {
        let key = direction.next * Self.block
        return isCut ? KeyCut.padOffset(ofKey: key) : key
    }

    // MARK: Without the lock

    /// Gives up the key of a direction below a block, which the other end has lost.
    func discard(belowBlock number: UInt64) {
        condition.withLock {
            let index = Int(number & 1)
            guard !stopped else { return }
            let key = min(number / 2, directions[index].next) * Self.block
            let lost = directions[index].discard(below: isCut ? KeyCut.padOffset(ofKey: key) : key, .givenUp)
            directions[index].account.update { $0.lost += lost }
        }
    }

    /// Erases key that is too old.
    func expire() {
        guard let lifetime else { return }
        condition.withLock {
            guard !stopped else { return }
            for index in directions.indices {
                let seconds = directions[index].stream.sender == me ? lifetime.sending : lifetime.receiving
                guard let offset = directions[index].ages?.expired(after: seconds) else { continue }
                let erased = directions[index].discard(below: offset, .expired)
                directions[index].account.update { $0.expired += erased }
            }
        }
    }

    /// Why the store took no key lately.
    var lastProblem: Failure? { condition.withLock { problem } }

    // MARK: - To the channel

    /// Bytes by which a sender that crashed may be ahead of what its receiver accepted: a reservation and the window,
    /// and as much again.
    private static let farthest: UInt64 = 64 << 20

    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let index = index(stream)
        let limit = Date(timeIntervalSinceNow: timeout)
        let end = offset + UInt64(destination.count)
        try condition.withLock {
            if me == stream.sender, offset > frontier(directions[index]) { skip(to: offset, index) }
            while true {
                // A receiver's offset comes from the line, and whoever sent it may not have proved himself: it must not
                // unmask the store.
                if me == stream.receiver, let first = directions[index].firstAvailable(from: 0),
                    offset > first, offset - first > Self.farthest
                {
                    throw Failure(
                        .data, at: "link \(link.name)", "the offset \(offset) is far ahead of the key in store",
                        remedy: "connect again; if it happens again somebody may be tampering with the line")
                }
                if end <= frontier(directions[index]) {
                    let unreadable = directions[index].reveal(below: end)
                    directions[index].account.update { $0.lost += unreadable }
                }
                if directions[index].pieces.take(at: offset, into: destination) {
                    // A sender never goes back, so what it passed over is of no more use.
                    let passed = me == stream.sender ? directions[index].discard(below: offset, .givenUp) : 0
                    directions[index].settle()
                    directions[index].account.update {
                        $0.data += UInt64(destination.count)
                        $0.lost += passed
                    }
                    return
                }
                let frontier = frontier(directions[index])
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

    func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
        condition.withLock {
            let direction = directions[index(stream)]
            return direction.firstAvailable(from: offset) ?? max(offset, frontier(direction))
        }
    }

    func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) {
        condition.withLock {
            let index = index(stream)
            let lost = directions[index].discard(below: offset, .givenUp)
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

    /// Bytes that the link delivered since the ledger began, K2 included, and bytes of pad that were used; both
    /// directions.
    var totals: (generated: UInt64, used: UInt64) {
        condition.withLock {
            let counts = directions.map { $0.account.snapshot }
            let secrets = isCut ? counts.reduce(0) { $0 + KeyCut.chunk(from: $1.mark) * KeyCut.secret } : 0
            return (counts.reduce(secrets) { $0 + $1.mark }, counts.reduce(0) { $0 + $1.data })
        }
    }

    /// The accounts of pad to send with, and to receive with.
    var counts: (out: PadCounts, in: PadCounts) {
        condition.withLock {
            let (first, second) = (directions[0].account.snapshot, directions[1].account.snapshot)
            return me == link.ordered.0 ? (first, second) : (second, first)
        }
    }

    func close() throws {
        try condition.withLock {
            if stopped { return }
            stopped = true
            condition.broadcast()
            for index in directions.indices {
                let rest = directions[index].discard(below: UInt64.max, .stopped)
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
