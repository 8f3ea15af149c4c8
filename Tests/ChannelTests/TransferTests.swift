import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

/// A file that grows; what is in it after a break is made durable before it is promised.
final class FileSink: ObjectSink {
    private let path: String
    private var descriptor: Int32
    private(set) var finished = 0

    init(_ path: String) {
        self.path = path
        descriptor = open(path + ".partial", O_RDWR | O_CREAT | O_APPEND, 0o600)
    }

    deinit { close(descriptor) }

    func resume(_ offer: ObjectOffer) throws -> UInt64 {
        if finished > 0 { return offer.length }
        fsync(descriptor)
        return UInt64(lseek(descriptor, 0, SEEK_END))
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard Glibc.write(descriptor, bytes.baseAddress, bytes.count) == bytes.count else {
            throw Failure(.inputOutput, at: path, "cannot be written", remedy: "make room")
        }
    }

    func finish() throws {
        fsync(descriptor)
        rename(path + ".partial", path)
        finished += 1
    }
}

/// The bytes of a large object, made from their positions so that it need not be kept.
private func pattern(_ position: UInt64, _ buffer: UnsafeMutableRawBufferPointer) {
    for index in 0..<buffer.count {
        let at = position + UInt64(index)
        buffer[index] = UInt8(truncatingIfNeeded: (at &* 0x9E37_79B9) >> 13 ^ at >> 5)
    }
}

@Suite(.serialized) struct TransferTests {
    /// `DSGD_TRANSFER` says how many MiB in the long form (scripts/test-channel), cut a hundred times.
    @Test(arguments: [false, true]) func cutConnectionsCostOnlyWhatWasUnderWay(_ encrypts: Bool) throws {
        let long = ProcessInfo.processInfo.environment["DSGD_TRANSFER"].flatMap(Int.init)
        if encrypts && long != nil { return }
        let length = (long ?? 24) << 20
        let cuts = long == nil ? 25 : 100
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let path = NSTemporaryDirectory() + "dsgd-transfer-" + UUID().uuidString
        defer { unlink(path) }
        nonisolated(unsafe) let sink = FileSink(path)
        let turn = NSLock()
        let listener = try bob.listen { channel in
            // The connection before may still be giving up what it had.
            turn.withLock { while (try? ObjectTransfer.receive(over: channel, into: sink)) ?? nil != nil {} }
        }
        // Cuts anywhere, in the proofs of identity too.
        var random = SystemRandomNumberGenerator()
        let places = (0..<cuts).map { number in
            Int.random(in: number % 5 == 0 ? 1...400 : 400...2 * length / cuts, using: &random)
        }
        let cutter = try Cutter(target: listener.port, cuts: places)
        var options = Party.patient
        options.encryptsHeaders = encrypts
        let report = try ObjectTransfer.send(
            ObjectOffer(identifier: Array(repeating: 7, count: 16), length: UInt64(length)),
            connect: {
                try SecureChannel.connect(
                    host: "127.0.0.1", port: cutter.port, identity: "alice", peer: "bob", pads: alice.cabinet,
                    timeout: patience, options: options)
            }, read: pattern)
        // A connection that was cut in its proof of identity does not count as one.
        #expect(report.connections > cuts / 2 && report.connections <= cuts + 1, "\(report)")
        #expect(sink.finished == 1)
        let arrived = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        var position = 0
        while let piece = try arrived.read(upToCount: 1 << 20), !piece.isEmpty {
            var expected = [UInt8](repeating: 0, count: piece.count)
            expected.withUnsafeMutableBytes { pattern(UInt64(position), $0) }
            #expect(piece.elementsEqual(expected), "at \(position)")
            position += piece.count
        }
        #expect(position == length)
        cutter.stop()
        listener.stop()
        try alice.cabinet.close()
        try bob.cabinet.close()
        let lines = try alice.ledger.balance() + bob.ledger.balance()
        #expect(lines.allSatisfy { $0.balanced })
        // What broke costs what was under way, never the object again.
        #expect(report.sent < UInt64(length + cuts * (12 << 20)))
    }

    @Test func anObjectThatIsThereIsNotSentAgain() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let sink = MemorySink()
        let listener = try bob.listen { channel in
            while (try? ObjectTransfer.receive(over: channel, into: sink)) ?? nil != nil {}
        }
        defer { listener.stop() }
        let data = randomBytes(1_000_000)
        let channel = try alice.connect(listener.port, peer: "bob")
        var report = TransferReport()
        for _ in 0..<3 {
            try ObjectTransfer.send(offer(data), over: channel, &report, read: reader(of: data))
        }
        #expect(report.sent == 1_000_000 && sink.bytes == data && sink.finished == 1)
        channel.close()
    }

    @Test func aSinkThatHasTooMuchIsRefused() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let sink = MemorySink()
        [UInt8](repeating: 1, count: 3).withUnsafeBytes { sink.write($0) }
        let failures = Mutex<[Failure]>([])
        let listener = try bob.listen { channel in
            do { _ = try ObjectTransfer.receive(over: channel, into: sink) } catch {
                failures.withLock { $0.append(error as! Failure) }
            }
        }
        defer { listener.stop() }
        let channel = try alice.connect(listener.port, peer: "bob")
        var report = TransferReport()
        let failure = thrown {
            try ObjectTransfer.send(offer([9, 9]), over: channel, &report, read: reader(of: [9, 9]))
        }
        #expect(failure != nil && eventually { failures.withLock { $0.first?.kind == .data } })
    }

    @Test func aStalledJobHoldsUpNoOther() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let release = DispatchSemaphore(value: 0)
        let number = Atomic<Int>(0)
        let listener = try bob.listen { channel in
            // The first connection reads nothing.
            if number.add(1, ordering: .relaxed).newValue == 1 { release.wait() } else { echo(channel) }
        }
        let stalled = try alice.connect(listener.port, peer: "bob")
        while number.load(ordering: .relaxed) == 0 { usleep(1000) }
        let blocked = Atomic<Int>(0)
        let isBlocked = Atomic(true)
        Thread.detachNewThread {
            let data = [UInt8](repeating: 1, count: 128 << 10)
            // Far more than the sockets hold.
            for _ in 0..<1000 {
                guard (try? data.withUnsafeBytes { try stalled.send(kind: 1, $0, timeout: 10 * patience) }) != nil else { break }
                blocked.add(1, ordering: .relaxed)
            }
            isBlocked.store(false, ordering: .relaxed)
        }
        // Until the sockets are full.
        var before = -1
        eventually {
            let now = blocked.load(ordering: .relaxed)
            defer { before = now }
            usleep(200_000)
            return now > 0 && now == before
        }
        let other = try alice.connect(listener.port, peer: "bob")
        for _ in 0..<50 {
            try [UInt8](repeating: 2, count: 50_000).withUnsafeBytes { try other.send(kind: 1, $0) }
            #expect(try other.receive(timeout: patience)?.kind == 0x81)
        }
        let (waitedOn, sent) = (isBlocked.load(ordering: .relaxed), blocked.load(ordering: .relaxed))
        #expect(waitedOn && sent < 1000)
        stalled.abort()
        release.signal()
        other.close()
        listener.stop()
    }
}
