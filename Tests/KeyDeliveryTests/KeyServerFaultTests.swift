import Diagnostics
import Dispatch
import Foundation
import KeyDelivery
import OneTimePad
import Synchronization
import TestSupport
import Testing

private let stream = PadStream(pool: "foreign", sender: "alice", receiver: "bob")

/// Key servers that are slow, broken or wrong.
@Suite(.serialized) struct KeyServerFaultTests {
    private let directory: TemporaryDirectory
    private let authority: Authority

    init() throws {
        directory = try TemporaryDirectory()
        authority = try Authority(directory.path)
        for name in ["a", "alice", "bob"] { try authority.issue(name) }
    }

    private func sender(
        _ client: ETSI014Client, announce: @escaping ForeignKeySource.Announce = { _ in }
    ) -> ForeignKeySource {
        ForeignKeySource(
            role: "alice", peer: "bob", pool: "foreign", client: client, announce: announce, recall: { _, _ in [] })
    }

    private func receiver(
        _ client: ETSI014Client, recall: @escaping ForeignKeySource.Recall = { _, _ in [] }
    ) -> ForeignKeySource {
        ForeignKeySource(
            role: "bob", peer: "alice", pool: "foreign", client: client, announce: { _ in }, recall: recall)
    }

    private func take(_ source: ForeignKeySource, _ offset: UInt64, _ count: Int, timeout: Double = 60) throws -> [UInt8] {
        var pad = [UInt8](repeating: 0, count: count)
        try pad.withUnsafeMutableBytes { try source.take(stream, offset: offset, into: $0, timeout: timeout) }
        return pad
    }

    private func announcement(
        _ offset: UInt64, _ keys: [(String, Int)], run: String = "01234567-89AB-4DEF-8123-456789ABCDEF",
        of stream: PadStream = stream
    ) throws -> ForeignKeySource.Announcement {
        let list = keys.map { "{\"identifier\":\"\($0.0)\",\"length\":\($0.1)}" }.joined(separator: ",")
        let text =
            "{\"stream\":{\"pool\":\"\(stream.pool)\",\"sender\":\"\(stream.sender)\",\"receiver\":"
            + "\"\(stream.receiver)\"},\"run\":\"\(run)\",\"offset\":\(offset),\"keys\":[\(list)]}"
        return try JSONDecoder().decode(ForeignKeySource.Announcement.self, from: Data(text.utf8))
    }

    // MARK: - Keys that are given twice

    @Test func aSenderRefusesAKeyThatItHadBefore() throws {
        let keys = FakeKeys(perRequest: 2)
        let server = try FakeServer(authority, keys.answer)
        let client = try server.client(authority, "alice")
        let again = UUID().uuidString.lowercased()
        keys.giveAgain([again, again.uppercased()])
        #expect(thrown { _ = try client.newKeys(slave: "bob", number: 2, bits: 256) }?.kind == .data)
        // The client does not remember; the pad does, over requests.
        let told = Mutex<[String]>([])
        let source = sender(client) { one in told.withLock { $0 += one.keys.map(\.identifier) } }
        keys.giveAgain([again])
        let first = try take(source, 0, 64)
        for repeated in [again, again.uppercased(), "no UUID"] {
            keys.giveAgain([repeated])
            let failure = thrown { _ = try take(source, 64, 32) }
            #expect(failure?.kind == .data && failure?.problem.contains(again) == false)
        }
        #expect(told.withLock { $0.count } == 2)
        // New ones lie where those would have.
        let next = try take(source, 64, 64)
        #expect(Set([first.prefix(32), first.suffix(32), next.prefix(32), next.suffix(32)]).count == 4)
        #expect(told.withLock { Set($0).count == 4 && $0.count == 4 })
    }

