import Diagnostics
import Foundation
import Kernels
package import OneTimePad
import Synchronization

/// Limits of datagrams.
public struct DatagramOptions: Sendable {
    /// The largest IP packet of the path, in bytes.
    public var mtu = 1500
    /// Whether the inner headers travel under pad too.
    public var encryptsHeaders = false
    /// The port to send to, given the peer's: for tests that put something between the ends.
    package var route: @Sendable (UInt16) -> UInt16 = { $0 }

    public init(mtu: Int = 1500, encryptsHeaders: Bool = false) {
        self.mtu = mtu
        self.encryptsHeaders = encryptsHeaders
    }
}

/// The record layer over UDP, beside a ``SecureChannel`` whose session it shares: hash keys, identities, pads.
///
/// Each datagram is one record with pad of its own. Loss and reordering cost nothing but pad; a datagram that comes
/// twice, was altered, cut or taken from another session is dropped and counted, and costs the genuine one nothing,
/// because its pad is struck off only when a tag was right. Nothing of it is a way in for strangers: the ports are
/// agreed upon under the channel's seal, and the kernel drops what comes from other addresses.
///
/// `@unchecked Sendable`: `sendLock` guards the sending half, `receiveLock` the receiving half, `counts` is a mutex.
public final class DatagramChannel: DatagramCarrier, @unchecked Sendable {
    /// The kind of the control channel's records that open and close datagram channels.
    static let controlKind: UInt8 = 0xE0
    /// Bytes of IPv6 and UDP headers, which is what an MTU has to leave room for.
    static let networkOverhead = 48
    /// Bytes of a datagram beside its plaintext.
    package static let recordOverhead = RecordSealer.overhead
    static let mtus = 576...9216
    private static let slots = 4
    private static let batchBytes = 65_000
    private static let mostDatagrams = Datagrams.most

    public let options: DatagramOptions
    package let maximumPayload: Int
    package let reach: Int
    package let socket: DatagramSocket
    private let pads: PadPair
    private let counts = Mutex((channel: ChannelCounters(), refusals: DatagramRefusals()))

    private let sendLock = NSLock()
    private let sendSealer: RecordSealer
    private var sendSequence: UInt64 = 0
    private let sendBuffer: UnsafeMutableRawBufferPointer

    private let receiveLock = NSLock()
    private let receiveSealer: RecordSealer
    private let receiveBuffer = SecureBytes(count: slots * DatagramSocket.slotSize)
    private let batches = UnsafeMutableBufferPointer<Datagrams.Batch>.allocate(capacity: slots)
    private let clearHeader = UnsafeMutableRawBufferPointer.allocate(byteCount: RecordHeader.size, alignment: 8)
    private var arrivals: [Arrival] = []

    private struct Arrival {
        var sequence: UInt64
        var text: Range<Int>
    }

    /// Opens datagrams beside the channel. Both ends call it at the same point of their conversation; the smaller of
    /// the two MTUs counts, and headers are encrypted when either end asks for it.
    ///
    /// - Throws: `.configuration` for an impossible MTU, and the failures of the channel.
    public convenience init(beside channel: SecureChannel, options: DatagramOptions, timeout: Double = 30) throws {
        guard Self.mtus.contains(options.mtu) else {
            throw Failure(
                .configuration, at: "MTU \(options.mtu)", "it is out of range",
                remedy: "use an MTU of \(Self.mtus.lowerBound) to \(Self.mtus.upperBound) bytes")
        }
        let socket = try DatagramSocket(besideTCP: channel.socket.descriptor)
        channel.pads.receiving.openWindow()
        let mine: [UInt8] = [
            UInt8(socket.port >> 8), UInt8(socket.port & 255), UInt8(options.mtu >> 8), UInt8(options.mtu & 255),
            options.encryptsHeaders ? 1 : 0,
        ]
        try mine.withUnsafeBytes { try channel.send(kind: Self.controlKind, $0, timeout: timeout) }
        let theirs = try channel.receive(timeout: timeout) { kind, bytes in
            kind == Self.controlKind && bytes.count == mine.count ? Array(bytes) : []
        }
        guard let theirs, theirs.count == mine.count else {
            throw Failure(
                .data, at: channel.peer, "it did not open datagrams", remedy: "run the same release on both ends")
        }
        let mtu = min(options.mtu, Int(theirs[2]) << 8 | Int(theirs[3]))
        guard Self.mtus.contains(mtu) else {
            throw Failure(.data, at: channel.peer, "its MTU is out of range", remedy: "correct its configuration")
        }
        let port = options.route(UInt16(theirs[0]) << 8 | UInt16(theirs[1]))
        try socket.connect(besideTCP: channel.socket.descriptor, port: port)
        self.init(
            socket: socket, keys: channel.keys, pads: channel.pads,
            options: DatagramOptions(mtu: mtu, encryptsHeaders: options.encryptsHeaders || theirs[4] != 0))
    }

