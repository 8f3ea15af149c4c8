import Channel
import Diagnostics
import Foundation
import Glibc
import KeyDelivery
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

/// Key servers of another make, played by a program of the Python kind that such simulators are.
final class ForeignServers {
    let directory = "/tmp/dsgdf-" + UUID().uuidString.prefix(8)
    let authority: Authority
    private let process = Process()
    private let input = Pipe()
    private(set) var ports: [UInt16] = []

    init() throws {
        authority = try Authority(String(directory))
        for name in ["a", "alice", "bob"] { try authority.issue(name) }
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let script = tests.appending(path: "Interoperability/foreign_kme.py").path
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", script, String(directory), "alice", "bob"]
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var text = ""
        while ports.count < 2 {
            let part = output.fileHandleForReading.availableData
            if part.isEmpty { break }
            text += String(decoding: part, as: UTF8.self)
            ports = text.hasSuffix("\n") ? text.split(separator: "\n").compactMap { UInt16($0) } : []
        }
        try #require(ports.count == 2, "the foreign servers did not start")
    }

    func client(_ name: String) throws -> ETSI014Client {
        try ETSI014Client(
            url: "https://127.0.0.1:\(ports[name == "alice" ? 0 : 1])/", context: authority.client(name), timeout: 60)
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
        try? FileManager.default.removeItem(atPath: String(directory))
    }
}

/// What another maker's servers answered when they were recorded.
private struct Recording: Decodable {
    struct Exchange: Decodable {
        var method: String
        var path: String
        var body: String?
        var response: String
    }
    var exchanges: [Exchange]
}

