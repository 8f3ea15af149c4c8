import Diagnostics
import Evaluation
import Foundation
import GenomicFormats
import Testing

@Suite struct ReaderTests {
    static let header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\ttwo\n"

    @Test func fieldsAreRead() throws {
        let text = Self.header
            + "c\t7\t.\tac\tg,<DEL>\t12.5\tLow\tXDP=9;DP=31\tGT:AD\t0|1:3,4\t./.\r\n"
            + "c\t9\t.\tA\t.\t.\tPASS\t.\tDP:GT\t8:0\t9:1"
        #expect(throws: Failure.self) { try VCFTextReader().read(text: text + "\n\n" + "c\tx", label: "t") }
        let whole = text.replacingOccurrence(of: "9:1", with: "9:0")
        let records = try VCFTextReader().read(text: whole, label: "t")
        #expect(records.count == 2)
        #expect(records[0].position == 6 && records[0].reference == Array("AC".utf8))
        #expect(records[0].alternates == [Array("G".utf8), Array("<DEL>".utf8)])
        #expect(records[0].genotype == [0, 1] && records[0].quality == 12.5 && !records[0].isPassing)
        #expect(records[0].depth == 31 && records[0].line == 3)
        #expect(records[1].genotype == [0] && records[1].depth == 8 && records[1].alternates.isEmpty)
        let second = try VCFTextReader(sample: "two").read(text: whole, label: "t")
        #expect(second[0].genotype == [nil, nil] && second[1].depth == 9)
    }

    @Test(arguments: [
        "c\t0x7\t.\tA\tC\t.\t.\t.\tGT\t0/1\t0/1", "c\t99999999999\t.\tA\tC\t.\t.\t.\tGT\t0/1\t0/1",
        "c\t7\t.\tA\tC\t.\t.\t.\tGT", "c\t7\t.\t\tC\t.\t.\t.\tGT\t0/1\t0/1", "c\t7\t.\tA\tC,\t.\t.\t.\tGT\t0/1\t0/1",
        "c\t7\t.\tA\tC\tnan\t.\t.\tGT\t0/1\t0/1", "c\t7\t.\tA\tC\t.\t.\t.\tGT\t0/2\t0/1",
        "c\t7\t.\tA\tC\t.\t.\t.\tGT\t0/-1\t0/1", "c\t-7\t.\tA\tC\t.\t.\t.\tGT\t0/1\t0/1",
    ])
    func malformedRecordsAreRefusedByLine(_ line: String) {
        let failure = #expect(throws: Failure.self) {
            try VCFTextReader().read(text: Self.header + line + "\n", label: "bad.vcf")
        }
        #expect(failure?.kind == .data && failure?.place == "bad.vcf:line 3")
    }

    @Test(arguments: ["", "c\t7\t.\tA\tC\t.\t.\t.\tGT\t0/1\n", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"])
    func filesWithoutHeaderOrSampleAreRefused(_ text: String) {
        #expect(throws: Failure.self) { try VCFTextReader().read(text: text, label: "t") }
    }

    @Test func anAbsentSampleIsRefused() {
        #expect(throws: Failure.self) { try VCFTextReader(sample: "three").read(text: Self.header, label: "t") }
        #expect(throws: Failure.self) { try VCFTextReader().read("/nonexistent/calls.vcf") }
    }

    /// The real truth set compared with itself: every record must be decoded, laid on haplotypes and found again.
    @Test func realTruthAgreesWithItself() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let data = ProcessInfo.processInfo.environment["DSGD_TEST_DATA"]
            ?? root.appendingPathComponent("../shared/data").path
        let folder = data + "/hg001_b37_chr20/"
        guard FileManager.default.fileExists(atPath: folder + "HG001.truth.vcf.gz") else {
            print("skipped: no HG001 below \(data); set DSGD_TEST_DATA")
            return
        }
        let report = try CallSetComparison.run(
            .init(
                truth: folder + "HG001.truth.vcf.gz", calls: folder + "HG001.truth.vcf.gz",
                reference: folder + "hg19.chr20.unittest.fa.gz", regions: folder + "proxy_confident.100kb.bed"))
        #expect(report.all.snp.five == [165, 165, 0, 0, 0])
        #expect(report.all.indel.five == [26, 26, 0, 0, 0])
    }
}
