import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import TestSupport
import Testing

/// What a user gets is held to whole files, byte by byte: everything that is not written here must not be told.
@Suite struct DisclosureTests {
    private static let header = """
        ##fileformat=VCFv4.2
        ##fileDate=20260102
        ##source=/opt/private/caller
        ##reference=file:///srv/private/ref.fa
        ##GATKCommandLine=<ID=HaplotypeCaller,CommandLine="--input /private/cal.bam">
        ##bcftools_viewCommand=view -s ann /private/all.bcf
        ##SAMPLE=<ID=ann,Description="private">
        ##PEDIGREE=<ID=ann,Mother=eve>
        ##FILTER=<ID=PASS,Description="All filters passed">
        ##FILTER=<ID=Low,Description="see /private/thresholds">
        ##ALT=<ID=NON_REF,Description="Any other allele">
        ##INFO=<ID=END,Number=1,Type=Integer,Description="End",Source="/private/a",Version="3">
        ##INFO=<ID=AC,Number=A,Type=Integer,Description="made with --private">
        ##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
        ##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequences">
        ##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
        ##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">
        ##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">
        ##FORMAT=<ID=XX,Number=.,Type=String,Description="Free">
        ##contig=<ID=1,length=1000,assembly=/private/b37,md5=0123>
        ##contig=<ID=2,length=500>
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann\tcal\teve

        """
    private static let freshHeader = """
        ##fileformat=VCFv4.2
        ##source=dsgd
        ##FILTER=<ID=PASS,Description="All filters passed">
        ##FILTER=<ID=Low,Description="Description withheld">
        ##ALT=<ID=NON_REF,Description="Any other allele">
        ##INFO=<ID=END,Number=1,Type=Integer,Description="End">
        ##INFO=<ID=AC,Number=A,Type=Integer,Description="Description withheld">
        ##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
        ##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequences">
        ##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
        ##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">
        ##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">
        ##FORMAT=<ID=XX,Number=.,Type=String,Description="Free">
        ##contig=<ID=1,length=1000>
        ##contig=<ID=2,length=500>
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tcase-7

        """

    private static let policy = HeaderPolicy.disclose(
        samples: [.init(original: "cal", disclosed: "case-7")], source: "dsgd")
    private static let regions = Selection.regions(RegionSet(["1": [100..<110, 200..<210], "2": [0..<10]]))
    private static let filter = VCFFilter(selection: regions, header: policy)

    /// A record of three samples; `samples` are the values of all three.
    private static func row(
        _ place: String, _ ref: String, _ alt: String, _ info: String = ".", _ format: String = "GT",
        _ samples: String = "0/1\t0/0\t0/1"
    ) -> String {
        let parts = place.split(separator: ":")
        return "\(parts[0])\t\(parts[1])\trs\(parts[1])\t\(ref)\t\(alt)\t50\tPASS\t\(info)\t\(format)\t\(samples)"
    }

    /// The whole file that the filter makes of the rows, the same from memory, from BGZF and on three threads.
    private static func disclose(_ rows: [String], by filter: VCFFilter = filter) throws -> String {
        let text = Array((header + rows.map { $0 + "\n" }.joined()).utf8)
        let plain = try text.withUnsafeBytes { try filter.filter($0, label: "x").bytes }
        let packed = text.withUnsafeBytes { BGZF.compress($0).bytes }
        let output = try packed.withUnsafeBytes { try filter.run($0, label: "x", threads: 3) }
        let again = try output.vcfGz.withUnsafeBytes { try GzipInflater.inflate($0, label: "x") }
        #expect(plain == again)
        return String(decoding: plain, as: UTF8.self)
    }

    @Test func aWholeFile() throws {
        let rows = [
            // Deletions over the left border, up to it, and over the right one.
            Self.row("1:98", "ACGTA", "A"), Self.row("1:100", "AC", "A"), Self.row("1:109", "ACG", "A"),
            // Blocks over both borders, and one between the regions.
            Self.row("1:150", "G", "<NON_REF>", "END=199"),
            Self.row("1:200", "G", "<NON_REF>", "DP=9;END=400", "GT:AD:PL", "0/0:1,1:0,1,2\t0/0:9,0:0,9,99\t./.:.:."),
            Self.row("1:205", "A", "C", "AC=2;DP=7;CSQ=x", "GT:XX", "1/1:a\t0|1:b\t1/1:c"),
            Self.row("1:211", "A", "C"), Self.row("2:10", "A", "AC"), Self.row("2:10", "A", "T"),
        ]
        let expected = [
            "1\t100\trs100\tAC\tA\t50\tPASS\t.\tGT\t0/0",
            "1\t201\t.\tN\t<NON_REF>\t50\tPASS\tDP=9;END=210\tGT:AD:PL\t0/0:9,0:0,9,99",
            "1\t205\trs205\tA\tC\t50\tPASS\tAC=2;DP=7;CSQ=x\tGT:XX\t0|1:b",
            "2\t10\trs10\tA\tT\t50\tPASS\t.\tGT\t0/0",
        ]
        #expect(try Self.disclose(rows) == Self.freshHeader + expected.map { $0 + "\n" }.joined())
    }

    @Test func aFileOfNothing() throws {
        #expect(try Self.disclose([]) == Self.freshHeader)
        #expect(try Self.disclose([Self.row("1:50", "A", "C"), Self.row("1:111", "A", "C")]) == Self.freshHeader)
    }

