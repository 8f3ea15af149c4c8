import Foundation
import Kernels
import Metering
import Synchronization

/// What a source gave for one piece of work, how fast it was, and how long the work had to wait for it: for receipts.
public struct RandomUse: Sendable, Equatable, CustomStringConvertible {
    /// `RandomSource.name`.
    public var source: String
    /// Bytes that were made.
    public var bytes: Int
    /// Seconds that the source took for them, health tests included.
    public var sourceSeconds: Double
    /// Seconds that the reader stood still because they were not there yet.
    public var waitedSeconds: Double

    public init(source: String, bytes: Int = 0, sourceSeconds: Double = 0, waitedSeconds: Double = 0) {
        self.source = source
        self.bytes = bytes
        self.sourceSeconds = sourceSeconds
        self.waitedSeconds = waitedSeconds
    }

    /// Counts another piece of work with the same source.
    public mutating func add(_ other: RandomUse) {
        bytes += other.bytes
        sourceSeconds += other.sourceSeconds
        waitedSeconds += other.waitedSeconds
    }

    /// For example `314572800 random bytes from kernel at 612.3 MB/s, waited 0.04 s for them`.
    public var description: String {
        let rate = sourceSeconds > 0 ? String(format: " at %.1f MB/s", Double(bytes) / 1e6 / sourceSeconds) : ""
        return "\(bytes) random bytes from \(source)\(rate), waited \(String(format: "%.2f", waitedSeconds)) s for them"
    }
}

/// A source whose bytes are made before they are asked for: a thread fills secret buffers, a bounded few ahead of the
/// reader, so that the reader waits only where the source is the slower of the two on average.
///
/// Every byte is handed out once, in the order in which the source made it, and wiped from the buffer as it is handed
/// out. An error of the source, a failed health test among them, is the reader's next answer and every later one:
/// what was made before it and not yet handed out is wiped. When the object goes away the thread ends at its next
/// buffer, and all that was made is wiped.
public final class ReadAhead: RandomSource {
    static let bufferSize = 2 << 20
    static let mostBuffers = 4

    public let name: String
    private let queue: BufferQueue
    private let reader = Mutex(Reader())

    private struct Reader {
        var current: BufferQueue.Filled?
        var offset = 0
        var waitedSeconds = 0.0
    }

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - source: what makes the bytes; nobody else has to leave it alone meanwhile.
    ///   - bytes: how many will be asked for in all. Not one more is taken from the source, so that a file or a slow
    ///     generator gives nothing away.
    public init(_ source: any RandomSource, bytes: Int) {
        precondition(bytes >= 0)
        name = source.name
        let size = min(Self.bufferSize, bytes)
        let queue = BufferQueue(
            buffers: size == 0 ? 0 : min(Self.mostBuffers, (bytes + size - 1) / size), size: size)
        self.queue = queue
        guard bytes > 0 else { return }
        let thread = Thread { queue.fill(from: source, bytes: bytes) }
        thread.name = "random"
        thread.start()
    }

    deinit { queue.close() }

    /// Asking for more bytes than were announced is a programmer's error.
    public func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        try reader.withLock { reader in
            var done = 0
            do {
                try queue.check()
                while done < buffer.count {
                    if reader.current == nil {
                        let begin = monotonicSeconds()
                        defer { reader.waitedSeconds += monotonicSeconds() - begin }
                        reader.current = try queue.next()
                        reader.offset = 0
                    }
                    guard let current = reader.current else { preconditionFailure("there is a buffer") }
                    let count = min(current.count - reader.offset, buffer.count - done)
                    current.bytes.withUnsafeMutableBytes { bytes in
                        let piece = UnsafeMutableRawBufferPointer(
                            rebasing: bytes[reader.offset..<reader.offset + count])
                        UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
                            .copyMemory(from: UnsafeRawBufferPointer(piece))
                        wipe(piece)
                    }
                    done += count
                    reader.offset += count
                    if reader.offset == current.count {
                        queue.giveBack(current.bytes)
                        reader.current = nil
                    }
                }
            } catch {
                wipe(buffer)
                // It wipes itself as it goes.
                reader.current = nil
                throw error
            }
        }
    }

    /// What the source has given so far.
    public var use: RandomUse {
        let made = queue.made
        return RandomUse(
            source: name, bytes: made.bytes, sourceSeconds: made.seconds,
            waitedSeconds: reader.withLock { $0.waitedSeconds })
    }
}

/// The buffers between the thread that fills and the reader that empties.
///
/// `@unchecked Sendable`: `condition` guards everything that changes; a buffer's contents belong to whoever took it.
private final class BufferQueue: @unchecked Sendable {
    struct Filled: Sendable {
        let bytes: SecureBytes
        let count: Int
    }

    private let condition = NSCondition()
    private var empty: [SecureBytes]
    private var filled: [Filled] = []
    private var failure: (any Error)?
    private var isClosed = false
    private var isComplete = false
    private var madeSoFar = (bytes: 0, seconds: 0.0)

    init(buffers: Int, size: Int) { empty = (0..<buffers).map { _ in SecureBytes(count: size) } }

    var made: (bytes: Int, seconds: Double) { condition.withLock { madeSoFar } }

    /// Runs on the thread: fills buffers until all bytes are made, an error comes or nobody reads any more.
    func fill(from source: any RandomSource, bytes: Int) {
        var rest = bytes
        while rest > 0, let buffer = nextEmpty() {
            let count = min(buffer.count, rest)
            // The first touch of secret pages is not the source's time.
            buffer.withUnsafeMutableBytes { wipe($0) }
            let begin = monotonicSeconds()
            do {
                try buffer.withUnsafeMutableBytes {
                    try source.fill(UnsafeMutableRawBufferPointer(rebasing: $0[..<count]))
                }
            } catch {
                fail(error)
                return
            }
            rest -= count
            put(Filled(bytes: buffer, count: count), seconds: monotonicSeconds() - begin, isLast: rest == 0)
        }
    }

    private func nextEmpty() -> SecureBytes? {
        condition.withLock {
            while empty.isEmpty, !isClosed { condition.wait() }
            return isClosed ? nil : empty.removeLast()
        }
    }

    private func put(_ buffer: Filled, seconds: Double, isLast: Bool) {
        condition.withLock {
            if !isClosed { filled.append(buffer) }
            isComplete = isLast
            madeSoFar.bytes += buffer.count
            madeSoFar.seconds += seconds
            condition.broadcast()
        }
    }

    /// Buffers wipe themselves when they go.
    private func fail(_ error: any Error) {
        condition.withLock {
            failure = error
            filled = []
            condition.broadcast()
        }
    }

    /// - Throws: the error that ended the source, although buffers from before it may be in the reader's hand.
    func check() throws {
        if let failure = condition.withLock({ failure }) { throw failure }
    }

    /// The next buffer in order; waits for it.
    func next() throws -> Filled {
        try condition.withLock {
            while true {
                if let failure { throw failure }
                if !filled.isEmpty { return filled.removeFirst() }
                precondition(!isComplete, "more random bytes were asked for than announced")
                condition.wait()
            }
        }
    }

    func giveBack(_ buffer: SecureBytes) {
        condition.withLock {
            empty.append(buffer)
            condition.broadcast()
        }
    }

    func close() {
        condition.withLock {
            isClosed = true
            filled = []
            empty = []
            condition.broadcast()
        }
    }
}
