import Diagnostics
import Foundation
public import Kernels
import OneTimePad
import Synchronization

/// Limits of a channel.
public struct ChannelOptions: Sendable {
    /// Seconds in which both proofs of identity must be there, the key for them included.
    public var handshakeTimeout = 20.0
    /// Seconds in which a peer must take or finish a record that was begun, and in which key must come.
    public var stallTimeout = 30.0
    /// Seconds that a remote waits after its first failed proof; each further failure doubles them.
    public var firstPenalty = 0.5
    public var longestPenalty = 30.0
    /// Connections served at the same time.
    public var maximumConnections = 1024
    /// Whether the lengths, flags and sequences of records travel under pad too, 16 bytes a record; the caller decides.
    public var encryptsHeaders = false
    /// The largest TCP segment in bytes, for paths whose MTU is smaller than the interface says; 0 leaves it to the
    /// system.
    public var maximumSegment = 0

    public init() {}
}

/// What a channel carried, in bytes and records.
public struct ChannelCounters: Sendable, Codable, Equatable {
    public var recordsSent: UInt64 = 0
    public var recordsReceived: UInt64 = 0
    /// Payload without kind byte, header and tag.
    public var payloadSent: UInt64 = 0
    public var payloadReceived: UInt64 = 0
    /// Bytes on the wire after the handshake.
    public var wireSent: UInt64 = 0
    public var wireReceived: UInt64 = 0
    /// Pad spent on ciphertext and tags after the handshake.
    public var padSent: UInt64 = 0
    public var padReceived: UInt64 = 0
    /// The longest record, in bytes that its tag covers.
    public var longestRecord: Int = 0
}

/// A record that the holder keeps.
public struct Record: Sendable {
    public let kind: UInt8
    public let payload: SecureBytes
}

/// A connection between two roles under one-time pad, every record with a Wegman-Carter tag.
///
/// A record is header (pad offset, length, flags, sequence), ciphertext, tag. The first byte of the plaintext is its
/// kind. The tag covers direction, session, header and ciphertext, so a record that was altered, replayed, reordered,
/// cut, or taken from another session or direction is refused, and nobody is given anything of it. The first wrong
/// record ends the channel. `close` sends an authenticated last record: an end of stream without it is reported as
/// truncation.
///
/// Sending and receiving may run on two threads. `@unchecked Sendable`: `sendLock` guards the sending half,
/// `receiveLock` the receiving half, `counts` is a mutex.
public final class SecureChannel: @unchecked Sendable {
    /// Bytes of payload that one record may carry.
    public static let maximumPayload = 262_144
    /// Bytes of payload that carry bulk data best: with header and tag two segments of TCP where a segment has 64 KiB,
    /// without a third that is nearly empty; and record, pad and payload stay in a second-level cache.
    public static let bulkPayload = 126 << 10

    public let identity: String
    public let peer: String
    /// The session's two nonces in hexadecimal, for logs.
    public let session: String

    package let socket: Socket
    let pads: PadPair
    let options: ChannelOptions
    let keys: Handshake.Session

    private let sendLock = NSLock()
    private let sendSealer: RecordSealer
    private var sendSequence: UInt64 = 0
    private var sendBuffer: UnsafeMutableRawBufferPointer
    private var sendClosed = false

    private let receiveLock = NSLock()
    private let receiveSealer: RecordSealer
    private var receiveSequence: UInt64 = 0
    private let receiveBuffer: SecureBytes
    private let receivePad: SecureBytes
    /// Bytes of the next record's header that came with the last record, at the front of `receiveBuffer`.
    private var ahead = 0
    private var receiveClosed = false

    private let counts = Mutex(ChannelCounters())
    private let broken = Mutex<Failure?>(nil)

    private static let maximumText = maximumPayload + 1

    init(socket: Socket, identity: String, session: Handshake.Session, options: ChannelOptions) {
        self.socket = socket
        self.identity = identity
        peer = session.peer
        pads = session.pads
        keys = session
        self.options = options
        sendSealer = RecordSealer(
            tagger: session.sendTagger, identifier: session.identifier, fromClient: session.clientSide,
            isDatagram: false, encryptsHeader: session.encryptsHeaders)
        receiveSealer = RecordSealer(
            tagger: session.receiveTagger, identifier: session.identifier, fromClient: !session.clientSide,
            isDatagram: false, encryptsHeader: session.encryptsHeaders)
        self.session = session.identifier.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        let room = RecordSealer.overhead + Self.maximumText
        sendBuffer = .allocate(byteCount: room, alignment: 64)
        receiveBuffer = SecureBytes(count: room + RecordHeader.size)
        receivePad = SecureBytes(count: RecordHeader.innerSize + Self.maximumText + Tagger.size)
    }

    deinit { sendBuffer.deallocate() }

