internal import Diagnostics
internal import Foundation
internal import KeyDelivery
internal import KeyNetwork
internal import OneTimePad

/// A key server that speaks ETSI GS QKD 014, from which a role takes the pad that it shares with one peer: an entry of
/// `[[key_servers]]` in a process file. The peer has an entry for its own end.
public struct KeyServerConfiguration: Codable, Sendable, Equatable {
    /// The role, of those that the process plays.
    public var role: String
    public var peer: String
    /// `https://host:port`.
    public var url: String
    /// The KME ID that the server's certificate must name; absent when the host's name is enough.
    public var kmeID: String?
    /// The peer's SAE ID; absent when it is the peer's name.
    public var peerSAEID: String?
    /// PEM: the role's certificate, its key, and the authorities of the key server; relative to the process file.
    public var certificate: String
    public var privateKey: String
    public var authority: String
    /// PEM: the authorities of the peer; absent when they are those of the key server.
    public var peerAuthority: String?
    /// Where the peer tells which keys it took: a port of the role's host.
    public var announcePort: Int
    /// Where the role tells the peer: a port of the peer's host.
    public var peerAnnouncePort: Int

    enum CodingKeys: String, CodingKey {
        case role, peer, url, certificate, authority
        case kmeID = "kme_id"
        case peerSAEID = "peer_sae_id"
        case privateKey = "private_key"
        case peerAuthority = "peer_authority"
        case announcePort = "announce_port"
        case peerAnnouncePort = "peer_announce_port"
    }

    /// The same with absolute paths.
    func resolved(in folder: URL) -> KeyServerConfiguration {
        var copy = self
        copy.certificate = absolute(certificate, in: folder)
        copy.privateKey = absolute(privateKey, in: folder)
        copy.authority = absolute(authority, in: folder)
        copy.peerAuthority = peerAuthority.map { absolute($0, in: folder) }
        return copy
    }

    /// - Throws: `Failure(.configuration)` that names file, entry and key.
    static func check(
        _ servers: [KeyServerConfiguration], of process: ProcessConfiguration, file: String,
        _ network: NetworkConfiguration
    ) throws {
        for (index, server) in servers.enumerated() {
            func refuse(_ key: String, _ problem: String, _ remedy: String) -> Failure {
                Failure(.configuration, at: "\(file): key_servers, entry \(index + 1): \(key)", problem, remedy: remedy)
            }
            guard process.plays.contains(server.role), let role = network.roles.first(where: { $0.name == server.role })
            else {
                throw refuse(
                    "role", "\"\(server.role)\" is no role that this process plays", "name one of those in `plays`")
            }
            guard role.relayWays ?? 1 == 1 else {
                throw refuse(
                    "role", "\"\(server.role)\" has relay_ways, and nobody knows the ways of a key server's keys",
                    "leave relay_ways out, or take its pad from its node")
            }
            guard server.peer != server.role, network.roles.contains(where: { $0.name == server.peer }) else {
                throw refuse("peer", "\"\(server.peer)\" is no other role of the network file", "name a role there")
            }
            guard !servers[..<index].contains(where: { $0.role == server.role && $0.peer == server.peer }) else {
                throw refuse("peer", "\"\(server.peer)\" is there twice", "give each peer one entry")
            }
            let parts = URLComponents(string: server.url)
            guard parts?.scheme?.lowercased() == "https", parts?.host?.isEmpty == false else {
                throw refuse("url", "\"\(server.url)\" is no address of a key server", "write https://host:port")
            }
            for (key, name) in [("kme_id", server.kmeID), ("peer_sae_id", server.peerSAEID)]
            where name?.isEmpty == true {
                throw refuse(key, "it is empty", "leave it out, or name the ID")
            }
            for (key, path) in [
                ("certificate", server.certificate), ("private_key", server.privateKey),
                ("authority", server.authority), ("peer_authority", server.peerAuthority ?? server.authority),
            ] where !FileManager.default.isReadableFile(atPath: path) {
                throw refuse(key, "\(path) cannot be read", "check the path and its permissions")
            }
            for (key, port) in [("announce_port", server.announcePort), ("peer_announce_port", server.peerAnnouncePort)]
            where !(1...65_535).contains(port) {
                throw refuse(key, "\(port) is no port", "use 1 to 65535")
            }
            guard !servers[..<index].contains(where: { $0.announcePort == server.announcePort }) else {
                throw refuse(
                    "announce_port", "another entry has port \(server.announcePort)",
                    "give each entry a port of its own")
            }
        }
    }
}

/// Where a role's pad comes from: of some peers from key servers of another make, of the others from its own node.
final class PeerSources: PadSource {
    private struct Foreign {
        let source: ForeignKeySource
        let client: ETSI014Client
        let announcements: KeyAnnouncements
    }
    private let role: String
    private let node: any PadSource
    private let foreign: [String: Foreign]

    /// - Parameters:
    ///   - servers: the entries for this role.
    ///   - node: the key supply of the role's own node.
    init(
        role: RoleAddress, servers: [KeyServerConfiguration], network: NetworkConfiguration, node: any PadSource,
        log: @escaping @Sendable (String) -> Void
    ) throws {
        self.role = role.name
        self.node = node
        var foreign: [String: Foreign] = [:]
        do {
            for server in servers {
                foreign[server.peer] = try Self.foreign(
                    server, network.pool, host: role.host, network.role(server.peer).host, log)
            }
        } catch {
            for one in foreign.values { one.announcements.stop() }
            throw error
        }
        self.foreign = foreign
    }

    private static func foreign(
        _ server: KeyServerConfiguration, _ pool: String, host: String, _ peerHost: String,
        _ log: @escaping @Sendable (String) -> Void
    ) throws -> Foreign {
        let (certificate, key) = (server.certificate, server.privateKey)
        let client = try ETSI014Client(
            url: server.url,
            context: .client(certificate: certificate, privateKey: key, authority: server.authority),
            kmeID: server.kmeID)
        let authority = server.peerAuthority ?? server.authority
        let announcements = try KeyAnnouncements(
            listenAt: (host, UInt16(server.announcePort)),
            server: .server(certificate: certificate, privateKey: key, authority: authority),
            client: .client(certificate: certificate, privateKey: key, authority: authority, checksHost: false),
            peer: server.peerSAEID ?? server.peer, peerAt: (peerHost, UInt16(server.peerAnnouncePort)), log: log)
        let source = ForeignKeySource(
            role: server.role, peer: server.peer, pool: pool, peerSAEID: server.peerSAEID, client: client,
            announce: { try announcements.announce($0) }, recall: { try announcements.recall($0, from: $1) })
        announcements.start(source)
        return Foreign(source: source, client: client, announcements: announcements)
    }

    /// Ends what is under way at key servers and peers, so that no pad waits for it when it is closed.
    func stop() {
        for one in foreign.values {
            one.client.close()
            one.announcements.stop()
        }
    }

    private func source(_ stream: PadStream) -> any PadSource {
        foreign[stream.sender == role ? stream.receiver : stream.sender]?.source ?? node
    }

    func take(
        _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        try source(stream).take(stream, offset: offset, into: destination, timeout: timeout)
    }

    func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
        try source(stream).resume(stream, from: offset, timeout: timeout)
    }

    func made(_ stream: PadStream, timeout: Double) throws -> UInt64? {
        try source(stream).made(stream, timeout: timeout)
    }

    func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {
        try source(stream).discard(stream, below: offset, timeout: timeout)
    }

    func mayGiveAgain(_ stream: PadStream) -> Bool { source(stream).mayGiveAgain(stream) }
}
