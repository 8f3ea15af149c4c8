import Channel
import Diagnostics
public import Foundation
import Kernels
public import OneTimePad

/// A role's pad with one peer from key servers that are not of this network: any that speak ETSI GS QKD 014.
///
/// The sending end takes new keys as their master and lays them one after the other along the stream; it tells the
/// receiving end which key lies where before it spends a byte of it. The receiving end fetches its copies by their
/// identifiers. What is told is no secret; it travels as the two roles have it, and who alters it does no more than cut
/// the line, because records are tagged with the keys themselves.
///
/// Keys are in the memory of the two processes alone. A receiving end that was restarted asks what was announced to the
/// process before it, and fetches it if the key server gives it once more; what it does not is lost, and the sender
/// moves on to newer key. A sending end that was restarted says with its announcements that it is another life, and
/// what the receiving end has of the last one is given up.
///
/// Key that a server gives once more is never laid again, as far back as `KnownKeys` goes.
///
/// `@unchecked Sendable`: `condition` guards `streams`, `known` and `batches`; one caller at a time fetches for a stream.
public final class ForeignKeySource: PadSource, @unchecked Sendable {
    /// Which keys lie from an offset of a stream on.
    public struct Announcement: Codable, Sendable, Equatable {
        public struct Key: Codable, Sendable, Equatable {
            public var identifier: String
            /// Bytes.
            public var length: Int
        }
        public var stream: PadStream
        /// The life of the sending end's process, chosen at random.
        public var run: UUID
        public var offset: UInt64
        public var keys: [Key]

        /// One past the last of the keys.
        var end: UInt64 { keys.reduce(offset) { $0 + UInt64($1.length) } }
    }

    /// Brings an announcement to the receiving end; it throws when that does not have it.
    public typealias Announce = @Sendable (Announcement) throws -> Void

    /// Asks the sending end for its `announcements` of a stream from an offset on.
    public typealias Recall = @Sendable (_ stream: PadStream, _ offset: UInt64) throws -> [Announcement]

    private struct Stream {
        var pieces = KeyPieces()
        /// One past the newest key.
        var end: UInt64 = 0
        var isFetching = false
        /// Of a sender: the newest announcements. Of a receiver: none.
        var announced: [Announcement] = []
        /// Of a receiver: the life of the sending end that announced last.
        var run: UUID?
        /// Of a receiver: the announcement whose keys were laid last.
        var laid: Announcement?
        /// Of a receiver: whether it knows what the sending end had announced before this process began, whether a thread
        /// is at work to learn it, and why the last one could not.
        var isRecalled = false
        var isRecalling = false
        var recallFailure: (any Error)?
    }

    /// Keys that a sending end can announce once more.
    private static let mostRecalled = 1 << 14
    /// Bytes of a stream that may wait for their records at the receiving end.
    private static let mostOnHand: UInt64 = 256 << 20

    private let sending: PadStream
    private let receiving: PadStream
    private let peerSAEID: String
    private let client: ETSI014Client
    private let announce: Announce
    private let recall: Recall
    private let run = UUID()
    private let condition = NSCondition()
    private var streams: [PadStream: Stream] = [:]
    private var known = KnownKeys()
    private var batches: KeyBatches?

    /// - Parameters:
    ///   - role: the role whose end this is.
    ///   - peer: the role at the other end; nothing that is announced of other streams is taken.
    ///   - pool: of the two streams.
    ///   - peerSAEID: when it is not the peer's name.
    ///   - client: a client of the key server at this end.
    public init(
        role: String, peer: String, pool: String, peerSAEID: String? = nil, client: ETSI014Client,
        announce: @escaping Announce, recall: @escaping Recall
    ) {
        sending = PadStream(pool: pool, sender: role, receiver: peer)
        receiving = PadStream(pool: pool, sender: peer, receiver: role)
        self.peerSAEID = peerSAEID ?? peer
        self.client = client
        self.announce = announce
        self.recall = recall
    }

