internal import Diagnostics
internal import Foundation
public import KeyNetwork
public import OneTimePad
internal import TOMLKit

/// What a role does in the bank.
public enum RoleKind: String, Codable, Sendable {
    case dataOwner = "data-owner"
    case shareHolder = "share-holder"
    case trustedServer = "trusted-server"
    case user
    /// A secure application entity (SAE) outside the bank, which takes key at its node's ETSI doors.
    case application = "sae"
}

/// Where a role lives: its trusted node supplies its key, `host` and `port` are its address for its peers.
public struct RoleAddress: Codable, Sendable, Equatable {
    public var name: String
    public var kind: RoleKind
    public var node: String
    public var host: String
    /// 0 for a role that only calls others (a user).
    public var port: Int
    /// The share that a holder keeps: `a`, `b` or `c`.
    public var share: String?
    /// On how many ways the key that the role sends with goes through the network: 1, or 2 for key in two parts on ways
    /// that have no node in common; nil for 1.
    public var relayWays: Int?

    enum CodingKeys: String, CodingKey {
        case name, kind, node, host, port, share
        case relayWays = "relay_ways"
    }

    public init(name: String, kind: RoleKind, node: String, host: String, port: Int, share: String? = nil) {
        self.name = name
        self.kind = kind
        self.node = node
        self.host = host
        self.port = port
        self.share = share
    }
}

/// The file that every process of a bank has in common: key network and addresses.
public struct NetworkConfiguration: Codable, Sendable {
    /// Name of the bank's pads, so that two banks on one key network never share a stream.
    public var pool: String
    /// Name of the trusted node whose agent hosts the key management server.
    public var kms: String
    public var nodes: [NetworkTopology.Node]
    public var links: [NetworkTopology.Link]
    public var roles: [RoleAddress]
    /// Age at which key that nobody used is erased, in hours; nil for never.
    public var keyLifetimeHours: Double?

    enum CodingKeys: String, CodingKey {
        case pool, kms, nodes, links, roles
        case keyLifetimeHours = "key_lifetime_hours"
    }

    public init(key network: NetworkTopology, roles: [RoleAddress]) {
        pool = network.pool
        kms = network.kms
        nodes = network.nodes
        links = network.links
        keyLifetimeHours = network.keyLifetimeHours
        self.roles = roles
    }

    /// The key network's own view: it knows a role's name and node, not what the role does.
    public var topology: NetworkTopology {
        NetworkTopology(
            pool: pool, kms: kms, nodes: nodes, links: links,
            roles: roles.map { NetworkTopology.Role(name: $0.name, node: $0.node, ways: $0.relayWays) }, keyLifetimeHours: keyLifetimeHours)
    }

    /// Path of the Unix socket at which a role's node supplies key.
    public func keySupplySocket(ofRole role: RoleAddress) throws -> String {
        guard let node = nodes.first(where: { $0.name == role.node }) else {
            throw Failure(
                .configuration, at: "role \(role.name)", "its node \(role.node) is not in the network file",
                remedy: "use one of \(nodes.map(\.name).joined(separator: ", "))")
        }
        return node.supplySocket
    }

    public func role(_ name: String) throws -> RoleAddress {
        guard let role = roles.first(where: { $0.name == name }) else {
            throw Failure(
                .configuration, at: "role \(name)", "the network file does not list it",
                remedy: "add a [[roles]] entry; listed are \(roles.map(\.name).joined(separator: ", "))")
        }
        return role
    }

    /// The one role of a kind that a bank has once.
    public func only(_ kind: RoleKind) throws -> RoleAddress {
        let all = roles.filter { $0.kind == kind }
        guard all.count == 1 else {
            throw Failure(
                .configuration, at: "network file", "it lists \(all.count) roles of kind \(kind.rawValue), not one",
                remedy: "list exactly one")
        }
        return all[0]
    }

    /// The holder of a share, by its letter.
    public func holder(ofShare letter: String) throws -> RoleAddress {
        guard let role = roles.first(where: { $0.kind == .shareHolder && $0.share == letter }) else {
            throw Failure(
                .configuration, at: "network file", "no share holder has share = \"\(letter)\"",
                remedy: "list one holder for each of a, b and c")
        }
        return role
    }
}

