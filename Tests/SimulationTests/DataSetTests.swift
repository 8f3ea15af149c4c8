import Compression
import Diagnostics
import Foundation
import GenomicFormats
import Simulation
import Storage
import Testing

@Suite struct DataSetTests {
    static func inTemporaryDirectory(_ body: (String) throws -> Void) throws {
        let directory = NSTemporaryDirectory() + "/simulation-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body(directory)
    }

    static func plain(_ path: String) throws -> String {
        var text: [UInt8] = []
        let inflater = GzipInflater(label: path)
        try FileReader.forEachPiece(of: path) { chunk in try inflater.feed(chunk) { text += $0 } }
        try inflater.finish { text += $0 }
        return String(decoding: text, as: UTF8.self)
    }

    static func letters(_ bases: ArraySlice<UInt8>) -> String {
        String(decoding: bases.map { BaseCode.ascii[Int($0)] }, as: UTF8.self)
    }

    static let names = [
        "confident.bed", "panel.bed", "reads_R1.fastq.gz", "reads_R2.fastq.gz", "reference.fa.gz", "truth.vcf.gz",
        "truth.vcf.gz.tbi", "variants.tsv",
    ]

    static var small: SimulationOptions {
        var options = SimulationOptions()
        options.genomeLength = 120_000
        options.coverage = 3
        return options
    }

    @Test func filesAreWholeAndTheSameEachTime() throws {
        try Self.inTemporaryDirectory { directory in
            let one = try SimulatedDataSet(Self.small).run(into: directory + "/one")
            var threaded = Self.small
            threaded.threads = 3
            let two = try SimulatedDataSet(threaded).run(into: directory + "/two")
            #expect(one == two)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory + "/one").sorted() == Self.names)
            for name in Self.names {
                let bytes = try readWhole("\(directory)/one/\(name)")
                #expect(try bytes == readWhole("\(directory)/two/\(name)"))
            }
            var options = Self.small
            options.seed = 2
            _ = try SimulatedDataSet(options).run(into: directory + "/three")
            for name in Self.names where name != "truth.vcf.gz.tbi" {
                let bytes = try readWhole("\(directory)/one/\(name)")
                #expect(try bytes != readWhole("\(directory)/three/\(name)"))
            }
            #expect(one.pairs == Int((3 * Double(one.basesNotN) / 300).rounded()))
            let reads = try Self.plain(directory + "/one/reads_R1.fastq.gz")
            #expect(reads.utf8.count { $0 == 10 } == 4 * one.pairs)
        }
    }

    @Test func truthFileAndListsAgreeWithTheReference() throws {
        try Self.inTemporaryDirectory { directory in
            let summary = try SimulatedDataSet(Self.small).run(into: directory)
            let genome = try FASTAReader.read(directory + "/reference.fa.gz")
            let lines = try Self.plain(directory + "/truth.vcf.gz").split(separator: "\n")
            #expect(lines.first == "##fileformat=VCFv4.3")
            let records = lines.filter { !$0.hasPrefix("#") }.map { $0.split(separator: "\t") }
            #expect(records.count == summary.snps + summary.indels && records.count > 60)
            func letters(_ contig: Substring, _ position: Int, _ count: Int) -> String {
                let bases = genome.contigs[genome.index(ofContig: String(contig))!].bases
                return Self.letters(bases[position - 1..<position - 1 + count])
            }
            for record in records {
                #expect(letters(record[0], Int(record[1])!, record[3].count) == record[3])
                #expect(["0|1", "1|0", "1|1"].contains(record[9]))
            }
            let known = Set(records.map { $0[0] + ":" + $0[1] + $0[3] + ">" + $0[4] })
            let list = try Self.plain(directory + "/variants.tsv").split(separator: "\n").dropFirst()
                .map { $0.split(separator: "\t") }
            #expect(list.count == 20)
            #expect(list.count { known.contains($0[0] + ":" + $0[1] + $0[3] + ">" + $0[4]) } == 15)
            #expect(list.allSatisfy { letters($0[0], Int($0[1])!, $0[3].count) == $0[3] })
            #expect(try VariantList.read(directory + "/variants.tsv").count == 20)
            let confident = try BEDReader.read(directory + "/confident.bed")
            let panel = try BEDReader.read(directory + "/panel.bed")
            let share = Double(panel.baseCount) / Double(summary.bases)
            #expect(share > 0.02 && share < 0.10)
            for contig in genome.contigs {
                let inside = try #require(confident.intervals(of: contig.name))
                for (start, end) in zip(inside.starts, inside.ends) {
                    #expect(contig.bases[start - 100..<end + 100].allSatisfy { $0 < 4 })
                }
            }
        }
    }

