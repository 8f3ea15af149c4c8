import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import TestSupport
import Testing

/// Damaged input may be refused or, where the damage is harmless, taken; it never crashes, and what comes out is whole.
@Suite struct MutationTests {
    private static let text = """
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

    private static func filters() throws -> [VCFFilter] {
        let list = try Array("1\t5\t.\tA\tG\n1\t44\t.\tACGT\tA\n".utf8).withUnsafeBytes {
            try VariantList(parsing: $0, label: "l")
        }
        let regions = Selection.regions(RegionSet(["1": [2..<6, 20..<30, 35..<46, 59..<100]]))
        let one = HeaderPolicy.disclose(samples: [.init(original: "bob", disclosed: "x")], source: "d")
        return OverlapRule.allCases.map { VCFFilter(selection: regions, overlap: $0) } + [
            VCFFilter(selection: regions, fields: .genotypeOnly, header: one),
            VCFFilter(selection: .variants(list), header: one), VCFFilter(selection: .identifiers(["rs3"])),
        ]
    }

    @Test(arguments: [false, true]) func mutatedVCF(isCompressed: Bool) throws {
        var random = SplitMix64(seed: isCompressed ? 1 : 2)
        let plain = Array(Self.text.utf8)
        let whole = isCompressed ? plain.withUnsafeBytes { BGZF.compress($0).bytes } : plain
        let alphabet = Array("\t\n,:;/|.<>[]*=0123456789ACGT\r\0#\u{7f}".utf8)
        let filters = try Self.filters()
        var accepted = 0
        for _ in 0..<3_000 {
            var bytes = whole
            for _ in 0...Int(random.next() % 3) {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 4 {
                case 0: bytes.remove(at: at)
                case 1: bytes.insert(alphabet[Int(random.next() % UInt64(alphabet.count))], at: at)
                case 2: bytes[at] = isCompressed ? UInt8(random.next() % 256) : alphabet.randomElement(using: &random)!
                default: bytes.removeSubrange(at..<min(bytes.count, at + Int(random.next() % 9)))
                }
            }
            let filter = filters[Int(random.next() % UInt64(filters.count))]
            do {
                let output = try bytes.withUnsafeBytes { try filter.run($0, label: "x") }
                accepted += 1
                // What was taken must satisfy the filter's own reader.
                let again = try output.vcfGz.withUnsafeBytes {
                    try VCFFilter(selection: .everything).run($0, label: "again")
                }
                #expect(again.counts.recordsIn == output.counts.recordsOut)
            } catch let problem as Failure {
                #expect(problem.place != "again", "\(problem)")
            }
        }
        #expect(accepted > (isCompressed ? 0 : 300))
    }

    @Test func mutatedReadsAndRegions() {
        var random = SplitMix64(seed: 4)
        let fastq = Array("@a/1 x\nACGTN\n+\nIIIII\n@b/1\nAC\n+\nII\n".utf8)
        let bed = Array("1\t5\t9\tx\n1\t20\t30\ntrack x\n2\t1\t2\n".utf8)
        let list = Array("1\t5\trs1\tA\tC,G\n1\t9\t.\tACG\tA\n".utf8)
        let alphabet = Array("@+\t\n\r\0 ACGTN0129-,".utf8)
        for _ in 0..<4_000 {
            for (kind, original) in [fastq, bed, list].enumerated() {
                var bytes = original
                for _ in 0...Int(random.next() % 3) where !bytes.isEmpty {
                    let at = Int(random.next() % UInt64(bytes.count))
                    if random.next() % 2 == 0 {
                        bytes[at] = alphabet.randomElement(using: &random)!
                    } else {
                        bytes.removeSubrange(at..<min(bytes.count, at + Int(random.next() % 5)))
                    }
                }
                let got = failure {
                    try bytes.withUnsafeBytes { bytes in
                        switch kind {
                        case 0:
                            let parser = FASTQParser(label: "r")
                            var blocks: [FASTQBlock] = []
                            try parser.feed(bytes) { blocks.append($0) }
                            try parser.finish { blocks.append($0) }
                            let source = { blocks.isEmpty ? nil : blocks.removeFirst() } as ReadBatcher.Source
                            _ = try ReadBatcher(layout: .unpaired, streams: [("r", source)]).run {
                                #expect($0.bases.count == $0.qualities.count && $0.bases.count == Int($0.offsets.last!))
                            }
                        case 1: _ = try BEDReader.parse(bytes, label: "b")
                        default: _ = try VariantList(parsing: bytes, label: "l")
                        }
                    }
                }
                #expect(got == nil || got?.kind == .data)
            }
        }
    }
}
