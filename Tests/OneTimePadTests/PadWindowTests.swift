import Diagnostics
import Foundation
import Kernels
import OneTimePad
import TestSupport
import Testing

/// Key whose bytes follow from their offsets, with holes that the source lost.
///
/// `@unchecked Sendable`: the variables never change; `lock` guards `asked`.
private final class HoleySource: PadSource, @unchecked Sendable {
    let holes: [Range<UInt64>]
    let made: UInt64
    private let lock = NSLock()
    private var asked = 0

    init(holes: [Range<UInt64>], made: UInt64) {
        self.holes = holes
        self.made = made
    }

    /// Calls of `take` so far.
    var calls: Int { lock.withLock { asked } }

    static func byte(_ offset: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 0x9E37_79B9_7F4A_7C15 >> 32) }

    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        lock.withLock { asked += 1 }
        let range = offset..<offset + UInt64(destination.count)
        guard range.upperBound <= made else {
            throw Failure(.transient, at: "test", "insufficient key", remedy: "none")
        }
        guard !holes.contains(where: { $0.overlaps(range) }) else {
            throw Failure(.data, at: "test", "the key was lost", remedy: "none")
        }
        for index in destination.indices { destination[index] = Self.byte(offset + UInt64(index)) }
    }

    func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
        holes.first { $0.contains(offset) }?.upperBound ?? offset
    }
}

@Suite struct PadWindowTests {
    private let scratch = Scratch()
    private let ledger: PadLedger

    init() throws { ledger = try PadLedger(path: scratch.file("b"), owner: "bob") }

    private func pad(_ source: any PadSource, lifetime: Double? = nil) throws -> ReceivingPad {
        var options = PadOptions()
        options.window = 4 << 20
        options.lifetime = lifetime
        let pad = try ReceivingPad(stream: stream, source: source, ledger: ledger, options: options)
        pad.openWindow()
        return pad
    }

    /// What a datagram of 1,000 bytes and a tag meets: its pad as it should be, or the reason against it.
    private func look(_ pad: ReceivingPad, _ offset: UInt64, claim: Bool = false) throws -> String {
        try pad.withDatagrams { pad in
            switch try pad.datagramPad(at: offset, count: 1016) {
            case .used: return "used"
            case .outOfReach: return "out of reach"
            case .noKey: return "no key"
            case .held(let bytes):
                let isRight = bytes.indices.allSatisfy { bytes[$0] == HoleySource.byte(offset + UInt64($0)) }
                if claim { try pad.claim(at: offset, data: 1000, tag: 16) }
                return isRight ? "held" : "wrong"
            }
        }
    }

    /// The same, again and again while there is no key, as datagrams that are sent again do.
    private func lookAgain(_ pad: ReceivingPad, _ offset: UInt64, claim: Bool = false) throws -> String {
        for _ in 0..<200 {
            let seen = try look(pad, offset, claim: claim)
            guard seen == "no key" || seen == "out of reach" else { return seen }
            usleep(2000)
        }
        return "nothing"
    }

    private func accept(_ pad: ReceivingPad, _ offset: UInt64, timeout: Double) throws {
        let memory = SecureBytes(count: 1016)
        try memory.withUnsafeMutableBytes { scratch in
            try pad.accept(.data, offset: offset, data: 1000, tag: 16, timeout: timeout, scratch: scratch) { bytes in
                #expect(bytes.indices.allSatisfy { bytes[$0] == HoleySource.byte(offset + UInt64($0)) })
            }
        }
    }

