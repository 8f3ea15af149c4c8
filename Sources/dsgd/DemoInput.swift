import Diagnostics
import Foundation
import GenomicFormats
import Simulation

/// The files of a demonstration: given in a directory, or made.
struct DemoInput {
    var reads: [String]
    var reference: String
    var truth: String?
    /// Regions in which the truth is trusted; nil for everywhere.
    var confident: String?
    /// What the first user may see.
    var panel: String
    /// What the second user may see.
    var variants: String
    var sample: String
    var isSimulated: Bool

    /// Finds reads, reference and truth in `directory` by their names; writes the two lists of rights into `work` when
    /// the directory has none.
    static func find(in directory: String, work: String) throws -> DemoInput {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        } catch {
            throw Failure(
                .noInput, at: directory, "it cannot be listed", remedy: "name a directory with reads and a reference")
        }
        func one(_ what: String, _ test: (String) -> Bool) throws -> String {
            guard let name = names.first(where: test) else {
                throw Failure(
                    .noInput, at: directory, "it has no \(what)",
                    remedy:
                        "put *R1*.fastq.gz, *R2*.fastq.gz and a reference *.fa.gz there (truth*.vcf.gz and *.bed if you have them)"
                )
            }
            return directory + "/" + name
        }
        func isReads(_ name: String, _ mate: String) -> Bool {
            name.contains(mate) && [".fastq.gz", ".fq.gz", ".fastq", ".fq"].contains { name.hasSuffix($0) }
        }
        func isReference(_ name: String) -> Bool {
            [".fa.gz", ".fasta.gz", ".fa", ".fasta"].contains { name.hasSuffix($0) }
        }
        func path(_ test: (String) -> Bool) -> String? { names.first(where: test).map { directory + "/" + $0 } }
        let reads = [
            try one("first mates (*R1*.fastq.gz)") { isReads($0, "R1") },
            try one("second mates (*R2*.fastq.gz)") { isReads($0, "R2") },
        ]
        let reference = try one("reference (*.fa.gz)", isReference)
        let truth = path { $0.contains("truth") && $0.hasSuffix(".vcf.gz") }
        let beds = names.filter { $0.hasSuffix(".bed") || $0.hasSuffix(".bed.gz") }
        let confident = (beds.first { $0.contains("proxy") } ?? beds.first { $0.contains("confident") })
            .map { directory + "/" + $0 }
        let input = DemoInput(
            reads: reads, reference: reference, truth: truth, confident: confident,
            panel: path { $0.hasPrefix("panel") && $0.hasSuffix(".bed") } ?? work + "/panel.bed",
            variants: path { $0.hasPrefix("variants") } ?? work + "/variants.tsv",
            sample: sampleName(reads[0]), isSimulated: false)
        if !FileManager.default.fileExists(atPath: input.panel) {
            try input.writePanel(region: path { $0.hasPrefix("region") && $0.hasSuffix(".bed") })
        }
        if !FileManager.default.fileExists(atPath: input.variants) { try input.writeVariants() }
        return input
    }

    /// Simulates a diploid sample with known truth into `work`.
    static func simulate(into work: String) throws -> DemoInput {
        _ = try SimulatedDataSet().run(into: work)
        return DemoInput(
            reads: [work + "/reads_R1.fastq.gz", work + "/reads_R2.fastq.gz"], reference: work + "/reference.fa.gz",
            truth: work + "/truth.vcf.gz", confident: work + "/confident.bed", panel: work + "/panel.bed",
            variants: work + "/variants.tsv", sample: SimulationOptions().sampleName, isSimulated: true)
    }

    private static func sampleName(_ path: String) -> String {
        let name = URL(fileURLWithPath: path).lastPathComponent
        let stem = name.prefix { $0 != "." && $0 != "_" }
        return stem.isEmpty ? "sample" : String(stem)
    }

    /// Writes a made-up gene panel: 1,500 bases in every 10,000 of the region (or of the whole reference).
    private func writePanel(region: String?) throws {
        var lines: [String] = []
        var whole: [(String, Int, Int)] = []
        if let region {
            for line in try readList(region).split(separator: "\n") {
                let fields = line.split(separator: "\t")
                if fields.count >= 3, let start = Int(fields[1]), let end = Int(fields[2]) {
                    whole.append((String(fields[0]), start, end))
                }
            }
        } else {
            whole = try FASTAReader.read(reference).contigs.map { ($0.name, 0, $0.length) }
        }
        for (contig, start, end) in whole {
            for from in stride(from: start + 2_000, to: end - 1_500, by: 10_000) {
                lines.append("\(contig)\t\(from)\t\(from + 1_500)")
            }
        }
        try (lines.joined(separator: "\n") + "\n").write(toFile: panel, atomically: true, encoding: .utf8)
    }

    /// Writes every eighth variant of the truth as a list of positions and alleles; without truth, positions of the
    /// panel.
    private func writeVariants() throws {
        var lines = ["#CHROM\tPOS\tID\tREF\tALT"]
        if let truth {
            let records = try readList(truth).split(separator: "\n").filter { !$0.hasPrefix("#") }
            for (index, record) in records.enumerated() where index % 8 == 0 {
                lines.append(record.split(separator: "\t").prefix(5).joined(separator: "\t"))
            }
        } else {
            lines = ["#CHROM\tPOS"]
            for line in try readList(panel).split(separator: "\n") {
                let fields = line.split(separator: "\t")
                guard fields.count >= 3, let start = Int(fields[1]), let end = Int(fields[2]) else { continue }
                lines += (start + 1...end).map { "\(fields[0])\t\($0)" }
            }
        }
        try (lines.joined(separator: "\n") + "\n").write(toFile: variants, atomically: true, encoding: .utf8)
    }
}
