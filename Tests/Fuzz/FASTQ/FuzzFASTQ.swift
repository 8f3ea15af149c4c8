import FuzzSupport
import GenomicFormats

/// FASTQ as batches of reads: the pieces in which it arrives, of the size of the input's first byte, change nothing.
private struct Parsed: Equatable {
    var reads = 0
    var bases: [UInt8] = []
    var qualities: [UInt8] = []
}

private func parse(_ bytes: UnsafeRawBufferPointer, layout: ReadLayout, piece: Int) throws -> Parsed {
    var parsed = Parsed()
    let parser = FASTQParser(label: "fuzz")
    var blocks: [FASTQBlock] = []
    try inPieces(of: piece, bytes) { try parser.feed($0) { blocks.append($0) } }
    try parser.finish { blocks.append($0) }
    require(blocks.reduce(0) { $0 + $1.byteCount } == bytes.count, "bytes that nobody counted")
    let source = { blocks.isEmpty ? nil : blocks.removeFirst() } as ReadBatcher.Source
    _ = try ReadBatcher(layout: layout, streams: [("fuzz", source)]).run { batch in
        parsed.reads += batch.readCount
        parsed.bases += batch.bases
        parsed.qualities += batch.qualities
    }
    return parsed
}

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let texts = [
        "@a/1 x\nACGTN\n+\nIIIII\n@a/2\nAC\n+\nII\n", "@a\r\nAC\r\n+\r\nII\r\n",
        "@r 1:N:0:A\nacgtRYKM\n+r\n!\"#$%&'(\n\n", "@s.1.1\nA\n+\nI\n@s.1.2\nA\n+\nI\n",
    ]
    writeSeeds(texts.map { [7] + Array($0.utf8) })
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    guard count >= 1 else { return -1 }
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let text = UnsafeRawBufferPointer(rebasing: input[1...])
    for layout in [ReadLayout.unpaired, .interleaved] {
        let whole = outcome { try parse(text, layout: layout, piece: text.count) }
        require(
            whole == outcome { try parse(text, layout: layout, piece: Int(input[0])) },
            "the pieces of the input change the reads")
        if let whole { require(whole.bases.count == whole.qualities.count, "bases without qualities") }
    }
    return 0
}
