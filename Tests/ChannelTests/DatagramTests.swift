import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
import OneTimePad
import Synchronization
import TestSupport
import Testing

/// Keeps what arrives; can be told that a part of it is there already.
final class MemorySink: ObjectSink, Sendable {
    private let state = Mutex<(bytes: [UInt8], finished: Int)>(([], 0))

    var bytes: [UInt8] { state.withLock { $0.bytes } }
    /// How often the object was put in its place.
    var finished: Int { state.withLock { $0.finished } }

    func resume(_ offer: ObjectOffer) -> UInt64 { state.withLock { UInt64($0.bytes.count) } }

    func write(_ bytes: UnsafeRawBufferPointer) { state.withLock { $0.bytes.append(contentsOf: bytes) } }

    func finish() { state.withLock { $0.finished += 1 } }
}

func reader(of data: [UInt8]) -> (UInt64, UnsafeMutableRawBufferPointer) -> Void {
    { position, buffer in
        data.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[Int(position)..<Int(position) + buffer.count]))
        }
    }
}

func offer(_ data: [UInt8], _ name: UInt8 = 1) -> ObjectOffer {
    ObjectOffer(identifier: [UInt8](repeating: name, count: 16), length: UInt64(data.count))
}

@Suite(.serialized) struct DatagramTests {
    struct Outcome {
        var report = TransferReport()
        var arrived: [UInt8] = []
        var finished = 0
        var passed: [DatagramRelay.Passed] = []
        var sender: LedgerLine
        var receiver: LedgerLine
        /// Pad of TCP records between the ends, from caller to listener.
        var tcpPad: UInt64 = 0
    }

    /// Sends an object through a relay, in datagrams, and closes the books.
    static func transfer(
        _ data: [UInt8], _ trouble: DatagramRelay.Trouble, mtu: Int = 1500, encrypts: Bool = false,
        capture: Bool = true
    ) throws -> Outcome {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let relay = DatagramRelay(trouble, capture: capture)
        let sink = MemorySink()
        let refusals = Refusals()
        let served = DispatchSemaphore(value: 0)
        let listener = try bob.listen(refusals: refusals) { channel in
            var options = DatagramOptions(mtu: 9000)
            options.route = relay.listenerRoute
            do {
                while try ObjectTransfer.receive(over: channel, datagrams: options, into: sink) != nil {}
            } catch {
                refusals.list.withLock { $0.append(error as! Failure) }
            }
            served.signal()
        }
        var options = DatagramOptions(mtu: mtu, encryptsHeaders: encrypts)
        options.route = relay.callerRoute
        var report = TransferReport()
        let channel = try alice.connect(listener.port, peer: "bob")
        try ObjectTransfer.send(offer(data), over: channel, datagrams: options, &report, read: reader(of: data))
        channel.close()
        let tcpPad = channel.counters.padSent
        // The listener reads the orderly end before its pads are closed.
        #expect(served.wait(timeout: .now() + patience) == .success)
        listener.stop()
        relay.stop()
        #expect(refusals.list.withLock { $0.isEmpty }, "\(refusals.list.withLock { $0 })")
        try alice.cabinet.close()
        try bob.cabinet.close()
        let sender = try #require(try alice.ledger.balance().first { $0.side == .sender })
        let receiver = try #require(try bob.ledger.balance().first { $0.side == .receiver })
        return Outcome(
            report: report, arrived: sink.bytes, finished: sink.finished, passed: relay.passed.withLock { $0 },
            sender: sender, receiver: receiver, tcpPad: tcpPad)
    }

