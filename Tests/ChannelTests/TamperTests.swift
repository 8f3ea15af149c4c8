import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

/// A man in the middle: passes the handshake on and then lets a test play with the client's records.
final class Interceptor: Sendable {
    private let descriptor: Int32
    let port: UInt16
    /// Given the records of the client in order; returns what goes on to the server.
    private let play: @Sendable ([[UInt8]]) -> [[UInt8]]
    private let records: Int
    private let target: UInt16

    init(target: UInt16, records: Int, _ play: @escaping @Sendable ([[UInt8]]) -> [[UInt8]]) throws {
        (descriptor, port) = try Sockets.listen(host: "127.0.0.1", port: 0)
        self.play = play
        self.records = records
        self.target = target
        Thread.detachNewThread { [self] in try? run() }
    }

    deinit { close(descriptor) }

    private func pass(_ from: Socket, _ to: Socket, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try from.readWhole($0, Deadline(in: patience)) }
        try bytes.withUnsafeBytes { try to.write($0, Deadline(in: patience)) }
        return bytes
    }

    private func read(_ from: Socket, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try from.readWhole($0, Deadline(in: patience)) }
        return bytes
    }

    private func run() throws {
        guard let client = Sockets.accept(descriptor) else { return }
        let server = try Sockets.connect(host: "127.0.0.1", port: target, Deadline(in: patience))
        _ = try pass(client, server, 48)
        _ = try pass(server, client, 40)
        _ = try pass(client, server, 24)
        _ = try pass(server, client, 32)
        var seen: [[UInt8]] = []
        for _ in 0..<records {
            let header = try read(client, 24)
            let length = header[8..<12].reduce(0) { $0 << 8 | Int($1) }
            seen.append(header + (try read(client, length + 16)))
        }
        for record in play(seen) { try record.withUnsafeBytes { try server.write($0, Deadline(in: patience)) } }
        server.finishSending()
        usleep(300_000)
    }
}

@Suite(.serialized) struct TamperTests {
    /// Sends two records through the interceptor; returns what the server received and how it ended.
    ///
    /// - Parameter stall: seconds that the server waits for the rest of a record and for key that does not exist.
    private func run(
        stall: Double = patience, _ play: @escaping @Sendable ([[UInt8]]) -> [[UInt8]]
    ) throws -> (kinds: [UInt8], end: String) {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let seen = Mutex<(kinds: [UInt8], end: String)>(([], ""))
        var options = Party.patient
        options.stallTimeout = stall
        let listener = try bob.listen(options: options) { channel in
            do {
                while let kind = try channel.receive(timeout: patience, { kind, _ in kind }) {
                    seen.withLock { $0.kinds.append(kind) }
                }
                seen.withLock { $0.end = "closed" }
            } catch {
                seen.withLock { $0.end = "\(error)" }
            }
        }
        let middle = try Interceptor(target: listener.port, records: 2, play)
        let channel = try alice.connect(middle.port, peer: "bob")
        try randomBytes(100).withUnsafeBytes { try channel.send(kind: 1, $0) }
        try randomBytes(200).withUnsafeBytes { try channel.send(kind: 2, $0) }
        eventually { seen.withLock { !$0.end.isEmpty } }
        channel.abort()
        listener.stop()
        return seen.withLock { $0 }
    }

    @Test func untouchedRecordsPass() throws {
        let result = try run { $0 }
        #expect(result.kinds == [1, 2] && result.end.contains("truncated"))
    }

