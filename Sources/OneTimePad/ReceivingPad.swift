import Diagnostics
import Foundation
import Kernels
import Metering

/// The receiver's end of a stream: accepts each stretch of pad once and knows when its sender went back in time.
///
/// Pad is fetched from the source for the very range a record names, and a range counts as accepted only when its tag
/// was right, so a forged offset costs no more than its own bytes. Records of several connections may overtake each
/// other within `PadOptions.window`; a stretch that nobody claimed by then is booked as lost and erased at the source.
///
/// The durable mark follows lazily. It may: a replay needs pad that the source gave out and erased, and a new session
/// has a new hash key. What the mark tells is that the *sender's* state was restored from an old copy.
///
/// `@unchecked Sendable`: `lock` guards every stored variable; it is not held while waiting for the source.
public final class ReceivingPad: @unchecked Sendable {
    public let stream: PadStream
    private let source: any PadSource
    private let account: PadAccount
    private let options: PadOptions

    private let lock = NSLock()
    /// The durable mark that this process found: nothing below it is accepted.
    private let floor: UInt64
    /// One past the newest byte accepted.
    private var frontier: UInt64
    /// Stretches below the frontier that nobody has claimed, in ascending order.
    private var gaps: [Range<UInt64>] = []
    private var durableTime = monotonicSeconds()
    private var closed = false

    private static let lazyBytes: UInt64 = 4 << 20
    private static let lazySeconds = 1.0
    private static let maximumGaps = 1024

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
    public func resumePoint() throws -> UInt64 { try source.resume(stream, from: position) }

    /// Fetches the pad for a record and calls `body`, which checks the record's tag and throws when it is wrong.
    ///
    /// - Parameter scratch: secret memory of at least `data + tag` bytes; it is wiped before the call returns.
    /// - Throws: `Failure(.data)` for an offset below the mark or used before, `Failure(.transient)` when the key does
    ///   not arrive in time, and whatever `body` throws; in each case the stretch is not accepted.
    public func accept<R>(
        _ purpose: PadPurpose, offset: UInt64, data: Int, tag: Int, timeout: Double,
        scratch: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        precondition(data >= 0 && tag >= 0 && data + tag > 0 && data + tag <= scratch.count)
        let count = data + tag
        guard offset <= UInt64(Int64.max) - UInt64(count) else {
            throw Failure(
                .data, at: "\(stream)", "the pad offset \(offset) is impossible", remedy: "refuse this peer's message")
        }
        let range = offset..<offset + UInt64(count)
        try lock.withLock { try check(range) }
        let pad = UnsafeMutableRawBufferPointer(rebasing: scratch[0..<count])
        defer { wipe(pad) }
        try source.take(stream, offset: offset, into: pad, timeout: timeout)
        let result = try body(UnsafeRawBufferPointer(pad))
        PadTrace.shared?.write(stream, .receiver, offset: offset, count: count, purpose)
        try lock.withLock { try commit(range, purpose, data: data, tag: tag) }
        return result
    }

    /// Books unclaimed stretches as lost and makes the account durable.
    public func close() throws {
        try lock.withLock {
            if closed { return }
            closed = true
            try giveUpGaps(below: frontier)
            try account.commit()
            account.release()
        }
    }

    // MARK: - Under the lock

    private func check(_ range: Range<UInt64>) throws {
        guard !closed else {
            throw Failure(
                .transient, at: "\(stream)", "the pad is closed", remedy: "open it again, this process was stopping")
        }
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
        gaps.firstIndex { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }

    private func commit(_ range: Range<UInt64>, _ purpose: PadPurpose, data: Int, tag: Int) throws {
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
        let mark = frontier
        account.update {
            $0.mark = mark
            $0.spend(purpose, data: data, tag: tag)
        }
        let window = UInt64(options.window)
        if let first = gaps.first, frontier - first.lowerBound > window || gaps.count > Self.maximumGaps {
            try giveUpGaps(below: gaps.count > Self.maximumGaps ? gaps[gaps.count / 2].upperBound : frontier - window)
        }
        try makeDurable(at: purpose == .handshake)
    }

    private func makeDurable(at handshake: Bool) throws {
        let behind = frontier - account.durableMark
        guard behind > 0 else { return }
        let time = monotonicSeconds()
        guard handshake || behind >= Self.lazyBytes || time - durableTime >= Self.lazySeconds else { return }
        durableTime = time
        try account.commit()
    }

    private func giveUpGaps(below limit: UInt64) throws {
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
        try source.discard(stream, below: min(limit, frontier))
    }
}
