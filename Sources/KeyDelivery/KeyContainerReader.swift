import Channel
import Glibc
package import Kernels

/// Takes keys out of a key container (ETSI GS QKD 014, 6.3) in any valid JSON form, in place: the memory that held the
/// text holds the keys, one after the other, when it returns. Key is never in a `String`.
package struct KeyContainerReader {
    package struct Malformed: Error { package var problem: String }

    private let text: UnsafeMutableRawBufferPointer
    private var at = 0
    private var written = 0
    private var identifiers: [String] = []
    private var lengths: [Int] = []

    private init(_ text: UnsafeMutableRawBufferPointer) { self.text = text }

    package static func read(_ memory: SecureBytes, count: Int) throws -> KeyContainer {
        let (identifiers, lengths) = try memory.withUnsafeMutableBytes { bytes in
            var reader = KeyContainerReader(bytes.slice(0..<count))
            do {
                try reader.container()
            } catch {
                wipe(bytes)
                throw error
            }
            wipe(bytes.slice(reader.written..<count))
            return (reader.identifiers, reader.lengths)
        }
        return KeyContainer(identifiers: identifiers, lengths: lengths, bytes: memory)
    }

    private mutating func container() throws {
        var isThere = false
        try object { reader, name in
            guard name == "keys", !isThere else { return try reader.skip(depth: 0) }
            isThere = true
            try reader.array { try $0.key() }
        }
        blanks()
        guard at == text.count, isThere else { throw Malformed(problem: "the answer is no key container") }
    }

    private mutating func key() throws {
        var identifier: String?
        var length: Int?
        try object { reader, name in
            switch name {
            case "key_ID" where identifier == nil: identifier = try reader.shortString()
            case "key" where length == nil: length = try reader.base64()
            default: try reader.skip(depth: 0)
            }
        }
        guard let identifier, let length else { throw Malformed(problem: "a key has no key_ID or no key") }
        identifiers.append(identifier)
        lengths.append(length)
    }

    /// Decodes to where the last key ended, which lies before the text.
    private mutating func base64() throws -> Int {
        let range = try string()
        var end = range.upperBound
        if memchr(text.baseAddress! + range.lowerBound, 0x5c, range.count) != nil {
            // JSON lets a slash be escaped; nothing else of base64 can be.
            end = range.lowerBound
            var from = range.lowerBound
            while from < range.upperBound {
                if text[from] == 0x5c {
                    from += 1
                    guard text[from] == 0x2f else { throw Malformed(problem: "a key is not base64") }
                }
                text[end] = text[from]
                end += 1
                from += 1
            }
        }
        let source = UnsafeRawBufferPointer(text.slice(range.lowerBound..<end))
        let room = source.count / 4 * 3
        guard source.count > 0, let count = Base64.decode(source, into: text.slice(written..<written + room)) else {
            throw Malformed(problem: "a key is not base64")
        }
        written += count
        return count
    }

    // MARK: - JSON

    private mutating func blanks() {
        while at < text.count, [0x20, 0x09, 0x0a, 0x0d].contains(text[at]) { at += 1 }
    }

    private mutating func peek() throws -> UInt8 {
        blanks()
        guard at < text.count else { throw Malformed(problem: "the answer ends too early") }
        return text[at]
    }

    private mutating func expect(_ character: Character) throws {
        guard try peek() == character.asciiValue else { throw Malformed(problem: "the answer is not JSON") }
        at += 1
    }

    private mutating func object(_ body: (inout Self, String) throws -> Void) throws {
        try expect("{")
        if try peek() == UInt8(ascii: "}") { return at += 1 }
        while true {
            _ = try peek()
            let name = try shortString()
            try expect(":")
            try body(&self, name)
            if try peek() == UInt8(ascii: "}") { return at += 1 }
            try expect(",")
        }
    }

    private mutating func array(_ body: (inout Self) throws -> Void) throws {
        try expect("[")
        if try peek() == UInt8(ascii: "]") { return at += 1 }
        while true {
            try body(&self)
            if try peek() == UInt8(ascii: "]") { return at += 1 }
            try expect(",")
        }
    }

    /// The bytes between the quotation marks, escapes as they stand.
    private mutating func string() throws -> Range<Int> {
        try expect("\"")
        let first = at
        while at < text.count, let found = memchr(text.baseAddress! + at, 0x22, text.count - at) {
            let end = UnsafeRawPointer(found) - UnsafeRawPointer(text.baseAddress!)
            var escapes = 0
            while end - 1 - escapes >= first, text[end - 1 - escapes] == 0x5c { escapes += 1 }
            at = end + 1
            if escapes.isMultiple(of: 2) { return first..<end }
        }
        throw Malformed(problem: "the answer ends in a string")
    }

    /// A name or identifier; these have no use for escapes.
    private mutating func shortString() throws -> String {
        let range = try string()
        let bytes = UnsafeRawBufferPointer(text.slice(range))
        guard range.count <= 256, !bytes.contains(0x5c) else {
            throw Malformed(problem: "a name or key_ID cannot be read")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func skip(depth: Int) throws {
        guard depth < 64 else { throw Malformed(problem: "the answer is nested too deeply") }
        switch try peek() {
        case UInt8(ascii: "{"):
            try object { reader, _ in try reader.skip(depth: depth + 1) }
        case UInt8(ascii: "["):
            try array { try $0.skip(depth: depth + 1) }
        case UInt8(ascii: "\""):
            _ = try string()
        default:
            let first = at
            while at < text.count, !Self.ends.contains(text[at]) { at += 1 }
            guard at > first else { throw Malformed(problem: "the answer is not JSON") }
        }
    }

    private static let ends: Set<UInt8> = [0x20, 0x09, 0x0a, 0x0d, 0x2c, 0x5d, 0x7d]
}
