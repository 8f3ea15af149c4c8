internal import Diagnostics
internal import Threads

/// Where compressed bytes go.
public typealias ByteSink = (UnsafeRawBufferPointer) throws -> Void

/// Deflates pushed bytes to BGZF blocks. Not for use by two threads at once.
public final class BGZFWriter {
    /// Blocks that one thread deflates before they are given out.
    private static let blocksPerThread = 16

    private let sink: ByteSink
    private let deflaters: Workers<BGZFBlockDeflater>
    /// Blocks wait here until there is one group of them: one block when there is one thread.
    private let group: Int
    private let payloads: UnsafeMutableRawBufferPointer
    private let blocks: UnsafeMutableRawBufferPointer
    private var fills: [Int]
    private var current = 0
    private var isFinished = false
    /// Plain bytes taken and compressed bytes given out.
    public private(set) var inputBytes = 0
    public private(set) var outputBytes = 0
    /// Where each block that was given out begins in the file.
    private var blockStarts: [Int] = []

    /// - Parameters:
    ///   - threads: the bytes do not depend on it.
    ///   - sink: receives whole compressed blocks, in order.
    public init(level: CompressionLevel = .compact, threads: Int = 1, sink: @escaping ByteSink) {
        self.sink = sink
        deflaters = Workers(threads) { BGZFBlockDeflater(level) }
        group = threads > 1 ? threads * Self.blocksPerThread : 1
        payloads = .allocate(byteCount: group * BGZF.blockPayload, alignment: 64)
        blocks = .allocate(byteCount: group * BGZF.maximumBlockSize, alignment: 64)
        fills = [Int](repeating: 0, count: group)
    }

    deinit {
        payloads.deallocate()
        blocks.deallocate()
    }

    /// The virtual offset (block start << 16 | offset in the block) of the next byte to be written. Writers with one
    /// thread have it; with more, blocks that wait have no place in the file yet.
    public var virtualOffset: UInt64 {
        precondition(group == 1, "virtual offsets are known to writers with one thread")
        return UInt64(outputBytes) << 16 | UInt64(fills[0])
    }

    /// The virtual offset of a plain byte, or of the end, of a finished file in which no block was ended early.
    public func virtualOffset(ofPlainByte offset: Int) -> UInt64 {
        precondition(isFinished && offset <= inputBytes)
        let (block, rest) = offset.quotientAndRemainder(dividingBy: BGZF.blockPayload)
        // The end of full blocks is the place of the end marker.
        let start = block < blockStarts.count ? blockStarts[block] : outputBytes - BGZF.endMarker.count
        return UInt64(start) << 16 | UInt64(rest)
    }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        precondition(!isFinished, "write after finish")
        inputBytes += bytes.count
        var at = 0
        while at < bytes.count {
            let fill = fills[current]
            let count = min(bytes.count - at, BGZF.blockPayload - fill)
            (payloads.baseAddress! + current * BGZF.blockPayload + fill).copyMemory(
                from: bytes.baseAddress! + at, byteCount: count)
            fills[current] += count
            at += count
            if fills[current] == BGZF.blockPayload { try flushBlock() }
        }
    }

    public func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }

    /// Ends the current block, so that the next byte begins a new one.
    public func flushBlock() throws {
        if fills[current] > 0 { current += 1 }
        if current == group { try flushGroup() }
    }

    /// Writes what is left and the end marker.
    public func finish() throws {
        try flushBlock()
        try flushGroup()
        isFinished = true
        outputBytes += BGZF.endMarker.count
        try BGZF.endMarker.withUnsafeBytes { try sink($0) }
    }

    private func flushGroup() throws {
        let fills = fills
        let source = SharedBytes(UnsafeRawBufferPointer(payloads))
        let sizes = deflaters.deflate(current, into: SharedMutableBytes(blocks)) { block in
            let start = block * BGZF.blockPayload
            return UnsafeRawBufferPointer(rebasing: source.bytes[start..<start + fills[block]])
        }
        current = 0
        for block in self.fills.indices { self.fills[block] = 0 }
        for (block, size) in sizes.enumerated() {
            blockStarts.append(outputBytes)
            outputBytes += size
            let start = block * BGZF.maximumBlockSize
            try sink(UnsafeRawBufferPointer(rebasing: blocks[start..<start + size]))
        }
    }
}

extension Workers<BGZFBlockDeflater> {
    /// Deflates payloads, each into its own 64 KiB of `room`, and returns the sizes of the blocks.
    func deflate(
        _ count: Int, into room: SharedMutableBytes, payload: @Sendable (Int) -> UnsafeRawBufferPointer
    ) -> [Int] {
        [Int](unsafeUninitializedCapacity: count) { sizes, made in
            // Each block writes the size in its own place.
            nonisolated(unsafe) let sizes = sizes
            let failure = forEach(count) { deflater, block in
                let slot = room.bytes[block * BGZF.maximumBlockSize..<(block + 1) * BGZF.maximumBlockSize]
                let size = deflater.deflate(payload(block), into: UnsafeMutableRawBufferPointer(rebasing: slot))
                (sizes.baseAddress! + block).initialize(to: size)
            }
            precondition(failure == nil, "deflating does not fail")
            made = count
        }
    }
}

