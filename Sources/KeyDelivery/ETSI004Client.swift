import Channel
import Diagnostics
public import Foundation
public import Kernels

/// An application's side of ETSI GS QKD 004 V2.1.1, as nodes of this kind and others with the same framing serve it.
///
/// One thread at a time uses it.
public final class ETSI004Client {
    /// What OPEN_CONNECT gave.
    public struct Opened: Sendable, Equatable {
        public var status: ETSI004Status
        /// What was agreed, or what the node proposes when it could not meet what was wanted.
        public var quality: ETSI004QoS?
        /// Key_stream_ID; the peer application opens with the same.
        public var stream: UUID?
    }

    /// What GET_KEY gave.
    public struct Chunk: Sendable {
        public var status: ETSI004Status
        public var index: UInt32 = 0
        public var key: SecureBytes?
        public var metadata: [UInt8] = []
        /// Of `metadataSizeInsufficient`: the size that is needed.
        public var metadataSize: Int?
    }

    private let connection: TLSConnection
    private let timeout: Double
    private static let longestAnswer = 64 << 20

    /// - Parameter timeout: seconds for a call and its answer.
    public init(host: String, port: UInt16, context: TLSContext, timeout: Double = 30) throws {
        let deadline = Deadline(in: timeout)
        self.timeout = timeout
        connection = try TLSConnection(
            context, over: Sockets.connect(host: host, port: port, deadline), host: host, deadline)
    }

    deinit { connection.close() }

    /// OPEN_CONNECT.
    ///
    /// - Parameters:
    ///   - source, destination: URIs such as `sae://alice`; the source is this application.
    ///   - stream: Key_stream_ID that the peer was given; nil for a new one.
    public func openConnect(
        source: String, destination: String, quality: ETSI004QoS, stream: UUID? = nil
    ) throws -> Opened {
        var payload = Array(source.utf8) + [0] + Array(destination.utf8) + [0]
        let start = payload.count
        payload += [UInt8](repeating: 0, count: ETSI004QoS.size)
        payload.withUnsafeMutableBytes { quality.encode(into: $0.slice(start..<start + ETSI004QoS.size)) }
        payload += stream.map(Self.bytes) ?? [UInt8](repeating: 0, count: 16)
        let answer = try call(.openConnect, payload)
        let status = try status(answer)
        guard answer.count == 4 + ETSI004QoS.size + 16 else { return Opened(status: status) }
        return answer.withUnsafeBytes { bytes in
            let identifier = UUID(uuid: bytes.loadUnaligned(fromByteOffset: 4 + ETSI004QoS.size, as: uuid_t.self))
            let isOpen = status == .successful || status == .peerNotConnected
            return Opened(
                status: status, quality: ETSI004QoS(decoding: bytes.slice(4..<4 + ETSI004QoS.size)),
                stream: isOpen ? identifier : nil)
        }
    }

    /// GET_KEY: the chunk with that index.
    ///
    /// - Parameter metadataSize: bytes of metadata that the caller takes.
    public func getKey(_ stream: UUID, index: UInt32, metadataSize: UInt32 = 1024) throws -> Chunk {
        let request = Self.bytes(stream) + Self.bytes(index) + Self.bytes(metadataSize)
        let answer = try call(.getKey, request)
        let status = try status(answer)
        return try answer.withUnsafeBytes { bytes in
            switch status {
            case .successful:
                guard bytes.count >= 16 else { throw malformed() }
                let length = Int(bytes.load(bigEndian: UInt32.self, at: 8))
                guard length <= bytes.count - 16 else { throw malformed() }
                let metadata = Int(bytes.load(bigEndian: UInt32.self, at: 12 + length))
                guard metadata == bytes.count - 16 - length else { throw malformed() }
                return Chunk(
                    status: status, index: bytes.load(bigEndian: UInt32.self, at: 4),
                    key: SecureBytes(copying: bytes.slice(12..<12 + length)), metadata: Array(bytes[(16 + length)...]))
            case .metadataSizeInsufficient where bytes.count == 8:
                return Chunk(status: status, metadataSize: Int(bytes.load(bigEndian: UInt32.self, at: 4)))
            default:
                return Chunk(status: status)
            }
        }
    }

    /// CLOSE.
    public func close(_ stream: UUID) throws -> ETSI004Status { try status(call(.close, Self.bytes(stream))) }

    private static func bytes(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    private static func bytes(_ value: UUID) -> [UInt8] { withUnsafeBytes(of: value.uuid) { Array($0) } }

    private func malformed() -> Failure {
        Failure(
            .data, at: "key server \(connection.socket.remote)", "an answer that is none of ETSI GS QKD 004",
            remedy: "check address and port")
    }

    private func status(_ answer: SecureBytes) throws -> ETSI004Status {
        guard answer.count >= 4,
            let status = ETSI004Status(rawValue: answer.withUnsafeBytes { $0.load(bigEndian: UInt32.self, at: 0) })
        else { throw malformed() }
        return status
    }

    private func call(_ service: ETSI004Frame.Service, _ payload: [UInt8]) throws -> SecureBytes {
        let deadline = Deadline(in: timeout)
        try (ETSI004Frame.header(service.rawValue, payload.count) + payload).withUnsafeBytes {
            try connection.write($0, deadline)
        }
        let header = try read(ETSI004Frame.headerSize, deadline)
        let (kind, count) = header.withUnsafeBytes { ($0[3], Int($0.load(bigEndian: UInt32.self, at: 4))) }
        guard kind == service.answer, count <= Self.longestAnswer else { throw malformed() }
        return try read(count, deadline)
    }

    private func read(_ count: Int, _ deadline: Deadline) throws -> SecureBytes {
        let memory = SecureBytes(count: count)
        _ = try memory.withUnsafeMutableBytes { try connection.readWhole($0, deadline, mayEnd: false) }
        return memory
    }
}
