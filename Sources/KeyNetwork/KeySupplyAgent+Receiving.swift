package import Diagnostics
import Foundation
import Kernels
package import OneTimePad

/// Key that came for roles at this node.
///
/// The mark of a stream is durable before the sender's node hears that its key is here: after a crash it tells exactly
/// up to where the sender has key whose other copy is lost, and the sender moves on to there. What arrives while a mark
/// is being written shares the next one; until then nobody is given any of it.
extension KeySupplyAgent {
    /// The receiving end of a stream.
    struct Incoming {
        /// Its mark is one past the newest key that arrived.
        let account: PadAccount
        /// Key below the durable mark. Roles may leave much of it for long and take it in any order, so it waits masked, and
        /// a stretch is unmasked only as it is handed out.
        var pieces = HeldPieces<MaskedKey>()
        /// Key that waits for its mark, and who wants to know.
        var arrivals: [(key: MaskedKey, stored: @Sendable (Failure?) -> Void)] = []
        /// One past the newest key that a durable mark covers.
        var stored: UInt64
        /// nil for key that never expires.
        var ages: KeyAges?

        var onHand: UInt64 { pieces.onHand + arrivals.reduce(0) { $0 + UInt64($1.key.count) } }

        mutating func expire(after seconds: Double) {
            guard let offset = ages?.expired(after: seconds) else { return }
            let erased = pieces.discard(below: offset)
            account.update { $0.expired += erased }
        }

        mutating func close() throws {
            let rest = onHand
            _ = pieces.discard(below: UInt64.max)
            arrivals = []
            try account.close { $0.expired += rest }
        }
    }

    /// A stream's sender that crashes leaves out a reservation; no row of crashes leaves out this much.
    private static let farthest: UInt64 = 1 << 34
    private static let maximumWaiting: UInt64 = 256 << 20

    /// Opens the stream's account where that was not done, without the lock: a new row is a durable write.
    func openIncoming(_ stream: PadStream) throws {
        try open(stream, .receiver, isOpen: { incoming[stream] != nil }) {
            // Key below the mark went with the last run of this node; which of it the role has, only the role knows.
            incoming[stream] = Incoming(
                account: $0, stored: $0.snapshot.mark, ages: lifetime.map { KeyAges(lifetime: $0.sending) })
        }
    }

    /// Under the lock.
    func giveUp(_ stream: PadStream, below offset: UInt64) {
        let erased = incoming[stream]?.pieces.discard(below: offset) ?? 0
        incoming[stream]?.account.update { $0.expired += erased }
    }

    func handOver(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let limit = Date(timeIntervalSinceNow: min(timeout, 3600))
        let end = offset + UInt64(destination.count)
        try condition.withLock {
            while true {
                if incoming[stream]?.pieces.take(at: offset, into: destination) != nil {
                    incoming[stream]?.account.update { $0.data += UInt64(destination.count) }
                    return
                }
                let stored = incoming[stream]?.stored ?? 0
                if end <= stored {
                    throw Failure(
                        .data, at: "\(stream)",
                        "key at offset \(offset) was handed out before, expired, or lost when node \(node) was "
                            + "restarted",
                        remedy: "connect again: the sender moves on to newer key")
                }
                if stopped || !condition.wait(until: limit) {
                    throw insufficientKey(
                        "\(stream)", need: UInt64(destination.count), have: stored - min(stored, offset),
                        bitsPerSecond: 0)
                }
            }
        }
    }

    // MARK: - From the network

    /// Takes in key that another node, or this one, made for a role here.
    ///
    /// - Parameter stored: told, on another thread, when a durable mark covers the key; or why it is lost. It is not
    ///   called when this throws.
    package func store(
        _ stream: PadStream, offset: UInt64, from origin: String, _ key: UnsafeRawBufferPointer,
        _ stored: @escaping @Sendable (Failure?) -> Void
    ) throws {
        let count = UInt64(key.count)
        guard topology.serves(pool: stream.pool), count > 0, offset <= UInt64(Int64.max) - count,
            try topology.home(of: stream.receiver).name == node, try topology.home(of: stream.sender).name == origin
        else {
            throw Failure(
                .data, at: "node \(node)", "node \(origin) sent key of \(stream), which is not between the two",
                remedy: "give all nodes the same topology")
        }
        let key = try MaskedKey(key, offset: offset)
        try openIncoming(stream)
        try condition.withLock {
            guard !stopped, let state = incoming[stream] else { throw stopping() }
            let mark = state.account.snapshot.mark
            guard offset >= mark else {
                throw Failure(
                    .data, at: "\(stream)", "key at offset \(offset) came before",
                    remedy: "the sender moves on to newer key")
            }
            guard offset - mark <= Self.farthest else {
                throw Failure(
                    .data, at: "\(stream)", "key at offset \(offset) is far beyond what came last",
                    remedy: "look at the nodes on the way from node \(origin)")
            }
            guard state.onHand + count <= Self.maximumWaiting else {
                throw Failure(
                    .transient, at: "\(stream)", "the receiving role does not take its key, the store is full",
                    remedy: "start the receiving role")
            }
            state.account.update {
                $0.lost += offset - mark
                $0.mark = offset + count
            }
            incoming[stream]?.arrivals.append((key, stored))
            unmarked.insert(stream)
            if !isMarking {
                isMarking = true
                scribe.async { self.makeMarks() }
            }
        }
    }

    /// Writes marks until nothing is left that has none.
    private func makeMarks() {
        while true {
            let streams = condition.withLock { () -> Set<PadStream> in
                defer { unmarked = [] }
                isMarking = !stopped && !unmarked.isEmpty
                if !isMarking { condition.broadcast() }
                return stopped ? [] : unmarked
            }
            if streams.isEmpty { return }
            for stream in streams { makeMark(stream) }
        }
    }

    private func makeMark(_ stream: PadStream) {
        // The mark in memory covers these, and perhaps some that arrive before it is written.
        let state = condition.withLock { incoming[stream] }
        guard let state, let end = state.arrivals.last?.key.end else { return }
        var problem: Failure?
        do { try state.account.save() } catch { problem = SupplyFailure(error).failure }
        condition.withLock {
            // None are left where the agent was closed meanwhile, which booked them.
            if incoming[stream]?.arrivals.isEmpty ?? true { return }
            incoming[stream]?.arrivals.removeFirst(state.arrivals.count)
            for arrival in state.arrivals {
                if problem == nil {
                    incoming[stream]?.pieces.append(arrival.key, at: arrival.key.offset)
                } else {
                    state.account.update { $0.lost += UInt64(arrival.key.count) }
                }
            }
            incoming[stream]?.stored = end
            incoming[stream]?.ages?.add(end: end)
            condition.broadcast()
        }
        for arrival in state.arrivals { arrival.stored(problem) }
    }
}
