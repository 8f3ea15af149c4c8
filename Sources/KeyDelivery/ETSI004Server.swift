import Channel
import Diagnostics
import Foundation
import Kernels
import KeyNetwork
import Metering
import OneTimePad

/// ETSI GS QKD 004 V2.1.1 at a node: key streams with an index, for bulk pad, over mutual TLS.
///
/// A key stream lies in the stream of key from the application that opened it to its peer: chunk `index` begins `index`
/// times the chunk size behind the place that the key stream's identifier names. The opener's GET_KEY makes the key and
/// brings it to the peer's node, so the peer's GET_KEY of the same index finds it there. Indices ascend; a chunk is
/// handed out once at each end.
///
/// `@unchecked Sendable`: `lock` guards `open`.
public final class ETSI004Server: @unchecked Sendable {
    public static let largestChunk = 8 << 20
    /// How far beyond the next chunk an index may lie; what is passed over is given up.
    private static let mostSkipped: UInt64 = 64 << 20
    /// The agents take no key that lies further than this ahead of the last.
    private static let farthest: UInt64 = 1 << 34

    private let entity: KeyManagementEntity
    private let listener: TLSListener
    private var limits: DoorLimits { listener.limits }

    /// An open end of a key stream.
    private final class Session: @unchecked Sendable {
        let identifier: KeyIdentifier
        let stream: PadStream
        let caller: String
        let quality: ETSI004QoS
        /// Of the opener: the lowest offset that was not asked for. The connection's thread alone changes it.
        var next: UInt64
        /// Of the opener: how far key was made, and when.
        var ages: AgeMarks

        init(
            _ identifier: KeyIdentifier, _ stream: PadStream, _ caller: String, _ quality: ETSI004QoS, lifetime: Double
        ) {
            self.identifier = identifier
            self.stream = stream
            self.caller = caller
            self.quality = quality
            next = identifier.offset
            ages = AgeMarks(limit: lifetime / 4)
        }
    }

    private struct Key: Hashable {
        var stream: PadStream
        var caller: String
    }
    private let lock = NSLock()
    private var open: [Key: Session] = [:]

    /// The actual port.
    public var port: UInt16 { listener.port }

    /// Answers after `start`.
    public init(entity: KeyManagementEntity, _ listener: TLSListener) {
        self.entity = entity
        self.listener = listener
    }

    public func start() { listener.start { [self] in try serve($0) } }

    public func stop() { listener.stop() }

    // MARK: - A connection

    private func serve(_ connection: TLSConnection) throws {
        let caller = entity.application(named: connection.peerNames)
        var sessions: [String: Session] = [:]
        // What a connection opened is closed with it: the place in the stream is not handed out twice.
        defer { for session in sessions.values { end(session) } }
        var header = [UInt8](repeating: 0, count: ETSI004Frame.headerSize)
        while true {
            // A stream may rest longer than a request of 014, but not for ever.
            guard try header.withUnsafeMutableBytes({
                try connection.readWhole($0, Deadline(in: 20 * limits.request), mayEnd: true)
            }) else { return }
            let count = header.withUnsafeBytes { Int($0.load(bigEndian: UInt32.self, at: 4)) }
            guard header[0] == ETSI004Frame.version[0], count <= ETSI004Frame.longestRequest,
                let service = ETSI004Frame.Service(rawValue: header[3])
            else {
                throw Failure(
                    .data, at: connection.socket.remote, "no message of ETSI GS QKD 004", remedy: "check the client")
            }
            var payload = [UInt8](repeating: 0, count: count)
            _ = try payload.withUnsafeMutableBytes {
                try connection.readWhole($0, Deadline(in: limits.request), mayEnd: false)
            }
            switch service {
            case .openConnect:
                try answer(connection, service, openConnect(payload, caller, &sessions))
            case .getKey:
                try getKey(connection, payload, sessions)
            case .close:
                let session = identifier(payload).flatMap { sessions.removeValue(forKey: $0.text) }
                if let session { end(session) }
                try answer(connection, service, Self.bytes(session == nil ? .streamNotConnected : .successful))
            }
        }
    }

    private func answer(_ connection: TLSConnection, _ service: ETSI004Frame.Service, _ payload: [UInt8]) throws {
        try (ETSI004Frame.header(service.answer, payload.count) + payload).withUnsafeBytes {
            try connection.write($0, Deadline(in: limits.response))
        }
    }

