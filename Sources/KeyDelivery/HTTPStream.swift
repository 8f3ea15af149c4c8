import Channel
import Diagnostics
import Glibc
import Kernels

/// The head of an HTTP/1.1 message.
struct HTTPHead {
    /// Request line or status line, its three parts.
    var start: [String]
    /// Names in lower case.
    var fields: [(name: String, value: String)]

    func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    /// Whether the connection goes on after this message.
    func keepsAlive(version: String) -> Bool {
        let options = values("connection").joined(separator: ",").lowercased().split(separator: ",")
            .map { $0.drop { $0 == " " } }
        return version == "HTTP/1.0" ? options.contains("keep-alive") : !options.contains("close")
    }
}

/// A message that is no HTTP/1.1, or more than this end takes.
struct HTTPFault: Error {
    var problem: String
}

/// Reads HTTP/1.1 messages (RFC 9112) from a TLS connection. Bodies, which may hold key, go into secret memory.
final class HTTPStream {
    static let longestHead = 16 << 10

    private let connection: TLSConnection
    private let pool: SecretMemoryPool
    /// Bytes that came and were not used: `start..<end` of the memory.
    private let held = SecureBytes(count: 64 << 10)
    private var start = 0
    private var end = 0
    /// Whether all that came was used.
    var isRead: Bool { start == end }

    /// - Parameter pool: where the memory of bodies comes from.
    init(_ connection: TLSConnection, _ pool: SecretMemoryPool) {
        self.connection = connection
        self.pool = pool
    }

    /// More bytes into `held`; false when the peer has ended.
    private func fill(_ deadline: Deadline) throws -> Bool {
        try held.withUnsafeMutableBytes { bytes in
            if start == end { (start, end) = (0, 0) }
            if end == bytes.count, start > 0 {
                memmove(bytes.baseAddress!, bytes.baseAddress! + start, end - start)
                (start, end) = (0, end - start)
            }
            guard end < bytes.count else { throw HTTPFault(problem: "a line is too long") }
            let count = try connection.read(bytes.slice(end..<bytes.count), deadline)
            end += count
            return count > 0
        }
    }