    /// Connects to a peer's listener; both ends prove who they are.
    ///
    /// - Throws: `.peerUnavailable`, `.notAuthorised` (unknown here or proof refused), `.data` (rolled-back pad),
    ///   `.transient` (no key or no answer in time, or made to wait after failures).
    public static func connect(
        host: String, port: UInt16, identity: String, peer: String, pads: any PadProvider, timeout: Double = 30,
        options: ChannelOptions = ChannelOptions()
    ) throws -> SecureChannel {
        let deadline = Deadline(in: timeout)
        let socket = try Sockets.connect(host: host, port: port, segment: options.maximumSegment, deadline)
        do {
            let session = try Handshake.client(
                socket, identity: identity, peer: peer, provider: pads, encryptsHeaders: options.encryptsHeaders,
                deadline: deadline)
            return SecureChannel(socket: socket, identity: identity, session: session, options: options)
        } catch {
            socket.stop()
            throw error
        }
    }

    public var counters: ChannelCounters { counts.withLock { $0 } }

    /// The probability that one forged record of the longest length seen is taken for true: (L+1)/2^128, L in blocks of
    /// 16 bytes. A session ends at its first wrong record, so this bounds the whole session.
    public var forgeryBound: Double {
        let blocks = (counts.withLock { $0.longestRecord } + 15) / 16
        return Double(blocks + 1) * 0x1p-128
    }

    // MARK: - Sending

    /// Sends one record of at most `maximumPayload` bytes.
    ///
    /// - Parameter timeout: seconds to wait for key and for the peer to take the record; nil for `stallTimeout`.
    /// - Throws: `.transient` "insufficient key" leaves the channel usable; any other failure ends it.
    public func send(kind: UInt8, _ payload: UnsafeRawBufferPointer, timeout: Double? = nil) throws {
        precondition(payload.count <= Self.maximumPayload, "a record carries at most \(Self.maximumPayload) bytes")
        try sendLock.withLock {
            try checkUsable(sendClosed)
            try sendRecord(kind: kind, payload, flags: 0, timeout: timeout ?? options.stallTimeout)
        }
    }

    private func sendRecord(kind: UInt8, _ payload: UnsafeRawBufferPointer, flags: UInt8, timeout: Double) throws {
        let count = payload.count + 1
        let deadline = Deadline(in: timeout)
        let whole = sendBuffer.slice(0..<count + RecordSealer.overhead)
        let padCount = sendSealer.pad(ofLength: count)
        try pads.sending.spend(.data, data: padCount, tag: Tagger.size, timeout: timeout) { offset, pad in
            withUnsafeBytes(of: kind) { head in
                sendSealer.seal(
                    RecordHeader(offset: offset, length: UInt32(count), flags: flags, sequence: sendSequence),
                    head: head, payload, pad: pad, into: whole)
            }
        }
        sendSequence += 1
        do {
            try socket.write(UnsafeRawBufferPointer(whole), deadline)
        } catch {
            throw ended(error)
        }
        counts.withLock {
            $0.recordsSent += 1
            $0.payloadSent += UInt64(payload.count)
            $0.wireSent += UInt64(whole.count)
            $0.padSent += UInt64(padCount + Tagger.size)
            $0.longestRecord = max($0.longestRecord, RecordSealer.contextSize + count)
        }
    }

    // MARK: - Receiving

    /// Waits for the next record and hands it to `body`; the payload is valid only there and is wiped afterwards.
    ///
    /// - Returns: nil when the peer closed the channel in good order.
    /// - Throws: `.transient` when no record was begun in time, which leaves the channel usable; any other failure of
    ///   the channel ends it. What `body` throws is passed on and does not.
    public func receive<R>(
        timeout: Double, _ body: (_ kind: UInt8, _ payload: UnsafeRawBufferPointer) throws -> R
    ) throws -> R? {
        try receiveLock.withLock {
            if receiveClosed { return nil }
            try checkUsable(false)
            return try receiveBuffer.withUnsafeMutableBytes { buffer -> R? in
                // What is there already needs no waiting, and the header may have come with the last record.
                if ahead < RecordHeader.size {
                    ahead += try socket.readSome(buffer.slice(ahead..<RecordHeader.size))
                }
                guard try ahead > 0 || socket.readable(Deadline(in: timeout)) else {
                    throw Failure(
                        .transient, at: "\(peer) at \(socket.remote)", "no record in time",
                        remedy: "wait longer, or look at the peer")
                }
                let record: (header: RecordHeader, count: Int)
                do {
                    record = try readRecord(buffer)
                } catch {
                    // Text may be decrypted whose pad the ledger then refused.
                    wipe(buffer)
                    throw ended(error)
                }
                let text = buffer.slice(RecordHeader.size..<RecordHeader.size + record.count)
                defer {
                    wipe(text)
                    let next = RecordSealer.overhead + record.count
                    buffer.slice(0..<ahead).copyMemory(from: UnsafeRawBufferPointer(buffer).slice(next..<next + ahead))
                }
                if record.header.flags & RecordHeader.last != 0 {
                    receiveClosed = true
                    return nil
                }
                return try body(text[0], UnsafeRawBufferPointer(text).slice(1..<record.count))
            }
        }
    }

    /// Whether a record, or the end of the connection, has arrived and waits for `receive`.
    ///
    /// - Throws: the failure that ended the channel.
    public func hasInput() throws -> Bool {
        try receiveLock.withLock {
            try checkUsable(receiveClosed)
            return try ahead > 0 || socket.readable(Deadline(in: 0))
        }
    }

