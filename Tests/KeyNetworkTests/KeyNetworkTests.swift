import Channel
import Diagnostics
import Foundation
import Glibc
import KeyNetwork
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

func thrown(_ body: () throws -> Void) -> Failure? {
    do {
        try body()
        return nil
    } catch {
        return error as? Failure
    }
}

/// A network in this process. Directories are short because Unix socket paths are.
final class TestNetwork {
    let directory = "/tmp/dsgdk-" + UUID().uuidString.prefix(8)
    let topology: NetworkTopology
    var nodes: [String: KeyNode] = [:]
    let model: LinkModel

    init(
        _ names: [String], links: [(String, String)], roles: [(String, String)], stockMib: Double = 1, rate: Double = 50,
        _ change: (inout NetworkTopology) -> Void = { _ in }
    ) throws {
        let ports = try Sockets.freePorts(names.count)
        let directory = directory
        var topology = NetworkTopology(
            pool: "tokyo", kms: names[0],
            nodes: zip(names, ports).map {
                .init(name: $0, host: "127.0.0.1", kmaPort: $1, directory: "\(directory)/\($0)")
            },
            links: links.map { .init($0, $1, distanceKm: 10, rateMbitPerS: rate, stockMib: stockMib) },
            roles: roles.map { .init(name: $0, node: $1) })
        change(&topology)
        self.topology = topology
        model = try LinkModel(topology)
        for name in names { try start(name) }
        model.start()
    }

    func start(_ name: String) throws {
        let node = try KeyNode(name: name, topology: topology)
        try node.start()
        nodes[name] = node
    }

    func kill(_ name: String) throws { try nodes.removeValue(forKey: name)?.stop() }

    /// Waits until the links that both ends serve are up.
    func settle() throws {
        let isUp = try eventually {
            try nodes.values.allSatisfy { node in
                try node.status().links.allSatisfy { $0.up || nodes[$0.peer] == nil }
            }
        }
        #expect(isUp, "a link is down")
        usleep(100_000)
    }

    func client(_ role: String) throws -> KeySupplyClient {
        KeySupplyClient(socketPath: try topology.home(of: role).supplySocket, role: role)
    }

    func stop() throws {
        model.stop()
        for node in nodes.values { try node.stop() }
        nodes = [:]
    }

    deinit {
        try? stop()
        try? FileManager.default.removeItem(atPath: String(directory))
    }
}

func take(_ client: KeySupplyClient, _ stream: PadStream, _ offset: UInt64, _ count: Int, timeout: Double = 5) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try client.take(stream, offset: offset, into: $0, timeout: timeout) }
    return bytes
}

let stream = PadStream(pool: "tokyo", sender: "alice", receiver: "bob")

