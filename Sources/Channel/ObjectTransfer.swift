import Diagnostics
import Foundation
import Kernels
import Metering

/// What is to be transferred: 16 bytes that name it at both ends, and its length in bytes.
public struct ObjectOffer: Sendable, Equatable {
    public static let identifierSize = 16
    /// 256 TiB: far more than any object, and far from where sums overflow.
    public static let maximumLength: UInt64 = 1 << 48
    public let identifier: [UInt8]
    public let length: UInt64

    public init(identifier: [UInt8], length: UInt64) {
        precondition(identifier.count == Self.identifierSize && length <= Self.maximumLength)
        self.identifier = identifier
        self.length = length
    }
}

/// Where an object arrives. One transfer at a time uses it.
public protocol ObjectSink: AnyObject {
    /// How much of the object is here for good, in bytes from its beginning; its length when it is whole. Bytes that
    /// follow are written from there on.
    func resume(_ offer: ObjectOffer) throws -> UInt64
    /// Takes the next bytes, in order; they are valid in this call only.
    func write(_ bytes: UnsafeRawBufferPointer) throws
    /// All bytes were written: puts the object in its place, for good. Not called for an object that was whole before.
    func finish() throws
}

/// What one transfer took.
public struct TransferReport: Sendable, Equatable {
    /// Connections that it needed.
    public var connections = 0
    /// Bytes of payload sent in all; more than the object's length by what broken connections lost.
    public var sent: UInt64 = 0
    /// Datagrams, and those that repeated what had been lost, under new pad.
    public var datagrams: UInt64 = 0
    public var repeated: UInt64 = 0
    /// Pad that datagrams took, and their forgery bound.
    public var datagramPad: UInt64 = 0
    public var datagramForgeryBound = 0.0

    public init() {}
}

/// Moves one object over a channel so that a broken connection costs the bytes on their way and nothing else: at every
/// connection the receiver says how much it has for good, and the sender goes on there. Nothing is ever sent twice
/// under one pad, because every record takes new pad. Over TCP alone, or with its bytes in datagrams beside it.
///
/// sender: offer (identifier, length, MTU or 0) · receiver: position · sender: the bytes · receiver: stored.
public enum ObjectTransfer {
    private enum Kind {
        static let offer: UInt8 = 0xE1
        static let position: UInt8 = 0xE2
        static let data: UInt8 = 0xE3
        static let stored: UInt8 = 0xE4
    }

    /// Seconds without a word after which a peer is given up.
    private static let silence = 60.0

    // MARK: - Sending

