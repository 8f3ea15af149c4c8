import CCrypto
import Diagnostics
import Foundation
public import OneTimePad

/// The two pads between this process and one peer.
public struct PadPair: Sendable {
    public let sending: SendingPad
    public let receiving: ReceivingPad

    public init(sending: SendingPad, receiving: ReceivingPad) {
        self.sending = sending
        self.receiving = receiving
    }
}

/// Gives channels their pads. All connections of a process with one peer share one pair, so a closed connection wastes
/// nothing. Thread-safe.
public protocol PadProvider: Sendable {
    /// The name of the pool; both ends use the same.
    var pool: String { get }
    /// The peers that may connect.
    var peers: [String] { get }
    func pads(for peer: String) throws -> PadPair
}

/// The usual provider: opens a peer's pads at first use and keeps them until `close`.
///
/// `@unchecked Sendable`: `lock` guards `pairs` and `closed`.
public final class PadCabinet: PadProvider, @unchecked Sendable {
    public let identity: String
    public let pool: String
    public let peers: [String]
    private let source: any PadSource
    private let ledger: PadLedger
    private let options: PadOptions
    private let lock = NSLock()
    private var pairs: [String: PadPair] = [:]
    private var closed = false

    public init(
        identity: String, pool: String, peers: [String], source: any PadSource, ledger: PadLedger,
        options: PadOptions = PadOptions()
    ) {
        self.identity = identity
        self.pool = pool
        self.peers = peers
        self.source = source
        self.ledger = ledger
        self.options = options
    }

    public func pads(for peer: String) throws -> PadPair {
        try lock.withLock {
            guard !closed else {
                throw Failure(
                    .transient, at: identity, "the pads are closed", remedy: "try again when the process has restarted")
            }
            guard peers.contains(peer) else {
                throw Failure(
                    .notAuthorised, at: identity, "\"\(peer)\" is no peer of this role",
                    remedy: "name the peer in the configuration")
            }
            if let pair = pairs[peer] { return pair }
            let pair = PadPair(
                sending: try SendingPad(
                    stream: PadStream(pool: pool, sender: identity, receiver: peer), source: source, ledger: ledger,
                    options: options),
                receiving: try ReceivingPad(
                    stream: PadStream(pool: pool, sender: peer, receiver: identity), source: source, ledger: ledger,
                    options: options))
            pairs[peer] = pair
            return pair
        }
    }

    /// Erases the pads in hand and makes their accounts durable, each of them also when another cannot.
    ///
    /// - Parameter patience: seconds for each pad whose source is being asked.
    /// - Throws: the first failure.
    public func close(within patience: Double = SendingPad.closingPatience) throws {
        let open = lock.withLock { () -> [PadPair] in
            closed = true
            defer { pairs.removeAll() }
            return Array(pairs.values)
        }
        var failure: (any Error)?
        for pair in open {
            do { try pair.sending.close(within: patience) } catch { failure = failure ?? error }
            do { try pair.receiving.close() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}

/// What stands for two names and their pool on the wire: the first 8 bytes of a SHA-256, so that no names are sent.
func poolIdentifier(pool: String, _ a: String, _ b: String) -> UInt64 {
    let text = Array(("dsgd pool\0" + pool + "\0" + min(a, b) + "\0" + max(a, b)).utf8)
    var digest = [UInt8](repeating: 0, count: 32)
    SHA256(text, text.count, &digest)
    return digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
}
