import Channel
import Diagnostics
import Foundation
import Kernels
import Metering
import OneTimePad
import Randomness

/// The KSA: hands key to the roles at its node and forgets it.
///
/// A sending role's request makes new key, which is relayed to the receiving role's node before it is handed out; the
/// copy for the receiving role waits there in secret memory until it is taken or given up. For a role that asks for one
/// large stretch after the other, the next is made while it spends the last. A durable mark per stream, set before key
/// leaves the generator, keeps an offset from being generated twice; it covers more at once the busier the stream is.
/// `@unchecked Sendable`: `condition` guards every variable.
final class KeySupplyAgent: @unchecked Sendable {
    /// Brings pieces of key to the receiver's node, on one way or in two parts on two, and returns when all are stored
    /// there.
    typealias Relay =
        @Sendable (
            _ stream: PadStream, _ pieces: [(offset: UInt64, key: SecureBytes)], _ ways: Int, _ timeout: Double
        ) throws -> Void

    /// Throws "insufficient key" when the node's links cannot carry that many bytes in time; nothing is spent by
    /// asking.
    typealias Afford =
        @Sendable (_ stream: PadStream, _ bytes: UInt64, _ ways: Int, _ timeout: Double) throws -> Void

    /// Bytes of key in one message between nodes.
    static let block = 128 << 10
    /// Requests of this size, one after the other, are taken for a transfer that goes on.
    private static let bulk: UInt64 = 128 << 10
    /// Bytes made ahead of a transfer at most.
    private static let mostAhead: UInt64 = 1 << 20
    /// Bytes that one durable mark of a sender covers. Nothing of them exists before it is made, so a crash wastes only
    /// numbers.
    private static let leastReservation: UInt64 = 1 << 20
    private static let mostReservation: UInt64 = 16 << 20
    /// A stream's sender that crashes leaves out a reservation; no row of crashes leaves out this much.
    private static let farthest: UInt64 = 1 << 34
    private static let maximumWaiting: UInt64 = 256 << 20

    private struct Stream {
        var account: PadAccount
        var pieces = KeyPieces()
        /// nil for key that never expires.
        var ages: KeyAges?
        /// Of a sender: when the account became durable last.
        var durable = 0.0
        /// Of a sender: one past the newest key made or given up; the mark may cover more.
        var made: UInt64 = 0
        var reservation: UInt64 = 0
        /// Of a sender: bytes to make ahead, and where and when the last request ended.
        var ahead: UInt64 = 0
        var lastEnd: UInt64 = 0
        var lastTime = 0.0
        /// Of a sender: on how many ways the key on hand came.
        var ways = 1
    }

    private let node: String
    private let topology: NetworkTopology
    private let ledger: PadLedger
    private let source: any RandomSource
    private let lifetime: KeyLifetime?
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
    func take(
        _ stream: PadStream, role: String, offset: UInt64, into destination: UnsafeMutableRawBufferPointer,
        timeout: Double, ways: Int = 1
    ) throws {
        try check(stream, role: role)
        guard (1...2).contains(ways) else {
            throw Failure(.data, at: "\(stream)", "key on \(ways) ways", remedy: "ask for one way or two")
        }
        guard offset <= UInt64(Int64.max) - UInt64(destination.count) else {
            throw Failure(.data, at: "\(stream)", "the offset \(offset) is impossible", remedy: "refuse this message")
        }
        if role == stream.sender {
            try choose(ways, stream)
            try makeKey(stream, offset: offset, into: destination, timeout: timeout)
        } else {
            try handOver(stream, offset: offset, into: destination, timeout: timeout)
        }
    }

    func resume(_ stream: PadStream, role: String, from offset: UInt64) throws -> UInt64 {
        try check(stream, role: role)
        return try condition.withLock {
            if role == stream.sender {
                // Key on its way counts as made, and is here once the receiver's node has said that it has it: without
                // waiting, all of it would be passed over.
                let limit = Date(timeIntervalSinceNow: 5)
                while busy.contains(stream), !stopped, condition.wait(until: limit) {}
                let state = try open(stream, .sender)
                return state.pieces.firstAvailable(from: offset) ?? max(offset, state.made)
            }
            let state = try open(stream, .receiver)
            return state.pieces.firstAvailable(from: offset) ?? max(offset, state.account.snapshot.mark)
        }
    }