    private init(socket: DatagramSocket, keys: Handshake.Session, pads: PadPair, options: DatagramOptions) {
        self.socket = socket
        self.pads = pads
        self.options = options
        maximumPayload = Self.maximumPayload(mtu: options.mtu)
        reach = Self.reach(pads.receiving.reach)
        sendSealer = RecordSealer(
            tagger: Tagger(copying: keys.sendTagger), identifier: keys.identifier, fromClient: keys.clientSide,
            isDatagram: true, encryptsHeader: options.encryptsHeaders)
        receiveSealer = RecordSealer(
            tagger: Tagger(copying: keys.receiveTagger), identifier: keys.identifier, fromClient: !keys.clientSide,
            isDatagram: true, encryptsHeader: options.encryptsHeaders)
        sendBuffer = .allocate(byteCount: Self.batchBytes, alignment: 64)
    }

    deinit {
        sendBuffer.deallocate()
        batches.deallocate()
        clearHeader.deallocate()
    }

    /// The payload of the longest datagram for an MTU.
    package static func maximumPayload(mtu: Int) -> Int {
        mtu - networkOverhead - RecordSealer.overhead - DatagramHead.size
    }

    /// What may be on its way, in bytes of payload, under pads with these options.
    package static func reach(of options: PadOptions) -> Int { reach(ReceivingPad.reach(options)) }

    // What a datagram has beside its payload counts too.
    private static func reach(_ pad: Int) -> Int { pad * 3 / 4 }

    public var counters: ChannelCounters { counts.withLock { $0.channel } }
    public var refusals: DatagramRefusals { counts.withLock { $0.refusals } }

    /// The probability that any forged datagram so far was taken for true: (L+1)/2^128 for each that was refused for
    /// its tag, and for one more, L in blocks of 16 bytes of the longest; a forger makes them as long as the socket takes.
    public var forgeryBound: Double {
        let (longest, forged) = counts.withLock { ($0.channel.longestRecord, $0.refusals.forged) }
        let bytes = forged == 0 ? longest : max(longest, RecordSealer.contextSize + DatagramSocket.slotSize)
        return Double(forged + 1) * Double((bytes + 15) / 16 + 1) * 0x1p-128
    }

    // MARK: - Sending

    package func send(_ datagrams: [OutgoingDatagram], timeout: Double) throws -> UInt64 {
        try sendLock.withLock {
            let first = sendSequence
            var start = 0
            while start < datagrams.count {
                let end = batchEnd(datagrams, start)
                try sendBatch(datagrams[start..<end], timeout: timeout)
                start = end
            }
            return first
        }
    }

    /// A batch has datagrams of one length, but for its last, which may be shorter.
    private func batchEnd(_ datagrams: [OutgoingDatagram], _ start: Int) -> Int {
        let first = datagrams[start].payload.count
        precondition(first <= maximumPayload, "a datagram carries at most \(maximumPayload) bytes")
        let most = min(Self.mostDatagrams, Self.batchBytes / (first + DatagramHead.size + RecordSealer.overhead))
        var end = start + 1
        while end < datagrams.count, end - start < most, datagrams[end].payload.count <= first {
            end += 1
            if datagrams[end - 1].payload.count < first { break }
        }
        return end
    }

    private func sendBatch(_ datagrams: ArraySlice<OutgoingDatagram>, timeout: Double) throws {
        let payload = datagrams.reduce(0) { $0 + $1.payload.count }
        let text = payload + datagrams.count * DatagramHead.size
        let data = text + datagrams.count * sendSealer.headerPad
        let tags = datagrams.count * Tagger.size
        let segment = datagrams.first!.payload.count + DatagramHead.size + RecordSealer.overhead
        try pads.sending.spend(.data, data: data, tag: tags, timeout: timeout) { offset, pad in
            withUnsafeTemporaryAllocation(byteCount: DatagramHead.size, alignment: 8) { head in
                var used = 0
                var at = 0
                for datagram in datagrams {
                    datagram.head.write(to: head)
                    let length = DatagramHead.size + datagram.payload.count
                    let count = sendSealer.pad(ofLength: length) + Tagger.size
                    let end = at + length + RecordSealer.overhead
                    sendSealer.seal(
                        RecordHeader(
                            offset: offset + UInt64(used), length: UInt32(length), flags: 0, sequence: sendSequence),
                        head: UnsafeRawBufferPointer(head), datagram.payload, pad: pad.slice(used..<used + count),
                        into: sendBuffer.slice(at..<end))
                    sendSequence += 1
                    used += count
                    at = end
                }
                wipe(head)
            }
        }
        let wire = text + datagrams.count * RecordSealer.overhead
        try socket.send(UnsafeRawBufferPointer(sendBuffer).slice(0..<wire), segment: segment, timeout: timeout)
        counts.withLock {
            $0.channel.recordsSent += UInt64(datagrams.count)
            $0.channel.payloadSent += UInt64(payload)
            $0.channel.wireSent += UInt64(wire)
            $0.channel.padSent += UInt64(data + tags)
            $0.channel.longestRecord = max(
                $0.channel.longestRecord, RecordSealer.contextSize + segment - RecordSealer.overhead)
        }
    }

