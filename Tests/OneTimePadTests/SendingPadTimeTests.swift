import Diagnostics
import Foundation
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

/// A source whose answers take their time, or until they are released.
private final class SlowSource: PadSource {
    struct Delays {
        var take = 0.0
        var made = 0.0
        var discard = 0.0
        var resume = 0.0
    }
    let delays = Mutex(Delays())
    /// The seconds that each question was given.
    let given = Mutex<[String: Double]>([:])
    private let released = Atomic(false)

    func release() { released.store(true, ordering: .releasing) }

    private func wait(_ name: String, _ seconds: Double, _ timeout: Double) throws {
        given.withLock { $0[name] = timeout }
        let end = ContinuousClock.now + .seconds(min(seconds, timeout))
        while ContinuousClock.now < end {
            if released.load(ordering: .acquiring) { return }
            usleep(1000)
        }
        if seconds > timeout { throw Failure(.transient, at: "test", "no answer in time", remedy: "none") }
    }

    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let delay = delays.withLock { $0.take }
        if delay > 0 { try wait("take", delay, timeout) }
    }

    func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
        try wait("resume", delays.withLock { $0.resume }, timeout)
        return offset
    }

    func made(_ stream: PadStream, timeout: Double) throws -> UInt64? {
        try wait("made", delays.withLock { $0.made }, timeout)
        return 1 << 30
    }

    func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {
        try wait("discard", delays.withLock { $0.discard }, timeout)
    }
}

@Suite struct SendingPadTimeTests {
    private let scratch = Scratch()
    private let source = SlowSource()
    private let ledger: PadLedger

    init() throws { ledger = try PadLedger(path: scratch.file("a"), owner: "alice") }

