import Diagnostics
import Dispatch
import Synchronization

/// Where compressed bytes go.
public typealias ByteSink = (UnsafeRawBufferPointer) throws -> Void

/// Deflates pushed bytes to BGZF blocks. Not for use by two threads at once.
public final class BGZFWriter {
    private let sink: ByteSink
    private let deflater: BGZFBlockDeflater
    private let payload: UnsafeMutableRawBufferPointer
    private let block: UnsafeMutableRawBufferPointer
    private var fill = 0
    private var isFinished = false
    /// Plain bytes taken and compressed bytes given out.
    public private(set) var inputBytes = 0
    public private(set) var outputBytes = 0

    /// - Parameters:
    ///   - level: libdeflate's level, 0 (stored) to 12.
    ///   - sink: receives whole compressed blocks.
    public init(level: Int = 6, sink: @escaping ByteSink) {
        self.sink = sink
        deflater = BGZFBlockDeflater(level: level)
        payload = .allocate(byteCount: BGZF.blockPayload, alignment: 64)
        block = .allocate(byteCount: BGZF.maximumBlockSize, alignment: 64)
    }

    deinit {
        payload.deallocate()
        block.deallocate()
    }

    /// The virtual offset (block start << 16 | offset in the block) of the next byte to be written.
    public var virtualOffset: UInt64 { UInt64(outputBytes) << 16 | UInt64(fill) }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        precondition(!isFinished, "write after finish")
        inputBytes += bytes.count
        var at = 0
        while at < bytes.count {
            let count = min(bytes.count - at, payload.count - fill)
            (payload.baseAddress! + fill).copyMemory(from: bytes.baseAddress! + at, byteCount: count)
            fill += count
            at += count
            if fill == payload.count { try flushBlock() }
        }
    }

    public func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }

    /// Ends the current block, so that the next byte begins a new one.
    public func flushBlock() throws {
        guard fill > 0 else { return }
        let size = deflater.deflate(UnsafeRawBufferPointer(rebasing: payload[0..<fill]), into: block)
        fill = 0
        outputBytes += size
        try sink(UnsafeRawBufferPointer(rebasing: block[0..<size]))
    }

    /// Writes what is left and the end marker.
    public func finish() throws {
        try flushBlock()
        isFinished = true
        outputBytes += BGZF.endMarker.count
        try BGZF.endMarker.withUnsafeBytes { try sink($0) }
    }
}

/// Strict BGZF pushed in pieces: anything but whole, sound blocks and the end marker is refused.
public final class BGZFReader {
    private let inflater: GzipInflater
    public let label: String

    public init(label: String, limits: GzipInflater.Limits = GzipInflater.Limits()) {
        self.label = label
        inflater = GzipInflater(label: label, limits: limits, onlyBGZF: true)
    }

    public func feed(_ bytes: UnsafeRawBufferPointer, emit: GzipInflater.Emit) throws {
        try inflater.feed(bytes, emit: emit)
    }

    public func finish(emit: GzipInflater.Emit) throws {
        if inflater.inputBytes == 0 {
            throw Failure(.data, at: label, "is empty", remedy: "check that the right file was given")
        }
        try inflater.finish(emit: emit)
    }
}

extension BGZF {
    /// Where each block lies in compressed and in plain bytes; the last entry is the end of both.
    struct BlockTable {
        var compressed: [Int] = [0]
        var plain: [Int] = [0]
        var count: Int { compressed.count - 1 }
    }

