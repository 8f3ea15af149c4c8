import ArgumentParser
import Evaluation
import Storage

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Compare calls, or a mapper's alignments, with the truth.",
        discussion: """
            Calls:
              dsgd evaluate variants --truth truth.vcf.gz --calls calls.vcf.gz -r ref.fa.gz
            Alignments:
              dsgd map -r ref.fa.gz -1 R1.fq -2 R2.fq | dsgd evaluate mapping -
            """,
        subcommands: [Variants.self, Mapping.self], defaultSubcommand: Variants.self)

    struct Variants: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "variants",
            abstract: "Compare calls with the truth, by haplotype, and list every difference.")

        @Option(help: "True variants (VCF).", completion: .file()) var truth: String
        @Option(help: "Calls (VCF).", completion: .file()) var calls: String
        @Option(name: .shortAndLong, help: "Reference genome (FASTA).", completion: .file()) var reference: String
        @Option(
            name: [.customShort("T"), .long], help: "Regions in which the truth is trusted (BED).",
            completion: .file())
        var regions: String?
        @Option(help: "Leave out calls whose QUAL is lower.") var minimumQuality: Double?
        @Flag(help: "Also by genotype, length and repeats, and how often calls of each QUAL are wrong.") var strata =
            false
        @Flag(help: "Print the whole comparison as JSON.") var json = false

        func validate() throws {
            guard minimumQuality?.isFinite ?? true else { throw ValidationError("--minimum-quality is a number") }
        }

        func run() throws {
            try checkFileNames(inputs: [truth, calls, reference] + [regions].compactMap(\.self), outputs: [])
            var files = CallSetComparison.Files(truth: truth, calls: calls, reference: reference, regions: regions)
            files.minimumQuality = minimumQuality
            let report = try CallSetComparison.run(files)
            if json {
                try printJSON(report)
            } else {
                try printResult(report.table)
                if strata { try printResult(report.passing.strataTable) }
                try printResult(ComparisonReport.list(report.passing.differences))
            }
        }
    }

    struct Mapping: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "mapping",
            abstract: "Compare alignments (SAM) with the true places in the reads' names.",
            discussion: """
                Takes what any mapper makes of reads from `dsgd simulate --truth-in-names`, in any order. A read is \
                correct on its true contig and strand when it starts within 60 bases of its true place, with or \
                without what the CIGAR clips before it. Shares are of all primary records, unmapped ones included. The \
                table says for each mapping quality how many reads have it and how many of these are wrong.
                """)

        @Argument(help: "Alignments (SAM, plain or gzip); - for standard input.", completion: .file())
        var alignments = "-"
        @Flag(help: "The reads come from another genome: every mapped one is wrong.") var foreign = false
        @Flag(help: "Print the counts as JSON.") var json = false

        func run() throws {
            let report = try MappingComparison.run(alignments, isForeign: foreign)
            if json { try printJSON(report) } else { try printResult(report.table) }
        }
    }
}
