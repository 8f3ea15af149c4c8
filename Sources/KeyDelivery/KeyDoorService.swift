import Diagnostics
public import KeyNetwork

/// The doors of one node as the network file has them: ETSI GS QKD 014 and 004, with the entity behind both.
public final class KeyDoorService: Sendable {
    private let entity: KeyManagementEntity
    private let server014: ETSI014Server?
    private let server004: ETSI004Server?

    /// The actual port of ETSI GS QKD 014, also when 0 was asked for; nil for no such door.
    public var port014: UInt16? { server014?.port }
    /// The same of ETSI GS QKD 004.
    public var port004: UInt16? { server004?.port }

    /// Nil when the node has no doors. Listens at once; answers after `start`.
    /// - Throws: `Failure(.configuration)` that names the certificate or address that cannot be used.
    public init?(node name: String, topology: NetworkTopology, log: @escaping @Sendable (String) -> Void) throws {
        let node = try topology.node(name)
        guard let doors = node.etsi else { return nil }
        let context = try TLSContext.server(
            certificate: node.resolved(doors.certificate), privateKey: node.resolved(doors.privateKey),
            authority: node.resolved(doors.authority))
        let log: @Sendable (String) -> Void = { log("node \(name): \($0)") }
        entity = try KeyManagementEntity(
            node: name, topology: topology, keyLifetime: doors.keyLifetimeS ?? KeyDoors.defaultKeyLifetime, log: log)
        let entity = entity
        func listener(_ port: UInt16) throws -> TLSListener {
            try TLSListener(host: doors.host ?? node.host, port: port, context: context, log: log)
        }
        server014 = try doors.port014.map { ETSI014Server(entity: entity, try listener($0)) }
        server004 = try doors.port004.map { ETSI004Server(entity: entity, try listener($0)) }
    }

    public func start() {
        entity.start()
        server014?.start()
        server004?.start()
    }

    public func stop() {
        server004?.stop()
        server014?.stop()
        entity.stop()
    }
}
