import ArgumentParser
import BenchmarkSupport
import ChannelBenchmarks
import Foundation

extension BenchCommand {
    struct Pad: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "pad",
            abstract: "Throughput of the channel under one-time pad, over TCP and UDP.",
            discussion: """
                Both ends are threads of this process, with a pad ledger each. Pad is made before the clock starts; \
                durable marks are written as in service. Runs of all variants take turns. --plain adds runs without pad \
                and tag, to compare with: there is no such mode elsewhere. scripts/bench-pad makes two network \
                namespaces with a line of given rate, delay and loss between them.
                """)

        @Option(help: "Transports: tcp, udp.") var transports = "tcp,udp"
        @Option(help: "MTUs in bytes; of TCP 0 leaves it to the system.") var mtus = "1500"
        @Flag(help: "Measure records without pad and tag too.") var plain = false
        @Flag(help: "Measure encrypted headers too.") var headers = false
        @Option(help: "MiB that a run sends.") var mebibytes = 1024
        @Option(help: "Seconds after which a TCP run ends in any case.") var seconds = 10.0
        @Option(help: "Runs of each variant.") var samples = 3
        @Option(help: "KiB of payload in a TCP record.") var record = 126
        @Option(help: "CPUs to pin the calling and the listening end to, such as 0,1; else the scheduler decides.")
        var cpus = ""
        @Option(help: "Directory for the ledgers.", completion: .directory) var state = NSTemporaryDirectory()
        @Option(help: "Address at which the listening end listens.") var host = "127.0.0.1"
        @Option(help: "Network namespace of the calling end (a file).") var callerNamespace: String?
        @Option(help: "Network namespace of the listening end (a file).") var listenerNamespace: String?
        @Flag(help: "Print one JSON object.") var json = false

        private var variants: [ChannelBenchmark.Variant] {
            get throws {
                let sizes = try mtus.split(separator: ",").map { text in
                    guard let size = Int(text), size == 0 || (1280...9000).contains(size) else {
                        throw ValidationError("--mtus are 1280 to 9000, or 0")
                    }
                    return size
                }
                let kinds = try transports.split(separator: ",").map { text in
                    guard let kind = ChannelBenchmark.Variant.Transport(rawValue: String(text)) else {
                        throw ValidationError("--transports are tcp and udp")
                    }
                    return kind
                }
                var variants: [ChannelBenchmark.Variant] = []
                for transport in kinds {
                    for mtu in sizes where transport == .tcp || mtu > 0 {
                        for (isPlain, encrypts) in [(true, false), (false, false), (false, true)]
                        where (plain || !isPlain) && (headers || !encrypts) {
                            variants.append(
                                ChannelBenchmark.Variant(
                                    transport: transport, isPlain: isPlain, encryptsHeaders: encrypts, mtu: mtu))
                        }
                    }
                }
                return variants
            }
        }

        func validate() throws {
            guard (1...100).contains(samples), (1...8192).contains(mebibytes), seconds > 0, (1...256).contains(record)
            else {
                throw ValidationError("--samples is 1 to 100, --mebibytes 1 to 8192, --record 1 to 256")
            }
            let pinned = cpus.split(separator: ",").map { Int($0) }
            guard pinned.isEmpty || pinned.count == 2 && pinned.allSatisfy({ $0 ?? -1 >= 0 }) else {
                throw ValidationError("--cpus are two numbers of CPUs")
            }
            guard (callerNamespace == nil) == (listenerNamespace == nil) else {
                throw ValidationError("give both namespaces or none")
            }
            _ = try variants
        }

        func run() throws {
            var benchmark = ChannelBenchmark(directory: state)
            benchmark.bytes = mebibytes << 20
            benchmark.seconds = seconds
            benchmark.samples = samples
            benchmark.recordBytes = record << 10
            benchmark.host = host
            benchmark.cpus = cpus.split(separator: ",").compactMap { Int($0) }
            benchmark.callerNamespace = callerNamespace
            benchmark.listenerNamespace = listenerNamespace
            if !json { print(Self.row("what", "variant", "where", "value", "unit", "spread")) }
            let results = try benchmark.run(try variants) { result in
                if !json {
                    print(
                        Self.row(
                            result.name, result.variant, result.place,
                            decimals(result.value, abs(result.value) < 10 ? 4 : 0), result.unit,
                            decimals(result.spread * 100, 0) + " %"))
                }
            }
            if json {
                try printJSON(
                    BenchmarkReport(
                        machine: machineDescription(), profile: try hardwareProfileName(),
                        version: DSGD.configuration.version,
                        inputs: ["\(mebibytes) MiB a run", "TCP records of \(record) KiB"], results: results))
            }
        }

        private static func row(_ cells: String...) -> String {
            let widths = [16, 22, 12, 10, 11, 8]
            return zip(cells, widths).enumerated().map { column($1.0, $1.1, right: $0 == 3 || $0 == 5) }
                .joined(separator: " ")
        }
    }
}
