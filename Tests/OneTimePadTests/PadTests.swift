import Diagnostics
import Foundation
import GRDB
import Kernels
import OneTimePad
import Synchronization
import Testing

/// A directory that goes away with the test.
final class Scratch {
    let path: String
    init() {
        path = NSTemporaryDirectory() + "dsgd-pad-" + UUID().uuidString
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func file(_ name: String) -> String { path + "/" + name }
}

let stream = PadStream(pool: "test", sender: "alice", receiver: "bob")

func memorySource(limit: UInt64 = .max) -> MemoryPadSource { MemoryPadSource(limit: limit) { try fillFromKernel($0) } }

func thrown(_ body: () throws -> Void) -> Failure? {
    do {
        try body()
        return nil
    } catch {
        return error as? Failure
    }
}

/// A source that remembers every range it gave out and refuses to give a byte twice: the oracle of the crash test.
///
/// `@unchecked Sendable`: `lock` guards `ranges`.
final class RecordingSource: PadSource, @unchecked Sendable {
    private let lock = NSLock()
    private var ranges: [Range<UInt64>] = []

    var taken: [Range<UInt64>] { lock.withLock { ranges } }

    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        try lock.withLock {
            guard offset >= ranges.last?.upperBound ?? 0 else {
                throw Failure(.data, at: "\(stream)", "the pad at \(offset) was asked for twice", remedy: "none")
            }
            ranges.append(offset..<offset + UInt64(destination.count))
            try fillFromKernel(destination)
        }
    }
}

@Suite struct LedgerTests {
    /// Who saves what another's closing has just made durable has no reason to complain.
    @Test func savingAfterTheClosingIsNoFaultWhenAllIsDurable() throws {
        let scratch = Scratch()
        let ledger = try PadLedger(path: scratch.file("pad.sqlite"), owner: "alice")
        let account = try ledger.account(stream, side: .receiver)
        account.update { $0.mark = 100 }
        try account.commit()
        account.release()
        try account.save()
        #expect(thrown { try account.save(mark: 101) }?.kind == .transient)
        account.update { $0.mark = 200 }
        #expect(thrown { try account.save() }?.kind == .transient)
        try ledger.close()
        #expect(try PadLedger.read(path: scratch.file("pad.sqlite")).first?.supplied == 100)
    }

    @Test func commitsAreDurable() throws {
        let scratch = Scratch()
        let ledger = try PadLedger(path: scratch.file("pad.sqlite"), owner: "alice")
        #expect(try ledger.synchronousMode() == 2)
        try ledger.close()
        // Reopening must not fall back to what GRDB sets with WAL.
        let again = try PadLedger(path: scratch.file("pad.sqlite"), owner: "alice")
        #expect(try again.synchronousMode() == 2)
    }

    @Test func oneProcessAndOneOwner() throws {
        let scratch = Scratch()
        let path = scratch.file("pad.sqlite")
        let ledger = try PadLedger(path: path, owner: "alice")
        let second = thrown { _ = try PadLedger(path: path, owner: "alice") }
        #expect(second?.kind == .configuration && second?.problem.contains("another process") == true)
        try ledger.close()
        #expect(thrown { _ = try PadLedger(path: path, owner: "bob") }?.problem.contains("belongs to") == true)
        #expect(thrown { _ = try PadLedger.read(path: scratch.file("absent")) }?.kind == .noInput)
    }

    @Test func damagedAccountIsRefused() throws {
        let scratch = Scratch()
        let path = scratch.file("pad.sqlite")
        let ledger = try PadLedger(path: path, owner: "alice")
        let pad = try SendingPad(stream: stream, source: memorySource().end(of: "alice"), ledger: ledger)
        try pad.spend(.data, data: 100, tag: 16, timeout: 1) { _, _ in }
        try pad.close()
        try ledger.close()
        let raw = try DatabaseQueue(path: path)
        try raw.write { try $0.execute(sql: "UPDATE pads SET data = mark + 1") }
        try raw.close()
        #expect(thrown { _ = try PadLedger(path: path, owner: "alice") }?.problem.contains("does not add up") == true)
    }

    @Test func oneSenderPerStream() throws {
        let scratch = Scratch()
        let ledger = try PadLedger(path: scratch.file("l"), owner: "alice")
        let source = memorySource().end(of: "alice")
        let pad = try SendingPad(stream: stream, source: source, ledger: ledger)
        #expect(thrown { _ = try SendingPad(stream: stream, source: source, ledger: ledger) }?.kind == .configuration)
        try pad.close()
        _ = try SendingPad(stream: stream, source: source, ledger: ledger)
    }
}

