import ArgumentParser
import BenchmarkSupport
import Diagnostics
import Foundation
import Hardware
import Kernels
import KeyNetwork
import Metering
import OneTimePad
import Randomness

extension BenchCommand {
    /// A node and its roles in this process, over the Unix socket that every role uses.
    struct Keys: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Gbit/s of pad from a key node to its roles through ksa.sock, and of the generators.",
            discussion: """
                keys.stock: a role takes pad that waits at its node. keys.made: a role takes pad that the node makes for it, \
                the copy for the other role included.
                """)

        @Option(help: "MiB of pad of each sample, up to 200.") var mib = 64
        @Option(help: "Samples of a figure.") var samples = 5
        @Flag(help: "Print one JSON object.") var json = false

        func run() throws {
            guard (1...200).contains(mib), (1...100).contains(samples) else { throw ValidationError("out of range") }
            var results: [BenchmarkResult] = []
            for (name, source) in [
                ("kernel", try HealthTestedSource(wrapping: KernelRandomSource())),
                (HealthTestedSource.expandedKernel, try HealthTestedSource(device: HealthTestedSource.expandedKernel)),
            ] {
                results.append(try measure("random.generate", name) { buffer in try source.fill(buffer) })
                results += try supply(name, source)
            }
            if json {
                try printJSON(
                    BenchmarkReport(
                        machine: machineDescription(), profile: try HardwareProfile.choose().name,
                        version: DSGD.configuration.version, inputs: [], results: results))
                return
            }
            for result in results {
                print(
                    column(result.name, 20) + column(result.variant, 16)
                        + column(decimals(result.value, 2), 10, right: true)
                        + " " + result.unit + column(decimals(result.spread * 100, 0) + " %", 8, right: true))
            }
        }

        private static let piece = 1 << 20

        private func result(_ name: String, _ variant: String, _ rates: [Double]) -> BenchmarkResult {
            let sorted = rates.sorted()
            let median = sorted[sorted.count / 2]
            return BenchmarkResult(
                name: name, variant: variant, threads: 1, place: "dram", value: median, unit: "Gbit/s",
                spread: median > 0 ? (sorted[sorted.count * 3 / 4] - sorted[sorted.count / 4]) / median : 0)
        }

        private func measure(
            _ name: String, _ variant: String, _ body: (UnsafeMutableRawBufferPointer) throws -> Void
        ) throws -> BenchmarkResult {
            let buffer = SecureBytes(count: Self.piece)
            let rates = try (0..<samples).map { _ in
                let started = monotonicSeconds()
                for _ in 0..<mib { try buffer.withUnsafeMutableBytes(body) }
                return Double(mib * Self.piece) * 8 / 1e9 / (monotonicSeconds() - started)
            }
            return result(name, variant, rates)
        }

        private func supply(_ variant: String, _ source: any RandomSource) throws -> [BenchmarkResult] {
            let directory = NSTemporaryDirectory() + "dsgdb-\(getpid())"
            defer { try? FileManager.default.removeItem(atPath: directory) }
            let topology = NetworkTopology(
                pool: "bench", kms: "site",
                nodes: [.init(name: "site", host: "127.0.0.1", kmaPort: 0, directory: directory)], links: [],
                roles: [.init(name: "sender", node: "site"), .init(name: "receiver", node: "site")])
            let node = try KeyNode(name: "site", topology: topology, source: source)
            try node.start()
            let path = topology.nodes[0].supplySocket
            let stream = PadStream(pool: "bench", sender: "sender", receiver: "receiver")
            var offset: [String: UInt64] = [:]
            func take(_ role: String) throws -> (UnsafeMutableRawBufferPointer) throws -> Void {
                let client = KeySupplyClient(socketPath: path, role: role)
                return { buffer in
                    try client.take(stream, offset: offset[role, default: 0], into: buffer, timeout: 10)
                    offset[role, default: 0] += UInt64(buffer.count)
                }
            }
            let (sender, receiver) = (try take("sender"), try take("receiver"))
            var made: [Double] = []
            var stock: [Double] = []
            for _ in 0..<samples {
                made.append(try one(sender))
                stock.append(try one(receiver))
            }
            try node.stop()
            return [result("keys.made", variant, made), result("keys.stock", variant, stock)]
        }

        private func one(_ body: (UnsafeMutableRawBufferPointer) throws -> Void) throws -> Double {
            let buffer = SecureBytes(count: Self.piece)
            let started = monotonicSeconds()
            for _ in 0..<mib { try buffer.withUnsafeMutableBytes(body) }
            return Double(mib * Self.piece) * 8 / 1e9 / (monotonicSeconds() - started)
        }
    }
}
