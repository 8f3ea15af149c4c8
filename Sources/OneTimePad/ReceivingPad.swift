import Diagnostics
import Foundation
import Kernels
import Metering

/// The receiver's end of a stream: accepts each stretch of pad once and knows when its sender went back in time.
///
/// Pad is fetched from the source for the very range a record names, and a range counts as accepted only when its tag
/// was right, so a forged offset costs no more than its own bytes. Records of several connections may overtake each
/// other within `PadOptions.window`; a stretch that nobody claimed by then is booked as lost and erased at the source.
/// Where datagrams use the stream, its pad is fetched ahead into a `PadWindow`.
///
/// The durable mark follows lazily. It may: a replay needs pad that the source gave out and erased, and a new session
/// has a new hash key. What the mark tells is that the *sender's* state was restored from an old copy.
///
/// `@unchecked Sendable`: `lock` guards every stored variable; it is held neither while a record waits for its pad nor
/// while a mark is written, but for the last one, or the source is told what is given up.
public final class ReceivingPad: @unchecked Sendable {
    public let stream: PadStream
    private let source: any PadSource
    private let account: PadAccount
    let options: PadOptions

    let lock = NSLock()
    /// The durable mark that this process found: nothing below it is accepted.
    private let floor: UInt64
    /// One past the newest byte accepted.
    private var frontier: UInt64
    /// Stretches below the frontier that nobody has claimed, in ascending order.
    private var gaps: [Range<UInt64>] = []
    /// Pad that was fetched before its records came, once datagrams use the stream.
    var window: PadWindow?
    /// When the source may be asked again for pad of datagrams that it did not have.
    private var nextAsking = 0.0
    /// When the source may be asked again whether it lost what a datagram far ahead leaves out.
    private var nextLooking = 0.0
    var isWatched = false
    /// Whether the mark must be durable before the call returns that is under way.
    private var mustSave = false
    /// The source has yet to give up what lies below this offset; one thread at a time tells it.
    private var owed: UInt64?
    private var isTelling = false
    private var durableTime = monotonicSeconds()
    var closed = false

    private static let lazyBytes: UInt64 = 64 << 20
    private static let lazySeconds = 1.0
    private static let maximumGaps = 1024
    private static let askingSeconds = 0.001
    private static let lookingSeconds = 0.1
    /// Seconds for the answer then; the lock is held meanwhile.
    private static let lookingPatience = 1.0

    /// - Throws: `Failure(.configuration)` when the ledger's process has this receiver open already.
    public init(stream: PadStream, source: any PadSource, ledger: PadLedger, options: PadOptions = PadOptions()) throws
    {
        self.stream = stream
        self.source = source
        self.options = try options.validated()
        account = try ledger.account(stream, side: .receiver)
        floor = account.snapshot.mark
        frontier = floor
    }

    deinit { account.release() }

    /// One past the newest byte accepted.
    public var position: UInt64 { lock.withLock { frontier } }

    /// The lowest offset that the sender should use next: above `position` when the source lost key.
    ///
    /// - Parameter timeout: seconds that the source may take to answer.
    public func resumePoint(timeout: Double) throws -> UInt64 {
        try source.resume(stream, from: position, timeout: timeout)
    }

    /// Fetches the pad for a record and calls `body`, which checks the record's tag and throws when it is wrong.
    ///
    /// - Parameter scratch: secret memory of at least `data + tag` bytes; it is wiped before the call returns.
    /// - Throws: `Failure(.data)` for an offset below the mark or used before, `Failure(.transient)` when the key does
    ///   not arrive in time, and whatever `body` throws; in each case the stretch is not accepted.
    public func accept<R>(
        _ purpose: PadPurpose, offset: UInt64, data: Int, tag: Int, timeout: Double,
        scratch: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try accept(
            purpose, offset: offset, head: 0, tag: tag, timeout: timeout, scratch: scratch, length: { _ in data }, body)
    }

