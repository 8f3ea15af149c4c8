import Channel
import Diagnostics
import Foundation
import Glibc
import KeyDelivery
import KeyNetwork
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct ETSI014Tests {
    static let shared = Result<TestDoors, any Error> { try TestDoors() }
    let doors: TestDoors

    init() throws { doors = try Self.shared.get() }

    private let toBob = "/api/v1/keys/bob"

    // MARK: - The three methods

    @Test func statusNamesBothEndsAndItsLimits() throws {
        let answer = try doors.get("\(toBob)/status", as: "alice", at: "a")
        #expect(answer.status == 200)
        #expect(answer.head.lowercased().contains("content-type: application/json"))
        let object = try #require(
            JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
        #expect(object["source_KME_ID"] as? String == "a" && object["target_KME_ID"] as? String == "b")
        #expect(object["master_SAE_ID"] as? String == "alice" && object["slave_SAE_ID"] as? String == "bob")
        for name in [
            "key_size", "stored_key_count", "max_key_count", "max_key_per_request", "max_key_size", "min_key_size",
            "max_SAE_ID_count",
        ] {
            #expect(object[name] is Int, "\(name)")
        }
        let status = try doors.client("alice", at: "a").status(slave: "bob")
        #expect(status.key_size == 256 && status.max_key_size >= 8_000_000 && status.max_SAE_ID_count == 0)
        #expect(status.stored_key_count > 1000 && status.stored_key_count <= status.max_key_count)
    }

    @Test func bothFormsOfBothMethodsGiveEqualKeysOnce() throws {
        let made = try doors.get("\(toBob)/enc_keys?number=2&size=512", as: "alice", at: "a")
        #expect(made.status == 200)
        let first = keys(made.body)
        #expect(first.count == 2 && first.allSatisfy { $0.key.count == 64 && UUID(uuidString: $0.id) != nil })
        #expect(first[0].key != first[1].key && first[0].id != first[1].id)
        // In the other order, by POST.
        let list = first.reversed().map { "{\"key_ID\": \"\($0.id)\", \"key_ID_extension\": {}}" }.joined(
            separator: ",")
        let fetched = try doors.post(
            "/api/v1/keys/alice/dec_keys", "{\"key_IDs\": [\(list)], \"key_IDs_extension\": {\"a\": 1}}", as: "bob",
            at: "b")
        #expect(fetched.status == 200)
        #expect(keys(fetched.body).map(\.key) == first.reversed().map(\.key))
        // By POST, and back by GET with the identifier in capitals.
        let second = keys(try doors.post("\(toBob)/enc_keys", "{\"size\": 256}", as: "alice", at: "a").body)
        #expect(second.count == 1)
        let again = try doors.get("/api/v1/keys/alice/dec_keys?key_ID=\(second[0].id.uppercased())", as: "bob", at: "b")
        #expect(keys(again.body).map(\.key) == second.map(\.key))
        // Each side has each key once.
        let gone = try doors.get("/api/v1/keys/alice/dec_keys?key_ID=\(second[0].id)", as: "bob", at: "b")
        #expect(gone.status == 400 && message(gone.body) == "one or more keys specified are not found on KME")
    }

    @Test func omittedParametersAreTheDefaults() throws {
        for answer in try [
            doors.get("\(toBob)/enc_keys", as: "alice", at: "a"),
            doors.post("\(toBob)/enc_keys", "{}", as: "alice", at: "a"),
            doors.post(
                "\(toBob)/enc_keys",
                "{\"extension_optional\":[{\"x\":[1,{}]}],\"extension_mandatory\":[],\"other\":null}",
                as: "alice", at: "a"),
        ] {
            #expect(answer.status == 200 && keys(answer.body).map(\.key.count) == [32])
        }
    }

    @Test func clientTakesLargeKeysWhole() throws {
        let alice = try doors.client("alice", at: "a", kmeID: "a")
        let bob = try doors.client("bob", at: "b", kmeID: "b")
        let sent = try alice.newKeys(slave: "bob", number: 3, bits: 1_000_008)
        #expect(sent.lengths == [125_001, 125_001, 125_001])
        let received = try bob.keys(sent.identifiers.reversed(), master: "alice")
        #expect(bytes(sent) == bytes(received).reversed() && Set(bytes(sent)[0]).count == 256)
        // The other direction is another stream, and between two applications of one node there is no link.
        let back = try bob.newKeys(slave: "alice", bits: 256)
        #expect(try bytes(alice.keys(back.identifiers, master: "bob")) == bytes(back))
        let local = try alice.newKeys(slave: "dan", number: 2)
        #expect(try bytes(doors.client("dan", at: "a").keys(local.identifiers, master: "alice")) == bytes(local))
        #expect(
            thrown { _ = try doors.client("alice", at: "a", kmeID: "b").status(slave: "bob") }?.kind == .notAuthorised)
    }

    @Test func requestsAtOnceGetDifferentKeys() throws {
        let group = DispatchGroup()
        let found = Mutex<Set<[UInt8]>>([])
        for _ in 0..<8 {
            group.enter()
            Thread.detachNewThread { [doors] in
                defer { group.leave() }
                guard let alice = try? doors.client("alice", at: "a"), let bob = try? doors.client("bob", at: "b")
                else { return }
                for _ in 0..<10 {
                    guard let sent = try? alice.newKeys(slave: "bob", number: 2, bits: 128),
                        let back = try? bob.keys(sent.identifiers, master: "alice"), bytes(sent) == bytes(back)
                    else { continue }
                    found.withLock { $0.formUnion(bytes(sent)) }
                }
            }
        }
        #expect(group.wait(timeout: .now() + 120) == .success)
        #expect(found.withLock { $0.count } == 160)
    }

    // MARK: - Who may

    @Test func onlyTheNamedSlaveGetsAKey() throws {
        let made = keys(try doors.get("\(toBob)/enc_keys", as: "alice", at: "a").body)[0]
        let target = "/api/v1/keys/alice/dec_keys?key_ID=\(made.id)"
        for (name, node) in [("carol", "b"), ("dan", "a")] {
            let answer = try doors.get(target, as: name, at: node)
            #expect(answer.status == 401 && answer.body.isEmpty && answer.head.contains("content-length: 0"))
        }
        // The master asks for its own key under the slave's name.
        #expect(try doors.get("\(toBob)/dec_keys?key_ID=\(made.id)", as: "alice", at: "a").status == 401)
        // The slave names the wrong master.
        let wrong = try doors.get("/api/v1/keys/dan/dec_keys?key_ID=\(made.id)", as: "bob", at: "b")
        #expect(wrong.status == 400 && message(wrong.body) == "one or more keys specified are not found on KME")
        #expect(try doors.get(target, as: "bob", at: "b").status == 200)
    }

    @Test func certificatesThatAreNoApplicationHereGet401() throws {
        // No role at all; a role of another node.
        for (name, node) in [("eve", "a"), ("bob", "a"), ("alice", "b")] {
            for target in ["\(toBob)/status", "\(toBob)/enc_keys", "/api/v1/keys/alice/dec_keys?key_ID=x", "/nowhere"] {
                let answer = try doors.get(target, as: name, at: node)
                #expect(answer.status == 401 && answer.body.isEmpty)
            }
        }
        // An alternative name counts as well as the common name; two roles in one certificate are none.
        try doors.authority.issue("Alice Application", file: "alternative", alternatives: ",DNS:alice,URI:urn:x")
        try doors.authority.issue("alice", file: "two", alternatives: ",DNS:dan")
        #expect(try doors.get("\(toBob)/status", as: "alternative", at: "a").status == 200)
        #expect(try doors.get("\(toBob)/status", as: "two", at: "a").status == 401)
    }

    @Test func blankUnknownAndOwnNamesInTheURLAreRefused() throws {
        for (path, node, name) in [
            ("/api/v1/keys//status", "a", "alice"), ("/api/v1/keys/%20/enc_keys", "a", "alice"),
            ("/api/v1/keys/%zz/status", "a", "alice"), ("/api/v1/keys/nobody/enc_keys", "a", "alice"),
            ("/api/v1/keys/alice/status", "a", "alice"), ("/api/v1/keys/alice/enc_keys", "a", "alice"),
            ("/api/v1/keys/bob/dec_keys?key_ID=\(UUID())", "b", "bob"), ("/api/v1/keys/bob/status/", "a", "alice"),
            ("/api/v2/keys/bob/status", "a", "alice"), ("/", "a", "alice"), ("/api/v1/keys/bob/void", "a", "alice"),
        ] {
            let answer = try doors.get(path, as: name, at: node)
            #expect(answer.status == 400 && !message(answer.body).contains("no message"), "\(path)")
        }
    }

    // MARK: - Wrong requests

    @Test(arguments: [
        "{\"size\": 257}", "{\"size\": 0}", "{\"size\": -8}", "{\"size\": \"abc01\"}", "{\"size\": \"256\"}",
        "{\"size\": 33554440}", "{\"size\": 99999999999999999999}", "{\"size\": 8.5}", "{\"size\": true}",
        "{\"number\": 0}", "{\"number\": -8}", "{\"number\": \"abc01\"}", "{\"number\": 129}", "{\"number\": []}",
        "{\"number\": 128, \"size\": 8388608}",
        "{\"additional_slave_SAE_IDs\": []}", "{\"additional_slave_SAE_IDs\": [\"\"]}",
        "{\"additional_slave_SAE_IDs\": [\"carol\", \"carol\"]}", "{\"additional_slave_SAE_IDs\": [\"bob\"]}",
        "{\"additional_slave_SAE_IDs\": [\"alice\"]}", "{\"additional_slave_SAE_IDs\": \"carol\"}",
        "{\"extension_mandatory\": [{\"route\": \"short\"}]}", "{\"extension_mandatory\": \"x\"}",
        "{\"extension_optional\": [1]}", "", "[]", "{", "null", "{\"size\": 256}}", "\u{0}", "{\"number\": 1e400}",
    ])
    func keyRequestsThatAreRefused(body: String) throws {
        let answer = try doors.post("\(toBob)/enc_keys", body, as: "alice", at: "a")
        #expect(answer.status == 400 && !message(answer.body).contains("no message"))
        if body.contains("257") { #expect(message(answer.body) == "size shall be a multiple of 8") }
        if body.contains("route") {
            #expect(message(answer.body) == "not all extension_mandatory parameters are supported")
        }
    }

    @Test(arguments: [
        "size=257", "size=0", "size=-8", "size=abc01", "size=+8", "size=", "size", "number=0", "number=-8",
        "number=abc01",
        "number=1&number=1", "number=1&extra=2", "size=%zz", "&", "number=99999999999999999999",
    ])
    func queriesThatAreRefused(query: String) throws {
        let answer = try doors.get("\(toBob)/enc_keys?\(query)", as: "alice", at: "a")
        #expect(answer.status == 400 && !message(answer.body).contains("no message"))
    }

    @Test(arguments: [
        "{}", "{\"key_IDs\": []}", "{\"key_IDs\": [{}]}", "{\"key_IDs\": [{\"key_ID\": 5}]}", "{\"key_IDs\": \"x\"}",
        "{\"key_IDs\": [{\"key_ID\": \"not-a-uuid\"}]}", "{\"key_IDs\": [\"550e8400-e29b-41d4-a716-446655440000\"]}",
        "x",
        "{\"key_IDs\": [{\"key_ID\": \"550e8400-e29b-41d4-a716-446655440000\"}]}",
        "{\"key_IDs\": [{\"key_ID\": \"00000000-0000-0000-0000-000000000000\"}]}",
        "{\"key_IDs\": [{\"key_ID\": \"ffffffff-ffff-8fff-bfff-ffffffffffff\"}]}",
    ])
    func keyIDsThatAreRefused(body: String) throws {
        let answer = try doors.post("/api/v1/keys/alice/dec_keys", body, as: "bob", at: "b")
        #expect(answer.status == 400 && !message(answer.body).contains("no message"))
        if body.contains("-e29b-41d4-a716-446655440000\"}") || body.contains("0000-0000") || body.contains("8fff") {
            #expect(message(answer.body) == "one or more keys specified are not found on KME")
        }
    }

    @Test func oneUnknownKeyLeavesTheOthersWhereTheyAre() throws {
        let made = keys(try doors.get("\(toBob)/enc_keys?number=2", as: "alice", at: "a").body)
        func ask(_ list: [String]) throws -> (status: Int, head: String, body: String) {
            try doors.post(
                "/api/v1/keys/alice/dec_keys",
                "{\"key_IDs\": [\(list.map { "{\"key_ID\": \"\($0)\"}" }.joined(separator: ","))]}", as: "bob", at: "b")
        }
        #expect(try ask([made[0].id, UUID().uuidString, made[1].id]).status == 400)
        #expect(try ask([made[0].id, made[0].id]).status == 400)
        #expect(try keys(ask([made[1].id, made[0].id]).body).map(\.key) == [made[1].key, made[0].key])
    }

    @Test func wrongVerbsTypesAndFormsAreRefused() throws {
        for verb in ["PUT", "DELETE", "PATCH", "OPTIONS", "POST", "HEAD", "get", "BREW"] {
            let answer = try doors.raw(
                "\(verb) \(toBob)/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
                as: "alice",
                at: "a")
            #expect(answer.status == 400 && answer.body.isEmpty == (verb == "HEAD"), "\(verb)")
        }
        #expect(try doors.post("\(toBob)/enc_keys", "{}", as: "alice", at: "a", type: "text/plain").status == 400)
        #expect(
            try doors.post("\(toBob)/enc_keys", "{}", as: "alice", at: "a", type: "application/json; charset=utf-8")
                .status == 200)
        #expect(try doors.post("\(toBob)/enc_keys?number=1", "{}", as: "alice", at: "a").status == 400)
        #expect(try doors.get("\(toBob)/status?x=1", as: "alice", at: "a").status == 400)
        #expect(try doors.get("/api/v1/keys/alice/dec_keys", as: "bob", at: "b").status == 400)
    }
}