    /// The next record as a copy that the caller keeps.
    public func receive(timeout: Double) throws -> Record? {
        try receive(timeout: timeout) { Record(kind: $0, payload: SecureBytes(copying: $1)) }
    }

    /// Reads, checks and decrypts one record in place; returns its header and the length of its text. The beginning of
    /// the next header, `ahead` bytes, stands behind the record.
    private func readRecord(_ buffer: UnsafeMutableRawBufferPointer) throws -> (header: RecordHeader, count: Int) {
        let deadline = Deadline(in: options.stallTimeout)
        let front = buffer.slice(0..<RecordHeader.size)
        guard try socket.read(front.slice(ahead..<RecordHeader.size), deadline, isBegun: ahead > 0) else {
            throw refusal("the stream is truncated: it ended without the peer's last record", .peerUnavailable)
        }
        var found: RecordHeader?
        try receivePad.withUnsafeMutableBytes { scratch in
            try pads.receiving.accept(
                .data, offset: RecordHeader.offset(in: UnsafeRawBufferPointer(front)), head: receiveSealer.headerPad,
                tag: Tagger.size, timeout: options.stallTimeout, scratch: scratch,
                length: { pad in
                    let header = try readHeader(UnsafeRawBufferPointer(front), pad: pad)
                    found = header
                    let end = RecordSealer.overhead + Int(header.length)
                    ahead = try socket.read(
                        buffer.slice(RecordHeader.size..<end + RecordHeader.size),
                        atLeast: end - RecordHeader.size, deadline)
                    return receiveSealer.pad(ofLength: Int(header.length))
                },
                { pad in
                    let end = RecordSealer.overhead + Int(found?.length ?? 0)
                    guard receiveSealer.open(buffer.slice(0..<end), pad: pad) else {
                        throw refusal("the tag is wrong: the record was altered, forged, or belongs to another session")
                    }
                })
        }
        guard let header = found else { throw refusal("no header") }
        receiveSequence += 1
        let count = Int(header.length)
        counts.withLock {
            $0.recordsReceived += 1
            $0.payloadReceived += UInt64(count - 1)
            $0.wireReceived += UInt64(count + RecordSealer.overhead)
            $0.padReceived += UInt64(receiveSealer.pad(ofLength: count) + Tagger.size)
            $0.longestRecord = max($0.longestRecord, RecordSealer.contextSize + count)
        }
        return (header, count)
    }

    private func readHeader(_ bytes: UnsafeRawBufferPointer, pad: UnsafeRawBufferPointer) throws -> RecordHeader {
        try withUnsafeTemporaryAllocation(byteCount: RecordHeader.size, alignment: 8) { clear in
            receiveSealer.openHeader(bytes, pad: pad, into: clear)
            let header: RecordHeader
            do {
                header = try RecordHeader(reading: UnsafeRawBufferPointer(clear), longest: Self.maximumText)
            } catch RecordHeader.Fault.length(let length) {
                throw refusal("the length \(length) is impossible: the header was altered")
            } catch {
                throw refusal("unknown flags: the header was altered")
            }
            guard header.sequence == receiveSequence else {
                throw refusal(
                    header.sequence < receiveSequence
                        ? "sequence \(header.sequence) was received before: a replayed or reordered record"
                        : "sequence \(header.sequence) came too early: records are missing or reordered")
            }
            return header
        }
    }

    /// A peer that died looks like a cut line; only a wrong record is bad data.
    private func refusal(_ problem: String, _ kind: FailureKind = .data) -> Failure {
        Failure(
            kind, at: "\(peer) at \(socket.remote), record \(receiveSequence)", problem,
            remedy: "connect again; if it happens again somebody may be tampering with the line")
    }

    // MARK: - The end

    /// Tells the peer that nothing more comes, and ends the connection. Does not wait for the peer; safe to call twice.
    public func close() {
        sendLock.withLock {
            guard !sendClosed else { return }
            sendClosed = true
            if broken.withLock({ $0 == nil }) {
                // Without key for it the peer sees a truncated stream, which is the truth.
                try? sendRecord(
                    kind: 0, UnsafeRawBufferPointer(start: nil, count: 0), flags: RecordHeader.last, timeout: 2)
            }
        }
        socket.finishSending()
    }

    /// Breaks the connection off; a thread that waits in `receive` returns with a failure.
    public func abort() {
        _ = ended(Failure(.transient, at: peer, "this side broke the channel off", remedy: "connect again"))
    }

    private func checkUsable(_ closed: Bool) throws {
        if let failure = broken.withLock({ $0 }) { throw failure }
        guard !closed else {
            throw Failure(.transient, at: peer, "the channel is closed", remedy: "connect again")
        }
    }

    /// Marks the channel as broken by its first failure.
    private func ended(_ error: any Error) -> any Error {
        let failure = error as? Failure ?? Failure(.inputOutput, at: peer, "\(error)", remedy: "connect again")
        broken.withLock { if $0 == nil { $0 = failure } }
        socket.stop()
        return failure
    }
}