/// The file of one process: which roles it plays, and where it keeps their state.
public struct ProcessConfiguration: Codable, Sendable, Equatable {
    /// Path of the network file, relative to this file.
    public var network: String
    /// Directory for the state of this process alone, relative to this file.
    public var state: String
    /// Names of roles and of key nodes, or `link-model`.
    public var plays: [String]
    /// Reference genome (FASTA) of a trusted server, relative to this file.
    public var reference: String?
    /// Worker threads of the engine; 0 or absent for the profile's choice.
    public var threads: Int?
    /// Name or file of a hardware profile; absent for the best that this machine matches.
    public var hardwareProfile: String?
    /// Table 1 asks for random numbers without period; the kernel's generator alone is allowed only by this switch.
    public var allowKernelRandom: Bool?
    /// Character device or file of a hardware generator; wins over the kernel's.
    public var randomDevice: String?
    /// Key servers from which roles of this process take the pad of some peers; the others' comes from their nodes.
    public var keyServers: [KeyServerConfiguration]?

    enum CodingKeys: String, CodingKey {
        case network, state, plays, reference, threads
        case hardwareProfile = "hardware_profile"
        case allowKernelRandom = "allow_kernel_random"
        case randomDevice = "random_device"
        case keyServers = "key_servers"
    }

    public init(
        network: String, state: String, plays: [String], reference: String? = nil, threads: Int? = nil,
        hardwareProfile: String? = nil, allowKernelRandom: Bool? = nil, randomDevice: String? = nil
    ) {
        self.network = network
        self.state = state
        self.plays = plays
        self.reference = reference
        self.threads = threads
        self.hardwareProfile = hardwareProfile
        self.allowKernelRandom = allowKernelRandom
        self.randomDevice = randomDevice
    }
}

/// Both files of a process, read and checked, with absolute paths.
public struct LoadedConfiguration: Sendable {
    public let process: ProcessConfiguration
    public let network: NetworkConfiguration

    /// - Throws: `Failure(.configuration)` that names the file and the key; unknown keys are errors.
    public init(path: String) throws {
        var process: ProcessConfiguration = try readTOML(path)
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent()
        process.network = absolute(process.network, in: folder)
        process.state = absolute(process.state, in: folder)
        process.reference = process.reference.map { absolute($0, in: folder) }
        process.keyServers = process.keyServers?.map { $0.resolved(in: folder) }
        self.process = process
        network = try readTOML(process.network)
        guard !process.plays.isEmpty else {
            throw Failure(.configuration, at: path, "`plays` is empty", remedy: "name at least one role or key node")
        }
        try KeyServerConfiguration.check(process.keyServers ?? [], of: process, file: path, network)
    }
}

extension LoadedConfiguration {
    /// Socket at which the data owner's process takes commands.
    public var ownerSocket: String { DataOwner.adminSocketPath(stateDirectory: process.state) }

    /// The ledgers of the roles that the process plays: the data owner's as it stands, of others the last durable state.
    public func roleLedgers() throws -> [LedgerLine] {
        try process.plays.compactMap { name in network.roles.first { $0.name == name } }.flatMap { role in
            if role.kind == .dataOwner, let text = try? administer(.ledger, socket: ownerSocket) {
                return try JSONDecoder().decode([LedgerLine].self, from: Data(text.utf8))
            }
            let path = Telephone.ledgerPath(of: role.name, stateDirectory: process.state)
            return FileManager.default.fileExists(atPath: path) ? try PadLedger.read(path: path) : []
        }
    }

    /// The data owner's catalogue with the audit log.
    public var cataloguePath: String { DataOwner.cataloguePath(stateDirectory: process.state) }
}

func absolute(_ path: String, in folder: URL) -> String {
    path.hasPrefix("/") ? path : folder.appending(path: path).standardizedFileURL.path
}

private func readTOML<Value: Decodable>(_ path: String) throws -> Value {
    guard let bytes = FileManager.default.contents(atPath: path) else {
        throw Failure(.noInput, at: path, "cannot be read", remedy: "check the path and its permissions")
    }
    do {
        return try TOMLDecoder(strictDecoding: true).decode(Value.self, from: String(decoding: bytes, as: UTF8.self))
    } catch {
        throw Failure(.configuration, at: path, "\(error)", remedy: "see docs/CONFIGURATION.md for every key")
    }
}

/// Writes a configuration file as TOML.
public func writeTOML(_ value: some Encodable, to path: String) throws {
    do {
        try TOMLEncoder().encode(value).write(toFile: path, atomically: true, encoding: .utf8)
    } catch {
        throw Failure(.cannotCreate, at: path, "\(error)", remedy: "check that the directory exists and is writable")
    }
}