@Suite(.serialized) struct KeyNetworkTests {
    @Test func relayAcrossHopsGivesEqualKeyAndBalances() throws {
        let network = try TestNetwork(
            ["a", "b", "c"], links: [("a", "b"), ("c", "b")], roles: [("alice", "a"), ("bob", "c"), ("carol", "a")])
        try network.settle()
        let alice = try network.client("alice")
        let bob = try network.client("bob")
        let sent = try take(alice, stream, 0, 100_000) + take(alice, stream, 100_000, 50_000)
        #expect(Set(sent).count > 200)
        // Taken in other pieces, and each once only.
        let head = try take(bob, stream, 0, 7)
        let tail = try take(bob, stream, 7, 149_993)
        #expect(sent == head + tail)
        #expect(thrown { _ = try take(bob, stream, 0, 7) }?.problem.contains("handed out before") == true)
        #expect(thrown { _ = try take(alice, stream, 0, 7) }?.problem.contains("made before") == true)
        #expect(thrown { _ = try take(bob, stream, 150_000, 7, timeout: 0.05) }?.problem.contains("insufficient key") == true)
        // A role takes only its own key, at its own node.
        #expect(thrown { _ = try take(network.client("carol"), stream, 0, 7) }?.kind == .notAuthorised)
        let local = PadStream(pool: "tokyo", sender: "alice", receiver: "carol")
        #expect(try take(alice, local, 0, 1000) == take(network.client("carol"), local, 0, 1000))

        let status = try alice.status()
        #expect(status.node == "a" && status.isKms && status.links.count == 1 && status.links[0].up)
        #expect(status.links[0].used > 150_000 && status.links[0].generated >= status.links[0].used)
        let middle = try #require(network.nodes["b"]).status()
        // Every hop paid: the middle node received and sent the key.
        let relayed = middle.ledger.filter { $0.pool == "link" && $0.data > 150_000 }
        #expect(relayed.count == 2)
        for node in network.nodes.values { #expect(try node.status().ledger.allSatisfy(\.balanced)) }
        try network.stop()
        for node in network.topology.nodes {
            let lines = try PadLedger.read(path: node.directory + "/node.sqlite")
            #expect(!lines.isEmpty && lines.allSatisfy { $0.balanced && $0.onHand == 0 })
        }
    }

    /// Large requests in a row: the next key is made before it is asked for, and every byte of it stays accounted for.
    @Test func aTransferIsMadeAheadAndBalances() throws {
        let network = try TestNetwork(
            ["a", "b", "c"], links: [("a", "b"), ("c", "b")], roles: [("alice", "a"), ("bob", "c")], stockMib: 24)
        try network.settle()
        let alice = try network.client("alice")
        let bob = try network.client("bob")
        let chunk = 256 << 10
        var offset: UInt64 = 0
        for _ in 0..<6 {
            let key = try take(alice, stream, offset, chunk)
            #expect(try take(bob, stream, offset, chunk) == key)
            offset += UInt64(chunk)
        }
        // Key at the next offset comes to the receiver's node although nobody asked for it.
        #expect(try take(bob, stream, offset, 100).count == 100)
        // The sender passes over some of what was made; the rest is still the same on both ends.
        offset += 1000
        #expect(try alice.resume(stream, from: offset) == offset)
        #expect(try take(alice, stream, offset, 5000) == take(bob, stream, offset, 5000))
        #expect(thrown { _ = try take(alice, stream, offset - 1000, 100) }?.problem.contains("made before") == true)
        for node in network.nodes.values { #expect(try node.status().ledger.allSatisfy(\.balanced)) }
        try network.stop()
        let data = UInt64(6 * chunk + 5000)
        for node in network.topology.nodes {
            let lines = try PadLedger.read(path: node.directory + "/node.sqlite")
            #expect(!lines.isEmpty && lines.allSatisfy { $0.balanced && $0.onHand == 0 })
            for line in lines where line.pool == "tokyo" {
                #expect(line.supplied >= data && line.supplied < data + (8 << 20))
                // Key that was on its way when the network stopped is lost besides what was passed over.
                if line.side == .sender { #expect(line.data == data && line.lost >= 1000) }
                if line.side == .receiver { #expect(line.data == data + 100 && line.expired >= 900) }
            }
        }
    }

    @Test func channelBetweenRolesOverTheNetwork() throws {
        let network = try TestNetwork(["a", "b", "c"], links: [("a", "b"), ("b", "c")], roles: [("alice", "a"), ("bob", "c")])
        try network.settle()
        var options = PadOptions()
        options.chunk = 16 << 10
        let cabinets = try ["alice", "bob"].map { role in
            let ledger = try PadLedger(path: "\(network.directory)/\(role).sqlite", owner: role)
            return (
                ledger,
                PadCabinet(
                    identity: role, pool: "tokyo", peers: ["alice", "bob"].filter { $0 != role },
                    source: try network.client(role), ledger: ledger, options: options)
            )
        }
        let listener = try ChannelListener(host: "127.0.0.1", port: 0, identity: "bob", pads: cabinets[1].1)
        listener.start { channel in
            do { while try channel.receive(timeout: 60, { try channel.send(kind: $0, $1) }) != nil {} } catch {}
        }
        var data = [UInt8](repeating: 0, count: 60_000)
        data.withUnsafeMutableBytes { try? fillFromKernel($0) }
        for _ in 0..<2 {
            let channel = try SecureChannel.connect(
                host: "127.0.0.1", port: listener.port, identity: "alice", peer: "bob", pads: cabinets[0].1)
            for _ in 0..<3 {
                try data.withUnsafeBytes { try channel.send(kind: 3, $0) }
                let record = try #require(try channel.receive(timeout: 60))
                #expect(record.payload.withUnsafeBytes { Array($0) } == data)
            }
            channel.close()
        }
        listener.stop()
        for (ledger, cabinet) in cabinets {
            try cabinet.close()
            #expect(try ledger.balance().allSatisfy { $0.balanced && $0.data >= 360_000 })
        }
    }

    @Test func aDeadNodeIsRoutedRound() throws {
        let network = try TestNetwork(
            ["a", "b", "c", "d"], links: [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")],
            roles: [("alice", "a"), ("bob", "c")])
        try network.settle()
        let alice = try network.client("alice")
        let bob = try network.client("bob")
        #expect(try take(alice, stream, 0, 5000) == take(bob, stream, 0, 5000))
        let way = try #require(network.nodes["b"]).status().ledger.contains { $0.pool == "link" && $0.data > 5000 }
        try network.kill(way ? "b" : "d")
        var offset: UInt64 = 5000
        let isTaken = try eventually {
            offset = try alice.resume(stream, from: offset)
            guard let key = try? take(alice, stream, offset, 5000) else { return false }
            #expect(try take(bob, stream, offset, 5000) == key)
            return true
        }
        #expect(isTaken)
        #expect(try network.nodes["a"]?.status().ledger.contains { $0.sender == "alice" && $0.data == 10_000 } == true)
        // With both gone there is no way, and that is said.
        try network.kill(way ? "d" : "b")
        offset = try alice.resume(stream, from: offset)
        let failure = thrown { _ = try take(alice, stream, offset, 5000) }
        #expect(failure?.kind == .transient)
        #expect(failure.map { $0.problem.contains("down") || $0.problem.contains("no way") } == true, "\(String(describing: failure))")
        #expect(try network.nodes["a"]?.status().ledger.allSatisfy(\.balanced) == true)
    }

    @Test func aRestartedNodeMovesOn() throws {
        let network = try TestNetwork(["a", "b"], links: [("a", "b")], roles: [("alice", "a"), ("bob", "b")])
        try network.settle()
        let alice = try network.client("alice")
        _ = try take(alice, stream, 0, 3000)
        try network.kill("b")
        try network.start("b")
        try network.settle()
        let bob = try network.client("bob")
        #expect(thrown { _ = try take(bob, stream, 0, 3000) }?.problem.contains("lost when node b was restarted") == true)
        #expect(try bob.resume(stream, from: 0) == 3000)
        #expect(try take(alice, stream, 3000, 2000) == take(bob, stream, 3000, 2000))
        #expect(try network.nodes["b"]?.status().ledger.allSatisfy(\.balanced) == true)
    }

    /// The node's directory is put back from a copy: its neighbour has seen pad that it knows nothing of, and the link stays
    /// down rather than that any of it is spent again.
    @Test func aNodeRestoredFromACopyIsRefused() throws {
        let network = try TestNetwork(
            ["a", "b"], links: [("a", "b")], roles: [("alice", "a"), ("bob", "b")], stockMib: 6)
        try network.settle()
        let alice = try network.client("alice")
        _ = try take(alice, stream, 0, 5000)
        let (directory, copy) = ("\(network.directory)/a", "\(network.directory)/copy")
        try network.kill("a")
        try FileManager.default.copyItem(atPath: directory, toPath: copy)
        try network.start("a")
        try network.settle()
        _ = try take(alice, stream, alice.resume(stream, from: 5000), 700_000)
        try network.kill("a")
        try FileManager.default.removeItem(atPath: directory)
        try FileManager.default.copyItem(atPath: copy, toPath: directory)
        try network.start("a")
        for _ in 0..<30 {
            #expect(try network.nodes["a"]?.status().links.first?.up == false)
            usleep(50_000)
        }
        let failure = thrown { _ = try take(alice, stream, 2_000_000, 1000, timeout: 0.5) }
        #expect(failure?.kind == .transient, "\(String(describing: failure))")
        #expect(try network.nodes["a"]!.status().ledger.allSatisfy(\.balanced))
    }

    /// The neighbour's store is full of key that the restarted node has lost; the link gets rid of it.
    @Test func aNodeRestartedBesideAFullStoreComesBack() throws {
        let network = try TestNetwork(["a", "b"], links: [("a", "b")], roles: [("alice", "a"), ("bob", "b")], stockMib: 6)
        try network.settle()
        let alice = try network.client("alice")
        let isFull = try eventually {
            let link = try #require(try alice.status().links.first)
            return min(link.stockOut, link.stockIn) > (4 << 20) - (128 << 10)
        }
        #expect(isFull)
        try network.kill("b")
        try network.start("b")
        try network.settle()
        let isTaken = try eventually {
            let offset = try alice.resume(stream, from: 0)
            guard let key = try? take(alice, stream, offset, 2000) else { return false }
            #expect(try take(network.client("bob"), stream, offset, 2000) == key)
            return true
        }
        #expect(isTaken)
        for node in network.nodes.values { #expect(try node.status().ledger.allSatisfy(\.balanced)) }
    }

    @Test func insufficientKeyIsToldWithFigures() throws {
        let network = try TestNetwork(
            ["a", "b"], links: [("a", "b")], roles: [("alice", "a"), ("bob", "b")], stockMib: 0.25, rate: 0)
        try network.settle()
        let alice = try network.client("alice")
        var failure: Failure?
        for _ in 0..<6 where failure == nil {
            failure = thrown { _ = try take(alice, stream, alice.resume(stream, from: 0), 60_000, timeout: 1) }
        }
        let text = failure?.problem ?? ""
        #expect(failure?.kind == .transient)
        for word in ["insufficient key", "need", "have", "refill 0.0 Mbit/s", "never at this rate"] {
            #expect(text.contains(word), "\(text)")
        }
    }
}

@Suite struct TopologyTests {
    @Test func tokyoIsValidAndSurvivesJSON() throws {
        let tokyo = NetworkTopology.tokyo(directory: "/tmp/x", roles: [.init(name: "owner", node: "koganei-1")])
        try tokyo.validate()
        #expect(tokyo.nodes.count == 5)
        let data = try JSONEncoder().encode(tokyo)
        #expect(try JSONDecoder().decode(NetworkTopology.self, from: data) == tokyo)
        #expect(String(decoding: data, as: UTF8.self).contains("distance_km"))
    }

    @Test func wrongNetworksAreRefused() throws {
        let good = NetworkTopology.tokyo(directory: "/tmp/x", roles: [.init(name: "owner", node: "koganei-1")])
        func refused(_ change: (inout NetworkTopology) -> Void) -> String {
            var topology = good
            change(&topology)
            return thrown { try topology.validate() }?.problem ?? ""
        }
        #expect(refused { $0.kms = "nowhere" }.contains("no node"))
        #expect(refused { $0.links[0].ends = ["koganei-1", "mars"] }.contains("no node"))
        #expect(refused { $0.links[0].ends = ["koganei-1"] }.contains("two different ends"))
        #expect(refused { $0.links.append($0.links[0]) }.contains("twice"))
        #expect(refused { $0.roles[0].node = "mars" }.contains("no node"))
        #expect(refused { $0.links[0].distanceKm = -1 }.contains("out of range"))
        #expect(refused { $0.nodes[0].directory = "/tmp/" + String(repeating: "d", count: 100) }.contains("107 bytes"))
        #expect(refused { $0.nodes[0].name = "a|b" }.contains("usable name"))
    }

    @Test func rateFallsWithDistance() {
        let rates = stride(from: 0.0, through: 200, by: 10).map { LinkRate.secureKeyRate(distanceKm: $0) }
        #expect(zip(rates, rates.dropFirst()).allSatisfy { $0 >= $1 })
        #expect(rates[0] > 1e6 && rates[5] > 1e5 && LinkRate.secureKeyRate(distanceKm: 400) == 0)
    }
}
