import Diagnostics
import Foundation
import Kernels
import Metering

/// What one transfer over datagrams took.
package struct DatagramTransferCounts: Sendable, Equatable {
    package var datagrams: UInt64 = 0
    /// Datagrams that carried again what an earlier one had carried, under new pad.
    package var retransmissions: UInt64 = 0
    package var acknowledgements: UInt64 = 0
}

/// Sends one object over datagrams until its receiver has all of it.
///
/// Every datagram has a sequence of its own and pad of its own, a repetition too. The receiver names the sequences that
/// came; one that is missing while datagrams sent a while after it have come is lost, and what it carried is sent
/// again. How much may be on its way grows while acknowledgements come without delay, and shrinks when more than one
/// datagram in fifty is lost or the line's buffers fill; datagrams are spread over the round trip. Meant for lines of
/// one's own, where some loss is the line's and no sign of congestion.
///
/// Not thread-safe: one thread runs it.
package final class DatagramSender {
    private struct Flight {
        var chunk: Int
        var sentAt: Double
        var isOpen: Bool
    }

    private let carrier: any DatagramCarrier
    private let stream: UInt32
    private let start: UInt64
    private let length: UInt64
    private let chunkBytes: Int
    private let chunks: Int
    private let read: (UInt64, UnsafeMutableRawBufferPointer) throws -> Void
    private let stallTimeout: Double

    package private(set) var counts = DatagramTransferCounts()

    /// Datagrams on their way, from sequence `oldest` on.
    private var flights: [Flight] = []
    private var flightsHead = 0
    private var oldest: UInt64 = 0
    private var openFlights = 0
    private var arrived: [UInt64]
    private var delivered = 0
    private var limit: UInt64
    private var nextChunk = 0
    private var again: [Int] = []
    private var highestSeen: (sequence: UInt64, sentAt: Double)?

    private var roundTrip = 0.0
    private var leastRoundTrip = Double.infinity
    private var window = 256.0 * 1024
    private var isStarting = true
    private var round = (from: 0.0, acknowledged: 0, lost: 0)
    private var budget = 0.0
    private var budgetTime = monotonicSeconds()
    private var lastProgress = monotonicSeconds()
    private var retries = 0

    private static let staging = 48
    private let store: SecureBytes

    /// - Parameters:
    ///   - stream: what both ends call this transfer.
    ///   - start: the first byte of the object that the receiver wants.
    ///   - length: of the object, in bytes.
    ///   - stallTimeout: seconds without any acknowledgement after which it gives up.
    ///   - read: fills a buffer with the object's bytes from a position on; is asked again for what was lost.
    package init(
        carrier: any DatagramCarrier, stream: UInt32, start: UInt64, length: UInt64, stallTimeout: Double,
        read: @escaping (UInt64, UnsafeMutableRawBufferPointer) throws -> Void
    ) {
        self.carrier = carrier
        self.stream = stream
        self.start = start
        self.length = length
        self.stallTimeout = stallTimeout
        self.read = read
        chunkBytes = carrier.maximumPayload
        chunks = (Int(length - start) + chunkBytes - 1) / chunkBytes
        arrived = [UInt64](repeating: 0, count: (chunks + 63) / 64)
        limit = start + UInt64(carrier.reach)
        store = SecureBytes(count: Self.staging * carrier.maximumPayload)
    }

    private var isDone: Bool { delivered >= chunks }

    /// Runs until the receiver has everything.
    ///
    /// - Parameter isOver: asked now and then; true when the receiver has said so by another way, or the way is cut.
    /// - Throws: `.peerUnavailable` when nothing comes back in time; what the arguments and the carrier throw.
    package func run(isOver: () throws -> Bool) throws {
        var asked = monotonicSeconds()
        while !isDone {
            let sent = try sendSome()
            let now = monotonicSeconds()
            if now - asked > 0.02 {
                asked = now
                if try isOver() { return }
            }
            guard now - lastProgress < stallTimeout else {
                throw Failure(
                    .peerUnavailable, at: "datagrams", "the peer acknowledged nothing in time",
                    remedy: "connect again; the transfer goes on where the receiver is")
            }
            try hear(for: sent ? 0 : waitingTime(now))
            if openFlights > 0 || !again.isEmpty || nextChunk < chunks { repeatLate(monotonicSeconds()) }
        }
    }

    // MARK: - Sending

    private var allowed: Int { min(Int(window), carrier.reach) }
    /// One datagram may always be on its way.
    private func hasRoom(beside others: Int) -> Bool {
        let flying = openFlights + others
        return flying == 0 || (flying + 1) * chunkBytes <= allowed
    }
    private var pace: Double { max(1.25 * window / max(roundTrip, 20e-6), 1e5) }

    private func refill(_ now: Double) {
        budget = min(budget + (now - budgetTime) * pace, max(2 * 65_536, window / 4))
        budgetTime = now
    }

    /// Sends what window, pace and the receiver's limit allow, up to one batch. False when that was nothing.
    private func sendSome() throws -> Bool {
        refill(monotonicSeconds())
        var datagrams: [OutgoingDatagram] = []
        var numbers: [Int] = []
        return try store.withUnsafeMutableBytes { store -> Bool in
            while datagrams.count < Self.staging, hasRoom(beside: datagrams.count), budget > 0, let chunk = next()
            {
                let position = start + UInt64(chunk) * UInt64(chunkBytes)
                let count = Int(min(UInt64(chunkBytes), length - position))
                let place = datagrams.count * chunkBytes
                let bytes = store.slice(place..<place + count)
                try read(position, bytes)
                datagrams.append(
                    OutgoingDatagram(
                        head: DatagramHead(kind: DatagramKind.data, stream: stream, position: position),
                        payload: UnsafeRawBufferPointer(bytes)))
                numbers.append(chunk)
                budget -= Double(count)
            }
            guard !datagrams.isEmpty else { return false }
            let first = try carrier.send(datagrams, timeout: stallTimeout)
            wipe(store.slice(0..<min(store.count, datagrams.count * chunkBytes)))
            book(numbers, from: first)
            return true
        }
    }

    /// The next chunk to send, what was lost first.
    private func next() -> Int? {
        while let chunk = again.popLast() {
            if !hasArrived(chunk) {
                counts.retransmissions += 1
                return chunk
            }
        }
        guard nextChunk < chunks, start + UInt64(nextChunk) * UInt64(chunkBytes) < limit else { return nil }
        nextChunk += 1
        return nextChunk - 1
    }

    private func book(_ numbers: [Int], from first: UInt64) {
        let now = monotonicSeconds()
        if flights.count == flightsHead { oldest = first }
        // Sequences of other streams of the carrier lie between.
        while oldest + UInt64(flights.count - flightsHead) < first {
            flights.append(Flight(chunk: 0, sentAt: now, isOpen: false))
        }
        for chunk in numbers { flights.append(Flight(chunk: chunk, sentAt: now, isOpen: true)) }
        openFlights += numbers.count
        counts.datagrams += UInt64(numbers.count)
    }

    // MARK: - Acknowledgements

    private func waitingTime(_ now: Double) -> Double {
        if budget <= 0, (openFlights + 1) * chunkBytes <= allowed { return min(0.01, max(20e-6, -budget / pace)) }
        return max(0.001, min(0.05, timeout / 2))
    }

    private func hear(for seconds: Double) throws {
        var answers: [DatagramAcknowledgement] = []
        _ = try carrier.receive(timeout: seconds) { datagram in
            guard datagram.head.kind == DatagramKind.acknowledgement, datagram.head.stream == stream,
                let answer = DatagramAcknowledgement(position: datagram.head.position, payload: datagram.payload)
            else { return }
            answers.append(answer)
        }
        for answer in answers { take(answer) }
    }

    private func take(_ answer: DatagramAcknowledgement) {
        let now = monotonicSeconds()
        counts.acknowledgements += 1
        lastProgress = now
        retries = 0
        limit = max(limit, answer.limit)
        guard answer.position >= start, answer.position <= length else { return }
        let reached = answer.position == length ? chunks : Int(answer.position - start) / chunkBytes
        delivered = max(delivered, reached)
        var newest: Flight?
        for range in answer.ranges {
            let end = oldest + UInt64(flights.count - flightsHead)
            guard range.upperBound > oldest, range.lowerBound < end else { continue }
            for sequence in max(range.lowerBound, oldest)..<min(range.upperBound, end) {
                let index = flightsHead + Int(sequence - oldest)
                guard flights[index].isOpen else { continue }
                flights[index].isOpen = false
                openFlights -= 1
                round.acknowledged += 1
                mark(flights[index].chunk)
                newest = flights[index]
                if sequence >= highestSeen?.sequence ?? 0 { highestSeen = (sequence, flights[index].sentAt) }
            }
        }
        if let newest { measure(now - newest.sentAt) }
        findLost(now)
        shrinkFlights()
        adapt(now)
    }

    private func measure(_ sample: Double) {
        leastRoundTrip = min(leastRoundTrip, sample)
        roundTrip = roundTrip == 0 ? sample : roundTrip * 0.875 + sample * 0.125
    }

    /// What is missing although datagrams sent a while later have come is lost.
    private func findLost(_ now: Double) {
        guard let highestSeen, openFlights > 0 else { return }
        let slack = max(roundTrip / 4, 0.0005)
        var index = flightsHead
        while index < flights.count, oldest + UInt64(index - flightsHead) < highestSeen.sequence {
            let flight = flights[index]
            // They were sent in order of time.
            if flight.sentAt + slack > highestSeen.sentAt && flight.sentAt + roundTrip + slack > now { break }
            if flight.isOpen { lose(index) }
            index += 1
        }
    }

    private func lose(_ index: Int) {
        flights[index].isOpen = false
        openFlights -= 1
        round.lost += 1
        if !hasArrived(flights[index].chunk) { again.append(flights[index].chunk) }
    }

    private var timeout: Double { min(1, max(0.02, 3 * roundTrip) * Double(1 << min(retries, 6))) }

    /// When nothing at all comes back, the oldest datagrams on their way are sent again.
    private func repeatLate(_ now: Double) {
        guard openFlights > 0, again.isEmpty else { return }
        var index = flightsHead
        var found = 0
        while index < flights.count, found < 8, flights[index].sentAt + timeout < now {
            if flights[index].isOpen {
                lose(index)
                found += 1
            }
            index += 1
        }
        if found > 0 {
            retries += 1
            budget = max(budget, Double(found * chunkBytes))
            shrinkFlights()
        }
    }

    private func shrinkFlights() {
        while flightsHead < flights.count, !flights[flightsHead].isOpen {
            flightsHead += 1
            oldest += 1
        }
        if flightsHead > 4096, flightsHead * 2 > flights.count {
            flights.removeFirst(flightsHead)
            flightsHead = 0
        }
    }

    /// Once a round trip: more on its way, or less.
    private func adapt(_ now: Double) {
        guard now - round.from > roundTrip else { return }
        let total = round.acknowledged + round.lost
        let isFull = openFlights * chunkBytes * 2 > allowed || round.acknowledged * chunkBytes * 2 > allowed
        let isDelayed = roundTrip > 2 * leastRoundTrip + 0.01
        if total > 50, round.lost * 50 > total {
            window = max(64 * 1024, window * 0.7)
            isStarting = false
        } else if isDelayed {
            window = max(64 * 1024, window * 0.85)
            isStarting = false
        } else if isFull {
            window = min(window * (isStarting ? 2 : 1.1), Double(carrier.reach))
        }
        round = (now, 0, 0)
    }

    private func mark(_ chunk: Int) { arrived[chunk / 64] |= 1 << (chunk % 64) }

    private func hasArrived(_ chunk: Int) -> Bool {
        chunk < delivered || arrived[chunk / 64] & 1 << (chunk % 64) != 0
    }
}

/// Kinds of datagrams of a transfer.
enum DatagramKind {
    static let data: UInt8 = 1
    static let acknowledgement: UInt8 = 2
}
