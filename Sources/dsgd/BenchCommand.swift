import ArgumentParser
import BenchmarkSupport
import Foundation
import GenomicFormats
import Hardware
import KernelsBenchmarks
import Mapping
import MappingBenchmarks

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure the shipped code on this machine.",
        subcommands: [Kernels.self, Pad.self, Keys.self, Genotype.self, Filter.self])

    struct Kernels: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "kernels",
            abstract: "GB/s of each kernel by instruction set, in cache and from DRAM, and of compression.",
            discussion: """
                Rates count the bytes of one operand, of compression the plain bytes. Rows that end in .size and .speed are \
                ratios: of deflate to bgzip's default, of bgzf.inflate to libdeflate, of gzip.inflate to zlib. DSGD_CPU_CAP \
                limits the instruction sets.
                """)

        @Option(
            name: [.customShort("@", allowingJoined: true), .long],
            help: "Threads of the second set of figures; 0 for all cores.")
        var threads = 0
        @Option(help: "Seconds of each of the nine samples of a figure.") var seconds = 0.03
        @Flag(help: "Print one JSON object.") var json = false

        func run() throws {
            guard seconds > 0, seconds <= 10, (0...1024).contains(threads) else {
                throw ValidationError("--seconds is up to 10 and --threads up to 1024")
            }
            let profile = try HardwareProfile.choose()
            let count = threads > 0 ? threads : HardwareProfile.availableCores
            if !json { print(Self.row("kernel", "variant", "threads", "where", "GB/s", "spread")) }
            let results = KernelBenchmarks(measure: Measure(seconds: seconds), threads: count).run { result in
                if !json {
                    print(
                        Self.row(
                            result.name, result.variant, String(result.threads), result.place,
                            decimals(result.value, 2), decimals(result.spread * 100, 0) + " %"))
                }
            }
            if json {
                try printJSON(
                    BenchmarkReport(
                        machine: machineDescription(), profile: profile.name, version: DSGD.configuration.version,
                        inputs: [], results: results))
            }
        }

        static func row(_ cells: String...) -> String {
            let widths = [28, 12, 9, 8, 10, 8]
            return zip(cells, widths).enumerated().map { column($1.0, $1.1, right: $0 > 3) }.joined()
        }
    }

    struct Genotype: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "genotype",
            abstract: "Time of mapping by stage, on a reference and reads of yours.",
            discussion: """
                Reads are parsed into memory first, then mapped several times at one thread and at all; the run with the \
                least processor time counts, the spread is how much more the dearest took. DSGD_CPU_CAP limits the \
                instruction sets.
                """)

        @Option(name: .shortAndLong, help: "Reference genome (FASTA).", completion: .file()) var reference: String?
        @Option(help: "Index from `dsgd index`, instead of a reference.", completion: .file()) var index: String?
        @Option(name: [.customShort("1"), .customLong("reads1")], help: "First mates.", completion: .file())
        var reads1: String
        @Option(name: [.customShort("2"), .customLong("reads2")], help: "Second mates.", completion: .file())
        var reads2: String?
        @Option(
            name: [.customShort("@", allowingJoined: true), .long],
            help: "Threads of the second set of figures; 0 for all cores.")
        var threads = 0
        @Option(help: "Reads to take from the beginning of the files.") var reads = 1_000_000
        @Option(help: "Runs at each number of threads.") var samples = 3
        @Flag(help: "Print one JSON object.") var json = false

        func validate() throws {
            guard (1...100).contains(samples), reads > 0, (0...1024).contains(threads) else {
                throw ValidationError("--samples is 1 to 100, --reads at least 1, and --threads up to 1024")
            }
            guard (reference == nil) != (index == nil) else {
                throw ValidationError("give --reference or --index, one of them")
            }
        }

        func run() throws {
            let profile = try HardwareProfile.choose()
            let count = threads > 0 ? threads : HardwareProfile.availableCores
            let table: ReferenceIndex
            if let index {
                table = try ReferenceIndex(contentsOf: index, threads: count)
            } else {
                table = try ReferenceIndex(genome: try FASTAReader.read(reference ?? ""), threads: count)
            }
            let paths = [reads1] + (reads2.map { [$0] } ?? [])
            let batches = try MappingBenchmark.Reads(
                of: ReadFiles(paths: paths, layout: reads2 == nil ? .unpaired : .paired), limit: reads)
            if !json { print(Self.row("stage", "variant", "threads", "value", "unit", "spread")) }
            let results = try MappingBenchmark(index: table, reads: batches, samples: samples).run(threads: count) {
                if !json {
                    print(
                        Self.row(
                            $0.name, $0.variant, String($0.threads), decimals($0.value, $0.value < 10 ? 4 : 0), $0.unit,
                            decimals($0.spread * 100, 0) + " %"))
                }
            }
            if json {
                try printJSON(
                    BenchmarkReport(
                        machine: machineDescription(), profile: profile.name, version: DSGD.configuration.version,
                        inputs: [
                            "reference \(String(table.referenceDigest, radix: 16))",
                            "\(table.contigLengths.reduce(0, +)) bases", "\(batches.count) reads",
                        ], results: results))
            }
        }

        private static func row(_ cells: String...) -> String {
            let widths = [18, 10, 9, 12, 10, 8]
            return zip(cells, widths).enumerated().map { column($1.0, $1.1, right: $0 > 2 && $0 != 4) }
                .joined(separator: " ")
        }
    }
}

/// The name of the hardware profile in use.
func hardwareProfileName() throws -> String { try HardwareProfile.choose().name }

/// The processor's name and the number of cores that this process may use.
func machineDescription() -> String {
    let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
    let model = lines.first { $0.hasPrefix("model name") }?.split(separator: ":").last.map(String.init) ?? " unknown"
    return model.trimmingCharacters(in: .whitespaces) + ", \(HardwareProfile.availableCores) cores"
}
