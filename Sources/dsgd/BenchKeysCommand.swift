import ArgumentParser
import BenchmarkSupport
import Diagnostics
import Foundation
import Hardware
import KeyBenchmarks
import Randomness

extension BenchCommand {
    struct Keys: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "keys",
            abstract: "Gbit/s of key from key nodes to their roles and to applications, and of the generators.",
            discussion: """
                keys.made: a role takes pad that its node makes, the copy for another role of the node included; \
                keys.stock: that role takes what waits. keys.relayed and keys.arrived: the same at the two ends of a link. \
                etsi014.made: new keys by enc_keys for a slave at the other end of a link, so many keys of so many Mbit a \
                request, relay and durable marks included; etsi014.fetched: the slave's dec_keys of them. etsi004.made and \
                etsi004.taken: GET_KEY of 1 MiB at the opener's node and at its peer's. Nodes, doors and clients are the \
                shipped ones on threads of this process, over loopback, with TLS and certificates on both sides (which the \
                openssl command makes); link key waits at both nodes before the clock starts.
                """)

        @Option(help: "MiB of key of each sample, up to 200.") var mib = 64
        @Option(help: "Samples of a figure.") var samples = 5
        @Option(help: "Generator of the nodes: kernel or kernel-aes256; both when left out.") var generator: String?
        @Flag(help: "Print one JSON object.") var json = false

        func run() throws {
            guard (16...200).contains(mib), (1...100).contains(samples) else { throw ValidationError("out of range") }
            guard [nil, "kernel", HealthTestedSource.expandedKernel].contains(generator) else {
                throw ValidationError("The generator is kernel or \(HealthTestedSource.expandedKernel).")
            }
            var results: [BenchmarkResult] = []
            for name in generator.map({ [$0] }) ?? ["kernel", HealthTestedSource.expandedKernel] {
                let source =
                    name == "kernel"
                    ? try HealthTestedSource(wrapping: KernelRandomSource()) : try HealthTestedSource(device: name)
                let benchmark = KeyBenchmark(
                    bytes: mib << 20, samples: samples, directory: NSTemporaryDirectory() + "dsgdb-\(getpid())")
                try benchmark.run(name, source) { result in
                    results.append(result)
                    if json { return }
                    print(
                        column(result.name, 20) + column(result.variant, 26)
                            + column(decimals(result.value, 2), 10, right: true)
                            + " " + result.unit + column(decimals(result.spread * 100, 0) + " %", 8, right: true))
                }
            }
            if json {
                try printJSON(
                    BenchmarkReport(
                        machine: machineDescription(), profile: try HardwareProfile.choose().name,
                        version: DSGD.configuration.version, inputs: [], results: results))
            }
        }
    }
}
