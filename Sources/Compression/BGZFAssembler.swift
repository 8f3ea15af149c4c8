package import Threads

/// Makes a BGZF file of new text and of parts of groups that were read: blocks of which every byte goes on are passed as
/// they are, everything else is deflated afresh by a crew.
///
/// The bytes depend on what is appended alone. Not for use by two threads at once.
package final class BGZFAssembler {
    /// Text that becomes one block. The owner fills it, one worker deflates it, the owner writes it.
    private final class Payload: @unchecked Sendable {
        let text = UnsafeMutableRawBufferPointer.allocate(byteCount: BGZF.blockPayload, alignment: 64)
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: BGZF.maximumBlockSize, alignment: 64)
        var fill = 0
        var size = 0
        var seconds = 0.0
        var piece: Crew.Piece?

        deinit {
            text.deallocate()
            block.deallocate()
        }
    }

    private enum Item {
        case payload(Payload)
        /// Whole blocks of a group.
        case blocks(BGZFGroup, Range<Int>)
    }

    /// Part of a block of a group, so long as it may still become the whole block.
    private struct Open {
        var group: BGZFGroup
        var block: Int
        var from: Int
        var to: Int
    }

    private let passesBlocks: Bool
    private let crew: Crew
    private let deflaters: [BGZFBlockDeflater]
    private let sink: ByteSink
    private var spare: [Payload] = []
    private var current: Payload?
    private var open: Open?
    private var items: [Item] = []
    private var head = 0
    /// By block of the output: where it begins in plain bytes, and, once it is written, in the file.
    private var plainStarts: [Int] = []
    private var fileStarts: [Int] = []

    /// Plain bytes taken, those of them that went out in blocks as they were, and bytes of the file.
    package private(set) var plainBytes = 0
    package private(set) var passedBytes = 0
    package private(set) var fileBytes = 0
    /// Processor time of deflating.
    package private(set) var seconds = 0.0

    package init(level: CompressionLevel, passesBlocks: Bool, crew: Crew, sink: @escaping ByteSink) {
        self.passesBlocks = passesBlocks
        self.crew = crew
        self.sink = sink
        deflaters = (0..<crew.count).map { _ in BGZFBlockDeflater(level) }
    }

    /// Appends text.
    package func append(_ bytes: UnsafeRawBufferPointer) throws {
        try closeOpen()
        try put(bytes)
        plainBytes += bytes.count
    }

    /// Appends plain bytes of a group.
    package func append(_ range: Range<Int>, of group: BGZFGroup) throws {
        guard passesBlocks, !group.isInflated else {
            return try append(UnsafeRawBufferPointer(rebasing: group.plain[range]))
        }
        var at = range.lowerBound
        while at < range.upperBound {
            let block = group.blocks.index(ofPlainByte: at)
            let start = group.blocks.plainOffsets[block]
            let end = group.blocks.plainOffsets[block + 1]
            let to = min(end, range.upperBound)
            if let open, open.group === group, open.block == block, open.to == at {
                self.open?.to = to
            } else {
                try closeOpen()
                open = Open(group: group, block: block, from: at, to: to)
            }
            plainBytes += to - at
            at = to
            if to == end {
                if open?.from == start { try pass(block, of: group) } else { try closeOpen() }
            }
        }
    }

    /// Ends the current block, so that the next byte begins a new one.
    package func endBlock() throws {
        try closeOpen()
        try endPayload()
    }

    /// Writes what is left and the end marker; before it, empty blocks that make the file's length a multiple of a
    /// number.
    package func finish(multipleOf multiple: Int = 1) throws {
        try endBlock()
        try write(all: true)
        plainStarts.append(plainBytes)
        fileStarts.append(fileBytes)
        try BGZF.emptyBlocks(lengthening: fileBytes + BGZF.endMarker.count, toMultipleOf: multiple) {
            fileBytes += $0.count
            try sink($0)
        }
        try BGZF.endMarker.withUnsafeBytes { try sink($0) }
        fileBytes += BGZF.endMarker.count
    }

    /// The number of the block that holds a plain byte that was appended, or its end.
    package func block(ofPlainByte place: Int) -> Int {
        var low = 0
        var high = plainStarts.count
        while low < high {
            let middle = (low + high) / 2
            if plainStarts[middle] <= place { low = middle + 1 } else { high = middle }
        }
        return low - 1
    }

    /// The virtual offset of a plain byte, or of the end, of a finished file.
    package func virtualOffset(ofPlainByte place: Int) -> UInt64 {
        let block = block(ofPlainByte: place)
        return UInt64(fileStarts[block]) << 16 | UInt64(place - plainStarts[block])
    }

    private func closeOpen() throws {
        guard let open else { return }
        self.open = nil
        let bytes = UnsafeRawBufferPointer(rebasing: open.group.plain[open.from..<open.to])
        plainBytes -= bytes.count
        try put(bytes)
        plainBytes += bytes.count
    }

    private func pass(_ block: Int, of group: BGZFGroup) throws {
        open = nil
        try endPayload()
        let size = group.blocks.plainOffsets[block + 1] - group.blocks.plainOffsets[block]
        plainStarts.append(plainBytes - size)
        passedBytes += size
        if case .blocks(let last, let range) = items.last, last === group, range.upperBound == block {
            items[items.count - 1] = .blocks(group, range.lowerBound..<block + 1)
        } else {
            items.append(.blocks(group, block..<block + 1))
        }
        try write(all: false)
    }

    /// Copies text whose first byte is plain byte `plainBytes` of the output.
    private func put(_ bytes: UnsafeRawBufferPointer) throws {
        var at = 0
        while at < bytes.count {
            if current == nil {
                current = spare.popLast() ?? Payload()
                current?.fill = 0
                plainStarts.append(plainBytes + at)
            }
            guard let payload = current else { return }
            let count = min(bytes.count - at, BGZF.blockPayload - payload.fill)
            (payload.text.baseAddress! + payload.fill).copyMemory(from: bytes.baseAddress! + at, byteCount: count)
            payload.fill += count
            at += count
            if payload.fill == BGZF.blockPayload { try endPayload() }
        }
    }

    private func endPayload() throws {
        guard let payload = current else { return }
        current = nil
        payload.piece = crew.give { [deflaters] worker in
            let start = threadSeconds()
            payload.size = deflaters[worker].deflate(
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(payload.text)[0..<payload.fill]),
                into: payload.block)
            payload.seconds = threadSeconds() - start
        }
        items.append(.payload(payload))
        try write(all: false)
    }

    /// Writes what is ready; with `all`, and when more waits than a crew needs, it waits for what is not.
    private func write(all: Bool) throws {
        while head < items.count {
            switch items[head] {
            case .payload(let payload):
                guard let piece = payload.piece else { return }
                if !all && items.count - head <= crew.count * 16 && !crew.isDone(piece) { return }
                crew.wait(for: piece)
                payload.piece = nil
                seconds += payload.seconds
                fileStarts.append(fileBytes)
                fileBytes += payload.size
                try sink(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(payload.block)[0..<payload.size]))
                spare.append(payload)
            case .blocks(let group, let range):
                // The next block may still follow in one piece.
                if !all && head + 1 == items.count && range.upperBound < group.blocks.count { return }
                let offsets = group.blocks.compressedOffsets
                let first = offsets[range.lowerBound]
                for block in range { fileStarts.append(fileBytes + offsets[block] - first) }
                let bytes = group.compressed[first..<offsets[range.upperBound]]
                fileBytes += bytes.count
                try sink(UnsafeRawBufferPointer(rebasing: bytes))
            }
            head += 1
            if head == items.count || head >= 64 {
                items.removeSubrange(0..<head)
                head = 0
            }
        }
    }
}
