import Channel
import Diagnostics
import Foundation
public import KeyNetwork
public import Kernels
import Metering
import OneTimePad
import Synchronization

/// Keys that lie one after the other in secret memory, with their identifiers.
public struct KeyContainer: Sendable {
    /// Identifiers in the order of the keys.
    public let identifiers: [String]
    /// Bytes of each key.
    public let lengths: [Int]
    /// The keys; the memory may be longer than they are.
    public let bytes: SecureBytes

    public init(identifiers: [String], lengths: [Int], bytes: SecureBytes) {
        precondition(identifiers.count == lengths.count && lengths.reduce(0, +) <= bytes.count)
        self.identifiers = identifiers
        self.lengths = lengths
        self.bytes = bytes
    }

    /// Calls the body with each key.
    public func forEach(_ body: (_ identifier: String, _ key: UnsafeRawBufferPointer) throws -> Void) rethrows {
        try bytes.withUnsafeBytes { bytes in
            var at = 0
            for (identifier, length) in zip(identifiers, lengths) {
                try body(identifier, bytes.slice(at..<at + length))
                at += length
            }
        }
    }
}

/// What a key management entity refuses, by the three codes that ETSI GS QKD 014 has.
public enum KeyRefusal: Error, Equatable, Sendable {
    /// 400, with the standard's message where it has one.
    case badRequest(String)
    /// 401: the SAE may not have this.
    case unauthorised
    /// 503: no key at the moment, or the other node is out of reach.
    case unavailable(String)
}

/// The KME of a node: gives key of its key supply agent to applications (SAEs) by identifier.
///
/// A key is a stretch of the stream from its master to its slave SAE, in a pool of its own beside the roles' pool. The
/// agents make the key, relay it to the slave's node before the master has it, and erase each side's copy as it is
/// handed out. What nobody fetches is erased after its lifetime and booked as expired in the node's ledger; that goes
/// for the streams of ETSI GS QKD 004 too.
///
/// `@unchecked Sendable`: `lock` guards `clients`, `lines` and `ages`; each `Line` has a lock of its own; `condition`
/// guards `stopped`.
public final class KeyManagementEntity: @unchecked Sendable {
    /// Sizes in bits.
    public static let defaultKeySize = 256
    public static let smallestKeySize = 8
    public static let largestKeySize = 1 << 25
    public static let mostKeysPerRequest = 128
    /// Bytes of key in one answer, 128 Mbit.
    public static let mostBytesPerRequest = 16 << 20
    /// Bytes that may wait for a slave: the agents' limit for a stream.
    private static let mostBytesWaiting: UInt64 = 256 << 20
    /// Seconds that a request waits for key to be made and relayed.
    private static let patience = 5.0

    public let node: String
    public let topology: NetworkTopology
    /// Seconds that a key waits for its slave.
    public let keyLifetime: Double
    private let socketPath: String
    let pool = SecretMemoryPool()

    /// The sending end of a stream. Key at offset `next` and above was not handed out; nil when only the agent knows.
    private final class Line: @unchecked Sendable {
        let lock = NSLock()
        var next: UInt64?
        var ages: AgeMarks
        /// When the agent was asked last how far the stream is made.
        var askedAt = -Double.infinity

        init(limit: Double) { ages = AgeMarks(limit: limit) }
    }

    private let lock = NSLock()
    private var clients: [String: KeySupplyClient] = [:]
    private var lines: [PadStream: Line] = [:]
    private var ages: [PadStream: AgeMarks] = [:]
    private let condition = NSCondition()
    private var stopped = false
    private let log: @Sendable (String) -> Void

