import Diagnostics
import Foundation
import GenomicFormats
import TestSupport
import Testing

private func parse(_ text: String, pieces: Int = 1_000) throws -> ReferenceGenome {
    let parser = FASTAParser(label: "ref.fa")
    let bytes = Array(text.utf8)
    for at in stride(from: 0, to: bytes.count, by: pieces) {
        try bytes[at..<min(at + pieces, bytes.count)].withUnsafeBytes { try parser.feed($0) }
    }
    return try parser.finish()
}

@Suite struct FASTATests {
    @Test(arguments: [1, 2, 5, 1_000]) func contigsAndBases(pieces: Int) throws {
        let genome = try parse(">chr1 first\r\nACgt\r\nNR\n\n>chr2\nTTT\nA", pieces: pieces)
        #expect(genome.contigs.map(\.name) == ["chr1", "chr2"])
        #expect(genome.contigs[0].bases == [0, 1, 2, 3, 4, 4])
        #expect(genome.contigs[1].bases == [3, 3, 3, 0])
        #expect(genome.index(ofContig: "chr2") == 1)
    }

    @Test func digestTellsGenomesApart() throws {
        let one = try parse(">a\nACGTACGTACGT\n").digest()
        #expect(try parse(">a x\nacgtacgt\nACGT\n").digest() == one)
        for other in [">b\nACGTACGTACGT\n", ">a\nACGTACGTACGA\n", ">a\nACGTACGTACGTA\n", ">a\nACGTAC\n>b\nGTACGT\n"] {
            #expect(try parse(other).digest() != one)
        }
    }

    @Test(arguments: [
        ("", "no sequence"), ("ACGT\n", "no line with '>'"), (">a\n>b\nAC\n", "has no sequence"),
        (">a\n", "has no sequence"),
        (">a\nAC\n>a\nAC\n", "twice"), (">\nAC\n", "no name"), (">a\nAC1\n", "no base"),
        ("@r\nAC\n+\nII\n", "no line with"),
        (">a\nAC>b\n", "no base"),
    ]) func malformedIsRefused(text: String, problem: String) {
        for pieces in [1, 1_000] {
            let got = failure { _ = try parse(text, pieces: pieces) }
            #expect(got?.kind == .data && got?.problem.contains(problem) == true, "\(got?.description ?? "accepted")")
        }
    }

    @Test func realReference() throws {
        guard let path = TestData.path("hg001_b37_chr20/hg19.chr20.unittest.fa.gz") else { return }
        let genome = try FASTAReader.read(path)
        #expect(genome.contigs.count == 1)
        #expect(genome.contigs[0].length == 63_025_520)
        #expect(failure { _ = try FASTAReader.read(path + ".none") }?.kind == .noInput)
    }
}