@Suite struct SendingPadTests {
    @Test func bothEndsHaveEqualPadAndTheAccountBalances() throws {
        let scratch = Scratch()
        let source = memorySource()
        let alice = try PadLedger(path: scratch.file("a"), owner: "alice")
        let bob = try PadLedger(path: scratch.file("b"), owner: "bob")
        let sending = try SendingPad(stream: stream, source: source.end(of: "alice"), ledger: alice)
        let receiving = try ReceivingPad(stream: stream, source: source.end(of: "bob"), ledger: bob)
        let memory = SecureBytes(count: 300_000)
        for size in [1, 17, 100_000, 262_145, 5, 262_144] {
            let (offset, sent) = try sending.spend(.data, data: size, tag: 16, timeout: 1) { ($0, Array($1)) }
            let got = try memory.withUnsafeMutableBytes { scratch in
                try receiving.accept(
                    .data, offset: offset, data: size, tag: 16, timeout: 1, scratch: scratch) { Array($0) }
            }
            #expect(sent == got)
            #expect(sent.count == size + 16)
        }
        for line in try alice.balance() + bob.balance() {
            #expect(line.balanced)
            #expect(line.tags == 6 * 16)
        }
        try sending.close()
        try receiving.close()
        let lines = try alice.balance() + bob.balance()
        #expect(lines.count == 2 && lines.allSatisfy { $0.balanced && $0.onHand == 0 && $0.lost == 0 })
        #expect(try PadLedger.read(path: scratch.file("a")) == alice.balance())
    }

    /// Objects are dropped in the middle of their reservations, as a kill does, and the ledger opened anew.
    @Test func noByteTwiceOverCrashes() throws {
        let scratch = Scratch()
        let source = RecordingSource()
        var options = PadOptions()
        options.chunk = 4096
        options.maximumReservation = 16384
        var random = SystemRandomNumberGenerator()
        var spent: [Range<UInt64>] = []
        for _ in 0..<200 {
            let ledger = try PadLedger(path: scratch.file("l"), owner: "alice")
            let pad = try SendingPad(stream: stream, source: source, ledger: ledger, options: options)
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let size = Int.random(in: 1...3000, using: &random)
                let offset = try pad.spend(.data, data: size, tag: 16, timeout: 1) { offset, _ in offset }
                spent.append(offset..<offset + UInt64(size + 16))
            }
        }
        for ranges in [spent, source.taken] {
            for (before, after) in zip(ranges, ranges.dropFirst()) { #expect(before.upperBound <= after.lowerBound) }
        }
        let line = try #require(try PadLedger(path: scratch.file("l"), owner: "alice").balance().first)
        #expect(line.balanced && line.onHand == 0 && line.lost > 0)
    }

