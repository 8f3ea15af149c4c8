import FuzzSupport
import GenomicFormats

/// FASTA: the pieces in which it arrives, of the size of the input's first byte, change neither names nor bases.
private func parse(_ bytes: UnsafeRawBufferPointer, piece: Int) throws -> [String: [UInt8]] {
    let parser = FASTAParser(label: "fuzz")
    try inPieces(of: piece, bytes) { try parser.feed($0) }
    return Dictionary(uniqueKeysWithValues: try parser.finish().contigs.map { ($0.name, $0.bases) })
}

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let texts = [
        ">chr1 first\r\nACgt\r\nNRYX*-\n\n>chr2\nTTT\nA", "\n>HLA:HLA-A*01:01\tx\nacgtu\n", ">a\n\r\nAC\r\n>b\nNNNN\nG\n",
    ]
    writeSeeds(texts.map { [5] + Array($0.utf8) })
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    guard count >= 1 else { return -1 }
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let text = UnsafeRawBufferPointer(rebasing: input[1...])
    let whole = outcome { try parse(text, piece: text.count) }
    require(whole == outcome { try parse(text, piece: Int(input[0])) }, "the pieces of the input change the reference")
    if let whole { require(whole.values.allSatisfy { !$0.isEmpty && $0.allSatisfy { $0 <= 4 } }, "a code that is no base") }
    return 0
}
