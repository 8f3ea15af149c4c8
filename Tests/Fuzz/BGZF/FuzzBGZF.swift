import Compression
import FuzzSupport

/// The filter's reader of block groups against the reader of streams: the same bytes, or a refusal by both. The first
/// byte of an input is the size of the pieces in which the rest arrives.
private let mostOutput = 4 << 20
private let limits = GzipInflater.Limits(maximumOutput: mostOutput)

private func inGroups(_ bytes: UnsafeRawBufferPointer, piece: Int) throws -> [UInt8] {
    let reader = BGZFGroupReader(label: "fuzz", limits: limits) { room, offset in
        let count = min(room.count, max(0, bytes.count - offset), max(1, piece))
        room.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
        return count
    }
    let inflater = BGZFBlockInflater()
    var result: [UInt8] = []
    while let group = reader.next() {
        group.inflate(with: inflater, label: "fuzz")
        result.append(contentsOf: group.plain)
        if !group.plain.isEmpty {
            let place = group.fileOffset(ofPlainByte: group.plain.count - 1)
            require((0...bytes.count).contains(place), "a byte lies outside of the file")
        }
        if let failure = group.failure { throw failure }
    }
    return result
}

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let text = Array("##fileformat=VCFv4.2\n1\t5\t.\tA\tC\t1\t.\t.\n".utf8)
    let block = text.withUnsafeBytes { Array(BGZF.compress($0, level: .fast).bytes.dropLast(BGZF.endMarker.count)) }
    // One member as gzip(1) writes it, of a stored block.
    let member: [UInt8] =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1, 1, 0, 0xfe, 0xff, 0x41, 0x8b, 0x9e, 0xd9, 0xd3, 1, 0, 0, 0]
    let many = [[UInt8]](repeating: block, count: 20).flatMap(\.self)
    writeSeeds(
        [
            block + BGZF.endMarker, many + BGZF.endMarker, block + BGZF.endMarker + block + BGZF.endMarker,
            block + BGZF.endMarker + [0, 0, 0], many, block + member, member + block + BGZF.endMarker, text,
            block + BGZF.endMarker + text, many + BGZF.endMarker.dropLast(5),
        ].map { [99] + $0 })
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    guard count >= 2 else { return -1 }
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let rest = UnsafeRawBufferPointer(rebasing: input[1...])
    let groups = outcome { try inGroups(rest, piece: rest.count) }
    require(groups == outcome { try inGroups(rest, piece: Int(input[0])) }, "the pieces of the input change the output")
    let stream = outcome { try GzipInflater.inflate(rest, label: "fuzz", limits: limits) }
    require(groups == stream, "the readers of groups and of streams disagree")
    return 0
}
