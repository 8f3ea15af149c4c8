internal import Channel
internal import Diagnostics
internal import Foundation
internal import Glibc
internal import Kernels
internal import Metering
internal import OneTimePad
internal import Storage

/// A role that sends records of a known pattern to another, or receives them, and does nothing else: what campaigns
/// kill and measurements time. Its pads, ledger, channel and key supply are those of every role.
public final class PadExercise: @unchecked Sendable {
    // `telephone` guards itself; `isOver` is behind `lock`.
    private let telephone: Telephone
    private let lock = NSLock()
    private var isOver = false

    public struct Outcome: Codable, Sendable {
        public var records: Int
        public var bytes: Int
        public var connections: Int
        public var failures: Int
        public var seconds: Double
    }

    private enum Kind {
        static let pattern: UInt8 = 10
        static let count: UInt8 = 11
    }

    /// - Throws: `Failure(.configuration)` when the process does not play exactly one role.
    public init(configuration: LoadedConfiguration) throws {
        let process = configuration.process
        guard process.plays.count == 1, let name = process.plays.first else {
            throw Failure(
                .configuration, at: "plays", "it names \(process.plays.count) roles", remedy: "name exactly one")
        }
        try createPrivateDirectory(process.state)
        telephone = try Telephone(role: configuration.network.role(name), configuration: configuration)
    }

    /// Sends records until there were `count` (0: without end) or `stop` is called; what fails is begun again.
    public func send(to peer: String, size: Int, count: Int, perConnection: Int) -> Outcome {
        var outcome = Outcome(records: 0, bytes: 0, connections: 0, failures: 0, seconds: 0)
        let started = monotonicSeconds()
        let payload = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
        defer { payload.deallocate() }
        while !over, count == 0 || outcome.records < count {
            do {
                let conversation = try telephone.call(peer)
                outcome.connections += 1
                defer { conversation.close() }
                let many = count == 0 ? perConnection : min(perConnection, count - outcome.records)
                for number in 0..<many where !over {
                    Self.fill(payload, number)
                    try conversation.channel.send(kind: Kind.pattern, UnsafeRawBufferPointer(payload))
                    outcome.records += 1
                    outcome.bytes += size
                }
                try conversation.channel.send(kind: Kind.count, UnsafeRawBufferPointer(start: nil, count: 0))
                _ = try conversation.channel.receive(timeout: 10) { _, _ in }
            } catch {
                outcome.failures += 1
                usleep(20_000)
            }
        }
        outcome.seconds = monotonicSeconds() - started
        return outcome
    }

    /// Receives records until `stop` is called.
    ///
    /// - Parameter wrong: told of a record whose pattern is not what was sent: pads that are not equal at both ends.
    public func answer(wrong: @escaping @Sendable (String) -> Void) throws {
        let listener = try telephone.listen(log: { _ in }) { conversation in
            var number = 0
            var isOpen = true
            while isOpen {
                let record: Void? = try conversation.channel.receive(timeout: 60) { kind, payload in
                    if kind == Kind.pattern {
                        if !Self.matches(payload, number) { wrong("record \(number) of \(conversation.peer)") }
                        number += 1
                    } else {
                        try conversation.channel.send(kind: Kind.count, UnsafeRawBufferPointer(start: nil, count: 0))
                    }
                }
                isOpen = record != nil
            }
        }
        while !over { usleep(20_000) }
        listener.stop()
    }

    private var over: Bool { lock.withLock { isOver } }

    public func stop() { lock.withLock { isOver = true } }

    public func close() { telephone.close() }

    private static func word(_ number: Int, _ index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: number &* 131 &+ index &* 7 &+ index >> 8)
    }

    private static func fill(_ payload: UnsafeMutableRawBufferPointer, _ number: Int) {
        for index in payload.indices { payload[index] = word(number, index) }
    }

    private static func matches(_ payload: UnsafeRawBufferPointer, _ number: Int) -> Bool {
        payload.indices.allSatisfy { payload[$0] == word(number, $0) }
    }
}
