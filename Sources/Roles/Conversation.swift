internal import Channel
internal import Diagnostics
internal import Foundation
internal import Kernels
internal import KeyNetwork
internal import OneTimePad

/// A sealed channel that carries messages and bulk bytes.
final class Conversation {
    private enum Kind {
        static let message: UInt8 = 1
        static let data: UInt8 = 2
        /// A piece of a message that goes on in the next record.
        static let messagePart: UInt8 = 3
    }

    /// A peer that says nothing for this long is given up, in seconds.
    static let silenceSecondsMaximum = 120.0
    /// Payload of one data record in bytes.
    static let recordBytes = SecureChannel.bulkPayload

    let channel: SecureChannel
    var peer: String { channel.peer }

    init(_ channel: SecureChannel) { self.channel = channel }

    func say(_ message: Message) throws {
        let bytes = try encodeJSON(message)
        // A long message, such as a right with a large list, goes out in pieces.
        var rest = bytes[...]
        while rest.count > Self.recordBytes {
            try rest.prefix(Self.recordBytes).withUnsafeBytes { try channel.send(kind: Kind.messagePart, $0) }
            rest = rest.dropFirst(Self.recordBytes)
        }
        try rest.withUnsafeBytes { try channel.send(kind: Kind.message, $0) }
    }

    /// The next message. A refusal is thrown as the failure that it carries.
    func hear(timeout: Double = silenceSecondsMaximum) throws -> Message {
        guard let message = try hearOrEnd(timeout: timeout) else {
            throw Failure(
                .peerUnavailable, at: peer, "the connection ended before the answer",
                remedy: "look at the log of \(peer) and try again")
        }
        return message
    }

    /// The next message, or nil when the peer closed in good order.
    func hearOrEnd(timeout: Double = silenceSecondsMaximum) throws -> Message? {
        var bytes: [UInt8] = []
        while true {
            let kind = try channel.receive(timeout: timeout) { kind, payload in
                bytes.append(contentsOf: payload)
                return kind
            }
            guard let kind else { return nil }
            guard bytes.count <= 512 << 20 else { throw unexpected("a message over 512 MiB") }
            if kind == Kind.messagePart { continue }
            guard kind == Kind.message, let message = try? JSONDecoder().decode(Message.self, from: Data(bytes)) else {
                throw unexpected("something that is not a message")
            }
            if case .refused(let kind, let place, let problem, let remedy) = message {
                throw Failure(FailureKind(rawValue: kind) ?? .internalError, at: place, problem, remedy: remedy)
            }
            return message
        }
    }

    func refuse(_ failure: Failure) {
        try? say(
            .refused(
                kind: failure.kind.rawValue, place: failure.place, problem: failure.problem, remedy: failure.remedy))
    }

    func send(_ bytes: UnsafeRawBufferPointer) throws {
        var sent = 0
        while sent < bytes.count {
            let count = min(Self.recordBytes, bytes.count - sent)
            try channel.send(kind: Kind.data, UnsafeRawBufferPointer(rebasing: bytes[sent..<sent + count]))
            sent += count
        }
    }

    /// Receives one data record into `body`; returns its length.
    func receive(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Int {
        var refusal: Failure?
        let count = try channel.receive(timeout: Self.silenceSecondsMaximum) { kind, payload in
            if kind == Kind.message,
                case .refused(let kind, let place, let problem, let remedy)? = try? JSONDecoder().decode(
                    Message.self, from: Data(payload))
            {
                refusal = Failure(FailureKind(rawValue: kind) ?? .internalError, at: place, problem, remedy: remedy)
                return 0
            }
            guard kind == Kind.data else { throw unexpected("a message where data was due") }
            try body(payload)
            return payload.count
        }
        if let refusal { throw refusal }
        guard let count else {
            throw Failure(
                .peerUnavailable, at: peer, "the connection ended in the middle of a transfer",
                remedy: "look at the log of \(peer) and try again")
        }
        return count
    }

    /// Receives exactly `count` bytes, record by record.
    func receive(count: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        var rest = count
        while rest > 0 {
            rest -= try receive(body)
            guard rest >= 0 else { throw unexpected("more bytes than it announced") }
        }
    }

    func unexpected(_ what: String) -> Failure {
        Failure(
            .data, at: peer, "it sent \(what)", remedy: "check that both ends run the same version of dsgd")
    }

    func close() { channel.close() }
}

/// What a role needs to talk to its peers: its pads and their addresses.
///
/// One for each role of a process; its ledger is the only writer of that role's pad marks.
final class Telephone: @unchecked Sendable {
    let identity: String
    let network: NetworkConfiguration
    let cabinet: PadCabinet
    let ledger: PadLedger
    private let sources: PeerSources
    private let log: @Sendable (String) -> Void

    init(
        role: RoleAddress, configuration: LoadedConfiguration, log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws {
        let (process, network) = (configuration.process, configuration.network)
        identity = role.name
        self.network = network
        self.log = log
        ledger = try PadLedger(path: Self.ledgerPath(of: role.name, stateDirectory: process.state), owner: role.name)
        let ways = role.relayWays ?? 1
        guard (1...2).contains(ways) else {
            throw Failure(
                .configuration, at: "role \(role.name)", "relay_ways = \(ways)", remedy: "use 1 or 2")
        }
        let supply = try KeySupplyClient(socketPath: network.keySupplySocket(ofRole: role), role: role.name, ways: ways)
        sources = try PeerSources(
            role: role, servers: (process.keyServers ?? []).filter { $0.role == role.name }, network: network,
            node: supply, log: log)
        var options = PadOptions()
        options.lifetime = network.keyLifetimeHours.map { $0 * 3600 }
        cabinet = PadCabinet(
            identity: role.name, pool: network.pool, peers: network.roles.map(\.name).filter { $0 != role.name },
            source: sources, ledger: ledger, options: options)
        for line in ledger.lostAtOpening {
            log("not stopped in order: \(line.onHand) bytes of pad \(line.sender) -> \(line.receiver) are lost")
        }
    }

    static func ledgerPath(of role: String, stateDirectory: String) -> String {
        stateDirectory + "/\(role)-pads.sqlite"
    }

    func call(_ peer: String) throws -> Conversation {
        let address = try network.role(peer)
        guard address.port > 0, let port = UInt16(exactly: address.port) else {
            throw Failure(
                .configuration, at: "role \(peer)", "it has no port", remedy: "give it one in the network file")
        }
        return Conversation(
            try SecureChannel.connect(host: address.host, port: port, identity: identity, peer: peer, pads: cabinet))
    }

    /// Listens at the role's own address.
    func listen(
        log: @escaping @Sendable (String) -> Void, _ handler: @escaping @Sendable (Conversation) throws -> Void
    ) throws -> ChannelListener {
        let address = try network.role(identity)
        guard let port = UInt16(exactly: address.port), port > 0 else {
            throw Failure(
                .configuration, at: "role \(identity)", "it has no port", remedy: "give it one in the network file")
        }
        let listener = try ChannelListener(
            host: address.host, port: port, identity: identity, pads: cabinet, onRefusal: { log("refused: \($0)") })
        listener.start { channel in
            let conversation = Conversation(channel)
            do {
                try handler(conversation)
            } catch {
                let failure = asFailure(error)
                log("\(channel.peer): \(failure)")
                conversation.refuse(failure)
            }
        }
        return listener
    }

    func close() {
        sources.stop()
        do { try cabinet.close() } catch { log("pads were not closed in order: \(error)") }
        do { try ledger.close() } catch { log("the ledger was not closed in order: \(error)") }
    }
}
