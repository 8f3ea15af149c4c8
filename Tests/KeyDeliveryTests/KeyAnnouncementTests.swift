import Channel
import Diagnostics
import Dispatch
import Foundation
import KeyDelivery
import OneTimePad
import Synchronization
import TestSupport
import Testing

/// What two roles tell each other of keys from foreign key servers, as it travels.
@Suite(.serialized) struct KeyAnnouncementTests {
    private struct End {
        let announcements: KeyAnnouncements
        let source: ForeignKeySource
    }
    private let directory: TemporaryDirectory
    private let authority: Authority
    private let keys = FakeKeys()
    private let server: FakeServer
    private let ports: [String: UInt16]

    init() throws {
        directory = try TemporaryDirectory()
        authority = try Authority(directory.path)
        for name in ["a", "alice", "bob", "eve"] { try authority.issue(name) }
        server = try FakeServer(authority, keys.answer)
        let free = try Sockets.freePorts(2)
        ports = ["alice": free[0], "bob": free[1]]
    }

    private func end(
        _ name: String, as certificate: String? = nil, pool: String = "foreign", _ client: ETSI014Client? = nil,
        timeout: Double = 60
    ) throws -> End {
        let peer = name == "alice" ? "bob" : "alice"
        let certificate = certificate ?? name
        func context(_ make: (String, String, String) throws -> TLSContext) rethrows -> TLSContext {
            try make(
                authority.path(certificate + ".pem"), authority.path(certificate + ".key"), authority.path("authority.pem"))
        }
        let announcements = try KeyAnnouncements(
            listenAt: ("127.0.0.1", ports[name]!),
            server: context { try .server(certificate: $0, privateKey: $1, authority: $2) },
            client: context { try .client(certificate: $0, privateKey: $1, authority: $2, checksHost: false) },
            peer: peer, peerAt: ("127.0.0.1", ports[peer]!), timeout: timeout)
        let source = try ForeignKeySource(
            role: name, peer: peer, pool: pool, client: client ?? server.client(authority, name),
            announce: { try announcements.announce($0) }, recall: { try announcements.recall($0, from: $1) })
        announcements.start(source)
        return End(announcements: announcements, source: source)
    }

    private func take(
        _ end: End, _ offset: UInt64, _ count: Int, pool: String = "foreign", timeout: Double = 60
    ) throws -> [UInt8] {
        let stream = PadStream(pool: pool, sender: "alice", receiver: "bob")
        var pad = [UInt8](repeating: 0, count: count)
        try pad.withUnsafeMutableBytes { try end.source.take(stream, offset: offset, into: $0, timeout: timeout) }
        return pad
    }

    private func connect(_ certificate: String, to name: String) throws -> TLSConnection {
        try TLSConnection(
            .client(
                certificate: authority.path(certificate + ".pem"), privateKey: authority.path(certificate + ".key"),
                authority: authority.path("authority.pem"), checksHost: false),
            over: Sockets.connect(host: "127.0.0.1", port: ports[name]!, Deadline(in: 60)), host: "127.0.0.1",
            Deadline(in: 60))
    }

