import Diagnostics
import Foundation
import Metering

/// The KMS: gathers what the nodes tell of their links, and picks the way of a key.
///
/// A link serves a direction when its sending node reported lately that the link is up. A way's cost is its hops, each
/// dearer when the key to relay is a large part of the link's stock and rate, so that thin links are spared.
/// `@unchecked Sendable`: `lock` guards `reports`.
final class KeyManagementSystem: @unchecked Sendable {
    private struct Report {
        var time: Double
        var links: [LinkState]
    }
    private let lock = NSLock()
    private var reports: [String: Report] = [:]
    /// Seconds after which a silent node counts as down.
    static let lifetime = 6.0
    /// Seconds of a link's refill that count as stock.
    private static let refillSeconds = 1.0

    func report(_ node: String, _ links: [LinkState]) {
        lock.withLock { reports[node] = Report(time: monotonicSeconds(), links: links) }
    }

    /// The hops that serve at the moment, with their price for that many bytes.
    ///
    /// - Parameter avoid: directed hops `a>b` that just failed.
    private func edges(bytes: UInt64, avoid: Set<String>) -> [String: [DisjointPaths.Edge]] {
        let links = lock.withLock { () -> [String: [LinkState]] in
            let oldest = monotonicSeconds() - Self.lifetime
            return reports.filter { $0.value.time > oldest }.mapValues { $0.links.filter(\.up) }
        }
        return Dictionary(
            uniqueKeysWithValues: links.map { node, states in
                let hops = states.filter { links[$0.peer] != nil && !avoid.contains(node + ">" + $0.peer) }
                return (node, hops.map { DisjointPaths.Edge(to: $0.peer, cost: Self.price($0, bytes)) })
            })
    }

    /// One for the hop, and up to eight more the larger the part of the key that the link has, or will have soon.
    private static func price(_ link: LinkState, _ bytes: UInt64) -> Double {
        let supply = Double(link.stock) + max(0, link.refill ?? 0) * Self.refillSeconds
        let share = min(1, Double(bytes) / max(supply, 1))
        return 1 + 8 * share * share
    }

    private func noWay(_ what: String) -> Failure {
        Failure(
            .transient, at: "key network", what,
            remedy: "look at `dsgd keys status` and start the nodes that are missing")
    }

    /// One way, the best, or two that share no node but their ends.
    func ways(_ count: Int, from: String, to: String, bytes: UInt64, avoid: Set<String>) throws -> [[String]] {
        count == 2
            ? try disjointPaths(from: from, to: to, bytes: bytes, avoid: avoid)
            : [try path(from: from, to: to, bytes: bytes, avoid: avoid)]
    }

    /// Two ways that share no node but their ends, for key that goes out as two parts.
    func disjointPaths(from: String, to: String, bytes: UInt64, avoid: Set<String>) throws -> [[String]] {
        guard let pair = DisjointPaths.cheapestPair(edges(bytes: bytes, avoid: avoid), from: from, to: to) else {
            throw noWay(
                "no two ways from node \(from) to node \(to) without a node in common: nodes or links are down, or the "
                    + "network has no such ways")
        }
        return pair
    }

    /// The nodes of the best way, both ends included.
    func path(from: String, to: String, bytes: UInt64, avoid: Set<String>) throws -> [String] {
        let edges = edges(bytes: bytes, avoid: avoid)
        var cost: [String: Double] = [from: 0]
        var before: [String: String] = [:]
        var open: Set<String> = [from]
        var done: Set<String> = []
        // Names break ties, so that equal networks give equal ways.
        while let node = open.min(by: { (cost[$0] ?? 0, $0) < (cost[$1] ?? 0, $1) }) {
            if node == to { break }
            open.remove(node)
            done.insert(node)
            for edge in edges[node] ?? [] where !done.contains(edge.to) {
                let price = (cost[node] ?? 0) + edge.cost
                if price < cost[edge.to] ?? .infinity {
                    cost[edge.to] = price
                    before[edge.to] = node
                    open.insert(edge.to)
                }
            }
        }
        guard from == to || before[to] != nil else {
            throw noWay("no way from node \(from) to node \(to): nodes or links between them are down")
        }
        var path = [to]
        while let node = path.last, node != from, let previous = before[node] { path.append(previous) }
        return path.reversed()
    }
}
