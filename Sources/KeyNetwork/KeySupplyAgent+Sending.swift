import Channel
import Diagnostics
import Foundation
import Kernels
import Metering
import OneTimePad
import Randomness

/// Key that roles at this node send with.
///
/// One thread makes a stream's key at a time: the one of the request, or, for a role that asks for one large stretch
/// after the other, a thread that makes the next while the role spends the last. A durable mark, set before key leaves
/// the generator, covers more at once the busier the stream is.
extension KeySupplyAgent {
    /// The sending end of a stream.
    struct Outgoing {
        let account: PadAccount
        var pieces = KeyPieces()
        /// nil for key that never expires.
        var ages: KeyAges?
        /// One past the newest key made or given up; the mark may cover more.
        var made: UInt64
        /// Whether a thread makes key, and up to where it is to make it.
        var isMaking = false
        var goal: UInt64 = 0
        /// Bytes that were made and have not arrived.
        var unarrived: UInt64 = 0
        /// Bytes that a mark covers beyond what is made, and when that was chosen.
        var reservation: UInt64 = 0
        var reservedAt = 0.0
        /// Bytes of the requests that came one after the other, where and when the last of them ended, and how many to
        /// make ahead: no more than they were, so that a transfer costs at most twice the key.
        var run: UInt64 = 0
        var ahead: UInt64 = 0
        var lastEnd: UInt64 = 0
        var lastTime = 0.0
        /// On how many ways the key on hand came.
        var ways = 1

        /// Whether key at or above an offset may still arrive, while none is here.
        func onItsWay(from offset: UInt64) -> Bool {
            isMaking && made > offset && pieces.firstAvailable(from: offset) == nil
        }

        mutating func expire(after seconds: Double) {
            guard let offset = ages?.expired(after: seconds) else { return }
            let erased = pieces.discard(below: offset)
            account.update { $0.expired += erased }
        }

        mutating func close() throws {
            let rest = pieces.discard(below: UInt64.max)
            // What was reserved and never made does not exist: the mark goes back over it.
            try account.close {
                $0.mark = made
                $0.expired += rest
            }
        }
    }

    /// Requests of this size, one after the other, are taken for a transfer that goes on.
    private static let bulk: UInt64 = 128 << 10
    /// Bytes made ahead of a transfer at most.
    private static let mostAhead: UInt64 = 16 << 20
    /// Bytes that one durable mark covers. Nothing of them exists before it is made, so a crash wastes only numbers.
    private static let leastReservation: UInt64 = 1 << 20
    private static let mostReservation: UInt64 = 16 << 20

    /// Under the lock.
    func openOutgoing(_ stream: PadStream) throws -> Outgoing {
        if let state = outgoing[stream] { return state }
        let account = try ledger.account(stream, side: .sender)
        // Key below the mark went with the last run of this node.
        let state = Outgoing(
            account: account, ages: lifetime.map { KeyAges(lifetime: $0.sending) }, made: account.snapshot.mark)
        outgoing[stream] = state
        return state
    }

    /// Key on hand that came on fewer ways than are asked for is given up.
    func choose(_ ways: Int, _ stream: PadStream) throws {
        try condition.withLock {
            guard try openOutgoing(stream).ways != ways else { return }
            outgoing[stream]?.goal = 0
            while outgoing[stream]?.isMaking == true && !stopped { condition.wait() }
            if ways > outgoing[stream]?.ways ?? 1 {
                let lost = outgoing[stream]?.pieces.discard(below: UInt64.max) ?? 0
                outgoing[stream]?.account.update { $0.lost += lost }
            }
            outgoing[stream]?.ways = ways
        }
    }

    // MARK: - Requests

    func makeKey(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let end = offset + UInt64(destination.count)
        while let missing = try missing(stream, offset: offset, into: destination) {
            try afford(stream, missing, condition.withLock { outgoing[stream]?.ways ?? 1 }, timeout)
            try make(stream, from: offset, to: end, timeout: timeout)
        }
        makeAhead(stream)
    }

    /// Gives the role its key when all of it is there or about to come; otherwise the bytes that nobody is making yet.
    private func missing(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer
    ) throws -> UInt64? {
        let end = offset + UInt64(destination.count)
        return try condition.withLock {
            while true {
                if try handOut(stream, offset: offset, into: destination) { return nil }
                let state = try openOutgoing(stream)
                guard !stopped else { throw stopping() }
                if !state.isMaking {
                    try checkNew(state, stream, offset: offset, end: end)
                    return end - max(offset, state.made)
                }
                let goal = max(state.goal, state.made)
                if offset <= goal && end > goal { return end - goal }
                condition.wait()
            }
        }
    }

    private func stopping() -> Failure {
        Failure(.transient, at: "node \(node)", "the node is stopping", remedy: "try again when it has restarted")
    }

    /// Under the lock: refuses what was handed out, and what was made and did not arrive.
    private func checkNew(_ state: Outgoing, _ stream: PadStream, offset: UInt64, end: UInt64) throws {
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
        let account = try openOutgoing(stream).account
        guard outgoing[stream]?.pieces.take(at: offset, into: destination) == true else { return false }
        let count = UInt64(destination.count)
        let passed = outgoing[stream]?.pieces.discard(below: offset) ?? 0
        account.update {
            $0.data += count
            $0.lost += passed
        }
        guard let state = outgoing[stream] else { return true }
        let time = monotonicSeconds()
        let goesOn = count >= Self.bulk && state.lastEnd == offset && time - state.lastTime < 1
        let run = goesOn ? state.run + count : count
        outgoing[stream]?.run = run
        outgoing[stream]?.ahead = goesOn ? min(run, Self.mostAhead) : 0
        outgoing[stream]?.lastEnd = offset + count
        outgoing[stream]?.lastTime = time
        return true
    }

