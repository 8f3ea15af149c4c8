import Diagnostics
import Foundation
import Glibc
import Kernels
import Metering

/// The sender's end of a stream: hands out each byte of pad once, in order, and erases it after use.
///
/// Burn before use: a durable mark in the ledger covers a reservation before the first byte of it is asked of the
/// source. After a crash the next process begins at the mark; the rest of the reservation is lost, by design.
/// Reservations grow while the stream is busy, so that the cost of a durable mark stays small, up to
/// `PadOptions.maximumReservation`; a busy stream has its next mark written while it spends the second half of the
/// last.
///
/// One caller at a time waits for the source. Meanwhile others spend what is in hand, so that a proof of identity,
/// which may take the last byte, never waits behind data.
///
/// `@unchecked Sendable`: `lock` guards every stored variable. It is given up while the source answers and while a
/// mark over new pad is written, not while what was lost is booked, which happens seldom; the part of the buffer
/// behind `tail`, `filled` and the source's place are the one caller's who has set `isFilling`.
public final class SendingPad: @unchecked Sendable {
    /// Bytes that one call may spend, tag included.
    public static let maximumSpend = 320 << 10
    /// A stream whose reservation has grown to that many chunks is busy.
    private static let busyChunks = 8
    /// Seconds in which a source must be able to say where it stands.
    private static let leastPatience = 6.0

    /// Seconds that closing a pad waits for a call of the source, unless it is told otherwise.
    public static let closingPatience = 30.0

    /// What an operator can do about a state directory that was restored from an old copy.
    static let rollbackRemedy =
        "never send with this state directory: put the newest state back, or, when it is lost, set a new `pool` name in "
        + "the network file of every process and restart them all, so that all roles begin with fresh pad"

    public let stream: PadStream
    private let source: any PadSource
    private let account: PadAccount
    private let options: PadOptions

    private let lock = NSCondition()
    private var isFilling = false
    private let buffer: SecureBytes
    /// The unspent bytes are buffer[head..<tail]; the first has the offset `filled - (tail - head)`.
    private var head = 0
    private var tail = 0
    /// The first offset that was not taken from the source.
    private var filled: UInt64
    private var reservation: Int
    private var reservedAt = 0.0
    /// When the oldest pad in hand was taken.
    private var takenAt = 0.0
    private var isWatched = false
    private var synchronised = false
    private var closed = false

    /// - Throws: `Failure(.configuration)` when the ledger's process has this sender open already.
    public init(stream: PadStream, source: any PadSource, ledger: PadLedger, options: PadOptions = PadOptions()) throws
    {
        self.stream = stream
        self.source = source
        self.options = try options.validated()
        account = try ledger.account(stream, side: .sender)
        filled = account.snapshot.mark
        reservation = options.chunk
        buffer = SecureBytes(count: options.chunk + Self.maximumSpend + options.authenticationReserve)
    }

    deinit { account.release() }

    /// The offset that the next byte has unless the source lost key.
    public var position: UInt64 { lock.withLock { filled - UInt64(tail - head) } }

