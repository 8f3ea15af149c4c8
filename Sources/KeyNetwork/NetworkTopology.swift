import Diagnostics
import Foundation

/// Where a node keeps link key that waits.
public enum KeyStoreKind: String, Codable, Sendable {
    /// Masked in ordinary memory.
    case memory
    /// As Figure 5 of the paper has it: K1 in files of the node's directory, K2 in secret memory.
    case disk
}

/// The key network: trusted nodes, the quantum links between them, the KMS, and which role sits at which node.
public struct NetworkTopology: Codable, Sendable, Equatable {
    /// A trusted node: a key management agent and a key supply agent.
    public struct Node: Codable, Sendable, Equatable {
        public var name: String
        /// Where the other nodes reach its key management agent.
        public var host: String
        public var kmaPort: UInt16
        /// Holds its ledger and its Unix sockets.
        public var directory: String
        /// nil for memory.
        public var keyStore: KeyStoreKind?
        /// Key that the node stores of each direction of each link, in MiB; nil for what the link's stock asks for.
        public var keyStoreMib: Double?
        /// Port of the loopback interface where the node serves its metrics; nil for none.
        public var metricsPort: UInt16?
        /// Where applications take key by ETSI GS QKD 014 and 004; nil when the node has no such door.
        public var etsi: KeyDoors?

        public init(
            name: String, host: String, kmaPort: UInt16, directory: String, keyStore: KeyStoreKind? = nil,
            keyStoreMib: Double? = nil, metricsPort: UInt16? = nil
        ) {
            self.name = name
            self.host = host
            self.kmaPort = kmaPort
            self.directory = directory
            self.keyStore = keyStore
            self.keyStoreMib = keyStoreMib
            self.metricsPort = metricsPort
        }

        enum CodingKeys: String, CodingKey {
            case name, host, directory, etsi
            case kmaPort = "kma_port"
            case keyStore = "key_store"
            case keyStoreMib = "key_store_mib"
            case metricsPort = "metrics_port"
        }

        /// Where a link's driver delivers key.
        public var quantumSocket: String { directory + "/quantum.sock" }
        /// Where roles at this node take key.
        public var supplySocket: String { directory + "/ksa.sock" }
    }

    /// A quantum link between two nodes.
    public struct Link: Codable, Sendable, Equatable {
        public var ends: [String]
        public var distanceKm: Double
        /// Key rate of both directions together, in 10^6 bit/s; nil for what BB84 gives over the distance.
        public var rateMbitPerS: Double?
        /// Key that both ends hold at the start, in MiB.
        public var stockMib: Double

        public init(_ a: String, _ b: String, distanceKm: Double, rateMbitPerS: Double? = nil, stockMib: Double) {
            ends = [a, b]
            self.distanceKm = distanceKm
            self.rateMbitPerS = rateMbitPerS
            self.stockMib = stockMib
        }

        enum CodingKeys: String, CodingKey {
            case ends
            case distanceKm = "distance_km"
            case rateMbitPerS = "rate_mbit_per_s"
            case stockMib = "stock_mib"
        }

        /// The ends in the order that tells the directions apart.
        var ordered: (String, String) { ends[0] < ends[1] ? (ends[0], ends[1]) : (ends[1], ends[0]) }
        var name: String { ordered.0 + "|" + ordered.1 }
        /// Bits per second.
        public var rate: Double { rateMbitPerS.map { $0 * 1e6 } ?? LinkRate.secureKeyRate(distanceKm: distanceKm) }

        func other(than node: String) -> String? { ends[0] == node ? ends[1] : ends[1] == node ? ends[0] : nil }
    }

    /// A role that takes key at a node.
    public struct Role: Codable, Sendable, Equatable {
        public var name: String
        public var node: String
        /// On how many ways the key that it sends with must travel; nil for one.
        public var ways: Int?

        public init(name: String, node: String, ways: Int? = nil) {
            self.name = name
            self.node = node
            self.ways = ways
        }
    }

    /// The pool that the roles' pads belong to.
    public var pool: String
    /// The node whose KMS directs the relay.
    public var kms: String
    public var nodes: [Node]
    public var links: [Link]
    public var roles: [Role]
    /// Age at which key that nobody used is erased, in hours; nil for never.
    public var keyLifetimeHours: Double?

    enum CodingKeys: String, CodingKey {
        case pool, kms, nodes, links, roles
        case keyLifetimeHours = "key_lifetime_hours"
    }

    public init(
        pool: String, kms: String, nodes: [Node], links: [Link], roles: [Role], keyLifetimeHours: Double? = nil
    ) {
        self.keyLifetimeHours = keyLifetimeHours
        self.pool = pool
        self.kms = kms
        self.nodes = nodes
        self.links = links
        self.roles = roles
    }

    public func node(_ name: String) throws -> Node {
        guard let node = nodes.first(where: { $0.name == name }) else {
            throw Failure(
                .configuration, at: "key network", "there is no node \"\(name)\"", remedy: "name one of the nodes")
        }
        return node
    }

