import Channel
import Diagnostics
import Foundation
import Kernels
public import OneTimePad

/// A role's pad from key servers that are not of this network: any that speak ETSI GS QKD 014.
///
/// The sending end takes new keys as their master and lays them one after the other along the stream; it tells the
/// receiving end which key lies where before it spends a byte of it. The receiving end fetches its copies by their
/// identifiers. What is told is no secret; it travels as the two roles have it, and who alters it does no more than cut
/// the line, because records are tagged with the keys themselves.
///
/// `@unchecked Sendable`: `condition` guards `streams` and `batches`; one caller at a time fetches for a stream.
public final class ForeignKeySource: PadSource, @unchecked Sendable {
    /// Which keys lie from an offset of a stream on.
    public struct Announcement: Codable, Sendable, Equatable {
        public struct Key: Codable, Sendable, Equatable {
            public var identifier: String
            /// Bytes.
            public var length: Int
        }
        public var stream: PadStream
        public var offset: UInt64
        public var keys: [Key]
    }

    /// Brings an announcement to the receiving end; it throws when that does not have it.
    public typealias Announce = @Sendable (Announcement) throws -> Void

    private struct Stream {
        var pieces = KeyPieces()
        /// One past the newest key.
        var end: UInt64 = 0
        var isFetching = false
    }

    private let role: String
    private let client: ETSI014Client
    private let announce: Announce
    private let condition = NSCondition()
    private var streams: [PadStream: Stream] = [:]
    private var batches: [String: KeyBatches] = [:]

    /// - Parameters:
    ///   - role: the role whose end this is; its name is its SAE ID, and so are those of its peers.
    ///   - client: a client of the key server at this end.
    public init(role: String, client: ETSI014Client, announce: @escaping Announce) {
        self.role = role
        self.client = client
        self.announce = announce
    }

    public func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        if role == stream.sender { try makeSure(stream, offset, offset + UInt64(destination.count)) }
        let limit = Date(timeIntervalSinceNow: timeout)
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
        condition.withLock {
            guard let state = streams[stream] else { return offset }
            return state.pieces.firstAvailable(from: offset) ?? max(offset, state.end)
        }
    }

    public func made(_ stream: PadStream, timeout: Double) throws -> UInt64? {
        role == stream.sender ? condition.withLock { streams[stream]?.end ?? 0 } : nil
    }

    public func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {
        condition.withLock { _ = streams[stream]?.pieces.discard(below: offset) }
    }

    // MARK: - The sending end

    /// Fetches keys until there are some up to `end`.
    private func makeSure(_ stream: PadStream, _ offset: UInt64, _ end: UInt64) throws {
        let start = condition.withLock { () -> UInt64? in
            while streams[stream]?.isFetching == true { condition.wait() }
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
        try batches(stream.receiver).forEach(bytes: Int(end - at)) { number, bits in
            let keys = try client.newKeys(slave: stream.receiver, number: number, bits: bits)
            let list = zip(keys.identifiers, keys.lengths).map { Announcement.Key(identifier: $0, length: $1) }
            do {
                try announce(Announcement(stream: stream, offset: at, keys: list))
            } catch {
                client.recycle(keys)
                throw error
            }
            at = append(keys, to: stream, at: at)
        }
    }

    private func batches(_ slave: String) throws -> KeyBatches {
        if let known = condition.withLock({ batches[slave] }) { return known }
        let asked = try KeyBatches(client.status(slave: slave))
        condition.withLock { batches[slave] = asked }
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

    /// Takes an announcement of the sending end: fetches the keys and lays them along the stream.
    ///
    /// - Throws: `Failure(.data)` for an announcement that cannot be; `.data`, `.transient` or `.notAuthorised` as the
    ///   key server answers.
    public func accept(_ announcement: Announcement) throws {
        let stream = announcement.stream
        let wrong = Failure(
            .data, at: "\(stream)", "an announcement of keys that cannot be", remedy: "look at who announces keys")
        guard stream.receiver == role, stream.sender != role, !announcement.keys.isEmpty,
            announcement.keys.count <= 1 << 16,
            announcement.keys.allSatisfy({
                $0.length > 0 && $0.length <= 1 << 27 && UUID(uuidString: $0.identifier) != nil
            }),
            announcement.offset < 1 << 62
        else { throw wrong }
        let isNew = condition.withLock { () -> Bool in
            while streams[stream]?.isFetching == true { condition.wait() }
            guard announcement.offset >= streams[stream, default: Stream()].end else { return false }
            streams[stream, default: Stream()].isFetching = true
            return true
        }
        guard isNew else { throw wrong }
        defer {
            condition.withLock {
                streams[stream]?.isFetching = false
                condition.broadcast()
            }
        }
        var at = announcement.offset
        var left = announcement.keys[...]
        for identifiers in KeyBatches.slices(announcement.keys.map(\.identifier)) {
            let keys = try client.keys(identifiers, master: stream.sender)
            guard keys.lengths == left.prefix(identifiers.count).map(\.length) else {
                client.recycle(keys)
                throw wrong
            }
            left = left.dropFirst(identifiers.count)
            at = append(keys, to: stream, at: at)
        }
    }
}
