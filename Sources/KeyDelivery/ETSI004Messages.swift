import Channel
import Foundation

/// Quality of service of ETSI GS QKD 004 V2.1.1. Numbers have 32 bits on the wire.
public struct ETSI004QoS: Sendable, Equatable {
    /// Bytes of key that one GET_KEY gives.
    public var keyChunkSize = 32
    /// Bits of key per second, at most and at least. 0 asks for nothing.
    public var maxBps = 0
    public var minBps = 0
    /// Expected deviation, and importance; nodes of this kind serve all alike and hand these back as they came.
    public var jitter = 0
    public var priority = 0
    /// Milliseconds that a call may take.
    public var timeout = 5000
    /// Seconds that key waits for the peer; 0 for what the node has.
    public var ttl = 0
    /// Form of the metadata that come with key: `application/json`, or empty for none.
    public var metadataMimetype = ""

    public init() {}

    static let numbers = 7
    static let mimetypeSize = 256
    static let size = numbers * 4 + mimetypeSize

    func encode(into bytes: UnsafeMutableRawBufferPointer) {
        let values = [keyChunkSize, maxBps, minBps, jitter, priority, timeout, ttl]
        for (index, value) in values.enumerated() {
            bytes.store(bigEndian: UInt32(clamping: value), at: 4 * index)
        }
        let name = Array(metadataMimetype.utf8.prefix(Self.mimetypeSize))
        for index in 0..<Self.mimetypeSize { bytes[4 * Self.numbers + index] = index < name.count ? name[index] : 0 }
    }

    init(decoding bytes: UnsafeRawBufferPointer) {
        let values = (0..<Self.numbers).map { Int(bytes.load(bigEndian: UInt32.self, at: 4 * $0)) }
        keyChunkSize = values[0]
        maxBps = values[1]
        minBps = values[2]
        jitter = values[3]
        priority = values[4]
        timeout = values[5]
        ttl = values[6]
        metadataMimetype = String(decoding: bytes[(4 * Self.numbers)...].prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// Status of a call of ETSI GS QKD 004 V2.1.1.
public enum ETSI004Status: UInt32, Sendable {
    case successful = 0
    /// OPEN_CONNECT succeeded; the peer application is not connected.
    case peerNotConnected = 1
    /// GET_KEY: there is no key at this index.
    case insufficientKey = 2
    /// GET_KEY and CLOSE: this key stream is not open.
    case streamNotConnected = 3
    /// There is no way to the peer, or the applications are not those that the node knows.
    case noConnection = 4
    /// OPEN_CONNECT: the key stream, or another of the same two applications, is open.
    case streamInUse = 5
    case timeout = 6
    /// OPEN_CONNECT: nothing was opened; the answer has what the node can give.
    case qualityNotMet = 7
    /// GET_KEY: the metadata are longer than the caller takes; the answer has their size. No key was spent.
    case metadataSizeInsufficient = 8
}

/// The frame around each message: version (3 bytes), service (1), length of what follows (4, big-endian).
enum ETSI004Frame {
    static let headerSize = 8
    static let version: [UInt8] = [1, 0, 1]
    static let longestRequest = 16 << 10

    enum Service: UInt8 {
        case openConnect = 2
        case getKey = 4
        case close = 8

        /// The answer's service is the request's and one.
        var answer: UInt8 { rawValue + 1 }
    }

    static func header(_ service: UInt8, _ count: Int) -> [UInt8] {
        version + [service] + withUnsafeBytes(of: UInt32(count).bigEndian) { Array($0) }
    }
}
