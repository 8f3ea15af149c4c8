import Channel
import Diagnostics
import Foundation
import OneTimePad
import Roles
import Synchronization
import TestSupport
import Testing

/// Roles that take their pad from key servers which the configuration names.
@Suite(.serialized) struct KeyServerTests {
    private let directory: TemporaryDirectory
    private let ports: [UInt16]

    /// Two nodes with doors, two roles, a certificate for each, and a file for each process.
    init() throws {
        directory = try TemporaryDirectory()
        ports = try Sockets.freePorts(8)
        // One house vouches for the key servers, another for the roles.
        let (servers, roles) = (try Authority(directory.path), try Authority(directory.path, name: "roles"))
        for name in ["a", "b"] { try servers.issue(name) }
        for name in ["alice", "bobs-sae"] { try roles.issue(name) }
        var network = "pool = 'bank'\nkms = 'a'\n"
        for (index, node) in ["a", "b"].enumerated() {
            network += "[[nodes]]\nname = '\(node)'\nhost = '127.0.0.1'\nkma_port = \(ports[index])\n"
            network += "directory = '\(directory.file("node-" + node))'\n[nodes.etsi]\nport_014 = \(ports[2 + index])\n"
            network += "certificate = '\(directory.file(node)).pem'\nprivate_key = '\(directory.file(node)).key'\n"
            network += "authority = '\(directory.file("roles.pem"))'\n"
        }
        network += "[[links]]\nends = ['a', 'b']\ndistance_km = 1.0\nrate_mbit_per_s = 50.0\nstock_mib = 16.0\n"
        for (name, node, port) in [("alice", "a", ports[4]), ("bob", "b", ports[5])] {
            network += "[[roles]]\nname = '\(name)'\nkind = 'user'\nnode = '\(node)'\nhost = '127.0.0.1'\nport = \(port)\n"
        }
        // What the key servers know the roles as, at their nodes.
        network += "[[roles]]\nname = 'bobs-sae'\nkind = 'sae'\nnode = 'b'\nhost = '127.0.0.1'\nport = 0\n"
        try write("network.toml", network)
        try write("nodes.toml", "network = 'network.toml'\nstate = 'nodes'\nplays = ['a', 'b', 'link-model']\n")
        try write("alice.toml", alice)
        try write(
            "bob.toml",
            "network = 'network.toml'\nstate = 'bob'\nplays = ['bob']\n"
                + entry(role: "bob", peer: "alice", certificate: "bobs-sae", server: ports[3], ports[7], ports[6]))
    }

    private var alice: String {
        "network = 'network.toml'\nstate = 'alice'\nplays = ['alice']\n"
            + entry(role: "alice", peer: "bob", certificate: "alice", server: ports[2], ports[6], ports[7])
            + "kme_id = 'a'\npeer_sae_id = 'bobs-sae'\n"
    }

    private func entry(
        role: String, peer: String, certificate: String, server: UInt16, _ own: UInt16, _ peers: UInt16
    ) -> String {
        "[[key_servers]]\nrole = '\(role)'\npeer = '\(peer)'\nurl = 'https://127.0.0.1:\(server)'\n"
            + "certificate = '\(certificate).pem'\nprivate_key = '\(certificate).key'\nauthority = 'authority.pem'\n"
            + "peer_authority = 'roles.pem'\nannounce_port = \(own)\npeer_announce_port = \(peers)\n"
    }

    private func write(_ name: String, _ text: String) throws {
        try text.write(toFile: directory.file(name), atomically: true, encoding: .utf8)
    }

    private func load(_ name: String) throws -> LoadedConfiguration {
        try LoadedConfiguration(path: directory.file(name))
    }