    /// Flips one bit at every place of the header and at some of ciphertext and tag.
    @Test(arguments: [0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 19, 23, 24, 25, 100, 124, 125, 140])
    func everyFieldIsGuarded(_ place: Int) throws {
        // An offset that was altered names key that never comes.
        let result = try run(stall: 0.2) { records in
            var first = records[0]
            first[place] ^= 1
            return [first, records[1]]
        }
        #expect(result.kinds.isEmpty)
        #expect(result.end.contains("altered") || result.end.contains("forged") || result.end.contains("missing")
            || result.end.contains("truncated") || result.end.contains("insufficient key")
            || result.end.contains("used before") || result.end.contains("impossible") || result.end.contains("stalled"), "\(result.end)")
    }

    @Test func replayIsNamed() throws {
        let result = try run { [$0[0], $0[0], $0[1]] }
        #expect(result.kinds == [1] && result.end.contains("replayed"))
    }

    @Test func replayUnderANewSequenceIsNamed() throws {
        let result = try run { records in
            var again = records[0]
            again[23] = 1
            return [records[0], again]
        }
        #expect(result.kinds == [1] && result.end.contains("used before"))
    }

    @Test func reorderingAndLossAreNamed() throws {
        #expect(try run { [$0[1], $0[0]] }.end.contains("missing or reordered"))
        #expect(try run { [$0[1]] }.end.contains("missing or reordered"))
    }

    @Test func truncationIsNamed() throws {
        let result = try run { [$0[0], Array($0[1].dropLast(5))] }
        #expect(result.kinds == [1] && result.end.contains("truncated"))
    }

    @Test func recordsOfAnotherSessionAreRefused() throws {
        // Two sessions of one pair of roles; the first record of the one is sent into the other.
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let ends = Mutex<[String]>([])
        let listener = try bob.listen { channel in
            do {
                while try channel.receive(timeout: patience, { _, _ in }) != nil {}
                ends.withLock { $0.append("closed") }
            } catch {
                ends.withLock { $0.append("\(error)") }
            }
        }
        let stolen = Mutex<[UInt8]>([])
        let first = try Interceptor(target: listener.port, records: 1) { records in
            stolen.withLock { $0 = records[0] }
            return []
        }
        let one = try alice.connect(first.port, peer: "bob")
        try randomBytes(50).withUnsafeBytes { try one.send(kind: 1, $0) }
        eventually { stolen.withLock { !$0.isEmpty } }
        let second = try Interceptor(target: listener.port, records: 1) { _ in [stolen.withLock { $0 }] }
        let two = try alice.connect(second.port, peer: "bob")
        try randomBytes(50).withUnsafeBytes { try two.send(kind: 1, $0) }
        eventually { ends.withLock { $0.count } == 2 }
        one.abort()
        two.abort()
        listener.stop()
        #expect(ends.withLock { $0 }.contains { $0.contains("another session") })
    }

    @Test func stallingPeerIsTimedOut() throws {
        let source = memorySource()
        let bob = try Party("bob", peers: ["alice"], source)
        var options = ChannelOptions()
        options.handshakeTimeout = 0.2
        let refusals = Refusals()
        let listener = try bob.listen(options: options, refusals: refusals, echo)
        let raw = try Sockets.connect(host: "127.0.0.1", port: listener.port, Deadline(in: patience))
        try [UInt8(0x44)].withUnsafeBytes { try raw.write($0, Deadline(in: patience)) }
        eventually { refusals.list.withLock { !$0.isEmpty } }
        listener.stop()
        #expect(refusals.list.withLock { $0.first?.problem.contains("stalled") == true })
        raw.stop()
    }
}

@Suite(.serialized) struct ThroughputTests {
    /// Not a bar, a floor: something is badly wrong below it.
    @Test func loopback() throws {
        // A counter in place of random bytes, so that what is measured is the channel and not the generator.
        let counter = Atomic<UInt64>(1)
        let source = MemoryPadSource { bytes in
            let start = counter.add(UInt64(bytes.count), ordering: .relaxed).oldValue
            bytes.withMemoryRebound(to: UInt64.self) { words in
                for index in words.indices { words[index] = (start &+ UInt64(index)) &* 0x9E37_79B9_7F4A_7C15 }
            }
        }
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let total = Mutex<Int>(0)
        let listener = try bob.listen { channel in
            do {
                while let count = try channel.receive(timeout: patience, { $1.count }) { total.withLock { $0 += count } }
                try [UInt8(1)].withUnsafeBytes { try channel.send(kind: 9, $0) }
            } catch {}
        }
        let channel = try alice.connect(listener.port, peer: "bob")
        let data = randomBytes(SecureChannel.maximumPayload)
        // The sender's own processor time: a machine with other work gives it less of the clock's.
        func processorSeconds() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
        }
        let start = processorSeconds()
        for _ in 0..<512 { try data.withUnsafeBytes { try channel.send(kind: 1, $0) } }
        channel.close()
        _ = try channel.receive(timeout: patience)
        let seconds = processorSeconds() - start
        let rate = Double(512 * data.count) * 8 / seconds / 1e9
        print("channel over loopback, source and ledger in the path: \(rate) Gbit/s of the sender's processor time")
        #expect(total.withLock { $0 } == 512 * data.count)
        // Low enough for portable kernels on a busy machine; a channel that does a byte at a time is slower still.
        #expect(rate > 0.02)
        listener.stop()
    }
}
