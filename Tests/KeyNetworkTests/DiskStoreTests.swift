import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
import KeyNetwork
import OneTimePad
import Randomness
import TestSupport
import Testing

/// Numbers that a test can recognise; no two words of it are equal.
final class CountingSource: RandomSource, @unchecked Sendable {
    let name = "test"
    private let lock = NSLock()
    private var state: UInt64 = 0x9E37_79B9_7F4A_7C15

    func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        lock.withLock {
            for index in buffer.indices {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                buffer[index] = UInt8(truncatingIfNeeded: state >> 24)
            }
        }
    }
}

@Suite(.serialized) struct DiskStoreTests {
    private func network(_ kinds: [KeyStoreKind], hours: Double? = nil, stock: Double = 6, rate: Double = 50) throws
        -> TestNetwork
    {
        try TestNetwork(
            Array(["a", "b", "c"].prefix(kinds.count)),
            links: kinds.count == 3 ? [("a", "b"), ("b", "c")] : [("a", "b")],
            roles: [("alice", "a"), ("bob", kinds.count == 3 ? "c" : "b")], stockMib: stock, rate: rate
        ) { topology in
            for index in topology.nodes.indices { topology.nodes[index].keyStore = kinds[index] }
            topology.keyLifetimeHours = hours
        }
    }

    private func keyFiles(_ network: TestNetwork, _ node: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: "\(network.directory)/\(node)/keys")) ?? []
    }

    private func receipts(_ network: TestNetwork, _ node: String) throws -> [ErasureReceipt] {
        let text = try String(contentsOfFile: "\(network.directory)/\(node)/erasures.jsonl", encoding: .utf8)
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return try text.split(separator: "\n").map { try decoder.decode(ErasureReceipt.self, from: Data($0.utf8)) }
    }

    /// Each mixture of nodes with and without a disk gives equal key, and everything adds up.
    @Test(arguments: [[KeyStoreKind.disk, .disk, .disk], [.disk, .memory, .disk], [.memory, .disk, .memory]])
    func relayOverDisks(kinds: [KeyStoreKind]) throws {
        let network = try network(kinds)
        try network.settle()
        let alice = try network.client("alice")
        let bob = try network.client("bob")
        var offset: UInt64 = 0
        // More than two chunks of link key go through.
        for count in [5, 200_000, 1_000_000, 900_000, 300_000] {
            let key = try take(alice, stream, offset, count)
            #expect(try take(bob, stream, offset, count) == key)
            offset += UInt64(count)
        }
        for node in network.nodes.values {
            let status = try node.status()
            #expect(try node.status().ledger.allSatisfy(\.balanced))
            for link in status.links { #expect(link.generated > link.used && link.stockOut <= link.capacity) }
        }
        for (name, kind) in zip(["a", "b", "c"], kinds) {
            #expect(keyFiles(network, name).isEmpty == (kind == .memory))
        }
        try network.stop()
        for (name, kind) in zip(["a", "b", "c"], kinds) where kind == .disk {
            #expect(keyFiles(network, name).isEmpty, "K1 stays on the disk of a stopped node")
            let receipts = try receipts(network, name)
            #expect(receipts.filter { $0.reason == .used }.reduce(0) { $0 + $1.bytes } > 1_000_000)
            #expect(receipts.contains { $0.reason == .stopped })
            for receipt in receipts {
                #expect(receipt.steps.map(\.key) == ["K4", "K3", "K2", "K1"])
                #expect(
                    receipt.steps.map(\.guarantee)
                        == [.informationTheoretic, .informationTheoretic, .computational, .bestEffort])
            }
        }
    }

    /// A node that went without a word leaves K1 of no use, erases it, and says what is lost.
    @Test func aCrashLosesKeyAndTellsHowMuch() throws {
        let network = try network([.disk, .disk])
        try network.settle()
        let alice = try network.client("alice")
        _ = try take(alice, stream, 0, 3000)
        // As a crash leaves them: a file of K1, and a ledger with key on hand.
        let copy = "\(network.directory)/copy"
        try FileManager.default.copyItem(atPath: "\(network.directory)/b/keys", toPath: copy)
        #expect(!(try FileManager.default.contentsOfDirectory(atPath: copy)).isEmpty)
        try network.kill("b")
        for file in try FileManager.default.contentsOfDirectory(atPath: copy) {
            try FileManager.default.copyItem(atPath: "\(copy)/\(file)", toPath: "\(network.directory)/b/keys/\(file)")
        }
        try network.start("b")
        try network.settle()
        let bob = try network.client("bob")
        let lost = try receipts(network, "b").filter { $0.reason == .lostBefore }
        #expect(lost.count == 2 && lost.allSatisfy { $0.bytes > 0 })
        #expect(try network.nodes["b"]!.status().erased["lost before the start"] == lost.reduce(0) { $0 + $1.bytes })
        var offset = try alice.resume(stream, from: 3000)
        var key: [UInt8]?
        _ = try eventually {
            offset = try alice.resume(stream, from: offset)
            key = try? take(alice, stream, offset, 2000)
            return key != nil
        }
        #expect(try take(bob, stream, offset, 2000) == key)
        #expect(try network.nodes["b"]!.status().ledger.allSatisfy(\.balanced))
    }

    @Test(arguments: [KeyStoreKind.memory, .disk]) func oldKeyExpiresAtBothEnds(kind: KeyStoreKind) throws {
        let network = try network([kind, kind], hours: 5.0 / 3600, stock: 6, rate: 0)
        try network.settle()
        let alice = try network.client("alice")
        let bob = try network.client("bob")
        #expect(try take(alice, stream, 0, 1000) == take(bob, stream, 0, 1000))
        _ = try take(alice, stream, 1000, 50_000)
        for node in network.nodes.values {
            let hasExpired = try eventually {
                let status = try node.status()
                return status.links[0].stockOut == 0 && status.links[0].stockIn == 0
                    && status.ledger.allSatisfy { $0.pool != "store" || $0.onHand == 0 }
            }
            #expect(hasExpired)

            let status = try node.status()
            #expect(try node.status().ledger.allSatisfy(\.balanced))
            #expect(status.links[0].stockOut == 0 && status.links[0].stockIn == 0)
            let store = status.ledger.filter { $0.pool == "store" }
            #expect(store.count == 2 && store.allSatisfy { $0.expired > 500_000 && $0.onHand == 0 })
        }
        // What the receiving role never took went too, and no key means no send.
        let isGone = try eventually {
            try network.nodes["b"]!.status().ledger.allSatisfy { $0.sender != "alice" || $0.onHand == 0 }
        }
        #expect(isGone)
        let waiting = try #require(try network.nodes["b"]!.status().ledger.first { $0.sender == "alice" })
        #expect(waiting.expired == 50_000 && waiting.onHand == 0 && waiting.data == 1000)
        #expect(thrown { _ = try take(bob, stream, 1000, 10) }?.problem.contains("expired") == true)
        let failure = thrown { _ = try take(alice, stream, alice.resume(stream, from: 0), 1000, timeout: 0.2) }
        #expect(failure?.kind == .transient, "\(String(describing: failure))")
        if kind == .disk {
            // The file of a chunk that is still to come in full is there, and holds nothing.
            for file in keyFiles(network, "a") {
                let bytes = try #require(FileManager.default.contents(atPath: "\(network.directory)/a/keys/\(file)"))
                #expect(bytes.allSatisfy { $0 == 0 })
            }
            #expect(try receipts(network, "a").contains { $0.reason == .expired })
        }
    }

    /// The disk under a node's key fills up: it takes no key, says why, and goes on when there is room.
    @Test func aFullDiskHoldsTheLinkBack() throws {
        guard geteuid() == 0 else {
            FileHandle.standardError.write(
                Data("SKIPPED aFullDiskHoldsTheLinkBack: mounting a small disk needs root\n".utf8))
            return
        }
        let network = try network([.memory, .disk], stock: 24, rate: 200) { topology in
            let directory = topology.nodes[1].directory + "/keys"
            try? FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            #expect(run("/bin/mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", directory]) == 0)
        }
        let directory = "\(network.directory)/b/keys"
        defer { _ = run("/bin/umount", ["-l", directory]) }
        try network.settle()
        let alice = try network.client("alice")
        let bob = try network.client("bob")
        _ = try eventually { try network.nodes["b"]!.status().links[0].problem != nil }
        let link = try network.nodes["b"]!.status().links[0]
        #expect(link.problem?.contains("No space left") == true && link.stockIn + link.stockOut < 6 << 20)
        // What was stored before is good.
        #expect(try take(alice, stream, 0, 5000) == take(bob, stream, 0, 5000))
        #expect(try network.nodes["b"]!.status().ledger.allSatisfy(\.balanced))
        try network.stop()
    }

    private func network(
        _ kinds: [KeyStoreKind], stock: Double, rate: Double, _ prepare: @escaping (NetworkTopology) -> Void
    ) throws -> TestNetwork {
        try TestNetwork(
            ["a", "b"], links: [("a", "b")], roles: [("alice", "a"), ("bob", "b")], stockMib: stock, rate: rate
        ) { topology in
            for index in topology.nodes.indices { topology.nodes[index].keyStore = kinds[index] }
            prepare(topology)
        }
    }

    private func run(_ program: String, _ arguments: [String]) -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        guard (try? process.run()) != nil else { return -1 }
        process.waitUntilExit()
        return process.terminationStatus
    }
}

