import Channel
import Diagnostics
import Foundation
import Kernels
public import OneTimePad

/// What one direction of a link has, and gets.
public struct LinkSupply: Codable, Sendable, Equatable {
    public var from: String
    public var to: String
    /// Bytes of pad on hand to send with.
    public var stock: UInt64
    /// Bytes per second.
    public var refillPerSecond: Double
}

/// What key for roles costs one direction of a link.
public struct HopNeed: Codable, Sendable, Equatable {
    public var supply: LinkSupply
    /// Bytes of link pad: the key, its envelopes and tags, and the answers.
    public var bytes: UInt64
    /// 0 when the stock is enough, nil when it never will be.
    public var secondsUntilAffordable: Double? {
        if bytes <= supply.stock { return 0 }
        return supply.refillPerSecond > 0 ? Double(bytes - supply.stock) / supply.refillPerSecond : nil
    }
}

/// Pad of one stream that is going to be needed.
public struct StreamNeed: Sendable {
    public var stream: PadStream
    /// Bytes of key that are relayed.
    public var bytes: UInt64
    /// On how many ways.
    public var ways: Int

    public init(stream: PadStream, bytes: UInt64, ways: Int = 1) {
        self.stream = stream
        self.bytes = bytes
        self.ways = ways
    }
}

/// What key for roles will cost each hop of the network, by the ways that the KMS picks and the messages that the nodes
/// send.
public enum KeyForecast {
    /// The links as nodes see them; a link whose channel is down is left out.
    public static func supplies(_ nodes: [KeyNodeStatus]) -> [LinkSupply] {
        nodes.flatMap { node in
            node.links.filter(\.up).map {
                LinkSupply(
                    from: node.node, to: $0.peer, stock: $0.out.stock, refillPerSecond: $0.out.refillPerSecond)
            }
        }
    }

    /// The links of a network with the stock that it begins with.
    public static func supplies(_ topology: NetworkTopology) -> [LinkSupply] {
        topology.links.flatMap { link in
            [(link.ends[0], link.ends[1]), (link.ends[1], link.ends[0])].map {
                LinkSupply(
                    from: $0.0, to: $0.1, stock: UInt64(link.stockMib * 1_048_576 / 2), refillPerSecond: link.rate / 16)
            }
        }
    }

    /// - Throws: `Failure(.transient)` when the links that are up have no way for a stream.
    public static func hops(
        of needs: [StreamNeed], in topology: NetworkTopology, with supplies: [LinkSupply]
    ) throws -> [HopNeed] {
        let now = try hops(of: needs, in: topology, with: supplies, over: 0)
        guard let longest = now.compactMap(\.secondsUntilAffordable).max(), longest > 0 else { return now }
        // A long transfer does not stay on one way: the KMS turns to links that have more, so the load is spread over
        // what the links give until the end.
        return try hops(of: needs, in: topology, with: supplies, over: longest)
    }

    /// Steps in which the load of a long transfer is spread.
    private static let slices: UInt64 = 64

    /// - Parameter seconds: time over which the work goes on; 0 for the stock alone.
    private static func hops(
        of needs: [StreamNeed], in topology: NetworkTopology, with supplies: [LinkSupply], over seconds: Double
    ) throws -> [HopNeed] {
        var used: [String: UInt64] = [:]
        let large = needs.filter { $0.bytes > 0 }
        for slice in 0..<(seconds > 0 ? slices : 1) {
            for need in large {
                var part = need
                if seconds > 0 { part.bytes = need.bytes * (slice + 1) / slices - need.bytes * slice / slices }
                if part.bytes > 0 { try spend(part, in: topology, with: supplies, over: seconds, &used) }
            }
        }
        return supplies.compactMap { supply in
            used[supply.from + "|" + supply.to].map { HopNeed(supply: supply, bytes: $0) }
        }
    }

    private static func spend(
        _ need: StreamNeed, in topology: NetworkTopology, with supplies: [LinkSupply], over seconds: Double,
        _ used: inout [String: UInt64]
    ) throws {
        let from = try topology.home(of: need.stream.sender).name
        let to = try topology.home(of: need.stream.receiver).name
        guard from != to else { return }
        let kms = KeyManagementSystem()
        for node in topology.nodes {
            let links = supplies.filter { $0.from == node.name }.map { supply in
                let whole = supply.stock + UInt64(supply.refillPerSecond * seconds)
                let left = whole - min(whole, used[supply.from + "|" + supply.to] ?? 0)
                return LinkState(
                    peer: supply.to, up: true, stock: left, refill: seconds > 0 ? 0 : supply.refillPerSecond)
            }
            kms.report(node.name, links)
        }
        // The agent asks for ways for a piece of a transfer, not for the whole.
        let piece = seconds > 0 ? need.bytes : min(need.bytes, 1 << 20)
        let ways = try kms.ways(need.ways, from: from, to: to, bytes: piece, avoid: [])
        for (index, way) in ways.enumerated() {
            let split = need.ways == 1 ? nil : SplitPart(attempt: Self.number, part: index)
            let (there, back) = try relayCost(need, along: way, split)
            for (start, end) in zip(way, way.dropFirst()) {
                used[start + "|" + end, default: 0] += there
                used[end + "|" + start, default: 0] += back
            }
        }
    }

    /// A number of usual length.
    private static let number: UInt64 = 1 << 61
    /// Kind and tag of a record.
    private static let recordOverhead = 17

    /// Pad of each hop on the way, and of each hop for the answers.
    private static func relayCost(
        _ need: StreamNeed, along way: [String], _ split: SplitPart?
    ) throws -> (UInt64, UInt64) {
        let (from, to) = (way[0], way[way.count - 1])
        let pieces = (need.bytes + UInt64(KeySupplyAgent.block) - 1) / UInt64(KeySupplyAgent.block)
        let relay = Envelope(
            kind: .relay, id: number, from: from, to: to, route: way, routed: true, stream: need.stream,
            offset: 1 << 30, split: split)
        let answer = Envelope(kind: .answer, id: number, from: to, to: from, route: way.reversed(), routed: true)
        let there = try relay.encoded(nil).count + recordOverhead
        let back = try answer.encoded(nil).count + recordOverhead
        return (need.bytes + pieces * UInt64(there), pieces * UInt64(back))
    }
}