    // MARK: - Receiving

    package func receive(timeout: Double, _ body: (IncomingDatagram) throws -> Void) throws -> Int {
        try receiveLock.withLock {
            try receiveBuffer.withUnsafeMutableBytes { buffer in
                let count = try socket.receive(into: buffer, batches, timeout: timeout)
                var handed = 0
                for index in 0..<count {
                    let slot = buffer.slice(index * DatagramSocket.slotSize..<(index + 1) * DatagramSocket.slotSize)
                    let batch = slot.slice(0..<Int(batches[index].length))
                    defer { wipe(batch) }
                    try open(batch, segment: Int(batches[index].segment))
                    handed += arrivals.count
                    for arrival in arrivals {
                        let text = UnsafeRawBufferPointer(batch).slice(arrival.text)
                        try body(
                            IncomingDatagram(
                                sequence: arrival.sequence, head: DatagramHead(reading: text),
                                payload: text.slice(DatagramHead.size..<text.count)))
                    }
                }
                return handed
            }
        }
    }

    /// Opens the datagrams of one batch in place; `arrivals` tells where the good ones are.
    private func open(_ batch: UnsafeMutableRawBufferPointer, segment: Int) throws {
        arrivals.removeAll(keepingCapacity: true)
        var refusals = DatagramRefusals()
        var pad = 0
        try pads.receiving.withDatagrams { receiving in
            // Pad that was found good and not yet struck off: datagrams that follow each other are claimed together.
            var run = (start: UInt64(0), data: 0, tags: 0)
            func claim() throws {
                if run.data > 0 { try receiving.claim(at: run.start, data: run.data, tag: run.tags) }
                pad += run.data + run.tags
                run = (0, 0, 0)
            }
            var at = 0
            while at < batch.count {
                let record = batch.slice(at..<min(at + max(segment, 1), batch.count))
                defer { at += record.count }
                let length = record.count - RecordSealer.overhead
                guard length >= DatagramHead.size else {
                    refusals.truncated += 1
                    continue
                }
                let offset = RecordHeader.offset(in: UnsafeRawBufferPointer(record))
                let data = receiveSealer.pad(ofLength: length)
                if run.data > 0, offset != run.start + UInt64(run.data + run.tags) { try claim() }
                switch try receiving.datagramPad(at: offset, count: data + Tagger.size) {
                case .used: refusals.replayed += 1
                case .outOfReach: refusals.outOfReach += 1
                case .noKey: refusals.noKey += 1
                case .held(let pad):
                    guard let sequence = check(record, length, UnsafeRawBufferPointer(pad), &refusals) else { continue }
                    if run.data == 0 { run.start = offset }
                    run.data += data
                    run.tags += Tagger.size
                    let text = at + RecordHeader.size
                    arrivals.append(Arrival(sequence: sequence, text: text..<text + length))
                }
            }
            try claim()
        }
        let payload = arrivals.reduce(0) { $0 + $1.text.count - DatagramHead.size }
        let longest = arrivals.reduce(0) { max($0, $1.text.count) }
        counts.withLock {
            $0.channel.recordsReceived += UInt64(arrivals.count)
            $0.channel.payloadReceived += UInt64(payload)
            $0.channel.wireReceived += UInt64(batch.count)
            $0.channel.padReceived += UInt64(pad)
            $0.channel.longestRecord = max($0.channel.longestRecord, RecordSealer.contextSize + longest)
            $0.refusals.add(refusals)
        }
    }

    /// Decrypts a datagram and returns its sequence, or nil when it is not genuine.
    private func check(
        _ record: UnsafeMutableRawBufferPointer, _ length: Int, _ pad: UnsafeRawBufferPointer,
        _ refusals: inout DatagramRefusals
    ) -> UInt64? {
        receiveSealer.openHeader(
            UnsafeRawBufferPointer(record).slice(0..<RecordHeader.size), pad: pad, into: clearHeader)
        guard
            let header = try? RecordHeader(
                reading: UnsafeRawBufferPointer(clearHeader), longest: DatagramSocket.slotSize),
            header.flags == 0, header.sequence < UInt64(Int64.max)
        else {
            refusals.malformed += 1
            return nil
        }
        guard header.length == UInt32(length) else {
            refusals.truncated += 1
            return nil
        }
        guard receiveSealer.open(record, pad: pad) else {
            refusals.forged += 1
            return nil
        }
        return header.sequence
    }
}

extension DatagramRefusals {
    mutating func add(_ other: DatagramRefusals) {
        truncated += other.truncated
        malformed += other.malformed
        replayed += other.replayed
        outOfReach += other.outOfReach
        noKey += other.noKey
        forged += other.forged
    }
}
