internal import CCrypto
internal import Diagnostics
internal import Foundation
internal import GRDB

/// One line of the audit log.
public struct AuditLine: Sendable, Codable, Equatable {
    public var sequence: Int
    /// Seconds since 1970-01-01.
    public var at: Double
    /// The event as JSON with sorted keys; `kind` names it.
    public var event: String
    /// SHA-256 of the line before, hexadecimal; 64 zeros for the first.
    public var previous: String
    /// SHA-256 over sequence, time, event and `previous`, hexadecimal.
    public var hash: String

    public init(sequence: Int, at: Double, event: String, previous: String, hash: String) {
        self.sequence = sequence
        self.at = at
        self.event = event
        self.previous = previous
        self.hash = hash
    }
}

/// A hash chain of decisions, refusals and deliveries: a line that was changed, removed or put in between breaks it.
///
/// The guarantee is computational (SHA-256), and covers every line before one whose hash is known from elsewhere:
/// whoever may write the file can still cut off its end.
public enum AuditLog {
    static let origin = String(repeating: "0", count: 64)

    static func append(_ kind: String, _ details: [String: String], to database: Database) throws {
        var fields = details
        fields["kind"] = kind
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let event = String(decoding: try encoder.encode(fields), as: UTF8.self)
        let last = try Row.fetchOne(database, sql: "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
        let sequence: Int = (last?["sequence"] ?? 0) + 1
        let previous: String = last?["hash"] ?? origin
        let at = (Date().timeIntervalSince1970 * 1000).rounded() / 1000
        try database.execute(
            sql: "INSERT INTO audit(sequence, at, event, previous, hash) VALUES (?, ?, ?, ?, ?)",
            arguments: [sequence, at, event, previous, hash(sequence, at, event, previous)])
    }

    static func lines(_ database: Database) throws -> [AuditLine] {
        try Row.fetchAll(database, sql: "SELECT * FROM audit ORDER BY sequence").map {
            AuditLine(
                sequence: $0["sequence"], at: $0["at"], event: $0["event"], previous: $0["previous"], hash: $0["hash"])
        }
    }

    /// Checks the whole chain.
    ///
    /// - Throws: `Failure(.data)` that names the first line which does not follow from the one before it.
    public static func verify(_ lines: [AuditLine]) throws {
        var previous = origin
        for (index, line) in lines.enumerated() {
            let place = "audit line \(index + 1)"
            let remedy = "compare with a copy of the log; the catalogue was changed outside DSGD"
            guard line.sequence == index + 1 else {
                throw Failure(.data, at: place, "its number is \(line.sequence), lines are missing", remedy: remedy)
            }
            guard line.previous == previous else {
                throw Failure(.data, at: place, "it does not follow from the line before", remedy: remedy)
            }
            guard line.hash == hash(line.sequence, line.at, line.event, line.previous) else {
                throw Failure(.data, at: place, "its content does not match its hash", remedy: remedy)
            }
            previous = line.hash
        }
    }

    static func hash(_ sequence: Int, _ at: Double, _ event: String, _ previous: String) -> String {
        sha256Hex(Array("\(sequence)\n\(at)\n\(previous)\n\(event)".utf8))
    }
}

/// SHA-256 of `bytes`, as 64 hexadecimal digits.
public func sha256Hex(_ bytes: [UInt8]) -> String {
    var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
    _ = SHA256(bytes, bytes.count, &digest)
    return hexadecimal(digest)
}

/// Lower-case hexadecimal digits of `bytes`.
public func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