    /// A line without its end; nil when the peer ended before its first byte and `mayEnd`.
    private func line(limit: Int, mayEnd: Bool, _ deadline: Deadline) throws -> String? {
        var looked = start
        while true {
            let found = held.withUnsafeBytes { $0[looked..<end].firstIndex(of: 10) }
            if let found {
                guard found > start, found - start <= limit else {
                    throw HTTPFault(problem: "a line is too long, or has no carriage return")
                }
                let text = try held.withUnsafeBytes { bytes -> String in
                    let line = bytes[start..<found]
                    guard line.last == 13, line.dropLast().allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 }) else {
                        throw HTTPFault(problem: "a line has control characters, or no carriage return")
                    }
                    return String(decoding: line.dropLast(), as: UTF8.self)
                }
                start = found + 1
                return text
            }
            guard end - start <= limit else { throw HTTPFault(problem: "a line is too long") }
            let offset = end - start
            guard try fill(deadline) else {
                if mayEnd, offset == 0 { return nil }
                throw Failure(
                    .peerUnavailable, at: connection.socket.remote, "the peer ended in the middle of a message",
                    remedy: "connect again")
            }
            looked = start + offset
        }
    }

    /// The next message's head; nil when the peer has ended.
    func head(_ deadline: Deadline) throws -> HTTPHead? {
        var first = ""
        // An empty line may stand before a request.
        for _ in 0..<2 where first.isEmpty {
            guard let line = try line(limit: 8192, mayEnd: true, deadline) else { return nil }
            first = line
        }
        let parts = first.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 2, parts.allSatisfy({ !$0.contains("\t") }) else {
            throw HTTPFault(problem: "the first line is not that of an HTTP message")
        }
        return HTTPHead(start: parts, fields: try fields(deadline))
    }

    private func fields(_ deadline: Deadline) throws -> [(name: String, value: String)] {
        var fields: [(name: String, value: String)] = []
        var left = Self.longestHead
        while let line = try line(limit: left, mayEnd: false, deadline), !line.isEmpty {
            left -= line.utf8.count + 2
            guard left > 0, let colon = line.firstIndex(of: ":"), colon > line.startIndex,
                line[..<colon].utf8.allSatisfy(Self.isToken)
            else {
                throw HTTPFault(problem: "a header field cannot be read, or the header is too long")
            }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            let trimmed = value.reversed().drop { $0 == " " || $0 == "\t" }.reversed()
            fields.append((line[..<colon].lowercased(), String(trimmed)))
        }
        return fields
    }

    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            return true
        default: return "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    // MARK: - Bodies

    /// How the end of a body is told.
    enum Framing: Equatable { case length(Int), chunked, untilClose }

    /// - Parameter otherwise: what holds when the head says nothing.
    func framing(_ head: HTTPHead, otherwise: Framing) throws -> Framing {
        let lengths = head.values("content-length")
        let codings = head.values("transfer-encoding")
        if !codings.isEmpty {
            guard codings.count == 1, codings[0].lowercased() == "chunked", lengths.isEmpty else {
                throw HTTPFault(problem: "this transfer coding is not supported")
            }
            return .chunked
        }
        guard let text = lengths.first else { return otherwise }
        guard lengths.count == 1, !text.isEmpty, text.utf8.count <= 15, text.utf8.allSatisfy({ 48...57 ~= $0 }),
            let length = Int(text)
        else {
            throw HTTPFault(problem: "content-length cannot be read")
        }
        return .length(length)
    }

    /// A body of at most `limit` bytes in secret memory that may be longer than it.
    func body(_ framing: Framing, limit: Int, _ deadline: Deadline) throws -> (bytes: SecureBytes, count: Int) {
        var body = (bytes: SecureBytes(count: 0), count: 0)
        switch framing {
        case .length(let length):
            try take(length, into: &body, limit, deadline)
        case .chunked:
            while true {
                let line = try line(limit: 256, mayEnd: false, deadline) ?? ""
                let digits = line.prefix { $0 != ";" && $0 != " " }
                guard digits.utf8.count <= 8, let count = Int(digits, radix: 16), count >= 0,
                    digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") })
                else {
                    throw HTTPFault(problem: "a chunk's length cannot be read")
                }
                if count == 0 { break }
                try take(count, into: &body, limit, deadline)
                guard try self.line(limit: 2, mayEnd: false, deadline)?.isEmpty == true else {
                    throw HTTPFault(problem: "a chunk has another length than it says")
                }
            }
            _ = try fields(deadline)
        case .untilClose:
            while try start < end || fill(deadline) { try take(end - start, into: &body, limit, deadline) }
        }
        return body
    }

    private func take(
        _ count: Int, into body: inout (bytes: SecureBytes, count: Int), _ limit: Int, _ deadline: Deadline
    ) throws {
        guard count <= limit - body.count else {
            throw HTTPFault(problem: "the body of a message exceeds \(limit) bytes")
        }
        let whole = body.count + count
        if whole > body.bytes.count {
            let larger = pool.borrow(max(whole, min(limit, 2 * body.bytes.count)))
            larger.withUnsafeMutableBytes { to in
                body.bytes.withUnsafeBytes { to.copyMemory(from: $0.slice(0..<body.count)) }
            }
            pool.giveBack(body.bytes, used: body.count)
            body.bytes = larger
        }
        let from = body.count
        try body.bytes.withUnsafeMutableBytes { bytes in
            var at = from
            held.withUnsafeMutableBytes { held in
                let part = min(count, end - start)
                let source = held.slice(start..<start + part)
                bytes.slice(at..<at + part).copyMemory(from: UnsafeRawBufferPointer(source))
                wipe(source)
                start += part
                at += part
            }
            while at < whole {
                let read = try connection.read(bytes.slice(at..<whole), deadline)
                guard read > 0 else {
                    throw Failure(
                        .peerUnavailable, at: connection.socket.remote, "the peer ended in the middle of a message",
                        remedy: "connect again")
                }
                at += read
            }
        }
        body.count = whole
    }
}