    @Test func aTransferRunsOnTheirKeys() throws {
        let nodes = BankProcess(configuration: try load("nodes.toml")) { _ in }
        try nodes.start()
        let wrong = Mutex<[String]>([])
        let (sender, receiver) = (
            try PadExercise(configuration: load("alice.toml")), try PadExercise(configuration: load("bob.toml"))
        )
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            try? receiver.answer { text in wrong.withLock { $0.append(text) } }
            ended.signal()
        }
        let outcome = Mutex<PadExercise.Outcome?>(nil)
        Thread.detachNewThread {
            let sent = sender.send(to: "bob", size: 30_000, count: 60, perConnection: 20)
            outcome.withLock { $0 = sent }
            ended.signal()
        }
        #expect(eventually { outcome.withLock { $0 != nil } })
        sender.stop()
        receiver.stop()
        for _ in 0..<2 { #expect(ended.wait(timeout: .now() + 60) == .success) }
        sender.close()
        receiver.close()
        nodes.stop()
        #expect(outcome.withLock { $0?.records } == 60)
        #expect(wrong.withLock { $0 } == [])
        // The roles' own ledgers account for it; the nodes gave it at their doors, and none as pad of roles.
        for role in ["alice", "bob"] {
            let lines = try PadLedger.read(path: directory.file("\(role)/\(role)-pads.sqlite"))
            #expect(lines.count == 2 && lines.allSatisfy { $0.balanced && $0.onHand == 0 && $0.data > 0 })
        }
        let lines = try PadLedger.read(path: directory.file("node-a/node.sqlite"))
        #expect(lines.contains { $0.pool == "bank|014" && $0.sender == "alice" && $0.data >= 60 * 30_000 })
        #expect(!lines.contains { $0.pool == "bank" })
    }

    /// Each fault is said with the file and the key.
    @Test(arguments: [
        ("role = 'alice'", "role = 'bob'", "entry 1: role"), ("peer = 'bob'", "peer = 'alice'", "entry 1: peer"),
        ("peer = 'bob'", "peer = 'mallory'", "entry 1: peer"), ("https://", "http://", "entry 1: url"),
        ("url = 'https://127.0.0.1", "url = 'https://", "entry 1: url"),
        ("'alice.pem'", "'absent.pem'", "entry 1: certificate"), ("'alice.key'", "'absent.key'", "entry 1: private_key"),
        ("'authority.pem'", "'absent.pem'", "entry 1: authority"),
        ("'roles.pem'", "'absent.pem'", "entry 1: peer_authority"), ("kme_id = 'a'", "kme_id = ''", "entry 1: kme_id"),
        ("peer_sae_id = 'bobs-sae'", "peer_sae_id = ''", "entry 1: peer_sae_id"),
        ("\nannounce_port = ", "\nannounce_port = 9", "entry 1: announce_port"),
        ("peer_announce_port = ", "peer_announce_port = -", "entry 1: peer_announce_port"),
        ("certificate = 'alice.pem'\n", "", "certificate"), ("announce_port", "anounce_port", "port"),
        ("kme_id = 'a'", "kme_id = 'a'\ncolour = 'red'", "colour"),
    ])
    func faultsAreNamed(old: String, new: String, expected: String) throws {
        #expect(alice.contains(old))
        try write("alice.toml", alice.replacingOccurrences(of: old, with: new))
        let failure = #expect(throws: Failure.self) { _ = try load("alice.toml") }
        #expect(failure?.kind == .configuration && failure?.place.contains("alice.toml") == true)
        let text = "\(failure.map { "\($0)" } ?? "")"
        #expect(text.contains(expected), "\(text)")
    }

    /// Nobody could keep the promise of two ways with a key server's key.
    @Test func aRoleWithRelayWaysHasNoEntry() throws {
        let network = try String(contentsOfFile: directory.file("network.toml"), encoding: .utf8)
        try write(
            "network.toml", network.replacingOccurrences(of: "name = 'alice'\n", with: "name = 'alice'\nrelay_ways = 2\n"))
        let failure = #expect(throws: Failure.self) { _ = try load("alice.toml") }
        #expect(failure?.kind == .configuration && "\(failure.map { "\($0)" } ?? "")".contains("entry 1: role"))
        _ = try load("bob.toml")
    }

    @Test func aPeerHasOneEntry() throws {
        try write("alice.toml", alice + entry(role: "alice", peer: "bob", certificate: "alice", server: 1, 2, 3))
        #expect(throws: Failure.self) { _ = try load("alice.toml") }
    }
}