    private static func bytes(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    private static func bytes(_ status: ETSI004Status) -> [UInt8] { bytes(status.rawValue) }

    private func identifier(_ payload: [UInt8]) -> KeyIdentifier? {
        payload.count >= 16 ? payload.withUnsafeBytes { KeyIdentifier(Self.text($0.slice(0..<16))) } : nil
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        UUID(uuid: bytes.loadUnaligned(as: uuid_t.self)).uuidString
    }

    private func end(_ session: Session) {
        lock.withLock { _ = open.removeValue(forKey: Key(stream: session.stream, caller: session.caller)) }
    }

    // MARK: - OPEN_CONNECT

    private func openConnect(_ payload: [UInt8], _ caller: String?, _ sessions: inout [String: Session]) -> [UInt8] {
        let parts = payload.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[2].count == ETSI004QoS.size + 16, let caller,
            Self.application(parts[0]) == caller, let peer = Self.application(parts[1]), peer != caller,
            entity.topology.roles.contains(where: { $0.name == peer })
        else { return Self.bytes(.noConnection) }
        let rest = Array(parts[2])
        let (wanted, given) = rest.withUnsafeBytes { bytes in
            (ETSI004QoS(decoding: bytes), Self.text(bytes.slice(ETSI004QoS.size..<ETSI004QoS.size + 16)))
        }
        guard wanted.timeout > 0 else { return Self.bytes(.timeout) }
        do {
            let proposal = try self.proposal(wanted, caller, peer)
            guard proposal == wanted else { return openAnswer(.qualityNotMet, proposal, nil) }
            let session: Session?
            let isNew = given == UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).uuidString
            if isNew {
                session = try begin(caller, peer, wanted)
            } else {
                session = try join(given, caller, peer, wanted)
                if let session, session.identifier.length != wanted.keyChunkSize {
                    var proposal = wanted
                    proposal.keyChunkSize = session.identifier.length
                    return openAnswer(.qualityNotMet, proposal, nil)
                }
                if session == nil { return Self.bytes(.noConnection) }
            }
            guard let session, lock.withLock({ admit(session) }) else { return Self.bytes(.streamInUse) }
            sessions[session.identifier.text] = session
            // A fresh identifier cannot be at the peer yet; the one that was given comes from it.
            return openAnswer(isNew ? .peerNotConnected : .successful, wanted, session.identifier)
        } catch {
            listener.log("\(error)")
            return Self.bytes(.noConnection)
        }
    }

    /// Under the lock.
    private func admit(_ session: Session) -> Bool {
        let key = Key(stream: session.stream, caller: session.caller)
        guard open[key] == nil else { return false }
        open[key] = session
        return true
    }

    private func openAnswer(_ status: ETSI004Status, _ quality: ETSI004QoS, _ identifier: KeyIdentifier?) -> [UInt8] {
        var answer = Self.bytes(status) + [UInt8](repeating: 0, count: ETSI004QoS.size)
        answer.withUnsafeMutableBytes { quality.encode(into: $0.slice(4..<4 + ETSI004QoS.size)) }
        let uuid = identifier.flatMap { UUID(uuidString: $0.text) }?.uuid
        return answer + (uuid.map { withUnsafeBytes(of: $0) { Array($0) } } ?? [UInt8](repeating: 0, count: 16))
    }