    @Test func aReceiverRefusesAKeyThatItHadBefore() throws {
        let keys = FakeKeys()
        let server = try FakeServer(authority, keys.answer)
        let bob = try receiver(server.client(authority, "bob"))
        let (one, other) = (UUID().uuidString, UUID().uuidString)
        #expect(thrown { try bob.accept(announcement(0, [(one, 32), (one.lowercased(), 32)])) }?.kind == .data)
        try bob.accept(announcement(0, [(one, 32)]))
        #expect(thrown { try bob.accept(announcement(32, [(one.lowercased(), 32)])) }?.kind == .data)
        // Nor in a later life of the sender.
        let life = UUID().uuidString
        #expect(thrown { try bob.accept(announcement(64, [(other, 32), (one, 32)], run: life)) }?.kind == .data)
        #expect(keys.asked == ["dec_keys"])
        try bob.accept(announcement(64, [(other, 32)], run: life))
        #expect(try take(bob, 64, 32).contains { $0 != 0 })
        // Key for one direction is none for the other.
        keys.giveAgain([other])
        let back = PadStream(pool: "foreign", sender: "bob", receiver: "alice")
        var pad = [UInt8](repeating: 0, count: 32)
        let failure = thrown {
            try pad.withUnsafeMutableBytes { try bob.take(back, offset: 0, into: $0, timeout: 60) }
        }
        #expect(failure?.kind == .data)
    }

    // MARK: - The client's connection

