import BinaryVariants
import FuzzSupport

/// Plain BCF to text, in pieces of the size that the first byte says. What is taken and can be written as BCF again is
/// read again.
private func decode(_ bytes: UnsafeRawBufferPointer, piece: Int) -> [UInt8]? {
    outcome {
        var text: [UInt8] = []
        let decoder = BCFDecoder(label: "fuzz")
        var at = 0
        while at < bytes.count {
            let end = min(bytes.count, at + piece)
            try decoder.feed(UnsafeRawBufferPointer(rebasing: bytes[at..<end])) { text.append(contentsOf: $0) }
            at = end
        }
        try decoder.finish()
        return text
    }
}

private func encode(_ text: [UInt8]) -> [UInt8]? {
    outcome {
        var bytes: [UInt8] = []
        let writer = BCFWriter(label: "fuzz", form: .plain, makesIndex: false) { bytes.append(contentsOf: $0) }
        try text.withUnsafeBytes { try writer.write($0) }
        _ = try writer.finish()
        return bytes
    }
}

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let text = """
        ##fileformat=VCFv4.2
        ##FILTER=<ID=LOW,Description="Low">
        ##INFO=<ID=END,Number=1,Type=Integer,Description="End">
        ##INFO=<ID=AF,Number=A,Type=Float,Description="Frequencies">
        ##INFO=<ID=DB,Number=0,Type=Flag,Description="Known">
        ##INFO=<ID=S,Number=.,Type=String,Description="Text">
        ##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
        ##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">
        ##contig=<ID=1,length=1000>
        ##contig=<ID=2>
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann\tbob
        1\t5\trs1\tA\tC,G\t50\tPASS\tAF=0.5,0.25;DB\tGT:PL\t0/1:1,2,3,4,5,6\t1|2:.
        1\t9\t.\tG\t<NON_REF>\t.\t.\tEND=40;S=a,b\tGT:PL\t0/0:0,1,2000000\t.
        2\t44\trs2;rs3\tACGT\tA,*,<DEL>\t3.5\tLOW\tS=long text of more than fifteen letters\tGT\t0/3\t./.

        """
    if let bytes = encode(Array(text.utf8)) { writeSeeds([1, 7, 255].map { [$0] + bytes }) }
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    guard count >= 1 else { return -1 }
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let bytes = UnsafeRawBufferPointer(rebasing: input[1...])
    guard let text = decode(bytes, piece: max(1, Int(input[0]))) else { return 0 }
    require(text == decode(bytes, piece: 1 << 16), "the text depends on how the bytes came")
    if let again = encode(text) {
        require(again.withUnsafeBytes { decode($0, piece: 1 << 16) } != nil, "BCF that was written is refused")
    }
    return 0
}