    /// Where the pad of a datagram with a clear header lies.
    static func padRange(_ datagram: [UInt8]) -> Range<UInt64> {
        let offset = datagram[0..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return offset..<offset + UInt64(datagram.count - RecordHeader.size)
    }

    /// No two ranges overlap.
    static func areDisjoint(_ ranges: [Range<UInt64>]) -> Bool {
        let sorted = ranges.sorted { $0.lowerBound < $1.lowerBound }
        return zip(sorted, sorted.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound }
    }

    @Test(arguments: [(1280, false), (1500, true), (9000, false), (9000, true)])
    func wholeObject(_ mtu: Int, _ encrypts: Bool) throws {
        // More than the window holds, so that its ring goes round.
        let data = randomBytes(mtu == 1500 ? 24 << 20 : 3_000_001)
        let outcome = try Self.transfer(data, DatagramRelay.Trouble(), mtu: mtu, encrypts: encrypts, capture: false)
        #expect(outcome.arrived == data && outcome.finished == 1)
        let header: UInt64 = encrypts ? 16 : 0
        let count = outcome.report.datagrams
        // Pad is what the plaintexts and tags have: 16 bytes of head and 16 of tag each, and 16 of an encrypted header.
        #expect(outcome.report.datagramPad == outcome.report.sent + count * (32 + header))
        #expect(outcome.sender.data + outcome.sender.tags == outcome.report.datagramPad + outcome.tcpPad)
        #expect(outcome.sender.balanced && outcome.receiver.balanced)
    }

    @Test func lossReorderingAndDuplicationCostOnlyPad() throws {
        let data = randomBytes(12_000_000)
        let outcome = try Self.transfer(
            data, DatagramRelay.Trouble(loss: 0.01, duplication: 0.02, reordering: 0.05))
        #expect(outcome.arrived == data && outcome.finished == 1)
        let lost = outcome.passed.filter(\.isLost)
        #expect(lost.count > 20 && outcome.report.repeated >= UInt64(lost.count))
        // Every datagram that ever left the sender had pad of its own, a repetition too.
        let ranges = outcome.passed.map { Self.padRange($0.bytes) }
        #expect(Self.areDisjoint(ranges))
        #expect(UInt64(ranges.count) == outcome.report.datagrams)
        // The books, to the byte: what the sender spent is what the receiver accepted, and what it booked as lost is
        // what the relay took away, as far as the receiver has come.
        let spent = outcome.sender.data + outcome.sender.tags + outcome.sender.handshake
        #expect(outcome.sender.balanced && outcome.receiver.balanced)
        #expect(outcome.sender.data + outcome.sender.tags == outcome.report.datagramPad + outcome.tcpPad)
        let end = outcome.receiver.supplied
        let takenAway = lost.map { Self.padRange($0.bytes) }.filter { $0.upperBound <= end }
            .reduce(UInt64(0)) { $0 + UInt64($1.count) }
        // Beside those the receiver lacks only what came when it had everything, and what the sockets of a starved machine
        // dropped: whole datagrams, and few of them.
        let unread = outcome.receiver.lost - takenAway
        let whole = UInt64(1500 - 48 - RecordHeader.size)
        let last = try #require(ranges.map { UInt64($0.count) }.min())
        let isOfDatagrams = (0...20).contains { unread >= $0 * last && (unread - $0 * last) % whole == 0 }
        #expect(isOfDatagrams && unread < 3_000_000, "\(outcome.receiver)")
        let accepted = outcome.receiver.data + outcome.receiver.tags + outcome.receiver.handshake
        #expect(accepted + takenAway + unread == end && end <= spent)
    }

    @Test func emptyAndTinyObjects() throws {
        for count in [0, 1, 1387, 1388, 1389] {
            let data = randomBytes(count)
            let outcome = try Self.transfer(data, DatagramRelay.Trouble())
            #expect(outcome.arrived == data && outcome.finished == 1, "\(count) bytes")
        }
    }

    /// Random and mutated datagrams against a listener that receives objects meanwhile: `DSGD_FLOOD` says how many in
    /// the long form (scripts/test-channel).
    @Test func noiseIsRefusedAndSlowsNobody() throws {
        let long = ProcessInfo.processInfo.environment["DSGD_FLOOD"].flatMap(Int.init)
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let relay = DatagramRelay(DatagramRelay.Trouble(), capture: true)
        let sinks = Mutex<[MemorySink]>([])
        let listener = try bob.listen { channel in
            var options = DatagramOptions(mtu: 9000)
            options.route = relay.listenerRoute
            while true {
                let sink = MemorySink()
                sinks.withLock { $0.append(sink) }
                guard (try? ObjectTransfer.receive(over: channel, datagrams: options, into: sink)) ?? nil != nil else {
                    return
                }
            }
        }
        var options = DatagramOptions()
        options.route = relay.callerRoute
        let channel = try alice.connect(listener.port, peer: "bob")
        let data = randomBytes(long == nil ? 4_000_000 : 48_000_000)
        var seconds = [0.0, 0.0]
        var noise = 0
        var round = 0
        repeat {
            for isLoud in [false, true] {
                // The flood runs on the processors of both ends, so it runs without noise too, towards nobody: in service
                // it would come from elsewhere.
                let flood = Flood(relay, isNoise: isLoud)
                let start = ContinuousClock.now
                var report = TransferReport()
                try ObjectTransfer.send(
                    offer(data, UInt8(truncatingIfNeeded: round)), over: channel, datagrams: options, &report,
                    read: reader(of: data))
                seconds[isLoud ? 1 : 0] += (ContinuousClock.now - start) / .seconds(1)
                let sent = flood.stop()
                if isLoud { noise += sent }
                #expect(sinks.withLock { $0.removeFirst().bytes } == data)
                relay.passed.withLock { $0.removeAll() }
                round += 1
            }
        } while noise < long ?? 10_000
        let rate = Int(Double(noise) / seconds[1])
        print("\(noise) datagrams of noise, \(rate)/s: \(seconds[1]) s, without noise \(seconds[0]) s")
        if long != nil { #expect(seconds[1] < seconds[0] * 1.2) }
        channel.close()
        listener.stop()
        relay.stop()
    }

    /// Noise at a bounded rate, made from what was seen on the line.
    final class Flood: Sendable {
        static let perSecond = 40_000
        private let isOver = Atomic(false)
        private let count = Atomic<Int>(0)
        private let done = DispatchSemaphore(value: 0)

        init(_ relay: DatagramRelay, isNoise: Bool) {
            Thread.detachNewThread { [self] in
                var random = SplitMix64(seed: 3)
                var next = ContinuousClock.now
                while !isOver.load(ordering: .relaxed) {
                    let model = relay.passed.withLock { $0.last?.bytes } ?? randomBytes(100)
                    for number in 0..<Self.perSecond / 100 {
                        let bytes = DatagramRelay.noise(model, number, &random)
                        isNoise ? relay.inject(bytes) : relay.injectNowhere(bytes)
                    }
                    count.add(Self.perSecond / 100, ordering: .relaxed)
                    // What could not be sent in time is left out, so that the rate is bounded.
                    next = max(next + .milliseconds(10), .now)
                    usleep(UInt32(max(0, (next - .now) / .microseconds(1))))
                }
                done.signal()
            }
        }

        func stop() -> Int {
            isOver.store(true, ordering: .relaxed)
            done.wait()
            return count.load(ordering: .relaxed)
        }
    }
}

@Suite(.serialized) struct DatagramRefusalTests {
    /// A session with a datagram channel at both ends, and what the caller's datagrams look like on the wire.
    final class Session {
        let alice: Party
        let bob: Party
        let relay = DatagramRelay(DatagramRelay.Trouble())
        let listener: ChannelListener
        let control: SecureChannel
        let caller: DatagramChannel
        let answering: DatagramChannel
        private let release = DispatchSemaphore(value: 0)

        init(_ source: MemoryPadSource = memorySource()) throws {
            alice = try Party("alice", peers: ["bob"], source)
            bob = try Party("bob", peers: ["alice"], source)
            let made = Mutex<DatagramChannel?>(nil)
            let ready = DispatchSemaphore(value: 0)
            listener = try bob.listen { [relay, release] channel in
                var options = DatagramOptions()
                options.route = relay.listenerRoute
                let end = try? DatagramChannel(beside: channel, options: options)
                made.withLock { $0 = end }
                ready.signal()
                release.wait()
            }
            control = try alice.connect(listener.port, peer: "bob")
            var options = DatagramOptions()
            options.route = relay.callerRoute
            caller = try DatagramChannel(beside: control, options: options)
            ready.wait()
            answering = try #require(made.withLock { $0 })
        }

        func close() {
            release.signal()
            control.close()
            listener.stop()
            relay.stop()
        }

        /// Sends one datagram, which the relay swallows, and returns it.
        func swallow(_ text: [UInt8]) throws -> [UInt8] {
            relay.set(DatagramRelay.Trouble(loss: 1))
            defer { relay.set(DatagramRelay.Trouble()) }
            let before = relay.passed.withLock { $0.count }
            try send(text)
            eventually { relay.passed.withLock { $0.count } > before }
            return try #require(relay.passed.withLock { $0.last?.bytes })
        }

        func send(_ text: [UInt8]) throws {
            _ = try text.withUnsafeBytes {
                try caller.send(
                    [OutgoingDatagram(head: DatagramHead(kind: 9, stream: 5, position: 77), payload: $0)], timeout: patience)
            }
        }

        /// What the listener makes of what is injected: it takes it or counts it as refused, whenever it comes.
        func take(_ bytes: [UInt8]) throws -> [[UInt8]] {
            let before = answering.refusals.total
            relay.inject(bytes)
            var texts: [[UInt8]] = []
            var failure: (any Error)?
            eventually {
                do { texts = try receive(0.03) } catch { failure = error }
                return failure != nil || !texts.isEmpty || answering.refusals.total > before
            }
            if let failure { throw failure }
            return texts
        }

        func receive(_ timeout: Double) throws -> [[UInt8]] {
            var texts: [[UInt8]] = []
            _ = try answering.receive(timeout: timeout) { datagram in
                #expect(datagram.head == DatagramHead(kind: 9, stream: 5, position: 77))
                texts.append(Array(datagram.payload))
            }
            return texts
        }
    }

    @Test func everyWrongDatagramIsNamedAndCostsTheGenuineNothing() throws {
        let session = try Session()
        defer { session.close() }
        let text = randomBytes(200)
        let genuine = try session.swallow(text)
        // Every bit that is altered: in the offset the pad is another, elsewhere the tag is wrong.
        for place in genuine.indices {
            var altered = genuine
            altered[place] ^= 0x10
            #expect(try session.take(altered).isEmpty)
        }
        let tampered = session.answering.refusals
        #expect(tampered.forged > 60 && tampered.malformed > 0 && tampered.outOfReach > 0 && tampered.truncated > 0)
        // An empty one has nothing to refuse.
        session.relay.inject([])
        for count in [1, 23, 40, 55, genuine.count - 1] {
            #expect(try session.take(Array(genuine[0..<count])).isEmpty)
        }
        #expect(session.answering.refusals.truncated > tampered.truncated)
        // After all that the genuine one is still good, once.
        #expect(try session.take(genuine) == [text])
        let before = session.answering.refusals.replayed
        #expect(try session.take(genuine).isEmpty)
        #expect(session.answering.refusals.replayed == before + 1)
        // Later ones may overtake.
        let (late, early) = (try session.swallow(randomBytes(30)), try session.swallow(randomBytes(40)))
        #expect(try session.take(early).count == 1)
        #expect(try session.take(late).count == 1)
        #expect(try session.take(late).isEmpty && session.answering.refusals.replayed == before + 2)
    }

    @Test func datagramsOfAnotherSessionAreForged() throws {
        let source = memorySource()
        let first = try Session(source)
        let stolen = try first.swallow(randomBytes(100))
        first.close()
        try first.alice.cabinet.close()
        try first.bob.cabinet.close()
        // Another session has another key and other pad; the stolen datagram's pad may never be accepted again.
        let second = try Session(memorySource())
        defer { second.close() }
        try second.send(randomBytes(100))
        #expect(try second.receive(patience).count == 1)
        #expect(try second.take(stolen).isEmpty)
        let refusals = second.answering.refusals
        #expect(refusals.forged + refusals.replayed + refusals.malformed + refusals.truncated == 1)
    }

    @Test func impossibleSizesAreRefused() throws {
        let source = memorySource()
        let alice = try Party("alice", peers: ["bob"], source)
        let bob = try Party("bob", peers: ["alice"], source)
        let listener = try bob.listen(echo)
        defer { listener.stop() }
        let channel = try alice.connect(listener.port, peer: "bob")
        for mtu in [0, 575, 9217, 70_000] {
            let failure = thrown {
                _ = try DatagramChannel(beside: channel, options: DatagramOptions(mtu: mtu))
            }
            #expect(failure?.kind == .configuration)
        }
        channel.close()
    }
}
