import Diagnostics
import Foundation
import GenomicFormats
import Storage
import TestSupport
import Testing

private let head = """
    ##fileformat=VCFv4.2
    ##contig=<ID=1,length=1000>
    ##contig=<ID=2,length=600000000>
    #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb

    """

private func header(_ text: String = head) throws -> VCFHeader {
    try Array(text.utf8).withUnsafeBytes { try VCFHeader(parsing: $0, label: "x.vcf") }
}

private func scan(_ lines: [String]) throws -> VCFRecordScanner {
    var scanner = VCFRecordScanner(header: try header(), label: "x.vcf")
    for line in lines {
        try Array(line.utf8).withUnsafeBytes { bytes in
            let record = try scanner.scan(bytes)
            try scanner.checkGenotypes(of: record)
        }
    }
    return scanner
}

@Suite struct VCFTests {
    @Test func headerIsReadAndWritten() throws {
        let one = try header()
        #expect(one.contigs == [.init(name: "1", length: 1_000), .init(name: "2", length: 600_000_000)])
        #expect(one.samples == ["a", "b"] && one.columnCount == 11)
        #expect(String(decoding: one.text, as: UTF8.self) == head)
        #expect(try header(head.replacingOccurrences(of: "\n", with: "\r\n")) == one)
        let bytes = Array((head + "1\t5").utf8)
        #expect(bytes.withUnsafeBytes { VCFHeader.byteCount(in: $0) } == head.utf8.count)
        #expect(bytes[..<50].withUnsafeBytes { VCFHeader.byteCount(in: $0) } == nil)
    }

    @Test(arguments: [
        "", "1\t5\n", "##fileformat=VCFv4.2\n", "##fileformat=VCFv4.2\n#CHROM\tPOS\n",
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n", head.replacingOccurrences(of: "a\tb", with: "a\ta"),
        head.replacingOccurrences(of: "ID=2", with: "ID=1"), head.replacingOccurrences(of: "FORMAT", with: "X"),
    ]) func malformedHeaderIsRefused(text: String) {
        #expect(failure { _ = try header(text) }?.kind == .data)
    }

