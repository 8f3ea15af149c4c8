/// One stream's account, to the byte: `supplied = data + tags + handshake + lost + expired + onHand`.
///
/// All figures are bytes. A statement read while another process holds the ledger shows the last durable state, in
/// which pad spent since then still counts as on hand.
public struct LedgerLine: Codable, Sendable, Equatable {
    public enum Side: String, Codable, Sendable { case sender, receiver }

    /// Whose ledger this is.
    public var owner: String
    public var pool: String
    public var sender: String
    public var receiver: String
    public var side: Side
    /// All pad below the high-water mark.
    public var supplied: UInt64
    /// Spent on the bytes of records.
    public var data: UInt64
    /// Spent on the tags of records.
    public var tags: UInt64
    /// Spent on hash keys and tags when peers proved themselves.
    public var handshake: UInt64
    /// Never to be spent: outstanding at a crash, skipped by the peer, or lost by the source. Pad that was spent after
    /// the last durable mark and before a crash is counted here too, because nothing durable tells of it.
    public var lost: UInt64
    /// Left over at an orderly close and erased.
    public var expired: UInt64
    /// Reserved and not yet spent.
    public var onHand: UInt64

    /// Whether the account adds up.
    public var balanced: Bool {
        var sum: UInt64 = 0
        for part in [data, tags, handshake, lost, expired, onHand] {
            let (next, overflow) = sum.addingReportingOverflow(part)
            if overflow { return false }
            sum = next
        }
        return sum == supplied
    }
}

/// The counters behind a line; what is on hand is what remains of `mark`.
package struct PadCounts: Sendable, Equatable {
    package var mark: UInt64 = 0
    package var data: UInt64 = 0
    package var tags: UInt64 = 0
    package var handshake: UInt64 = 0
    package var lost: UInt64 = 0
    package var expired: UInt64 = 0

    var spent: UInt64 { data + tags + handshake + lost + expired }
    package var onHand: UInt64 { mark - spent }

    mutating func spend(_ purpose: PadPurpose, data bytes: Int, tag: Int) {
        switch purpose {
        case .data:
            data += UInt64(bytes)
            tags += UInt64(tag)
        case .handshake:
            handshake += UInt64(bytes) + UInt64(tag)
        }
    }
}
