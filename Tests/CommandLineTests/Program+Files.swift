import Compression
import Foundation
import GenomicFormats
import Storage
import TestSupport

extension Program {
    /// The malformed files of the tables, made from the good ones.
    func makeFiles() throws {
        try makeReads()
        try makeReferences()
        try makeVariants()
        try makeRegions()
        try directory.write(Array("secret of odd length ".utf8), to: "secret")
        try directory.write(SplitMix64Bytes(seed: 3, 300_000), to: "other")
        try directory.write([], to: "empty")
        try directory.write(SplitMix64Bytes(seed: 4, 100_000), to: "noise")
        let prepared = try shell(
            """
            dsgd index -r s/reference.fa.gz -o good.idx && dsgd share split secret && dsgd share split other || exit 9
            printf '>a\\n' > strange.fa; zcat s/reference.fa.gz | grep -v '>' >> strange.fa
            dsgd index -r strange.fa -o strange.idx
            """, in: directory.path)
        if prepared.code != 0 { throw CocoaError(.featureUnsupported, userInfo: ["errors": prepared.errors]) }
        let index = try directory.read("good.idx")
        try directory.write(Array(index.dropLast(8)), to: "cut.idx")
        try directory.write(flipped(index, at: index.count / 2), to: "flipped.idx")
        let share = try directory.read("other.b.share")
        try directory.write(Array(share.dropLast()), to: "cut.share")
        try directory.write(flipped(share, at: share.count / 2), to: "flipped.share")
        try directory.write(flipped(share, at: 9), to: "future.share")
    }

    private func SplitMix64Bytes(seed: UInt64, _ count: Int) -> [UInt8] {
        var random = SplitMix64(seed: seed)
        return random.bytes(count)
    }

    private func flipped(_ bytes: [UInt8], at place: Int) -> [UInt8] {
        var bytes = bytes
        bytes[place] ^= 0x40
        return bytes
    }

    private func text(_ name: String) throws -> [UInt8] {
        try directory.read(name).withUnsafeBytes { try GzipInflater.inflate($0, label: name) }
    }

    private func writeText(_ text: String, _ name: String) throws { try directory.write(Array(text.utf8), to: name) }

    /// The good reads in lanes, mixed, and with the qualities of old.
    private func makeLanes(_ first: String, _ second: String) throws {
        let header = "RGID,RGSM,RGLB,Lane,Read1File,Read2File\n"
        var records: [[String]] = []
        for (name, text) in [("1", first), ("2", second)] {
            let lines = text.split(separator: "\n")
            let all = stride(from: 0, to: lines.count, by: 4).map { lines[$0..<$0 + 4].joined(separator: "\n") + "\n" }
            records.append(all)
            let parts = [all[..<333].joined(), all[333...].joined()]
            try writeText(parts[0], "l\(name)a.fq")
            try writeText(parts[1], "l\(name)b.fq")
            let packed = Array(parts[1].utf8).withUnsafeBytes { BGZF.compress($0) }.bytes
            try directory.write(packed, to: "l\(name)b.fq.gz")
            let old = lines.enumerated().map { number, line in
                number % 4 == 3 ? String(decoding: line.utf8.map { $0 + 31 }, as: UTF8.self) : String(line)
            }
            try writeText(old.joined(separator: "\n") + "\n", "old\(name).fq")
        }
        try writeText(zip(records[0], records[1]).map { $0 + $1 }.joined(), "mixed.fq")
        try writeText("@a\nACGTAC\n+\nIIIIII\n@b\n\n+\n\n", "short.fq")
        let lanes = "A.1,S1,L1,1,l1a.fq,l2a.fq\nA.2,S1,L1,2,l1b.fq.gz,l2b.fq\n"
        try writeText(header + lanes, "lanes.csv")
        try writeText(header + lanes + "B.1,S2,L1,1,one.fq,\n", "samples.csv")
        try writeText(header + lanes.replacing("A.2,S1,L1", with: "A.2,S1,"), "badlane.csv")
        // Two members of gzip that are no BGZF.
        let made = try shell("(gzip < l1a.fq; gzip < l1b.fq) > 1.fq.members.gz", in: directory.path)
        if made.code != 0 { throw CocoaError(.featureUnsupported, userInfo: ["errors": made.errors]) }
    }