    @Test(arguments: [
        ("1\t0\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "POS"), ("1\t-5\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "POS"),
        ("1\t99999999999\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "POS"),
        ("1\t2147483648\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "POS"),
        ("1\tx\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "POS"), ("1\t\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "POS"),
        ("1\t18446744073709551617\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "POS"),
        ("1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1\u{0}x", "NUL"),
        ("3\t5\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "not in the header"),
        ("\t5\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", "CHROM"), ("1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/0", "10 columns"),
        ("1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1\t0/1", "12 columns"), ("1\t5", "2 columns"), ("", "empty"),
        ("1\t5\t.\t\tC\t.\t.\t.\tGT\t0/0\t0/1", "REF"), ("1\t5\t.\tA\t\t.\t.\t.\tGT\t0/0\t0/1", "ALT"),
        ("1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/7", "does not have"),
        ("1\t5\t.\tA\tC\t.\t.\t.\tGT\t7|0\t0/1", "does not have"),
        ("1\t5\t.\tA\t.\t.\t.\t.\tGT:DP\t0/1:3\t0/0:4", "does not have"),
        ("1\t5\t.\tA\tC,G\t.\t.\t.\tGT:DP\t0/2:3\t0/3:4", "does not have"),
        ("1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/99999999999999999999\t0/0", "does not have"),
        ("1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/x\t0/0", "no allele"),
        ("1\t5\t.\tA\tC\t\t.\t.\tGT\t0/0\t0/0", "QUAL"), ("1\t5\t.\tA\tC\tx\t.\t.\tGT\t0/0\t0/0", "QUAL"),
        ("1\t5\t.\tA\tC\t5x\t.\t.\tGT\t0/0\t0/0", "QUAL"), ("1\t5\t.\tA\tC\t1.2.3\t.\t.\tGT\t0/0\t0/0", "QUAL"),
        ("1\t5\t.\tA\tC\t1e\t.\t.\tGT\t0/0\t0/0", "QUAL"), ("1\t5\t.\tA\tC\t-\t.\t.\tGT\t0/0\t0/0", "QUAL"),
        ("1\t5\t.\tA\tC\t..\t.\t.\tGT\t0/0\t0/0", "QUAL"), ("1\t5\t.\tA\tC\tinfx\t.\t.\tGT\t0/0\t0/0", "QUAL"),
    ]) func hostileRecordIsRefused(line: String, problem: String) {
        let got = failure { _ = try scan(["1\t1\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1", line]) }
        #expect(got?.problem.contains(problem) == true, "\(got?.description ?? "accepted")")
        #expect(got?.place == "x.vcf:record 2")
    }

    @Test(arguments: [".", "0", "50", "-1", "+3", "12.5", ".5", "5.", "1e-3", "1.5E+2", "inf", "-Infinity", "NaN"])
    func soundQualities(quality: String) throws {
        _ = try scan(["1\t5\t.\tA\tC\t\(quality)\t.\t.\tGT\t0/0\t0/0"])
    }

    @Test func soundRecords() throws {
        let rows = [
            "1\t5\t.\tA\tC\t.\t.\t.\tGT\t./.\t.|1\r", "1\t5\t.\tA\t<DEL>,*\t.\t.\tEND=90\tGT:DP\t2/0:7\t1",
            "2\t1\tx\tAC\t.\t.\t.\t.\tDP\t7\t8",
        ]
        let scanner = try scan(rows)
        #expect(scanner.isSorted && scanner.recordCount == 3)
        #expect(try scan([rows[0], rows[2], rows[1]]).isSorted == false)
        #expect(try scan([rows[0], "1\t4\t.\tA\tC\t.\t.\t.\tGT\t0\t0"]).isSorted == false)
        var own = VCFRecordScanner(header: try header(), label: "x")
        try Array(rows[1].utf8).withUnsafeBytes { bytes in
            let record = try own.scan(bytes)
            #expect(record.end() == 90)
            #expect(record.infoValue("END")?.elementsEqual("90".utf8) == true)
            #expect(record.infoValue("EN") == nil && record.infoValue("AC") == nil)
        }
    }

    @Test func tabixIndexAnswersLikeTabix() throws {
        var random = SplitMix64(seed: 3)
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let contigs = [VCFHeader.Contig(name: "1", length: 400_000_000), .init(name: "chrX", length: 500_000)]
        let writer = try VCFFileWriter(path: folder + "/own.vcf.gz", header: VCFHeader(contigs: contigs, samples: []))
        for (name, limit) in [("1", 400_000_000), ("chrX", 500_000)] {
            for position in (0..<6_000).map({ _ in Int(random.next() % UInt64(limit)) + 1 }).sorted() {
                let span = random.next() % 20 == 0 ? "END=\(position + Int(random.next() % 200_000))" : "."
                let ref = String(repeating: "A", count: Int(random.next() % 30) + 1)
                try writer.writer.write(line: "\(name)\t\(position)\t.\t\(ref)\tC\t.\t.\t\(span)")
            }
        }
        #expect(!FileManager.default.fileExists(atPath: folder + "/own.vcf.gz"))
        try writer.commit()
        #expect(!FileManager.default.fileExists(atPath: folder + "/own.vcf.gz.partial"))
        try FileManager.default.copyItem(atPath: folder + "/own.vcf.gz", toPath: folder + "/their.vcf.gz")
        guard run("tabix", ["-p", "vcf", folder + "/their.vcf.gz"]) != nil else { return }
        var regions = ["1", "chrX", "1:399000000-400000000", "chrX:1-1", "2:1-5"]
        for _ in 0..<60 {
            let from = Int(random.next() % 400_000_000) + 1
            regions.append("1:\(from)-\(from + Int(random.next() % 2_000_000))")
            regions.append("chrX:\(from % 500_000 + 1)-\(from % 500_000 + Int(random.next() % 9_000) + 1)")
        }
        var rows = 0
        for region in regions {
            let own = run("tabix", [folder + "/own.vcf.gz", region])
            let their = run("tabix", [folder + "/their.vcf.gz", region])
            #expect(own?.output == their?.output && own?.status == their?.status, "\(region)")
            rows += own?.output.count ?? 0
        }
        #expect(rows > 400_000)
        if let stats = run("bcftools", ["index", "--stats", folder + "/own.vcf.gz"]) {
            #expect(String(decoding: stats.output, as: UTF8.self) == "1\t400000000\t6000\nchrX\t500000\t6000\n")
        }
    }

    @Test func writerRefusesDisorder() throws {
        let vcf = VCFHeader(contigs: [.init(name: "1")], samples: [])
        let writer = try VCFWriter(header: vcf, label: "o") { _ in }
        try writer.write(line: "1\t5\t.\tA\tC\t.\t.\t.")
        #expect(failure { try writer.write(line: "1\t4\t.\tA\tC\t.\t.\t.") }?.problem.contains("sorted") == true)
        #expect(failure { try writer.write(line: "1\t536870913\t.\tA\tC\t.\t.\t.") }?.problem.contains("536870912") == true)
        let loose = try VCFWriter(header: vcf, label: "o", makesIndex: false) { _ in }
        try loose.write(line: "1\t5\t.\tA\tC\t.\t.\t.")
        try loose.write(line: "1\t4\t.\tA\tC\t.\t.\t.")
        #expect(try loose.finish() == nil)
    }

    @Test func abandonedFileLeavesNothing() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let writer = try VCFFileWriter(path: folder + "/x.vcf.gz", header: VCFHeader(contigs: [], samples: []))
        writer.abandon()
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        #expect(failure { _ = try PartialFile(path: folder + "/none/x") }?.kind == .cannotCreate)
    }
}

@Suite struct RegionTests {
    private func bed(_ text: String) throws -> RegionSet {
        try Array(text.utf8).withUnsafeBytes { try BEDReader.parse($0, label: "r.bed") }
    }

    @Test func bedIsMergedAndSorted() throws {
        let set = try bed(
            "#c\ntrack name=x\nbrowser y\n2\t5\t9\tgene\t0\n1\t10\t20\r\n1\t0\t5\n1\t15\t30\n1\t30\t31\n1\t50\t50")
        #expect(set.intervals(of: "1") == Intervals([0..<5, 10..<31]))
        #expect(set.intervals(of: "2") == Intervals([5..<9]))
        #expect(set.baseCount == 30)
        #expect(try bed("1 5 6\n1   7 8 x\n") == RegionSet(["1": [5..<6, 7..<8]]))
        #expect(try bed("").isEmpty)
    }

    @Test(arguments: ["1\t5", "1\t9\t5", "1\t-1\t5", "1\tx\t5", "1\t5\t2147483648", "1\t5\t", "\t1\t2", "1\t1\t2\u{0}", "  "])
    func malformedBedIsRefused(text: String) {
        let got = failure { _ = try bed("1\t1\t2\n" + text + "\n") }
        #expect(got?.kind == .data && got?.place == "r.bed:line 2")
    }

    @Test func regionsAreHeldToTheHeader() throws {
        let contigs = [VCFHeader.Contig(name: "1", length: 100)]
        try bed("1\t0\t100\n").check(against: contigs, label: "r")
        #expect(
            failure { try bed("1\t0\t101\n").check(against: contigs, label: "r") }?.problem.contains("beyond") == true)
        #expect(
            failure { try bed("chr1\t0\t1\n").check(against: contigs, label: "r") }?.problem.contains("chr1") == true)
    }

    @Test func intervalsAnswerLikeAScan() {
        var random = SplitMix64(seed: 5)
        for _ in 0..<200 {
            let ranges = (0..<Int(random.next() % 8)).map { _ in
                let start = Int(random.next() % 60)
                return start..<start + 1 + Int(random.next() % 8)
            }
            let set = Intervals(ranges)
            let covered = (0..<80).map { base in ranges.contains { $0.contains(base) } }
            for from in 0..<70 {
                for to in from + 1..<72 {
                    #expect(set.overlaps(from..<to) == covered[from..<to].contains(true))
                    #expect(set.contains(from..<to) == covered[from..<to].allSatisfy { $0 })
                }
            }
        }
    }

    @Test func realExons() throws {
        guard let path = TestData.path("filters/exons_hg38.chr21.bed.gz") else { return }
        #expect(try BEDReader.read(path).baseCount > 100_000)
    }

    @Test func variantLists() throws {
        func list(_ text: String) throws -> VariantList {
            try Array(text.utf8).withUnsafeBytes { try VariantList(parsing: $0, label: "v.tsv") }
        }
        let plain = try list("#x\nCHROM\tPOS\n1\t5\n1\t9\r\n")
        #expect(plain.positions == RegionSet(["1": [4..<5, 8..<9]]) && !plain.hasAlleles && plain.count == 2)
        let alleles = try list("1\t5\trs1;rs2\tATT\tAT,GTT\n")
        #expect(alleles.alleles["1"]?.map(\.position) == [4, 5])
        #expect(alleles.identifiers == ["rs1", "rs2"])
        let same = [("1\t5\t.\tCAG\tCG\n"), ("1\t4\t.\tTCAG\tTCG\n"), "1\t5\t.\tca\tc\n"]
        #expect(try Set(same.map { try list($0).alleles["1"]! }).count == 1)
        for text in ["1\n", "1\t0\n", "1\tx\n", "1\t5\n1\t6\t.\tA\tC\n", "1\t5\t.\tA\tC,\n", "\t5\n"] {
            #expect(failure { _ = try list(text) }?.kind == .data, "\(text)")
        }
    }
}