    /// The same for a record whose length stands in its encrypted header.
    ///
    /// - Parameters:
    ///   - head: bytes of pad that lie over the header.
    ///   - length: given them, returns the bytes of pad that the record has in all, header included and tag not; what
    ///     it throws ends the call.
    public func accept<R>(
        _ purpose: PadPurpose, offset: UInt64, head: Int, tag: Int, timeout: Double,
        scratch: UnsafeMutableRawBufferPointer, length: (UnsafeRawBufferPointer) throws -> Int,
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        precondition(head >= 0 && tag >= 0 && head <= scratch.count)
        guard offset <= UInt64(Int64.max) - UInt64(scratch.count) else {
            throw Failure(
                .data, at: "\(stream)", "the pad offset \(offset) is impossible", remedy: "refuse this peer's message")
        }
        var count = 0
        defer { wipe(UnsafeMutableRawBufferPointer(rebasing: scratch[0..<count])) }
        func fetch(upTo end: Int) throws {
            guard end > count else { return }
            let part = UnsafeMutableRawBufferPointer(rebasing: scratch[count..<end])
            let at = offset + UInt64(count)
            count = end
            try take(at, part, timeout: timeout)
        }
        try fetch(upTo: head)
        let data = try length(UnsafeRawBufferPointer(rebasing: scratch[0..<head]))
        precondition(data >= head && data + tag > 0 && data + tag <= scratch.count)
        try fetch(upTo: data + tag)
        let result = try body(UnsafeRawBufferPointer(rebasing: scratch[0..<data + tag]))
        PadTrace.shared?.write(stream, .receiver, offset: offset, count: data + tag, purpose)
        try locked { try commit(offset..<offset + UInt64(data + tag), purpose, data: data, tag: tag) }
        return result
    }

    /// Pad for a record, from the window where there is one.
    private func take(_ offset: UInt64, _ part: UnsafeMutableRawBufferPointer, timeout: Double) throws {
        let range = offset..<offset + UInt64(part.count)
        let deadline = monotonicSeconds() + timeout
        while true {
            let isDone = try locked { () -> Bool? in
                try check(range)
                guard window != nil, range.lowerBound < max(window!.high, window!.limit(frontier: frontier)) else {
                    return nil
                }
                guard try prepareWindow(upTo: range.upperBound) else { return false }
                guard window!.copy(range, into: part) else {
                    throw Failure(
                        .data, at: "\(stream)",
                        "the pad at offset \(range.lowerBound) was given up or lost: a replay, or a record too late",
                        remedy: "refuse the record; what is sent again has newer pad")
                }
                return true
            }
            if isDone == true { return }
            guard isDone == false else { break }
            guard monotonicSeconds() < deadline else {
                throw Failure(
                    .transient, at: "\(stream)", "insufficient key: nothing at offset \(offset) yet",
                    remedy: "wait for the key network, or look at its status")
            }
            Thread.sleep(forTimeInterval: 0.002)
        }
        try source.take(stream, offset: offset, into: part, timeout: timeout)
    }

    /// Books unclaimed stretches as lost and makes the account durable.
    public func close() throws {
        try locked {
            if closed { return }
            closed = true
            giveUpGaps(below: frontier)
            window = nil
            try account.commit()
            account.release()
        }
    }

    /// Calls `body` under the lock. What it leaves to be done for the ledger and at the source is done without.
    private func locked<R>(_ body: () throws -> R) throws -> R {
        var isOwing = false
        defer { if isOwing { tellSource() } }
        let (result, isDue) = try lock.withLock {
            defer {
                mustSave = false
                isOwing = owed != nil && !isTelling
            }
            let result = try body()
            return (result, mustSave)
        }
        if isDue { try account.save() }
        return result
    }

    /// Has the source erase what was given up. Where it cannot be told, it is told with what is given up next.
    func tellSource() {
        while true {
            let offset = lock.withLock { () -> UInt64? in
                guard !isTelling, let offset = owed else { return nil }
                (isTelling, owed) = (true, nil)
                return offset
            }
            guard let offset else { return }
            let isTold = (try? source.discard(stream, below: offset)) != nil
            lock.withLock {
                isTelling = false
                if !isTold { owed = max(owed ?? 0, offset) }
            }
            if !isTold { return }
        }
    }

