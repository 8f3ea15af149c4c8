import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

func thrown(_ body: () throws -> Void) -> Failure? {
    do {
        try body()
        return nil
    } catch {
        return error as? Failure
    }
}

/// Seconds that a test waits for what takes milliseconds: the machine may be starved. Only what is broken takes longer.
let patience = 60.0

/// One role of a test with its own ledger.
final class Party {
    let name: String
    let ledger: PadLedger
    let cabinet: PadCabinet
    private let directory: String

    init(_ name: String, peers: [String], _ source: MemoryPadSource) throws {
        self.name = name
        directory = NSTemporaryDirectory() + "dsgd-channel-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        ledger = try PadLedger(path: directory + "/pad.sqlite", owner: name)
        cabinet = PadCabinet(identity: name, pool: "test", peers: peers, source: source.end(of: name), ledger: ledger)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// Options of a channel between two ends that may be starved.
    static var patient: ChannelOptions {
        var options = ChannelOptions()
        options.handshakeTimeout = patience
        options.stallTimeout = patience
        return options
    }

    func listen(
        options: ChannelOptions = Party.patient, refusals: Refusals = Refusals(),
        _ handler: @escaping @Sendable (SecureChannel) -> Void
    ) throws -> ChannelListener {
        let listener = try ChannelListener(
            host: "127.0.0.1", port: 0, identity: name, pads: cabinet, options: options,
            onRefusal: { failure in refusals.list.withLock { $0.append(failure) } })
        listener.start(handler: handler)
        return listener
    }

    func connect(_ port: UInt16, peer: String, timeout: Double = patience) throws -> SecureChannel {
        try SecureChannel.connect(
            host: "127.0.0.1", port: port, identity: name, peer: peer, pads: cabinet, timeout: timeout,
            options: Self.patient)
    }
}

final class Refusals: Sendable {
    let list = Mutex<[Failure]>([])
}

func memorySource() -> MemoryPadSource { MemoryPadSource { try fillFromKernel($0) } }

func randomBytes(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.withUnsafeMutableBytes { try? fillFromKernel($0) }
    return bytes
}

/// Sends everything back.
@Sendable func echo(_ channel: SecureChannel) {
    do {
        while try channel.receive(timeout: patience, { try channel.send(kind: $0 ^ 0x80, $1) }) != nil {}
    } catch {}
}

@Suite(.serialized) struct ChannelTests {
    @Test func roundTrip() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let served = DispatchSemaphore(value: 0)
        let listener = try bob.listen { channel in
            echo(channel)
            served.signal()
        }
        defer { listener.stop() }
        for round in 0..<2 {
            let channel = try alice.connect(listener.port, peer: "bob")
            let data = randomBytes(10_000_000)
            var at = 0
            var sizes = [0, 1, 15, 16, 17, SecureChannel.maximumPayload]
            while at < data.count {
                let size = min(sizes.popLast() ?? Int.random(in: 1...SecureChannel.maximumPayload), data.count - at)
                try data[at..<at + size].withUnsafeBytes { try channel.send(kind: UInt8(size & 0x7f), $0) }
                let back = try channel.receive(timeout: patience) { (kind: $0, bytes: Array($1)) }
                #expect(back?.kind == UInt8(size & 0x7f) ^ 0x80)
                #expect(back?.bytes == Array(data[at..<at + size]))
                at += size
            }
            let counters = channel.counters
            #expect(counters.payloadSent == 10_000_000 && counters.payloadReceived == 10_000_000)
            #expect(counters.padSent == counters.payloadSent + 17 * counters.recordsSent)
            #expect(channel.forgeryBound > 0x1p-128 && channel.forgeryBound < 0x1p-113)
            channel.close()
            #expect(round >= 0 && channel.session.count == 64)
            // The end of a stream is a record too.
            #expect(served.wait(timeout: .now() + patience) == .success)
        }
        listener.stop()
        try alice.cabinet.close()
        try bob.cabinet.close()
        // The listener's answer to an orderly close may find nobody there: 17 bytes that the receiver books as lost.
        let lines = try alice.ledger.balance() + bob.ledger.balance()
        #expect(lines.count == 4 && lines.allSatisfy { $0.balanced && $0.lost <= 17 && $0.handshake == 64 })
        let sent = try #require(lines.first { $0.owner == "alice" && $0.side == .sender })
        let received = try #require(lines.first { $0.owner == "bob" && $0.side == .receiver })
        #expect(sent.data == received.data && sent.tags == received.tags)
    }