    @Test func lostKeyIsPassedAndWhatIsOnItsWayIsKept() throws {
        let source = HoleySource(holes: [200_003..<300_000], made: 1 << 20)
        let pad = try pad(source)
        #expect(try look(pad, 0, claim: true) == "held")
        // The look that meets the loss ends without pad, and the next one finds it behind the loss.
        #expect(try look(pad, 300_000) == "no key")
        #expect(try lookAgain(pad, 300_000, claim: true) == "held")
        // Up to the last byte before the loss, in any order.
        #expect(try look(pad, 200_003 - 1016, claim: true) == "held")
        #expect(try look(pad, 150_000, claim: true) == "held")
        #expect(try look(pad, 200_003 - 1015) == "used")
        #expect(try look(pad, 250_000) == "used")
        #expect(try look(pad, 299_999) == "used")
        try accept(pad, 20_000, timeout: 1)
        // A record of the other carrier with lost pad is refused at once, not after its timeout.
        let start = ContinuousClock.now
        #expect(thrown { try accept(pad, 250_000, timeout: 20) }?.kind == .data)
        #expect(ContinuousClock.now - start < .seconds(10))
        #expect(source.calls < 100)
        try pad.close()
        let line = try #require(try ledger.balance().first)
        #expect(line.balanced && line.data == 5000 && line.lost == 301_016 - 5 * 1016)
    }

    @Test func aLossBeyondReachIsPassed() throws {
        let source = HoleySource(holes: [1016..<40 << 20], made: 48 << 20)
        let pad = try pad(source)
        #expect(try look(pad, 0, claim: true) == "held")
        #expect(try lookAgain(pad, 40 << 20, claim: true) == "held")
        #expect(pad.position == 40 << 20 + 1016)
        // The account knows at once that what was left out is lost.
        let line = try #require(try ledger.balance().first)
        #expect(line.balanced && line.lost == 40 << 20 - 1016)
        #expect(thrown { try accept(pad, 5000, timeout: 20) }?.kind == .data)
        // Where nothing was lost an offset far ahead stays out of reach, and moves nothing.
        #expect(try look(pad, 47 << 20) == "out of reach")
        #expect(try look(pad, 40 << 20 + 1016, claim: true) == "held")
    }

    /// Pad that was copied out for a record that proved false is gone: it is never given out again, least of all as zeros.
    @Test func padOfARefusedRecordIsGone() throws {
        struct Forged: Error {}
        let pad = try pad(HoleySource(holes: [], made: 1 << 20))
        #expect(try look(pad, 0) == "held")
        let memory = SecureBytes(count: 1016)
        func refuse(at offset: UInt64) throws {
            try memory.withUnsafeMutableBytes { scratch in
                try pad.accept(.data, offset: offset, data: 1000, tag: 16, timeout: 1, scratch: scratch) { _ in
                    throw Forged()
                }
            }
        }
        #expect(throws: Forged.self) { try refuse(at: 101) }
        for offset in [UInt64(101), 100, 1116, 1, 500] {
            #expect(thrown { try accept(pad, offset, timeout: 1) }?.kind == .data)
            #expect(try look(pad, offset) == "used")
        }
        #expect(throws: Forged.self) { try refuse(at: 1117) }
        #expect(try look(pad, 2132) == "used")
        try accept(pad, 2133, timeout: 1)
    }

    @Test func belowTheWindowIsAReplay() throws {
        let source = HoleySource(holes: [1016..<40 << 20], made: 48 << 20)
        let pad = try pad(source)
        #expect(try look(pad, 0, claim: true) == "held")
        // The window has gone on, the newest pad accepted has not.
        #expect(try look(pad, 40 << 20) == "out of reach")
        #expect(try look(pad, 40 << 20) == "held")
        #expect(pad.position == 1016)
        #expect(try look(pad, 20_000) == "used")
        let start = ContinuousClock.now
        let failure = thrown { try accept(pad, 20_000, timeout: 20) }
        #expect(failure?.kind == .data && failure?.problem.contains("replay") == true)
        #expect(ContinuousClock.now - start < .seconds(10))
        try accept(pad, 40 << 20, timeout: 1)
    }

    @Test func padThatIsTooOldLeavesTheWindowByItself() throws {
        let pad = try pad(HoleySource(holes: [], made: 48 << 20), lifetime: 1)
        #expect(try look(pad, 0, claim: true) == "held")
        #expect(try look(pad, 5000, claim: true) == "held")
        #expect(try look(pad, 2000) == "held")
        // The lifetimes of both ends and the grain of the ages.
        #expect(try eventually { try ledger.balance().first?.lost == 5000 - 1016 })
        #expect(try look(pad, 2000) == "used")
        #expect(try look(pad, 400_000) == "held")
    }
}
