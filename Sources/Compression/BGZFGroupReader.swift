internal import Diagnostics
internal import Synchronization

/// Buffers of one size that are used again and again: giving them back to the allocator would scatter them.
final class BufferPool: Sendable {
    let size: Int
    private let spare = Mutex<[UInt]>([])

    init(size: Int) { self.size = size }

    deinit { spare.withLock { for address in $0 { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() } } }

    func take() -> UnsafeMutableRawBufferPointer {
        let address = spare.withLock { $0.popLast() }
        let start = address.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
        return UnsafeMutableRawBufferPointer(start: start ?? .allocate(byteCount: size, alignment: 64), count: size)
    }

    /// Takes back a buffer, or frees one of another size.
    func give(_ buffer: UnsafeMutableRawBufferPointer) {
        guard let start = buffer.baseAddress else { return }
        if buffer.count == size { spare.withLock { $0.append(UInt(bitPattern: start)) } } else { start.deallocate() }
    }
}

/// Some neighbouring BGZF blocks, or as many bytes of input that has none. One thread at a time has a group.
package final class BGZFGroup: @unchecked Sendable {
    private let pool: BufferPool
    fileprivate var store = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    fileprivate(set) var blocks = BlockGroup()
    fileprivate var room = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Where the first block begins in the file.
    package fileprivate(set) var offset = 0
    /// Where the last one ends.
    package var end: Int { offset + blocks.compressedBytes }
    /// Whether blocks between this group and the one before were skipped.
    package fileprivate(set) var isBehindGap = false
    /// Plain bytes that are sound.
    package fileprivate(set) var plainCount = 0
    /// What is wrong behind the sound bytes.
    package fileprivate(set) var failure: (any Error)?

    /// The blocks.
    var compressed: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(store)[0..<blocks.compressedBytes])
    }
    /// Whether the plain bytes are there without ``inflate(with:label:)``.
    var isInflated: Bool { blocks.count == 0 }

    package var plain: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(room)[0..<plainCount])
    }

    init(pool: BufferPool) { self.pool = pool }

    deinit {
        pool.give(store)
        pool.give(room)
    }

    /// 0 for input that is no BGZF.
    package var blockCount: Int { blocks.count }

    /// Whether a range of plain bytes holds one block from its first byte to its last.
    package func holdsWholeBlock(_ range: Range<Int>) -> Bool {
        guard blocks.count > 0, !range.isEmpty else { return false }
        let first = blocks.index(ofPlainByte: range.lowerBound)
        let whole = blocks.plainOffsets[first] == range.lowerBound ? first : first + 1
        return whole < blocks.count && blocks.plainOffsets[whole + 1] <= range.upperBound
    }

    /// Where the block that holds a plain byte begins in the file.
    package func fileOffset(ofPlainByte place: Int) -> Int {
        guard blocks.count > 0 else { return offset }
        return offset + blocks.compressedOffsets[blocks.index(ofPlainByte: place)]
    }

    /// Makes the plain bytes. What is wrong with a block is kept in ``failure``, behind the bytes of those before it.
    package func inflate(with inflater: BGZFBlockInflater, label: String) {
        guard !isInflated else { return }
        room = pool.take()
        for block in 0..<blocks.count {
            let from = blocks.compressedOffsets[block]
            let part = blocks.plainOffsets[block]..<blocks.plainOffsets[block + 1]
            do {
                try inflater.inflate(
                    UnsafeRawBufferPointer(rebasing: compressed[from..<blocks.compressedOffsets[block + 1]]),
                    into: UnsafeMutableRawBufferPointer(rebasing: room[part]), label: label, offset: offset + from)
            } catch {
                failure = error
                return
            }
            plainCount = part.upperBound
        }
    }
}

extension BlockGroup {
    /// The block that holds a plain byte; empty blocks hold none.
    func index(ofPlainByte place: Int) -> Int {
        var low = 0
        var high = count
        while high - low > 1 {
            let middle = (low + high) / 2
            if plainOffsets[middle] <= place { low = middle } else { high = middle }
        }
        return low
    }
}

