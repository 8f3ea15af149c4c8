import Engines
import Foundation
import GenomicFormats
import TestSupport
import Testing

/// The gVCF and the listed sites of whole runs, as the field's tools take them.
@Suite(.serialized) struct GVCFTests {
    /// A run's outputs in files.
    private struct Files {
        let directory: TemporaryDirectory
        let result: GenotypingResult
        var gvcf: String { directory.file("out.g.vcf.gz") }
        var variants: String { directory.file("out.vcf.gz") }
        var sites: String { directory.file("sites.vcf.gz") }

        init(_ run: EngineRun) throws {
            var run = run
            run.job.wantsGVCF = true
            let bytes = Bytes()
            result = try run.result { bytes.all.append(contentsOf: $0) }
            directory = try TemporaryDirectory()
            try directory.write(bytes.all, to: "out.g.vcf.gz")
            try directory.write(try #require(result.gvcfIndex), to: "out.g.vcf.gz.tbi")
            try directory.write(result.vcfGz, to: "out.vcf.gz")
            try directory.write(result.index, to: "out.vcf.gz.tbi")
            guard let sites = result.sites else { return }
            try directory.write(sites.vcfGz, to: "sites.vcf.gz")
            try directory.write(sites.index, to: "sites.vcf.gz.tbi")
        }

        private final class Bytes { var all: [UInt8] = [] }
    }

    /// What a tool prints; nil, said aloud, when it is missing.
    private func lines(_ tool: String, _ arguments: [String]) throws -> [[String]]? {
        guard let (output, status) = run(tool, arguments) else { return nil }
        #expect(status == 0, "\(tool) \(arguments)")
        return String(decoding: output, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { $0.split(separator: "\t").map(String.init) }
    }

    private func fasta(_ genome: ReferenceGenome, in directory: TemporaryDirectory) throws -> String {
        let text = genome.contigs.map { contig in
            ">\(contig.name)\n" + String(decoding: contig.bases.map { BaseCode.ascii[Int($0)] }, as: UTF8.self) + "\n"
        }
        try directory.write(Array(text.joined().utf8), to: "ref.fa")
        return directory.file("ref.fa")
    }

    private func runs() throws -> (first: Files, second: Files, sample: SimulatedSample) {
        let sample = try SimulatedSample.shared.get()
        var second = EngineRun(genome: sample.genome, reads: [sample.reads[1]], layout: .unpaired)
        second.job = GenotypingJob(sample: "S2")
        return (try Files(EngineRun(genome: sample.genome, reads: sample.reads)), try Files(second), sample)
    }

    @Test func mergedSamplesKeepTheirGenotypes() throws {
        let (first, second, sample) = try runs()
        let reference = try fasta(sample.genome, in: first.directory)
        let key = "%CHROM:%POS:%REF:%ALT"
        guard
            let merged = try lines(
                "bash",
                ["-c", "bcftools merge -g \(reference) \(first.gvcf) \(second.gvcf) | bcftools norm -m - -f \(reference) "
                    + "| bcftools query -f '\(key)[\\t%TGT]\\n'"]),
            let own = try lines("bcftools", ["query", "-f", "\(key)\\t[%TGT]\\n", first.variants])
        else { return }
        #expect(merged.count > own.count && own.count > 250)
        // The first of the two samples.
        let both = Dictionary(merged.map { ($0[0], $0[1]) }, uniquingKeysWith: { a, _ in a })
        func sorted(_ genotype: String) -> String { String(genotype.filter { $0 != "|" && $0 != "/" }.sorted()) }
        // Records of one allele keep their spelling.
        let simple = own.filter { !$0[0].contains(",") }
        let kept = simple.count { line in both[line[0]].map(sorted) == sorted(line[1]) }
        #expect(Double(kept) > 0.97 * Double(simple.count), "\(kept) of \(simple.count)")
        #expect(!merged.contains { $0[1].contains("NON_REF") || $0[2].contains("NON_REF") })
    }

    @Test func toolsTakeTheGVCF() throws {
        let (first, _, sample) = try runs()
        let reference = try fasta(sample.genome, in: first.directory)
        guard let view = try lines("bcftools", ["view", first.gvcf]) else { return }
        let covered = view.reduce(0) { sum, line in
            let end = line[7].split(separator: ";").first { $0.hasPrefix("END=") }.map { Int($0.dropFirst(4))! }
            return sum + (end ?? Int(line[1])! + line[3].count - 1) - Int(line[1])! + 1
        }
        let known = sample.genome.contigs.reduce(0) { $0 + $1.bases.count { $0 < 4 } }
        // Records may overlap each other, blocks nothing.
        #expect(covered >= known && covered < known + 200)
        let warnings = try lines("bash", ["-c", "bcftools view \(first.gvcf) 2>&1 >/dev/null"])
        #expect(warnings == [])
        #expect(try lines("bcftools", ["norm", "-c", "e", "-f", reference, first.gvcf])?.count == view.count)
        let expanded = try #require(try lines("bcftools", ["convert", "--gvcf2vcf", "-f", reference, first.gvcf]))
        #expect(expanded.count > known - 2000)
        _ = try lines("bcftools", ["stats", first.gvcf])
        let contig = sample.genome.contigs[0].name
        let inside = try #require(try lines("tabix", [first.gvcf, "\(contig):5000-5100"]))
        #expect(inside.first.map { Int($0[1])! <= 5000 } == true)
    }

    @Test func outputsDoNotDependOnThreads() throws {
        let sample = try SimulatedSample.shared.get()
        var run = EngineRun(genome: sample.genome, reads: sample.reads)
        run.job.sites = try SiteList.read(sample.file("truth.vcf.gz"), genome: sample.genome)
        run.threads = 1
        let one = try Files(run)
        run.threads = 3
        let three = try Files(run)
        #expect(try one.directory.read("out.g.vcf.gz") == three.directory.read("out.g.vcf.gz"))
        #expect(one.result.gvcfIndex == three.result.gvcfIndex)
        #expect(one.result.sites?.vcfGz == three.result.sites?.vcfGz)
        run.job.wantsGVCF = false
        run.job.sites = nil
        #expect(try run.result().vcfGz == one.result.vcfGz, "other outputs change the calls")
        // The sites of the truth: nearly all are there, and as the caller has them.
        guard let sites = try lines("bcftools", ["query", "-f", "%POS\\t[%GT]\\n", one.sites]) else { return }
        #expect(sites.count > 300)
        let missing = sites.count { $0[1].contains(".") }
        let absent = sites.count { $0[1] == "0/0" }
        #expect(missing * 20 < sites.count && absent * 20 < sites.count, "\(missing) and \(absent) of \(sites.count)")
    }
}