    /// One past the newest key of a stream; after a restart as far as the durable mark allows.
    func made(_ stream: PadStream, role: String) throws -> UInt64 {
        try check(stream, role: role)
        return try condition.withLock { try open(stream, role == stream.sender ? .sender : .receiver).made }
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

    // MARK: - Making key

    /// Key on hand that came on fewer ways than are asked for is given up.
    private func choose(_ ways: Int, _ stream: PadStream) throws {
        try condition.withLock {
            guard try open(stream, .sender).ways != ways else { return }
            while busy.contains(stream) && !stopped { condition.wait() }
            if ways > sending[stream]?.ways ?? 1 {
                let lost = sending[stream]?.pieces.discard(below: UInt64.max) ?? 0
                sending[stream]?.account.update { $0.lost += lost }
            }
            sending[stream]?.ways = ways
        }
    }

    private func makeKey(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let end = offset + UInt64(destination.count)
        while true {
            let missing = try condition.withLock { () -> UInt64? in
                while busy.contains(stream) && !stopped {
                    if try handOut(stream, offset: offset, into: destination) { return nil }
                    condition.wait()
                }
                if try handOut(stream, offset: offset, into: destination) { return nil }
                let state = try open(stream, .sender)
                try checkNew(state, stream, offset: offset, end: end)
                return end - max(offset, state.made)
            }
            guard let missing else { break }
            try afford(stream, missing, condition.withLock { sending[stream]?.ways ?? 1 }, timeout)
            try produce(stream, from: offset, to: end, timeout: timeout)
        }
        makeAhead(stream)
    }

    /// Under the lock: refuses what was handed out, and what was made and did not arrive.
    private func checkNew(_ state: Stream, _ stream: PadStream, offset: UInt64, end: UInt64) throws {
        guard !stopped else {
            throw Failure(
                .transient, at: "node \(node)", "the node is stopping", remedy: "try again when it has restarted")
        }
        if offset >= state.made || end > state.made && state.pieces.firstAvailable(from: offset) == offset { return }
        guard offset >= state.lastEnd else {
            throw Failure(
                .data, at: "\(stream)", "key at offset \(offset) was made before, the mark is \(state.made)",
                remedy: "the sender's state was rolled back: never restore it from a copy")
        }
        throw Failure(
            .transient, at: "\(stream)", "the key at offset \(offset) was lost on the way to the receiver's node",
            remedy: "the sender moves on to newer key; look at `dsgd keys status` if it happens again")
    }

    /// Under the lock: gives the role its key when all of it is there.
    private func handOut(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer
    ) throws -> Bool {
        let account = try open(stream, .sender).account
        guard sending[stream]?.pieces.take(at: offset, into: destination) == true else { return false }
        let count = UInt64(destination.count)
        let passed = sending[stream]?.pieces.discard(below: offset) ?? 0
        account.update {
            $0.data += count
            $0.lost += passed
        }
        guard let state = sending[stream] else { return true }
        let time = monotonicSeconds()
        let goesOn = count >= Self.bulk && state.lastEnd == offset && time - state.lastTime < 1
        sending[stream]?.ahead = goesOn ? min(max(2 * count, 2 * state.ahead), Self.mostAhead) : 0
        sending[stream]?.lastEnd = offset + count
        sending[stream]?.lastTime = time
        return true
    }

    /// Starts making the next stretch of a transfer, where there is key in plenty for it.
    private func makeAhead(_ stream: PadStream) {
        let next = condition.withLock { () -> (range: Range<UInt64>, ways: Int)? in
            guard let state = sending[stream], !stopped, !busy.contains(stream), state.pieces.onHand < state.ahead
            else {
                return nil
            }
            return (state.made..<state.made + state.ahead, state.ways)
        }
        guard let (range, ways) = next, (try? afford(stream, 2 * UInt64(range.count), ways, 0)) != nil else { return }
        detachThread("dsgd-ksa-ahead") { [self] in
            // What fails here is said when the role asks for it.
            try? produce(stream, from: range.lowerBound, to: range.upperBound, timeout: 5)
        }
    }

    /// Makes the key from where the stream stands, `from` at least, up to `to`, and brings it to the receiver's node.
    private func produce(_ stream: PadStream, from: UInt64, to: UInt64, timeout: Double) throws {
        let begun = try condition.withLock { () -> (start: UInt64, ways: Int)? in
            var state = try open(stream, .sender)
            // Another request made it meanwhile, or is about to.
            guard !busy.contains(stream), !stopped, state.made < to else { return nil }
            let start = max(from, state.made)
            try reserve(&state, to)
            // What is left out was lost at the sender.
            state.account.update { $0.lost += start - state.made }
            state.made = to
            sending[stream]?.made = to
            sending[stream]?.reservation = state.reservation
            sending[stream]?.durable = state.durable
            busy.insert(stream)
            return (start, state.ways)
        }
        guard let (start, ways) = begun else { return }
        var pieces: [(offset: UInt64, key: SecureBytes)] = []
        do {
            var at = start
            while at < to {
                let key = SecureBytes(count: Int(min(UInt64(Self.block), to - at)))
                try key.withUnsafeMutableBytes { try source.fill($0) }
                pieces.append((at, key))
                at += UInt64(key.count)
            }
            try relay(stream, pieces, ways, timeout)
        } catch {
            finish(stream) { state in state.account.update { $0.lost += to - start } }
            throw error
        }
        finish(stream) { state in
            for piece in pieces { state.pieces.append(piece.key, at: piece.offset) }
            state.ages?.add(end: to)
        }
    }

    private func finish(_ stream: PadStream, _ body: (inout Stream) -> Void) {
        condition.withLock {
            if var state = sending.removeValue(forKey: stream) {
                body(&state)
                sending[stream] = state
            }
            busy.remove(stream)
            condition.broadcast()
        }
    }

    /// A durable mark over the key up to `end`, before it exists.
    private func reserve(_ state: inout Stream, _ end: UInt64) throws {
        guard end > state.account.snapshot.mark else { return }
        let time = monotonicSeconds()
        state.reservation =
            time - state.durable < 0.25
            ? min(2 * state.reservation, Self.mostReservation) : Self.leastReservation
        state.durable = time
        let mark = end + state.reservation
        try state.account.commit { $0.mark = mark }
    }

    // MARK: - Receiving roles

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
                        "key at offset \(offset) was handed out before, expired, or lost when node \(node) was restarted",
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
        try store(stream, [(offset, key)], from: origin)
    }

