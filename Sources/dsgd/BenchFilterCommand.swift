import ArgumentParser
import BenchmarkSupport
import FilterBenchmarks
import Foundation

extension BenchCommand {
    struct Filter: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "filter",
            abstract: "Seconds from VCF.gz to filtered VCF.gz, beside bcftools and tabix.",
            discussion: """
                Makes a call set of one sample, then takes records out of it by regions and by points. dsgd uses the \
                index beside the input, dsgd.scan reads the whole, dsgd.text writes plain VCF; B-1, B-2 and B-3 are \
                those of the quickest run. These three are timed in this process, dsgd.program and dsgd.program.text \
                as programs, as are the peers that are installed: bcftools -T, bcftools -R and tabix|bgzip write \
                VCF.gz, tabix -R writes text. ratio is a peer's time by dsgd's, same is 1 where the bodies are equal. \
                The files take some 200 bytes of disk for each record.
                """)

        @Option(help: "Records of the call set.") var records = 4_000_000
        @Option(help: "Numbers of records to take out, with commas.") var extract = "0,30000,1500000,3000000"
        @Option(help: "Numbers of threads, with commas.") var threads = "1,2"
        @Option(help: "Runs of each program, which take turns; the quickest counts.") var samples = 1
        @Option(name: [.customShort("l"), .long], help: "dsgd's compression: fast or compact.")
        var level = FilterBenchmark.Level.fast.rawValue
        @Flag(inversion: .prefixedNo, help: "Measure bcftools and tabix too.") var peers = true
        @Option(help: "Seconds after which a peer is stopped.") var peerLimit = 120
        @Option(help: "Directory for the files.", completion: .directory) var directory = NSTemporaryDirectory()
        @Flag(help: "Print one JSON object.") var json = false

        func validate() throws {
            guard (1_000...100_000_000).contains(records), (1...100).contains(samples), peerLimit > 0 else {
                throw ValidationError("--records is 1,000 to 100,000,000, --samples 1 to 100, --peer-limit at least 1")
            }
            guard FilterBenchmark.Level(rawValue: level) != nil else {
                throw ValidationError("--level is fast or compact")
            }
            _ = try numbers(extract, 0...records, "--extract")
            _ = try numbers(threads, 1...1024, "--threads")
        }

        private func numbers(_ list: String, _ range: ClosedRange<Int>, _ option: String) throws -> [Int] {
            try list.split(separator: ",").map {
                guard let number = Int($0), range.contains(number) else {
                    throw ValidationError("\(option) are numbers from \(range.lowerBound) to \(range.upperBound)")
                }
                return number
            }
        }

        func run() throws {
            let place = directory + "/dsgd-bench-filter-" + UUID().uuidString
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: place) }
            var benchmark = FilterBenchmark(directory: place)
            benchmark.records = records
            benchmark.extracted = try numbers(extract, 0...records, "--extract")
            benchmark.threads = try numbers(threads, 1...1024, "--threads")
            benchmark.samples = samples
            benchmark.level = FilterBenchmark.Level(rawValue: level) ?? .fast
            benchmark.comparesPeers = peers
            benchmark.peerLimit = peerLimit
            if !json { print(Self.row("what", "variant", "threads", "value", "unit", "spread")) }
            let results = try benchmark.run { result in
                if !json {
                    print(
                        Self.row(
                            result.name, result.variant, String(result.threads),
                            decimals(result.value, result.value < 100 && result.unit != "lines" ? 3 : 0), result.unit,
                            decimals(result.spread * 100, 0) + " %"))
                }
            }
            if json {
                try printJSON(
                    BenchmarkReport(
                        machine: machineDescription(), profile: try hardwareProfileName(),
                        version: DSGD.configuration.version, inputs: ["\(records) records of one sample"],
                        results: results))
            }
        }

        private static func row(_ cells: String...) -> String {
            let widths = [46, 17, 7, 12, 8, 8]
            return zip(cells, widths).enumerated().map { column($1.0, $1.1, right: $0 == 2 || $0 == 3 || $0 == 5) }
                .joined(separator: " ")
        }
    }
}
