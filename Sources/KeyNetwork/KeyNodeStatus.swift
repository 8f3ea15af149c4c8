public import OneTimePad
import Diagnostics
import Foundation
import Kernels

/// What a trusted node tells of itself, for `dsgd keys status` and its metrics. Bytes are of pad unless said otherwise.
public struct KeyNodeStatus: Codable, Sendable {
    /// One direction of a link, as this end sees it.
    public struct Direction: Codable, Sendable {
        /// Bytes on hand.
        public var stock: UInt64
        /// Bytes per second that were used, and that came, in the last minute.
        public var usePerSecond: Double
        public var supplyPerSecond: Double
        /// Bytes per second that the link can give.
        public var refillPerSecond: Double

        /// Seconds until nothing is left at the present rate of use; nil when the link gives as much as is used.
        public var secondsToEmpty: Double? {
            let net = usePerSecond - refillPerSecond
            return net > 0 ? Double(stock) / net : nil
        }
    }

    public struct Link: Codable, Sendable {
        public var peer: String
        /// Whether the channel to the neighbour stands.
        public var up: Bool
        public var distanceKm: Double
        /// Both directions together, in 10^6 bit/s.
        public var rateMbitPerS: Double
        /// Bytes of link key on hand to send with and to receive with.
        public var stockOut: UInt64
        public var stockIn: UInt64
        /// Bytes that the link delivered, and bytes of them that were used, since the ledger began.
        public var generated: UInt64
        public var used: UInt64
        /// Bytes that the node stores of each direction.
        public var capacity: UInt64
        public var out: Direction
        public var `in`: Direction
        /// Why the node took no key of this link lately.
        public var problem: String?
    }

    /// Bytes of key for roles that went through this node since it started.
    public struct Relay: Codable, Sendable, Equatable {
        public var sent: UInt64 = 0
        public var passedOn: UInt64 = 0
        public var arrived: UInt64 = 0
        /// Messages that a hop refused or lost.
        public var failures: UInt64 = 0
    }

    public var node: String
    public var isKms: Bool
    public var store: KeyStoreKind
    public var links: [Link]
    public var relay: Relay
    /// Bytes of key that were erased on a disk since the node started, by reason.
    public var erased: [String: UInt64]
    /// What was lost because the last run did not end in order.
    public var lostAtStart: [LedgerLine]
    /// The weakest protection that secret memory has had.
    public var secretMemory: String
    /// Rows of pool `store` are link key, of pool `link` the pads of the channels to the neighbours, all others streams
    /// of roles at this node.
    public var ledger: [LedgerLine]
}

extension KeyNode {
    public func status() throws -> KeyNodeStatus {
        let links = neighbours.values.sorted { $0.name < $1.name }.map { neighbour in
            let (stock, totals, link) = (neighbour.store.stock, neighbour.store.totals, neighbour.store.link)
            let rates = traffic.rates(neighbour.name)
            func direction(_ stock: UInt64, _ rates: KeyTraffic.Rates) -> KeyNodeStatus.Direction {
                KeyNodeStatus.Direction(
                    stock: stock, usePerSecond: rates.use, supplyPerSecond: rates.supply,
                    refillPerSecond: link.rate / 16)
            }
            return KeyNodeStatus.Link(
                peer: neighbour.name, up: neighbour.isUp, distanceKm: link.distanceKm, rateMbitPerS: link.rate / 1e6,
                stockOut: stock.out, stockIn: stock.in, generated: totals.generated, used: totals.used,
                capacity: neighbour.store.limit, out: direction(stock.out, rates.out),
                in: direction(stock.in, rates.in),
                problem: neighbour.store.lastProblem.map { "\($0.place): \($0.problem)" })
        }
        let protection: String
        switch SecretMemoryProtection.weakest {
        case .memfdSecret: protection = "memfd_secret"
        case .locked: protection = "locked"
        case .unlocked: protection = "not locked"
        }
        return KeyNodeStatus(
            node: name, isKms: kms != nil, store: place.keyStore ?? .memory, links: links, relay: traffic.relay,
            erased: Dictionary(uniqueKeysWithValues: erasures.totals.map { ($0.key.rawValue, $0.value) }),
            lostAtStart: ledger.lostAtOpening, secretMemory: protection, ledger: try ledger.balance())
    }
}
