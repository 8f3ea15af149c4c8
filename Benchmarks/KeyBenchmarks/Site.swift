internal import Channel
internal import Diagnostics
internal import Foundation
internal import Glibc
internal import KeyDelivery
internal import KeyNetwork
internal import Kernels
internal import Metering
internal import Randomness

/// Two key nodes with a link between them and doors for applications, in this process: `alice` at node `a`, `bob` at
/// node `b`.
///
/// Everything is what a bank runs. Link key alone is delivered when the benchmark says, so that no figure has the link
/// model's work in it; it waits at both nodes as any link key does.
final class Site {
    let topology: NetworkTopology
    let certificates: Certificates
    private let nodes: [KeyNode]
    private let doors: [KeyDoorService]
    private let drivers: [QuantumSocket.Client]
    private let linkSource: any RandomSource

    /// - Parameter stock: bytes of link key of each direction that the nodes can hold.
    init(directory: String, stock: Int, source: any RandomSource) throws {
        certificates = try Certificates(directory, names: ["a", "b", "alice", "bob"])
        var places = ["a", "b"].map {
            NetworkTopology.Node(
                name: $0, host: "127.0.0.1", kmaPort: 0, directory: "\(directory)/node-\($0)",
                keyStoreMib: Double(stock) / 1_048_576 + 2)
        }
        for index in places.indices {
            let name = places[index].name
            var doors = KeyDoors(
                certificate: certificates.path("\(name).pem"), privateKey: certificates.path("\(name).key"),
                authority: certificates.path("authority.pem"))
            (doors.port014, doors.port004) = (0, 0)
            places[index].etsi = doors
            places[index].kmaPort = try Self.freePort()
        }
        let topology = NetworkTopology(
            pool: "bench", kms: "a", nodes: places,
            links: [.init("a", "b", distanceKm: 10, rateMbitPerS: 1e6, stockMib: 1)],
            roles: [.init(name: "alice", node: "a"), .init(name: "bob", node: "b")])
        self.topology = topology
        nodes = try places.map { try KeyNode(name: $0.name, topology: topology, source: source) }
        for node in nodes { try node.start() }
        doors = try places.compactMap { place in
            try KeyDoorService(node: place.name, topology: topology) { _ in }
        }
        for door in doors { door.start() }
        drivers = try places.map { try QuantumSocket.Client(path: $0.quantumSocket, link: "a|b") }
        linkSource = try HealthTestedSource(device: HealthTestedSource.expandedKernel)
    }

    /// The port of a node's door.
    func port014(_ node: Int) throws -> UInt16 { try port(doors[node].port014) }
    func port004(_ node: Int) throws -> UInt16 { try port(doors[node].port004) }

    private func port(_ port: UInt16?) throws -> UInt16 {
        guard let port else { throw Failure(.internalError, at: "bench", "a door is missing", remedy: "report it") }
        return port
    }

    /// Delivers link key until both nodes hold that many bytes for `a` to send with, and some for `b`.
    func supply(_ bytes: Int) throws {
        let run = SecureBytes(count: QuantumSocket.longestRun)
        for (direction, wanted) in [(0, UInt64(bytes)), (1, 1 << 20)] {
            while try held(direction) < wanted {
                let states = try drivers.map { try $0.state() }
                let number = states.map { direction == 0 ? $0.next.0 : $0.next.1 }.max() ?? 0
                try run.withUnsafeMutableBytes { bytes in
                    try linkSource.fill(bytes)
                    for driver in drivers {
                        guard try driver.deliver(number, UnsafeRawBufferPointer(bytes)).status == .stored else {
                            throw Failure(
                                .internalError, at: "bench", "a node takes no link key", remedy: "report the fault")
                        }
                    }
                }
            }
        }
        let limit = monotonicSeconds() + 20
        while try !nodes.allSatisfy({ try $0.status().links.allSatisfy(\.up) }) {
            guard monotonicSeconds() < limit else {
                throw Failure(.transient, at: "bench", "the nodes do not connect", remedy: "try again")
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    private func held(_ direction: Int) throws -> UInt64 {
        try nodes.enumerated().map { index, node in
            let link = try node.status().links[0]
            return index == direction ? link.stockOut : link.stockIn
        }.min() ?? 0
    }

    func stop() throws {
        for door in doors { door.stop() }
        for node in nodes { try node.stop() }
    }

    /// A port of the loopback interface that was free a moment ago.
    private static func freePort() throws -> UInt16 {
        let (descriptor, port) = try Sockets.listen(host: "127.0.0.1", port: 0)
        close(descriptor)
        return port
    }
}
