import Diagnostics

/// A node's doors for applications: ETSI GS QKD 014 and 004 over mutual TLS.
///
/// Paths that do not begin with `/` are relative to the node's directory.
public struct KeyDoors: Codable, Sendable, Equatable {
    /// The address to listen at; nil for the node's `host`.
    public var host: String?
    /// Port of ETSI GS QKD 014; 0 for any free one, nil for no such door.
    public var port014: UInt16?
    /// Port of ETSI GS QKD 004; 0 for any free one, nil for no such door.
    public var port004: UInt16?
    /// PEM: the certificate that the node shows, with its intermediate certificates if any.
    public var certificate: String
    /// PEM: its private key.
    public var privateKey: String
    /// PEM: the authorities whose certificates applications show.
    public var authority: String
    /// Seconds that a key waits for the second application before it is erased; nil for 600.
    public var keyLifetimeS: Double?

    public init(certificate: String, privateKey: String, authority: String) {
        self.certificate = certificate
        self.privateKey = privateKey
        self.authority = authority
    }

    enum CodingKeys: String, CodingKey {
        case host, certificate, authority
        case port014 = "port_014"
        case port004 = "port_004"
        case privateKey = "private_key"
        case keyLifetimeS = "key_lifetime_s"
    }

    public static let defaultKeyLifetime = 600.0

    func validate(node: String) throws {
        guard port014 != nil || port004 != nil else {
            throw Failure(
                .configuration, at: "node \(node)", "its table `etsi` has neither port_014 nor port_004",
                remedy: "set one of them, or leave the table out")
        }
        guard (keyLifetimeS ?? Self.defaultKeyLifetime) >= 1, (keyLifetimeS ?? Self.defaultKeyLifetime) <= 86_400 else {
            throw Failure(
                .configuration, at: "node \(node)", "key_lifetime_s is out of range",
                remedy: "use 1 to 86400 seconds")
        }
    }
}

extension NetworkTopology.Node {
    /// A path of the table `etsi` as an absolute one.
    public func resolved(_ path: String) -> String { path.hasPrefix("/") ? path : directory + "/" + path }
}

extension NetworkTopology {
    /// The pools of the doors: the offsets of a pair of applications never mix with those of the same names as roles.
    /// The bar cannot stand in a pool's own name.
    public var pool014: String { pool + "|014" }
    public var pool004: String { pool + "|004" }

    /// Whether the key supply agents serve a pool.
    func serves(pool name: String) -> Bool { name == pool || name == pool014 || name == pool004 }
}
