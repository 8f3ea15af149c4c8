import Compression
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

    @Test(arguments: [1, 3, 1_000]) func namesAndLettersOfReferences(pieces: Int) throws {
        let names = ["chr1", "chr1_KI270706v1_random", "chr1_KI270762v1_alt", "chrUn_JTFH01000001v1_decoy", "HLA:A*01:01:01:01N", "1"]
        let text = names.map { ">\($0)\tAC:1 gi:2\r\n\r\nACGTUacgtuRYSWKMBDHVNXx*-.\r\n" }.joined()
        let genome = try parse("\r\n" + text, pieces: pieces)
        #expect(genome.contigs.map(\.name) == names)
        let codes: [UInt8] = [0, 1, 2, 3, 3, 0, 1, 2, 3, 3] + Array(repeating: 4, count: 16)
        #expect(genome.contigs.allSatisfy { $0.bases == codes })
    }

    @Test func everyPackingGivesTheSameGenome() throws {
        let directory = try TemporaryDirectory()
        var random = SplitMix64(seed: 5)
        func letters(_ count: Int) -> [UInt8] { (0..<count).map { _ in Array("ACGTacgtN".utf8)[Int(random.next() % 9)] } }
        // Many short contigs, and one line that is longer than any piece.
        var text: [UInt8] = []
        for number in 0..<2_000 { text += Array(">c\(number)\n".utf8) + letters(1 + number % 90) + [10] }
        text += Array(">long\n".utf8) + letters(3 << 20)
        try directory.write(text, to: "plain.fa")
        try directory.write(text.withUnsafeBytes { BGZF.compress($0, level: .fast) }.bytes, to: "bgzf.fa.gz")
        let expected = try FASTAReader.read(directory.file("plain.fa"))
        #expect(expected.contigs.count == 2_001 && expected.contigs[2_000].length == 3 << 20)
        #expect(expected.contigs[7].bases.count == 8)
        for threads in [1, 2, 7] {
            #expect(try FASTAReader.read(directory.file("bgzf.fa.gz"), threads: threads).digest() == expected.digest())
        }
        let cut = Array(try directory.read("bgzf.fa.gz").dropLast(40_000))
        try directory.write(cut, to: "cut.fa.gz")
        let got = failure { _ = try FASTAReader.read(directory.file("cut.fa.gz")) }
        #expect(got?.problem.contains("truncated") == true && got?.place.contains("cut.fa.gz:byte") == true)
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
        (">a\nAC>b\n", "no base"), (">a\nAC\rGT\n", "no base"), (">a\nAC\r\r\n", "no base"), ("\r\n\n", "no sequence"),
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