/// Cuts compressed input into groups of BGZF blocks that can be inflated side by side. Other gzip, and input that was
/// never compressed, comes inflated, as it is a single stream.
///
/// Where groups end depends on the input alone. Not for use by two threads at once.
package final class BGZFGroupReader {
    /// Half a megabyte of plain bytes: what a core's own cache holds.
    package static let blocksPerGroup = 8

    /// Fills as much of the room as there is input for, from an offset of the file on; 0 at its end. Input that cannot
    /// be sought is asked for each byte once, in order.
    package typealias Source = (_ room: UnsafeMutableRawBufferPointer, _ offset: Int) throws -> Int

    /// Blocks to read: from the block that begins at `start` up to and with the one that begins at `last`.
    package struct Stretch: Sendable, Equatable {
        package var start: Int
        package var last: Int
        package init(start: Int, last: Int) {
            self.start = start
            self.last = last
        }
    }

    private let label: String
    private let limits: GzipInflater.Limits
    private let source: Source
    private let pool = BufferPool(size: BGZFGroupReader.blocksPerGroup * BGZF.maximumBlockSize)
    private var stretches: [Stretch] = []
    private var nextStretch = 0
    private var isSkipping = false
    private var staged: UnsafeMutableRawBufferPointer
    private var from = 0
    private var to = 0
    /// Where `from` is in the file.
    private var offset = 0
    private var sourceIsOver = false
    private var isOver = false
    private var isBehindGap = false
    private var other: GzipInflater?
    private var lastBlockIsEmpty = false
    private var largestBlock = 1 << 14
    private var hasBlocks = false
    private var failure: (any Error)?

    /// Bytes of the file that were taken, and the plain bytes that they declare or gave.
    package private(set) var compressedBytes = 0
    /// Whether what was to be read last begins behind the end of the input.
    package private(set) var endsBehindGap = false
    package private(set) var plainBytes = 0

    /// - Parameter offset: where the first block begins that is read.
    package init(label: String, limits: GzipInflater.Limits = .init(), from offset: Int = 0, source: @escaping Source) {
        self.label = label
        self.offset = offset
        self.limits = limits
        self.source = source
        staged = .allocate(byteCount: 1 << 19, alignment: 64)
    }

    deinit { staged.deallocate() }

    /// From the next group on, reads these blocks only, which follow each other in the file. The input must be BGZF, and
    /// whoever skips has looked for its end marker.
    package func skip(to stretches: [Stretch]) {
        self.stretches = stretches
        nextStretch = 0
        isSkipping = true
    }

    /// The next group, or nil at the end. A group whose failure is set is the last.
    package func next() -> BGZFGroup? {
        guard !isOver else { return nil }
        let group = BGZFGroup(pool: pool)
        do {
            try fill(group)
        } catch {
            // Blocks before the damage come first, with what may be wrong inside them.
            failure = error
        }
        if let failure, group.blocks.count == 0 {
            group.failure = failure
            isOver = true
            return group
        }
        if group.blocks.count == 0 && group.plainCount == 0 && group.failure == nil {
            isOver = true
            endsBehindGap = group.isBehindGap
            return nil
        }
        return group
    }

    private func fill(_ group: BGZFGroup) throws {
        if failure != nil { return }
        if other != nil { return try fillInflated(group) }
        if isSkipping { try seek() }
        guard !isOver else { return }
        group.offset = offset
        group.isBehindGap = isBehindGap
        isBehindGap = false
        defer {
            let count = group.blocks.compressedBytes
            if count > 0 {
                group.store = pool.take()
                group.store.copyMemory(from: UnsafeRawBufferPointer(rebasing: staged[from..<from + count]))
            }
            from += count
            offset += count
            compressedBytes += count
        }
        while group.blocks.count < Self.blocksPerGroup {
            let start = group.blocks.compressedBytes
            if isSkipping && offset + start > stretches[nextStretch - 1].last { return }
            try stage(start + BGZF.headerSize)
            let there = UnsafeRawBufferPointer(rebasing: staged[from + start..<to])
            guard let size = BGZF.blockSize(at: there) else {
                if group.blocks.count > 0 { return }
                return try beginOther(there.isEmpty, group)
            }
            try stage(start + size)
            guard to - from >= start + size else {
                throw Failure(
                    .data, at: "\(label):byte \(offset + to - from)", "gzip data is truncated",
                    remedy: "the file is not whole: fetch it again")
            }
            let block = UnsafeRawBufferPointer(rebasing: staged[from + start..<from + start + size])
            let plain = try BGZF.payloadSize(ofBlock: block, label: label, offset: offset + start)
            try limits.check(
                plain: plainBytes + plain, compressed: compressedBytes + start + size, label: label,
                offset: offset + start)
            group.blocks.append(compressed: size, plain: plain)
            largestBlock = max(largestBlock, size)
            plainBytes += plain
            lastBlockIsEmpty = plain == 0
            hasBlocks = true
        }
    }

    /// Makes sure that `count` bytes are staged, unless the input ends before.
    private func stage(_ count: Int) throws {
        guard to - from < count, !sourceIsOver else { return }
        if from + count > staged.count {
            let rest = UnsafeRawBufferPointer(rebasing: staged[from..<to])
            if count > staged.count {
                let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * count, alignment: 64)
                larger.copyMemory(from: rest)
                staged.deallocate()
                staged = larger
            } else {
                UnsafeMutableRawBufferPointer(rebasing: staged[0..<rest.count]).copyMemory(from: rest)
            }
            to -= from
            from = 0
        }
        var end = staged.count
        if isSkipping, let last = lastBlock {
            // What lies behind the stretch is not wanted, and its last block is seldom larger than all before.
            end = min(end, from + max(count, min(last - offset, staged.count) + largestBlock))
        }
        while to - from < count {
            let got = try source(UnsafeMutableRawBufferPointer(rebasing: staged[to..<end]), offset + to - from)
            if got == 0 {
                sourceIsOver = true
                return
            }
            to += got
        }
    }

    /// Where the last block of the present stretch begins.
    private var lastBlock: Int? { nextStretch > 0 ? stretches[nextStretch - 1].last : nil }

    /// Goes to the next stretch when the present one is read.
    private func seek() throws {
        while nextStretch == 0 || offset > stretches[nextStretch - 1].last {
            guard nextStretch < stretches.count else {
                isOver = true
                return
            }
            let next = stretches[nextStretch]
            nextStretch += 1
            if next.start < offset { continue }
            isBehindGap = isBehindGap || next.start > offset
            let step = next.start - offset
            if step <= to - from {
                from += step
            } else {
                from = 0
                to = 0
                sourceIsOver = false
            }
            offset = next.start
        }
    }

    /// What follows is no BGZF: the end of the input, other gzip, padding, plain bytes, or garbage.
    private func beginOther(_ isEnd: Bool, _ group: BGZFGroup) throws {
        if isEnd {
            isOver = true
            guard hasBlocks else {
                throw Failure(.data, at: label, "is empty", remedy: "check that the right file was given")
            }
            if limits.requiresBGZFEndMarker && !isSkipping && !lastBlockIsEmpty { throw missingEndMarker(label, offset) }
            return
        }
        guard !isSkipping else {
            throw Failure(
                .data, at: "\(label):byte \(offset)", "no BGZF block begins where the index says",
                remedy: "make the index again, or leave it out")
        }
        other =
            hasBlocks
            ? GzipInflater(label: label, limits: limits, behind: offset, lacksEndMarker: !lastBlockIsEmpty)
            : GzipInflater(label: label, limits: limits)
        try fillInflated(group)
    }

    /// A group from the stream of other gzip or plain bytes.
    private func fillInflated(_ group: BGZFGroup) throws {
        guard let other, !isOver else { return }
        group.offset = offset
        group.room = pool.take()
        func take(_ bytes: UnsafeRawBufferPointer) {
            if group.plainCount + bytes.count > group.room.count {
                let larger = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: 2 * (group.plainCount + bytes.count), alignment: 64)
                larger.copyMemory(from: group.plain)
                pool.give(group.room)
                group.room = larger
            }
            UnsafeMutableRawBufferPointer(rebasing: group.room[group.plainCount...]).copyMemory(from: bytes)
            group.plainCount += bytes.count
            plainBytes += bytes.count
        }
        do {
            while group.plainCount < 1 << 18 {
                try stage(1)
                let piece = min(to - from, 1 << 14)
                if piece == 0 {
                    isOver = true
                    return try other.finish { take($0) }
                }
                let bytes = UnsafeRawBufferPointer(rebasing: staged[from..<from + piece])
                from += piece
                offset += piece
                compressedBytes += piece
                try other.feed(bytes) { take($0) }
            }
        } catch {
            group.failure = error
            isOver = true
        }
    }
}
