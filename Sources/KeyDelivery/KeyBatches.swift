import Diagnostics

/// How to take much key from a key server in few requests, by what its status allows.
public struct KeyBatches {
    private let largest: Int
    private let smallest: Int
    private let most: Int
    private let mostBits: Int

    /// - Throws: `Failure(.data)` when the status allows no key at all.
    public init(_ status: ETSI014Status) throws {
        // Whole bytes, and no more than this end takes at once.
        largest = min(status.max_key_size, 1 << 27) / 8 * 8
        smallest = max(8, (min(status.min_key_size, 1 << 40) + 7) / 8 * 8)
        // Their identifiers are announced in one message.
        most = min(max(status.max_key_per_request, 1), 1 << 14)
        mostBits = min(max(status.status_extension?.max_bits_per_request ?? 1 << 27, smallest), 1 << 30)
        guard largest >= smallest else {
            throw Failure(
                .data, at: "key server \(status.source_KME_ID)",
                "its status allows keys of \(status.min_key_size) to \(status.max_key_size) bits",
                remedy: "look at its configuration")
        }
    }

    /// Calls the body with the number of keys and their bits, request after request. The last key may be longer than
    /// what is wanted of it, where the server gives no shorter one.
    public func forEach(bytes: Int, _ body: (_ number: Int, _ bits: Int) throws -> Void) rethrows {
        var left = bytes
        while left > 0 {
            let size = max(
                smallest, min(largest, mostBits, left.multipliedReportingOverflow(by: 8).overflow ? largest : left * 8))
            let number = max(1, min(most, mostBits / size, left * 8 / size))
            try body(number, size)
            left -= number * size / 8
        }
    }

    /// Identifiers in pieces that a server of this kind gives at once: keys of other servers are small.
    public static func slices(_ identifiers: [String]) -> [[String]] {
        var slices: [[String]] = []
        var bytes = 0
        for text in identifiers {
            let length = KeyIdentifier(text)?.length ?? 0
            if slices.isEmpty || slices[slices.count - 1].count == KeyManagementEntity.mostKeysPerRequest
                || bytes + length > KeyManagementEntity.mostBytesPerRequest
            {
                slices.append([])
                bytes = 0
            }
            slices[slices.count - 1].append(text)
            bytes += length
        }
        return slices
    }
}
