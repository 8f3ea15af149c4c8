import Diagnostics
import Storage

/// Reads a list of variants' IDs, one a line, plain or gzip; lines that begin with '#' are passed over.
public enum IdentifierList {
    /// - Throws: ``Failure`` with the line: several words, a semicolon (which separates IDs in VCF), '.'; and for a list
    ///   without IDs.
    public static func read(_ path: String) throws -> Set<String> {
        let bytes = try readWhole(path)
        return try bytes.withUnsafeBytes { try parse($0, label: path) }
    }

    public static func parse(_ bytes: UnsafeRawBufferPointer, label: String) throws -> Set<String> {
        var identifiers: Set<String> = []
        try TableReader.forEachLine(of: bytes, label: label) { number, line in
            guard line[0] != UInt8(ascii: "#") else { return }
            let text = String(decoding: line, as: UTF8.self)
            let words = text.split(whereSeparator: \.isWhitespace)
            guard words.count < 2, !text.contains(";"), text != "." else {
                throw Failure(
                    .data, at: "\(label):line \(number)", "is no ID", remedy: "write one ID a line, or use -T for a table")
            }
            if let word = words.first { identifiers.insert(String(word)) }
        }
        guard !identifiers.isEmpty else {
            throw Failure(.data, at: label, "names no ID", remedy: "write one ID a line")
        }
        return identifiers
    }
}
