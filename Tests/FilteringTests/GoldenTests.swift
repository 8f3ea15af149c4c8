import BinaryVariants
import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import TestSupport
import Testing

/// What a user gets for the files of `Golden`, to the byte, from VCF and from BCF: `NAME.in.vcf` and the right's list
/// beside it become `NAME.out.vcf`.
@Suite struct GoldenTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Golden")

    private func read(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: Self.folder.appending(path: name)))
    }

    private func filter(_ selection: Selection, sample: String = "case-7") -> VCFFilter {
        VCFFilter(
            selection: selection,
            header: .disclose(samples: [.init(original: "cal", disclosed: sample)], source: "dsgd"))
    }

    private func compare(_ name: String, _ selection: Selection) throws {
        let directory = try TemporaryDirectory()
        let input = try read(name + ".in.vcf")
        var bcf: [UInt8] = []
        let writer = BCFWriter(label: name) { bcf.append(contentsOf: $0) }
        try input.withUnsafeBytes { try writer.write($0) }
        _ = try writer.finish()
        let packed = input.withUnsafeBytes { BGZF.compress($0).bytes }
        for (bytes, suffix) in [(input, "vcf"), (packed, "vcf.gz"), (bcf, "bcf")] {
            try directory.write(bytes, to: "in." + suffix)
            try filter(selection).filterFile(
                directory.file("in." + suffix), to: directory.file("out.vcf"),
                output: FilterOutput(format: .vcf, threads: 2))
            let text = String(decoding: try directory.read("out.vcf"), as: UTF8.self)
            let expected = String(decoding: try read(name + ".out.vcf"), as: UTF8.self)
            #expect(text == expected, "\(name) from \(suffix)")
            // A word of the input that nobody may see.
            let secrets = ["private", "ann", "eve", "Command", "md5"]
            #expect(!secrets.contains { text.contains($0) }, "\(name) from \(suffix)")
        }
    }

    /// Borders of regions: deletions, insertions, blocks, symbolic alleles, breakends.
    @Test func regions() throws {
        try compare("regions", .regions(BEDReader.read(Self.folder.appending(path: "regions.bed").path)))
    }

    /// Records of several alleles, of which some are listed.
    @Test func variants() throws {
        try compare("variants", .variants(VariantList.read(Self.folder.appending(path: "variants.tsv").path)))
    }

    /// Answers to sites, as the engine makes them: `0/0` is told from `./.`.
    @Test func sites() throws { try compare("sites", .everything) }

    /// Each line of `refused.txt` has, between bars, a name, a record with blanks for tabs and \0 for NUL, and the
    /// failure's place, problem and remedy.
    @Test func refusals() throws {
        let header = try read("regions.in.vcf").withUnsafeBytes { $0[..<(VCFHeader.byteCount(in: $0) ?? 0)].map { $0 } }
        let filter = filter(.regions(RegionSet(["1": [100..<110]])))
        let lines = String(decoding: try read("refused.txt"), as: UTF8.self).split(separator: "\n")
        #expect(lines.count >= 10)
        for line in lines {
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
            let record = cells[1].replacing(" ", with: "\t").replacing("\\0", with: "\0")
            let good = "1\t101\t.\tA\tC\t.\t.\t.\tGT\t0/0\t0/1\t0/0\n"
            let text = header + Array((good + record + "\n" + good).utf8)
            let problem = failure { _ = try text.withUnsafeBytes { try filter.run($0, label: "in.vcf") } }
            let told = problem.map { "\($0.place)|\($0.problem)|\($0.remedy)" } ?? "nothing"
            #expect(told == cells[2...].joined(separator: "|"), "\(cells[0])")
            #expect(problem?.kind == .data)
        }
    }
}