    @Test func aGivenReferenceIsUsed() throws {
        try Self.inTemporaryDirectory { directory in
            let genome = GenomeSimulator(length: 30_000, contigs: 1, seed: 77).run()
            let text = ">own name\n" + Self.letters(genome.contigs[0].bases[...])
            try text.write(toFile: directory + "/own.fa", atomically: true, encoding: .utf8)
            var options = SimulationOptions()
            options.referencePath = directory + "/own.fa"
            options.pairs = 100
            let summary = try SimulatedDataSet(options).run(into: directory + "/out")
            #expect(summary.bases == 30_000 && summary.pairs == 100 && summary.contigs == 1)
            let written = try FASTAReader.read(directory + "/out/reference.fa.gz")
            #expect(written.contigs[0].name == "own" && written.contigs[0].bases == genome.contigs[0].bases)
        }
    }

    @Test func singleFilesArePlainOrCompressedByTheirNames() throws {
        try Self.inTemporaryDirectory { directory in
            var options = Self.small
            options.pairs = 3_000
            var files = SimulationFiles()
            files.reference = directory + "/g.fa"
            files.reads1 = directory + "/1.fq"
            files.reads2 = directory + "/2.fq.gz"
            files.truth = directory + "/t.vcf"
            let summary = try SimulatedDataSet(options).run(writing: files)
            let made = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            #expect(made == ["1.fq", "2.fq.gz", "g.fa", "t.vcf"])
            _ = try SimulatedDataSet(options).run(into: directory + "/set")
            #expect(try readWhole(directory + "/1.fq") == Array(Self.plain(directory + "/set/reads_R1.fastq.gz").utf8))
            #expect(try readWhole(directory + "/2.fq.gz") == readWhole(directory + "/set/reads_R2.fastq.gz"))
            #expect(try readWhole(directory + "/g.fa") == Array(Self.plain(directory + "/set/reference.fa.gz").utf8))
            #expect(try readWhole(directory + "/t.vcf") == Array(Self.plain(directory + "/set/truth.vcf.gz").utf8))
            #expect(summary.pairs == 3_000)
            // Fewer pairs are the beginning of more.
            options.pairs = 2_500
            files = SimulationFiles()
            files.reads1 = directory + "/few1.fq"
            files.reads2 = directory + "/few2.fq"
            _ = try SimulatedDataSet(options).run(writing: files)
            let few = try readWhole(directory + "/few1.fq")
            #expect(try readWhole(directory + "/1.fq").starts(with: few) && few.count > 2_500 * 300)
        }
    }

    @Test func filesThatDoNotGoTogetherAreRefused() throws {
        try Self.inTemporaryDirectory { directory in
            var options = Self.small
            func kind(_ files: SimulationFiles) -> FailureKind? {
                do {
                    _ = try SimulatedDataSet(options).run(writing: files)
                    return nil
                } catch {
                    return (error as? Failure)?.kind
                }
            }
            #expect(kind(SimulationFiles()) == .usage)
            var files = SimulationFiles()
            files.reads1 = directory + "/1.fq"
            #expect(kind(files) == .usage)
            files.reads2 = directory + "/2.fq"
            options.isRandom = true
            #expect(kind(files) == .usage)
            options.pairs = 10
            #expect(kind(files) == nil)
            files.truth = directory + "/t.vcf"
            #expect(kind(files) == .usage)
        }
    }

    @Test func badOptionsAndReferencesAreRefused() throws {
        try Self.inTemporaryDirectory { directory in
            func kind(_ change: (inout SimulationOptions) -> Void) -> FailureKind? {
                var options = Self.small
                change(&options)
                do {
                    _ = try SimulatedDataSet(options).run(into: directory + "/bad")
                    return nil
                } catch {
                    return (error as? Failure)?.kind
                }
            }
            #expect(kind { $0.contigs = 0 } == .usage)
            #expect(kind { $0.genomeLength = 100 } == .usage)
            #expect(kind { $0.readLength1 = 5 } == .usage)
            #expect(kind { $0.coverage = .nan } == .usage)
            #expect(kind { $0.pairs = -1 } == .usage)
            #expect(kind { $0.snpRate = 0.5 } == .usage)
            #expect(kind { $0.errorRate = 0.0001 } == .usage)
            #expect(kind { $0.errorRate = .nan } == .usage)
            #expect(kind { $0.threads = 0 } == .usage)
            #expect(kind { $0.genomeLength = 5_000_000_000 } == .usage)
            #expect(kind { $0.isRandom = true } == .usage)
            #expect(kind { $0.regionsPath = directory + "/none.bed" } == .noInput)
            #expect(kind { $0.insertMean = .infinity } == .usage)
            #expect(kind { $0.sampleName = "a\tb" } == .usage)
            #expect(kind { $0.referencePath = directory + "/none.fa" } == .noInput)
            try? ">c\nACGTNNNNACGT\n".write(toFile: directory + "/short.fa", atomically: true, encoding: .utf8)
            #expect(kind {
                $0.referencePath = directory + "/short.fa"
                $0.pairs = 5
            } == .data)
            #expect(!FileManager.default.fileExists(atPath: directory + "/bad/reads_R1.fastq.gz"))
            #expect(!FileManager.default.fileExists(atPath: directory + "/bad/reads_R1.fastq.gz.partial"))
        }
        #expect(throws: Failure.self) { try SimulatedDataSet(Self.small).run(into: "/proc/nowhere") }
    }
}
