import Diagnostics
import Foundation
import KeyNetwork
import Kernels
import OneTimePad
import Randomness
import Synchronization
import TestSupport
import Testing

/// The agent of one node, without its network: what it promises of key that arrives.
@Suite struct SupplyAgentTests {
    private static let topology = NetworkTopology(
        pool: "tokyo", kms: "a",
        nodes: ["a", "b"].map { .init(name: $0, host: "127.0.0.1", kmaPort: 1, directory: "/nowhere/\($0)") },
        links: [.init("a", "b", distanceKm: 10, stockMib: 1)],
        roles: [.init(name: "alice", node: "a"), .init(name: "bob", node: "b")])

    private static func agent(_ ledger: PadLedger) throws -> KeySupplyAgent {
        KeySupplyAgent(
            node: "b", topology: topology, ledger: ledger,
            source: try HealthTestedSource(device: HealthTestedSource.expandedKernel), afford: { _, _, _, _ in },
            relay: { _, _, _, _, _, _ in })
    }

    /// The byte at an offset of the stream.
    private static func byte(_ offset: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 0x9E37_79B9 >> 13) }

    private static func key(_ offset: UInt64, _ count: Int) -> [UInt8] { (0..<count).map { byte(offset + UInt64($0)) } }

    private static func take(_ agent: KeySupplyAgent, _ offset: UInt64, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes {
            try agent.take(stream, role: "bob", offset: offset, into: $0, timeout: 0)
        }
        return bytes
    }

    /// A node that dies at any acknowledgement: its ledger as it lies on the disk then covers all that was acknowledged,
    /// and a node that begins with it takes in nothing below its mark and everything above.
    @Test func whatWasAcknowledgedIsNeverTakenInAgain() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let path = directory.path + "/node.sqlite"
        let ledger = try PadLedger(path: path, owner: "b")
        let agent = try Self.agent(ledger)
        var random = SplitMix64(seed: 7)
        let pieces = 60
        var ends: [UInt64] = []
        /// Copies of the ledger, each with the end of what was acknowledged before and what had been sent by then.
        let copies = Mutex<[(path: String, acknowledged: UInt64)]>([])
        let count = Mutex(0)
        let done = DispatchSemaphore(value: 0)
        var offset: UInt64 = 0
        for _ in 0..<pieces {
            // Now and then the sender has passed over some.
            offset += UInt64.random(in: 0..<4, using: &random) == 0 ? 1000 : 0
            let bytes = Self.key(offset, Int.random(in: 1...40_000, using: &random))
            let end = offset + UInt64(bytes.count)
            ends.append(end)
            try bytes.withUnsafeBytes {
                try agent.store(stream, offset: offset, from: "a", $0) { failure in
                    #expect(failure == nil)
                    // No mark is written while this runs, so the files are what a crash would leave.
                    let number = count.withLock { count in
                        count += 1
                        return count
                    }
                    let copy = path + ".copy-\(number)"
                    for suffix in ["", "-wal"] where FileManager.default.fileExists(atPath: path + suffix) {
                        try? FileManager.default.copyItem(atPath: path + suffix, toPath: copy + suffix)
                    }
                    copies.withLock { $0.append((copy, end)) }
                    done.signal()
                }
            }
            offset = end
            if Int.random(in: 0..<4, using: &random) == 0 { usleep(3000) }
        }
        for _ in 0..<pieces { #expect(done.wait(timeout: .now() + 120) == .success) }
        var isAhead = false
        for (path, acknowledged) in copies.withLock({ $0 }) {
            let ledger = try PadLedger(path: path, owner: "b")
            let again = try Self.agent(ledger)
            let mark = try again.resume(stream, role: "bob", from: 0)
            #expect(mark >= acknowledged && ends.contains(mark))
            isAhead = isAhead || mark > acknowledged
            // Stored and not acknowledged: the sender sends it again, and is told that it came before.
            for refused in [acknowledged - 1, mark - 1] {
                let failure = thrown {
                    try [0].withUnsafeBytes { try again.store(stream, offset: refused, from: "a", $0) { _ in } }
                }
                #expect(failure?.kind == .data && failure?.problem.contains("came before") == true)
            }
            #expect(thrown { _ = try Self.take(again, mark - 1, 1) }?.problem.contains("was restarted") == true)
            let accepted = DispatchSemaphore(value: 0)
            try [Self.byte(mark)].withUnsafeBytes {
                try again.store(stream, offset: mark, from: "a", $0) { _ in accepted.signal() }
            }
            #expect(accepted.wait(timeout: .now() + 120) == .success)
            #expect(try Self.take(again, mark, 1) == [Self.byte(mark)])
            try again.close()
            let line = try #require(try ledger.balance().first)
            #expect(line.balanced && line.onHand == 0 && line.data == 1 && line.lost == mark && line.supplied == mark + 1)
            try ledger.close()
        }
        // Marks are shared: some copy knows of more than was acknowledged.
        #expect(isAhead)
        try agent.close()
        try ledger.close()
    }

    /// Key is for nobody before its mark is durable, and for its role once, in any order and in any pieces.
    @Test func keyIsHandedOutOnceAndNotBeforeItsMark() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let ledger = try PadLedger(path: directory.path + "/node.sqlite", owner: "b")
        let agent = try Self.agent(ledger)
        let (held, entered, done) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
        )
        let sizes = [5000, 1, 4096, 70_001, 33, 16]
        var offset: UInt64 = 0
        for (index, size) in sizes.enumerated() {
            try Self.key(offset, size).withUnsafeBytes {
                try agent.store(stream, offset: offset, from: "a", $0) { _ in
                    // The first holds up the marks of all that come after.
                    if index == 0 {
                        entered.signal()
                        held.wait()
                    }
                    done.signal()
                }
            }
            if index == 0 { #expect(entered.wait(timeout: .now() + 120) == .success) }
            offset += UInt64(size)
        }
        #expect(try agent.resume(stream, role: "bob", from: 0) == 0)
        #expect(try agent.resume(stream, role: "bob", from: 5000) == 5000)
        #expect(thrown { _ = try Self.take(agent, 5000, 1) }?.kind == .transient)
        #expect(try Self.take(agent, 17, 5) == Self.key(17, 5))
        held.signal()
        for _ in sizes { #expect(done.wait(timeout: .now() + 120) == .success) }
        var random = SplitMix64(seed: 3)
        var left = Set(0..<offset).subtracting(17..<22)
        for _ in 0..<400 {
            let at = UInt64.random(in: 0..<offset, using: &random)
            let count = Int.random(in: 1...min(600, Int(offset - at)), using: &random)
            let range = at..<at + UInt64(count)
            if left.isSuperset(of: range) {
                #expect(try Self.take(agent, at, count) == Self.key(at, count))
                left.subtract(range)
            } else {
                #expect(thrown { _ = try Self.take(agent, at, count) }?.kind == .data)
            }
        }
        #expect(try agent.resume(stream, role: "bob", from: 0) == left.min())
        try agent.discard(stream, role: "bob", below: 60_000)
        left = left.filter { $0 >= 60_000 }
        #expect(try agent.resume(stream, role: "bob", from: 0) == left.min())
        #expect(try ledger.balance().first.map { $0.onHand == UInt64(left.count) && $0.balanced } == true)
        try agent.close()
        let line = try #require(try ledger.balance().first)
        #expect(line.balanced && line.onHand == 0 && line.supplied == offset)
        try ledger.close()
    }

    /// What is not key of two roles at these two nodes, or not the next, is refused and changes nothing.
    @Test func whatCannotBeIsRefused() throws {
        let directory = try TemporaryDirectory()
        defer { withExtendedLifetime(directory) {} }
        let ledger = try PadLedger(path: directory.path + "/node.sqlite", owner: "b")
        let agent = try Self.agent(ledger)
        func refused(_ stream: PadStream, _ offset: UInt64, from origin: String, _ count: Int = 1) -> Failure? {
            thrown {
                try [UInt8](repeating: 0, count: count).withUnsafeBytes {
                    try agent.store(stream, offset: offset, from: origin, $0) { _ in }
                }
            }
        }
        #expect(refused(stream, 0, from: "b") != nil)
        #expect(refused(PadStream(pool: "tokyo", sender: "bob", receiver: "alice"), 0, from: "b") != nil)
        #expect(refused(PadStream(pool: "kyoto", sender: "alice", receiver: "bob"), 0, from: "a") != nil)
        #expect(refused(PadStream(pool: "tokyo", sender: "alice", receiver: "mallory"), 0, from: "a") != nil)
        #expect(refused(stream, 0, from: "a", 0) != nil)
        #expect(refused(stream, UInt64.max, from: "a") != nil)
        #expect(refused(stream, 1 << 40, from: "a")?.problem.contains("far beyond") == true)
        #expect(try agent.resume(stream, role: "bob", from: 0) == 0)
        try agent.close()
        #expect(refused(stream, 0, from: "a") != nil)
        try ledger.close()
    }
}

