import Diagnostics
import Foundation
import Kernels

/// Equal pad for both ends of every stream, inside one process: for tests and for measurements of the channel alone.
///
/// Key is made when the sender's end asks for it and kept in secret memory until the receiver's end took it. Each end
/// is given each byte once, as with a real source.
///
/// `@unchecked Sendable`: `condition` guards `streams`; `fill` is called under it.
public final class MemoryPadSource: @unchecked Sendable {
    private struct Stream {
        var next: UInt64 = 0
        var pieces = KeyPieces()
    }

    private let condition = NSCondition()
    private var streams: [PadStream: Stream] = [:]
    private let limit: UInt64
    private let fill: @Sendable (UnsafeMutableRawBufferPointer) throws -> Void

    /// - Parameters:
    ///   - limit: bytes of key per stream before it is "insufficient".
    ///   - fill: writes fresh random bytes.
    public init(limit: UInt64 = .max, fill: @escaping @Sendable (UnsafeMutableRawBufferPointer) throws -> Void) {
        self.limit = limit
        self.fill = fill
    }

    /// The source as `role` sees it.
    public func end(of role: String) -> any PadSource { End(source: self, role: role) }

    private struct End: PadSource {
        let source: MemoryPadSource
        let role: String

        func take(
            _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
        ) throws {
            if role == stream.sender {
                try source.make(stream, offset: offset, destination)
            } else {
                try source.fetch(stream, offset: offset, destination, timeout: timeout)
            }
        }

        func resume(_ stream: PadStream, from offset: UInt64, timeout: Double) throws -> UInt64 {
            guard role == stream.sender else { return offset }
            return source.condition.withLock { max(offset, source.streams[stream]?.next ?? 0) }
        }

        func made(_ stream: PadStream, timeout: Double) throws -> UInt64? {
            source.condition.withLock { source.streams[stream]?.next ?? 0 }
        }

        func discard(_ stream: PadStream, below offset: UInt64, timeout: Double) throws {
            source.condition.withLock {
                if role == stream.receiver { _ = source.streams[stream]?.pieces.discard(below: offset) }
            }
        }
    }

    private func make(_ stream: PadStream, offset: UInt64, _ destination: UnsafeMutableRawBufferPointer) throws {
        try condition.withLock {
            let next = streams[stream, default: Stream()].next
            guard offset >= next else {
                throw Failure(
                    .data, at: "\(stream)", "the pad at offset \(offset) was handed out before",
                    remedy: "the sender's state was rolled back: never restore it from a copy")
            }
            guard offset + UInt64(destination.count) <= limit else {
                throw Failure(
                    .transient, at: "\(stream)",
                    "insufficient key: need \(destination.count) bytes, have \(limit - min(limit, offset))",
                    remedy: "this source has no refill")
            }
            try fill(destination)
            let bytes = streams[stream, default: Stream()].pieces.buffer(count: destination.count)
            bytes.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(destination)) }
            streams[stream, default: Stream()].pieces.append(bytes, at: offset)
            streams[stream, default: Stream()].next = offset + UInt64(bytes.count)
            condition.broadcast()
        }
    }

    private func fetch(
        _ stream: PadStream, offset: UInt64, _ destination: UnsafeMutableRawBufferPointer, timeout: Double
    ) throws {
        let deadline = Date(timeIntervalSinceNow: timeout)
        try condition.withLock {
            while (streams[stream]?.next ?? 0) < offset + UInt64(destination.count) {
                guard condition.wait(until: deadline) else {
                    throw Failure(
                        .transient, at: "\(stream)", "insufficient key: nothing at offset \(offset) yet",
                        remedy: "wait for the sender's end")
                }
            }
            guard streams[stream]?.pieces.take(at: offset, into: destination) == true else {
                throw Failure(
                    .data, at: "\(stream)", "the pad at offset \(offset) was handed out before or given up",
                    remedy: "refuse the record; it is a replay, or its key was lost")
            }
        }
    }
}
