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
    /// - Parameter count: 2 for key in two parts, on ways that have no node in common.
    func relay(
        _ stream: PadStream, _ pieces: [(offset: UInt64, key: SecureBytes)], _ count: Int, _ timeout: Double
    ) throws {
        let target = try topology.home(of: stream.receiver).name
        if target == name {
            let copies = pieces.map { piece in
                (offset: piece.offset, key: piece.key.withUnsafeBytes { SecureBytes(copying: $0) })
            }
            try agent?.store(stream, copies, from: name)
            return
        }
        let deadline = Deadline(in: max(timeout, 5))
        var avoid: Set<String> = []
        var left = pieces[...]
        var last: Failure?
        for _ in 0..<4 where deadline.left > 0 {
            let bytes = left.reduce(UInt64(0)) { $0 + UInt64($1.key.count) }
            let ways: [[String]]
            do {
                ways = try firstWays(count, to: target, bytes: bytes, avoid: avoid, deadline)
            } catch {
                // Why a way failed says more than that there is no other.
                throw last ?? error
            }
            for way in ways { try checkStock(of: way[1], bytes: bytes, deadline) }
            if let failure = try send(stream, &left, along: ways, &avoid, deadline) { last = failure } else { return }
        }
        throw last
            ?? Failure(
                .transient, at: "\(stream)", "no key came through to node \(target) in time",
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

    /// Sends pieces along the ways; those that arrived whole leave `left`. Returns why the others did not.
    private func send(
        _ stream: PadStream, _ left: inout ArraySlice<(offset: UInt64, key: SecureBytes)>, along ways: [[String]],
        _ avoid: inout Set<String>, _ deadline: Deadline
    ) throws -> Failure? {
        let numbers = left.map { _ in ways.map { _ in nextNumber() } }
        expect(numbers.flatMap(\.self))
        for (numbers, piece) in zip(numbers, left) {
            let attempt = numbers[0]
            let parts =
                ways.count == 1 ? [piece.key] : try piece.key.withUnsafeBytes { try KeySplit.parts($0, source) }
            for (index, way) in ways.enumerated() {
                let envelope = Envelope(
                    kind: .relay, id: numbers[index], from: name, to: way[way.count - 1], route: way, routed: true,
                    stream: stream, offset: piece.offset,
                    split: ways.count == 1 ? nil : SplitPart(attempt: attempt, part: index))
                traffic.relayed(.sent, parts[index].count)
                parts[index].withUnsafeBytes { forward(envelope, $0) }
            }
        }
        // A node that dies on the way never answers, so another way is tried long before the role gives up.
        let deadline = Deadline(in: min(deadline.left, Self.answerSeconds))
        var failure: Failure?
        for numbers in numbers {
            for (index, number) in numbers.enumerated() {
                let answer = wait(for: number, failure == nil ? deadline : Deadline(in: min(deadline.left, 1)))
                if let answer, answer.problem == nil { continue }
                avoid.formUnion(answer?.avoid ?? [])
                failure =
                    failure
                    ?? Failure(
                        answer?.transient == false ? .data : .transient,
                        at: "relay \(ways[index].joined(separator: " -> "))",
                        answer?.problem ?? "no answer in time", remedy: "try again; look at `dsgd keys status`")
            }
            if failure == nil { left.removeFirst() }
        }
        return failure
    }
}
