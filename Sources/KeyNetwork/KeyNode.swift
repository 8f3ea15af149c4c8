import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
public import Logging
import Metering
import OneTimePad
public import Randomness

/// A trusted node: its key management agent, its key supply agent, and the KMS when the topology puts it here.
///
/// The agent keeps a channel to each neighbour, padded and tagged with link key; everything between nodes goes through
/// these channels, hop by hop: key for roles, which each node on the way therefore sees, and the KMS's messages.
/// `@unchecked Sendable`: `condition` guards `waiting`, `paths`, `number`, `sockets` and `stopped`; what else there is
/// never changes after `start`.
public final class KeyNode: @unchecked Sendable {
    public let name: String
    public let topology: NetworkTopology
    let place: NetworkTopology.Node
    let logger: Logger
    let ledger: PadLedger
    private let cabinet: PadCabinet
    let stores: [String: LinkKeyStore]
    let neighbours: [String: Neighbour]
    private let listener: ChannelListener
    let source: any RandomSource
    let kms: KeyManagementSystem?
    var agent: KeySupplyAgent?
    private var servers: [Int32] = []
    private let parts = SplitParts()
    let erasures: ErasureLog
    let traffic = KeyTraffic()
    private var metrics: MetricsServer?

    let condition = NSCondition()
    var waiting: [UInt64: Envelope?] = [:]
    var paths: [String: (ways: [[String]], until: Double)] = [:]
    var number: UInt64 = UInt64.random(in: 0..<1 << 62)
    private var sockets: [ObjectIdentifier: Socket] = [:]
    var stopped = false