    /// Stores pieces that follow each other, under one durable mark.
    func store(_ stream: PadStream, _ pieces: [(offset: UInt64, key: SecureBytes)], from origin: String) throws {
        let count = pieces.reduce(UInt64(0)) { $0 + UInt64($1.key.count) }
        guard let offset = pieces.first?.offset, topology.serves(pool: stream.pool), count > 0,
            offset <= UInt64(Int64.max) - count, pieces.allSatisfy({ $0.key.count > 0 }),
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
                    .data, at: "\(stream)", "key at offset \(offset) came before",
                    remedy: "the sender moves on to newer key")
            }
            guard offset - mark <= Self.farthest else {
                throw Failure(
                    .data, at: "\(stream)", "key at offset \(offset) is far beyond what came last",
                    remedy: "look at the nodes on the way from node \(origin)")
            }
            guard (receiving[stream]?.pieces.onHand ?? 0) + count <= Self.maximumWaiting else {
                throw Failure(
                    .transient, at: "\(stream)", "the receiving role does not take its key, the store is full",
                    remedy: "start the receiving role")
            }
            // The mark is durable before the sender's node hears that the key is here: after a crash it tells exactly
            // up to where the sender has key whose other copy is lost, and the sender moves on to there.
            try account.commit {
                $0.lost += offset - $0.mark
                $0.mark = offset + count
            }
            for piece in pieces { receiving[stream]?.pieces.append(piece.key, at: piece.offset) }
            receiving[stream]?.ages?.add(end: offset + count)
            condition.broadcast()
        }
    }

    /// Under the lock.
    private func open(_ stream: PadStream, _ side: LedgerLine.Side) throws -> Stream {
        if let state = side == .sender ? sending[stream] : receiving[stream] { return state }
        var state = Stream(account: try ledger.account(stream, side: side))
        state.ages = lifetime.map { KeyAges(lifetime: $0.sending) }
        // Key below the mark went with the last run of this node; which of it the role has, only the role knows.
        state.made = state.account.snapshot.mark
        if side == .sender { sending[stream] = state } else { receiving[stream] = state }
        return state
    }

    /// Erases key that waits for its role for too long.
    func expire() {
        guard let lifetime else { return }
        condition.withLock {
            func expire(_ streams: inout [PadStream: Stream], after seconds: Double) {
                for stream in streams.keys {
                    guard let offset = streams[stream]?.ages?.expired(after: seconds) else { continue }
                    let erased = streams[stream]?.pieces.discard(below: offset) ?? 0
                    streams[stream]?.account.update { $0.expired += erased }
                }
            }
            if stopped { return }
            expire(&sending, after: lifetime.sending)
            expire(&receiving, after: lifetime.receiving)
        }
    }

    func close() throws {
        try condition.withLock {
            if stopped { return }
            stopped = true
            condition.broadcast()
            // Key on its way is booked by the thread that sent it, which sees soon that the node stops.
            let limit = Date(timeIntervalSinceNow: 3)
            while !busy.isEmpty, condition.wait(until: limit) {}
            for stream in receiving.keys {
                let rest = receiving[stream]?.pieces.discard(below: UInt64.max) ?? 0
                try receiving[stream]?.account.commit { $0.expired += rest }
                receiving[stream]?.account.release()
            }
            for stream in sending.keys {
                let rest = sending[stream]?.pieces.discard(below: UInt64.max) ?? 0
                guard let state = sending[stream] else { continue }
                // What was reserved and never made does not exist: the mark goes back over it.
                try state.account.commit {
                    $0.mark = state.made
                    $0.expired += rest
                }
                state.account.release()
            }
        }
    }
}
