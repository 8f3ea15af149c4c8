import Channel
import Diagnostics
import Foundation
import Glibc
import KeyDelivery
import KeyNetwork
import Kernels
import OneTimePad
import TestSupport
import Testing

/// TLS, HTTP and time: what a hostile or clumsy peer meets.
@Suite(.serialized) struct TransportTests {
    static let shared = Result<TestDoors, any Error> {
        try TestDoors()
    }
    let doors: TestDoors

    init() throws { doors = try Self.shared.get() }

    private let status = "GET /api/v1/keys/bob/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    private func sClient(_ options: String) throws -> String {
        let script =
            "(printf '\(status.replacingOccurrences(of: "\r\n", with: "\\r\\n"))'; sleep 0.5) | "
            + "openssl s_client -connect 127.0.0.1:\(doors.port("a")) -ign_eof \(options) 2>&1"
        return try run(["sh", "-c", script], in: String(doors.directory)).text
    }

    @Test func opensslClientWithGoodWrongAndNoCertificates() throws {
        let ca = "-CAfile authority.pem -verify_return_error"
        for version in ["-tls1_2", "-tls1_3"] {
            let good = try sClient("\(ca) \(version) -cert alice.pem -key alice.key")
            #expect(good.contains("HTTP/1.1 200 OK") && good.contains("\"source_KME_ID\":\"a\""))
            #expect(good.contains("Verify return code: 0 (ok)"))
            // No role: TLS is fine, the standard's 401 follows.
            #expect(try sClient("\(ca) \(version) -cert eve.pem -key eve.key").contains("HTTP/1.1 401 Unauthorized"))
            // No certificate, another authority's, and one that has expired: the handshake fails.
            let none = try sClient("\(ca) \(version)")
            #expect(!none.contains("HTTP/1.1") && none.contains("alert"))
        }
        let other = try Authority(String(doors.directory), name: "stranger")
        try other.issue("alice", file: "false-alice")
        let wrong = try sClient("\(ca) -cert false-alice.pem -key false-alice.key")
        #expect(!wrong.contains("HTTP/1.1") && wrong.contains("alert"))
        try doors.authority.issue("alice", file: "old-alice", days: 0)
        let old = try sClient("\(ca) -cert old-alice.pem -key old-alice.key")
        #expect(!old.contains("HTTP/1.1") && old.contains("alert"))
        for version in ["-tls1 -cipher ALL:@SECLEVEL=0", "-tls1_1 -cipher ALL:@SECLEVEL=0"] {
            #expect(try !sClient("\(ca) \(version) -cert alice.pem -key alice.key").contains("HTTP/1.1"))
        }
        // The server's own certificate is checked by the client.
        #expect(
            try sClient("-CAfile stranger.pem -verify_return_error -cert alice.pem -key alice.key").contains(
                "verify error"))
        let suspicious = try ETSI014Client(
            url: "https://127.0.0.1:\(doors.port("a"))",
            context: doors.authority.client("alice", authority: other.path("stranger.pem")))
        #expect(thrown { _ = try suspicious.status(slave: "bob") }?.kind == .notAuthorised)
        let elsewhere = try ETSI014Client(
            url: "https://localhost:\(doors.port("a"))", context: doors.authority.client("alice"))
        #expect(thrown { _ = try elsewhere.status(slave: "bob") }?.problem.contains("certificate") == true)
    }

    @Test func ownClientWithoutRightsSaysWhy() throws {
        #expect(thrown { _ = try doors.client("eve", at: "a").status(slave: "bob") }?.problem.contains("401") == true)
        let false2 = try Authority(String(doors.directory), name: "stranger2")
        try false2.issue("alice", file: "false2")
        let client = try ETSI014Client(
            url: "https://127.0.0.1:\(doors.port("a"))",
            context: .client(
                certificate: false2.path("false2.pem"), privateKey: false2.path("false2.key"),
                authority: doors.authority.path("authority.pem")))
        let failure = try #require(thrown { _ = try client.status(slave: "bob") })
        #expect([.notAuthorised, .peerUnavailable].contains(failure.kind))
        #expect(
            thrown { _ = try doors.client("alice", at: "a").newKeys(slave: "bob", bits: 257) }?.problem
                == "it refuses with code 400: size shall be a multiple of 8")
    }

    @Test func unusableFilesAreNamed() throws {
        let directory = String(doors.directory)
        func load(_ certificate: String, _ key: String, _ authority: String) -> Failure? {
            thrown {
                _ = try TLSContext.server(
                    certificate: "\(directory)/\(certificate)", privateKey: "\(directory)/\(key)",
                    authority: "\(directory)/\(authority)")
            }
        }
        #expect(load("a.pem", "a.key", "authority.pem") == nil)
        #expect(load("none.pem", "a.key", "authority.pem")?.kind == .noInput)
        #expect(load("a.pem", "b.key", "authority.pem")?.place.hasSuffix("b.key") == true)
        #expect(load("a.key", "a.key", "authority.pem")?.place.hasSuffix("a.key") == true)
        #expect(load("a.pem", "a.key", "a.key")?.kind == .configuration)
        try FileManager.default.copyItem(atPath: "\(directory)/a.key", toPath: "\(directory)/open.key")
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: "\(directory)/open.key")
        #expect(load("a.pem", "open.key", "authority.pem")?.problem.contains("every account") == true)
    }

    @Test(arguments: [
        "GET /api/v1/keys/bob/status\r\n\r\n", "GET /api/v1/keys/bob/status HTTP/2.0\r\nHost: x\r\n\r\n",
        "\u{1}\u{2}\r\n\r\n",
        "GET  /api/v1/keys/bob/status HTTP/1.1\r\nHost: x\r\n\r\n", "GET /api/v1/keys/bob/status HTTP/1.1\r\n\r\n",
        "GET /api/v1/keys/bob/status HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET /api/v1/keys/bob/status HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        "GET /api/v1/keys/bob/status HTTP/1.1\r\nHost : x\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n",
        "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n",
        "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{}",
        "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n{}",
        "GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: " + String(repeating: "a", count: 17_000) + "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n" + String(repeating: "X: y\r\n", count: 4000) + "\r\n",
    ])
    func malformedHTTPGets400AndTheEnd(text: String) throws {
        let answer = try doors.raw(text, as: "alice", at: "a")
        #expect(answer.status == 400 && !message(answer.body).contains("no message"))
        #expect(answer.head.contains("connection: close"))
    }

    @Test func chunkedAndPipelinedRequestsAreUnderstood() throws {
        let chunked =
            "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "5;x=y\r\n{\"siz\r\n7\r\ne\":128}\r\n0\r\nTrailer: z\r\n\r\n"
        let answer = try doors.raw(chunked + "\r\n" + status, as: "alice", at: "a")
        #expect(
            answer.status == 200 && answer.body.contains("HTTP/1.1 200 OK") && answer.body.contains("source_KME_ID"))
        #expect(answer.body.contains("\"key\":\"") && !answer.head.contains("connection: close"))
        let expecting = try doors.raw(
            "POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
                + "Content-Length: 2\r\n\r\n{}", as: "alice", at: "a")
        #expect(expecting.status == 100 && expecting.body.contains("HTTP/1.1 200 OK"))
        #expect(try doors.raw("GET /api/v1/keys/bob/status HTTP/1.0\r\n\r\n", as: "alice", at: "a").status == 200)
    }

    @Test func slowAndSilentPeersAreLetGo() throws {
        var limits = DoorLimits()
        limits.request = 4
        limits.connections = 8
        let doors = try TestDoors(limits: limits)
        // A TCP connection that says nothing, a handshake that stops, a request that never ends, a drip of bytes.
        let silent = try Sockets.connect(host: "127.0.0.1", port: doors.port("a"), Deadline(in: 60))
        let half = try Sockets.connect(host: "127.0.0.1", port: doors.port("a"), Deadline(in: 60))
        try [UInt8]([0x16, 0x03, 0x01, 0x02]).withUnsafeBytes { try half.write($0, Deadline(in: 60)) }
        let open = try doors.connect("alice", at: "a")
        try Array("GET /api/v1".utf8).withUnsafeBytes { try open.write($0, Deadline(in: 60)) }
        let dripping = try doors.connect("alice", at: "a")
        var dripped = 0
        for byte in Array(status.utf8) {
            guard (try? [byte].withUnsafeBytes({ try dripping.write($0, Deadline(in: 60)) })) != nil else { break }
            dripped += 1
            usleep(100_000)
        }
        #expect(dripped < status.utf8.count)
        var byte = [UInt8](repeating: 0, count: 1)
        for socket in [silent, half] {
            // Closed, perhaps with an alert before.
            #expect(throws: Never.self) {
                while try byte.withUnsafeMutableBytes({ try socket.read($0, Deadline(in: 60)) }) {}
            }
        }
        #expect(try byte.withUnsafeMutableBytes { try open.read($0, Deadline(in: 60)) } == 0)
        // Of more connections than may be those that have said nothing give way to those in order.
        var many: [Socket] = []
        for _ in 0..<12 { many.append(try Sockets.connect(host: "127.0.0.1", port: doors.port("a"), Deadline(in: 60))) }
        #expect(try doors.raw(status, as: "alice", at: "a").status == 200)
        #expect(try byte.withUnsafeMutableBytes { try many[0].read($0, Deadline(in: 60)) } == false)
        #expect(many.count == 12)
    }
}