@Suite struct SplitPartsTests {
    private let key = [UInt8](repeating: 5, count: 64)

    private func add(
        _ parts: SplitParts, _ attempt: UInt64, _ part: Int, offset: UInt64 = 0, from origin: String = "A",
        _ bytes: [UInt8], by way: String
    ) throws -> [UInt8]? {
        var whole: [UInt8]?
        let isWhole = try bytes.withUnsafeBytes {
            try parts.add(
                SplitPart(attempt: attempt, part: part), $0, of: stream, offset: offset, route: [origin, way, "B"]
            ) { key in whole = key.withUnsafeBytes { Array($0) } }
        }
        #expect(isWhole == (whole != nil))
        return whole
    }

    /// Halves belong together when origin, stream, place and attempt are the same: anything else never makes a key.
    @Test func halvesOfDifferentKeysAreNeverJoined() throws {
        let parts = SplitParts()
        #expect(try add(parts, 1, 0, key, by: "M") == nil)
        #expect(try add(parts, 2, 1, key, by: "N") == nil)
        #expect(try add(parts, 1, 1, offset: 64, key, by: "N") == nil)
        #expect(try add(parts, 1, 1, from: "C", key, by: "N") == nil)
        #expect(try add(parts, 1, 1, [UInt8](repeating: 6, count: 64), by: "N") == [UInt8](repeating: 3, count: 64))
    }

