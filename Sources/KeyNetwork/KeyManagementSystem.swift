import Diagnostics
import Foundation
import Metering

/// The KMS: gathers what the nodes tell of their links, and picks the way of a key.
///
/// A link serves a direction when its sending node reported lately that the link is up. A way's cost is its hops, each
/// dearer when the key to relay is a large part of the link's stock, so that thin links are spared.
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

    func report(_ node: String, _ links: [LinkState]) {
        lock.withLock { reports[node] = Report(time: monotonicSeconds(), links: links) }
    }

    /// The nodes of the best way, both ends included.
    ///
    /// - Parameter avoid: directed hops `a>b` that just failed.
    func path(from: String, to: String, bytes: UInt64, avoid: Set<String>) throws -> [String] {
        let edges = lock.withLock { () -> [String: [LinkState]] in
            let oldest = monotonicSeconds() - Self.lifetime
            return reports.filter { $0.value.time > oldest }.mapValues { $0.links.filter(\.up) }
        }
        var cost: [String: Double] = [from: 0]
        var before: [String: String] = [:]
        var open: Set<String> = [from]
        var done: Set<String> = []
        // Names break ties, so that equal networks give equal ways.
        while let node = open.min(by: { (cost[$0] ?? 0, $0) < (cost[$1] ?? 0, $1) }) {
            if node == to { break }
            open.remove(node)
            done.insert(node)
            for edge in edges[node] ?? [] where !done.contains(edge.peer) && !avoid.contains(node + ">" + edge.peer) {
                guard edges[edge.peer] != nil else { continue }
                let share = min(1, Double(bytes) / Double(max(edge.stock, 1)))
                let price = (cost[node] ?? 0) + 1 + 8 * share * share
                if price < cost[edge.peer] ?? .infinity {
                    cost[edge.peer] = price
                    before[edge.peer] = node
                    open.insert(edge.peer)
                }
            }
        }
        guard from == to || before[to] != nil else {
            throw Failure(
                .transient, at: "key network",
                "no way from node \(from) to node \(to): nodes or links between them are down",
                remedy: "look at `dsgd keys status` and start the nodes that are missing")
        }
        var path = [to]
        while let node = path.last, node != from, let previous = before[node] { path.append(previous) }
        return path.reversed()
    }
}
