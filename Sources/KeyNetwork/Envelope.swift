import Channel
import Diagnostics
import Foundation
import Kernels
import OneTimePad

/// The part of a message between key management agents that is not key. It travels inside the channels, so it is padded
/// and tagged like everything else, hop by hop.
struct Envelope: Codable, Sendable {
    enum Kind: String, Codable, Sendable { case relay, answer, linkState, pathRequest, pathAnswer }

    var kind: Kind
    /// The sender's number of the request that this is, or answers.
    var id: UInt64
    var from: String
    var to: String
    /// The whole way when `routed`, otherwise the nodes passed so far.
    var route: [String]
    var routed: Bool
    var stream: PadStream?
    var offset: UInt64?
    /// Of an answer: nil when all is well.
    var problem: String?
    var transient: Bool?
    var links: [LinkState]?
    /// Of a question for ways: the node at their end, their number, and the key that they are to carry.
    var target: String?
    var ways: Int?
    var bytes: UInt64?
    var avoid: [String]?
    /// Of the answer: the ways.
    var paths: [[String]]?
    /// Of a relay that brings one of two parts.
    var split: SplitPart?

    private static let longestHeader = 32 << 10

    /// Whether the way that a message says it came is one that ends at `node` through `peer`, who brought it.
    func hasCome(to node: String, through peer: String) -> Bool {
        guard Set(route).count == route.count, route.first == from, from != node else { return false }
        guard routed else { return kind != .relay && !route.contains(node) && route.last == peer }
        guard let index = route.firstIndex(of: node), index > 0 else { return false }
        return route[index - 1] == peer
    }

    /// Header length (4 bytes), header as JSON, key.
    func encoded(_ key: UnsafeRawBufferPointer?) throws -> SecureBytes {
        let header = try JSONEncoder().encode(self)
        guard header.count <= Self.longestHeader else {
            throw Failure(
                .data, at: "node \(to)", "the way to it is too long to be written down",
                remedy: "run the same release of dsgd at every node")
        }
        let message = SecureBytes(count: 4 + header.count + (key?.count ?? 0))
        message.withUnsafeMutableBytes { bytes in
            bytes.store(bigEndian: UInt32(header.count), at: 0)
            bytes.slice(4..<4 + header.count).copyBytes(from: header)
            if let key { bytes.slice(4 + header.count..<bytes.count).copyMemory(from: key) }
        }
        return message
    }

    /// The header, and where the key begins.
    static func decoded(_ bytes: UnsafeRawBufferPointer, from peer: String) throws -> (Envelope, UnsafeRawBufferPointer)
    {
        let wrong = Failure(
            .data, at: "node \(peer)", "a message between nodes cannot be read",
            remedy: "run the same release of dsgd at every node")
        guard bytes.count >= 4 else { throw wrong }
        let length = Int(bytes.load(bigEndian: UInt32.self, at: 0))
        guard length <= bytes.count - 4, length <= longestHeader,
            let envelope = try? JSONDecoder().decode(Envelope.self, from: Data(bytes.slice(4..<4 + length)))
        else { throw wrong }
        return (envelope, bytes.slice(4 + length..<bytes.count))
    }
}

/// What a node tells the KMS of its end of a link.
struct LinkState: Codable, Sendable {
    var peer: String
    var up: Bool
    /// Bytes with which the node can send to the peer.
    var stock: UInt64
    /// Bytes per second that come to it.
    var refill: Double?
}
