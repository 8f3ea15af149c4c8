public import BenchmarkSupport
internal import Diagnostics
internal import Foundation
internal import KeyDelivery
internal import KeyNetwork
internal import Kernels
internal import Metering
internal import OneTimePad
public import Randomness

/// What key nodes hand out: to roles over `ksa.sock`, and to applications over ETSI GS QKD 014 and 004 with TLS and
/// certificates on both sides. Nodes, doors and clients are the shipped ones, on threads of this process.
public struct KeyBenchmark: Sendable {
    /// Bytes of key of each sample.
    public var bytes: Int
    public var samples: Int
    /// For certificates, ledgers and sockets; it should be on the kind of disk that a node has.
    public var directory: String

    private static let piece = 1 << 20
    /// Bytes of link key beyond those of a sample: what is made ahead, and pads of answers and proofs of identity.
    private static let spare = 40 << 20

    public init(bytes: Int, samples: Int, directory: String) {
        self.bytes = bytes
        self.samples = samples
        self.directory = directory
    }

    /// Calls `report` with each figure.
    ///
    /// - Parameter source: the generator of the nodes, by the name `variant`.
    public func run(_ variant: String, _ source: any RandomSource, _ report: (BenchmarkResult) -> Void) throws {
        report(result("random.generate", variant, try generate(source)))
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        for (name, rates) in try supply(source) { report(result(name, variant, rates)) }
        let site = try Site(directory: directory + "/site", stock: bytes + 2 * Self.spare, source: source)
        for size in Self.sizes {
            for (name, rates) in try applications(site, size) { report(result(name, "\(variant) \(size)", rates)) }
        }
        for (name, rates) in try streams(site) { report(result(name, variant, rates)) }
        for (name, rates) in try relayed(site) { report(result(name, variant, rates)) }
        try site.stop()
    }

    private func result(_ name: String, _ variant: String, _ rates: [Double]) -> BenchmarkResult {
        let sorted = rates.sorted()
        let median = sorted[sorted.count / 2]
        return BenchmarkResult(
            name: name, variant: variant, threads: 1, place: "loopback", value: median, unit: "Gbit/s",
            spread: median > 0 ? (sorted[sorted.count * 3 / 4] - sorted[sorted.count / 4]) / median : 0)
    }

    /// Gbit/s of `count` calls of the body, each for so many bytes.
    private func rate(_ size: Int, _ body: (_ index: Int) throws -> Void) rethrows -> Double {
        let count = max(1, bytes / size)
        let started = monotonicSeconds()
        for index in 0..<count { try body(index) }
        return Double(count * size) * 8 / 1e9 / (monotonicSeconds() - started)
    }

    private func generate(_ source: any RandomSource) throws -> [Double] {
        let buffer = SecureBytes(count: Self.piece)
        return try (0..<samples).map { _ in
            try rate(Self.piece) { _ in try buffer.withUnsafeMutableBytes { try source.fill($0) } }
        }
    }

    // MARK: - Roles

    /// An end of a stream that takes its pad piece after piece.
    private final class Taker {
        private let client: KeySupplyClient
        private let stream: PadStream
        private let buffer = SecureBytes(count: piece)
        private var offset: UInt64 = 0

        init(_ path: String, role: String, _ stream: PadStream) {
            client = KeySupplyClient(socketPath: path, role: role)
            self.stream = stream
        }

        func take() throws {
            try buffer.withUnsafeMutableBytes { try client.take(stream, offset: offset, into: $0, timeout: 10) }
            offset += UInt64(piece)
        }
    }

    /// Two roles of one node.
    private func supply(_ source: any RandomSource) throws -> [(String, [Double])] {
        let topology = NetworkTopology(
            pool: "bench", kms: "site",
            nodes: [.init(name: "site", host: "127.0.0.1", kmaPort: 0, directory: directory + "/one")], links: [],
            roles: [.init(name: "sender", node: "site"), .init(name: "receiver", node: "site")])
        let node = try KeyNode(name: "site", topology: topology, source: source)
        try node.start()
        let path = topology.nodes[0].supplySocket
        let stream = PadStream(pool: "bench", sender: "sender", receiver: "receiver")
        let (sender, receiver) = (
            Taker(path, role: "sender", stream), Taker(path, role: "receiver", stream)
        )
        var (made, stock): ([Double], [Double]) = ([], [])
        for _ in 0..<samples {
            made.append(try rate(Self.piece) { _ in try sender.take() })
            stock.append(try rate(Self.piece) { _ in try receiver.take() })
        }
        try node.stop()
        return [("keys.made", made), ("keys.stock", stock)]
    }

