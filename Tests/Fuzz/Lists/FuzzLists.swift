import FuzzSupport
import GenomicFormats

/// Regions (BED), lists of variants and lists of FASTQ files.
@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let texts = [
        "track x\nchr1\t20\t30\tname\nchr1\t5\t9\r\n# note\nchr2\t1\t2\n",
        "1\t5\trs1\tA\tC,G\n1\t9\t.\tACG\tA\n", "1\t5\n2\t7\n",
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n1\t5\trs1\tA\tC\t.\t.\t.\n",
        "RGID,RGSM,RGLB,Lane,Read1File,Read2File\na.1,S,L,1,a,b\na.2,S,L,2,c,d\n",
    ]
    writeSeeds(texts.map { Array($0.utf8) })
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    if let regions = outcome({ try BEDReader.parse(input, label: "fuzz") }) {
        _ = outcome { try regions.check(against: [.init(name: "chr1", length: 100)], label: "fuzz") }
        _ = regions.overlaps("chr1", 5..<6)
    }
    _ = outcome { try VariantList(parsing: input, label: "fuzz") }
    if let list = outcome({ try FASTQList(parsing: input, label: "fuzz") }) {
        let isWhole = list.samples.allSatisfy { sample in
            !sample.lanes.isEmpty && sample.lanes.allSatisfy { sample.readGroups.indices.contains($0.readGroup) }
        }
        require(isWhole && !list.samples.isEmpty, "a lane without a read group")
    }
    return 0
}