    /// A source that loses key while some of it is in the sender's hand.
    final class LosingSource: PadSource, @unchecked Sendable {
        private let lock = NSLock()
        private var calls = 0
        func take(
            _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
        ) throws {
            try lock.withLock {
                calls += 1
                if calls == 2 { throw Failure(.transient, at: "test", "insufficient key", remedy: "none") }
                for index in destination.indices { destination[index] = 0xA5 }
            }
        }
        func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
            lock.withLock { calls == 2 ? offset + 1000 : offset }
        }
    }

    @Test func lostKeyIsNeverReplacedByZeros() throws {
        let scratch = Scratch()
        var options = PadOptions()
        options.chunk = 10_000
        let ledger = try PadLedger(path: scratch.file("l"), owner: "alice")
        let pad = try SendingPad(stream: stream, source: LosingSource(), ledger: ledger, options: options)
        try pad.spend(.handshake, data: 4000, tag: 16, timeout: 1) { _, _ in }
        let (offset, bytes) = try pad.spend(.data, data: 9000, tag: 16, timeout: 1) { ($0, Array($1)) }
        #expect(offset == 11_000 && bytes.count == 9016 && bytes.allSatisfy { $0 == 0xA5 })
        let line = try #require(try ledger.balance().first)
        #expect(line.balanced && line.lost == 11_000 - 4016)
    }

    @Test func authenticationReserveIsNotForData() throws {
        let scratch = Scratch()
        let source = memorySource(limit: 100_000)
        let ledger = try PadLedger(path: scratch.file("l"), owner: "alice")
        let pad = try SendingPad(stream: stream, source: source.end(of: "alice"), ledger: ledger)
        try pad.spend(.data, data: 90_000, tag: 16, timeout: 1) { _, _ in }
        let failure = thrown { try pad.spend(.data, data: 9000, tag: 16, timeout: 0) { _, _ in } }
        #expect(failure?.kind == .transient)
        #expect(failure?.problem.contains("insufficient key") == true)
        try pad.spend(.handshake, data: 16, tag: 16, timeout: 0) { _, _ in }
        #expect(try ledger.balance().allSatisfy { $0.balanced && $0.handshake == 32 })
    }

    @Test func skippingIsBoundedAndBooked() throws {
        let scratch = Scratch()
        var options = PadOptions()
        options.maximumSkip = 1 << 20
        let ledger = try PadLedger(path: scratch.file("l"), owner: "alice")
        let pad = try SendingPad(stream: stream, source: RecordingSource(), ledger: ledger, options: options)
        try pad.spend(.data, data: 1000, tag: 16, timeout: 1) { _, _ in }
        try pad.skip(to: 5000, timeout: 1)
        #expect(pad.position == 5000)
        try pad.skip(to: 900_000, timeout: 1)
        let offset = try pad.spend(.data, data: 10, tag: 16, timeout: 1) { offset, _ in offset }
        #expect(offset == 900_000)
        #expect(thrown { try pad.skip(to: 3_000_000, timeout: 1) }?.kind == .data)
        let line = try #require(try ledger.balance().first)
        #expect(line.balanced && line.lost == 900_000 - 1016)
    }
}

@Suite struct ReceivingPadTests {
    private func accept(_ pad: ReceivingPad, _ offset: UInt64, _ size: Int = 100, fail: Bool = false) throws {
        let memory = SecureBytes(count: size + 16)
        try memory.withUnsafeMutableBytes { scratch in
            try pad.accept(.data, offset: offset, data: size, tag: 16, timeout: 0.01, scratch: scratch) { _ in
                if fail { throw Failure(.data, at: "test", "wrong tag", remedy: "none") }
            }
        }
    }

    @Test func replayAndRollbackAreNamed() throws {
        let scratch = Scratch()
        let source = memorySource()
        do {
            let ledger = try PadLedger(path: scratch.file("b"), owner: "bob")
            let pad = try ReceivingPad(stream: stream, source: source.end(of: "bob"), ledger: ledger)
            let key = SecureBytes(count: 1 << 20)
            try key.withUnsafeMutableBytes {
                try source.end(of: "alice").take(stream, offset: 0, into: $0, timeout: 1)
            }
            try accept(pad, 0)
            #expect(thrown { try accept(pad, 0) }?.problem.contains("replay") == true)
            // Records of another connection may overtake; each range is still accepted once.
            try accept(pad, 5000)
            try accept(pad, 1000)
            #expect(thrown { try accept(pad, 1000) }?.problem.contains("used before") == true)
            #expect(thrown { try accept(pad, 4950) }?.problem.contains("used before") == true)
            // A forged record at a far offset neither moves the frontier nor costs more than its own range.
            #expect(thrown { try accept(pad, 500_000, fail: true) }?.problem == "wrong tag")
            #expect(pad.position == 5116)
            try accept(pad, 5116)
            #expect(thrown { try accept(pad, UInt64.max - 3) }?.kind == .data)
            #expect(thrown { try accept(pad, 2 << 20) }?.kind == .transient)
            try pad.close()
            let line = try #require(try ledger.balance().first)
            #expect(line.balanced && line.data == 400 && line.lost == 5232 - 464)
            try ledger.close()
        }
        let ledger = try PadLedger(path: scratch.file("b"), owner: "bob")
        let pad = try ReceivingPad(stream: stream, source: source.end(of: "bob"), ledger: ledger)
        #expect(thrown { try accept(pad, 4000) }?.problem.contains("rolled back") == true)
        try accept(pad, 6000)
    }

