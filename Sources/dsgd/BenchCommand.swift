import ArgumentParser
import BenchmarkSupport
import Foundation
import Hardware
import KernelsBenchmarks

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure the shipped code on this machine.", subcommands: [Kernels.self])

    struct Kernels: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "GB/s of each kernel by instruction set, in cache and from DRAM, and of compression.",
            discussion: """
                Rates count the bytes of one operand, of compression the plain bytes. Rows that end in .size and .speed are \
                ratios: of deflate to bgzip's default, of bgzf.inflate to libdeflate, of gzip.inflate to zlib. DSGD_CPU_CAP \
                limits the instruction sets.
                """)

        @Option(name: [.customShort("@"), .long], help: "Threads of the second set of figures; 0 for all cores.")
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
}

/// The processor's name and the number of cores that this process may use.
func machineDescription() -> String {
    let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8))?.split(separator: "\n") ?? []
    let model = lines.first { $0.hasPrefix("model name") }?.split(separator: ":").last.map(String.init) ?? " unknown"
    return model.trimmingCharacters(in: .whitespaces) + ", \(HardwareProfile.availableCores) cores"
}