    // MARK: - Making key

    /// Has the next stretch of a transfer made, as much of it as there is link key in plenty for.
    private func makeAhead(_ stream: PadStream) {
        guard let state = condition.withLock({ outgoing[stream] }) else { return }
        var ahead = state.ahead
        while ahead >= Self.bulk, (try? afford(stream, 2 * ahead, state.ways, 0)) == nil { ahead /= 2 }
        guard ahead >= Self.bulk else { return }
        let end = condition.withLock { () -> UInt64? in
            guard let state = outgoing[stream], !stopped, state.made < state.lastEnd + ahead else { return nil }
            // Whole blocks, whose buffers serve again and again.
            let goal = max(state.goal, state.made)
            let wanted = max(state.lastEnd + ahead, goal) - goal
            let end = goal + (wanted + UInt64(Self.block) - 1) / UInt64(Self.block) * UInt64(Self.block)
            // A thread that is at work goes on; a new one is worth it for half of what is wanted.
            if state.isMaking { outgoing[stream]?.goal = end }
            return !state.isMaking && state.made <= state.lastEnd + ahead / 2 ? end : nil
        }
        guard let end else { return }
        detachThread("dsgd-ksa-ahead") { [self] in
            // What fails here is said when the role asks for it.
            try? make(stream, from: 0, to: end, timeout: 5)
        }
    }

    /// Makes the key from where the stream stands, `from` at least, up to `to`, and brings it to the receiver's node.
    /// Where a thread is at work on the stream, that one is told to go so far.
    private func make(_ stream: PadStream, from: UInt64, to: UInt64, timeout: Double) throws {
        let task = try condition.withLock { () -> (bytes: UInt64, ways: Int)? in
            let state = try openOutgoing(stream)
            guard !stopped, state.made < to else { return nil }
            guard !state.isMaking else {
                if from <= max(state.goal, state.made) { outgoing[stream]?.goal = max(state.goal, to) }
                return nil
            }
            // What is left out was lost at the sender.
            if from > state.made { try pass(stream, to: from) }
            outgoing[stream]?.isMaking = true
            outgoing[stream]?.goal = to
            return (to - max(from, state.made), state.ways)
        }
        guard let task else { return }
        defer { finish(stream) }
        try relay(stream, task.bytes, task.ways, timeout, { try nextPiece(stream) }, { arrived(stream, $0) })
    }

    /// The next stretch of new key, or nil when there is enough. A durable mark covers it before it exists.
    private func nextPiece(_ stream: PadStream) throws -> Piece? {
        let piece = try condition.withLock { () -> Piece? in
            guard let state = outgoing[stream], !stopped, state.made < state.goal else { return nil }
            let count = min(UInt64(Self.block), state.goal - state.made)
            try reserve(stream, state.made + count)
            outgoing[stream]?.made += count
            outgoing[stream]?.unarrived += count
            guard let key = outgoing[stream]?.pieces.buffer(count: Int(count)) else { return nil }
            return (state.made, key)
        }
        try piece?.key.withUnsafeMutableBytes { try source.fill($0) }
        return piece
    }

    private func arrived(_ stream: PadStream, _ piece: Piece) {
        condition.withLock {
            outgoing[stream]?.pieces.append(piece.key, at: piece.offset)
            outgoing[stream]?.ages?.add(end: piece.offset + UInt64(piece.key.count))
            outgoing[stream]?.unarrived -= UInt64(piece.key.count)
            condition.broadcast()
        }
    }

    private func finish(_ stream: PadStream) {
        condition.withLock {
            let lost = outgoing[stream]?.unarrived ?? 0
            outgoing[stream]?.account.update { $0.lost += lost }
            outgoing[stream]?.unarrived = 0
            outgoing[stream]?.isMaking = false
            condition.broadcast()
        }
    }

    /// Under the lock: leaves out the offsets up to `offset`.
    private func pass(_ stream: PadStream, to offset: UInt64) throws {
        try reserve(stream, offset)
        guard let state = outgoing[stream] else { return }
        state.account.update { $0.lost += offset - state.made }
        outgoing[stream]?.made = offset
    }

    /// Under the lock: a durable mark over the key up to `end`, before it exists. The next one of a busy stream is
    /// written aside while the second half of the last is made.
    private func reserve(_ stream: PadStream, _ end: UInt64) throws {
        guard let state = outgoing[stream] else { return }
        let mark = state.account.snapshot.mark
        if end > mark {
            let reservation = nextReservation(stream)
            try state.account.commit { $0.mark = max($0.mark, end + reservation) }
        } else if state.reservation > Self.leastReservation, mark - end < state.reservation / 2,
            state.account.saveSoon(mark: end + state.reservation)
        {
            _ = nextReservation(stream)
        }
    }

    /// Under the lock: a reservation that lasts a quarter of a second keeps marks to a few per second.
    private func nextReservation(_ stream: PadStream) -> UInt64 {
        guard let state = outgoing[stream] else { return Self.leastReservation }
        let time = monotonicSeconds()
        let isBusy = time - state.reservedAt < 0.25
        let reservation =
            isBusy
            ? min(2 * state.reservation, Self.mostReservation) : max(state.reservation / 2, Self.leastReservation)
        outgoing[stream]?.reservation = reservation
        outgoing[stream]?.reservedAt = time
        return reservation
    }
}