    /// Sends an object, connecting again as often as it takes.
    ///
    /// - Parameters:
    ///   - patience: seconds without progress after which it gives up.
    ///   - datagrams: sends the bytes over UDP when given.
    ///   - connect: makes a new channel to the receiver.
    ///   - read: fills a buffer with the object's bytes from a position on; may be asked again for the same.
    /// - Throws: the last failure when patience ends; `.data`, `.configuration` and `.notAuthorised` at once.
    public static func send(
        _ offer: ObjectOffer, patience: Double = 60, datagrams: DatagramOptions? = nil,
        connect: () throws -> SecureChannel, read: @escaping (UInt64, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws -> TransferReport {
        var report = TransferReport()
        var best: UInt64?
        var progress = monotonicSeconds()
        var pause = 0.02
        while true {
            do {
                let channel = try connect()
                report.connections += 1
                defer { channel.close() }
                try send(offer, over: channel, datagrams: datagrams, &report, read: read) { position in
                    if position > best ?? 0 || best == nil {
                        progress = monotonicSeconds()
                        pause = 0.02
                    }
                    best = max(best ?? 0, position)
                }
                return report
            } catch let failure as Failure
                where failure.kind == .peerUnavailable || failure.kind == .transient || failure.kind == .inputOutput
            {
                guard monotonicSeconds() - progress < patience else { throw failure }
                Thread.sleep(forTimeInterval: pause)
                pause = min(2, pause * 2)
            }
        }
    }

    /// Sends what the receiver lacks over one open channel, which carries nothing else meanwhile.
    public static func send(
        _ offer: ObjectOffer, over channel: SecureChannel, datagrams: DatagramOptions? = nil,
        _ report: inout TransferReport, read: @escaping (UInt64, UnsafeMutableRawBufferPointer) throws -> Void,
        position told: (UInt64) -> Void = { _ in }
    ) throws {
        try withUnsafeTemporaryAllocation(byteCount: ObjectOffer.identifierSize + 10, alignment: 8) { message in
            message.copyBytes(from: offer.identifier)
            message.store(bigEndian: offer.length, at: 16)
            message.store(bigEndian: UInt16(datagrams?.mtu ?? 0), at: 24)
            try channel.send(kind: Kind.offer, UnsafeRawBufferPointer(message))
        }
        let position = try hear(Kind.position, channel)
        guard position <= offer.length else {
            throw Failure(
                .data, at: channel.peer, "it has \(position) bytes of an object of \(offer.length)",
                remedy: "delete the object there and send it again")
        }
        told(position)
        if position < offer.length {
            if let datagrams {
                let carrier = try DatagramChannel(beside: channel, options: datagrams)
                let sender = DatagramSender(
                    carrier: carrier, stream: 1, start: position, length: offer.length, stallTimeout: silence,
                    read: read)
                defer {
                    report.sent += carrier.counters.payloadSent
                    report.datagrams += sender.counts.datagrams
                    report.repeated += sender.counts.retransmissions
                    report.datagramPad += carrier.counters.padSent
                    report.datagramForgeryBound = max(report.datagramForgeryBound, carrier.forgeryBound)
                }
                try sender.run(isOver: { try channel.hasInput() })
            } else {
                try sendRecords(from: position, to: offer.length, channel, &report, read)
            }
        }
        let stored = try hear(Kind.stored, channel)
        guard stored == offer.length else {
            throw Failure(
                .data, at: channel.peer, "it stored \(stored) bytes of \(offer.length)", remedy: "send it again")
        }
    }

    private static func sendRecords(
        from start: UInt64, to end: UInt64, _ channel: SecureChannel, _ report: inout TransferReport,
        _ read: (UInt64, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        let buffer = SecureBytes(count: SecureChannel.bulkPayload)
        try buffer.withUnsafeMutableBytes { buffer in
            var position = start
            while position < end {
                let piece = buffer.slice(0..<Int(min(UInt64(SecureChannel.bulkPayload), end - position)))
                try read(position, piece)
                try channel.send(kind: Kind.data, UnsafeRawBufferPointer(piece))
                report.sent += UInt64(piece.count)
                position += UInt64(piece.count)
            }
        }
    }

    /// Waits for a message that carries a number.
    private static func hear(_ kind: UInt8, _ channel: SecureChannel) throws -> UInt64 {
        let number = try channel.receive(timeout: silence) { received, payload -> UInt64 in
            guard received == kind, payload.count == 8 else { throw unexpected(channel) }
            return payload.load(bigEndian: UInt64.self, at: 0)
        }
        guard let number else {
            throw Failure(
                .peerUnavailable, at: channel.peer, "the connection ended in the middle of a transfer",
                remedy: "look at the log of \(channel.peer) and try again")
        }
        return number
    }

    private static func say(_ kind: UInt8, _ number: UInt64, _ channel: SecureChannel) throws {
        try withUnsafeBytes(of: number.bigEndian) { try channel.send(kind: kind, $0) }
    }

    private static func unexpected(_ channel: SecureChannel) -> Failure {
        Failure(
            .data, at: channel.peer, "it sent something that does not belong to a transfer",
            remedy: "check that both ends run the same version of dsgd")
    }

    // MARK: - Receiving

    /// Receives an object over one open channel; returns what was offered, or nil when the peer closed instead.
    ///
    /// - Parameter datagrams: what this end allows for datagrams, when the sender wants them.
    /// - Throws: what the sink throws; the failures of the channel, after which the sender comes again.
    public static func receive(
        over channel: SecureChannel, datagrams: DatagramOptions = DatagramOptions(mtu: 9000), into sink: any ObjectSink
    ) throws -> ObjectOffer? {
        let heard = try channel.receive(timeout: silence) { kind, payload -> (ObjectOffer, Int) in
            guard kind == Kind.offer, payload.count == ObjectOffer.identifierSize + 10 else {
                throw unexpected(channel)
            }
            let length = payload.load(bigEndian: UInt64.self, at: 16)
            guard length <= ObjectOffer.maximumLength else { throw unexpected(channel) }
            return (
                ObjectOffer(identifier: Array(payload.slice(0..<16)), length: length),
                Int(payload.load(bigEndian: UInt16.self, at: 24))
            )
        }
        guard let (offer, datagramMTU) = heard else { return nil }
        let position = try sink.resume(offer)
        guard position <= offer.length else {
            throw Failure(
                .data, at: "object", "\(position) bytes of it are here, its length is \(offer.length)",
                remedy: "delete it and have it sent again")
        }
        try say(Kind.position, position, channel)
        if position < offer.length {
            if datagramMTU > 0 {
                try receiveDatagrams(offer, from: position, datagrams, channel, sink)
            } else {
                try receiveRecords(offer, from: position, channel, sink)
                try sink.finish()
                try say(Kind.stored, offer.length, channel)
            }
        } else {
            // An object of no bytes is new and whole at once.
            if offer.length == 0 { try sink.finish() }
            try say(Kind.stored, offer.length, channel)
        }
        return offer
    }

    private static func receiveRecords(
        _ offer: ObjectOffer, from start: UInt64, _ channel: SecureChannel, _ sink: any ObjectSink
    ) throws {
        var position = start
        while position < offer.length {
            let count = try channel.receive(timeout: silence) { kind, payload -> Int in
                guard kind == Kind.data, payload.count > 0, UInt64(payload.count) <= offer.length - position else {
                    throw unexpected(channel)
                }
                try sink.write(payload)
                return payload.count
            }
            guard let count else {
                throw Failure(
                    .peerUnavailable, at: channel.peer, "the connection ended in the middle of a transfer",
                    remedy: "the sender goes on when it connects again")
            }
            position += UInt64(count)
        }
    }

    private static func receiveDatagrams(
        _ offer: ObjectOffer, from start: UInt64, _ options: DatagramOptions, _ channel: SecureChannel,
        _ sink: any ObjectSink
    ) throws {
        let carrier = try DatagramChannel(beside: channel, options: options)
        let receiver = DatagramReceiver(
            carrier: carrier, stream: 1, start: start, length: offer.length, stallTimeout: silence)
        try receiver.run(isOver: { try channel.hasInput() }) { try sink.write($0) }
        try sink.finish()
        // The sender needs no acknowledgement any more once it has heard this.
        try say(Kind.stored, offer.length, channel)
    }
}
