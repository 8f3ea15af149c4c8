import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import TestSupport
import Testing

private let head = """
    ##fileformat=VCFv4.2
    ##reference=file:///home/someone/ref.fa
    ##bcftools_viewCommand=view /secret/path
    ##FILTER=<ID=PASS,Description="All filters passed">
    ##INFO=<ID=END,Number=1,Type=Integer,Description="End">
    ##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">
    ##INFO=<ID=AC,Number=A,Type=Integer,Description="Counts",Source="/secret/tool">
    ##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
    ##INFO=<ID=CSQ,Number=.,Type=String,Description="from /secret/vep">
    ##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
    ##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">
    ##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">
    ##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
    ##contig=<ID=1,length=1000,assembly=/secret/ref>
    ##contig=<ID=2,length=1000>
    #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann\tbob

    """

private func apply(_ filter: VCFFilter, _ rows: [String], header: String = head) throws -> (String, FilterCounts) {
    let text = Array((header + rows.joined(separator: "\n") + (rows.isEmpty ? "" : "\n")).utf8)
    let result = try text.withUnsafeBytes { try filter.filter($0, label: "in.vcf") }
    return (String(decoding: result.bytes, as: UTF8.self), result.counts)
}

private func body(_ filter: VCFFilter, _ rows: [String]) throws -> [String] {
    try apply(filter, rows).0.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
}

/// One record with two samples; position, REF, ALT and INFO vary.
private func row(_ position: Int, _ ref: String, _ alt: String, _ info: String = ".") -> String {
    "1\t\(position)\t.\t\(ref)\t\(alt)\t50\tPASS\t\(info)\tGT\t0/0\t0/0"
}

@Suite struct RuleTests {
    /// The region holds bases 101 to 110, 1-based.
    @Test(arguments: [
        // POS before the border, deletion reaching in.
        (row(98, "ACGTA", "A"), [false, true, true, false]),
        (row(100, "AC", "A"), [false, true, true, true]), (row(99, "ACG", "A"), [false, true, true, false]),
        // Deletion reaching out on the right.
        (row(110, "ACG", "A"), [true, true, false, false]), (row(109, "AC", "A"), [true, true, true, true]),
        (row(109, "ACG", "A"), [true, true, true, false]),
        // Plain SNPs at both borders.
        (row(101, "A", "C"), [true, true, true, true]), (row(110, "A", "C"), [true, true, true, true]),
        (row(100, "A", "C"), [false, false, false, false]), (row(111, "A", "C"), [false, false, false, false]),
        // Insertions need both neighbours.
        (row(100, "A", "AC"), [false, false, false, false]), (row(101, "A", "AC"), [true, true, true, true]),
        (row(110, "A", "AC"), [true, true, false, false]), (row(109, "A", "AC"), [true, true, true, true]),
        // Several alleles: one of them reaches out.
        (row(108, "ACGT", "A,CCGT"), [true, true, true, false]), (row(108, "ACG", "A,CCG"), [true, true, true, true]),
        // A SNP spelled long is judged by what changes.
        (row(110, "ACG", "CCG"), [true, true, true, true]), (row(99, "ACGT", "ACGA"), [false, true, true, true]),
        // `*` tells of one base.
        (row(101, "A", "*"), [true, true, true, true]), (row(110, "A", "C,*"), [true, true, true, true]),
        // Symbolic alleles have the extent of END or SVLEN.
        (row(105, "A", "<DEL>", "END=108"), [true, true, true, true]),
        (row(105, "A", "<DEL>", "END=111"), [true, true, true, false]),
        (row(105, "A", "<DEL>", "SVLEN=-20"), [true, true, true, false]),
        (row(50, "A", "<DEL>", "END=104"), [false, true, true, false]),
        (row(105, "A", "<DUP>", "SVLEN=x,3"), [true, true, true, true]),
        // Breakends go out only when both ends are granted.
        (row(105, "A", "A[1:108["), [true, true, true, true]), (row(105, "A", "A[2:108["), [true, true, true, false]),
        (row(105, "A", "]1:50]A"), [true, true, true, false]), (row(105, "A", "A."), [true, true, true, true]),
        (row(105, "A", "A[oops["), [true, true, true, false]), (row(105, "A", "!?"), [true, true, true, false]),
        // Reference calls.
        (row(105, "A", "."), [true, true, true, true]), (row(109, "ACG", "."), [true, true, false, false]),
    ]) func bordersOfARegion(line: String, expected: [Bool]) throws {
        for (rule, isExpected) in zip([OverlapRule.position, .record, .variant, .within], expected) {
            let filter = VCFFilter(selection: .regions(RegionSet(["1": [100..<110]])), overlap: rule)
            #expect(try body(filter, [line]) == (isExpected ? [line] : []), "\(rule): \(line)")
        }
    }

