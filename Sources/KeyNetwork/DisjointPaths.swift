/// Two ways through the key network that meet at their ends only: no single node between them sees both.
///
/// Bhandari's form of Suurballe's algorithm: the cheapest flow of two units through a graph in which every node is cut
/// into an entrance and an exit joined by an arc of capacity one. The second search may send a unit back over an arc of
/// the first way, so a pair is found whenever there is one, and it is the pair of the least total cost.
package enum DisjointPaths {
    package struct Edge {
        package var to: String
        package var cost: Double

        package init(to: String, cost: Double) {
            self.to = to
            self.cost = cost
        }
    }

    private struct Arc {
        var from: Int
        var to: Int
        var cost: Double
        var isFree = true
    }

    /// The pair, the one whose second node sorts first in front; nil where there is none.
    ///
    /// - Parameter edges: the directed hops out of each node.
    package static func cheapestPair(_ edges: [String: [Edge]], from: String, to: String) -> [[String]]? {
        guard from != to else { return nil }
        let names = Set(edges.keys).union(edges.values.joined().map(\.to)).union([from, to]).sorted()
        let number = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        func entrance(_ name: String) -> Int { 2 * (number[name] ?? 0) }
        func exit(_ name: String) -> Int { 2 * (number[name] ?? 0) + 1 }
        var arcs = names.map { Arc(from: entrance($0), to: exit($0), cost: 0) }
        for name in names {
            for edge in (edges[name] ?? []).sorted(by: { $0.to < $1.to }) where edge.to != name {
                arcs.append(Arc(from: exit(name), to: entrance(edge.to), cost: edge.cost))
            }
        }
        for _ in 0..<2 {
            guard augment(&arcs, nodes: 2 * names.count, from: exit(from), to: entrance(to)) else { return nil }
        }
        // What carries flow now, hop by hop.
        var next: [Int: [Int]] = [:]
        for arc in arcs where !arc.isFree { next[arc.from, default: []].append(arc.to) }
        let ways = (next[exit(from)] ?? []).map { first -> [String] in
            var way = [from]
            var place = first
            while place != entrance(to) {
                way.append(names[place / 2])
                guard let further = next[place + 1]?.first else { return [] }
                place = further
            }
            return way + [to]
        }
        guard ways.count == 2, ways.allSatisfy({ !$0.isEmpty }) else { return nil }
        return ways.sorted { $0[1] < $1[1] }
    }

    /// Sends one more unit by the cheapest way of what is left (Bellman and Ford: arcs in use cost less than nothing
    /// backwards).
    private static func augment(_ arcs: inout [Arc], nodes: Int, from: Int, to: Int) -> Bool {
        var cost = [Double](repeating: .infinity, count: nodes)
        var before = [Int?](repeating: nil, count: nodes)
        cost[from] = 0
        for _ in 0..<nodes {
            var isChanged = false
            for (index, arc) in arcs.enumerated() {
                let (start, end, price) = arc.isFree ? (arc.from, arc.to, arc.cost) : (arc.to, arc.from, -arc.cost)
                // The margin keeps rounding from going round in circles.
                if cost[start] + price < cost[end] - 1e-9 {
                    cost[end] = cost[start] + price
                    before[end] = index
                    isChanged = true
                }
            }
            if !isChanged { break }
        }
        guard cost[to] < .infinity else { return false }
        var place = to
        while place != from, let index = before[place] {
            place = arcs[index].isFree ? arcs[index].from : arcs[index].to
            arcs[index].isFree.toggle()
        }
        return true
    }
}
