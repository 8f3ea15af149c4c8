import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import Metering
import Storage
import TestSupport
import Testing

private let rules: [(OverlapRule, String)] = [(.position, "0"), (.record, "1"), (.variant, "2")]

/// Runs our filter and bcftools on one file and compares bodies, both printed by bcftools. Returns the rows.
private func compare(_ input: String, bed: String, rule: OverlapRule, number: String, folder: String) throws -> Int? {
    let own = folder + "/own.vcf.gz"
    let filter = VCFFilter(selection: .regions(try BEDReader.read(bed)), overlap: rule)
    try filter.filterFile(input, to: own)
    guard let theirs = run("bcftools", ["view", "-H", "-T", bed, "--targets-overlap", number, input]),
        let mine = run("bcftools", ["view", "-H", own])
    else { return nil }
    #expect(theirs.status == 0 && mine.status == 0)
    #expect(mine.output == theirs.output, "\(rule) on \(input)")
    // The stages in memory give the same lines as the stream.
    let bytes = try readWhole(input)
    let output = try bytes.withUnsafeBytes { try filter.run($0, label: input, threads: 2) }
    let inflated = try output.vcfGz.withUnsafeBytes { try GzipInflater.inflate($0, label: "own") }
    let streamed = try readWhole(own).withUnsafeBytes { try GzipInflater.inflate($0, label: "own") }
    #expect(inflated == streamed)
    save(output.vcfGz, folder + "/run.vcf.gz")
    save(output.tbi ?? [], folder + "/run.vcf.gz.tbi")
    let rows = mine.output.reduce(0) { $0 + ($1 == 10 ? 1 : 0) }
    #expect(output.counts.recordsOut == rows)
    #expect(output.counts.recordsIn == output.counts.recordsOut + output.counts.withheld)
    return rows
}

@Suite(.serialized) struct BcftoolsTests {
    @Test(arguments: [
        ("HG001.v3.3.2.b37.chr20.vcf.gz", "20", 0..<60_000_000, 60_000, rules),
        ("NA12878.gvcf.vcf.gz", "chr1", 0..<240_000_000, 60_000, [rules[2]]),
        ("clinvar.grch38.10chrom.vcf.gz", "13", 32_000_000..<33_000_000, 200, [rules[2]]),
    ]) func realFiles(
        name: String, contig: String, range: Range<Int>, width: Int, rules: [(OverlapRule, String)]
    ) throws {
        guard let path = TestData.path("filters/" + name) else { return }
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var random = SplitMix64(seed: 11)
        let lines = (0..<400).map { _ in
            let start = range.lowerBound + Int(random.next() % UInt64(range.count))
            return "\(contig)\t\(start)\t\(start + 1 + Int(random.next() % UInt64(width)))\n"
        }
        save(Array(lines.joined().utf8), folder + "/r.bed")
        for (rule, number) in rules {
            guard let rows = try compare(path, bed: folder + "/r.bed", rule: rule, number: number, folder: folder)
            else {
                return
            }
            #expect(rows > 100)
        }
        // A region query through our index gives what the whole file gives.
        let region = "\(contig):1-\((range.lowerBound + range.upperBound) / 2)"
        let query = run("bcftools", ["view", "-H", "-r", region, "--regions-overlap", "0", folder + "/run.vcf.gz"])
        let scan = run("bcftools", ["view", "-H", "-t", region, "--targets-overlap", "0", folder + "/run.vcf.gz"])
        #expect(query?.status == 0 && query?.output == scan?.output && query?.output.isEmpty == false)
    }