    /// Opens the node's ledger and its port.
    ///
    /// - Parameter source: random bytes for the roles' key; nil for the kernel's generator under health tests.
    public init(
        name: String, topology: NetworkTopology, source: (any RandomSource)? = nil,
        logger: Logger = Logger(label: "dsgd.key-node")
    ) throws {
        try topology.validate()
        self.name = name
        self.topology = topology
        self.logger = logger
        place = try topology.node(name)
        try FileManager.default.createDirectory(
            atPath: place.directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let ledger = try PadLedger(path: place.directory + "/node.sqlite", owner: name)
        self.ledger = ledger
        for line in ledger.lostAtOpening {
            logger.notice(
                "node \(name) was not stopped in order: \(line.onHand) bytes of \(line.pool): \(line.sender) -> \(line.receiver) are lost"
            )
        }
        erasures = ErasureLog(directory: place.directory)
        var byPeer: [String: LinkKeyStore] = [:]
        for link in topology.links(of: name) {
            let store = try LinkKeyStore(link: link, node: name, topology: topology, ledger: ledger, log: erasures)
            byPeer[store.peer] = store
        }
        stores = byPeer
        neighbours = byPeer.mapValues { Neighbour(name: $0.peer, store: $0) }
        var options = PadOptions()
        // Link key is scarce: small chunks. A mark may cover much: the store forgets its key with the process anyway.
        options.chunk = 4 * QuantumSocket.block
        options.maximumReservation = 16 << 20
        options.authenticationReserve = 1 << 10
        options.maximumSkip = 1 << 30
        // One connection carries a link, so what it skips is soon given up: it makes room for key with a partner.
        options.window = 1 << 20
        // The other end keeps its copy a minute longer: pad in hand must not outlive that.
        options.lifetime = KeyLifetime(hours: topology.keyLifetimeHours).map { min($0.sending, 45) }
        cabinet = PadCabinet(
            identity: name, pool: LinkKeyStore.channelPool, peers: byPeer.keys.sorted(),
            source: LinkKeySource(stores: byPeer),
            ledger: ledger, options: options)
        self.source = try source ?? HealthTestedSource(wrapping: KernelRandomSource())
        kms = topology.kms == name ? KeyManagementSystem() : nil
        listener = try ChannelListener(
            host: place.host, port: place.kmaPort, identity: name, pads: cabinet,
            onRefusal: { logger.info("refused: \($0)") })
    }

    // MARK: - Life

    /// Opens the Unix sockets and connects to the neighbours; returns at once.
    public func start() throws {
        let agent = KeySupplyAgent(
            node: name, topology: topology, ledger: ledger, source: source,
            afford: { [unowned self] stream, bytes, ways, timeout in try self.afford(stream, bytes, ways, timeout) },
            relay: { [unowned self] in try self.relay($0, $1, $2, $3, next: $4, arrived: $5) })
        self.agent = agent
        let byLink = Dictionary(uniqueKeysWithValues: stores.values.map { ($0.link.name, $0) })
        try serve(place.quantumSocket) { try QuantumSocket.serve($0, stores: byLink) }
        try serve(place.supplySocket) { [self] socket in
            try SupplyServer.serve(socket, agent: agent) { try self.status() }
        }
        if let port = place.metricsPort {
            metrics = try MetricsServer(port: port) { [weak self] in try self?.status().prometheus() ?? "" }
        }
        listener.start { [self] channel in read(channel) }
        for neighbour in neighbours.values {
            detachThread("dsgd-kma-send") { [self] in
                neighbour.run { message, failure in undeliverable(message, failure) }
            }
            if name < neighbour.name { detachThread("dsgd-kma-dial") { [self] in dial(neighbour) } }
        }
        detachThread("dsgd-kma-report") { [self] in
            // A report is dropped where a link on its way is not up yet, so they come thick while the network starts.
            let settled = monotonicSeconds() + 5
            while !isStopped {
                report()
                expireKey()
                traffic.sample(neighbours.mapValues { $0.store.counts })
                Thread.sleep(forTimeInterval: monotonicSeconds() < settled ? 0.1 : 1)
            }
        }
    }

    /// Closes everything and makes the ledger durable. Key in memory is erased and booked as expired.
    public func stop() throws {
        let open = condition.withLock { () -> [Socket]? in
            if stopped { return nil }
            stopped = true
            condition.broadcast()
            return Array(sockets.values)
        }
        guard let open else { return }
        for descriptor in servers { shutdown(descriptor, Int32(SHUT_RDWR)) }
        unlink(place.quantumSocket)
        unlink(place.supplySocket)
        for socket in open { socket.stop() }
        for neighbour in neighbours.values { neighbour.stop() }
        listener.stop()
        metrics?.stop()
        try agent?.close()
        try cabinet.close()
        for store in stores.values { try store.close() }
        try ledger.close()
    }

    var isStopped: Bool { condition.withLock { stopped } }

    private func expireKey() {
        for store in stores.values { store.expire() }
        agent?.expire()
        parts.expire()
    }

    /// Serves a Unix socket, one thread per connection.
    private func serve(_ path: String, _ body: @escaping @Sendable (Socket) throws -> Void) throws {
        let descriptor = try Sockets.listen(path: path)
        servers.append(descriptor)
        detachThread("dsgd-unix") { [self] in
            while let socket = Sockets.accept(descriptor) {
                let admitted = condition.withLock { () -> Bool in
                    if !stopped { sockets[ObjectIdentifier(socket)] = socket }
                    return !stopped
                }
                guard admitted else { break }
                detachThread("dsgd-local") { [self] in
                    do {
                        try body(socket)
                    } catch {
                        logger.debug("\(path): \(error)")
                    }
                    condition.withLock { _ = sockets.removeValue(forKey: ObjectIdentifier(socket)) }
                }
            }
            close(descriptor)
        }
    }

    // MARK: - Neighbours

    /// Link key of each direction with which a node dials.
    private static let handshakeStock = UInt64(QuantumSocket.block)

    private func dial(_ neighbour: Neighbour) {
        var pause = 0.05
        while !isStopped {
            // Without key on both ends no proof of identity can succeed, and a failed one costs a penalty.
            guard neighbour.store.stock.out >= Self.handshakeStock, neighbour.store.stock.in >= Self.handshakeStock
            else {
                Thread.sleep(forTimeInterval: 0.02)
                continue
            }
            do {
                let peer = try topology.node(neighbour.name)
                let channel = try SecureChannel.connect(
                    host: peer.host, port: peer.kmaPort, identity: name, peer: peer.name, pads: cabinet, timeout: 10)
                pause = 0.05
                read(channel)
            } catch {
                logger.debug("node \(name): \(error)")
            }
            Thread.sleep(forTimeInterval: pause)
            // Each proof of identity costs link key, so a neighbour that does not answer is asked ever less often.
            pause = min(pause * 2, 2)
        }
    }

    /// Reads a channel until it ends.
    private func read(_ channel: SecureChannel) {
        guard let neighbour = neighbours[channel.peer] else { return }
        neighbour.attach(channel)
        detachThread("dsgd-kma-report") { [self] in report() }
        do {
            while !isStopped {
                guard try channel.receiveOrIdle({ try handle($1, from: neighbour.name) }) else { break }
            }
        } catch {
            if !isStopped { logger.info("node \(name): \(error)") }
        }
        neighbour.detach(channel)
        channel.abort()
        if !isStopped { report() }
    }

    private func handle(_ bytes: UnsafeRawBufferPointer, from peer: String) throws {
        let (envelope, key) = try Envelope.decoded(bytes, from: peer)
        guard envelope.hasCome(to: name, through: peer) else {
            throw Failure(
                .data, at: "node \(peer)", "it brought a message of a way that does not lead through it",
                remedy: "give all nodes the same topology, and look at that node")
        }
        guard envelope.to == name else {
            if envelope.kind == .relay { traffic.relayed(.passedOn, key.count) }
            return forward(envelope, key)
        }
        switch envelope.kind {
        case .relay:
            traffic.relayed(.arrived, key.count)
            do {
                try store(key, envelope, from: peer)
            } catch {
                reply(to: envelope, SupplyFailure(error).failure)
            }
        case .linkState:
            kms?.report(envelope.from, envelope.links ?? [])
        case .pathRequest:
            guard let kms, let target = envelope.target else { return }
            var answer = answer(to: envelope, nil)
            answer.kind = .pathAnswer
            do {
                answer.paths = try kms.ways(
                    envelope.ways ?? 1, from: envelope.from, to: target, bytes: envelope.bytes ?? 0,
                    avoid: Set(envelope.avoid ?? []))
            } catch {
                answer.problem = SupplyFailure(error).problem
            }
            forward(answer, nil)
        case .answer, .pathAnswer:
            settle(envelope)
        }
    }

    /// Hands an answer to whoever waits for it.
    func settle(_ answer: Envelope) {
        condition.withLock {
            // Nobody waits any more for an answer that comes too late.
            guard waiting[answer.id] != nil else { return }
            waiting[answer.id] = .some(.some(answer))
            condition.broadcast()
        }
    }

    /// Gives relayed key to the agent, which answers for it when a durable mark covers it.
    private func store(_ key: UnsafeRawBufferPointer, _ envelope: Envelope, from peer: String) throws {
        guard let stream = envelope.stream, let offset = envelope.offset, let agent else {
            throw Failure(.data, at: "node \(peer)", "a relay without stream", remedy: "update the nodes")
        }
        func store(_ key: UnsafeRawBufferPointer) throws {
            try agent.store(stream, offset: offset, from: envelope.from, key) { [self] in reply(to: envelope, $0) }
        }
        if let split = envelope.split {
            let isWhole = try parts.add(split, key, of: stream, offset: offset, route: envelope.route) {
                try $0.withUnsafeBytes(store)
            }
            if !isWhole { reply(to: envelope, nil) }
            return
        }
        guard topology.roles.first(where: { $0.name == stream.sender })?.ways ?? 1 == 1 else {
            throw Failure(
                .data, at: "node \(peer)", "key of \(stream) came whole, and not in two parts on two ways",
                remedy: "give all nodes the same topology, and look at the nodes on the way")
        }
        try store(key)
    }

    func answer(to envelope: Envelope, _ failure: Failure?) -> Envelope {
        var route = envelope.route
        if let index = route.firstIndex(of: name) { route = Array(route[...index]) } else { route.append(name) }
        return Envelope(
            kind: .answer, id: envelope.id, from: name, to: envelope.from, route: route.reversed(), routed: true,
            problem: failure.map { "\($0.place): \($0.problem)" }, transient: failure.map { $0.kind == .transient })
    }

    private func reply(to envelope: Envelope, _ failure: Failure?) {
        forward(answer(to: envelope, failure), nil)
    }

    /// Sends a message on its next hop.
    func forward(_ original: Envelope, _ key: UnsafeRawBufferPointer?) {
        var envelope = original
        let candidates: [String]
        if envelope.routed {
            let index = envelope.route.firstIndex(of: name)
            candidates = index.map { envelope.route.dropFirst($0 + 1).prefix(1) }.map(Array.init) ?? []
        } else {
            guard !envelope.route.contains(name), envelope.route.count < 64 else { return }
            envelope.route.append(name)
            candidates = nextHops(to: envelope.to, avoiding: Set(envelope.route))
        }
        do {
            let bytes = try envelope.encoded(key)
            for candidate in candidates {
                guard let neighbour = neighbours[candidate] else { continue }
                if neighbour.enqueue(Neighbour.Message(envelope: envelope, bytes: bytes)) { return }
            }
            let next = candidates.first ?? envelope.to
            fail(
                envelope, at: next,
                Failure(
                    .transient, at: "link \(name)|\(next)", "the link or the node behind it is down",
                    remedy: "start the node"))
        } catch {
            fail(envelope, at: candidates.first ?? envelope.to, SupplyFailure(error).failure)
        }
    }

    /// Neighbours in order of their distance from a node by the topology, for messages that no KMS routes.
    private func nextHops(to target: String, avoiding passed: Set<String>) -> [String] {
        var distance = [target: 0]
        var front = [target]
        while !front.isEmpty {
            front = front.flatMap { node in
                topology.links(of: node).compactMap { link in
                    guard let other = link.other(than: node), distance[other] == nil, other != name else { return nil }
                    distance[other] = (distance[node] ?? 0) + 1
                    return other
                }
            }
        }
        return neighbours.keys.filter { distance[$0] != nil && !passed.contains($0) }
            .sorted { (distance[$0] ?? 0, $0) < (distance[$1] ?? 0, $1) }
    }

    private func undeliverable(_ message: Neighbour.Message, _ failure: Failure) {
        let route = message.envelope.route
        let next = route.firstIndex(of: name).map { route.dropFirst($0 + 1).first } ?? nil
        fail(message.envelope, at: next ?? message.envelope.to, failure)
    }

    /// Tells the origin of a relay which hop failed.
    private func fail(_ envelope: Envelope, at next: String, _ failure: Failure) {
        guard envelope.kind == .relay else { return }
        traffic.relayFailed()
        var answer = answer(to: envelope, failure)
        answer.avoid = [name + ">" + next]
        if envelope.from == name { settle(answer) } else { forward(answer, nil) }
    }
}

extension SecureChannel {
    /// Waits as long as it takes; false when the peer closed in good order.
    fileprivate func receiveOrIdle(_ body: (UInt8, UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        try receive(timeout: 1e6) { kind, payload in try body(kind, payload) } != nil
    }
}
