import Diagnostics
import Foundation
import GRDB
import KeyNetwork
import Kernels
import OneTimePad
import Randomness
import Synchronization
import TestSupport
import Testing

/// What the agent at a sender's node promises to requests that come side by side.
@Suite struct SupplyRequestTests {
    /// The agent of node a, with a relay that notes on how many ways each stretch of key went. `@unchecked Sendable`:
    /// `directory` only lives as long as this.
    private final class Sender: @unchecked Sendable {
        let directory: TemporaryDirectory
        let ledger: PadLedger
        /// One past the last byte of a stretch, and its ways.
        let sent = Mutex<[(range: Range<UInt64>, ways: Int)]>([])
        /// Seconds that link key was given to come.
        let given = Mutex<[Double]>([])
        /// Called when a request has been found affordable, and when a piece is about to arrive.
        let onAfford = Mutex<(@Sendable (Int) -> Void)?>(nil)
        let onArrival = Mutex<(@Sendable () -> Void)?>(nil)
        private let made = Mutex<KeySupplyAgent?>(nil)

        init(patience: Double = KeySupplyAgent.patience) throws {
            directory = try TemporaryDirectory()
            ledger = try PadLedger(path: directory.path + "/node.sqlite", owner: "a")
            let topology = NetworkTopology(
                pool: "tokyo", kms: "a",
                nodes: ["a", "b"].map {
                    .init(name: $0, host: "127.0.0.1", kmaPort: 1, directory: "/nowhere/\($0)")
                },
                links: [.init("a", "b", distanceKm: 10, stockMib: 1)],
                roles: [.init(name: "alice", node: "a"), .init(name: "bob", node: "b")])
            let agent = KeySupplyAgent(
                node: "a", topology: topology, ledger: ledger,
                source: try HealthTestedSource(device: HealthTestedSource.expandedKernel), patience: patience,
                afford: { [unowned self] _, _, ways, timeout in
                    given.withLock { $0.append(timeout) }
                    onAfford.withLock { $0 }?(ways)
                },
                relay: { [unowned self] _, _, ways, timeout, next, arrived in
                    given.withLock { $0.append(timeout) }
                    while let piece = try next() {
                        onArrival.withLock { $0 }?()
                        let end = piece.offset + UInt64(piece.key.count)
                        sent.withLock { $0.append((piece.offset..<end, ways)) }
                        arrived(piece)
                    }
                })
            made.withLock { $0 = agent }
        }

        var agent: KeySupplyAgent { made.withLock { $0! } }

        func take(_ offset: UInt64, _ count: Int, ways: Int, timeout: Double = 1) throws {
            var bytes = [UInt8](repeating: 0, count: count)
            try bytes.withUnsafeMutableBytes {
                try agent.take(stream, role: "alice", offset: offset, into: $0, timeout: timeout, ways: ways)
            }
        }

        /// Whether all key of a stretch went on two ways.
        func wentOnTwo(_ range: Range<UInt64>) -> Bool {
            sent.withLock { $0 }.filter { $0.range.overlaps(range) }.allSatisfy { $0.ways == 2 }
        }
    }

    /// Another request of the stream, for one way, comes in the midst of one for two.
    @Test func aRequestForTwoWaysIsNeverServedOnOne() throws {
        let sender = try Sender()
        sender.onAfford.withLock {
            $0 = { [unowned sender] ways in
                guard ways == 2 else { return }
                sender.onAfford.withLock { $0 = nil }
                #expect(thrown { try sender.take(0, 1000, ways: 1) } == nil)
            }
        }
        try sender.take(1000, 1000, ways: 2)
        #expect(sender.wentOnTwo(1000..<2000))
        #expect(!sender.wentOnTwo(0..<1000))
        // Key that is made ahead on one way, and then wanted on two, is nobody's.
        for index in 0..<4 { try sender.take(2000 + UInt64(index) * 131_072, 131_072, ways: 1) }
        let offset = try sender.agent.resume(stream, role: "alice", from: 2000 + 4 * 131_072)
        var at = offset
        while let failure = thrown({ try sender.take(at, 1000, ways: 2) }) {
            #expect(failure.kind == .transient, "\(failure)")
            at = try sender.agent.resume(stream, role: "alice", from: at + 1)
        }
        #expect(sender.wentOnTwo(at..<at + 1000))
        try sender.agent.close()
        #expect(try sender.ledger.balance().allSatisfy { $0.balanced && $0.onHand == 0 })
    }

