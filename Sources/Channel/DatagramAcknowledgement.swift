/// What a receiver tells the sender of a datagram transfer: how far the object has come, and which datagrams came.
struct DatagramAcknowledgement: Equatable {
    /// Ranges of sequences that one acknowledgement names, the newest ones.
    static let mostRanges = 32
    static let size = 16 + mostRanges * 16
    /// All of the object below is there, in bytes.
    var position: UInt64
    /// The sender may send up to there, in bytes.
    var limit: UInt64
    /// Sequences received, ascending and apart.
    var ranges: [Range<UInt64>]

    init(position: UInt64, limit: UInt64, ranges: [Range<UInt64>]) {
        self.position = position
        self.limit = limit
        self.ranges = ranges
    }

    /// Nil when it is none.
    init?(position: UInt64, payload: UnsafeRawBufferPointer) {
        guard payload.count >= 8, payload.count % 16 == 8, payload.count <= Self.size else { return nil }
        self.position = position
        limit = payload.load(bigEndian: UInt64.self, at: 0)
        ranges = []
        var last: UInt64 = 0
        for at in stride(from: 8, to: payload.count, by: 16) {
            let low = payload.load(bigEndian: UInt64.self, at: at)
            let high = payload.load(bigEndian: UInt64.self, at: at + 8)
            guard low >= last, high > low, high < UInt64(Int64.max) else { return nil }
            ranges.append(low..<high)
            last = high
        }
    }

    /// Writes the payload of its datagram; returns its length.
    func write(to bytes: UnsafeMutableRawBufferPointer) -> Int {
        bytes.store(bigEndian: limit, at: 0)
        var at = 8
        for range in ranges.suffix(Self.mostRanges) {
            bytes.store(bigEndian: range.lowerBound, at: at)
            bytes.store(bigEndian: range.upperBound, at: at + 8)
            at += 16
        }
        return at
    }
}

/// The sequences that a receiver has seen, as ranges; only the newest are kept.
struct SeenSequences {
    private(set) var ranges: [Range<UInt64>] = []
    private static let most = 128

    mutating func insert(_ sequence: UInt64) {
        if let last = ranges.last, last.upperBound == sequence {
            ranges[ranges.count - 1] = last.lowerBound..<sequence + 1
            return
        }
        // From the end: what is late is seldom very late.
        var index = ranges.count
        while index > 0, ranges[index - 1].lowerBound > sequence { index -= 1 }
        if index > 0, ranges[index - 1].upperBound >= sequence {
            if ranges[index - 1].upperBound > sequence { return }
            ranges[index - 1] = ranges[index - 1].lowerBound..<sequence + 1
            if index < ranges.count, ranges[index].lowerBound == sequence + 1 {
                ranges[index - 1] = ranges[index - 1].lowerBound..<ranges[index].upperBound
                ranges.remove(at: index)
            }
        } else if index < ranges.count, ranges[index].lowerBound == sequence + 1 {
            ranges[index] = sequence..<ranges[index].upperBound
        } else {
            ranges.insert(sequence..<sequence + 1, at: index)
        }
        if ranges.count > Self.most { ranges.removeFirst() }
    }
}