    @Test func aLateAnswerIsNotTakenForTheNext() throws {
        let release = DispatchSemaphore(value: 0)
        let (kept, late) = (272, 280)
        // A key of the size that was asked for tells to which request an answer belongs.
        let server = try FakeServer(authority) { _, body in
            let request = (try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any]
            let bits = request?["size"] as? Int ?? 0
            if bits == late { _ = release.wait(timeout: .now() + 60) }
            let key = Data(repeating: 1, count: bits / 8).base64EncodedString()
            return FakeKeys.http("{\"keys\":[{\"key_ID\":\"\(UUID().uuidString)\",\"key\":\"\(key)\"}]}")
        }
        let client = try server.client(authority, "alice", timeout: 2)
        /// A slow machine may be too slow for the client, which is no fault; an answer to another request is.
        func ask(_ bits: Int) -> Bool {
            guard let failure = thrown({ _ = try client.newKeys(slave: "bob", bits: bits) }) else { return true }
            #expect(failure.kind == .transient, "\(failure)")
            return false
        }
        #expect(eventually { ask(kept) })
        #expect(!ask(late))
        release.signal()
        for number in 0..<3 { #expect(eventually { ask(kept + 64 * number) }) }
    }

    /// After a server's failure that came whole, the connection serves on.
    @Test func nothingOfABodyIsToldButItsMessage() throws {
        let answers = Mutex([
            ("201 Created", "{\"keys\":[{\"key_ID\":\"x\",\"key\":\"c2VjcmV0c2VjcmV0\"}],\"message\":\"c2VjcmV0c2VjcmV0\"}"),
            ("206 Partial", "c2VjcmV0c2VjcmV0"), ("500 Oops", "<html>c2VjcmV0c2VjcmV0</html>"),
            ("400 Bad", "{\"message\":\"no such thing\",\"key\":\"c2VjcmV0c2VjcmV0\"}"),
            ("503 Busy", "{\"message\":\"" + String(repeating: "long ", count: 300) + "\"}"),
        ])
        let server = try FakeServer(authority) { _, _ in
            let (code, body) = answers.withLock { $0.removeFirst() }
            return FakeKeys.http(body, code: code)
        }
        let client = try server.client(authority, "alice")
        for expected in ["code 201", "code 206", "code 500", "code 400: no such thing"] {
            let failure = try #require(thrown { _ = try client.newKeys(slave: "bob") })
            #expect(failure.kind == .data && failure.problem == "it refuses with " + expected, "\(failure)")
        }
        let busy = try #require(thrown { _ = try client.newKeys(slave: "bob") })
        #expect(busy.kind == .transient && busy.problem.utf8.count < 300)
    }

    @Test func closingEndsARequest() throws {
        let (arrived, never, ended) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
        )
        let server = try FakeServer(authority) { _, _ in
            arrived.signal()
            _ = never.wait(timeout: .now() + 120)
            return ""
        }
        let client = try server.client(authority, "alice", timeout: 600)
        let failure = Mutex<Failure?>(nil)
        Thread.detachNewThread {
            let told = thrown { _ = try client.newKeys(slave: "bob") }
            failure.withLock { $0 = told }
            ended.signal()
        }
        #expect(arrived.wait(timeout: .now() + 60) == .success)
        let closed = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            client.close()
            closed.signal()
        }
        // What still holds the client would hold the rest of this test too.
        try #require(closed.wait(timeout: .now() + 60) == .success && ended.wait(timeout: .now() + 60) == .success)
        #expect(failure.withLock { $0 } != nil)
        #expect(thrown { _ = try client.status(slave: "bob") }?.kind == .transient)
        never.signal()
    }

    // MARK: - Time and memory

    @Test func fetchingHasAnEndAndKeepsWhatCame() throws {
        let keys = FakeKeys()
        let server = try FakeServer(authority, keys.answer)
        let source = try sender(server.client(authority, "alice"))
        #expect(thrown { _ = try take(source, 0, 96, timeout: 0) }?.kind == .transient)
        #expect(keys.asked == ["status", "enc_keys"])
        _ = try take(source, 0, 96)
        #expect(keys.asked == ["status", "enc_keys", "enc_keys", "enc_keys"])
    }

    /// Keys that the peer is slow to tell of do not hold up who asks; they come all the same.
    @Test func aSlowRecallHoldsUpNobody() throws {
        let keys = FakeKeys()
        let server = try FakeServer(authority, keys.answer)
        let release = DispatchSemaphore(value: 0)
        let asked = Mutex(0)
        let isEarly = Mutex(true)
        let told = try announcement(100, [(UUID().uuidString, 32)])
        let bob = try receiver(server.client(authority, "bob")) { _, _ in
            asked.withLock { $0 += 1 }
            if release.wait(timeout: .now() + 60) == .timedOut { isEarly.withLock { $0 = false } }
            return [told]
        }
        for _ in 0..<2 { #expect(thrown { _ = try bob.resume(stream, from: 0, timeout: 0.01) }?.kind == .transient) }
        #expect(isEarly.withLock { $0 })
        release.signal()
        #expect(try bob.resume(stream, from: 0, timeout: 60) == 100)
        #expect(asked.withLock { $0 } == 1)
        #expect(try take(bob, 100, 32).count == 32)
    }

    @Test func aFailedRecallIsToldAndTriedAgain() throws {
        let keys = FakeKeys()
        let server = try FakeServer(authority, keys.answer)
        let isThere = Mutex(false)
        let told = try announcement(100, [(UUID().uuidString, 32)])
        let bob = try receiver(server.client(authority, "bob")) { _, _ in
            guard isThere.withLock({ $0 }) else {
                throw Failure(.peerUnavailable, at: "test", "gone", remedy: "none")
            }
            return [told]
        }
        for _ in 0..<2 {
            #expect(thrown { _ = try bob.resume(stream, from: 0, timeout: 60) }?.kind == .peerUnavailable)
        }
        isThere.withLock { $0 = true }
        #expect(try bob.resume(stream, from: 0, timeout: 60) == 100)
    }

    /// A peer that has proved who it is speaks for its own stream, and for as much key as there is room for.
    @Test func aPeerSpeaksForItsOwnStreamOnly() throws {
        let keys = FakeKeys()
        let server = try FakeServer(authority, keys.answer)
        let bob = try receiver(server.client(authority, "bob"))
        let key = UUID().uuidString
        for wrong in [
            PadStream(pool: "other", sender: "alice", receiver: "bob"),
            PadStream(pool: "foreign", sender: "carol", receiver: "bob"),
            PadStream(pool: "foreign", sender: "bob", receiver: "alice"),
        ] {
            #expect(thrown { try bob.accept(announcement(0, [(key, 32)], of: wrong)) }?.kind == .data)
        }
        #expect(thrown { _ = try bob.announcements(of: stream, from: 0) }?.kind == .data)
        let back = PadStream(pool: "foreign", sender: "bob", receiver: "alice")
        #expect(try bob.announcements(of: back, from: 0).isEmpty)
        let many = (0..<3).map { _ in (UUID().uuidString, 1 << 27) }
        #expect(thrown { try bob.accept(announcement(0, many)) }?.kind == .transient)
        #expect(keys.asked.isEmpty)
        try bob.accept(announcement(0, [(key, 32)]))
    }

    @Test func anAnnouncementThatIsToldAgainIsAnsweredAgain() throws {
        let keys = FakeKeys()
        let server = try FakeServer(authority, keys.answer)
        let bob = try receiver(server.client(authority, "bob"))
        let one = try announcement(0, [(UUID().uuidString, 32)])
        for _ in 0..<2 { try bob.accept(one) }
        #expect(keys.asked == ["dec_keys"])
        _ = try take(bob, 0, 32)
        try bob.accept(one)
        #expect(thrown { _ = try take(bob, 0, 32, timeout: 0) }?.kind == .data)
    }
}