    private func makeReads() throws {
        let packed = try directory.read("s/reads_R1.fastq.gz")
        let first = String(decoding: try text("s/reads_R1.fastq.gz"), as: UTF8.self)
        let second = String(decoding: try text("s/reads_R2.fastq.gz"), as: UTF8.self)
        try writeText(first, "1.fq")
        try writeText(first.replacing("\n", with: "\r\n"), "crlf1.fq")
        try writeText(second.replacing("\n", with: "\r\n"), "crlf2.fq")
        let lines = first.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        func changed(_ name: String, _ line: Int, _ change: (String) -> String) throws {
            var lines = lines
            lines[line] = change(lines[line])
            try writeText(lines.joined(separator: "\n"), name)
        }
        try makeLanes(first, second)
        try changed("lengths.fq", 1) { String($0.dropLast(5)) }
        try changed("quality.fq", 3) { "\u{1F}" + $0.dropFirst() }
        try changed("quality2.fq", 3) { "\u{7F}" + $0.dropFirst() }
        try changed("base.fq", 5) { "5" + $0.dropFirst() }
        try changed("iupac.fq", 1) { "RYSWKMn" + $0.dropFirst(7) }
        try changed("plus.fq", 2) { _ in "-" }
        try changed("at.fq", 4) { String($0.dropFirst()) }
        try writeText(lines[4...].joined(separator: "\n"), "step.fq")
        try writeText(lines[..<400].joined(separator: "\n") + "\n", "fewer.fq")
        try writeText(String(first.prefix(1000)), "cut.fq")
        try writeText(lines[..<4].joined(separator: "\n") + "\n", "one.fq")
        try writeText(String(repeating: lines[..<4].joined(separator: "\n") + "\n", count: 3000), "same.fq")
        try writeText("@a\n" + String(repeating: "A", count: 501) + "\n+\n" + String(repeating: "I", count: 501) + "\n", "long.fq")
        try writeText("@" + String(repeating: "a", count: 3 << 20), "name.fq")
        var random = SplitMix64(seed: 1)
        let foreign = (0..<2000).map { number in
            let bases = String(decoding: (0..<150).map { _ in UInt8("ACGT".utf8.randomElement(using: &random)!) }, as: UTF8.self)
            return "@r\(number)\n\(bases)\n+\n\(String(repeating: "I", count: 150))\n"
        }
        try writeText(foreign.joined(), "foreign.fq")
        try directory.write(Array(packed[..<(packed.count / 2)]), to: "cut.fq.gz")
        try directory.write(Array(packed.dropLast(28)), to: "noend.fq.gz")
        try directory.write(packed + Array("more".utf8), to: "trailing.fq.gz")
        try directory.write(flipped(packed, at: 4000), to: "flipped.fq.gz")
    }

    private func makeReferences() throws {
        try writeText(">a\nACGT\n>b\n", "noseq.fa")
        try writeText(">a\nACGT\n>a\nACGT\n", "twice.fa")
        try writeText(">a\n" + String(repeating: "N", count: 5000) + "\n", "onlyn.fa")
        try writeText(">a" + String(repeating: "ACGT", count: 500) + "\n", "joined.fa")
        try writeText(">a<b>\nACGT\n", "name.fa")
        try writeText(">a\nMKVLQE\n", "protein.fa")
        let packed = try directory.read("s/reference.fa.gz")
        try directory.write(Array(packed[..<5000]), to: "cut.fa.gz")
    }

    private func makeVariants() throws {
        let packed = try directory.read("s/truth.vcf.gz")
        let whole = String(decoding: try text("s/truth.vcf.gz"), as: UTF8.self)
        try writeText(whole, "t.vcf")
        let lines = whole.split(separator: "\n").map(String.init)
        let header = lines.filter { $0.hasPrefix("#") }, records = lines.filter { !$0.hasPrefix("#") }
        try writeText(whole.replacing("\n", with: "\r\n"), "crlf.vcf")
        try writeText(records.joined(separator: "\n") + "\n", "headless.vcf")
        try writeText(whole + whole, "two.vcf")
        try writeText((header + records.reversed()).joined(separator: "\n") + "\n", "unsorted.vcf")
        try writeText(String(whole.dropLast(9)), "cut.vcf")
        func changed(_ name: String, _ column: Int, _ value: String) throws {
            var fields = records[0].split(separator: "\t").map(String.init)
            fields[column] = value
            try writeText((header + [fields.joined(separator: "\t")]).joined(separator: "\n") + "\n", name)
        }
        try changed("contig.vcf", 0, "chrZ")
        try changed("zero.vcf", 1, "0")
        try changed("beyond.vcf", 1, "30000")
        try changed("word.vcf", 1, "x")
        try changed("reference.vcf", 3, "5")
        try changed("alternative.vcf", 4, "")
        try changed("allele.vcf", 9, "0/7")
        try changed("nul.vcf", 9, "0/1\0")
        try changed("columns.vcf", 9, "0/1\t0/1")
        try directory.write(Array(packed.dropLast(28)), to: "noend.vcf.gz")
        try directory.write(Array(packed[..<(packed.count / 2)]), to: "cut.vcf.gz")
        try directory.write(packed + [1, 2, 3], to: "trailing.vcf.gz")
    }

    private func makeRegions() throws {
        try writeText("chr1\t12000\t20000\nchr1\t100\t9000\nchr1\t200\t300\n", "unsorted.bed")
        try writeText("chr1\t100\t9000\r\n", "crlf.bed")
        try writeText("chrZ\t1\t2\n", "contig.bed")
        try writeText("chr1\t1\t99999999\n", "beyond.bed")
        try writeText("chr1\t500\t100\n", "reverse.bed")
        try writeText("chr1\t-5\t100\n", "negative.bed")
        try writeText("chr1\t5\n", "columns.bed")
        try writeText("chr1\t0\n", "zero.tsv")
        try writeText("chr1\t5\nchr1\t6\t.\tA\tC\n", "mixed.tsv")
    }
}
