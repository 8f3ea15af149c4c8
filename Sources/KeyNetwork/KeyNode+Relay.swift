import Channel
import Diagnostics
import Foundation
import Kernels
import Metering
import OneTimePad

/// What the agent sends of its own accord: reports and questions to the KMS, and key for roles at other nodes.
extension KeyNode {
    func report() {
        let links = neighbours.values.map {
            LinkState(peer: $0.name, up: $0.isUp, stock: $0.store.stock.out, refill: $0.store.link.rate / 16)
        }
        if let kms { return kms.report(name, links) }
        forward(
            Envelope(
                kind: .linkState, id: 0, from: name, to: topology.kms, route: [], routed: false,
                links: links.sorted { $0.peer < $1.peer }),
            nil)
    }

    /// The ways to a node, as many as asked for, that share no node but their ends.
    private func ways(
        _ count: Int, to target: String, bytes: UInt64, avoid: Set<String>, _ deadline: Deadline
    ) throws -> [[String]] {
        if let kms { return try kms.ways(count, from: name, to: target, bytes: bytes, avoid: avoid) }
        let place = "\(target)|\(count)"
        if avoid.isEmpty, let known = condition.withLock({ paths[place] }), known.until > monotonicSeconds() {
            return known.ways
        }
        let request = Envelope(
            kind: .pathRequest, id: nextNumber(), from: name, to: topology.kms, route: [], routed: false,
            target: target, ways: count, bytes: bytes, avoid: avoid.sorted())
        expect([request.id])
        forward(request, nil)
        let answer = wait(for: request.id, Deadline(in: min(3, deadline.left)))
        guard let answer else {
            throw Failure(
                .transient, at: "node \(name)", "the KMS at node \(topology.kms) does not answer",
                remedy: "start node \(topology.kms), or the nodes on the way to it")
        }
        guard let ways = answer.paths, ways.count == count,
            ways.allSatisfy({ $0.count > 1 && $0.first == name && $0.last == target }), Self.areDisjoint(ways)
        else {
            throw Failure(
                .transient, at: "key network", answer.problem ?? "the KMS names no way to node \(target)",
                remedy: "look at `dsgd keys status`")
        }
        condition.withLock { paths[place] = (ways, monotonicSeconds() + 2) }
        return ways
    }

    /// Whether no node lies between the ends of two ways, or twice on one. The KMS's word is not enough: it may lie on one.
    private static func areDisjoint(_ ways: [[String]]) -> Bool {
        let inner = ways.flatMap { $0.dropFirst().dropLast() }
        return Set(inner).count == inner.count && ways.allSatisfy { Set($0).count == $0.count }
    }

    private func nextNumber() -> UInt64 {
        condition.withLock {
            number += 1
            return number
        }
    }

    private func expect(_ numbers: [UInt64]) {
        condition.withLock { for number in numbers { waiting[number] = .some(nil) } }
    }

    private func wait(for number: UInt64, _ deadline: Deadline) -> Envelope? {
        let limit = Date(timeIntervalSinceNow: deadline.left)
        return condition.withLock {
            defer { waiting.removeValue(forKey: number) }
            while true {
                if let answer = waiting[number] ?? nil { return answer }
                if stopped || !condition.wait(until: limit) { return nil }
            }
        }
    }

    // MARK: - Relay

    /// Brings pieces of key to the node of the receiving role, by other ways when a hop fails.
    ///
    /// - Parameters:
    ///   - bytes: how much is wanted for the moment, for the choice of the ways.
    ///   - count: 2 for key in two parts, on ways that have no node in common.
    func relay(
        _ stream: PadStream, _ bytes: UInt64, _ count: Int, _ timeout: Double,
        next: () throws -> KeySupplyAgent.Piece?, arrived: (KeySupplyAgent.Piece) -> Void
    ) throws {
        let target = try topology.home(of: stream.receiver).name
        try withoutActuallyEscaping(next) { next in
            try withoutActuallyEscaping(arrived) { arrived in
                let flight = KeyFlight(stream, patience: max(timeout, 5), next: next, arrived: arrived)
                try relay(flight, to: target, bytes, count)
            }
        }
    }

