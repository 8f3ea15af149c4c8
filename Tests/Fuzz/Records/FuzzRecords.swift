import Channel
import Diagnostics
import FuzzSupport
import Glibc
import Kernels
import OneTimePad
import Foundation
import TestSupport

/// Records as a peer or anybody on the line may send them. The first byte of an input says what its rest is.
private enum Kind: UInt8, CaseIterable {
    /// A header alone.
    case header
    /// What follows a genuine proof of identity on a TCP connection.
    case stream
    /// Datagrams, each behind two bytes of length.
    case datagrams
}

/// Two roles in this process whose ends of a channel are open.
private final class Rig {
    let directory: String
    let ledgers: [PadLedger]
    let cabinets: [PadCabinet]
    let source: MemoryPadSource

    init() {
        directory = NSTemporaryDirectory() + "dsgd-fuzz-records-\(getpid())"
        try! FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var next: UInt64 = 1
        nonisolated(unsafe) let counter = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        counter.initialize(to: next)
        next = 0
        source = MemoryPadSource { bytes in
            for index in bytes.indices {
                counter.pointee = counter.pointee &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes[index] = UInt8(counter.pointee >> 56)
            }
        }
        let names = ["alice", "bob"]
        ledgers = names.map { [directory] in try! PadLedger(path: directory + "/\($0).sqlite", owner: $0) }
        cabinets = names.enumerated().map { [ledgers, source] index, name in
            PadCabinet(
                identity: name, pool: "fuzz", peers: [names[1 - index]], source: source.end(of: name),
                ledger: ledgers[index])
        }
    }
}

// LLVM calls from one thread; the ends are shared with the listener's, which only reads.
nonisolated(unsafe) private let rig = Rig()

private final class Slot: @unchecked Sendable {
    private let filled = DispatchSemaphore(value: 0)
    private var channel: SecureChannel?
    let finished = DispatchSemaphore(value: 0)

    func fill(_ new: SecureChannel) {
        channel = new
        filled.signal()
    }

    func take() -> SecureChannel {
        filled.wait()
        return channel!
    }
}

private let listened: (ChannelListener, Slot) = {
    let slot = Slot()
    var options = ChannelOptions()
    options.stallTimeout = 0.05
    options.firstPenalty = 0
    let listener = try! ChannelListener(
        host: "127.0.0.1", port: 0, identity: "bob", pads: rig.cabinets[1], options: options)
    listener.start { channel in
        slot.fill(channel)
        slot.finished.wait()
    }
    return (listener, slot)
}()

/// A new connection's two ends; those of an earlier input cannot be used again, because its first wrong record ended
/// it. A proof of identity fails when an input named its very pad, which is gone then; the next one has other pad.
private func connect() -> (SecureChannel, SecureChannel) {
    let (listener, slot) = listened
    while true {
        let caller = outcome {
            try SecureChannel.connect(
                host: "127.0.0.1", port: listener.port, identity: "alice", peer: "bob", pads: rig.cabinets[0])
        }
        if let caller { return (caller, slot.take()) }
    }
}

private let datagrams: (DatagramChannel, DatagramChannel) = {
    let (caller, answering) = connect()
    nonisolated(unsafe) var first: DatagramChannel!
    let ready = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        first = try! DatagramChannel(beside: caller, options: DatagramOptions())
        ready.signal()
    }
    let second = try! DatagramChannel(beside: answering, options: DatagramOptions())
    ready.wait()
    listened.1.finished.signal()
    return (first, second)
}()

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    var header = [UInt8](repeating: 0, count: RecordHeader.size)
    header.withUnsafeMutableBytes {
        RecordHeader(offset: 32, length: 5, flags: 0, sequence: 0).write(to: $0)
    }
    let record = header + [UInt8](repeating: 3, count: 5 + 16)
    writeSeeds([
        [Kind.header.rawValue] + header, [Kind.stream.rawValue] + record, [Kind.stream.rawValue] + record + record,
        [Kind.datagrams.rawValue, 0, UInt8(record.count)] + record,
    ])
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 1, let kind = Kind(rawValue: input[0] % UInt8(Kind.allCases.count)) else { return -1 }
    let rest = UnsafeRawBufferPointer(rebasing: input[1...])
    switch kind {
    case .header:
        guard rest.count >= RecordHeader.size else { return -1 }
        guard let header = outcome({ try RecordHeader(reading: rest, longest: 1000) }) else { return 0 }
        var again = [UInt8](repeating: 0, count: RecordHeader.size)
        again.withUnsafeMutableBytes { header.write(to: $0) }
        require(rest.prefix(RecordHeader.size).elementsEqual(again), "a header was accepted and changed")
    case .stream:
        let (caller, answering) = connect()
        _ = outcome { try caller.socket.write(rest, Deadline(in: 1)) }
        caller.socket.finishSending()
        let record = outcome { try answering.receive(timeout: 0.05) }
        require((record ?? nil) == nil, "a forged record was accepted")
        caller.abort()
        listened.1.finished.signal()
    case .datagrams:
        var at = 0
        while at + 2 <= rest.count {
            let length = min(Int(rest[at]) << 8 | Int(rest[at + 1]), rest.count - at - 2)
            let datagram = UnsafeRawBufferPointer(rebasing: rest[at + 2..<at + 2 + length])
            at += 2 + length
            guard length > 0 else { continue }
            _ = outcome { try datagrams.0.socket.send(datagram, segment: length, timeout: 1) }
            let taken = outcome { try datagrams.1.receive(timeout: 0.01) { _ in } }
            require(taken ?? 0 == 0, "a forged datagram was accepted")
        }
    }
    return 0
}
