import Diagnostics
import Foundation
import KeyNetwork
import Kernels
import OneTimePad
import TestSupport
import Testing

@Suite(.serialized) struct DisjointPathsTests {
    private func ring() throws -> TestNetwork {
        try TestNetwork(
            ["a", "b", "c", "d"], links: [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")],
            roles: [("alice", "a"), ("bob", "c")], stockMib: 6)
    }

    /// Link pad that a node spent on records to its neighbours.
    private func sent(by node: KeyNode, to peer: String) throws -> UInt64 {
        try node.status().ledger.filter { $0.pool == "link" && $0.sender == node.name && $0.receiver == peer }
            .reduce(0) { $0 + $1.data }
    }

    @Test func bothWaysCarryAPartAndTheEndsHaveEqualKey() throws {
        let network = try ring()
        try network.settle()
        let alice = KeySupplyClient(
            socketPath: try network.topology.home(of: "alice").supplySocket, role: "alice", ways: 2)
        let bob = try network.client("bob")
        var offset: UInt64 = 0
        for count in [100, 300_000, 131_072, 1] {
            let key = try take(alice, stream, offset, count)
            #expect(try take(bob, stream, offset, count) == key)
            offset += UInt64(count)
        }
        // Each part is as long as the key, and each way has a node of its own.
        for way in ["b", "d"] {
            let node = try #require(network.nodes[way])
            #expect(try node.status().relay.passedOn >= offset)
            #expect(try sent(by: node, to: "c") >= offset)
            #expect(try sent(by: try #require(network.nodes["a"]), to: way) >= offset)
        }
        // What goes on one way alone does not pass the other.
        func passed() throws -> UInt64 {
            try ["b", "d"].reduce(0) { try $0 + #require(network.nodes[$1]).status().relay.passedOn }
        }
        // Key that was made ahead of the large requests may still be on its way.
        var before = try passed()
        for _ in 0..<50 {
            usleep(200_000)
            let count = try passed()
            if count == before { break }
            before = count
        }
        let single = try network.client("alice")
        offset = try single.resume(stream, from: offset)
        #expect(try take(single, stream, offset, 50_000) == take(bob, stream, offset, 50_000))
        #expect(try passed() - before < 2 * 50_000)
        for node in network.nodes.values { #expect(try node.status().ledger.allSatisfy(\.balanced)) }
    }

    @Test func withoutTwoWaysThereIsNoKey() throws {
        let network = try ring()
        try network.settle()
        let alice = KeySupplyClient(
            socketPath: try network.topology.home(of: "alice").supplySocket, role: "alice", ways: 2)
        let bob = try network.client("bob")
        #expect(try take(alice, stream, 0, 1000) == take(bob, stream, 0, 1000))
        try network.kill("d")
        var failure: Failure?
        _ = eventually {
            failure = thrown { _ = try take(alice, stream, try alice.resume(stream, from: 1000), 1000) }
            return failure?.problem.contains("no two ways") == true
        }
        #expect(
            failure?.kind == .transient && failure?.problem.contains("no two ways") == true,
            "\(String(describing: failure))")
        // One way is still there for who asks for no more.
        let single = try network.client("alice")
        let offset = try single.resume(stream, from: 1000)
        #expect(try take(single, stream, offset, 1000) == take(bob, stream, offset, 1000))
        // And two again when the node is back.
        try network.start("d")
        try network.settle()
        var key: [UInt8]?
        _ = try eventually {
            let offset = try alice.resume(stream, from: 2000)
            key = try? take(alice, stream, offset, 1000)
            if let key { #expect(try take(bob, stream, offset, 1000) == key) }
            return key != nil
        }
        #expect(key != nil)
    }

    @Test func neitherPartAloneTellsTheKey() throws {
        let key = SecureBytes(count: 4096)
        let source = CountingSource()
        let parts = try (0..<2).map { _ in
            try key.withUnsafeBytes {
                try KeySplit.parts($0, source).map { part in part.withUnsafeBytes { Array($0) } }
            }
        }
        for attempt in parts { #expect(zip(attempt[0], attempt[1]).allSatisfy { $0 ^ $1 == 0 }) }
        // The second attempt uses other random numbers: nobody can join parts of two attempts.
        #expect(parts[0][0] != parts[1][0] && parts[0][0] != parts[1][1])
    }

    /// Graphs of up to seven nodes against all pairs of ways, tried out.
    @Test func thePairIsTheCheapest() {
        var random = SystemRandomNumberGenerator()
        var found = 0
        for _ in 0..<300 {
            let names = (0..<Int.random(in: 2...6, using: &random)).map { "n\($0)" }
            var edges: [String: [DisjointPaths.Edge]] = [:]
            for from in names {
                for to in names where from != to && Bool.random(using: &random) {
                    edges[from, default: []].append(.init(to: to, cost: Double(Int.random(in: 1...9, using: &random))))
                }
            }
            let (from, to) = (names[0], names[names.count - 1])
            let ways = allWays(edges, [from], to)
            var best = Double.infinity
            for (index, first) in ways.enumerated() {
                for second in ways[(index + 1)...]
                where Set(first.dropFirst().dropLast()).isDisjoint(with: second.dropFirst().dropLast()) {
                    best = min(best, cost(edges, first) + cost(edges, second))
                }
            }
            let pair = DisjointPaths.cheapestPair(edges, from: from, to: to)
            #expect((pair == nil) == (best == .infinity))
            guard let pair else { continue }
            found += 1
            #expect(Set(pair[0].dropFirst().dropLast()).isDisjoint(with: pair[1].dropFirst().dropLast()))
            #expect(pair.allSatisfy { $0.first == from && $0.last == to })
            #expect(pair.reduce(0) { $0 + cost(edges, $1) } == best)
        }
        #expect(found > 50)
    }

    private func allWays(_ edges: [String: [DisjointPaths.Edge]], _ way: [String], _ to: String) -> [[String]] {
        guard let last = way.last, last != to else { return [way] }
        return (edges[last] ?? []).filter { !way.contains($0.to) }.flatMap { allWays(edges, way + [$0.to], to) }
    }

    private func cost(_ edges: [String: [DisjointPaths.Edge]], _ way: [String]) -> Double {
        zip(way, way.dropFirst()).reduce(0) { sum, hop in
            sum + (edges[hop.0]?.first { $0.to == hop.1 }?.cost ?? .infinity)
        }
    }

    /// One node between the ends must not be able to bring both halves.
    @Test func halvesWithANodeInCommonAreRefused() throws {
        let stream = PadStream(pool: "p", sender: "s", receiver: "r")
        let half = [UInt8](repeating: 7, count: 64)
        func bring(_ second: [String]) throws -> Int {
            let parts = SplitParts()
            var stored = 0
            for (part, route) in [["A", "M", "B"], second].enumerated() {
                let isWhole = try half.withUnsafeBytes {
                    try parts.add(SplitPart(attempt: 1, part: part), $0, of: stream, offset: 0, route: route) { key in
                        stored += key.count
                    }
                }
                #expect(isWhole == (part == 1))
            }
            return stored
        }
        #expect(try bring(["A", "X", "B"]) == 64)
        #expect(try bring(["A", "B"]) == 64)
        #expect(throws: Failure.self) { try bring(["A", "X", "M", "B"]) }
        #expect(throws: Failure.self) { try bring(["A", "M", "B"]) }
    }
}