    private func pad(lifetime: Double? = nil) throws -> SendingPad {
        var options = PadOptions()
        options.chunk = 100_000
        options.lifetime = lifetime
        return try SendingPad(stream: stream, source: source, ledger: ledger, options: options)
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start) / .seconds(1)
    }

    @Test func padInHandExpiresThoughNobodySpends() throws {
        let pad = try pad(lifetime: 0.2)
        try pad.spend(.data, data: 984, tag: 16, timeout: 1) { _, _ in }
        #expect(try eventually { try ledger.balance().first?.expired != 0 })
        let line = try #require(try ledger.balance().first)
        #expect(line.expired == 99_000 && line.balanced)
        // The pad goes on, behind what expired, and expires again.
        #expect(try pad.spend(.data, data: 984, tag: 16, timeout: 1) { offset, _ in offset } == 100_000)
        #expect(try eventually { try ledger.balance().first?.expired == 2 * 99_000 })
        // Nobody has told the ledger to write this down.
        #expect(try eventually { try PadLedger.read(path: scratch.file("a")).first?.expired == 2 * 99_000 })
        try pad.close()
    }

    @Test func youngPadDoesNotExpire() throws {
        let pad = try pad(lifetime: 300)
        try pad.spend(.data, data: 984, tag: 16, timeout: 1) { _, _ in }
        usleep(300_000)
        #expect(try ledger.balance().first?.expired == 0)
        #expect(try pad.spend(.data, data: 984, tag: 16, timeout: 1) { offset, _ in offset } == 1000)
    }

    /// A pad that nobody holds any more is not kept by its age.
    @Test func aPadThatIsGoneIsNotWatched() throws {
        weak var gone: SendingPad?
        do {
            let pad = try pad(lifetime: 1000)
            try pad.spend(.data, data: 984, tag: 16, timeout: 1) { _, _ in }
            gone = pad
        }
        #expect(gone == nil)
    }

    @Test func followingAPeerHasOneDeadline() throws {
        let pad = try pad()
        try pad.spend(.data, data: 984, tag: 16, timeout: 1) { _, _ in }
        source.delays.withLock { $0.made = 0.3 }
        try pad.follow(resume: 500_000, accepted: 1000, timeout: 60)
        #expect(pad.position == 500_000)
        let given = source.given.withLock { $0 }
        #expect(given["made"] ?? 99 <= 60 && given["discard"] ?? 99 <= 59.71, "\(given)")
        // No step begins when the time is over, and what was given up by then stays so.
        source.delays.withLock { $0.made = 90 }
        let time = seconds {
            #expect(thrown { try pad.follow(resume: 600_000, accepted: 1000, timeout: 0.2) }?.kind == .transient)
        }
        #expect(time < 60 && pad.position == 500_000)
        source.delays.withLock {
            $0.made = 0
            $0.discard = 90
        }
        let more = seconds {
            #expect(thrown { try pad.follow(resume: 600_000, accepted: 1000, timeout: 0.2) }?.kind == .transient)
        }
        #expect(more < 60 && pad.position == 600_000)
        #expect(thrown { try pad.follow(resume: 700_000, accepted: 1000, timeout: 0) }?.kind == .transient)
        source.delays.withLock { $0.discard = 0 }
        try pad.skip(to: 700_000, timeout: 60)
        #expect(try pad.spend(.data, data: 984, tag: 16, timeout: 1) { offset, _ in offset } == 700_000)
        #expect(try ledger.balance().first?.balanced == true)
    }

    @Test func followingDoesNotWaitLongForOthers() throws {
        let pad = try pad()
        try pad.spend(.data, data: 984, tag: 16, timeout: 1) { _, _ in }
        source.delays.withLock { $0.take = 60 }
        let isDone = Atomic(false)
        Thread.detachNewThread {
            _ = thrown { try pad.spend(.data, data: 200_000, tag: 16, timeout: 120) { _, _ in } }
            isDone.store(true, ordering: .releasing)
        }
        // The first question of the source is for what is there already.
        #expect(eventually { source.given.withLock { $0["take"] ?? 0 } > 0 })
        #expect(thrown { try pad.follow(resume: 50_000, accepted: 1000, timeout: 0.2) }?.kind == .transient)
        let isStillWaiting = !isDone.load(ordering: .acquiring)
        #expect(isStillWaiting)
        source.release()
        #expect(eventually { isDone.load(ordering: .acquiring) })
        try pad.close()
    }

    /// Pad that arrives when nobody waits for it any more is erased, and the account knows of it.
    @Test func padThatComesAfterTheClosingIsErased() throws {
        let pad = try pad()
        try pad.spend(.data, data: 984, tag: 16, timeout: 1) { _, _ in }
        source.delays.withLock { $0.take = 60 }
        let failure = Mutex<Failure?>(nil)
        let isDone = Atomic(false)
        Thread.detachNewThread {
            let told = thrown { try pad.spend(.data, data: 200_000, tag: 16, timeout: 120) { _, _ in } }
            failure.withLock { $0 = told }
            isDone.store(true, ordering: .releasing)
        }
        #expect(eventually { source.given.withLock { $0["take"] ?? 0 } > 0 })
        #expect(thrown { try pad.close(within: 0.01) }?.kind == .transient)
        source.release()
        #expect(eventually { isDone.load(ordering: .acquiring) })
        #expect(failure.withLock { $0?.problem } == "the pad is closed")
        // What it had in hand, and what came.
        let line = try #require(try ledger.balance().first)
        #expect(line.balanced && line.expired >= 200_000 && pad.position >= 200_000, "\(line)")
    }

    /// While one asks the source, others spend what is in hand.
    @Test(arguments: ["made", "discard", "resume"])
    func aSlowAnswerHoldsUpNobody(question: String) throws {
        let pad = try pad()
        try pad.spend(.data, data: 984, tag: 16, timeout: 1) { _, _ in }
        let isDone = Atomic(false)
        source.given.withLock { $0 = [:] }
        source.delays.withLock {
            switch question {
            case "made": $0.made = 60
            case "discard": $0.discard = 60
            default:
                // A chunk that is not there makes the pad ask where the source stands.
                $0.take = 0.001
                $0.resume = 60
            }
        }
        Thread.detachNewThread {
            if question == "resume" {
                _ = thrown { try pad.spend(.data, data: 150_000, tag: 16, timeout: 120) { _, _ in } }
            } else {
                _ = thrown { try pad.follow(resume: 500_000, accepted: 1000, timeout: 120) }
            }
            isDone.store(true, ordering: .releasing)
        }
        #expect(eventually { source.given.withLock { $0[question] } != nil })
        // After the pad in hand was given up there is none: what counts is that nobody waits for the lock.
        if question == "discard" { _ = pad.position } else {
            try pad.spend(.handshake, data: 16, tag: 16, timeout: 60) { _, _ in }
        }
        let isStillWaiting = !isDone.load(ordering: .acquiring)
        #expect(isStillWaiting)
        source.release()
        #expect(eventually { isDone.load(ordering: .acquiring) })
        #expect(try ledger.balance().first?.balanced == true)
    }
}
