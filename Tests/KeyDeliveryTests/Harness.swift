import Channel
import Diagnostics
import Foundation
import Glibc
import KeyDelivery
import KeyNetwork
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

func thrown(_ body: () throws -> Void) -> Failure? {
    do {
        try body()
        return nil
    } catch {
        return error as? Failure
    }
}

extension Authority {
    func client(_ subject: String, authority: String? = nil) throws -> TLSContext {
        try .client(
            certificate: path(subject + ".pem"), privateKey: path(subject + ".key"),
            authority: authority ?? path(name + ".pem"))
    }
}

/// Directories of doors that all tests of a suite share, which nothing ends before the process.
private let directories = Mutex<[String]>([])
private let removal: Void = {
    atexit { for path in directories.withLock({ $0 }) { try? FileManager.default.removeItem(atPath: path) } }
}()

/// Two nodes, `a` and `b`, each with a 014 door; alice and dan at a, bob and carol at b; eve has a certificate and is
/// no role. `@unchecked Sendable`: the variables change in `init` and `stop` only.
final class TestDoors: @unchecked Sendable {
    let directory = "/tmp/dsgde-" + UUID().uuidString.prefix(8)
    let authority: Authority
    let topology: NetworkTopology
    let model: LinkModel
    var nodes: [KeyNode] = []
    var entities: [KeyManagementEntity] = []
    var servers: [ETSI014Server] = []
    var streams: [ETSI004Server] = []

    init(
        stockMib: Double = 4, rate: Double = 200, keyLifetime: Double = 600, limits: DoorLimits = DoorLimits(),
        settle: Bool = true
    ) throws {
        let directory = String(directory)
        _ = removal
        directories.withLock { $0.append(directory) }
        authority = try Authority(directory)
        for name in ["a", "b", "alice", "bob", "carol", "dan", "eve"] { try authority.issue(name) }
        let ports = try Sockets.freePorts(2)
        topology = NetworkTopology(
            pool: "bank", kms: "a",
            nodes: [
                .init(name: "a", host: "127.0.0.1", kmaPort: ports[0], directory: directory + "/na"),
                .init(name: "b", host: "127.0.0.1", kmaPort: ports[1], directory: directory + "/nb"),
            ],
            links: [.init("a", "b", distanceKm: 10, rateMbitPerS: rate, stockMib: stockMib)],
            roles: [
                .init(name: "alice", node: "a"), .init(name: "dan", node: "a"), .init(name: "bob", node: "b"),
                .init(name: "carol", node: "b"),
            ])
        model = try LinkModel(topology)
        for name in ["a", "b"] {
            let node = try KeyNode(name: name, topology: topology)
            try node.start()
            nodes.append(node)
            let entity = try KeyManagementEntity(node: name, topology: topology, keyLifetime: keyLifetime)
            entity.start()
            entities.append(entity)
            let context = try TLSContext.server(
                certificate: authority.path(name + ".pem"), privateKey: authority.path(name + ".key"),
                authority: authority.path("authority.pem"))
            func listener() throws -> TLSListener {
                try TLSListener(host: "127.0.0.1", port: 0, context: context, limits: limits)
            }
            let server = try ETSI014Server(entity: entity, listener())
            server.start()
            servers.append(server)
            let streams = try ETSI004Server(entity: entity, listener())
            streams.start()
            self.streams.append(streams)
        }
        guard settle else { return }
        model.start()
        _ = try eventually {
            let links = try nodes.flatMap { try $0.status().links }
            return links.allSatisfy { $0.up && $0.stockOut > UInt64(stockMib * 1e5) }
        }
        usleep(200_000)
    }

    /// Port of a node's server.
    func port(_ node: String) -> UInt16 { servers[node == "a" ? 0 : 1].port }

    func client(_ name: String, at node: String, kmeID: String? = nil) throws -> ETSI014Client {
        try ETSI014Client(
            url: "https://127.0.0.1:\(port(node))", context: authority.client(name), kmeID: kmeID, timeout: 60)
    }

    func streamClient(_ name: String, at node: String) throws -> ETSI004Client {
        try ETSI004Client(
            host: "127.0.0.1", port: streams[node == "a" ? 0 : 1].port, context: authority.client(name), timeout: 60)
    }

    /// A TLS connection of that application.
    func connect(_ name: String, at node: String) throws -> TLSConnection {
        try TLSConnection(
            authority.client(name),
            over: Sockets.connect(host: "127.0.0.1", port: port(node), Deadline(in: 60)), host: "127.0.0.1",
            Deadline(in: 60))
    }

    /// Sends these very bytes and returns what came until the server closed.
    func raw(_ text: String, as name: String, at node: String) throws -> (status: Int, head: String, body: String) {
        let connection = try connect(name, at: node)
        try Array(text.utf8).withUnsafeBytes { try connection.write($0, Deadline(in: 60)) }
        return try Self.answer(connection)
    }

    static func answer(_ connection: TLSConnection) throws -> (status: Int, head: String, body: String) {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = try part.withUnsafeMutableBytes { try connection.read($0, Deadline(in: 60)) }
            if count == 0 { break }
            bytes += part[..<count]
        }
        let text = String(decoding: bytes, as: UTF8.self)
        let pieces = text.components(separatedBy: "\r\n\r\n")
        return (
            Int(text.dropFirst(9).prefix(3)) ?? 0, pieces[0], pieces.dropFirst().joined(separator: "\r\n\r\n")
        )
    }

    func get(_ target: String, as name: String, at node: String) throws -> (status: Int, head: String, body: String) {
        try raw("GET \(target) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", as: name, at: node)
    }

    func post(
        _ target: String, _ body: String, as name: String, at node: String, type: String = "application/json"
    ) throws -> (status: Int, head: String, body: String) {
        try raw(
            "POST \(target) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: \(type)\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)", as: name, at: node)
    }

    func stop() throws {
        for server in servers { server.stop() }
        for server in streams { server.stop() }
        for entity in entities { entity.stop() }
        model.stop()
        for node in nodes { try node.stop() }
        nodes = []
    }

    deinit {
        try? stop()
        try? FileManager.default.removeItem(atPath: String(directory))
    }
}

/// The message of an Error body.
func message(_ body: String) -> String {
    let object = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
    return object?["message"] as? String ?? "no message in: \(body)"
}

/// Keys of a container's JSON, by key_ID.
func keys(_ body: String) -> [(id: String, key: Data)] {
    let object = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
    return (object?["keys"] as? [[String: Any]] ?? []).compactMap { entry in
        guard let id = entry["key_ID"] as? String,
            let key = (entry["key"] as? String).flatMap({ Data(base64Encoded: $0) })
        else { return nil }
        return (id, key)
    }
}

func bytes(_ container: KeyContainer) -> [[UInt8]] {
    var all: [[UInt8]] = []
    container.forEach { _, key in all.append(Array(key)) }
    return all
}
