import BinaryVariants
import Compression
import Diagnostics
import Foundation
import TestSupport
import Testing

/// A VCF with every type of value, missing values, long strings and vectors, many samples or none.
enum Sample {
    static let header = """
        ##fileformat=VCFv4.2
        ##FILTER=<ID=PASS,Description="All filters passed">
        ##FILTER=<ID=q10,Description="low">
        ##FILTER=<ID=s50,Description="half">
        ##INFO=<ID=DP,Number=1,Type=Integer,Description="d">
        ##INFO=<ID=AF,Number=A,Type=Float,Description="f">
        ##INFO=<ID=DB,Number=0,Type=Flag,Description="b">
        ##INFO=<ID=END,Number=1,Type=Integer,Description="e">
        ##INFO=<ID=S,Number=.,Type=String,Description="s">
        ##FORMAT=<ID=GT,Number=1,Type=String,Description="g">
        ##FORMAT=<ID=AD,Number=R,Type=Integer,Description="a">
        ##FORMAT=<ID=GL,Number=G,Type=Float,Description="l">
        ##FORMAT=<ID=FT,Number=1,Type=String,Description="t">
        ##contig=<ID=chr1,length=248000000>
        ##contig=<ID=chr2,length=600000000>
        ##contig=<ID=chr3>

        """
    static let records = [
        "chr1\t1\trs1\tA\tC\t12.5\tPASS\tDP=3;AF=0.5;DB\tGT:AD:GL:FT\t0/1:1,2:-1.5,0,-300:x\t1|1:0,70000:.:longer",
        "chr1\t100\t.\tACGT\tA,<DEL>\t.\tq10;s50\tEND=30000;AF=0.001,1e-10\tGT:AD\t./.:.\t2:1,200,.",
        "chr1\t2000000\ta;b\tN\t.\t0\t.\t.\tGT\t0|0\t0/0",
        "chr1\t2000001\t.\tG\t<NON_REF>\t1e+06\tPASS\tS=a,b,cc;DP=.\tGT:FT\t.:.\t0/1/1:.",
        "chr2\t599999999\t.\tT\tG\t3.4e-05\tPASS\tDP=-2147483640;S=\(String(repeating: "x", count: 300))\tGT\t0\t1",
    ]
    static let text = header + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1\ts 2\n"
        + records.joined(separator: "\n") + "\n"

    /// `bytes` as a BCF file of the given form, and its index, written in pieces of so many bytes.
    static func encode(
        _ text: String, form: BCFWriter.Form = .plain, threads: Int = 1, piece: Int = 1 << 20
    ) throws -> (file: [UInt8], index: [UInt8]?) {
        var file: [UInt8] = []
        let writer = BCFWriter(label: "out", form: form, threads: threads) { file.append(contentsOf: $0) }
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: piece) {
            try bytes[start..<min(bytes.count, start + piece)].withUnsafeBytes { try writer.write($0) }
        }
        let index = try writer.finish()
        return (file, index)
    }

    static func decode(_ plain: [UInt8], threads: Int = 1, piece: Int = 1 << 20) throws -> String {
        let decoder = BCFDecoder(label: "in", threads: threads)
        var text: [UInt8] = []
        for start in stride(from: 0, to: plain.count, by: piece) {
            try plain[start..<min(plain.count, start + piece)].withUnsafeBytes {
                try decoder.feed($0) { text.append(contentsOf: $0) }
            }
        }
        try decoder.finish()
        return String(decoding: text, as: UTF8.self)
    }

    /// Where records begin in plain BCF bytes, and their end.
    static func starts(_ plain: [UInt8]) -> [Int] {
        func number(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(plain[at + $1]) << (8 * $1) } }
        var starts = [9 + number(5)]
        while let last = starts.last, last < plain.count { starts.append(last + 8 + number(last) + number(last + 4)) }
        return starts
    }
}

@Suite struct BCFTests {
    @Test func everyTypeOfValueComesBack() throws {
        let plain = try Sample.encode(Sample.text).file
        #expect(try Sample.decode(plain) == Sample.text)
        #expect(Sample.starts(plain).count == Sample.records.count + 1)
        // Pieces of any size, and threads, change nothing.
        for (threads, piece) in [(1, 1), (2, 7), (3, 1_000)] {
            #expect(try Sample.encode(Sample.text, threads: threads, piece: piece).file == plain)
            #expect(try Sample.decode(plain, threads: threads, piece: piece) == Sample.text)
        }
    }

    @Test func bcftoolsReadsAndWritesTheSame() throws {
        let directory = try TemporaryDirectory()
        let (file, index) = try Sample.encode(Sample.text, form: .compressed(.compact), threads: 2)
        try directory.write(file, to: "own.bcf")
        try directory.write(try #require(index), to: "own.bcf.csi")
        try directory.write(Array(Sample.text.utf8), to: "in.vcf")
        let own = directory.file("own.bcf")
        guard let body = run("bcftools", ["view", "--no-version", own]),
            let their = run("bcftools", ["view", "--no-version", "-Ou", directory.file("in.vcf")])
        else { return }
        #expect(String(decoding: body.output, as: UTF8.self) == Sample.text)
        #expect(try their.output == Sample.encode(Sample.text).file)
        let part = run("bcftools", ["view", "-H", "-r", "chr2:500000000-600000000", own])
        #expect(part?.output == Array((Sample.records[4] + "\n").utf8))
        let overlapping = run("bcftools", ["view", "-H", "-r", "chr1:20000-20001", own])
        #expect(overlapping?.output == Array((Sample.records[1] + "\n").utf8))
        let counts = run("bcftools", ["index", "--stats", own])
        #expect(counts?.output == Array("chr1\t248000000\t4\nchr2\t600000000\t1\n".utf8))
    }

    @Test func withoutSamples() throws {
        let text = Sample.header + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
            + Sample.records.map { $0.split(separator: "\t")[..<8].joined(separator: "\t") + "\n" }.joined()
        #expect(try Sample.decode(Sample.encode(text).file) == text)
        let empty = Sample.header + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        #expect(try Sample.decode(Sample.encode(empty).file) == empty)
    }

    @Test(arguments: [
        ("chrX\t1\t.\tA\tC\t.\t.\t.\tGT\t0\t0", "contig is not in the header"),
        ("chr1\t1\t.\tA\tC\t.\tnew\t.\tGT\t0\t0", "does not define"),
        ("chr1\t1\t.\tA\tC\t.\t.\tNEW=1\tGT\t0\t0", "does not define"),
        ("chr1\t1\t.\tA\tC\t.\t.\t.\tGT:NEW\t0:1\t0:2", "does not define"),
        ("chr1\t1\t.\tA\tC\t.\t.\t.\tGT\t0", "cannot be written as BCF"),
        ("chr1\t50\t.\tA\tC\t.\t.\t.\tGT\t0\t0", "not sorted"),
    ])
    func whatBCFCannotHold(line: String, problem: String) throws {
        for threads in [1, 2] {
            let failure = failure {
                _ = try Sample.encode(Sample.text + line + "\n", form: .compressed(.fast), threads: threads)
            }
            #expect(failure?.kind == .data)
            #expect(failure?.problem.contains(problem) == true, "\(String(describing: failure))")
            if problem != "not sorted" { #expect(failure?.place == "out:record 6") }
        }
    }
}
