import Compression
import FuzzSupport

/// gzip, BGZF and plain input: however it arrives, the same bytes or a refusal come out. The first byte of an input is
/// the size of the pieces in which the rest arrives.
private let mostOutput = 4 << 20

private func inflate(_ bytes: UnsafeRawBufferPointer, piece: Int) throws -> [UInt8] {
    var result: [UInt8] = []
    let inflater = GzipInflater(label: "fuzz", limits: .init(maximumOutput: mostOutput))
    try inPieces(of: piece, bytes) { try inflater.feed($0) { result.append(contentsOf: $0) } }
    try inflater.finish { result.append(contentsOf: $0) }
    return result
}

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let text = Array("@read/1\nACGTACGTTTGA\n+\nIIIIIIIIIIII\n".utf8)
    let many = (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) }
    // One member as gzip(1) writes it, of a stored block; two members; with a name.
    let member: [UInt8] =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1, 1, 0, 0xfe, 0xff, 0x41, 0x8b, 0x9e, 0xd9, 0xd3, 1, 0, 0, 0]
    let named = [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255, 0x61, 0] + member[10...]
    let blocks = [text, many].map { plain in plain.withUnsafeBytes { BGZF.compress($0, level: .fast).bytes } }
    writeSeeds(([text, member, member + member, named] + blocks).map { [99] + $0 })
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    guard count >= 2 else { return -1 }
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let rest = UnsafeRawBufferPointer(rebasing: input[1...])
    let whole = outcome { try inflate(rest, piece: rest.count) }
    require(whole == outcome { try inflate(rest, piece: Int(input[0])) }, "the pieces of the input change the output")
    let limits = GzipInflater.Limits(maximumOutput: mostOutput)
    let threads = 1 + Int(input[0]) % 3
    let memory = outcome { try GzipInflater.inflate(rest, label: "fuzz", limits: limits, threads: threads) }
    require(whole == memory, "the readers of streams and of memory disagree")
    return 0
}
