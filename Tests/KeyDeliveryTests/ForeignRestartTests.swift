import Channel
import Diagnostics
import Foundation
import KeyDelivery
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

/// Roles whose pad comes from foreign servers, and who can be started again.
///
/// `@unchecked Sendable`: `state` has a lock of its own; the rest never changes.
final class ForeignEnds: @unchecked Sendable {
    struct End {
        let ledger: PadLedger
        let cabinet: PadCabinet
        let source: ForeignKeySource
    }
    private struct State {
        var sources: [String: ForeignKeySource] = [:]
        var announced = 0
        var isCut = false
    }
    private let servers: ForeignServers
    private let state = Mutex(State())

    init(_ servers: ForeignServers) { self.servers = servers }

    /// Keys that were announced so far.
    var announced: Int { state.withLock { $0.announced } }

    /// Announcements arrive, and their sender does not hear of it.
    func cut(_ isCut: Bool) { state.withLock { $0.isCut = isCut } }

    /// Keys of 32 bytes do not add up to the chunks that a pad takes.
    func start(_ name: String) throws -> End {
        let peer = name == "alice" ? "bob" : "alice"
        let source = try ForeignKeySource(
            role: name, peer: peer, pool: "foreign", client: servers.client(name),
            announce: { announcement in
                let (there, isCut) = self.state.withLock { state in
                    state.announced += announcement.keys.count
                    return (state.sources[announcement.stream.receiver], state.isCut)
                }
                // As it would travel: text.
                let text = try JSONEncoder().encode(announcement)
                try there?.accept(JSONDecoder().decode(ForeignKeySource.Announcement.self, from: text))
                if isCut { throw Failure(.peerUnavailable, at: "test", "no answer came", remedy: "none") }
            },
            recall: { stream, offset in
                let there = self.state.withLock { $0.sources[stream.sender] }
                return try there?.announcements(of: stream, from: offset) ?? []
            })
        state.withLock { $0.sources[name] = source }
        var options = PadOptions()
        options.chunk = 4100
        options.authenticationReserve = 1024
        let ledger = try PadLedger(path: "\(servers.directory)/\(name).sqlite", owner: name)
        return End(
            ledger: ledger,
            cabinet: PadCabinet(
                identity: name, pool: "foreign", peers: [peer], source: source, ledger: ledger, options: options),
            source: source)
    }

    func stop(_ end: End) throws {
        try end.cabinet.close()
        try end.ledger.close()
    }

    /// Bob says again what alice sends.
    func exchange(_ alice: End, _ bob: End, _ count: Int) throws {
        let listener = try ChannelListener(host: "127.0.0.1", port: 0, identity: "bob", pads: bob.cabinet)
        listener.start { channel in
            while (try? channel.receive(timeout: 60, { try channel.send(kind: $0, $1) })) ?? nil != nil {}
        }
        defer { listener.stop() }
        let channel = try SecureChannel.connect(
            host: "127.0.0.1", port: listener.port, identity: "alice", peer: "bob", pads: alice.cabinet)
        defer { channel.close() }
        for number in 0..<count {
            let text = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 1500)
            try text.withUnsafeBytes { try channel.send(kind: 7, $0) }
            #expect(try channel.receive(timeout: 60) { Array($1) } == text)
        }
    }
}

@Suite(.serialized) struct ForeignRestartTests {
    private let ends: ForeignEnds
    init() throws { ends = ForeignEnds(try ForeignServers()) }

    /// The pad in the sender's hand has no copy any more; the receiver learns so at once, and newer key is used.
    @Test func aReceiverThatRestartsGoesOn() throws {
        let alice = try ends.start("alice")
        var bob = try ends.start("bob")
        try ends.exchange(alice, bob, 2)
        for _ in 0..<3 {
            try ends.stop(bob)
            bob = try ends.start("bob")
            try ends.exchange(alice, bob, 3)
        }
        try ends.stop(alice)
        try ends.stop(bob)
    }

    /// What the last life of the sender announced beyond its mark does not stand in the way of the next.
    @Test func aSenderThatRestartsGoesOn() throws {
        let bob = try ends.start("bob")
        for _ in 0..<3 {
            let alice = try ends.start("alice")
            try ends.exchange(alice, bob, 3)
            try ends.stop(alice)
        }
        try ends.stop(bob)
        let both = (try ends.start("alice"), try ends.start("bob"))
        try ends.exchange(both.0, both.1, 2)
        let lines = try both.0.ledger.balance() + both.1.ledger.balance()
        #expect(lines.count == 4 && lines.allSatisfy { $0.balanced })
    }

    /// An announcement that arrived although its sender was told otherwise: its offsets get no other keys.
    @Test func anAnnouncementWhoseAnswerIsLostIsPassed() throws {
        let (alice, bob) = (try ends.start("alice"), try ends.start("bob"))
        try ends.exchange(alice, bob, 1)
        ends.cut(true)
        #expect(thrown { try ends.exchange(alice, bob, 10) } != nil)
        ends.cut(false)
        try ends.exchange(alice, bob, 3)
    }

    /// A server that gives keys again loses nothing: the restarted end takes them from there.
    @Test func recalledKeysAreTakenWhereTheServerGivesThem() throws {
        let servers = try ForeignServers()
        let stream = PadStream(pool: "foreign", sender: "alice", receiver: "bob")
        let told = Mutex<[ForeignKeySource.Announcement]>([])
        let alice = try ForeignKeySource(
            role: "alice", peer: "bob", pool: "foreign", client: servers.client("alice"),
            announce: { one in told.withLock { $0.append(one) } }, recall: { _, _ in [] })
        var sent = [UInt8](repeating: 0, count: 640)
        try sent.withUnsafeMutableBytes { try alice.take(stream, offset: 1000, into: $0, timeout: 60) }
        let announcements = told.withLock { $0 }
        #expect(try alice.announcements(of: stream, from: 0) == announcements)
        #expect(try alice.announcements(of: stream, from: 1000 + 640).isEmpty)
        let late = try alice.announcements(of: stream, from: 1000 + 639)
        #expect(late.count == 1 && late.last == announcements.last)
        // Nobody has fetched them yet; all but one announcement is recalled.
        let asked = Mutex<[UInt64]>([])
        let bob = try ForeignKeySource(
            role: "bob", peer: "alice", pool: "foreign", client: servers.client("bob"), announce: { _ in },
            recall: { _, offset in
                asked.withLock { $0.append(offset) }
                return Array(announcements.dropFirst())
            })
        let start = try #require(announcements.dropFirst().first).offset
        #expect(try bob.resume(stream, from: 1000, timeout: 60) == start && bob.resume(stream, from: 1000) == start)
        #expect(asked.withLock { $0 } == [1000])
        var received = [UInt8](repeating: 0, count: 1640 - Int(start))
        try received.withUnsafeMutableBytes { try bob.take(stream, offset: start, into: $0, timeout: 0) }
        #expect(received == Array(sent[(Int(start) - 1000)...]))
        // The next life finds what is left, and the one after it nothing; both say where newer key begins.
        for left in [1000, 1640] as [UInt64] {
            let next = try ForeignKeySource(
                role: "bob", peer: "alice", pool: "foreign", client: servers.client("bob"), announce: { _ in },
                recall: { _, _ in announcements })
            #expect(try next.resume(stream, from: 1000, timeout: 60) == left)
            #expect(try next.resume(stream, from: start) == 1640)
        }
    }
}
