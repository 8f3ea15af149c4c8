import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import Metering
import TestSupport
import Testing

/// BCF in and out of the filter, held to the same filter on VCF and to bcftools.
@Suite(.serialized) struct BCFFilterTests {
    private static func bcf(_ path: String, _ folder: String) -> String? {
        let made = folder + "/in.bcf"
        return run("bcftools", ["view", "--no-version", "-Ob", "-o", made, path])?.status == 0 ? made : nil
    }

    /// What bcftools prints of a file's records.
    private static func body(_ path: String) -> [UInt8]? {
        guard let printed = run("bcftools", ["view", "-H", path]), printed.status == 0 else { return nil }
        return printed.output
    }

    private static func inflated(_ path: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))).withUnsafeBytes {
            try GzipInflater.inflate($0, label: path)
        }
    }

    @Test(arguments: [
        ("HG001.v3.3.2.b37.chr20.vcf.gz", "20", 60_000_000), ("NA12878.gvcf.vcf.gz", "chr1", 240_000_000),
        ("1kg-phaseIII-v5a.20130502.genotypes.chr22-16-16.5mb.vcf.gz", "22", 16_500_000),
    ]) func realFiles(name: String, contig: String, length: Int) throws {
        guard let path = TestData.path("filters/" + name) else { return }
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        guard let input = Self.bcf(path, folder) else { return }
        var random = SplitMix64(seed: 31)
        let bed = (0..<200).map { _ in
            let start = Int(random.next() % UInt64(length))
            return "\(contig)\t\(start)\t\(start + 1 + Int(random.next() % 60_000))\n"
        }
        save(Array(bed.joined().utf8), folder + "/r.bed")
        let filter = VCFFilter(selection: .regions(try BEDReader.read(folder + "/r.bed")), overlap: .record)
        guard let their = run("bcftools", ["view", "-H", "-T", folder + "/r.bed", "--targets-overlap", "1", input])
        else { return }
        #expect(!their.output.isEmpty)
        guard let whole = run("bcftools", ["view", "--no-version", input])?.output else { return }
        for (format, file) in [
            (FilterOutput.Format.vcf, "o.vcf"), (.vcfGz, "o.vcf.gz"), (.bcf, "o.bcf"), (.bcfPlain, "o.plain.bcf"),
        ] {
            var first: [UInt8] = []
            for threads in [1, 2] {
                let output = FilterOutput(format: format, level: .fast, threads: threads)
                let report = try filter.filterFile(input, to: folder + "/" + file, output: output)
                #expect(report.counts.recordsOut == their.output.count { $0 == 10 })
                #expect(Self.body(folder + "/" + file) == their.output, "\(file)")
                #expect(report.indexSuffix == (format.isBCF ? ".csi" : ".tbi"))
                let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/" + file)))
                if threads == 1 { first = bytes } else { #expect(bytes == first, "\(file)") }
                // The paper's formulas: bytes in and out of each stage.
                let text = try Self.inflated(folder + "/o.vcf").count
                let stages = Dictionary(uniqueKeysWithValues: report.measurements.map { ($0.stage, $0.bytes) })
                #expect(stages[.compression] == text + bytes.count)
                #expect(try stages[.decompression] == whole.count + Data(contentsOf: URL(fileURLWithPath: input)).count)
            }
        }
        // An index that leads to the same records as reading from end to end.
        let region = "\(contig):1-\(length / 2)"
        let query = run("bcftools", ["view", "-H", "-r", region, "--regions-overlap", "0", folder + "/o.bcf"])
        let scan = run("bcftools", ["view", "-H", "-t", region, "--targets-overlap", "0", folder + "/o.bcf"])
        #expect(query?.status == 0 && query?.output == scan?.output)
        #expect(FileManager.default.fileExists(atPath: folder + "/o.bcf.csi"))
        #expect(!FileManager.default.fileExists(atPath: folder + "/o.plain.bcf.csi"))
        // From VCF to BCF and back by the filter alone.
        let all = VCFFilter(selection: .everything)
        try all.filterFile(path, to: folder + "/a.bcf", output: FilterOutput(format: .bcf, level: .fast, threads: 2))
        try all.filterFile(folder + "/a.bcf", to: folder + "/a.vcf", output: FilterOutput(format: .vcf))
        #expect(try Self.inflated(folder + "/a.vcf") == whole)
    }

    @Test func oneSampleOfMany() throws {
        let name = "filters/1kg-phaseIII-v5a.20130502.genotypes.chr22-16-16.5mb.vcf.gz"
        guard let path = TestData.path(name) else { return }
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        guard let input = Self.bcf(path, folder),
            let their = run("bcftools", ["view", "-H", "-I", "-s", "HG00100,HG00096", input])
        else { return }
        let kept = VCFFilter(
            selection: .everything, header: .keep(commandLine: nil, samples: ["HG00100", "HG00096"]))
        try kept.filterFile(input, to: folder + "/s.bcf", output: FilterOutput(format: .bcf, level: .fast))
        #expect(Self.body(folder + "/s.bcf") == their.output)
        // Disclosing from BCF is disclosing from VCF.
        let disclosed = VCFFilter(
            selection: .regions(RegionSet(["22": [16_050_000..<16_100_000]])),
            header: .disclose(samples: [.init(original: "HG00100", disclosed: "x")], source: "bank"))
        try disclosed.filterFile(input, to: folder + "/b.vcf", output: FilterOutput(format: .vcf))
        try disclosed.filterFile(path, to: folder + "/v.vcf", output: FilterOutput(format: .vcf))
        let text = try Self.inflated(folder + "/b.vcf")
        #expect(try text == Self.inflated(folder + "/v.vcf"))
        let header = String(decoding: text, as: UTF8.self).split(separator: "\n").prefix { $0.hasPrefix("#") }
        #expect(header.contains("##source=bank") && header.last?.hasSuffix("FORMAT\tx") == true)
        #expect(!header.contains { $0.contains("HG00") || $0.contains("bcftools") || $0.contains("reference") })
    }

    @Test func damagedFiles() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var text = "##fileformat=VCFv4.2\n##contig=<ID=1,length=100000000>\n"
        text += "##INFO=<ID=X,Number=1,Type=Integer,Description=\"\">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        var random = SplitMix64(seed: 7)
        for number in 0..<40_000 {
            text += "1\t\(number * 10 + 1)\t.\tA\tC\t.\tPASS\tX=\(random.next() % 100_000_000)\n"
        }
        save(Array(text.utf8), folder + "/in.vcf")
        let all = VCFFilter(selection: .everything)
        let input = folder + "/in.bcf"
        try all.filterFile(folder + "/in.vcf", to: input, output: FilterOutput(format: .bcf, makesIndex: false))
        let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: input)))
        let plain = try Self.inflated(input)
        var changed = whole
        changed[whole.count / 2] ^= 0x41
        let middle = plain.count / 2
        for (bytes, words) in [
            (Array(whole[..<(whole.count / 2)]), ["truncated"]), (whole.dropLast(28), ["end marker"]),
            (changed, ["CRC32", "deflate", "length", "declares"]),
            (Array(plain[..<middle]), ["BCF ends inside a record"]), (plain + [1], ["BCF ends inside a record"]),
            (Array(plain[..<60]), ["BCF ends inside its header"]), (whole + Array("x\n".utf8), ["no gzip follow"]),
            (Array("BCF".utf8), ["BCF ends inside its header"]),
        ] as [([UInt8], [String])] {
            save(bytes, input)
            for threads in [1, 2] {
                let problem = failure {
                    try all.filterFile(
                        input, to: folder + "/o.bcf",
                        output: FilterOutput(format: .bcf, level: .fast, threads: threads))
                }
                #expect(problem?.kind == .data && problem?.place.hasPrefix(input) == true)
                #expect(words.contains { problem?.problem.contains($0) == true }, "\(String(describing: problem))")
                #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["in.bcf", "in.vcf"])
            }
        }
    }
}
