import Channel
import Foundation
import Kernels

/// Key container of ETSI GS QKD 014, 6.3, as JSON. Key passes through secret memory only, never through a `String`.
enum KeyContainerText {
    private static let opening = Array("{\"keys\":[".utf8)
    private static let closing = Array("]}".utf8)

    private static func head(_ identifier: String, isFirst: Bool) -> [UInt8] {
        Array((isFirst ? "" : ",").utf8) + Array("{\"key_ID\":\"\(identifier)\",\"key\":\"".utf8)
    }

    private static let tail = Array("\"}".utf8)

    /// Bytes that `write` will write.
    static func length(_ keys: KeyContainer) -> Int {
        var count = opening.count + closing.count
        for (index, identifier) in keys.identifiers.enumerated() {
            count += head(identifier, isFirst: index == 0).count + Base64.length(ofBytes: keys.lengths[index])
            count += tail.count
        }
        return count
    }

    /// Calls `send` with one part after the other, `head` in front of the first. `scratch` holds each part and is wiped.
    static func write(
        _ keys: KeyContainer, after head: [UInt8] = [], through scratch: SecureBytes,
        _ send: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try scratch.withUnsafeMutableBytes { scratch in
            var (used, most) = (0, 0)
            defer { wipe(scratch.slice(0..<max(used, most))) }
            func flush() throws {
                most = max(used, most)
                try send(UnsafeRawBufferPointer(scratch.slice(0..<used)))
                used = 0
            }
            func append(_ bytes: [UInt8]) throws {
                if used + bytes.count > scratch.count { try flush() }
                scratch.slice(used..<used + bytes.count).copyBytes(from: bytes)
                used += bytes.count
            }
            try append(head)
            try append(opening)
            var isFirst = true
            try keys.forEach { identifier, key in
                try append(Self.head(identifier, isFirst: isFirst))
                isFirst = false
                var at = 0
                while at < key.count {
                    if scratch.count - used < 4 { try flush() }
                    let part = min(key.count - at, (scratch.count - used) / 4 * 3)
                    let text = Base64.length(ofBytes: part)
                    Base64.encode(key.slice(at..<at + part), into: scratch.slice(used..<used + text))
                    used += text
                    at += part
                }
                try append(tail)
            }
            try append(closing)
            try flush()
        }
    }
}