    /// A half that was cut, or sent twice, takes its key with it: what comes afterwards finds no other half.
    @Test func halvesThatWereTamperedWithAreRefused() throws {
        for (part, bytes) in [(1, Array(key.dropLast())), (1, key + [0]), (0, key)] {
            let parts = SplitParts()
            #expect(try add(parts, 1, 0, key, by: "M") == nil)
            #expect(throws: Failure.self) { try add(parts, 1, part, bytes, by: "N") }
            #expect(try add(parts, 1, 1, key, by: "N") == nil)
        }
    }

    /// One node alters its half: the ends' keys differ just there, so the first record's tag is wrong.
    @Test func anAlteredHalfAltersTheKey() throws {
        let parts = SplitParts()
        let source = try HealthTestedSource(device: HealthTestedSource.expandedKernel)
        let halves = try key.withUnsafeBytes { try KeySplit.parts($0, source) }.map { $0.withUnsafeBytes { Array($0) } }
        var altered = halves[1]
        altered[9] ^= 16
        #expect(try add(parts, 1, 0, halves[0], by: "M") == nil)
        let whole = try #require(try add(parts, 1, 1, altered, by: "N"))
        #expect(zip(whole, key).map { $0 ^ $1 } == (0..<64).map { $0 == 9 ? 16 : 0 })
    }
}
