import Diagnostics
package import Kernels

/// Key in secret memory, addressed by offset, each byte handed out once. Not synchronised: the holder has a lock.
package struct KeyPieces: Sendable {
    private struct Piece: Sendable {
        var offset: UInt64
        var bytes: SecureBytes
        /// What was not handed out, as positions in `bytes`, ascending.
        var left: [Range<Int>]

        var end: UInt64 { offset + UInt64(bytes.count) }
    }

    /// Ascending and without overlap.
    private var pieces: [Piece] = []
    /// Bytes not handed out.
    package private(set) var onHand: UInt64 = 0

    /// Wiped buffers for new pieces: fresh secret pages cost more than the copy into them.
    private var spare: [SecureBytes] = []
    private static let maximumSpare = 32

    package init() {}

    /// Zeros to fill and `append`.
    package mutating func buffer(count: Int) -> SecureBytes {
        if let index = spare.lastIndex(where: { $0.count == count }) { return spare.remove(at: index) }
        return SecureBytes(count: count)
    }

    /// One past the newest byte held, or nil.
    package var end: UInt64? { pieces.last?.end }

    /// Adds key at an offset that is not below any key held.
    package mutating func append(_ bytes: SecureBytes, at offset: UInt64) {
        precondition(bytes.count > 0 && offset >= (pieces.last?.end ?? 0), "key pieces come in order")
        pieces.append(Piece(offset: offset, bytes: bytes, left: [0..<bytes.count]))
        onHand += UInt64(bytes.count)
    }

    /// The first byte at or above `offset` that can still be handed out.
    package func firstAvailable(from offset: UInt64) -> UInt64? {
        for piece in pieces[index(of: offset)...] {
            for range in piece.left where piece.offset + UInt64(range.upperBound) > offset {
                return max(offset, piece.offset + UInt64(range.lowerBound))
            }
        }
        return nil
    }

    /// Copies the key at `offset` and erases it here; false, and nothing happens, when part of it is not there.
    package mutating func take(at offset: UInt64, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        let end = offset + UInt64(destination.count)
        let first = index(of: offset)
        var last = first
        var at = offset
        while at < end {
            guard last < pieces.count, pieces[last].offset <= at else { return false }
            let range = local(pieces[last], at, end)
            guard pieces[last].left.contains(where: { $0.contains(range) }) else { return false }
            at += UInt64(range.count)
            last += 1
        }
        at = offset
        for index in first..<last {
            let range = local(pieces[index], at, end)
            let done = Int(at - offset)
            pieces[index].bytes.withUnsafeMutableBytes { bytes in
                let part = UnsafeMutableRawBufferPointer(rebasing: bytes[range])
                UnsafeMutableRawBufferPointer(rebasing: destination[done..<done + range.count])
                    .copyMemory(from: UnsafeRawBufferPointer(part))
                wipe(part)
            }
            strike(range, of: index)
            at += UInt64(range.count)
        }
        for piece in pieces[first..<last] where piece.left.isEmpty && piece.bytes.count > 2048 {
            if spare.count >= Self.maximumSpare { spare.removeFirst() }
            spare.append(piece.bytes)
        }
        pieces.removeSubrange(first..<last) { $0.left.isEmpty }
        return true
    }

    /// Erases everything below `offset` and returns how many bytes that were.
    package mutating func discard(below offset: UInt64) -> UInt64 {
        let before = onHand
        var whole = 0
        for index in pieces.indices where pieces[index].offset < offset {
            let range = 0..<Int(min(offset, pieces[index].end) - pieces[index].offset)
            pieces[index].bytes.withUnsafeMutableBytes { wipe(UnsafeMutableRawBufferPointer(rebasing: $0[range])) }
            strike(range, of: index)
            whole = index + 1
        }
        pieces.removeSubrange(0..<whole) { $0.left.isEmpty }
        return before - onHand
    }

    private func local(_ piece: Piece, _ at: UInt64, _ end: UInt64) -> Range<Int> {
        Int(at - piece.offset)..<Int(min(end, piece.end) - piece.offset)
    }

    private mutating func strike(_ range: Range<Int>, of index: Int) {
        let before = pieces[index].left.reduce(0) { $0 + $1.count }
        pieces[index].left = pieces[index].left.flatMap { left -> [Range<Int>] in
            guard left.overlaps(range) else { return [left] }
            let below = left.lowerBound..<max(left.lowerBound, range.lowerBound)
            let above = min(left.upperBound, range.upperBound)..<left.upperBound
            return [below, above].filter { !$0.isEmpty }
        }
        onHand -= UInt64(before - pieces[index].left.reduce(0) { $0 + $1.count })
    }

    /// The first piece that ends above `offset`.
    private func index(of offset: UInt64) -> Int {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].end > offset { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Range where Bound == Int {
    fileprivate func contains(_ other: Range<Int>) -> Bool {
        lowerBound <= other.lowerBound && other.upperBound <= upperBound
    }
}

extension Array {
    /// Removes the elements of a subrange that satisfy the condition.
    fileprivate mutating func removeSubrange(_ range: Range<Int>, where condition: (Element) -> Bool) {
        let kept = self[range].filter { !condition($0) }
        if kept.count < range.count { replaceSubrange(range, with: kept) }
    }
}