@Suite(.serialized) struct MetricsTests {
    @Test func prometheusReadsThem() throws {
        let port = try Sockets.freePorts(1)[0]
        let network = try TestNetwork(
            ["a", "b"], links: [("a", "b")], roles: [("alice", "a"), ("bob", "b")]
        ) { $0.nodes[0].metricsPort = port }
        try network.settle()
        _ = try take(try network.client("alice"), stream, 0, 7000)
        let answer = try get("/metrics", port)
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
        let page = String(answer[try #require(answer.range(of: "\r\n\r\n")).upperBound...])
        #expect(page.contains("dsgd_relayed_bytes_total{node=\"a\",kind=\"sent\"} 7000\n"))
        #expect(page.contains("dsgd_link_up{node=\"a\",peer=\"b\"} 1\n"))
        #expect(page.contains("# TYPE dsgd_pad_bytes_total counter\n"))
        // Every sample has its family before it, and a number behind it.
        var families: Set<Substring> = []
        for line in page.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                #expect(families.insert(line.split(separator: " ")[2]).inserted, "\(line)")
            } else if !line.hasPrefix("#") {
                #expect(families.contains(line.prefix { $0 != "{" }), "\(line)")
                #expect(line.split(separator: " ").last.flatMap { Double($0) } != nil, "\(line)")
            }
        }
        #expect(families.count >= 10)
        #expect(try get("/keys", port).hasPrefix("HTTP/1.1 404"))
        #expect(try get("/metrics", port, "POST").hasPrefix("HTTP/1.1 405"))
    }

    private func get(_ path: String, _ port: UInt16, _ method: String = "GET") throws -> String {
        let socket = try Sockets.connect(host: "127.0.0.1", port: port, Deadline(in: 60))
        try Array("\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8).withUnsafeBytes {
            try socket.write($0, Deadline(in: 60))
        }
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while try withUnsafeMutableBytes(of: &byte, { try socket.read($0, Deadline(in: 60)) }) { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
