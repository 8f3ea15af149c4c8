import Engines
import Evaluation
import Foundation
import GenomicFormats
import TestSupport
import Testing

/// Real reads: gross errors show here, tenths of a percent do not (the sets are small).
@Suite(.serialized) struct RealDataTests {
    @Test func hg001() throws {
        let names = [
            "hg19.chr20.unittest.fa.gz", "HG001.R1.fastq.gz", "HG001.R2.fastq.gz", "HG001.truth.vcf.gz",
            "proxy_confident.100kb.bed", "HG001.confident.first10kb.bed",
        ]
        let files = names.compactMap { TestData.path("hg001_b37_chr20/" + $0) }
        guard files.count == names.count else { return }
        let run = EngineRun(genome: try FASTAReader.read(files[0]), reads: Array(files[1...2]))
        let result = try run.result()
        let proxy = try compare(result, truth: files[3], reference: files[0], regions: files[4])
        #expect(proxy.snp.f1 ?? 0 >= 0.9907)
        #expect(proxy.indel.f1 ?? 0 >= 0.9057)
        let confident = try compare(result, truth: files[3], reference: files[0], regions: files[5])
        #expect(confident.snp.truthMatched == 45 && confident.indel.truthMatched == 4)
        #expect(confident.differences.isEmpty)
    }

    @Test func hg002ParalogsAgreeWithAnotherPipeline() throws {
        let names = [
            "GRCh38.chr1_25053647_25685365.fa.gz", "HG002.rhce.R1.fastq.gz", "HG002.rhce.R2.fastq.gz",
            "giraffe_deepvariant.silver.vcf.gz",
        ]
        let files = names.compactMap { TestData.path("rhce_hg002/" + $0) }
        guard files.count == names.count else { return }
        let run = EngineRun(genome: try FASTAReader.read(files[0]), reads: Array(files[1...2]))
        let found = try compare(try run.result(), truth: files[3], reference: files[0])
        // Where two genes are alike neither side is the truth; this holds the agreement that was measured. Insertions of
        // over a hundred bases, which tell the two genes apart, are called and are not in the other pipeline's list.
        #expect(found.snp.f1 ?? 0 >= 0.886)
        #expect(found.indel.f1 ?? 0 >= 0.88)
    }
}
