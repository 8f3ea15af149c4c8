import Channel
import Diagnostics
import Foundation
import Kernels

/// A node's side of the connection to one neighbour: the channel of the moment, and the messages waiting for it.
///
/// Messages leave on a thread of their own, so that a neighbour that is short of key or hangs holds nobody else back.
/// `@unchecked Sendable`: `condition` guards every variable.
final class Neighbour: @unchecked Sendable {
    struct Message: Sendable {
        var envelope: Envelope
        var bytes: SecureBytes
    }

    let name: String
    let store: LinkKeyStore
    private let condition = NSCondition()
    private var channel: SecureChannel?
    private var queue: [Message] = []
    private var queued = 0
    private var stopped = false
    private static let maximumQueued = 16 << 20
    /// With less in the queue there is room for key that this node makes.
    private static let plentyQueued = 4 << 20

    init(name: String, store: LinkKeyStore) {
        self.name = name
        self.store = store
    }

    var isUp: Bool { condition.withLock { channel != nil } }

    /// Makes a connection the one to use; an older one is broken off.
    func attach(_ new: SecureChannel) {
        let old = condition.withLock { () -> SecureChannel? in
            defer {
                channel = new
                condition.broadcast()
            }
            return channel
        }
        old?.abort()
    }

    func detach(_ old: SecureChannel) {
        condition.withLock {
            if channel === old { channel = nil }
            condition.broadcast()
        }
    }

    /// Puts a message in the queue; false when the neighbour is down or takes nothing, or the message has
    /// grown too long on its way.
    func enqueue(_ message: Message) -> Bool {
        condition.withLock {
            guard channel != nil, !stopped, queued + message.bytes.count <= Self.maximumQueued,
                message.bytes.count <= SecureChannel.maximumPayload
            else { return false }
            queue.append(message)
            queued += message.bytes.count
            condition.broadcast()
            return true
        }
    }

    /// Waits until the queue is short, or the neighbour is down.
    func awaitRoom(_ deadline: Deadline) {
        let limit = Date(timeIntervalSinceNow: deadline.left)
        condition.withLock {
            while channel != nil, !stopped, queued > Self.plentyQueued, condition.wait(until: limit) {}
        }
    }

    /// Sends what is queued until `stop`; `failed` is told of each message that did not leave.
    func run(failed: (Message, Failure) -> Void) {
        while true {
            let (message, channel) = condition.withLock { () -> (Message?, SecureChannel?) in
                while queue.isEmpty && !stopped { condition.wait() }
                guard !stopped else { return (nil, nil) }
                let message = queue.removeFirst()
                queued -= message.bytes.count
                condition.broadcast()
                return (message, self.channel)
            }
            guard let message else { return }
            do {
                guard let channel else { throw down() }
                try message.bytes.withUnsafeBytes { try channel.send(kind: 1, $0, timeout: 2) }
            } catch {
                failed(message, error as? Failure ?? down())
            }
        }
    }

    func down() -> Failure {
        Failure(
            .transient, at: "node \(name)", "the neighbour is down", remedy: "start it; keys take another way meanwhile"
        )
    }

    func stop() {
        let channel = condition.withLock { () -> SecureChannel? in
            stopped = true
            queue.removeAll()
            condition.broadcast()
            return self.channel
        }
        channel?.close()
        channel?.abort()
    }
}