    /// The node where a role takes its key.
    public func home(of role: String) throws -> Node {
        guard let entry = roles.first(where: { $0.name == role }) else {
            throw Failure(
                .configuration, at: "key network", "the role \"\(role)\" is at no node",
                remedy: "add it to the roles of the key network")
        }
        return try node(entry.node)
    }

    /// Bytes of key that a node stores of each direction of a link.
    func storeLimit(of link: Link, at node: Node) -> UInt64 {
        node.keyStoreMib.map { UInt64($0 * 1_048_576) }
            ?? max(UInt64(link.stockMib * 1_048_576 / 2), 1 << 20) + (1 << 20)
    }

    /// Whether the key of a link is cut into K1 and K2: both ends cut when one keeps K1 on a disk, so that their pads
    /// are equal.
    func isCut(_ link: Link) -> Bool {
        link.ends.contains { end in nodes.first { $0.name == end }?.keyStore == .disk }
    }

    func links(of node: String) -> [Link] { links.filter { $0.ends.contains(node) } }

    /// Refuses a network that cannot work, naming the entry.
    public func validate() throws {
        func refuse(_ problem: String, _ remedy: String) -> Failure {
            Failure(.configuration, at: "key network", problem, remedy: remedy)
        }
        for (what, names) in [
            ("node", nodes.map(\.name)), ("role", roles.map(\.name)), ("link", links.map(\.safeName)),
        ] {
            for (name, entries) in Dictionary(grouping: names, by: { $0 }) where entries.count > 1 {
                throw refuse("the \(what) \"\(name)\" is there twice", "give each \(what) a name of its own")
            }
        }
        for name in nodes.map(\.name) + roles.map(\.name) + [pool] {
            guard !name.isEmpty, name.utf8.count <= 64, name.utf8.allSatisfy({ $0 > 32 && $0 != 127 && $0 != 0x7c })
            else {
                throw refuse(
                    "\"\(name)\" is no usable name",
                    "use 1 to 64 characters without blanks, control characters and \"|\"")
            }
        }
        guard !["link", "store"].contains(pool) else {
            throw refuse("the pool name \"\(pool)\" is used inside the nodes", "choose another name for the pool")
        }
        _ = try node(kms)
        for role in roles { _ = try node(role.node) }
        for node in nodes { try node.etsi?.validate(node: node.name) }
        for link in links {
            guard link.ends.count == 2, link.ends[0] != link.ends[1] else {
                throw refuse("a link has not two different ends", "name two nodes")
            }
            for end in link.ends { _ = try node(end) }
            guard link.distanceKm >= 0, link.distanceKm.isFinite, link.rate >= 0, link.rate <= 1e12, link.stockMib >= 0,
                link.stockMib <= 4096
            else {
                throw refuse(
                    "distance, rate or stock of the link \(link.name) is out of range",
                    "use a rate up to 1,000,000 Mbit/s and a stock up to 4,096 MiB")
            }
        }
        for node in nodes where !(2...16_777_216).contains(node.keyStoreMib ?? 2) {
            throw refuse(
                "key_store_mib of node \"\(node.name)\" is out of range", "use 2 to 16,777,216 MiB for each direction")
        }
        if let hours = keyLifetimeHours, !(hours > 0 && hours <= 87_600) {
            throw refuse("key_lifetime_hours is out of range", "use more than 0 and at most 87,600 hours")
        }
        for node in nodes where node.quantumSocket.utf8.count > 107 {
            throw refuse(
                "the directory of node \"\(node.name)\" is too long: a Unix socket's path may have 107 bytes",
                "use a shorter directory")
        }
    }

    /// The paper's network: four nodes at one site (Koganei) and one at a distance (Otemachi), in a ring with a chord,
    /// so that no single node between two others can cut them off.
    ///
    /// - Parameters:
    ///   - directory: parent of the nodes' directories.
    ///   - roles: where each role sits; names of nodes are `koganei-1` to `koganei-4` and `otemachi`.
    ///   - rateMbitPerS: the rate of every link; nil for BB84 over its distance.
    ///   - basePort: the first node's port, the others follow.
    public static func tokyo(
        directory: String, roles: [Role], rateMbitPerS: Double? = nil, stockMib: Double = 8, host: String = "127.0.0.1",
        basePort: UInt16 = 27_100
    ) -> NetworkTopology {
        let names = ["koganei-1", "koganei-2", "koganei-3", "koganei-4", "otemachi"]
        let nodes = names.enumerated().map { index, name in
            Node(name: name, host: host, kmaPort: basePort &+ UInt16(index), directory: directory + "/" + name)
        }
        func link(_ a: Int, _ b: Int, _ distance: Double) -> Link {
            Link(names[a], names[b], distanceKm: distance, rateMbitPerS: rateMbitPerS, stockMib: stockMib)
        }
        return NetworkTopology(
            pool: "tokyo", kms: names[0], nodes: nodes,
            links: [
                link(0, 1, 0.1), link(1, 2, 0.1), link(2, 3, 0.1), link(3, 0, 0.1), link(0, 4, 24), link(2, 4, 24),
            ],
            roles: roles)
    }
}

extension NetworkTopology.Link {
    fileprivate var safeName: String { ends.sorted().joined(separator: "|") }
}