    @Test func orderlyCloseAndTruncation() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let results = Mutex<[String]>([])
        let listener = try bob.listen { channel in
            do {
                while try channel.receive(timeout: patience, { _, _ in }) != nil {}
                results.withLock { $0.append("closed") }
            } catch {
                results.withLock { $0.append("\(error)") }
            }
        }
        let first = try alice.connect(listener.port, peer: "bob")
        try [1, 2, 3].withUnsafeBytes { try first.send(kind: 1, $0) }
        first.close()
        #expect(thrown { try [UInt8(1)].withUnsafeBytes { try first.send(kind: 1, $0) } } != nil)
        let second = try alice.connect(listener.port, peer: "bob")
        try [1, 2, 3].withUnsafeBytes { try second.send(kind: 1, $0) }
        second.abort()
        eventually { results.withLock { $0.count } == 2 }
        listener.stop()
        let seen = results.withLock { $0 }
        #expect(seen.contains("closed"))
        #expect(seen.contains { $0.contains("truncated") })
    }

    @Test func silenceLeavesTheChannelUsable() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let listener = try bob.listen(echo)
        defer { listener.stop() }
        let channel = try alice.connect(listener.port, peer: "bob")
        #expect(thrown { _ = try channel.receive(timeout: 0.05) }?.kind == .transient)
        try [UInt8(7)].withUnsafeBytes { try channel.send(kind: 1, $0) }
        let record = try #require(try channel.receive(timeout: patience))
        #expect(record.kind == 0x81 && record.payload.withUnsafeBytes { Array($0) } == [7])
        channel.close()
    }

    @Test func wrongKeyIsRefusedAndMadeToWait() throws {
        let alice = try Party("alice", peers: ["bob"], memorySource())
        let other = memorySource()
        let bob = try Party("bob", peers: ["alice"], other)
        // Bob's source has key at the same offsets, but another.
        let key = SecureBytes(count: 1 << 20)
        let stream = PadStream(pool: "test", sender: "alice", receiver: "bob")
        try key.withUnsafeMutableBytes { try other.end(of: "alice").take(stream, offset: 0, into: $0, timeout: 1) }
        let refusals = Refusals()
        var options = Party.patient
        options.firstPenalty = patience
        options.longestPenalty = patience
        let listener = try bob.listen(options: options, refusals: refusals, echo)
        defer { listener.stop() }
        let first = thrown { _ = try alice.connect(listener.port, peer: "bob") }
        #expect(first?.kind == .notAuthorised && first?.problem.contains("proof of identity") == true)
        let second = thrown { _ = try alice.connect(listener.port, peer: "bob") }
        #expect(second?.kind == .transient && second?.problem.contains("wait after failed proofs") == true)
        #expect(
            eventually { refusals.list.withLock { $0.contains { $0.problem.contains("proof of identity is wrong") } } })
        listener.stop()
        // The failed proof burned the server's receiving pad only at the range it named.
        #expect(try bob.ledger.balance().allSatisfy { $0.balanced && $0.data == 0 && $0.handshake == 0 })
    }

    @Test func strangersAndNoiseAreRefused() throws {
        let source = memorySource()
        let mallory = try Party("mallory", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let refusals = Refusals()
        let listener = try bob.listen(refusals: refusals, echo)
        let failure = thrown { _ = try mallory.connect(listener.port, peer: "bob") }
        #expect(failure?.kind == .notAuthorised && failure?.problem.contains("no pad shared") == true)
        #expect(thrown { _ = try mallory.connect(listener.port, peer: "carol") }?.kind == .notAuthorised)
        let raw = try Sockets.connect(host: "127.0.0.1", port: listener.port, Deadline(in: patience))
        try randomBytes(64).withUnsafeBytes { try raw.write($0, Deadline(in: patience)) }
        eventually { refusals.list.withLock { $0.count } >= 2 }
        let port = listener.port
        listener.stop()
        #expect(refusals.list.withLock { $0.count } >= 2)
        #expect(thrown { _ = try mallory.connect(port, peer: "bob") }?.kind == .peerUnavailable)
    }

    @Test func rolledBackReceiverFrontierRefusesOldOffsets() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let listener = try bob.listen(echo)
        defer { listener.stop() }
        let channel = try alice.connect(listener.port, peer: "bob")
        try randomBytes(1000).withUnsafeBytes { try channel.send(kind: 1, $0) }
        _ = try channel.receive(timeout: patience)
        channel.close()
        // A copy of alice's state from the beginning, with a source that would hand the old pad out again.
        let replay = try Party("alice", peers: ["bob"], memorySource())
        let failure = thrown { _ = try replay.connect(listener.port, peer: "bob") }
        // The server says how far it accepted, so the copy does not even reach for a byte that was used.
        #expect(failure?.kind == .data)
        #expect(failure?.problem.contains("rolled back") == true && failure?.place.contains("alice -> bob") == true)
        #expect(try replay.ledger.balance().filter { $0.side == .sender }.allSatisfy { $0.data == 0 && $0.supplied == 0 })
    }
}