@Suite(.serialized) struct ForeignServerTests {
    @Test func aRecordedExchangeIsUnderstood() throws {
        let authority = try Authority("/tmp/dsgdr-" + UUID().uuidString.prefix(8))
        defer { try? FileManager.default.removeItem(atPath: authority.directory) }
        for name in ["a", "alice"] { try authority.issue(name) }
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let file = tests.appending(path: "Interoperability/recorded-py-qkd-kme-sim.json")
        let left = Mutex(try JSONDecoder().decode(Recording.self, from: Data(contentsOf: file)).exchanges)
        // Each exchange once.
        let server = try FakeServer(authority) { line, body in
            left.withLock { left in
                left.firstIndex { line == "\($0.method) \($0.path) HTTP/1.1" && body == $0.body ?? "" }
                    .map { left.remove(at: $0).response } ?? "HTTP/1.1 500 Not recorded\r\ncontent-length: 0\r\n\r\n"
            }
        }
        let client = try server.client(authority, "alice")
        let status = try client.status(slave: "bar-foo")
        #expect(status.source_KME_ID == "abc-def" && status.max_key_size == 1024 && status.status_extension == nil)
        let sent = try client.newKeys(slave: "bar-foo", number: 2, bits: 256)
        #expect(sent.lengths == [32, 32])
        #expect(try bytes(client.keys(sent.identifiers, master: "foo-bar")) == bytes(sent))
        // Its words for what the standard has a code for.
        #expect(
            thrown { _ = try client.keys(sent.identifiers, master: "foo-bar") }?.problem
                == "it refuses with code 400: Unable, because there are 0 activated keys remaining")
        #expect(
            thrown { _ = try client.newKeys(slave: "bar-foo", number: 1, bits: 257) }?.problem
                == "it refuses with code 422: Validation error")
        #expect(thrown { _ = try client.newKeys(slave: "bar-foo", number: 128, bits: 1024) }?.kind == .data)
    }

    @Test func aTransferRunsOnForeignKeys() throws {
        let servers = try ForeignServers()
        let ends = ForeignEnds(servers)
        let (alice, bob) = (try ends.start("alice"), try ends.start("bob"))
        let listener = try ChannelListener(host: "127.0.0.1", port: 0, identity: "bob", pads: bob.cabinet)
        listener.start { channel in
            while (try? channel.receive(timeout: 60, { try channel.send(kind: $0, $1) })) ?? nil != nil {}
        }
        let channel = try SecureChannel.connect(
            host: "127.0.0.1", port: listener.port, identity: "alice", peer: "bob", pads: alice.cabinet)
        let text = (0..<30_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for at in stride(from: 0, to: text.count, by: 3000) {
            try text[at..<at + 3000].withUnsafeBytes { try channel.send(kind: 7, $0) }
            #expect(try channel.receive(timeout: 60) { Array($1) } == Array(text[at..<at + 3000]))
        }
        channel.close()
        listener.stop()
        for party in [alice, bob] { try party.cabinet.close() }
        let accounts = try alice.ledger.balance() + bob.ledger.balance()
        #expect(accounts.count == 4 && accounts.allSatisfy { $0.balanced && $0.pool == "foreign" })
        #expect(accounts.filter { $0.side == .sender }.allSatisfy { $0.data >= 30_000 })
        // Keys of 32 bytes each carried all of it, both ways.
        #expect(ends.announced >= 2 * 30_000 / 32)
    }

    @Test func foreignHabitsAreUnderstood() throws {
        let servers = try ForeignServers()
        let (alice, bob) = (try servers.client("alice"), try servers.client("bob"))
        let status = try alice.status(slave: "bob")
        #expect(status.max_key_size == 256 && status.source_KME_ID == "foreign/alice" && status.status_extension == nil)
        let sent = try alice.newKeys(slave: "bob", number: 10)
        // The server answers in an order of its own, with its identifiers in capitals.
        let received = try bob.keys(sent.identifiers, master: "alice")
        #expect(bytes(sent) == bytes(received) && Set(bytes(sent)).count == 10)
        #expect(
            thrown { _ = try alice.newKeys(slave: "bob", bits: 1 << 20) }?.problem
                == "it refuses with code 422: size not available")
        let gone = try #require(thrown { _ = try bob.keys(sent.identifiers, master: "alice") })
        #expect(gone.kind == .data && gone.problem == "it refuses with code 400: key not found")
        // Still usable after refusals.
        let more = try alice.newKeys(slave: "bob")
        #expect(try bytes(bob.keys(more.identifiers, master: "alice")) == bytes(more))
    }

    @Test func announcementsThatCannotBeAreRefused() throws {
        let servers = try ForeignServers()
        let alice = try servers.client("alice")
        let bob = try ForeignKeySource(
            role: "bob", peer: "alice", pool: "foreign", client: servers.client("bob"), announce: { _ in },
            recall: { _, _ in [] })
        let keys = try alice.newKeys(slave: "bob", number: 2)
        let stream = PadStream(pool: "foreign", sender: "alice", receiver: "bob")
        func announcement(
            _ stream: PadStream, _ offset: UInt64, _ keys: [(String, Int)], run: String = UUID().uuidString
        ) throws -> ForeignKeySource.Announcement {
            let list = keys.map { "{\"identifier\":\"\($0.0)\",\"length\":\($0.1)}" }.joined(separator: ",")
            let text =
                "{\"stream\":{\"pool\":\"\(stream.pool)\",\"sender\":\"\(stream.sender)\",\"receiver\":"
                + "\"\(stream.receiver)\"},\"run\":\"\(run)\",\"offset\":\(offset),\"keys\":[\(list)]}"
            return try JSONDecoder().decode(ForeignKeySource.Announcement.self, from: Data(text.utf8))
        }
        for wrong in try [
            announcement(PadStream(pool: "foreign", sender: "bob", receiver: "alice"), 0, [(keys.identifiers[0], 32)]),
            announcement(stream, 0, []), announcement(stream, 0, [("x", 32)]),
            announcement(stream, 1 << 62, [(keys.identifiers[0], 32)]),
            announcement(stream, 0, [(keys.identifiers[0], 0)]), announcement(stream, 0, [(UUID().uuidString, 32)]),
        ] {
            #expect(thrown { try bob.accept(wrong) }?.kind == .data)
        }
        let run = UUID().uuidString
        try bob.accept(announcement(stream, 64, [(keys.identifiers[0], 32)], run: run))
        // Not twice, not behind, and a length that is not that of the key.
        #expect(thrown { try bob.accept(announcement(stream, 80, [(keys.identifiers[1], 32)], run: run)) }?.kind == .data)
        #expect(thrown { try bob.accept(announcement(stream, 96, [(keys.identifiers[1], 31)], run: run)) }?.kind == .data)
        var pad = [UInt8](repeating: 0, count: 32)
        try pad.withUnsafeMutableBytes { try bob.take(stream, offset: 64, into: $0, timeout: 0) }
        #expect(pad == bytes(keys)[0])
        #expect(
            thrown { try pad.withUnsafeMutableBytes { try bob.take(stream, offset: 64, into: $0, timeout: 0) } }?.kind
                == .data)
        #expect(
            thrown { try pad.withUnsafeMutableBytes { try bob.take(stream, offset: 96, into: $0, timeout: 0.05) } }?
                .kind == .transient)
    }
}