    private func relay(_ flight: KeyFlight, to target: String, _ bytes: UInt64, _ count: Int) throws {
        var avoid: Set<String> = []
        var last: (any Error)?
        for _ in 0..<4 where flight.deadline.left > 0 {
            let ways: [[String]]
            do {
                let bytes = avoid.isEmpty ? bytes : UInt64(flight.bytes)
                ways =
                    target == name ? [] : try firstWays(count, to: target, bytes: bytes, avoid: avoid, flight.deadline)
                for way in ways { try checkStock(of: way[1], bytes: bytes, flight.deadline) }
            } catch {
                // Why a way failed says more than that there is no other.
                throw last ?? error
            }
            guard let failure = send(flight, along: ways, &avoid) else { return }
            last = failure
            // What a node's own store refuses has no other way, and what others have overtaken has none either.
            if ways.isEmpty || flight.pieces.isEmpty { break }
        }
        throw last
            ?? Failure(
                .transient, at: "\(flight.stream)", "no key came through to node \(target) in time",
                remedy: "look at `dsgd keys status`")
    }

    /// The ways; where there are none at first, as it stands once every node's next report must have come.
    private func firstWays(
        _ count: Int, to target: String, bytes: UInt64, avoid: Set<String>, _ deadline: Deadline
    ) throws -> [[String]] {
        let patience = Deadline(in: avoid.isEmpty ? min(1.5, deadline.left) : 0)
        while true {
            do {
                return try ways(count, to: target, bytes: bytes, avoid: avoid, deadline)
            } catch {
                guard patience.left > 0, !isStopped else { throw error }
                Thread.sleep(forTimeInterval: 0.05)
            }
        }
    }

    /// Whether as many neighbours as there are to be ways are up and can be sent that many bytes in time.
    func afford(_ stream: PadStream, _ bytes: UInt64, _ count: Int, _ timeout: Double) throws {
        guard try topology.home(of: stream.receiver).name != name else { return }
        let up = neighbours.values.filter(\.isUp).sorted { $0.store.stock.out > $1.store.stock.out }
        var first: (any Error)?
        var able = 0
        for neighbour in up where able < count {
            do {
                try checkStock(of: neighbour.name, bytes: bytes, Deadline(in: timeout))
                able += 1
            } catch {
                first = first ?? error
            }
        }
        // Fewer neighbours than ways is said by the search for ways, which waits a moment for nodes that start.
        if able < count, let first { throw first }
    }

    /// Says at once, with figures, when the first hop's link key will not do in time.
    private func checkStock(of next: String, bytes: UInt64, _ deadline: Deadline) throws {
        guard let store = neighbours[next]?.store else { return }
        let have = store.stock.out
        let rate = store.link.rate / 2
        if have < bytes, rate * deadline.left < Double(bytes - have) * 8 {
            throw insufficientKey("link \(store.link.name)", need: bytes, have: have, bitsPerSecond: rate)
        }
    }

    private static let answerSeconds = 8.0

    /// Sends the flight's pieces along the ways, and new ones as long as all goes well. Returns why one did not arrive.
    private func send(_ flight: KeyFlight, along ways: [[String]], _ avoid: inout Set<String>) -> Failure? {
        var sent = flight.pieces.map { send($0, flight, along: ways) }
        var failure: Failure?
        var fates: [Bool] = []
        var patience = flight.deadline
        while true {
            do {
                while failure == nil, let piece = try flight.take() { sent.append(send(piece, flight, along: ways)) }
            } catch {
                failure = SupplyFailure(error).failure
            }
            guard fates.count < sent.count else { break }
            // A node that dies on the way never answers, so another way is tried long before the role gives up.
            if failure == nil { patience = Deadline(in: min(flight.deadline.left, Self.answerSeconds)) }
            var isThere = true
            for (index, number) in sent[fates.count].enumerated() {
                let answer = wait(for: number, patience)
                if let answer, answer.problem == nil { continue }
                isThere = false
                avoid.formUnion(answer?.avoid ?? [])
                guard failure == nil else { continue }
                patience = Deadline(in: min(flight.deadline.left, 1))
                failure = Failure(
                    answer?.transient == false ? .data : .transient,
                    at: "relay \(ways.isEmpty ? name : ways[index].joined(separator: " -> "))",
                    answer?.problem ?? "no answer in time", remedy: "try again; look at `dsgd keys status`")
            }
            if failure == nil {
                sent.removeFirst()
                flight.landFirst()
            } else {
                fates.append(isThere)
            }
        }
        flight.land(fates)
        return failure
    }

