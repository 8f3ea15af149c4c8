public import BenchmarkSupport
internal import Channel
internal import Diagnostics
internal import Foundation
internal import Kernels
internal import Metering
internal import OneTimePad

/// What the channel carries between two ends: two threads of this process, each with a pad ledger of its own on disk,
/// over loopback or each in a network namespace of its own.
///
/// Everything is the shipped path, but for the source of pad: that is made before the clock starts, so that what counts
/// is the channel and its durable marks. A run ends when the receiver has everything and has said so. Plain runs send
/// records or datagrams of the same size without pad and tag; runs of all variants take turns, and a ratio is that of
/// neighbours.
public struct ChannelBenchmark: Sendable {
    /// One way of sending.
    public struct Variant: Sendable, Hashable {
        public enum Transport: String, Sendable { case tcp, udp }
        public var transport: Transport
        public var isPlain: Bool
        public var encryptsHeaders: Bool
        /// Bytes of an IP packet; 0 leaves TCP's segments to the system.
        public var mtu: Int

        public init(transport: Transport, isPlain: Bool, encryptsHeaders: Bool, mtu: Int) {
            self.transport = transport
            self.isPlain = isPlain
            self.encryptsHeaders = encryptsHeaders
            self.mtu = mtu
        }

        var name: String {
            var name = isPlain ? "plain" : encryptsHeaders ? "pad+header" : "pad"
            if mtu > 0 { name += " mtu \(mtu)" }
            return name
        }
    }

    /// What one run measured.
    public struct Run: Sendable {
        /// Payload in bytes, and the seconds that it took.
        public var bytes = 0
        public var seconds = 0.0
        /// Processor seconds of both ends.
        public var processor = 0.0
        /// Pad that the sender spent on records after the proof of identity.
        public var pad: UInt64 = 0
        public var forgery = 0.0
        /// Datagrams sent, and those of them that repeated what had been lost.
        public var datagrams: UInt64 = 0
        public var repeated: UInt64 = 0

        public var rate: Double { Double(bytes) * 8 / 1e6 / max(seconds, 1e-9) }
    }

    /// Bytes of one run, and the seconds after which a slower one ends.
    public var bytes = 1 << 30
    public var seconds = 10.0
    public var samples = 3
    /// Payload of a TCP record.
    public var recordBytes = SecureChannel.bulkPayload
    /// Files of the network namespaces of the two ends, and the listener's address.
    public var callerNamespace: String?
    public var listenerNamespace: String?
    public var host = "127.0.0.1"
    public var directory: String
    /// CPUs, one for each end; none leaves it to the scheduler, which may wake the receiver where the sender runs and
    /// have them take turns on one.
    public var cpus: [Int] = []

    /// - Parameter directory: for the ledgers; it should be on the kind of disk that services have.
    public init(directory: String) { self.directory = directory }

    /// Runs every variant, in turn, as often as `samples` says.
    public func run(_ variants: [Variant], progress: (BenchmarkResult) -> Void) throws -> [BenchmarkResult] {
        var runs = [Variant: [Run]]()
        for _ in 0..<samples {
            for variant in variants { runs[variant, default: []].append(try run(variant)) }
        }
        var results: [BenchmarkResult] = []
        for variant in variants {
            let these = runs[variant] ?? []
            var plain = variant
            plain.isPlain = true
            plain.encryptsHeaders = false
            for result in self.results(variant, these, plain: variant.isPlain ? nil : runs[plain]) {
                results.append(result)
                progress(result)
            }
        }
        return results
    }

    private func results(_ variant: Variant, _ runs: [Run], plain: [Run]?) -> [BenchmarkResult] {
        let place = callerNamespace == nil ? "loopback" : "namespaces"
        func result(_ name: String, _ values: [Double], _ unit: String) -> BenchmarkResult {
            let sorted = values.sorted()
            let median = sorted[sorted.count / 2]
            let spread = median == 0 ? 0 : (sorted[sorted.count * 3 / 4] - sorted[sorted.count / 4]) / median
            return BenchmarkResult(
                name: "\(variant.transport.rawValue).\(name)", variant: variant.name, threads: 2, place: place,
                value: median, unit: unit, spread: spread)
        }
        var results = [
            result("throughput", runs.map(\.rate), "Mbit/s"),
            result("best", [runs.map(\.rate).max() ?? 0], "Mbit/s"),
            result("processor", runs.map { $0.processor * 1e9 / Double(max($0.bytes, 1)) }, "ns/byte"),
        ]
        if !variant.isPlain {
            results.append(result("pad", runs.map { Double($0.pad) / Double(max($0.bytes, 1)) }, "bytes/byte"))
            results.append(result("forgery", runs.map { log2($0.forgery) }, "log2"))
        }
        if variant.transport == .udp {
            results.append(
                result("repeated", runs.map { Double($0.repeated) / Double(max($0.datagrams, 1)) }, "ratio"))
        }
        if let plain, plain.count == runs.count {
            results.append(result("ratio", zip(runs, plain).map { $0.rate / max($1.rate, 1e-9) }, "ratio"))
        }
        return results
    }

    /// One run of one variant.
    public func run(_ variant: Variant) throws -> Run {
        let rig = try Rig(self, variant)
        defer { rig.remove() }
        return try rig.run()
    }
}

/// The value that a thread hands to the one that waits for it, or its failure.
final class Promise<Value: Sendable>: @unchecked Sendable {
    private let condition = NSCondition()
    private var result: Result<Value, any Error>?

    func fulfil(_ body: () throws -> Value) {
        let made = Result { try body() }
        condition.withLock {
            if result == nil { result = made }
            condition.broadcast()
        }
    }

    func value() throws -> Value {
        try condition.withLock {
            while result == nil { condition.wait() }
            return try result!.get()
        }
    }
}
