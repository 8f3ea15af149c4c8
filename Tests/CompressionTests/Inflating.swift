import Compression

/// Pushes bytes in pieces and gathers what comes out.
func inflate(
    _ bytes: [UInt8], pieces: Int = 1 << 20, limits: GzipInflater.Limits = .init(), threads: Int = 1
) throws -> [UInt8] {
    var result = [UInt8]()
    let inflater = GzipInflater(label: "in.gz", limits: limits, threads: threads)
    var at = 0
    while at < bytes.count {
        let end = min(at + pieces, bytes.count)
        try bytes[at..<end].withUnsafeBytes { try inflater.feed($0) { result.append(contentsOf: $0) } }
        at = end
    }
    try inflater.finish { result.append(contentsOf: $0) }
    return result
}