    /// Calls `body` with the offset and the pad for `data` plus `tag` bytes, then erases that pad, also when `body`
    /// throws.
    ///
    /// - Parameter timeout: seconds to wait for key.
    /// - Throws: `Failure(.transient)` "insufficient key"; whatever `body` throws.
    public func spend<R>(
        _ purpose: PadPurpose, data: Int, tag: Int, timeout: Double,
        _ body: (_ offset: UInt64, _ pad: UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        precondition(data >= 0 && tag >= 0 && data + tag <= Self.maximumSpend, "too much pad for one call")
        return try lock.withLock {
            expire()
            let need = data + tag
            // Data must leave the authentication reserve behind; a proof of identity may take the last byte.
            let wanted = purpose == .data ? need + options.authenticationReserve : need
            try bringInHand(wanted, timeout: timeout)
            precondition(tail - head >= need, "pad is handed out that was never taken")
            let offset = filled - UInt64(tail - head)
            let start = head
            head += need
            account.update { $0.spend(purpose, data: data, tag: tag) }
            PadTrace.shared?.write(stream, .sender, offset: offset, count: need, purpose)
            return try buffer.withUnsafeMutableBytes { bytes in
                let pad = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + need])
                defer { wipe(pad) }
                return try body(offset, UnsafeRawBufferPointer(pad))
            }
        }
    }

    /// Gives up the pad below `offset`, which the peer can no longer use.
    ///
    /// - Parameter timeout: seconds for all of it.
    /// - Throws: `Failure(.data)` when that would be more than `PadOptions.maximumSkip`; `Failure(.transient)` when it
    ///   takes too long.
    public func skip(to offset: UInt64, timeout: Double) throws {
        let limit = Date(timeIntervalSinceNow: timeout)
        try lock.withLock { try giveUp(below: offset, limit) }
    }

    /// Checks what the peer says that it has of this stream, and gives up what it can no longer use.
    ///
    /// Every byte that was ever spent lies below `position`, also after a crash, because the mark is durable before its
    /// bytes exist. A peer that accepted more has therefore seen pad that this ledger knows nothing of: the state directory
    /// is an old copy. The peer may not have proved itself yet, so nothing is spent or given up on that word; and where
    /// the source makes key only on demand, no peer can have lost more than was made.
    ///
    /// - Parameters:
    ///   - resume: the lowest offset that the peer can still use.
    ///   - accepted: one past the newest byte that the peer accepted.
    ///   - timeout: seconds for all of it.
    /// - Throws: `Failure(.data)` for a rolled-back state, or a peer that asks for too much; `Failure(.transient)` when
    ///   it takes too long.
    public func follow(resume: UInt64, accepted: UInt64, timeout: Double) throws {
        let limit = Date(timeIntervalSinceNow: timeout)
        try lock.withLock {
            try checkOpen()
            let position = filled - UInt64(tail - head)
            guard accepted <= position else {
                throw Failure(
                    .data, at: "\(stream)",
                    "\(stream.receiver) has accepted pad up to offset \(accepted), but the ledger of \(stream.sender) ends at "
                        + "\(position): its state directory was rolled back to an old copy",
                    remedy: Self.rollbackRemedy)
            }
            if resume > filled,
                let made = try unlocked(limit, { try source.made(stream, timeout: $0) })
            {
                guard resume <= made else {
                    throw Failure(
                        .data, at: "\(stream)",
                        "the peer asks to give up pad up to offset \(resume), of which only \(made) bytes were ever made",
                        remedy: "find out whether somebody plays the part of \(stream.receiver)")
                }
            }
            try giveUp(below: resume, limit)
        }
    }

    private func giveUp(below offset: UInt64, _ limit: Date) throws {
        try checkOpen()
        if offset <= filled - UInt64(tail - head) { return }
        while isFilling {
            guard lock.wait(until: limit) else { throw tooSlow }
        }
        try checkOpen()
        let position = filled - UInt64(tail - head)
        guard offset > position else { return }
        guard offset - position <= UInt64(options.maximumSkip) else {
            throw Failure(
                .data, at: "\(stream)",
                "the peer asks to give up \(offset - position) bytes of pad, more than \(options.maximumSkip)",
                remedy: "find out why the peer lost its key, or whether somebody plays its part")
        }
        let inHand = UInt64(tail - head)
        if offset < filled {
            let count = Int(offset - position)
            erase(count)
            account.update { $0.lost += UInt64(count) }
        } else {
            try moveMark(from: filled, to: offset)
            erase(Int(inHand))
            account.update { $0.lost += inHand }
            // Key that nobody will ask for must not fill the source's store.
            try unlocked(limit) { try source.discard(stream, below: offset, timeout: $0) }
        }
    }

    /// Erases what is left, books it as expired and makes the account durable.
    ///
    /// - Parameter patience: seconds in which a call of the source that is under way must end.
    /// - Throws: `Failure(.transient)` when it does not; what was reserved then counts as lost, as after a crash.
    public func close(within patience: Double = closingPatience) throws {
        try lock.withLock {
            if closed { return }
            closed = true
            let limit = Date(timeIntervalSinceNow: patience)
            while isFilling {
                guard lock.wait(until: limit) else {
                    eraseRest()
                    throw tooSlow
                }
            }
            eraseRest()
            // What was reserved but never asked of the source does not exist: the mark goes back over it.
            try account.close { $0.mark = filled }
        }
    }

    // MARK: - Under the lock

    private func checkOpen() throws {
        guard !closed else {
            throw Failure(
                .transient, at: "\(stream)", "the pad is closed", remedy: "open it again, this process was stopping")
        }
    }

    private func erase(_ count: Int) {
        buffer.withUnsafeMutableBytes { wipe(UnsafeMutableRawBufferPointer(rebasing: $0[head..<head + count])) }
        head += count
    }

    private var tooSlow: Failure {
        Failure(
            .transient, at: "\(stream)", "the source of its pad has not answered in time",
            remedy: "look whether the key node runs, and try again")
    }

    /// Asks the source without the lock, so that others spend what is in hand; the question gets the seconds that are
    /// left.
    private func unlocked<R>(_ limit: Date, _ body: (_ timeout: Double) throws -> R) throws -> R {
        let left = limit.timeIntervalSinceNow
        guard left > 0 else { throw tooSlow }
        lock.unlock()
        defer { lock.lock() }
        return try body(left)
    }

    private func bringInHand(_ wanted: Int, timeout: Double) throws {
        let limit = Date(timeIntervalSinceNow: timeout)
        while true {
            try checkOpen()
            if tail - head >= wanted { return }
            if isFilling {
                guard lock.wait(until: limit) else {
                    throw Failure(
                        .transient, at: "\(stream)", "insufficient key: others wait for it too",
                        remedy: "wait until the key network delivers, or look at its status")
                }
                continue
            }
            isFilling = true
            defer {
                isFilling = false
                lock.broadcast()
            }
            try fill(wanted, limit)
        }
    }

    /// Brings `wanted` bytes in hand, but for what others spend in the meantime.
    private func fill(_ wanted: Int, _ limit: Date) throws {
        moveToFront()
        if !synchronised { try synchronise(limit) }
        let missing = wanted - (tail - head)
        do {
            // A long record takes what it needs, so that nothing is moved; short ones share a chunk.
            try take(missing > options.chunk / 2 ? missing : options.chunk, timeout: 0)
        } catch let failure as Failure where failure.kind == .transient || failure.kind == .data {
            // A whole chunk is not there; what this call needs may be, or may come in time. Or key has expired.
            let before = filled
            try synchronise(limit)
            guard failure.kind == .transient || filled > before else {
                synchronised = false
                throw failure
            }
            do {
                // What was in hand may just have gone with what the source lost.
                let missing = wanted - (tail - head)
                if missing > 0 { try take(missing, timeout: max(0, limit.timeIntervalSinceNow)) }
            } catch {
                synchronised = false
                throw error
            }
        } catch {
            synchronised = false
            throw error
        }
    }

    private func moveToFront() {
        guard head > 0 else { return }
        buffer.withUnsafeMutableBytes { bytes in
            let rest = tail - head
            if rest > 0, let base = bytes.baseAddress { memmove(base, base + head, rest) }
            // What lies before `head` was erased when it was spent.
            wipe(UnsafeMutableRawBufferPointer(rebasing: bytes[max(rest, head)..<tail]))
            head = 0
            tail = rest
        }
    }

    /// Leaves out what the source lost. Pad in hand is contiguous, so it goes too.
    private func synchronise(_ limit: Date) throws {
        // A call that may not wait for key still has to learn where the source stands.
        let latest = max(limit, Date(timeIntervalSinceNow: Self.leastPatience))
        let from = filled
        let next = try unlocked(latest) { try source.resume(stream, from: from, timeout: $0) }
        if next > filled {
            let inHand = UInt64(tail - head)
            try moveMark(from: filled, to: next)
            erase(tail - head)
            account.update { $0.lost += inHand }
        }
        // Others may have spent meanwhile.
        moveToFront()
        synchronised = true
    }

    /// Books the offsets from `filled` up to `offset` as lost, durably.
    private func moveMark(from: UInt64, to offset: UInt64) throws {
        guard offset <= UInt64(Int64.max) else {
            throw Failure(
                .transient, at: "\(stream)", "insufficient key: the source has none for this stream",
                remedy: "wait until the key network delivers, or look at its status")
        }
        try account.commit {
            $0.mark = max($0.mark, offset)
            $0.lost += offset - from
        }
        filled = offset
    }

    private func take(_ count: Int, timeout: Double) throws {
        try reserve(count)
        try buffer.withUnsafeMutableBytes { bytes in
            let room = UnsafeMutableRawBufferPointer(rebasing: bytes[tail..<tail + count])
            let offset = filled
            lock.unlock()
            defer { lock.lock() }
            try source.take(stream, offset: offset, into: room, timeout: timeout)
        }
        if tail == head { takenAt = monotonicSeconds() }
        filled += UInt64(count)
        tail += count
        // Who closed the pad may have given up waiting for it.
        if closed { eraseRest() }
        watchAge()
    }

    /// Erases pad in hand that is too old.
    private func expire() {
        guard let lifetime = options.lifetime, tail > head, monotonicSeconds() - takenAt >= lifetime else { return }
        eraseRest()
    }

    /// Erases what is in hand and books it as expired.
    private func eraseRest() {
        let count = tail - head
        erase(count)
        account.update { $0.expired += UInt64(count) }
    }

    /// Sees to it that pad in hand is erased when it is too old, also when nobody spends.
    private func watchAge() {
        guard let lifetime = options.lifetime, tail > head, !isWatched, !closed else { return }
        isWatched = true
        call(at: takenAt + lifetime) { [weak self] in
            guard let self else { return }
            lock.withLock {
                self.isWatched = false
                self.expire()
                self.watchAge()
            }
            _ = account.saveSoon()
        }
    }

    /// A durable mark over the next `count` bytes, before any of them exists here. Only who fills the buffer may call this:
    /// the lock is given up while the ledger is written.
    private func reserve(_ count: Int) throws {
        let end = filled + UInt64(count)
        if end > account.durableMark {
            lock.unlock()
            defer { lock.lock() }
            account.settle()
        }
        let durable = account.durableMark
        if end > durable {
            let mark = max(end, filled + UInt64(nextReservation()))
            lock.unlock()
            defer { lock.lock() }
            try account.save(mark: mark)
        } else if reservation >= Self.busyChunks * options.chunk, durable - end < UInt64(reservation / 2),
            account.saveSoon(mark: end + UInt64(reservation))
        {
            _ = nextReservation()
        }
    }

    /// A reservation that lasts a quarter of a second keeps marks to a few per second.
    private func nextReservation() -> Int {
        let time = monotonicSeconds()
        let growth = max(0.5, min(8, 0.25 / max(time - reservedAt, 1e-6)))
        reservation = max(options.chunk, min(Int(Double(reservation) * growth), options.maximumReservation))
        reservedAt = time
        return reservation
    }
}