    // MARK: - Under the lock

    private func checkOpen() throws {
        guard !closed else {
            throw Failure(
                .transient, at: "\(stream)", "the pad is closed", remedy: "open it again, this process was stopping")
        }
    }

    private func check(_ range: Range<UInt64>) throws {
        try checkOpen()
        if range.lowerBound >= frontier { return }
        if range.lowerBound < floor {
            throw Failure(
                .data, at: "\(stream)",
                "the sender uses pad at offset \(range.lowerBound), below the mark \(floor): its state was rolled back, "
                    + "or this is a replay",
                remedy: "stop the sender; never restore its state directory from a copy")
        }
        guard gap(holding: range) != nil else {
            throw Failure(
                .data, at: "\(stream)",
                "the pad at offset \(range.lowerBound) was used before: a replay, or a sender whose state was rolled back",
                remedy: "refuse the record; never restore a sender's state directory from a copy")
        }
    }

    private func gap(holding range: Range<UInt64>) -> Int? {
        var low = 0
        var high = gaps.count
        while low < high {
            let middle = (low + high) / 2
            if gaps[middle].upperBound > range.lowerBound { high = middle } else { low = middle + 1 }
        }
        let isHeld =
            low < gaps.count && gaps[low].lowerBound <= range.lowerBound && range.upperBound <= gaps[low].upperBound
        return isHeld ? low : nil
    }

    private func commit(_ range: Range<UInt64>, _ purpose: PadPurpose, data: Int, tag: Int) throws {
        try checkOpen()
        // Between check and commit another connection may have moved the frontier, never this range: the source gives
        // each byte once.
        if range.lowerBound >= frontier {
            if range.lowerBound > frontier { gaps.append(frontier..<range.lowerBound) }
            frontier = range.upperBound
        } else if let index = gap(holding: range) {
            let gap = gaps[index]
            let rest = [gap.lowerBound..<range.lowerBound, range.upperBound..<gap.upperBound].filter { !$0.isEmpty }
            gaps.replaceSubrange(index...index, with: rest)
        } else {
            throw Failure(
                .data, at: "\(stream)",
                "the pad at offset \(range.lowerBound) was given up while its record was checked",
                remedy: "the record came too late; send it again under new pad")
        }
        window?.passed(frontier)
        let mark = frontier
        account.update {
            $0.mark = mark
            $0.spend(purpose, data: data, tag: tag)
        }
        if let low = window?.low, gaps.first?.lowerBound ?? .max < low { giveUpGaps(below: low) }
        let window = UInt64(options.window)
        if let first = gaps.first, frontier - first.lowerBound > window || gaps.count > Self.maximumGaps {
            giveUpGaps(below: gaps.count > Self.maximumGaps ? gaps[gaps.count / 2].upperBound : frontier - window)
        }
        makeDurable(at: purpose == .handshake)
    }

    private func makeDurable(at handshake: Bool) {
        let behind = frontier - account.durableMark
        guard behind > 0 else { return }
        let time = monotonicSeconds()
        if handshake || source.mayGiveAgain(stream) {
            durableTime = time
            mustSave = true
        } else if behind >= Self.lazyBytes || time - durableTime >= Self.lazySeconds, account.saveSoon() {
            durableTime = time
        }
    }

    func giveUpGaps(below limit: UInt64) {
        var lost: UInt64 = 0
        var kept: [Range<UInt64>] = []
        for gap in gaps {
            let end = min(gap.upperBound, max(limit, gap.lowerBound))
            lost += end - gap.lowerBound
            if end < gap.upperBound { kept.append(end..<gap.upperBound) }
        }
        gaps = kept
        guard lost > 0 else { return }
        account.update { $0.lost += lost }
        owed = max(owed ?? 0, min(limit, frontier))
    }

    // MARK: - Datagrams

