import Kernels
import Metering

/// Pad of a stream that was fetched before the datagrams that name it came: a ring in secret memory, addressed by
/// offset. Not synchronised: the holder has a lock.
///
/// It holds [low, high) but for the holes: what the source lost, and what was copied out. Fetching moves `high`, and `low` after it when the
/// ring is full; what leaves the ring unclaimed is lost. A datagram may lie at most `reach` beyond the newest pad
/// accepted or lost, so that a forged offset can neither empty the ring nor draw much key.
struct PadWindow: Sendable {
    /// Bytes that are fetched at once.
    static let chunk = 128 << 10
    /// The longest stretch that is handed out in one piece: the first bytes of the ring stand behind its end once more.
    static let slack = 64 << 10
    static let grain = 1.0

    private let ring: SecureBytes
    private let capacity: Int
    private let base: UInt64
    private(set) var low: UInt64
    private(set) var high: UInt64
    /// Stretches inside [low, high) that hold no key, because the source lost it or it was copied out; ascending.
    private var holes: [Range<UInt64>] = []
    /// When the stretches below these offsets began to come, ascending; the last of each came within `grain` seconds.
    private var ages: [(end: UInt64, time: Double)] = []

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
    func limit(frontier: UInt64) -> UInt64 { max(frontier, low) + UInt64(Self.reach(capacity: capacity)) }

    /// Whether all pad of a range is here.
    func holds(_ range: Range<UInt64>) -> Bool {
        low <= range.lowerBound && range.upperBound <= high && !holes.contains { $0.overlaps(range) }
    }

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
        let time = monotonicSeconds()
        if let last = ages.last, time - last.time < Self.grain {
            ages[ages.count - 1].end = high
        } else {
            ages.append((high, time))
        }
        keepUp()
    }

    /// The source has lost what lies between `high` and an offset above it.
    mutating func skip(to offset: UInt64) {
        guard offset - low < UInt64(capacity) else { return passed(offset) }
        let hole = high..<offset
        // The ring has older pad there.
        erase(hole)
        holes.append(hole)
        high = offset
        keepUp()
    }

    /// `low` follows `high`.
    private mutating func keepUp() {
        if high - low > UInt64(capacity) { low = high - UInt64(capacity) }
        if holes.first?.upperBound ?? .max <= low { holes.removeAll { $0.upperBound <= low } }
    }

    /// Erases what has been here for longer than that many seconds.
    mutating func expire(after seconds: Double) {
        let time = monotonicSeconds() - seconds - Self.grain
        let old = ages.prefix { $0.time <= time }
        ages.removeFirst(old.count)
        guard let end = old.last?.end, end > low else { return }
        erase(low..<end)
        low = end
        keepUp()
    }

    /// When the oldest pad will have been here for that many seconds; nil for an empty window.
    func nextExpiry(after seconds: Double) -> Double? {
        ages.first { $0.end > low }.map { $0.time + seconds + Self.grain }
    }

    /// The pad of a range that it `holds`.
    func pad(_ range: Range<UInt64>) -> UnsafeMutableRawBufferPointer {
        precondition(range.count <= Self.slack && holds(range))
        let start = place(of: range.lowerBound)
        // The ring lives as long as its holder, who has the lock.
        return ring.withUnsafeMutableBytes {
            UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + range.count])
        }
    }

    /// Copies and erases the pad of a range, which is not held from then on, whatever becomes of the record that it is
    /// for; false when it is not held any more.
    mutating func copy(_ range: Range<UInt64>, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(range) else { return false }
        var at = range.lowerBound
        while at < range.upperBound {
            let piece = at..<min(range.upperBound, at + UInt64(Self.slack))
            let done = Int(at - range.lowerBound)
            UnsafeMutableRawBufferPointer(rebasing: destination[done..<done + piece.count]).copyMemory(
                from: UnsafeRawBufferPointer(pad(piece)))
            wipe(piece)
            at = piece.upperBound
        }
        punch(range)
        return true
    }

    /// Makes a held range a hole, one with those that it touches.
    private mutating func punch(_ range: Range<UInt64>) {
        let next = holes.firstIndex { $0.lowerBound >= range.upperBound } ?? holes.count
        var hole = range
        var touched = next..<next
        if next < holes.count, holes[next].lowerBound == hole.upperBound {
            hole = hole.lowerBound..<holes[next].upperBound
            touched = next..<next + 1
        }
        if next > 0, holes[next - 1].upperBound == hole.lowerBound {
            hole = holes[next - 1].lowerBound..<hole.upperBound
            touched = next - 1..<touched.upperBound
        }
        holes.replaceSubrange(touched, with: [hole])
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
        holes = []
        ages = []
        low = frontier
        high = frontier
    }

    private func erase(_ range: Range<UInt64>) {
        var at = range.lowerBound
        while at < range.upperBound {
            let end = min(range.upperBound, at + UInt64(Self.slack))
            wipe(at..<end)
            at = end
        }
    }

    private func place(of offset: UInt64) -> Int { Int((offset - base) % UInt64(capacity)) }
}

/// What a receiver has for a datagram that names a stretch of pad.
package enum DatagramPad {
    case held(UnsafeMutableRawBufferPointer)
    /// Accepted before, or given up.
    case used
    /// Further ahead than any genuine datagram.
    case outOfReach
    case noKey
}
