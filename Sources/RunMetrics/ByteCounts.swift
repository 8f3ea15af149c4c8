import GenomicFormats

/// Bases of Phred quality 30 and more. Qualities are below 128.
func goodBases(_ qualities: UnsafeBufferPointer<UInt8>) -> Int {
    // 98 more than 30 has the top bit of its byte.
    countBytes(qualities, qualities) { word, _ in (word &+ 0x6262_6262_6262_6262) >> 7 & 0x0101_0101_0101_0101 }
}

/// Bases that differ where neither is N.
func different(_ bases: UnsafeBufferPointer<UInt8>, _ reference: UnsafeBufferPointer<UInt8>) -> Int {
    precondition(BaseCode.n == 4 && bases.count == reference.count)
    return countBytes(bases, reference) { a, b in
        let change = a ^ b
        return (change | change >> 1) & ~((a | b) >> 2) & 0x0101_0101_0101_0101
    }
}

/// Counts bytes by words of eight, which all machines do quickly. `flags` makes 1 or 0 of each byte of two words, and 0
/// of two zeros.
@inline(__always)
private func countBytes(
    _ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>, _ flags: (UInt64, UInt64) -> UInt64
) -> Int {
    let (left, right) = (UnsafeRawBufferPointer(a), UnsafeRawBufferPointer(b))
    /// A byte of a sum has room for this many flags, and one more.
    let most = 8 * 254
    var total = 0
    var start = 0
    while start < a.count {
        let end = min(a.count, start + most)
        var sum: UInt64 = 0
        var at = start
        while at + 8 <= end {
            sum &+= flags(
                left.loadUnaligned(fromByteOffset: at, as: UInt64.self),
                right.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at += 8
        }
        var (last, other): (UInt64, UInt64) = (0, 0)
        while at < end {
            last = last << 8 | UInt64(left[at])
            other = other << 8 | UInt64(right[at])
            at += 1
        }
        sum &+= flags(last, other)
        // Neighbouring bytes first, whose sums need more than eight bits.
        let pairs = (sum & 0x00FF_00FF_00FF_00FF) + (sum >> 8 & 0x00FF_00FF_00FF_00FF)
        total += Int((pairs &* 0x0001_0001_0001_0001) >> 48)
        start = end
    }
    return total
}
