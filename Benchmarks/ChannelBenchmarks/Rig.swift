internal import Channel
internal import Diagnostics
internal import Foundation
internal import Glibc
internal import Kernels
internal import Metering
internal import OneTimePad
internal import Threads

/// The two ends of one run.
///
/// `@unchecked Sendable`: what changes is handed from thread to thread by promises.
final class Rig: @unchecked Sendable {
    private static let caller = "caller"
    private static let listener = "listener"
    private static let dataKind: UInt8 = 1

    private let benchmark: ChannelBenchmark
    private let variant: ChannelBenchmark.Variant
    private let directory: String
    private var cabinets: [PadCabinet] = []
    private var ledgers: [PadLedger] = []

    init(_ benchmark: ChannelBenchmark, _ variant: ChannelBenchmark.Variant) throws {
        self.benchmark = benchmark
        self.variant = variant
        directory = benchmark.directory + "/dsgd-bench-pad-" + UUID().uuidString
        if variant.isPlain { return }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let source = try PreparedPadSource()
        for (name, peer) in [(Self.caller, Self.listener), (Self.listener, Self.caller)] {
            let ledger = try PadLedger(path: "\(directory)/\(name)-pads.sqlite", owner: name)
            ledgers.append(ledger)
            cabinets.append(
                PadCabinet(identity: name, pool: "bench", peers: [peer], source: source.end, ledger: ledger))
            // It belongs to the stream, not to a transfer: a process that has received datagrams before has it.
            if variant.transport == .udp { try cabinets.last?.pads(for: peer).receiving.openWindow() }
        }
    }

    func remove() {
        for cabinet in cabinets { try? cabinet.close() }
        for ledger in ledgers { try? ledger.close() }
        try? FileManager.default.removeItem(atPath: directory)
    }

    func run() throws -> ChannelBenchmark.Run {
        let port = Promise<UInt16>()
        let served = Promise<Int>()
        let measured = Promise<ChannelBenchmark.Run>()
        detachThread("bench-listener") { [self] in
            do {
                try enter(benchmark.listenerNamespace, end: 1)
                variant.isPlain ? servePlain(port, served) : try serve(port, served)
            } catch {
                port.fulfil { throw error }
                served.fulfil { throw error }
            }
        }
        let number = try port.value()
        detachThread("bench-caller") { [self] in
            measured.fulfil {
                try enter(benchmark.callerNamespace, end: 0)
                return try variant.isPlain ? callPlain(number) : call(number)
            }
        }
        var run = try measured.value()
        let received = try served.value()
        guard received == run.bytes else {
            throw Failure(
                .internalError, at: "bench pad", "\(run.bytes) bytes were sent and \(received) received",
                remedy: "report the fault")
        }
        if run.seconds <= 0 { run.seconds = 1e-9 }
        return run
    }

    /// Gives the calling thread, and those that it starts, a core and a network.
    private func enter(_ namespace: String?, end: Int) throws {
        if benchmark.cpus.count > 1 { pinThread(toCPU: benchmark.cpus[end]) }
        guard let namespace else { return }
        let code = enterNetworkNamespace(namespace)
        guard code == 0 else {
            throw Failure(
                .configuration, at: namespace, "the network namespace cannot be entered (errno \(code))",
                remedy: "make it with `ip netns add` and run this as root")
        }
    }

    /// Seconds of both ends' processor time.
    private func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    // MARK: - The listening end

    private func serve(_ port: Promise<UInt16>, _ served: Promise<Int>) throws {
        let listener = try ChannelListener(
            host: benchmark.host, port: 0, identity: Self.listener, pads: cabinets[1],
            onRefusal: { failure in served.fulfil { throw failure } })
        listener.start { [self] channel in
            served.fulfil {
                guard variant.transport == .udp else { return try drain(channel) }
                let sink = CountingSink()
                _ = try ObjectTransfer.receive(over: channel, into: sink)
                return sink.total
            }
        }
        port.fulfil { listener.port }
        _ = try served.value()
        listener.stop()
    }

    private func drain(_ channel: SecureChannel) throws -> Int {
        var total = 0
        while let count = try channel.receive(timeout: 30, { $1.count }) { total += count }
        try answer(channel)
        return total
    }

    private func answer(_ channel: SecureChannel) throws {
        try [UInt8(1)].withUnsafeBytes { try channel.send(kind: Self.dataKind, $0) }
    }

    private func servePlain(_ port: Promise<UInt16>, _ served: Promise<Int>) {
        served.fulfil {
            let (descriptor, number) = try Sockets.listen(host: benchmark.host, port: 0)
            defer { close(descriptor) }
            port.fulfil { number }
            guard let socket = Sockets.accept(descriptor) else { return 0 }
            let records = PlainRecords(socket, recordBytes: benchmark.recordBytes + 1)
            if variant.transport == .udp {
                let receiver = DatagramReceiver(
                    carrier: try plainDatagrams(socket), stream: 1, start: 0, length: UInt64(benchmark.bytes),
                    stallTimeout: 30)
                var total = 0
                try receiver.run(isOver: { try socket.readable(Deadline(in: 0)) }, { total += $0.count })
                try records.send(1, sequence: 0, isLast: false)
                return total
            }
            var total = 0
            while let count = try records.receive() { total += count - 1 }
            try records.send(1, sequence: 0, isLast: false)
            return total
        }
        port.fulfil { 0 }
    }