    /// The application that a URI such as `sae://alice` names; nil when it is no URI.
    private static func application(_ bytes: ArraySlice<UInt8>) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let mark = text.range(of: "://"), mark.lowerBound > text.startIndex else { return nil }
        var name = text[mark.upperBound...].prefix { !"/?#".contains($0) }
        if let colon = name.lastIndex(of: ":"), UInt16(name[name.index(after: colon)...]) != nil {
            name = name[..<colon]
        }
        return name.isEmpty ? nil : String(name).removingPercentEncoding
    }

    /// What the node can give: what was wanted, when it can give that.
    private func proposal(_ wanted: ETSI004QoS, _ caller: String, _ peer: String) throws -> ETSI004QoS {
        var given = wanted
        given.keyChunkSize = min(max(wanted.keyChunkSize, 1), Self.largestChunk)
        given.ttl = min(wanted.ttl, Int(entity.keyLifetime))
        if !["", "application/json"].contains(wanted.metadataMimetype) { given.metadataMimetype = "application/json" }
        let (topology, node) = (entity.topology, entity.node)
        if try topology.home(of: peer).name != node {
            // One direction has half of a link's rate.
            let best = topology.links.filter { $0.ends.contains(node) }.map { $0.rate / 2 }.max() ?? 0
            given.minBps = min(wanted.minBps, Int(min(best, Double(UInt32.max))))
        }
        return given
    }

    /// A new key stream, which begins where the key from this application to the peer stands.
    private func begin(_ caller: String, _ peer: String, _ quality: ETSI004QoS) throws -> Session? {
        let stream = PadStream(pool: entity.topology.pool004, sender: caller, receiver: peer)
        // Open streams have made key that is not handed out yet.
        if lock.withLock({ open[Key(stream: stream, caller: caller)] != nil }) { return nil }
        let offset = try entity.client(caller).made(stream) ?? 0
        guard offset <= KeyIdentifier.highestOffset else { return nil }
        let identifier = KeyIdentifier(
            pool: stream.pool, master: caller, slave: peer, offset: offset, length: quality.keyChunkSize)
        return Session(identifier, stream, caller, quality, lifetime: entity.keyLifetime)
    }

    /// The peer's end of a key stream that the other application opened, or the opener's own end once more.
    private func join(
        _ text: String, _ caller: String, _ peer: String, _ quality: ETSI004QoS
    ) throws -> Session? {
        guard let identifier = KeyIdentifier(text) else { return nil }
        for (sender, receiver) in [(peer, caller), (caller, peer)] {
            let stream = PadStream(pool: entity.topology.pool004, sender: sender, receiver: receiver)
            if identifier.belongs(pool: stream.pool, master: sender, slave: receiver) {
                // Anybody can write an identifier, and the key up to a place that was made up would be given up.
                guard try identifier.offset <= furthestBeginning(stream, caller) else { return nil }
                return Session(identifier, stream, caller, quality, lifetime: entity.keyLifetime)
            }
        }
        return nil
    }

    /// The highest offset at which a key stream can have begun.
    private func furthestBeginning(_ stream: PadStream, _ caller: String) throws -> UInt64 {
        let client = entity.client(caller)
        if caller == stream.sender { return try client.made(stream) ?? 0 }
        // The opener's node may have left numbers out of which this one knows nothing.
        let entry = try client.status().ledger.first {
            $0.pool == stream.pool && $0.sender == stream.sender && $0.receiver == caller && $0.side == .receiver
        }
        return (entry?.supplied ?? 0) + Self.farthest
    }

    // MARK: - GET_KEY

    private func getKey(_ connection: TLSConnection, _ payload: [UInt8], _ sessions: [String: Session]) throws {
        guard payload.count == 24, let session = identifier(payload).flatMap({ sessions[$0.text] }) else {
            return try answer(connection, .getKey, Self.bytes(.streamNotConnected))
        }
        let (index, room) = payload.withUnsafeBytes {
            (UInt64($0.load(bigEndian: UInt32.self, at: 16)), Int($0.load(bigEndian: UInt32.self, at: 20)))
        }
        let length = session.identifier.length
        let offset = session.identifier.offset + index * UInt64(length)
        let metadata = self.metadata(session, offset)
        guard metadata.count <= room else {
            return try answer(
                connection, .getKey, Self.bytes(.metadataSizeInsufficient) + Self.bytes(UInt32(metadata.count)))
        }
        let key = entity.pool.borrow(length)
        defer { entity.pool.giveBack(key, used: length) }
        let status = take(session, offset, key, length)
        guard status == .successful else { return try answer(connection, .getKey, Self.bytes(status)) }
        let deadline = Deadline(in: limits.response)
        let head = Self.bytes(.successful) + Self.bytes(UInt32(index)) + Self.bytes(UInt32(length))
        let tail = Self.bytes(UInt32(metadata.count)) + metadata
        let header = ETSI004Frame.header(ETSI004Frame.Service.getKey.answer, head.count + length + tail.count)
        try (header + head).withUnsafeBytes { try connection.write($0, deadline) }
        try key.withUnsafeBytes { try connection.write($0.slice(0..<length), deadline) }
        try tail.withUnsafeBytes { try connection.write($0, deadline) }
    }

    private func metadata(_ session: Session, _ offset: UInt64) -> [UInt8] {
        guard session.quality.metadataMimetype == "application/json" else { return [] }
        let pair = [session.stream.sender, session.stream.receiver]
        guard let names = try? JSONEncoder().encode(pair) else { return [] }
        return Array("{\"offset\":\(offset),\"applications\":".utf8) + Array(names) + Array("}".utf8)
    }

    private func take(_ session: Session, _ offset: UInt64, _ key: SecureBytes, _ length: Int) -> ETSI004Status {
        let stream = session.stream
        let client = entity.client(session.caller)
        let start = monotonicSeconds()
        // However long an application would wait: others need the door too.
        let timeout = min(Double(session.quality.timeout) / 1000, 30)
        do {
            if session.caller == stream.sender {
                guard offset >= session.next, offset <= session.next + Self.mostSkipped else { return .insufficientKey }
                session.ages.note(try client.made(stream) ?? 0, at: start)
                let stale = session.ages.end(olderThan: entity.keyLifetime / 4, at: start) ?? 0
                session.next = max(session.next, stale)
                // Key that was made ahead and grew old may be gone at the peer: the next index has newer key.
                guard offset >= session.next else { return .insufficientKey }
                session.next = offset + UInt64(length)
            }
            try key.withUnsafeMutableBytes {
                try client.take(stream, offset: offset, into: $0.slice(0..<length), timeout: timeout)
            }
            return .successful
        } catch let failure as Failure where failure.kind == .peerUnavailable {
            listener.log("\(failure)")
            return .noConnection
        } catch {
            listener.log("\(error)")
            return monotonicSeconds() - start >= timeout ? .timeout : .insufficientKey
        }
    }
}
