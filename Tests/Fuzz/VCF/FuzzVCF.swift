import Diagnostics
import Filtering
import FuzzSupport
import GenomicFormats

/// VCF text through the filter: what is taken goes out whole and is taken again. The first byte of an input chooses the
/// right.
private let rights: [VCFFilter] = {
    let regions = Selection.regions(RegionSet(["1": [2..<6, 20..<30, 35..<46, 59..<100]]))
    let list = try! Array("1\t5\t.\tA\tG\n1\t44\t.\tACGT\tA\n".utf8).withUnsafeBytes {
        try VariantList(parsing: $0, label: "list")
    }
    let disclosed = HeaderPolicy.disclose(samples: [.init(original: "bob", disclosed: "x")], source: "fuzz")
    return OverlapRule.allCases.map { VCFFilter(selection: regions, overlap: $0) } + [
        VCFFilter(selection: .everything), VCFFilter(selection: regions, fields: .genotypeOnly, header: disclosed),
        VCFFilter(selection: .variants(list), header: disclosed), VCFFilter(selection: .identifiers(["rs3"])),
    ]
}()

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let text = """
        ##fileformat=VCFv4.2
        ##INFO=<ID=END,Number=1,Type=Integer,Description="End">
        ##INFO=<ID=AC,Number=A,Type=Integer,Description="Counts">
        ##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
        ##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">
        ##contig=<ID=1,length=1000>
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann\tbob
        1\t5\trs1\tA\tC,G\t50\tPASS\tAC=1,2;END=5\tGT:PL\t0/1:1,2,3,4,5,6\t1|2:.
        1\t9\t.\tG\t<NON_REF>\t.\t.\tEND=40\tGT:PL\t0/0:0,1,2\t0/0
        1\t44\trs2;rs3\tACGT\tA,*,<DEL>\t3\tLOW\tSVLEN=1,2,-3;END=50\tGT\t0/3\t./.
        1\t60\t.\tA\tA[1:70[,]1:20]A\t.\t.\t.\tGT\t0/1\t0/2

        """
    writeSeeds(rights.indices.map { [UInt8($0)] + Array(text.utf8) })
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    guard count >= 1 else { return -1 }
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let right = rights[Int(input[0]) % rights.count]
    let text = UnsafeRawBufferPointer(rebasing: input[1...])
    guard let output = outcome({ try right.filter(text, label: "fuzz") }) else { return 0 }
    output.bytes.withUnsafeBytes { bytes in
        let again = outcome { try VCFFilter(selection: .everything).filter(bytes, label: "again") }
        require(again != nil, "the filter's output is refused")
        require(again?.counts.recordsIn == output.counts.recordsOut, "records and their count differ")
        if right.requiresSortedInput {
            do { _ = try VCFFilter(selection: .everything).run(bytes, label: "fuzz") } catch {
                // An index ends where the header's contigs end, or at base 2^29; text does not.
                let isFar = (error as? Failure)?.problem.contains("where the index ends") ?? false
                require(isFar, "the filter's output cannot be indexed")
            }
        }
    }
    return 0
}