    @Test func randomSmallFiles() throws {
        var random = SplitMix64(seed: 21)
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func pick<T>(_ values: [T]) -> T { values[Int(random.next() % UInt64(values.count))] }
        for round in 0..<8 {
            var text = "##fileformat=VCFv4.2\n##contig=<ID=1,length=100000>\n##contig=<ID=2,length=100000>\n"
            text += "##INFO=<ID=END,Number=1,Type=Integer,Description=\"e\">\n"
            text += "##ALT=<ID=DEL,Description=\"d\">\n##FORMAT=<ID=GT,Number=1,Type=String,Description=\"g\">\n"
            text += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts\n"
            for contig in ["1", "2"] {
                for position in (0..<500).map({ _ in Int(random.next() % 3_000) + 1 }).sorted() {
                    func bases() -> String { (0..<Int(random.next() % 6) + 1).map { _ in pick(["A", "C"]) }.joined() }
                    let alt = pick([
                        bases(), bases(), bases() + "," + bases(), "<DEL>", "*", ".", "<NON_REF>", bases() + ",*",
                    ])
                    let info = pick([".", ".", ".", "END=\(position + Int(random.next() % 40))"])
                    text += "\(contig)\t\(position)\t.\t\(bases())\t\(alt)\t.\t.\t\(info)\tGT\t0/0\n"
                }
            }
            var bed = ""
            for contig in round % 2 == 0 ? ["1", "2"] : ["2"] {
                var at = 0
                while at < 3_000 {
                    at += 2 + Int(random.next() % 60)
                    let end = at + 1 + Int(random.next() % 25)
                    bed += "\(contig)\t\(at)\t\(end)\n"
                    at = end
                }
            }
            save(Array(text.utf8), folder + "/in.vcf")
            save(Array(bed.utf8), folder + "/r.bed")
            for (rule, number) in rules {
                guard
                    let rows = try compare(
                        folder + "/in.vcf", bed: folder + "/r.bed", rule: rule, number: number, folder: folder)
                else { return }
                #expect(rows > 50)
            }
        }
    }

    @Test func identifiersAndEverything() throws {
        guard let path = TestData.path("filters/HG001.v3.3.2.b37.chr20.vcf.gz") else { return }
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let bytes = try readWhole(path)
        let all = try bytes.withUnsafeBytes { try VCFFilter(selection: .everything).run($0, label: path, threads: 2) }
        #expect(all.counts == FilterCounts(recordsIn: 78_096, recordsOut: 78_096, withheld: 0, altered: 0))
        let before = try bytes.withUnsafeBytes { try GzipInflater.inflate($0, label: "a") }
        let after = try all.vcfGz.withUnsafeBytes { try GzipInflater.inflate($0, label: "a") }
        #expect(before == after)
        #expect(all.measurements.map(\.stage.label) == ["B-1", "B-2", "B-3"])
        #expect(
            all.measurements.map(\.bytes) == [
                bytes.count + before.count, 2 * before.count, before.count + all.vcfGz.count,
            ])
        #expect(all.measurements.allSatisfy { $0.seconds > 0 })
        let set: Set<String> = ["rs6078030", "rs4814683", "rs6139074", "rsNone"]
        let some = try bytes.withUnsafeBytes {
            try VCFFilter(selection: .identifiers(set)).run($0, label: path)
        }
        #expect(some.counts.recordsOut == 3)
        save(Array(set.sorted().joined(separator: "\n").utf8), folder + "/ids")
        save(some.vcfGz, folder + "/x.vcf.gz")
        guard let theirs = run("bcftools", ["view", "-H", "-i", "ID=@\(folder)/ids", path]) else { return }
        #expect(run("bcftools", ["view", "-H", folder + "/x.vcf.gz"])?.output == theirs.output)
    }

    @Test func oneSampleOfMany() throws {
        let name = "filters/1kg-phaseIII-v5a.20130502.genotypes.chr22-16-16.5mb.vcf.gz"
        guard let path = TestData.path(name) else { return }
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let samples = [SampleName(original: "HG00100", disclosed: "b"), .init(original: "HG00096", disclosed: "a")]
        let filter = VCFFilter(selection: .everything, header: .disclose(samples: samples, source: "test"))
        let counts = try filter.filterFile(path, to: folder + "/o.vcf.gz").counts
        #expect(counts.recordsOut == 6_109)
        guard let own = run("bcftools", ["view", "-H", folder + "/o.vcf.gz"]),
            let theirs = run("bcftools", ["view", "-H", "-I", "-s", "HG00100,HG00096", path])
        else { return }
        #expect(own.output == theirs.output && own.status == 0)
        #expect(run("bcftools", ["query", "-l", folder + "/o.vcf.gz"])?.output == Array("b\na\n".utf8))
    }

    @Test func aFileMatchesItselfAsAList() throws {
        guard let path = TestData.path("filters/HG001.v3.3.2.b37.chr20.vcf.gz") else { return }
        let bytes = try readWhole(path)
        let filter = VCFFilter(selection: .variants(try VariantList.read(path)))
        let all = try bytes.withUnsafeBytes { try filter.run($0, label: path) }
        #expect(all.counts.recordsOut == 78_096)
        let other = try Array("20\t61098\t.\tC\tT\n20\t61795\t.\tG\tA\n".utf8).withUnsafeBytes {
            try VariantList(parsing: $0, label: "l")
        }
        let one = try bytes.withUnsafeBytes { try VCFFilter(selection: .variants(other)).run($0, label: path) }
        #expect(one.counts.recordsOut == 1)
    }
}