/// Where each of some BGZF blocks that follow each other begins, in compressed and in plain bytes; the last entry is
/// the end of both.
struct BlockGroup {
    private(set) var compressedOffsets: [Int] = [0]
    private(set) var plainOffsets: [Int] = [0]
    var count: Int { plainOffsets.count - 1 }
    var compressedBytes: Int { compressedOffsets[count] }
    var plainBytes: Int { plainOffsets[count] }

    mutating func append(compressed: Int, plain: Int) {
        compressedOffsets.append(compressedBytes + compressed)
        plainOffsets.append(plainBytes + plain)
    }

    mutating func removeAll() {
        compressedOffsets.removeSubrange(1...)
        plainOffsets.removeSubrange(1...)
    }

    /// Inflates all blocks of `bytes`, which begin at `offset` of the file.
    func inflate(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, into output: UnsafeMutableRawBufferPointer,
        with inflaters: Workers<BGZFBlockInflater>, label: String
    ) -> (piece: Int, error: any Error)? {
        let source = SharedBytes(bytes)
        let target = SharedMutableBytes(output)
        return inflaters.forEach(count) { [compressedOffsets, plainOffsets] inflater, piece in
            let block = compressedOffsets[piece]..<compressedOffsets[piece + 1]
            let plain = plainOffsets[piece]..<plainOffsets[piece + 1]
            try inflater.inflate(
                UnsafeRawBufferPointer(rebasing: source.bytes[block]),
                into: UnsafeMutableRawBufferPointer(rebasing: target.bytes[plain]), label: label,
                offset: offset + block.lowerBound)
        }
    }
}

extension BGZF {
    /// Inflates a file that is whole BGZF blocks from end to end straight into the result, without a copy; nil when it
    /// is anything else, and ``GzipInflater`` has to say what.
    static func inflateWhole(
        _ bytes: UnsafeRawBufferPointer, label: String, limits: GzipInflater.Limits, threads: Int
    ) throws -> [UInt8]? {
        var group = BlockGroup()
        while group.compressedBytes < bytes.count {
            let start = group.compressedBytes
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
            guard let size = blockSize(at: rest), size <= rest.count else { return nil }
            let block = UnsafeRawBufferPointer(rebasing: rest[0..<size])
            guard let plain = try? payloadSize(ofBlock: block, label: label, offset: start) else { return nil }
            group.append(compressed: size, plain: plain)
            try limits.check(plain: group.plainBytes, compressed: start + size, label: label, offset: start)
        }
        guard group.plainBytes > 0 else { return nil }
        if limits.requiresBGZFEndMarker && group.plainOffsets[group.count - 1] != group.plainBytes {
            throw missingEndMarker(label, bytes.count)
        }
        return try [UInt8](unsafeUninitializedCapacity: group.plainBytes) { buffer, count in
            let failed = group.inflate(
                bytes, at: 0, into: UnsafeMutableRawBufferPointer(buffer),
                with: Workers(min(threads, group.count)) { BGZFBlockInflater() }, label: label)
            if let failed { throw failed.error }
            count = group.plainBytes
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
    public static func compress(
        _ bytes: UnsafeRawBufferPointer, level: CompressionLevel = .compact, threads: Int = 1
    ) -> Compressed {
        let blocks = (bytes.count + blockPayload - 1) / blockPayload
        // Blocks are made in groups, so that the room for blocks that do not shrink stays small.
        let groupSize = max(1, min(blocks, max(1, threads) * 32))
        var result = Compressed(bytes: [], blockStarts: [])
        result.blockStarts.reserveCapacity(blocks + 1)
        result.bytes.reserveCapacity(bytes.count / 4 + 1_024)
        let deflaters = Workers(min(threads, max(1, blocks))) { BGZFBlockDeflater(level) }
        let source = SharedBytes(bytes)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: groupSize * maximumBlockSize, alignment: 64)
        defer { room.deallocate() }
        for first in stride(from: 0, to: blocks, by: groupSize) {
            let sizes = deflaters.deflate(min(groupSize, blocks - first), into: SharedMutableBytes(room)) { block in
                let from = (first + block) * blockPayload
                let payload = source.bytes[from..<min(from + blockPayload, source.bytes.count)]
                return UnsafeRawBufferPointer(rebasing: payload)
            }
            for (block, size) in sizes.enumerated() {
                result.blockStarts.append(result.bytes.count)
                result.bytes.append(contentsOf: room[block * maximumBlockSize..<block * maximumBlockSize + size])
            }
        }
        result.blockStarts.append(result.bytes.count)
        result.bytes.append(contentsOf: endMarker)
        return result
    }
}