    /// - Parameter node: the node whose key supply agent, on this machine, supplies the key.
    public init(
        node: String, topology: NetworkTopology, keyLifetime: Double = KeyDoors.defaultKeyLifetime,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws {
        self.node = node
        self.topology = topology
        self.keyLifetime = keyLifetime
        self.log = log
        socketPath = try topology.node(node).supplySocket
    }

    /// Starts the thread that expires keys.
    public func start() {
        detachThread("dsgd-kme-expiry") { [weak self] in
            while let self, !self.waitOrStop(min(10, self.keyLifetime / 16)) { self.expire() }
        }
    }

    public func stop() {
        condition.withLock {
            stopped = true
            condition.broadcast()
        }
    }

    private func waitOrStop(_ seconds: Double) -> Bool {
        condition.withLock {
            if !stopped { _ = condition.wait(until: Date(timeIntervalSinceNow: seconds)) }
            return stopped
        }
    }

    // MARK: - Names

    /// The SAE that a certificate's names stand for: the one role among them whose node this is.
    func application(named names: [String]) -> String? {
        let known = Set(names).filter { name in topology.roles.contains { $0.name == name && $0.node == node } }
        return known.count == 1 ? known.first : nil
    }

    /// Refuses a pair that cannot share key.
    func checkPair(master: String, slave: String, other: String) throws {
        guard topology.roles.contains(where: { $0.name == other }) else {
            throw KeyRefusal.badRequest("the SAE ID in the URL is not known to this KME")
        }
        guard master != slave else {
            throw KeyRefusal.badRequest("the SAE ID in the URL is that of the caller")
        }
    }

    private func stream(_ master: String, _ slave: String) -> PadStream {
        PadStream(pool: topology.pool014, sender: master, receiver: slave)
    }

    func client(_ role: String) -> KeySupplyClient {
        lock.withLock {
            if let client = clients[role] { return client }
            let client = KeySupplyClient(socketPath: socketPath, role: role)
            clients[role] = client
            return client
        }
    }

    /// Wipes keys that were sent and keeps their memory for others.
    func recycle(_ keys: KeyContainer) { pool.giveBack(keys.bytes, used: keys.lengths.reduce(0, +)) }

    // MARK: - Get status

    public func status(master: String, slave: String) throws -> ETSI014Status {
        try checkPair(master: master, slave: slave, other: slave)
        let target: NetworkTopology.Node
        let status: KeyNodeStatus
        do {
            target = try topology.home(of: slave)
            status = try client(master).status()
        } catch {
            throw refusal(error)
        }
        let keyBytes = UInt64(Self.defaultKeySize / 8)
        // Key is made on request: what limits it is link key towards the other node.
        let affordable =
            target.name == node ? Self.mostBytesWaiting : status.links.filter(\.up).map(\.stockOut).max() ?? 0
        return ETSI014Status(
            source_KME_ID: node, target_KME_ID: target.name, master_SAE_ID: master, slave_SAE_ID: slave,
            key_size: Self.defaultKeySize,
            stored_key_count: Int(min(affordable, Self.mostBytesWaiting) / keyBytes),
            max_key_count: Int(Self.mostBytesWaiting / keyBytes), max_key_per_request: Self.mostKeysPerRequest,
            max_key_size: Self.largestKeySize, min_key_size: Self.smallestKeySize, max_SAE_ID_count: 0,
            status_extension: ETSI014StatusExtension(
                max_bits_per_request: Self.mostBytesPerRequest * 8, key_lifetime_s: keyLifetime))
    }

    // MARK: - Get key

    /// New keys for a master SAE, whose copies wait at the slave's node when this returns.
    public func newKeys(master: String, slave: String, number: Int, bits: Int) throws -> KeyContainer {
        try checkPair(master: master, slave: slave, other: slave)
        guard bits % 8 == 0 else { throw KeyRefusal.badRequest(ETSI014Message.notMultipleOf8) }
        guard bits >= Self.smallestKeySize, bits <= Self.largestKeySize else {
            throw KeyRefusal.badRequest("size shall be from \(Self.smallestKeySize) to \(Self.largestKeySize) bits")
        }
        guard number >= 1, number <= Self.mostKeysPerRequest else {
            throw KeyRefusal.badRequest("number shall be from 1 to \(Self.mostKeysPerRequest)")
        }
        let length = bits / 8
        let total = number * length
        guard total <= Self.mostBytesPerRequest else {
            throw KeyRefusal.badRequest("number times size shall not exceed \(Self.mostBytesPerRequest * 8) bits")
        }
        let stream = stream(master, slave)
        let client = client(master)
        let line = lock.withLock { () -> Line in
            if let line = lines[stream] { return line }
            let line = Line(limit: keyLifetime / 4)
            lines[stream] = line
            return line
        }
        let memory = pool.borrow(total)
        return try line.lock.withLock {
            do {
                let offset = try memory.withUnsafeMutableBytes {
                    try take($0.slice(0..<total), line, stream, client)
                }
                let identifiers = (0..<number).map { index in
                    KeyIdentifier(
                        pool: stream.pool, master: master, slave: slave, offset: offset + UInt64(index * length),
                        length: length
                    ).text
                }
                return KeyContainer(
                    identifiers: identifiers, lengths: Array(repeating: length, count: number), bytes: memory)
            } catch {
                pool.giveBack(memory, used: total)
                throw refusal(error)
            }
        }
    }

    /// Under the line's lock: takes the next key into `memory`; returns its offset.
    private func take(
        _ memory: UnsafeMutableRawBufferPointer, _ line: Line, _ stream: PadStream, _ client: KeySupplyClient
    ) throws -> UInt64 {
        func take(at offset: UInt64) throws -> UInt64 {
            guard offset <= KeyIdentifier.highestOffset - UInt64(memory.count) else {
                throw Failure(.data, at: "\(stream)", "the stream has no offsets left", remedy: "choose a new pool")
            }
            line.next = nil
            try client.take(stream, offset: offset, into: memory, timeout: Self.patience)
            line.next = offset + UInt64(memory.count)
            return offset
        }
        // For one request after the other what lies there is as good as new, and the agent says when it is gone.
        let time = monotonicSeconds()
        if let next = line.next, time - line.askedAt < keyLifetime / 128 {
            do {
                return try take(at: next)
            } catch let failure as Failure
                where failure.kind == .data || failure.kind == .transient && monotonicSeconds() - time < 1
            {
                line.next = next
            }
        }
        return try take(at: nextOffset(line, stream, client))
    }

    /// Under the line's lock: where the next key begins. Key that the agent made ahead is passed over when it is so old
    /// that its copy at the slave's node could expire soon.
    private func nextOffset(_ line: Line, _ stream: PadStream, _ client: KeySupplyClient) throws -> UInt64 {
        let made = try client.made(stream) ?? 0
        let time = monotonicSeconds()
        line.ages.note(made, at: time)
        line.askedAt = time
        let stale = line.ages.end(olderThan: keyLifetime / 4, at: time) ?? 0
        return try client.resume(stream, from: max(line.next ?? made, stale))
    }

    // MARK: - Get key with key IDs

    /// The slave's copies of keys; all of them or none.
    public func keys(_ texts: [String], master: String, slave: String) throws -> KeyContainer {
        try checkPair(master: master, slave: slave, other: master)
        guard !texts.isEmpty, texts.count <= Self.mostKeysPerRequest else {
            throw KeyRefusal.badRequest("key_IDs shall name 1 to \(Self.mostKeysPerRequest) keys")
        }
        guard Set(texts.map { $0.lowercased() }).count == texts.count else {
            throw KeyRefusal.badRequest("key_IDs names a key twice")
        }
        let notFound = KeyRefusal.badRequest(ETSI014Message.notFound)
        let stream = stream(master, slave)
        var identifiers: [KeyIdentifier] = []
        for text in texts {
            guard UUID(uuidString: text) != nil else { throw KeyRefusal.badRequest("key_ID shall be a UUID") }
            guard let identifier = KeyIdentifier(text) else { throw notFound }
            guard identifier.belongs(pool: stream.pool, master: master, slave: slave) else {
                // The standard's 401: a key that another SAE was named for, and the caller's own key as a master.
                let isOthers = topology.roles.contains { role in
                    [master, slave].contains {
                        identifier.belongs(pool: stream.pool, master: $0, slave: role.name)
                    }
                }
                throw isOthers ? KeyRefusal.unauthorised : notFound
            }
            identifiers.append(identifier)
        }
        let total = identifiers.reduce(0) { $0 + $1.length }
        guard total <= Self.mostBytesPerRequest else {
            throw KeyRefusal.badRequest("the keys exceed \(Self.mostBytesPerRequest * 8) bits: ask for fewer at once")
        }
        let client = client(slave)
        let memory = pool.borrow(total)
        do {
            let runs = Self.runs(identifiers)
            // Nothing is taken unless all of it is there; keys that follow each other are taken whole or not at all.
            for key in identifiers where runs.count > 1 {
                guard try client.resume(stream, from: key.offset) == key.offset else { throw notFound }
            }
            try memory.withUnsafeMutableBytes { memory in
                var at = 0
                for run in runs {
                    do {
                        try client.take(
                            stream, offset: run.offset, into: memory.slice(at..<at + run.length), timeout: 0)
                    } catch let failure as Failure where failure.kind == .data || failure.kind == .transient {
                        throw notFound
                    }
                    at += run.length
                }
            }
        } catch {
            pool.giveBack(memory, used: total)
            throw refusal(error)
        }
        return KeyContainer(identifiers: texts, lengths: identifiers.map(\.length), bytes: memory)
    }

    /// Stretches of the stream that hold the keys, in their order.
    private static func runs(_ identifiers: [KeyIdentifier]) -> [(offset: UInt64, length: Int)] {
        var runs: [(offset: UInt64, length: Int)] = []
        for key in identifiers {
            if let last = runs.last, last.offset + UInt64(last.length) == key.offset {
                runs[runs.count - 1].length += key.length
            } else {
                runs.append((key.offset, key.length))
            }
        }
        return runs
    }

    // MARK: - Expiry

    /// Erases the copies of keys whose slave did not come in time; the agent books them as expired.
    private func expire() {
        do {
            guard let any = topology.roles.first(where: { $0.node == node })?.name else { return }
            let time = monotonicSeconds()
            for entry in try client(any).status().ledger
            where [topology.pool014, topology.pool004].contains(entry.pool) && entry.side == .receiver
                && entry.onHand > 0
            {
                let stream = PadStream(pool: entry.pool, sender: entry.sender, receiver: entry.receiver)
                let end = lock.withLock { () -> UInt64? in
                    ages[stream, default: AgeMarks(limit: keyLifetime)].note(entry.supplied, at: time)
                    return ages[stream]?.end(olderThan: keyLifetime * 33 / 32, at: time)
                }
                if let end { try client(stream.receiver).discard(stream, below: end) }
            }
        } catch {
            // A node that is stopping does not answer; the next round sees.
            log("keys of applications cannot be expired: \(error)")
        }
    }

    private func refusal(_ error: any Error) -> KeyRefusal {
        switch error {
        case let refusal as KeyRefusal: return refusal
        case let failure as Failure:
            log("\(failure)")
            return .unavailable("\(failure.problem)")
        default:
            log("\(error)")
            return .unavailable("key cannot be supplied")
        }
    }
}
