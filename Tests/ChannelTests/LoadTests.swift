import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct LoadTests {
    /// Bytes of this process that are in memory.
    private func residentBytes() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
    }

    @Test func fiveHundredConnectionsAtOnce() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let refusals = Refusals()
        let listener = try bob.listen(refusals: refusals) { channel in
            while (try? channel.receive(timeout: 10 * patience, { try channel.send(kind: $0 ^ 0x80, $1) })) ?? nil != nil {}
        }
        let before = residentBytes()
        var channels: [SecureChannel] = []
        for _ in 0..<500 { channels.append(try alice.connect(listener.port, peer: "bob")) }
        for (index, channel) in channels.enumerated() {
            try [UInt8(index & 255)].withUnsafeBytes { try channel.send(kind: 3, $0) }
        }
        for (index, channel) in channels.enumerated() {
            let record = try #require(try channel.receive(timeout: patience))
            #expect(record.kind == 0x83 && record.payload.withUnsafeBytes { $0[0] } == UInt8(index & 255))
        }
        let grown = residentBytes() - before
        print("500 connections, both ends in one process: \(grown >> 20) MiB")
        #expect(grown < 300 << 20)
        for channel in channels { channel.close() }
        channels = []
        listener.stop()
        #expect(refusals.list.withLock { $0.isEmpty })
        try alice.cabinet.close()
        try bob.cabinet.close()
        #expect(try bob.ledger.balance().allSatisfy { $0.balanced })
    }

    @Test func slowSilentAndHalfOpenPeersAreTimedOut() throws {
        let source = memorySource()
        let bob = try Party("bob", peers: ["alice"], source)
        let alice = try Party("alice", peers: ["bob"], source)
        // Silent: connects and says nothing. Slow: a byte of the hello now and then, as long as it is listened to.
        var strict = ChannelOptions()
        strict.handshakeTimeout = 0.4
        let refusals = Refusals()
        let door = try bob.listen(options: strict, refusals: refusals, echo)
        defer { door.stop() }
        let silent = try Sockets.connect(host: "127.0.0.1", port: door.port, Deadline(in: patience))
        let slow = try Sockets.connect(host: "127.0.0.1", port: door.port, Deadline(in: patience))
        let areRefused = eventually {
            _ = try? [UInt8(0x44)].withUnsafeBytes { try slow.write($0, Deadline(in: 1)) }
            usleep(50_000)
            return refusals.list.withLock { $0.count } == 2
        }
        #expect(areRefused)
        // Half open: proves itself and then says nothing more; and one that stops within a record.
        let ends = Mutex<[Failure]>([])
        let connections = Atomic<Int>(0)
        let listener = try bob.listen { channel in
            let isFirst = connections.add(1, ordering: .relaxed).newValue == 1
            do {
                while try channel.receive(timeout: isFirst ? 0.4 : patience, { _, _ in }) != nil {}
            } catch {
                ends.withLock { $0.append(error as! Failure) }
            }
        }
        defer { listener.stop() }
        let quiet = try alice.connect(listener.port, peer: "bob")
        eventually { connections.load(ordering: .relaxed) == 1 }
        let halting = try Interceptor(target: listener.port, records: 1) { [Array($0[0].prefix(60))] }
        let halted = try alice.connect(halting.port, peer: "bob")
        try randomBytes(500).withUnsafeBytes { try halted.send(kind: 1, $0) }
        eventually { ends.withLock { $0.count } == 2 }
        let seen = ends.withLock { $0.map(\.problem) }
        #expect(seen.contains { $0.contains("no record in time") })
        #expect(seen.contains { $0.contains("stalled") || $0.contains("truncated") }, "\(seen)")
        silent.stop()
        slow.stop()
        quiet.abort()
        halted.abort()
    }

    @Test func streamsWithinAMachineAreNotPaced() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        @Sendable func congestionControl(_ channel: SecureChannel) -> String {
            var name = [UInt8](repeating: 0, count: 16)
            var size = socklen_t(name.count)
            getsockopt(channel.socket.descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, &name, &size)
            return String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
        }
        let answering = Mutex("")
        let listener = try bob.listen { channel in
            answering.withLock { $0 = congestionControl(channel) }
            echo(channel)
        }
        defer { listener.stop() }
        let channel = try alice.connect(listener.port, peer: "bob")
        try [UInt8(1)].withUnsafeBytes { try channel.send(kind: 1, $0) }
        #expect(try channel.receive(timeout: patience) != nil)
        #expect(congestionControl(channel) == "reno" && answering.withLock { $0 } == "reno")
        channel.close()
    }

    /// Watching for the next bytes must not turn into burning a processor where they come seldom.
    @Test func waitingForASlowPeerCostsNoProcessorTime() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let listener = try bob.listen { channel in
            for number in 0..<200 {
                usleep(2000)
                try? [UInt8(number)].withUnsafeBytes { try channel.send(kind: 1, $0) }
            }
        }
        defer { listener.stop() }
        let channel = try alice.connect(listener.port, peer: "bob")
        func processorSeconds() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
        }
        let start = (wall: ContinuousClock.now, processor: processorSeconds())
        for number in 0..<200 {
            #expect(try channel.receive(timeout: patience) { $1[0] } == UInt8(number))
        }
        let wall = (ContinuousClock.now - start.wall) / .seconds(1)
        #expect(wall > 0.4 && processorSeconds() - start.processor < 0.15 * wall)
        channel.close()
    }

    /// A source that can be closed, and then that can be told to say so.
    final class Tap: PadSource, Sendable {
        private let source: any PadSource
        private let isOpen = Atomic(true)
        private let isDry = Atomic(false)
        /// Whether somebody waits for key for more than a moment.
        let isAwaited = Atomic(false)

        init(_ source: any PadSource) { self.source = source }

        func close() { isOpen.store(false, ordering: .relaxed) }

        func runDry() { isDry.store(true, ordering: .relaxed) }

        func take(
            _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
        ) throws {
            let limit = Date(timeIntervalSinceNow: timeout)
            while !isOpen.load(ordering: .relaxed) {
                if timeout > 1 { isAwaited.store(true, ordering: .relaxed) }
                guard Date() < limit, !isDry.load(ordering: .relaxed) else {
                    throw Failure(.transient, at: "tap", "insufficient key: the tap is closed", remedy: "open it")
                }
                usleep(1000)
            }
            try source.take(stream, offset: offset, into: destination, timeout: timeout)
        }
    }

    @Test func proofsOfIdentityDoNotWaitBehindData() throws {
        let source = memorySource()
        let party = try Party("alice", peers: ["bob"], source)
        let tap = Tap(source.end(of: "alice"))
        let pad = try SendingPad(
            stream: PadStream(pool: "test", sender: "alice", receiver: "bob"), source: tap, ledger: party.ledger)
        @Sendable func spend(_ purpose: PadPurpose, _ count: Int, _ timeout: Double) throws -> UInt64 {
            try pad.spend(purpose, data: count, tag: 16, timeout: timeout) { offset, _ in offset }
        }
        #expect(try spend(.data, 1000, patience) == 0)
        tap.close()
        let isWaiting = Atomic(true)
        let data = Mutex<Failure?>(nil)
        Thread.detachNewThread {
            data.withLock { failure in failure = thrown { _ = try spend(.data, 300_000, 10 * patience) } }
            isWaiting.store(false, ordering: .relaxed)
        }
        #expect(eventually { tap.isAwaited.load(ordering: .relaxed) })
        for _ in 0..<20 { _ = try spend(.handshake, 16, patience) }
        // Short messages go on as well, as far as there is key.
        _ = try spend(.data, 100, patience)
        // All that while the record waited, and it would have waited ten times as long as they would.
        let waitedOn = isWaiting.load(ordering: .relaxed)
        #expect(waitedOn)
        tap.runDry()
        while isWaiting.load(ordering: .relaxed) { usleep(10_000) }
        #expect(data.withLock { $0?.kind } == .transient)
        try pad.close()
        let line = try #require(try party.ledger.balance().first)
        #expect(line.balanced && line.handshake == 640 && line.data == 1100)
    }
}