    @Test func referenceBlocksAreCut() throws {
        let set = RegionSet(["1": [100..<110, 120..<125, 300..<400], "2": [0..<10]])
        let filter = VCFFilter(selection: .regions(set), overlap: .within)
        func block(_ from: Int, _ to: Int) -> String { row(from, "G", "<NON_REF>", "DP=3;END=\(to)") }
        #expect(try body(filter, [block(95, 99), block(111, 120), block(401, 500)]) == [])
        #expect(try body(filter, [block(101, 110)]) == [block(101, 110)])
        let cut = try apply(filter, [block(90, 122), row(123, "A", "C"), "2\t5\t.\tA\tC\t1\t.\t.\tGT\t0/0\t0/0"])
        let lines = cut.0.split(separator: "\n").suffix(4).map(String.init)
        #expect(
            lines == [
                row(101, "N", "<NON_REF>", "DP=3;END=110"), row(121, "N", "<NON_REF>", "DP=3;END=122"),
                row(123, "A", "C"), "2\t5\t.\tA\tC\t1\t.\t.\tGT\t0/0\t0/0",
            ])
        #expect(cut.1 == FilterCounts(recordsIn: 3, recordsOut: 4, withheld: 0, altered: 1))
        // A record inside a block comes out in order, and a block keeps its first base where it begins in the region.
        let nested = try body(filter, [block(105, 350), row(115, "A", "C"), row(121, "A", "C"), row(200, "A", "C")])
        #expect(
            nested == [
                row(105, "G", "<NON_REF>", "DP=3;END=110"), row(121, "N", "<NON_REF>", "DP=3;END=125"),
                row(121, "A", "C"), row(301, "N", "<NON_REF>", "DP=3;END=350"),
            ])
        let newer = "1\t95\t.\tG\t<*>\t.\t.\tEND=105\tGT:LEN\t0/0:11\t0/0:9"
        #expect(try body(filter, [newer]) == [])
    }

    private func list(_ text: String) throws -> VariantList {
        try Array(text.utf8).withUnsafeBytes { try VariantList(parsing: $0, label: "l") }
    }

    @Test func listedVariants() throws {
        let wanted = try list("1\t101\t.\tA\tC\n1\t200\t.\tCAG\tCG\n1\t300\t.\tT\tTA\n")
        let filter = VCFFilter(selection: .variants(wanted))
        let rows = [
            row(100, "GA", "GC"), row(101, "A", "C"), row(101, "A", "G"), row(101, "AT", "CT"), row(200, "CA", "C"),
            row(200, "CAGA", "CGA"), row(300, "T", "TA,C"), row(300, "TG", "TAG"), row(301, "T", "TA"),
            row(301, "A", "."),
        ]
        #expect(try body(filter, rows) == [rows[0], rows[1], rows[3], rows[4], rows[5], rows[6], rows[7]])
        let byPosition = VCFFilter(selection: .variants(try list("1\t101\n")), overlap: .position)
        #expect(try body(byPosition, rows) == Array(rows[1...3]))
    }

    @Test func otherAllelesAreTakenAway() throws {
        let disclosed = HeaderPolicy.disclose(
            samples: [.init(original: "ann", disclosed: "S1"), .init(original: "bob", disclosed: "S2")], source: "dsgd")
        let filter = VCFFilter(selection: .variants(try list("1\t101\t.\tA\tG\n")), header: disclosed)
        let line =
            "1\t101\trs1\tA\tC,G\t50\tPASS\tAC=3,4;DP=9;CSQ=C|x,G|y\tGT:AD:DP:PL\t1/2:1,2,3:6:1,2,3,4,5,6\t0|2:7:8:."
        #expect(
            try body(filter, [line]) == [
                "1\t101\t.\tA\tG\t50\tPASS\tAC=4;DP=9\tGT:AD:DP:PL\t./1:1,3:6:1,4,6\t0|1:.:8:."
            ])
        let alone = "1\t101\trs1\tA\tG\t50\tPASS\tAC=3;CSQ=z\tGT\t0/1\t1/1"
        #expect(try body(filter, [alone]) == [alone])
        #expect(try body(VCFFilter(selection: filter.selection), [line]) == [line])
    }

    @Test func disclosedHeaderTellsNothingElse() throws {
        let one = HeaderPolicy.disclose(samples: [.init(original: "bob", disclosed: "case-7")], source: "dsgd 1")
        let filter = VCFFilter(
            selection: .regions(RegionSet(["1": [0..<500]])), fields: .genotypeDepthAndQuality, header: one)
        let rows = ["1\t5\tx\tA\tC\t9\tPASS\tDP=4;END=5;AC=1\tGT:PL:DP\t0/1:1,2,3:8\t1/1:4,5,6:9"]
        let text = try apply(filter, rows).0
        for secret in ["secret", "home", "ann", "bob", "Command", "reference", "AC", "PL", "CSQ", "0/1"] {
            #expect(!text.contains(secret), "\(secret)")
        }
        let expected = """
            ##fileformat=VCFv4.2
            ##source=dsgd 1
            ##FILTER=<ID=PASS,Description="All filters passed">
            ##INFO=<ID=END,Number=1,Type=Integer,Description="End">
            ##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="Length">
            ##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
            ##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">
            ##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
            ##contig=<ID=1,length=1000>
            ##contig=<ID=2,length=1000>
            #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tcase-7
            1\t5\tx\tA\tC\t9\tPASS\tEND=5\tGT:DP\t1/1:9

            """
        #expect(text == expected)
        let sites = VCFFilter(
            selection: .everything, fields: .init(info: [], format: []), header: .keep(commandLine: "a\nb"))
        let bare = try apply(sites, rows).0
        #expect(bare.hasSuffix("INFO\n1\t5\tx\tA\tC\t9\tPASS\tEND=5\n") && bare.contains("##dsgdCommand=a b\n"))
        let genotypes = try body(VCFFilter(selection: .everything, fields: .genotypeOnly), rows)
        #expect(genotypes == ["1\t5\tx\tA\tC\t.\tPASS\tEND=5\tGT\t0/1\t1/1"])
        let none = HeaderPolicy.disclose(samples: [.init(original: "eve", disclosed: "x")], source: "d")
        #expect(failure { _ = try apply(VCFFilter(selection: .everything, header: none), rows) }?.kind == .data)
    }

    @Test func hostileInputIsRefused() throws {
        let all = VCFFilter(selection: .everything)
        let good = row(5, "A", "C")
        for bad in [
            row(4, "A", "C"), row(0, "A", "C"), good.replacingOccurrences(of: "0/0", with: "0/2"), "9" + good,
            good + "\tx",
            good.replacingOccurrences(of: "PASS", with: "P\u{0}"), "", "#x",
        ] {
            #expect(failure { _ = try body(all, [row(5, "A", "C"), bad, row(6, "A", "C")]) }?.kind == .data, "\(bad)")
        }
        let loose = VCFFilter(selection: .everything, requiresSortedInput: false)
        #expect(try body(loose, [good, row(4, "A", "C")]).count == 2)
        let wrong = VCFFilter(selection: .regions(RegionSet(["chr1": [0..<5]])))
        #expect(failure { _ = try body(wrong, [good]) }?.problem.contains("chr1") == true)
        for text in ["", "hello", "##fileformat=VCFv4.2\n", "1\t5\t.\tA\tC\t.\t.\t.\n"] {
            #expect(failure { _ = try Array(text.utf8).withUnsafeBytes { try all.run($0, label: "x") } }?.kind == .data)
            #expect(
                failure { _ = try Array(text.utf8).withUnsafeBytes { try all.filter($0, label: "x") } }?.kind == .data)
        }
    }

    @Test func lineEndsAndEmptyAnswers() throws {
        let rows = (1...300).map {
            row($0 * 3, "A", $0 % 5 == 0 ? "<NON_REF>" : "C", $0 % 5 == 0 ? "END=\($0 * 3 + 2)" : ".")
        }
        let filter = VCFFilter(
            selection: .regions(RegionSet(["1": [10..<100, 200..<333, 500..<601]])), fields: .genotypeOnly)
        let expected = try apply(filter, rows)
        let text = Array((head + rows.joined(separator: "\r\n")).utf8)
        let output = try text.withUnsafeBytes { try filter.run($0, label: "x") }
        #expect(output.tbi != nil)
        let plain = try output.vcfGz.withUnsafeBytes { try GzipInflater.inflate($0, label: "o") }
        #expect(String(decoding: plain, as: UTF8.self) == expected.0)
        #expect(output.counts == expected.1 && expected.1.altered > 0)
        // A right of which nothing is found gives a whole file without records.
        let nothing = VCFFilter(selection: .regions(RegionSet(["2": [0..<5]])))
        let empty = try Array((head + rows[0]).utf8).withUnsafeBytes { try nothing.run($0, label: "x") }
        #expect(empty.counts.withheld == 1 && empty.tbi != nil)
    }

    @Test func failureLeavesNoFile() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        save(Array((head + row(5, "A", "C") + "\n" + row(4, "A", "C") + "\n").utf8), folder + "/in.vcf")
        let filter = VCFFilter(selection: .everything)
        #expect(failure { try filter.filterFile(folder + "/in.vcf", to: folder + "/o.vcf.gz") }?.kind == .data)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["in.vcf"])
    }
}