    /// Two roles at the two ends of a link.
    private func relayed(_ site: Site) throws -> [(String, [Double])] {
        let stream = PadStream(pool: "bench", sender: "alice", receiver: "bob")
        let sender = Taker(site.topology.nodes[0].supplySocket, role: "alice", stream)
        let receiver = Taker(site.topology.nodes[1].supplySocket, role: "bob", stream)
        var (made, taken): ([Double], [Double]) = ([], [])
        for _ in 0..<samples {
            try site.supply(bytes + Self.spare)
            // Key that was made ahead while the clock stood still is no part of a sample.
            for _ in 0..<4 { try sender.take() }
            made.append(try rate(Self.piece) { _ in try sender.take() })
            for _ in 0..<4 { try receiver.take() }
            taken.append(try rate(Self.piece) { _ in try receiver.take() })
        }
        return [("keys.relayed", made), ("keys.arrived", taken)]
    }

    // MARK: - Applications

    /// Keys of one request.
    private struct Size: CustomStringConvertible {
        var number: Int
        var bits: Int
        var bytes: Int { number * bits / 8 }
        var description: String { "\(number)x\(bits >> 20)Mbit" }
    }
    private static let sizes = [
        Size(number: 1, bits: 1 << 20), Size(number: 1, bits: 1 << 23), Size(number: 1, bits: 1 << 25),
        Size(number: 128, bits: 1 << 20),
    ]

    /// ETSI GS QKD 014: new keys for the master, then the same keys for the slave at the other node.
    private func applications(_ site: Site, _ size: Size) throws -> [(String, [Double])] {
        let master = try ETSI014Client(
            url: "https://127.0.0.1:\(site.port014(0))", context: site.certificates.client("alice"))
        let slave = try ETSI014Client(
            url: "https://127.0.0.1:\(site.port014(1))", context: site.certificates.client("bob"))
        defer {
            master.close()
            slave.close()
        }
        var (made, fetched): ([Double], [Double]) = ([], [])
        for _ in 0..<samples {
            try site.supply(bytes + Self.spare)
            var given: [(identifiers: [String], check: [UInt8])] = []
            func new() throws {
                let keys = try master.newKeys(slave: "bob", number: size.number, bits: size.bits)
                given.append((keys.identifiers, Self.ends(keys)))
                master.recycle(keys)
            }
            // Key that was made ahead while the clock stood still is no part of a sample.
            try new()
            made.append(try rate(size.bytes) { _ in try new() })
            var taken: [[UInt8]] = []
            fetched.append(
                try rate(size.bytes) { index in
                    let keys = try slave.keys(given[index].identifiers, master: "alice")
                    taken.append(Self.ends(keys))
                    slave.recycle(keys)
                })
            for key in given.dropFirst(taken.count) {
                let keys = try slave.keys(key.identifiers, master: "alice")
                taken.append(Self.ends(keys))
                slave.recycle(keys)
            }
            guard taken == given.map(\.check) else {
                throw Failure(
                    .internalError, at: "bench", "the keys of the two ends differ", remedy: "report the fault")
            }
        }
        return [("etsi014.made", made), ("etsi014.fetched", fetched)]
    }

    /// The first and the last byte of each key.
    private static func ends(_ keys: KeyContainer) -> [UInt8] {
        var ends: [UInt8] = []
        keys.forEach { _, key in ends += [key[0], key[key.count - 1]] }
        return ends
    }

    /// ETSI GS QKD 004: a key stream in chunks of 1 MiB at the opener's node, then the same at the peer's.
    private func streams(_ site: Site) throws -> [(String, [Double])] {
        var quality = ETSI004QoS()
        quality.keyChunkSize = Self.piece
        let opener = try ETSI004Client(
            host: "127.0.0.1", port: site.port004(0), context: site.certificates.client("alice"))
        let peer = try ETSI004Client(host: "127.0.0.1", port: site.port004(1), context: site.certificates.client("bob"))
        guard
            let identifier = try opener.openConnect(
                source: "sae://alice", destination: "sae://bob", quality: quality
            ).stream,
            try peer.openConnect(source: "sae://bob", destination: "sae://alice", quality: quality, stream: identifier)
                .status == .successful
        else { throw Failure(.internalError, at: "bench", "no key stream", remedy: "report the fault") }
        var (made, taken): ([Double], [Double]) = ([], [])
        var (next, first): (UInt32, UInt32) = (0, 0)
        func get(_ client: ETSI004Client, _ index: inout UInt32) throws {
            guard try client.getKey(identifier, index: index).status == .successful else {
                throw Failure(.transient, at: "bench", "a key stream has no key", remedy: "try again")
            }
            index += 1
        }
        for _ in 0..<samples {
            try site.supply(bytes + Self.spare)
            for _ in 0..<4 { try get(opener, &next) }
            made.append(try rate(Self.piece) { _ in try get(opener, &next) })
            for _ in 0..<4 { try get(peer, &first) }
            taken.append(try rate(Self.piece) { _ in try get(peer, &first) })
        }
        return [("etsi004.made", made), ("etsi004.taken", taken)]
    }
}
