import Kernels

/// Pad of a stream that was fetched before the datagrams that name it came: a ring in secret memory, addressed by
/// offset. Not synchronised: the holder has a lock.
///
/// It holds [low, high). Fetching moves `high`, and `low` after it when the ring is full; what leaves the ring
/// unclaimed is lost. A datagram may lie at most `reach` beyond the newest pad accepted, so that a forged offset can
/// neither empty the ring nor draw much key.
struct PadWindow: Sendable {
    /// Bytes that are fetched at once.
    static let chunk = 128 << 10
    /// The longest stretch that is handed out in one piece: the first bytes of the ring stand behind its end once more.
    static let slack = 64 << 10

    private let ring: SecureBytes
    private let capacity: Int
    private let base: UInt64
    private(set) var low: UInt64
    private(set) var high: UInt64

    /// - Parameter capacity: bytes; less than eight chunks become eight.
    init(at offset: UInt64, capacity: Int) {
        self.capacity = Self.rounded(capacity)
        ring = SecureBytes(count: self.capacity + Self.slack)
        // The first touch of secret pages is dear; here it delays nobody.
        ring.wipe()
        base = offset
        low = offset
        high = offset
    }

    private static func rounded(_ capacity: Int) -> Int { max(8, capacity / chunk) * chunk }

    static func reach(capacity: Int) -> Int { rounded(capacity) * 3 / 8 }

    /// One past the furthest offset that a datagram may name.
    func limit(frontier: UInt64) -> UInt64 { frontier + UInt64(Self.reach(capacity: capacity)) }

    /// Takes up to `count` bytes behind `high`, fewer where the ring ends; all or nothing.
    mutating func fetch(_ count: Int, from source: any PadSource, _ stream: PadStream) throws {
        let place = place(of: high)
        let count = min(count, capacity - place)
        let end = high + UInt64(count)
        try ring.withUnsafeMutableBytes { bytes in
            let room = UnsafeMutableRawBufferPointer(rebasing: bytes[place..<place + count])
            try source.take(stream, offset: high, into: room, timeout: 0)
            if place < Self.slack {
                let copied = min(place + count, Self.slack)
                UnsafeMutableRawBufferPointer(rebasing: bytes[capacity + place..<capacity + copied]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[place..<copied]))
            }
        }
        high = end
        if high - low > UInt64(capacity) { low = high - UInt64(capacity) }
    }

    /// The pad of a range inside [low, high).
    func pad(_ range: Range<UInt64>) -> UnsafeMutableRawBufferPointer {
        precondition(range.lowerBound >= low && range.upperBound <= high && range.count <= Self.slack)
        let start = place(of: range.lowerBound)
        // The ring lives as long as its holder, who has the lock.
        return ring.withUnsafeMutableBytes {
            UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + range.count])
        }
    }

    /// Copies and erases the pad of a range; false when it is not held any more.
    mutating func copy(_ range: Range<UInt64>, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        guard range.lowerBound >= low else { return false }
        var at = range.lowerBound
        while at < range.upperBound {
            let piece = at..<min(range.upperBound, at + UInt64(Self.slack))
            let done = Int(at - range.lowerBound)
            UnsafeMutableRawBufferPointer(rebasing: destination[done..<done + piece.count]).copyMemory(
                from: UnsafeRawBufferPointer(pad(piece)))
            wipe(piece)
            at = piece.upperBound
        }
        return true
    }

    /// Erases a range inside [low, high) of at most `slack` bytes.
    func wipe(_ range: Range<UInt64>) {
        let start = place(of: range.lowerBound)
        let end = start + range.count
        ring.withUnsafeMutableBytes { bytes in
            Kernels.wipe(UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end]))
            if end > capacity { Kernels.wipe(UnsafeMutableRawBufferPointer(rebasing: bytes[0..<end - capacity])) }
            if start < Self.slack {
                Kernels.wipe(
                    UnsafeMutableRawBufferPointer(
                        rebasing: bytes[capacity + start..<capacity + min(end, Self.slack)]))
            }
        }
    }

    /// Accepted pad lies beyond all that is held: the window goes on from there.
    mutating func passed(_ frontier: UInt64) {
        guard frontier > high else { return }
        ring.wipe()
        low = frontier
        high = frontier
    }

    private func place(of offset: UInt64) -> Int { Int((offset - base) % UInt64(capacity)) }
}