    private func message(_ text: String, length: UInt32? = nil) -> [UInt8] {
        let length = length ?? UInt32(text.utf8.count)
        return (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + Array(text.utf8)
    }

    private func write(_ bytes: [UInt8], _ connection: TLSConnection) throws {
        try bytes.withUnsafeBytes { try connection.write($0, Deadline(in: 60)) }
    }

    /// An answer, or nil when the other end has closed.
    private func answer(_ connection: TLSConnection) throws -> String? {
        var head = [UInt8](repeating: 0, count: 4)
        var at = 0
        func read(_ bytes: inout [UInt8]) throws -> Bool {
            at = 0
            while at < bytes.count {
                let count = try bytes.withUnsafeMutableBytes {
                    try connection.read(UnsafeMutableRawBufferPointer(rebasing: $0[at...]), Deadline(in: 60))
                }
                if count == 0 { return false }
                at += count
            }
            return true
        }
        guard try read(&head) else { return nil }
        var text = [UInt8](repeating: 0, count: head.reduce(0) { $0 << 8 | Int($1) })
        return try read(&text) ? String(decoding: text, as: UTF8.self) : nil
    }

    private func question(_ stream: String, _ key: String = UUID().uuidString, offset: String = "0") -> String {
        "{\"announcement\":{\"stream\":\(stream),\"run\":\"\(UUID().uuidString)\",\"offset\":\(offset),"
            + "\"keys\":[{\"identifier\":\"\(key)\",\"length\":32}]}}"
    }
    private let good = "{\"pool\":\"foreign\",\"sender\":\"alice\",\"receiver\":\"bob\"}"

    @Test func whatIsMalformedEndsItsConnectionAlone() throws {
        let bob = try end("bob")
        defer { bob.announcements.stop() }
        for wrong in [
            message("", length: UInt32.max), message("", length: 4 << 20 + 1), message("no JSON"), message(""),
            message("{\"offset\":-1}"), message(question(good, offset: "-1")), message(question(good, offset: "1e300")),
            message(question("{\"pool\":\"foreign\"}")),
        ] {
            let connection = try connect("alice", to: "bob")
            try write(wrong, connection)
            #expect(try answer(connection) == nil)
        }
        // What can be read and cannot be is answered, and the connection goes on.
        let connection = try connect("alice", to: "bob")
        for wrong in [
            question(good.replacingOccurrences(of: "foreign", with: "other")),
            question(good.replacingOccurrences(of: "alice", with: "carol")), question(good, "no UUID"),
            question(good, offset: "\(UInt64(1) << 62)"), "{\"stream\":\(good),\"offset\":0}",
        ] {
            try write(message(wrong), connection)
            #expect(try answer(connection)?.contains("\"problem\"") == true)
        }
        #expect(keys.asked.isEmpty)
        try write(message(question(good)), connection)
        #expect(try answer(connection) == "{}")
        #expect(keys.asked == ["dec_keys"])
    }

    @Test func anotherRolesCertificateIsNoUse() throws {
        let bob = try end("bob")
        let connection = try connect("eve", to: "bob")
        try write(message(question(good)), connection)
        // Closed, or reset because nobody read what was written.
        #expect(((try? answer(connection)) ?? nil) == nil && keys.asked.isEmpty)
        bob.announcements.stop()
        // Nor does one listen to another at the peer's port.
        let (alice, eve) = (try end("alice"), try end("bob", as: "eve"))
        defer { for one in [alice, eve] { one.announcements.stop() } }
        #expect(thrown { _ = try take(alice, 0, 32) }?.kind == .notAuthorised)
        #expect(keys.asked == ["status", "enc_keys"])
    }

    @Test func silentConnectionsShutNobodyOut() throws {
        let (alice, bob) = (try end("alice"), try end("bob"))
        defer { for one in [alice, bob] { one.announcements.stop() } }
        let silent = try (0..<200).map { _ in
            try Sockets.connect(host: "127.0.0.1", port: ports["bob"]!, Deadline(in: 60))
        }
        #expect(try take(alice, 0, 32) == take(bob, 0, 32))
        #expect(silent.count == 200)
    }

    @Test func aReceiverThatRestartsIsToldAgain() throws {
        let alice = try end("alice")
        defer { alice.announcements.stop() }
        var bob = try end("bob")
        let first = try take(alice, 0, 96)
        #expect(try take(bob, 0, 32) == first.prefix(32).map { $0 })
        // The connection that alice keeps is of no use any more.
        for _ in 0..<2 {
            bob.announcements.stop()
            bob = try end("bob")
            let stream = PadStream(pool: "foreign", sender: "alice", receiver: "bob")
            #expect(try bob.source.resume(stream, from: 32, timeout: 60) == 32)
            #expect(try take(bob, 32, 64) == first.suffix(64).map { $0 })
        }
        #expect(try take(alice, 96, 32) == take(bob, 96, 32))
        bob.announcements.stop()
    }

    /// An answer has an end: what was announced first is left out.
    @Test func moreThanAMessageHoldsIsNotTold() throws {
        let pool = String(repeating: "p", count: 1_200_000)
        let alice = try end("alice", pool: pool)
        var bob = try end("bob", pool: pool)
        defer { for one in [alice, bob] { one.announcements.stop() } }
        let pad = try take(alice, 0, 160, pool: pool)
        bob.announcements.stop()
        bob = try end("bob", pool: pool)
        let stream = PadStream(pool: pool, sender: "alice", receiver: "bob")
        #expect(try bob.source.resume(stream, from: 0, timeout: 60) == 64)
        #expect(try take(bob, 64, 96, pool: pool) == pad.suffix(96).map { $0 })
    }

    @Test func stoppingEndsAQuestion() throws {
        let (arrived, never, ended) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
        )
        let slow = try FakeServer(authority) { _, _ in
            arrived.signal()
            _ = never.wait(timeout: .now() + 120)
            return ""
        }
        let client = try slow.client(authority, "bob", timeout: 600)
        let (alice, bob) = (try end("alice", timeout: 600), try end("bob", client, timeout: 600))
        let (source, stream) = (alice.source, PadStream(pool: "foreign", sender: "alice", receiver: "bob"))
        let failure = Mutex<Failure?>(nil)
        Thread.detachNewThread {
            let told = thrown {
                var pad = [UInt8](repeating: 0, count: 32)
                try pad.withUnsafeMutableBytes { try source.take(stream, offset: 0, into: $0, timeout: 600) }
            }
            failure.withLock { $0 = told }
            ended.signal()
        }
        #expect(arrived.wait(timeout: .now() + 60) == .success)
        alice.announcements.stop()
        #expect(ended.wait(timeout: .now() + 60) == .success)
        #expect(failure.withLock { $0 } != nil)
        client.close()
        bob.announcements.stop()
        never.signal()
    }
}