    /// Two callers who want different ways of one stream at the same time, over and over.
    @Test func callersWithDifferentWaysSideBySide() throws {
        let sender = try Sender()
        let served = Mutex<[Range<UInt64>]>([])
        DispatchQueue.concurrentPerform(iterations: 4) { index in
            var random = SplitMix64(seed: UInt64(index))
            let ways = index % 2 + 1
            var count = 0
            while count < 60 {
                let size = Int.random(in: 1...40_000, using: &random)
                guard let offset = try? sender.agent.resume(stream, role: "alice", from: 0) else { return }
                // Another caller may have the same offset in mind: it is given to one of them.
                guard thrown({ try sender.take(offset, size, ways: ways) }) == nil else { continue }
                count += 1
                let range = offset..<offset + UInt64(size)
                if ways == 2 { #expect(sender.wentOnTwo(range)) }
                served.withLock { $0.append(range) }
            }
        }
        let ranges = served.withLock { $0 }.sorted { $0.lowerBound < $1.lowerBound }
        #expect(ranges.count == 240 && zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
        try sender.agent.close()
        let line = try #require(try sender.ledger.balance().first)
        #expect(line.balanced && line.onHand == 0 && line.data == ranges.reduce(0) { $0 + UInt64($1.count) })
    }

    /// A relay that does not end holds up those who wait for its key no longer than is said.
    @Test(arguments: [1, 2]) func waitingForOthersKeyHasAnEnd(ways: Int) throws {
        let sender = try Sender(patience: 0.2)
        let (entered, release) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        sender.onArrival.withLock {
            $0 = {
                entered.signal()
                release.wait()
            }
        }
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            _ = thrown { try sender.take(0, 1000, ways: 1) }
            done.signal()
        }
        entered.wait()
        sender.onArrival.withLock { $0 = nil }
        let failure = thrown { try sender.take(100, 100, ways: ways, timeout: 0) }
        #expect(failure?.kind == .transient && failure?.problem.contains("has not come in time") == true)
        release.signal()
        done.wait()
        try sender.agent.close()
    }

    /// Time that a request has spent is not given to link key once more.
    @Test func allOfARequestHasOneLimit() throws {
        let sender = try Sender(patience: 0)
        try sender.take(0, 1000, ways: 1, timeout: 100)
        let given = sender.given.withLock { $0 }
        #expect(given.count == 2 && given.allSatisfy { $0 > 0 && $0 < 100 } && given[1] < given[0], "\(given)")
        try sender.agent.close()
    }

    /// While the mark of one stream waits for the disk, key of another that is there is handed out.
    @Test func aSlowDiskHoldsUpNobodyElse() throws {
        let sender = try Sender()
        let back = PadStream(pool: "tokyo", sender: "bob", receiver: "alice")
        let stored = DispatchSemaphore(value: 0)
        try [UInt8](repeating: 1, count: 1000).withUnsafeBytes {
            try sender.agent.store(back, offset: 0, from: "b", $0) { _ in stored.signal() }
        }
        stored.wait()
        try sender.take(0, 1, ways: 1)
        let disk = try DatabaseQueue(path: sender.directory.path + "/node.sqlite")
        var (at, passed) = (UInt64(0), false)
        // A round says nothing when this thread slept until the ledger gave up waiting for the disk.
        for _ in 0..<20 where !passed {
            let ended = DispatchSemaphore(value: 0)
            let offset = try sender.agent.resume(stream, role: "alice", from: 0)
            let affordable = DispatchSemaphore(value: 0)
            sender.onAfford.withLock { $0 = { _ in affordable.signal() } }
            try disk.inDatabase { db in
                try db.execute(sql: "BEGIN IMMEDIATE")
                Thread.detachNewThread {
                    // More than the mark covers.
                    _ = thrown { try sender.take(offset, 8 << 20, ways: 1) }
                    ended.signal()
                }
                affordable.wait()
                for _ in 0..<5 {
                    usleep(20_000)
                    var byte: UInt8 = 0
                    try withUnsafeMutableBytes(of: &byte) {
                        try sender.agent.take(back, role: "alice", offset: at, into: $0, timeout: 0)
                    }
                    #expect(byte == 1)
                    at += 1
                }
                passed = ended.wait(timeout: .now()) == .timedOut
                try db.execute(sql: "COMMIT")
            }
            if passed { ended.wait() }
        }
        #expect(passed)
        try disk.close()
        try sender.agent.close()
        #expect(try sender.ledger.balance().allSatisfy { $0.balanced && $0.onHand == 0 })
        try sender.ledger.close()
    }
}