@Suite(.serialized) struct SupplyTests {
    @Test func withoutKeyThereIs503AndSoThereIsWhenTheOtherNodeIsGone() throws {
        let doors = try TestDoors(stockMib: 0.25, rate: 0.001)
        let alice = try doors.client("alice", at: "a")
        _ = try alice.newKeys(slave: "bob", bits: 8_000)
        let answer = try doors.get("/api/v1/keys/bob/enc_keys?size=8388608", as: "alice", at: "a")
        #expect(answer.status == 503 && message(answer.body).contains("insufficient key"))
        #expect(thrown { _ = try alice.newKeys(slave: "bob", bits: 8_388_608) }?.kind == .transient)
        // What is affordable still is.
        _ = try alice.newKeys(slave: "bob", bits: 8_000)
        try doors.nodes[1].stop()
        #expect(try doors.get("/api/v1/keys/bob/enc_keys", as: "alice", at: "a").status == 503)
        try doors.nodes[0].stop()
        #expect(try doors.get("/api/v1/keys/bob/status", as: "alice", at: "a").status == 503)
    }

    @Test func orphansExpireAndAreBooked() throws {
        let doors = try TestDoors(keyLifetime: 6)
        let alice = try doors.client("alice", at: "a")
        let bob = try doors.client("bob", at: "b")
        let orphan = try alice.newKeys(slave: "bob", number: 2, bits: 4_000_000)
        usleep(3_600_000)
        let fresh = try alice.newKeys(slave: "bob", number: 1, bits: 800)
        #expect(try bytes(bob.keys([orphan.identifiers[0]], master: "alice"))[0] == bytes(orphan)[0])
        func entry(_ node: Int, _ side: LedgerLine.Side) throws -> LedgerLine {
            try #require(
                try doors.nodes[node].status().ledger.first {
                    $0.pool == "bank|014" && $0.sender == "alice" && $0.side == side
                })
        }
        #expect(try eventually { try entry(1, .receiver).expired >= 500_000 })
        let failure = thrown { _ = try bob.keys([orphan.identifiers[1]], master: "alice") }
        #expect(failure?.problem.contains("one or more keys specified are not found on KME") == true)
        // A key lives its whole time, and the account shows each byte: fetched, expired, on hand.
        #expect(try bytes(bob.keys(fresh.identifiers, master: "alice")) == bytes(fresh))
        let account = try entry(1, .receiver)
        #expect(account.data == 500_100 && account.expired >= 500_000 && account.balanced)
        let sender = try entry(0, .sender)
        #expect(sender.data == 1_000_100 && sender.balanced)
        // Key made ahead and grown old is passed over, never handed out with its copy gone.
        usleep(7_500_000)
        let last = try alice.newKeys(slave: "bob", number: 3, bits: 80_000)
        #expect(try bytes(bob.keys(last.identifiers, master: "alice")) == bytes(last))
    }

    @Test func restartedNodesForgetKeysAndGoOn() throws {
        let doors = try TestDoors()
        let first = try doors.client("alice", at: "a").newKeys(slave: "bob", number: 2)
        for index in [0, 1] {
            try doors.nodes[index].stop()
            doors.nodes[index] = try KeyNode(name: ["a", "b"][index], topology: doors.topology)
            try doors.nodes[index].start()
        }
        #expect(try eventually { try doors.nodes[0].status().links[0].up })
        let alice = try doors.client("alice", at: "a")
        let bob = try doors.client("bob", at: "b")
        #expect(thrown { _ = try bob.keys(first.identifiers, master: "alice") }?.problem.contains("not found") == true)
        var second: KeyContainer?
        _ = eventually {
            second = try? alice.newKeys(slave: "bob", number: 2)
            return second != nil
        }
        let keys = try #require(second)
        #expect(Set(keys.identifiers).isDisjoint(with: first.identifiers))
        #expect(try bytes(bob.keys(keys.identifiers, master: "alice")) == bytes(keys))
    }
}
