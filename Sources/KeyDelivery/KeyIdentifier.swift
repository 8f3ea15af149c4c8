import CCrypto
import Foundation

/// The `key_ID` of ETSI GS QKD 014: where a key lies in the stream from its master to its slave SAE.
///
/// A UUID of version 8 (RFC 9562): 48 bits of offset, 24 of length, both in bytes, and 50 bits of SHA-256 over these
/// and the names of pool, master and slave. So neither end has to remember which identifiers it gave out, and a key
/// asked for by the wrong SAE is told from one that never was. An identifier is no secret.
public struct KeyIdentifier: Sendable, Equatable {
    public static let longestKey = 1 << 24 - 1
    static let highestOffset: UInt64 = 1 << 48 - 1

    let offset: UInt64
    let length: Int
    let check: UInt64

    package init(pool: String, master: String, slave: String, offset: UInt64, length: Int) {
        precondition(offset <= Self.highestOffset && length > 0 && length <= Self.longestKey)
        self.offset = offset
        self.length = length
        check = Self.check(pool, master, slave, offset, length)
    }

    /// Nil when the text is no identifier that a node of this kind gives out.
    init?(_ text: String) {
        guard text.utf8.count == 36, let uuid = UUID(uuidString: text)?.uuid else { return nil }
        let bytes = withUnsafeBytes(of: uuid) { Array($0) }
        guard bytes[6] >> 4 == 8, bytes[8] >> 6 == 2 else { return nil }
        func number(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
        let low = number(8..<16) & (1 << 62 - 1)
        offset = number(0..<6)
        length = Int((number(6..<8) & 0xFFF) << 12 | low >> 50)
        check = low & (1 << 50 - 1)
        guard length > 0 else { return nil }
    }

    /// The text form, 36 characters.
    package var text: String {
        let high = offset << 16 | 8 << 12 | UInt64(length) >> 12
        let low = 1 << 63 | (UInt64(length) & 0xFFF) << 50 | check
        let digits = [high, low].map { value in
            let hex = String(value, radix: 16)
            return String(repeating: "0", count: 16 - hex.count) + hex
        }.joined()
        var text = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text.append("-") }
            text.append(digit)
        }
        return text
    }

    /// Whether it names a key of this pair.
    func belongs(pool: String, master: String, slave: String) -> Bool {
        check == Self.check(pool, master, slave, offset, length)
    }

    private static func check(
        _ pool: String, _ master: String, _ slave: String, _ offset: UInt64, _ length: Int
    ) -> UInt64 {
        // Names hold no NUL, so the text is unambiguous.
        let text = Array("dsgd key_ID\0\(pool)\0\(master)\0\(slave)\0\(offset)\0\(length)".utf8)
        var digest = [UInt8](repeating: 0, count: 32)
        SHA256(text, text.count, &digest)
        return digest.prefix(7).reduce(0) { $0 << 8 | UInt64($1) } >> 6
    }
}