    /// Sends one piece; returns the numbers under which the answers come, one for each way.
    private func send(_ piece: KeySupplyAgent.Piece, _ flight: KeyFlight, along ways: [[String]]) -> [UInt64] {
        let numbers = (0..<max(1, ways.count)).map { _ in nextNumber() }
        expect(numbers)
        do {
            if ways.isEmpty {
                try piece.key.withUnsafeBytes {
                    try agent?.store(flight.stream, offset: piece.offset, from: name, $0) { [self] in
                        settle(numbers[0], $0)
                    }
                }
                return numbers
            }
            let parts =
                ways.count == 1 ? [piece.key] : try piece.key.withUnsafeBytes { try KeySplit.parts($0, source) }
            for (index, way) in ways.enumerated() {
                let envelope = Envelope(
                    kind: .relay, id: numbers[index], from: name, to: way[way.count - 1], route: way, routed: true,
                    stream: flight.stream, offset: piece.offset,
                    split: ways.count == 1 ? nil : SplitPart(attempt: numbers[0], part: index))
                traffic.relayed(.sent, parts[index].count)
                neighbours[way[1]]?.awaitRoom(flight.deadline)
                parts[index].withUnsafeBytes { forward(envelope, $0) }
            }
        } catch {
            for number in numbers { settle(number, SupplyFailure(error).failure) }
        }
        return numbers
    }

    /// Answers one of this node's own requests.
    private func settle(_ number: UInt64, _ failure: Failure?) {
        let request = Envelope(kind: .relay, id: number, from: name, to: name, route: [name], routed: true)
        settle(answer(to: request, failure))
    }
}

/// Pieces of a stream's key on their way to the receiver's node, in order. Not synchronised: one thread sends them and
/// takes the answers.
private final class KeyFlight {
    let stream: PadStream
    /// Pieces that have not arrived.
    private(set) var pieces: [KeySupplyAgent.Piece] = []
    private(set) var bytes = 0
    /// When it is given up; it moves on with each piece that arrives.
    private(set) var deadline: Deadline
    private let patience: Double
    private let next: () throws -> KeySupplyAgent.Piece?
    private let arrived: (KeySupplyAgent.Piece) -> Void
    private let end = monotonicSeconds() + KeyFlight.longest

    /// Bytes that are on their way at once: what a link carries while a durable mark is written on a busy disk.
    private static let window = 8 << 20
    /// Seconds after which the ways are chosen anew.
    private static let longest = 2.0

    init(
        _ stream: PadStream, patience: Double, next: @escaping () throws -> KeySupplyAgent.Piece?,
        arrived: @escaping (KeySupplyAgent.Piece) -> Void
    ) {
        self.stream = stream
        self.patience = patience
        self.next = next
        self.arrived = arrived
        deadline = Deadline(in: patience)
    }

    /// A new piece, where there is one and room for it.
    func take() throws -> KeySupplyAgent.Piece? {
        guard bytes < Self.window, monotonicSeconds() < end, let piece = try next() else { return nil }
        pieces.append(piece)
        bytes += piece.key.count
        return piece
    }

    func landFirst() {
        let piece = pieces.removeFirst()
        bytes -= piece.key.count
        deadline = Deadline(in: patience)
        arrived(piece)
    }

    /// Takes out what arrived, and what later pieces have overtaken: the receiver's node takes offsets in order only.
    func land(_ fates: [Bool]) {
        precondition(fates.count == pieces.count, "every piece has an answer, or none in time")
        let last = fates.lastIndex(of: true) ?? -1
        for (piece, isThere) in zip(pieces, fates) where isThere { arrived(piece) }
        for piece in pieces.prefix(last + 1) { bytes -= piece.key.count }
        pieces.removeFirst(last + 1)
    }
}