    @Test func aRecordSplitToTheAllelesAllowed() throws {
        let list = try Array("1\t101\t.\tA\tT\n1\t205\t.\tAC\tA\n".utf8).withUnsafeBytes {
            try VariantList(parsing: $0, label: "l")
        }
        let filter = VCFFilter(selection: .variants(list), header: Self.policy)
        let rows = [
            // The third of three alleles; the sample's other allele is not told, nor that of its neighbours.
            Self.row(
                "1:101", "A", "C,G,T", "AC=1,2,3;DP=9;CSQ=C|x,T|y;END=101", "GT:AD:PL:XX",
                "3/3:0,0,0,9:0,1,2,3,4,5,6,7,8,9:q\t1/3:1,2,3,4:0,1,2,3,4,5,6,7,8,9:w\t0/0:1:.:e"),
            // The same allele spelled longer, beside one that is not allowed.
            Self.row("1:101", "AG", "TG,A", ".", "GT:AD", "0/1:1,2,3\t2|.:4,5,6\t1/1:."),
            // Not allowed at all.
            Self.row("1:102", "A", "T"), Self.row("1:205", "A", "AC"),
            // Lists of the wrong length tell nothing.
            Self.row("1:205", "AC", "A,ACC", "AC=1", "GT:AD:PL", "0/1:1:1\t1/0:1,2,3,4:1,2,3\t0/0:.:."),
        ]
        let expected = [
            "1\t101\t.\tA\tT\t50\tPASS\tAC=3;DP=9;END=101\tGT:AD:PL\t./1:1,4:0,6,9",
            "1\t101\t.\tAG\tTG\t50\tPASS\t.\tGT:AD\t.|.:4,5",
            "1\t205\t.\tAC\tA\t50\tPASS\tAC=.\tGT:AD:PL\t1/0:.:.",
        ]
        #expect(try Self.disclose(rows, by: filter) == Self.freshHeader + expected.map { $0 + "\n" }.joined())
    }

    /// Input that fails the job, each between good records, inside the right and outside of it.
    @Test(arguments: [101, 150]) func refusedRecords(position: Int) throws {
        let place = "1:\(position)"
        let good = Self.row(place, "A", "C")
        let bad: [(String, String)] = [
            ("POS", good.replacingOccurrences(of: "\t\(position)\t", with: "\t0\t")),
            ("POS", good.replacingOccurrences(of: "\t\(position)\t", with: "\t-5\t")),
            ("POS", good.replacingOccurrences(of: "\t\(position)\t", with: "\t\(position)x\t")),
            ("POS", good.replacingOccurrences(of: "\t\(position)\t", with: "\t\t")),
            ("POS", good.replacingOccurrences(of: "\t\(position)\t", with: "\t2147483648\t")),
            ("POS", good.replacingOccurrences(of: "\t\(position)\t", with: "\t18446744073709551717\t")),
            ("NUL", good.replacingOccurrences(of: "rs", with: "r\0s")),
            ("NUL", good.replacingOccurrences(of: "PASS\t.", with: "PASS\tX=\0")),
            ("NUL", good + "\0"),
            ("contig", Self.row("chr\(place)", "A", "C")), ("contig", Self.row("3:5", "A", "C")),
            ("REF", Self.row(place, "", "C")), ("ALT", Self.row(place, "A", "")),
            ("columns", good + "\t0/0"), ("columns", "1\t\(position)\t.\tA\tC\t.\tPASS\t.\tGT\t0/0"),
            ("order", Self.row("1:99", "A", "C")),
        ]
        for (what, line) in bad {
            let rows = [Self.row("1:100", "A", "C"), line, Self.row("2:5", "A", "C")]
            let problem = failure { _ = try Self.disclose(rows) }
            #expect(problem?.kind == .data, "\(what): \(line.debugDescription)")
            #expect(problem?.place.contains("record 2") == true, "\(what): \(problem?.place ?? "none")")
        }
        #expect(try Self.disclose([Self.row("1:100", "A", "C"), good]).hasPrefix(Self.freshHeader))
    }

    @Test func genotypesOfAllelesThatAreNotThere() throws {
        for genotype in ["0/2", "2", "2|0", "0/10", "0/1/2", "9999999999999999999999/0"] {
            // The disclosed sample and one that is not: a damaged record is refused as a whole.
            for samples in ["0/0\t\(genotype)\t0/0", "0/0\t0/0\t\(genotype)"] {
                let inside = Self.row("1:101", "A", "C", ".", "GT", samples)
                #expect(failure { _ = try Self.disclose([inside]) }?.kind == .data, "\(samples)")
                let outside = Self.row("1:150", "A", "C", ".", "GT", samples)
                #expect(try Self.disclose([outside]) == Self.freshHeader)
            }
        }
        let alleles = (1...10).map { "A" + String(repeating: "C", count: $0) }.joined(separator: ",")
        let many = Self.row("1:101", "A", alleles).replacingOccurrences(of: "0/0", with: "10/0")
        #expect(try Self.disclose([many]).hasSuffix("\tGT\t10/0\n"))
    }

    @Test func rightsThatTheFileCannotMeet() throws {
        for regions in [["chr1": [0..<5]], ["1": [0..<5], "MT": [0..<5]], ["2": [400..<501]]] {
            let filter = VCFFilter(selection: .regions(RegionSet(regions)), header: Self.policy)
            #expect(failure { _ = try Self.disclose([], by: filter) }?.kind == .data, "\(regions)")
        }
    }
}
