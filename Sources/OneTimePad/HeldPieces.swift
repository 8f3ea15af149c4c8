/// Key that is held somewhere and can be handed out in parts.
package protocol HeldKey: Sendable {
    var count: Int { get }
    /// Writes a part of the key into secret memory and erases it here.
    func take(_ range: Range<Int>, into destination: UnsafeMutableRawBufferPointer)
    func erase(_ range: Range<Int>)
}

/// Held keys along a stream, addressed by offset, each byte handed out once, in any order. Not synchronised: the holder
/// has a lock.
package struct HeldPieces<Key: HeldKey>: Sendable {
    private struct Piece: Sendable {
        var offset: UInt64
        var key: Key
        /// What was not handed out, as positions in `key`, ascending.
        var left: [Range<Int>]

        var end: UInt64 { offset + UInt64(key.count) }
    }

    /// Ascending and without overlap.
    private var pieces: [Piece] = []
    /// Bytes not handed out.
    package private(set) var onHand: UInt64 = 0

    package init() {}

    /// One past the newest byte held, or nil.
    package var end: UInt64? { pieces.last?.end }

    /// Adds key at an offset that is not below any key held.
    package mutating func append(_ key: Key, at offset: UInt64) {
        precondition(key.count > 0 && offset >= (end ?? 0), "key pieces come in order")
        pieces.append(Piece(offset: offset, key: key, left: [0..<key.count]))
        onHand += UInt64(key.count)
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

    /// Hands out the key at `offset` and erases it here. Returns the keys that are used up now, or nil, and nothing
    /// happens, when part of it is not there.
    package mutating func take(at offset: UInt64, into destination: UnsafeMutableRawBufferPointer) -> [Key]? {
        let end = offset + UInt64(destination.count)
        let first = index(of: offset)
        var last = first
        var at = offset
        while at < end {
            guard last < pieces.count, pieces[last].offset <= at else { return nil }
            let range = local(pieces[last], at, end)
            guard pieces[last].left.contains(where: { $0.clamped(to: range) == range }) else { return nil }
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
        return clear(first..<last)
    }

    /// Erases everything below `offset` and returns how many bytes that were.
    package mutating func discard(below offset: UInt64) -> UInt64 {
        let before = onHand
        let first = pieces.firstIndex { $0.offset >= offset } ?? pieces.count
        for index in 0..<first {
            let range = local(pieces[index], pieces[index].offset, offset)
            pieces[index].key.erase(range)
            strike(range, of: index)
        }
        _ = clear(0..<first)
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

    /// Lets go of those pieces of a range that are used up, and returns their keys.
    private mutating func clear(_ range: Range<Int>) -> [Key] {
        let used = pieces[range].filter(\.left.isEmpty).map(\.key)
        if !used.isEmpty { pieces.replaceSubrange(range, with: pieces[range].filter { !$0.left.isEmpty }) }
        return used
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
