import Kernels

/// Key that waits for its role, masked in ordinary memory, addressed by offset, each byte handed out once. Not
/// synchronised: the holder has a lock.
///
/// Roles may leave much of it for long and take it in any order, so a stretch is unmasked only as it is handed out.
struct WaitingKey {
    private struct Piece {
        var key: MaskedKey
        /// What was not handed out, as positions in the key, ascending.
        var left: [Range<Int>]
    }
    /// Ascending and without overlap.
    private var pieces: [Piece] = []
    /// Bytes not handed out.
    private(set) var onHand: UInt64 = 0

    /// Adds key at an offset that is not below any key held.
    mutating func append(_ key: MaskedKey) {
        precondition(key.count > 0 && key.offset >= (pieces.last?.key.end ?? 0), "waiting key comes in order")
        pieces.append(Piece(key: key, left: [0..<key.count]))
        onHand += UInt64(key.count)
    }

    /// The first byte at or above `offset` that can still be handed out.
    func firstAvailable(from offset: UInt64) -> UInt64? {
        for piece in pieces[index(of: offset)...] {
            for range in piece.left where piece.key.offset + UInt64(range.upperBound) > offset {
                return max(offset, piece.key.offset + UInt64(range.lowerBound))
            }
        }
        return nil
    }

    /// Unmasks the key at `offset` and erases it here; false, and nothing happens, when part of it is not there.
    mutating func take(at offset: UInt64, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        let end = offset + UInt64(destination.count)
        let first = index(of: offset)
        var last = first
        var at = offset
        while at < end {
            guard last < pieces.count, pieces[last].key.offset <= at else { return false }
            let range = local(pieces[last], at, end)
            guard pieces[last].left.contains(where: { $0.clamped(to: range) == range }) else { return false }
            at += UInt64(range.count)
            last += 1
        }
        at = offset
        for index in first..<last {
            let range = local(pieces[index], at, end)
            let done = Int(at - offset)
            pieces[index].key.take(
                range, into: UnsafeMutableRawBufferPointer(rebasing: destination[done..<done + range.count]))
            strike(range, of: index)
            at += UInt64(range.count)
        }
        clear(first..<last)
        return true
    }

    /// Erases everything below `offset` and returns how many bytes that were.
    mutating func discard(below offset: UInt64) -> UInt64 {
        let before = onHand
        let first = pieces.firstIndex { $0.key.offset >= offset } ?? pieces.count
        for index in 0..<first {
            let range = local(pieces[index], pieces[index].key.offset, offset)
            pieces[index].key.erase(range)
            strike(range, of: index)
        }
        clear(0..<first)
        return before - onHand
    }

    private func local(_ piece: Piece, _ at: UInt64, _ end: UInt64) -> Range<Int> {
        Int(at - piece.key.offset)..<Int(min(end, piece.key.end) - piece.key.offset)
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

    /// Lets go of those pieces of a range that are used up, K2 with them.
    private mutating func clear(_ range: Range<Int>) {
        let kept = pieces[range].filter { !$0.left.isEmpty }
        if kept.count < range.count { pieces.replaceSubrange(range, with: kept) }
    }

    /// The first piece that ends above `offset`.
    private func index(of offset: UInt64) -> Int {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].key.end > offset { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
