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
        /// On how many ways all key on hand came, and comes that is being made.
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

    /// Opens the stream's account where that was not done, without the lock: a new row is a durable write.
    func openOutgoing(_ stream: PadStream) throws {
        try open(stream, .sender, isOpen: { outgoing[stream] != nil }) {
            // Key below the mark went with the last run of this node.
            outgoing[stream] = Outgoing(
                account: $0, ages: lifetime.map { KeyAges(lifetime: $0.sending) }, made: $0.snapshot.mark)
        }
    }

    // MARK: - Requests

    /// A role's wish for key to send with.
    struct Wish {
        let stream: PadStream
        let offset: UInt64
        let end: UInt64
        /// On how many ways at least all of it has to come.
        let ways: Int
        /// Seconds to wait for link key.
        let timeout: Double
        /// When it is refused, whatever others do with the stream.
        let limit: Date
    }

    func makeKey(_ wish: Wish, into destination: UnsafeMutableRawBufferPointer) throws {
        // What others' key has taken of the time is not there for link key.
        func left() -> Double { max(0, min(wish.timeout, wish.limit.timeIntervalSinceNow)) }
        while let missing = try missing(wish, into: destination) {
            try afford(wish.stream, missing, wish.ways, left())
            try make(wish.stream, from: wish.offset, to: wish.end, ways: wish.ways, timeout: left())
        }
        makeAhead(wish.stream, ways: wish.ways)
    }

    /// Gives the role its key when all of it is there or about to come; otherwise the bytes that nobody is making yet.
    ///
    /// Whether key on hand came on ways enough and who gets it is one decision, under one lock.
    private func missing(_ wish: Wish, into destination: UnsafeMutableRawBufferPointer) throws -> UInt64? {
        let stream = wish.stream
        return try condition.withLock {
            while true {
                guard !stopped, let known = outgoing[stream] else { throw stopping() }
                if known.ways >= wish.ways || !known.isMaking {
                    if known.ways < wish.ways { giveUpKey(stream) }
                    if handOut(wish, into: destination) { return nil }
                    guard let state = outgoing[stream] else { throw stopping() }
                    if !state.isMaking {
                        try checkNew(state, wish)
                        return wish.end - max(wish.offset, state.made)
                    }
                    let goal = max(state.goal, state.made)
                    if wish.offset <= goal && wish.end > goal { return wish.end - goal }
                } else {
                    // What is being made comes on too few ways: no more of it.
                    outgoing[stream]?.goal = 0
                }
                guard condition.wait(until: wish.limit) else {
                    throw Failure(
                        .transient, at: "\(stream)",
                        "key that other requests have set under way has not come in time",
                        remedy: "try again; look at `dsgd keys status` if it happens again")
                }
            }
        }
    }

    /// Under the lock: key on hand came on fewer ways than are asked for, so it is nobody's.
    private func giveUpKey(_ stream: PadStream) {
        let lost = outgoing[stream]?.pieces.discard(below: UInt64.max) ?? 0
        outgoing[stream]?.account.update { $0.lost += lost }
        outgoing[stream]?.ways = Self.mostWays
    }

    /// Under the lock: refuses what was handed out, and what was made and did not arrive.
    private func checkNew(_ state: Outgoing, _ wish: Wish) throws {
        let (offset, stream) = (wish.offset, wish.stream)
        let isNew = offset >= state.made
        if isNew || wish.end > state.made && state.pieces.firstAvailable(from: offset) == offset { return }
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
    private func handOut(_ wish: Wish, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        let (offset, stream) = (wish.offset, wish.stream)
        guard outgoing[stream]?.pieces.take(at: offset, into: destination) == true else { return false }
        let count = UInt64(destination.count)
        let passed = outgoing[stream]?.pieces.discard(below: offset) ?? 0
        guard let state = outgoing[stream] else { return true }
        state.account.update {
            $0.data += count
            $0.lost += passed
        }
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
    private func makeAhead(_ stream: PadStream, ways: Int) {
        guard let state = condition.withLock({ outgoing[stream] }) else { return }
        var ahead = state.ahead
        while ahead >= Self.bulk, (try? afford(stream, 2 * ahead, ways, 0)) == nil { ahead /= 2 }
        guard ahead >= Self.bulk else { return }
        let end = condition.withLock { () -> UInt64? in
            guard let state = outgoing[stream], !stopped, state.made < state.lastEnd + ahead else { return nil }
            // Whole blocks, whose buffers serve again and again.
            let goal = max(state.goal, state.made)
            let wanted = max(state.lastEnd + ahead, goal) - goal
            let end = goal + (wanted + UInt64(Self.block) - 1) / UInt64(Self.block) * UInt64(Self.block)
            // A thread that is at work goes on; a new one is worth it for half of what is wanted.
            if state.isMaking && state.ways >= ways { outgoing[stream]?.goal = end }
            return !state.isMaking && state.made <= state.lastEnd + ahead / 2 ? end : nil
        }
        guard let end else { return }
        detachThread("dsgd-ksa-ahead") { [self] in
            // What fails here is said when the role asks for it.
            try? make(stream, from: 0, to: end, ways: ways, timeout: 5)
        }
    }

    /// Makes the key from where the stream stands, `from` at least, up to `to`, and brings it to the receiver's node.
    /// Where a thread is at work on the stream, on ways enough, that one is told to go so far.
    private func make(_ stream: PadStream, from: UInt64, to: UInt64, ways: Int, timeout: Double) throws {
        let bytes = condition.withLock { () -> UInt64? in
            guard let state = outgoing[stream], !stopped, state.made < to else { return nil }
            guard !state.isMaking else {
                if state.ways >= ways, from <= max(state.goal, state.made) {
                    outgoing[stream]?.goal = max(state.goal, to)
                }
                return nil
            }
            outgoing[stream]?.isMaking = true
            outgoing[stream]?.goal = to
            outgoing[stream]?.ways = state.pieces.onHand > 0 ? min(ways, state.ways) : ways
            return to - max(from, state.made)
        }
        guard let bytes else { return }
        defer { finish(stream) }
        // What is left out was lost at the sender.
        try covered(stream, upTo: { from > $0.made ? from : nil }) { state in
            state.account.update { [made = state.made] in $0.lost += from - made }
            state.made = from
        }
        try relay(stream, bytes, ways, timeout, { try nextPiece(stream) }, { arrived(stream, $0) })
    }

    /// The next stretch of new key, or nil when there is enough.
    private func nextPiece(_ stream: PadStream) throws -> Piece? {
        func end(_ state: Outgoing) -> UInt64 { state.made + min(UInt64(Self.block), state.goal - state.made) }
        let piece = try covered(stream, upTo: { $0.made < $0.goal ? end($0) : nil }) { state -> Piece in
            let count = end(state) - state.made
            defer {
                state.made += count
                state.unarrived += count
            }
            return (state.made, state.pieces.buffer(count: Int(count)))
        }
        try piece?.key.withUnsafeMutableBytes { try source.fill($0) }
        return piece
    }

    /// Calls `body` under the lock when a durable mark covers the offsets up to the one that `end` names; nil where it
    /// names none. The thread that makes the stream's key alone may call this. It writes the mark without the lock:
    /// other streams, and key of this one that is there, do not wait for the disk.
    private func covered<R>(
        _ stream: PadStream, upTo end: (Outgoing) -> UInt64?, _ body: (inout Outgoing) -> R
    ) throws -> R? {
        while true {
            var result: R?
            let due = condition.withLock { () -> (account: PadAccount, mark: UInt64)? in
                guard !stopped, let state = outgoing[stream], let end = end(state) else { return nil }
                if let mark = reserve(stream, end) { return (state.account, mark) }
                result = body(&outgoing[stream]!)
                return nil
            }
            guard let due else { return result }
            try due.account.save(mark: due.mark)
        }
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

    /// Under the lock: the mark that must be durable before there is key up to `end`, nil where one covers it. The next one
    /// of a busy stream is written aside while the second half of the last is made.
    private func reserve(_ stream: PadStream, _ end: UInt64) -> UInt64? {
        guard let state = outgoing[stream] else { return nil }
        let mark = state.account.snapshot.mark
        if end > mark { return end + nextReservation(stream) }
        if state.reservation > Self.leastReservation, mark - end < state.reservation / 2,
            state.account.saveSoon(mark: end + state.reservation)
        {
            _ = nextReservation(stream)
        }
        return nil
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