    // MARK: - The calling end

    private static let read: @Sendable (UInt64, UnsafeMutableRawBufferPointer) -> Void = { _, bytes in
        bytes.initializeMemory(as: UInt8.self, repeating: 7)
    }

    private func plainDatagrams(_ socket: Socket) throws -> PlainDatagrams {
        let made = try DatagramSocket(besideTCP: socket.descriptor)
        var port = made.port.bigEndian
        try withUnsafeBytes(of: &port) { try socket.write($0, Deadline(in: 30)) }
        try withUnsafeMutableBytes(of: &port) { try socket.readWhole($0, Deadline(in: 30)) }
        try made.connect(besideTCP: socket.descriptor, port: UInt16(bigEndian: port))
        return PlainDatagrams(
            made, maximumPayload: DatagramChannel.maximumPayload(mtu: variant.mtu),
            reach: DatagramChannel.reach(of: PadOptions()))
    }

    private func call(_ port: UInt16) throws -> ChannelBenchmark.Run {
        var options = ChannelOptions()
        options.encryptsHeaders = variant.encryptsHeaders
        if variant.transport == .tcp, variant.mtu > 0 { options.maximumSegment = variant.mtu - 40 }
        let channel = try SecureChannel.connect(
            host: benchmark.host, port: port, identity: Self.caller, peer: Self.listener, pads: cabinets[0],
            options: options)
        defer { channel.close() }
        let data = [UInt8](repeating: 7, count: benchmark.recordBytes)
        guard variant.transport == .tcp else {
            var options = DatagramOptions(mtu: variant.mtu)
            options.encryptsHeaders = variant.encryptsHeaders
            return try measure { run in
                var report = TransferReport()
                run.bytes = benchmark.bytes
                try ObjectTransfer.send(
                    ObjectOffer(identifier: Array(repeating: 1, count: 16), length: UInt64(run.bytes)), over: channel,
                    datagrams: options, &report, read: Self.read)
                run.pad = report.datagramPad
                run.forgery = report.datagramForgeryBound
                run.datagrams = report.datagrams
                run.repeated = report.repeated
            }
        }
        return try measure { run in
            let limit = monotonicSeconds() + benchmark.seconds
            try data.withUnsafeBytes { data in
                while run.bytes < benchmark.bytes, monotonicSeconds() < limit {
                    try channel.send(kind: Self.dataKind, data)
                    run.bytes += data.count
                }
            }
            run.pad = channel.counters.padSent
            run.forgery = channel.forgeryBound
            channel.close()
            _ = try channel.receive(timeout: 30) { _, _ in }
        }
    }

    private func callPlain(_ port: UInt16) throws -> ChannelBenchmark.Run {
        let socket = try Sockets.connect(
            host: benchmark.host, port: port,
            segment: variant.transport == .tcp && variant.mtu > 0 ? variant.mtu - 40 : 0, Deadline(in: 10))
        let records = PlainRecords(socket, recordBytes: benchmark.recordBytes + 1)
        guard variant.transport == .tcp else {
            let carrier = try plainDatagrams(socket)
            return try measure { run in
                run.bytes = benchmark.bytes
                let sender = DatagramSender(
                    carrier: carrier, stream: 1, start: 0, length: UInt64(run.bytes), stallTimeout: 30, read: Self.read)
                try sender.run(isOver: { try socket.readable(Deadline(in: 0)) })
                _ = try records.receive()
                run.datagrams = sender.counts.datagrams
                run.repeated = sender.counts.retransmissions
            }
        }
        return try measure { run in
            let limit = monotonicSeconds() + benchmark.seconds
            var sequence: UInt64 = 0
            while run.bytes < benchmark.bytes, monotonicSeconds() < limit {
                try records.send(benchmark.recordBytes + 1, sequence: sequence, isLast: false)
                run.bytes += benchmark.recordBytes
                sequence += 1
            }
            try records.send(1, sequence: sequence, isLast: true)
            _ = try records.receive()
        }
    }

    private func measure(
        _ body: (inout ChannelBenchmark.Run) throws -> Void
    ) throws -> ChannelBenchmark.Run {
        var run = ChannelBenchmark.Run()
        let processor = processorSeconds()
        let start = monotonicSeconds()
        try body(&run)
        run.seconds = monotonicSeconds() - start
        run.processor = processorSeconds() - processor
        return run
    }
}

/// Counts what arrives and keeps nothing.
private final class CountingSink: ObjectSink {
    private(set) var total = 0

    func resume(_ offer: ObjectOffer) -> UInt64 { 0 }

    func write(_ bytes: UnsafeRawBufferPointer) { total += bytes.count }

    func finish() {}
}
