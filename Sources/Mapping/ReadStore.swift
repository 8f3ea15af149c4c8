/// Where aligned reads wait for the caller: bins of neighbouring positions instead of a globally sorted file.
///
/// A bin covers `binSpan` bases of one contig and holds the reads whose `position` lies in it, as fixed headers with their
/// CIGAR, bases and qualities in one arena. After ``seal()`` each bin is sorted by (position, ordinal) and duplicates
/// carry their flag; nothing can be appended any more. Reads live in memory only.
public final class ReadStore: @unchecked Sendable {
    public static let binSpan = 1 << 16

    struct Bin {
        var headers: [AlignedReadHeader] = []
        var arenaOffsets: [Int] = []
        var cigars: [UInt32] = []
        var arena: [UInt8] = []
        var cigarOffsets: [Int] = []
        var order: [Int32] = []
    }

    /// Contig lengths in bases, in reference order.
    public let contigLengths: [Int]
    private let firstBinOfContig: [Int]
    private var bins: [Bin]
    private(set) public var isSealed = false

    public init(contigLengths: [Int]) {
        self.contigLengths = contigLengths
        var first: [Int] = []
        var total = 0
        for length in contigLengths {
            first.append(total)
            total += length / Self.binSpan + 1
        }
        firstBinOfContig = first
        bins = Array(repeating: Bin(), count: total)
    }

    /// Appends one mapped read. One thread at a time; the order of calls does not matter after ``seal()``.
    public func append(
        _ header: AlignedReadHeader, cigar: UnsafeBufferPointer<UInt32>, bases: UnsafeBufferPointer<UInt8>,
        qualities: UnsafeBufferPointer<UInt8>
    ) {
        precondition(!isSealed && cigar.count == Int(header.cigarCount) && bases.count == Int(header.baseCount))
        let bin = firstBinOfContig[Int(header.contig)] + Int(header.position) / Self.binSpan
        bins[bin].headers.append(header)
        bins[bin].arenaOffsets.append(bins[bin].arena.count)
        bins[bin].cigarOffsets.append(bins[bin].cigars.count)
        bins[bin].cigars.append(contentsOf: cigar)
        bins[bin].arena.append(contentsOf: bases)
        bins[bin].arena.append(contentsOf: qualities)
    }

    /// Sorts every bin and flags the reads for whose ordinal `isDuplicate` answers true.
    public func seal(isDuplicate: (UInt64) -> Bool = { _ in false }) {
        precondition(!isSealed)
        for bin in bins.indices where !bins[bin].headers.isEmpty {
            for read in bins[bin].headers.indices where isDuplicate(bins[bin].headers[read].ordinal) {
                bins[bin].headers[read].flags.insert(.duplicate)
            }
            let headers = bins[bin].headers
            bins[bin].order = headers.indices.map(Int32.init).sorted {
                let (a, b) = (headers[Int($0)], headers[Int($1)])
                return (a.position, a.ordinal) < (b.position, b.ordinal)
            }
        }
        isSealed = true
    }

    /// Calls `body` for each read whose alignment overlaps `range` of `contig`, by (position, ordinal).
    ///
    /// `maximumSpan` bounds how far left of the range an overlapping read may start. Safe from many threads at once.
    public func forEachRead(
        contig: Int, overlapping range: Range<Int>, maximumSpan: Int = 4096, _ body: (AlignedReadView) -> Void
    ) {
        precondition(isSealed)
        guard !range.isEmpty, contigLengths[contig] > 0 else { return }
        let from = max(0, range.lowerBound - maximumSpan)
        let lastBin = min(range.upperBound - 1, contigLengths[contig] - 1) / Self.binSpan
        guard from / Self.binSpan <= lastBin else { return }
        for index in (from / Self.binSpan)...lastBin {
            let bin = bins[firstBinOfContig[contig] + index]
            var low = 0
            var high = bin.order.count
            while low < high {
                let middle = (low + high) / 2
                if Int(bin.headers[Int(bin.order[middle])].position) < from { low = middle + 1 } else { high = middle }
            }
            bin.arena.withUnsafeBufferPointer { arena in
                bin.cigars.withUnsafeBufferPointer { cigars in
                    for rank in low..<bin.order.count {
                        let read = Int(bin.order[rank])
                        let header = bin.headers[read]
                        if Int(header.position) >= range.upperBound { break }
                        if Int(header.end) <= range.lowerBound { continue }
                        let count = Int(header.baseCount)
                        let start = bin.arenaOffsets[read]
                        let cigarStart = bin.cigarOffsets[read]
                        body(
                            AlignedReadView(
                                header: header,
                                cigar: UnsafeBufferPointer(
                                    rebasing: cigars[cigarStart..<cigarStart + Int(header.cigarCount)]),
                                bases: UnsafeBufferPointer(rebasing: arena[start..<start + count]),
                                qualities: UnsafeBufferPointer(rebasing: arena[start + count..<start + 2 * count])))
                    }
                }
            }
        }
    }

    /// Number of stored reads.
    public var count: Int { bins.reduce(0) { $0 + $1.headers.count } }
}
