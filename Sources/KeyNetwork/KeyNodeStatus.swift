public import OneTimePad

/// What a trusted node tells of itself, for `dsgd keys status`.
public struct KeyNodeStatus: Codable, Sendable {
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
    }

    public var node: String
    public var isKms: Bool
    public var links: [Link]
    /// Rows of pool `store` are link key, of pool `link` the pads of the channels to the neighbours, all others streams
    /// of roles at this node.
    public var ledger: [LedgerLine]
}