    /// Makes the stream ready for datagrams, whose pad is fetched ahead and held until it is claimed or out of reach.
    package func openWindow() {
        lock.withLock { if window == nil && !closed { window = PadWindow(at: frontier, capacity: options.window) } }
    }

    /// How far beyond the newest pad accepted a datagram may lie: a sender keeps less than that on its way.
    package var reach: Int { Self.reach(options) }

    package static func reach(_ options: PadOptions) -> Int { PadWindow.reach(capacity: options.window) }

    /// Calls `body` with the lock held, to claim the pad of datagrams.
    package func withDatagrams<R>(_ body: (ReceivingPad) throws -> R) throws -> R {
        try locked { try body(self) }
    }

    /// Pad for a datagram, in `withDatagrams` only and valid until the next call there. Nothing is accepted yet, so
    /// that a forged datagram costs the genuine one nothing.
    package func datagramPad(at offset: UInt64, count: Int) throws -> DatagramPad {
        guard !closed, window != nil else { return .noKey }
        guard offset <= UInt64(Int64.max) - UInt64(count) else { return .outOfReach }
        let range = offset..<offset + UInt64(count)
        if range.lowerBound < frontier && (range.lowerBound < floor || gap(holding: range) == nil) { return .used }
        guard count <= PadWindow.slack else { return .outOfReach }
        // Forged offsets must not make the source answer for each of them.
        guard range.upperBound <= window!.limit(frontier: frontier) else {
            if monotonicSeconds() >= nextLooking {
                // A forged datagram must not end the transfer of a source that does not answer at the moment.
                _ = try? passLoss()
                nextLooking = monotonicSeconds() + Self.lookingSeconds
            }
            return .outOfReach
        }
        if range.upperBound > window!.high {
            guard monotonicSeconds() >= nextAsking else { return .noKey }
            guard (try? prepareWindow(upTo: range.upperBound)) == true else {
                nextAsking = monotonicSeconds() + Self.askingSeconds
                return .noKey
            }
        }
        return window!.holds(range) ? .held(window!.pad(range)) : .used
    }

    /// Accepts and wipes the pad of a datagram whose tag was right, in `withDatagrams` only.
    package func claim(at offset: UInt64, data: Int, tag: Int) throws {
        let range = offset..<offset + UInt64(data + tag)
        defer { window?.wipe(range) }
        try commit(range, .data, data: data, tag: tag)
    }

    /// Fetches pad until the window reaches `end`, and some more where there is more; false when that much is not there
    /// yet, or when the source has lost some of it: the window goes on behind the loss, and the caller looks again.
    private func prepareWindow(upTo end: UInt64) throws -> Bool {
        while window!.high < end {
            let missing = Int(end - window!.high)
            do {
                let hasMore = try missing < PadWindow.chunk && fetched(PadWindow.chunk)
                if !hasMore { try window!.fetch(missing, from: source, stream) }
            } catch let failure as Failure where failure.kind == .transient {
                return false
            } catch let failure as Failure where failure.kind == .data {
                // What is there before the loss may be named by datagrams that are still on their way.
                var count = missing / 2
                while count > 0 {
                    if try !fetched(count) { count /= 2 }
                }
                guard try passLoss() else { throw failure }
                return false
            }
            keepUp()
        }
        return true
    }

    /// Fetches so many bytes into the window; false when they are not all there.
    private func fetched(_ count: Int) throws -> Bool {
        do {
            try window!.fetch(count, from: source, stream)
            return true
        } catch let failure as Failure where failure.kind == .transient || failure.kind == .data {
            return false
        }
    }

    /// Goes on behind what the source lost of the pad that comes next; false when it lost none.
    private func passLoss() throws -> Bool {
        let next = try source.resume(stream, from: window!.high, timeout: Self.lookingPatience)
        guard next > window!.high, next <= UInt64(Int64.max) else { return false }
        window!.skip(to: next)
        keepUp()
        return true
    }

    /// What left the window is not to be had any more.
    private func keepUp() {
        giveUpGaps(below: window!.low)
        watchAge()
    }
}