    public func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let limit = Date(timeIntervalSinceNow: timeout)
        if stream == sending { try makeSure(stream, offset, offset + UInt64(destination.count), limit) }
        try condition.withLock {
            while true {
                if streams[stream]?.pieces.take(at: offset, into: destination) == true { return }
                guard offset + UInt64(destination.count) > streams[stream]?.end ?? 0 else {
                    throw Failure(
                        .data, at: "\(stream)", "the key at offset \(offset) was handed out before, or lost",
                        remedy: "connect again: the sender moves on to newer key")
                }
                guard condition.wait(until: limit) else {
                    throw Failure(
                        .transient, at: "\(stream)", "insufficient key: nothing is announced for offset \(offset)",
                        remedy: "look whether the sender's announcements arrive")
                }
            }
        }
    }

    public func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
        if stream == receiving { try awaitRecall(stream, from: offset, Date(timeIntervalSinceNow: timeout)) }
        return condition.withLock {
            guard let state = streams[stream] else { return offset }
            return state.pieces.firstAvailable(from: offset) ?? max(offset, state.end)
        }
    }

    public func made(_ stream: PadStream, timeout: Double) throws -> UInt64? {
        // A sender that was restarted does not know how far its process before came.
        stream == sending ? condition.withLock { streams[stream]?.end } : nil
    }

    /// Some key servers give a key more than once.
    public func mayGiveAgain(_ stream: PadStream) -> Bool { true }

    public func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {
        condition.withLock { _ = streams[stream]?.pieces.discard(below: offset) }
    }

    // MARK: - The sending end

    /// Fetches keys until there are some up to `end`. What came until the limit stays on hand.
    private func makeSure(_ stream: PadStream, _ offset: UInt64, _ end: UInt64, _ limit: Date) throws {
        let start = try condition.withLock { () -> UInt64? in
            try awaitFetching(stream, limit)
            let made = streams[stream, default: Stream()].end
            if made >= end { return nil }
            streams[stream, default: Stream()].isFetching = true
            // Numbers below the offset were spent before this process began.
            return made == 0 ? offset : max(made, offset)
        }
        guard var at = start else { return }
        defer {
            condition.withLock {
                streams[stream]?.isFetching = false
                condition.broadcast()
            }
        }
        try knownBatches().forEach(bytes: Int(end - at)) { number, bits in
            let keys = try client.newKeys(slave: peerSAEID, number: number, bits: bits)
            guard condition.withLock({ known.add(keys.identifiers) }) else {
                client.recycle(keys)
                throw Failure(
                    .data, at: "\(stream)", "the key server gives a key that it gave before, or one without a UUID",
                    remedy: "take no key from this server: key that is used twice protects nothing")
            }
            let list = zip(keys.identifiers, keys.lengths).map { Announcement.Key(identifier: $0, length: $1) }
            let announcement = Announcement(stream: stream, run: run, offset: at, keys: list)
            do {
                try announce(announcement)
            } catch {
                client.recycle(keys)
                // The receiving end may have it all the same: other keys never get these offsets. What lies before is
                // no longer followed by anything.
                condition.withLock {
                    streams[stream]?.end = announcement.end
                    _ = streams[stream]?.pieces.discard(below: announcement.end)
                }
                throw error
            }
            at = append(keys, to: stream, at: at)
            remember(announcement)
            guard at >= end || limit.timeIntervalSinceNow > 0 else {
                throw Failure(
                    .transient, at: "\(stream)", "insufficient key: the key server has not given all of it in time",
                    remedy: "try again; look at the server's load and at how much key it gives in a request")
            }
        }
    }

    private func remember(_ announcement: Announcement) {
        condition.withLock {
            var list = streams[announcement.stream]?.announced ?? []
            list.append(announcement)
            var count = list.reduce(0) { $0 + $1.keys.count }
            while count > Self.mostRecalled, list.count > 1 { count -= list.removeFirst().keys.count }
            streams[announcement.stream]?.announced = list
        }
    }

    /// What this end, the sending one, announced of keys at and above an offset, as far as it remembers: the answer to
    /// a receiving end that was restarted.
    ///
    /// - Throws: `Failure(.data)` for a stream that this end does not send.
    public func announcements(of stream: PadStream, from offset: UInt64) throws -> [Announcement] {
        guard stream == sending else { throw wrong(sending) }
        return condition.withLock { streams[stream]?.announced.filter { $0.end > offset } ?? [] }
    }

    private func knownBatches() throws -> KeyBatches {
        if let known = condition.withLock({ batches }) { return known }
        let asked = try KeyBatches(client.status(slave: peerSAEID))
        condition.withLock { batches = asked }
        return asked
    }

    /// Lays keys along the stream and returns where they end.
    private func append(_ keys: KeyContainer, to stream: PadStream, at offset: UInt64) -> UInt64 {
        let count = keys.lengths.reduce(0, +)
        let bytes = keys.bytes.withUnsafeBytes { SecureBytes(copying: $0.slice(0..<count)) }
        client.recycle(keys)
        return condition.withLock {
            streams[stream, default: Stream()].pieces.append(bytes, at: offset)
            streams[stream, default: Stream()].end = offset + UInt64(count)
            condition.broadcast()
            return offset + UInt64(count)
        }
    }

    // MARK: - The receiving end

    /// Takes an announcement of the sending end: fetches the keys and lays them along the stream. One that is told again,
    /// because its answer did not arrive, changes nothing.
    ///
    /// - Throws: `Failure(.data)` for an announcement that cannot be; `.transient` when there is as much key on hand as
    ///   may be; `.data`, `.transient` or `.notAuthorised` as the key server answers.
    public func accept(_ announcement: Announcement) throws {
        try check(announcement)
        let stream = announcement.stream
        try fetching(stream) {
            // Whoever hears the sending end has nothing to ask it for.
            setRecalled(stream)
            if condition.withLock({ streams[stream]?.laid == announcement }) { return }
            try lay(announcement) { throw $0 }
        }
    }

    private func setRecalled(_ stream: PadStream) {
        condition.withLock {
            streams[stream]?.isRecalled = true
            condition.broadcast()
        }
    }

    /// Waits until this end knows what was announced to the process before. A thread of its own learns it: what a key
    /// server gives once must not be lost because a caller has no more time.
    private func awaitRecall(_ stream: PadStream, from offset: UInt64, _ limit: Date) throws {
        try condition.withLock {
            if streams[stream]?.isRecalled == true { return }
            if streams[stream]?.isRecalling != true {
                streams[stream, default: Stream()].isRecalling = true
                detachThread("dsgd-recall") { [self] in
                    var failure: (any Error)?
                    do { try recallKeys(stream, from: offset) } catch { failure = error }
                    condition.withLock {
                        streams[stream]?.isRecalling = false
                        streams[stream]?.recallFailure = failure
                        condition.broadcast()
                    }
                }
            }
            while streams[stream]?.isRecalled != true {
                if streams[stream]?.isRecalling != true, let error = streams[stream]?.recallFailure { throw error }
                guard condition.wait(until: limit) else {
                    throw Failure(
                        .transient, at: "\(stream)", "keys that were announced before are still being fetched",
                        remedy: "try again; look whether the peer and the key server answer")
                }
            }
        }
    }

    /// Once in the life of a receiving end: learns what was announced to the process before, and takes what the key
    /// server still gives of it.
    private func recallKeys(_ stream: PadStream, from offset: UInt64) throws {
        try fetching(stream) {
            if condition.withLock({ streams[stream]?.isRecalled == true }) { return }
            var answers = true
            for announcement in try recall(stream, offset) {
                try check(announcement)
                // Most servers give a key once, and the process before had it. One that does not answer is not waited for
                // again and again: what is left is lost.
                try lay(announcement, asking: { answers }) { failure in
                    if failure.kind == .transient || failure.kind == .peerUnavailable { answers = false }
                }
            }
            setRecalled(stream)
        }
    }

    /// Fetches the keys of an announcement. Those that cannot be had, or are not asked for, are lost, unless `lost` throws.
    private func lay(
        _ announcement: Announcement, asking: () -> Bool = { true }, lost: (Failure) throws -> Void
    ) throws {
        let stream = announcement.stream
        try begin(announcement)
        var at = announcement.offset
        var left = announcement.keys[...]
        for identifiers in KeyBatches.slices(announcement.keys.map(\.identifier)) {
            let wanted = left.prefix(identifiers.count)
            func pass() {
                at += wanted.reduce(0) { $0 + UInt64($1.length) }
                condition.withLock { streams[stream]?.end = at }
            }
            defer { left = left.dropFirst(identifiers.count) }
            guard asking() else {
                pass()
                continue
            }
            do {
                let keys = try client.keys(identifiers, master: peerSAEID)
                guard keys.lengths == wanted.map(\.length) else {
                    client.recycle(keys)
                    throw wrong(stream)
                }
                at = append(keys, to: stream, at: at)
            } catch let failure as Failure {
                try lost(failure)
                pass()
            }
        }
        condition.withLock { streams[stream]?.laid = announcement }
    }

    private func wrong(_ stream: PadStream) -> Failure {
        Failure(.data, at: "\(stream)", "an announcement of keys that cannot be", remedy: "look at who announces keys")
    }

    private func check(_ announcement: Announcement) throws {
        guard announcement.stream == receiving, !announcement.keys.isEmpty, announcement.keys.count <= 1 << 16,
            announcement.keys.allSatisfy({ $0.length > 0 && $0.length <= 1 << 27 }), announcement.offset < 1 << 62
        else { throw wrong(receiving) }
    }

    /// One caller at a time fetches for a stream.
    private func fetching(_ stream: PadStream, _ body: () throws -> Void) throws {
        try condition.withLock {
            try awaitFetching(stream, Date(timeIntervalSinceNow: Self.patience))
            streams[stream, default: Stream()].isFetching = true
        }
        defer {
            condition.withLock {
                streams[stream]?.isFetching = false
                condition.broadcast()
            }
        }
        try body()
    }

    /// Under the lock: waits until nobody fetches for a stream. What the caller allows is for link key; a key server that
    /// is at work has as long again as its client waits for it.
    private func awaitFetching(_ stream: PadStream, _ limit: Date) throws {
        while streams[stream]?.isFetching == true {
            guard condition.wait(until: limit + client.timeout) else {
                throw Failure(
                    .transient, at: "\(stream)", "the key server is busy with other keys of this stream",
                    remedy: "look whether it answers, and try again")
            }
        }
    }

    /// Refuses what lies behind, unless the sending end has begun anew: then all that its last life announced is
    /// given up, for it has lost its own copies. Refuses more than may be on hand, and keys that were laid before.
    private func begin(_ announcement: Announcement) throws {
        try condition.withLock {
            let stream = announcement.stream
            if streams[stream]?.run != announcement.run {
                _ = streams[stream]?.pieces.discard(below: UInt64.max)
                streams[stream]?.pieces = KeyPieces()
                streams[stream]?.end = 0
                streams[stream]?.run = announcement.run
            }
            guard announcement.offset >= streams[stream]?.end ?? 0 else { throw wrong(stream) }
            let onHand = streams[stream]?.pieces.onHand ?? 0
            guard onHand + (announcement.end - announcement.offset) <= Self.mostOnHand else {
                throw Failure(
                    .transient, at: "\(stream)", "\(onHand) bytes of key wait for their records already",
                    remedy: "look whether the sender's records arrive")
            }
            guard known.add(announcement.keys.map(\.identifier)) else { throw wrong(stream) }
        }
    }
}