    /// A source that is slow to give up key holds up the connection whose record made it do so, and no other.
    @Test func aSlowSourceHoldsUpNoOtherConnection() throws {
        /// Answers `discard` when it is released.
        final class Slow: PadSource {
            let asked = DispatchSemaphore(value: 0)
            let released = DispatchSemaphore(value: 0)
            let below = Mutex<[UInt64]>([])
            func take(
                _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
            ) throws { destination.copyBytes(from: repeatElement(1, count: destination.count)) }
            func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {
                asked.signal()
                _ = released.wait(timeout: .now() + 60)
                below.withLock { $0.append(offset) }
            }
        }
        let scratch = Scratch()
        let source = Slow()
        var options = PadOptions()
        options.window = 0
        let ledger = try PadLedger(path: scratch.file("bob"), owner: "bob")
        let pad = try ReceivingPad(stream: stream, source: source, ledger: ledger, options: options)
        @Sendable func accept(_ offset: UInt64) -> Failure? {
            let memory = SecureBytes(count: 64)
            return thrown {
                try memory.withUnsafeMutableBytes {
                    try pad.accept(.data, offset: offset, data: 10, tag: 0, timeout: 1, scratch: $0) { _ in }
                }
            }
        }
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            #expect(accept(100) == nil)
            done.signal()
        }
        #expect(source.asked.wait(timeout: .now() + 60) == .success)
        let failures = [accept(110), accept(200)]
        #expect(failures == [nil, nil] && pad.position == 210)
        #expect(source.below.withLock { $0.isEmpty })
        for _ in 0..<2 { source.released.signal() }
        #expect(done.wait(timeout: .now() + 60) == .success)
        // What was given up meanwhile is told too, by the one who tells.
        #expect(source.below.withLock { $0 } == [110, 210])
        try pad.close()
        #expect(try ledger.balance().allSatisfy { $0.balanced && $0.lost == 180 })
        try ledger.close()
    }

    @Test func rolledBackSenderIsRefusedByItsSource() throws {
        let scratch = Scratch()
        let source = memorySource()
        let path = scratch.file("a")
        do {
            let ledger = try PadLedger(path: path, owner: "alice")
            let pad = try SendingPad(stream: stream, source: RecordingSource(), ledger: ledger)
            try pad.close()
            try ledger.close()
        }
        try FileManager.default.copyItem(atPath: path, toPath: scratch.file("old"))
        do {
            let ledger = try PadLedger(path: path, owner: "alice")
            let pad = try SendingPad(stream: stream, source: source.end(of: "alice"), ledger: ledger)
            try pad.spend(.data, data: 1000, tag: 16, timeout: 1) { _, _ in }
            try pad.close()
            try ledger.close()
        }
        // The restored copy begins at offset 0; the source moves it on and nothing is handed out twice.
        let ledger = try PadLedger(path: scratch.file("old"), owner: "alice")
        let pad = try SendingPad(stream: stream, source: source.end(of: "alice"), ledger: ledger)
        let offset = try pad.spend(.data, data: 10, tag: 16, timeout: 1) { offset, _ in offset }
        #expect(offset >= 1016)
    }
}

@Suite struct KeyPiecesTests {
    @Test func eachByteOnceInAnyOrder() {
        var pieces = KeyPieces()
        var model: [UInt64: UInt8] = [:]
        var end: UInt64 = 0
        for size in [10, 1, 64, 7, 100, 3] {
            let bytes = SecureBytes(count: size)
            bytes.withUnsafeMutableBytes { for index in 0..<size { $0[index] = UInt8.random(in: 0...255) } }
            bytes.withUnsafeBytes { for index in 0..<size { model[end + UInt64(index)] = $0[index] } }
            pieces.append(bytes, at: end)
            end += UInt64(size)
            if size == 64 { end += 20 }
        }
        for _ in 0..<4000 {
            let from = UInt64.random(in: 0..<end + 5)
            let size = Int.random(in: 1...40)
            let wanted = (from..<from + UInt64(size)).map { model[$0] }
            var got = [UInt8](repeating: 0, count: size)
            let success = got.withUnsafeMutableBytes { pieces.take(at: from, into: $0) }
            #expect(success == wanted.allSatisfy { $0 != nil })
            if success {
                #expect(got == wanted.compactMap { $0 })
                for offset in from..<from + UInt64(size) { model[offset] = nil }
            }
            #expect(pieces.onHand == UInt64(model.count))
            #expect(pieces.firstAvailable(from: from) == model.keys.filter { $0 >= from }.min())
        }
        let below = UInt64(model.keys.filter { $0 < 100 }.count)
        #expect(pieces.discard(below: 100) == below)
    }
}