    /// Walks the blocks of a BGZF file in memory, or returns nil when it is not BGZF throughout.
    static func blockTable(of bytes: UnsafeRawBufferPointer, label: String) throws -> BlockTable? {
        var table = BlockTable()
        var at = 0
        while at < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            guard let size = blockSize(at: rest), size <= rest.count else { return nil }
            let block = UnsafeRawBufferPointer(rebasing: rest[0..<size])
            let plain = try payloadSize(ofBlock: block, label: label, offset: at)
            at += size
            table.compressed.append(at)
            table.plain.append(table.plain.last! + plain)
        }
        return table.count > 0 ? table : nil
    }

    /// Inflates a file in memory: BGZF on several threads, gzip or plain input on one.
    ///
    /// - Parameters:
    ///   - maximumOutput: refuse to inflate to more than this many bytes.
    ///   - threads: the result does not depend on it.
    /// - Throws: ``Failure`` `.data` as ``GzipInflater`` does, with byte offsets.
    public static func decompress(
        _ bytes: UnsafeRawBufferPointer, label: String, maximumOutput: Int? = nil, threads: Int = 1
    ) throws -> [UInt8] {
        guard let table = try blockTable(of: bytes, label: label), table.plain.last! > 0 else {
            var result = [UInt8]()
            let inflater = GzipInflater(label: label, limits: .init(maximumOutput: maximumOutput))
            try inflater.feed(bytes) { result.append(contentsOf: $0) }
            try inflater.finish { result.append(contentsOf: $0) }
            return result
        }
        let total = table.plain.last!
        if let maximumOutput, total > maximumOutput {
            throw Failure(
                .data, at: label, "inflates to more than the \(maximumOutput) bytes allowed",
                remedy: "raise the limit if the input is known to be sound")
        }
        if table.plain[table.count] != table.plain[table.count - 1] {
            throw Failure(
                .data, at: "\(label):byte \(bytes.count)",
                "BGZF end marker is missing, the file is probably truncated",
                remedy: "fetch the file again, or pass it through bgzip again if it is known to be whole")
        }
        let source = SharedBytes(bytes)
        return try [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
            let target = SharedMutableBytes(UnsafeMutableRawBufferPointer(buffer))
            try inParallel(pieces: table.count, threads: threads) {
                BGZFBlockInflater()
            } body: { inflater, piece in
                let block = table.compressed[piece]..<table.compressed[piece + 1]
                let plain = table.plain[piece]..<table.plain[piece + 1]
                try inflater.inflate(
                    UnsafeRawBufferPointer(rebasing: source.bytes[block]),
                    into: UnsafeMutableRawBufferPointer(rebasing: target.bytes[plain]), label: label,
                    offset: block.lowerBound)
            }
            count = total
        }
    }

    /// What ``compress(_:level:threads:)`` made: the file, and where each block of 65,280 plain bytes begins in it.
    public struct Compressed: Sendable {
        public var bytes: [UInt8]
        public var blockStarts: [Int]

        /// The virtual offset of a plain byte.
        public func virtualOffset(ofPlainByte offset: Int) -> UInt64 {
            let block = offset / BGZF.blockPayload
            return UInt64(blockStarts[block]) << 16 | UInt64(offset % BGZF.blockPayload)
        }
    }

    /// Deflates bytes in memory to a whole BGZF file with end marker; the same bytes for any number of threads.
    public static func compress(_ bytes: UnsafeRawBufferPointer, level: Int = 6, threads: Int = 1) -> Compressed {
        let blocks = (bytes.count + blockPayload - 1) / blockPayload
        // Blocks are made in groups, so that the room for blocks that do not shrink stays small.
        let groupSize = 256
        var result = Compressed(bytes: [], blockStarts: [])
        result.blockStarts.reserveCapacity(blocks + 1)
        result.bytes.reserveCapacity(bytes.count / 4 + 1_024)
        let source = SharedBytes(bytes)
        let room = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(1, min(groupSize, blocks)) * maximumBlockSize, alignment: 64)
        defer { room.deallocate() }
        let target = SharedMutableBytes(room)
        var first = 0
        while first < blocks {
            let group = min(groupSize, blocks - first)
            let sizes = Mutex([Int](repeating: 0, count: group))
            let start = first
            do {
                try inParallel(pieces: group, threads: threads) {
                    BGZFBlockDeflater(level: level)
                } body: { deflater, piece in
                    let from = (start + piece) * blockPayload
                    let payload = source.bytes[from..<min(from + blockPayload, source.bytes.count)]
                    let slot = target.bytes[piece * maximumBlockSize..<(piece + 1) * maximumBlockSize]
                    let size = deflater.deflate(
                        UnsafeRawBufferPointer(rebasing: payload), into: UnsafeMutableRawBufferPointer(rebasing: slot))
                    sizes.withLock { $0[piece] = size }
                }
            } catch {
                preconditionFailure("deflating does not fail")
            }
            for (piece, size) in sizes.withLock({ $0 }).enumerated() {
                result.blockStarts.append(result.bytes.count)
                result.bytes.append(contentsOf: room[piece * maximumBlockSize..<piece * maximumBlockSize + size])
            }
            first += group
        }
        result.blockStarts.append(result.bytes.count)
        result.bytes.append(contentsOf: endMarker)
        return result
    }
}

/// Read by many threads, written by none.
struct SharedBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }
}

/// Written by many threads, each in its own part.
struct SharedMutableBytes: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }
}

/// Runs `body` once for each piece on up to `threads` threads, each with a context of its own. The failure of the
/// lowest piece is thrown, so that messages do not depend on timing.
package func inParallel<Context>(
    pieces: Int, threads: Int, context: @Sendable () -> Context, body: @Sendable (Context, Int) throws -> Void
) throws {
    let next = Atomic<Int>(0)
    let failures = Mutex<[(Int, any Error)]>([])
    @Sendable func work() {
        let own = context()
        while true {
            let piece = next.add(1, ordering: .relaxed).oldValue
            guard piece < pieces else { return }
            do { try body(own, piece) } catch {
                failures.withLock { $0.append((piece, error)) }
                return
            }
        }
    }
    let workers = max(1, min(threads, pieces))
    if workers == 1 { work() } else { DispatchQueue.concurrentPerform(iterations: workers) { _ in work() } }
    if let first = failures.withLock({ $0.min { $0.0 < $1.0 } }) { throw first.1 }
}
