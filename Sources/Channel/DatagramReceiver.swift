import Diagnostics
import Foundation
import Kernels
import Metering

/// Receives one object over datagrams, in order.
///
/// What comes early waits in a ring in secret memory, so memory is bounded, and the sender is told how far it may go.
/// Not thread-safe: one thread runs it.
package final class DatagramReceiver {
    private let carrier: any DatagramCarrier
    private let stream: UInt32
    private let start: UInt64
    private let length: UInt64
    private let chunkBytes: Int
    private let chunks: Int
    private let stallTimeout: Double
    private let ringChunks: Int
    private let ring: SecureBytes
    private var isHeld: [Bool]
    /// Chunks delivered.
    private var delivered = 0
    private var seen = SeenSequences()
    private var unacknowledged = 0
    private var rangesTold = 0
    private let answer: UnsafeMutableRawBufferPointer
    package private(set) var acknowledgements: UInt64 = 0
    /// Datagrams that carried what was there already.
    package private(set) var superfluous: UInt64 = 0

    /// - Parameters: as the sender's; both ends agree on them.
    package init(
        carrier: any DatagramCarrier, stream: UInt32, start: UInt64, length: UInt64, stallTimeout: Double
    ) {
        self.carrier = carrier
        self.stream = stream
        self.start = start
        self.length = length
        self.stallTimeout = stallTimeout
        chunkBytes = carrier.maximumPayload
        chunks = (Int(length - start) + chunkBytes - 1) / chunkBytes
        ringChunks = max(1, min(chunks, carrier.reach / chunkBytes))
        ring = SecureBytes(count: ringChunks * chunkBytes)
        isHeld = [Bool](repeating: false, count: ringChunks)
        answer = .allocate(byteCount: DatagramAcknowledgement.size, alignment: 8)
    }

    deinit { answer.deallocate() }

    /// Hands the object's bytes to `body` in order, from `start` to its end.
    ///
    /// - Parameter isOver: asked now and then; true when the way is cut.
    /// - Throws: `.peerUnavailable` when nothing comes in time, or the sender went away; what the arguments and the
    ///   carrier throw.
    package func run(isOver: () throws -> Bool, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        var lastProgress = monotonicSeconds()
        var asked = lastProgress
        while delivered < chunks {
            let count = try carrier.receive(timeout: unacknowledged > 0 ? 0.001 : 0.05) { try take($0, body) }
            let now = monotonicSeconds()
            if count > 0 { lastProgress = now }
            var isGone = false
            if now - asked > 0.02 {
                asked = now
                isGone = try isOver()
            }
            guard !isGone, now - lastProgress < stallTimeout else {
                throw Failure(
                    .peerUnavailable, at: "datagrams", "the peer went away or sent nothing in time",
                    remedy: "connect again; the transfer goes on where it stopped")
            }
            let isMuch = unacknowledged * chunkBytes >= 128 << 10
            if unacknowledged > 0 && (count == 0 || isMuch || seen.ranges.count != rangesTold) {
                try acknowledge()
            }
        }
        try acknowledge()
    }

    private func take(_ datagram: IncomingDatagram, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        guard datagram.head.stream == stream, datagram.head.kind == DatagramKind.data else { return }
        seen.insert(datagram.sequence)
        unacknowledged += 1
        let position = datagram.head.position
        guard position >= start, position < length, Int(position - start) % chunkBytes == 0,
            datagram.payload.count == Int(min(UInt64(chunkBytes), length - position))
        else {
            throw Failure(
                .data, at: "datagrams", "a datagram does not fit its object",
                remedy: "run the same release on both ends")
        }
        let chunk = Int(position - start) / chunkBytes
        guard chunk >= delivered, chunk < delivered + ringChunks, !isHeld[chunk % ringChunks] else {
            superfluous += 1
            return
        }
        guard chunk == delivered else {
            isHeld[chunk % ringChunks] = true
            ring.withUnsafeMutableBytes { bytes in
                let place = chunk % ringChunks * chunkBytes
                bytes.slice(place..<place + datagram.payload.count).copyMemory(from: datagram.payload)
            }
            return
        }
        try body(datagram.payload)
        delivered += 1
        while delivered < chunks, isHeld[delivered % ringChunks] {
            let slot = delivered % ringChunks
            let position = start + UInt64(delivered) * UInt64(chunkBytes)
            let count = Int(min(UInt64(chunkBytes), length - position))
            try ring.withUnsafeMutableBytes { bytes in
                let held = bytes.slice(slot * chunkBytes..<slot * chunkBytes + count)
                defer { wipe(held) }
                try body(UnsafeRawBufferPointer(held))
            }
            isHeld[slot] = false
            delivered += 1
        }
    }

    private func acknowledge() throws {
        let position = min(length, start + UInt64(delivered) * UInt64(chunkBytes))
        let message = DatagramAcknowledgement(
            position: position, limit: position + UInt64(ringChunks * chunkBytes), ranges: seen.ranges)
        let fitting = (carrier.maximumPayload - 8) / 16
        let shortened = DatagramAcknowledgement(
            position: position, limit: message.limit, ranges: Array(message.ranges.suffix(fitting)))
        let count = shortened.write(to: answer)
        let head = DatagramHead(kind: DatagramKind.acknowledgement, stream: stream, position: position)
        _ = try carrier.send(
            [OutgoingDatagram(head: head, payload: UnsafeRawBufferPointer(answer).slice(0..<count))],
            timeout: stallTimeout)
        acknowledgements += 1
        unacknowledged = 0
        rangesTold = seen.ranges.count
    }
}
