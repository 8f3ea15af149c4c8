import Foundation
import Synchronization

/// Where aligned reads wait for the caller: bins of neighbouring positions instead of a globally sorted file.
///
/// A bin covers ``binSpan`` bases of one contig and holds the reads whose `position` lies in it, each as one record in
/// the bin's memory: the header, the CIGAR, the bases, the qualities. After ``seal(threads:isDuplicate:)`` each bin is
/// in (position, ordinal) order and duplicates carry their flag; nothing can be appended any more. Reads live in memory
/// only.
public final class ReadStore: @unchecked Sendable {
    // `bins[i]` is guarded by `locks[i % lockCount]` until the store is sealed, and only read afterwards.

    public static let binSpan = 1 << 16

    struct Bin {
        var memory: UnsafeMutableRawPointer?
        var used = 0
        var capacity = 0
        /// Where the records begin, in order once sealed.
        var starts: [Int] = []
        /// Longest reference span of a read in the bin.
        var longestSpan = 0
    }

    private static let lockCount = 256
    private static let headerBytes = MemoryLayout<AlignedReadHeader>.stride

    /// Contig lengths in bases, in reference order.
    public let contigLengths: [Int]
    private let firstBinOfContig: [Int]
    private let binCount: Int
    private let bins: UnsafeMutablePointer<Bin>
    private let locks: [NSLock]
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
        binCount = total
        bins = .allocate(capacity: max(1, total))
        bins.initialize(repeating: Bin(), count: total)
        locks = (0..<Self.lockCount).map { _ in NSLock() }
    }

    deinit {
        for bin in 0..<binCount { free(bins[bin].memory) }
        bins.deinitialize(count: binCount)
        bins.deallocate()
    }

    /// Appends one mapped read. Safe from many threads; the order of calls does not matter after sealing.
    ///
    /// The header's contig and position must lie inside the reference.
    public func append(
        _ header: AlignedReadHeader, cigar: UnsafeBufferPointer<UInt32>, bases: UnsafeBufferPointer<UInt8>,
        qualities: UnsafeBufferPointer<UInt8>
    ) {
        precondition(!isSealed && cigar.count == Int(header.cigarCount) && bases.count == Int(header.baseCount))
        precondition(qualities.count == bases.count)
        precondition(header.position >= 0 && Int(header.position) < contigLengths[Int(header.contig)])
        let index = firstBinOfContig[Int(header.contig)] + Int(header.position) / Self.binSpan
        let size = (Self.headerBytes + 4 * cigar.count + 2 * bases.count + 7) / 8 * 8
        let lock = locks[index % Self.lockCount]
        lock.lock()
        defer { lock.unlock() }
        let bin = bins + index
        if bin.pointee.used + size > bin.pointee.capacity {
            // Large blocks grow by remapping, so doubling copies little and untouched pages cost nothing.
            bin.pointee.capacity = max(16 << 10, 2 * bin.pointee.capacity, bin.pointee.used + size)
            guard let memory = realloc(bin.pointee.memory, bin.pointee.capacity) else {
                fatalError("out of memory for \(bin.pointee.capacity) bytes of reads")
            }
            bin.pointee.memory = memory
        }
        let record = bin.pointee.memory! + bin.pointee.used
        record.storeBytes(of: header, as: AlignedReadHeader.self)
        var next = record + Self.headerBytes
        if let from = cigar.baseAddress { next.copyMemory(from: from, byteCount: 4 * cigar.count) }
        next += 4 * cigar.count
        if let from = bases.baseAddress { next.copyMemory(from: from, byteCount: bases.count) }
        next += bases.count
        if let from = qualities.baseAddress { next.copyMemory(from: from, byteCount: bases.count) }
        bin.pointee.starts.append(bin.pointee.used)
        bin.pointee.used += size
        bin.pointee.longestSpan = max(bin.pointee.longestSpan, Int(header.end) - Int(header.position))
    }

    /// Orders every bin and flags the reads for whose ordinal `isDuplicate` answers true.
    public func seal(threads: Int = 1, isDuplicate: @escaping @Sendable (UInt64) -> Bool = { _ in false }) {
        precondition(!isSealed)
        inParallel(count: binCount, threads: threads) { index, _ in self.order(self.bins + index, isDuplicate) }
        isSealed = true
    }

    private struct Rank {
        var position: Int32
        var ordinal: UInt64
        var start: Int
    }

    /// Rewrites one bin in (position, ordinal) order, so that reading it is a walk through memory.
    private func order(_ bin: UnsafeMutablePointer<Bin>, _ isDuplicate: (UInt64) -> Bool) {
        guard let memory = bin.pointee.memory else { return }
        let used = bin.pointee.used
        var ranks = bin.pointee.starts.map { start -> Rank in
            let header = (memory + start).assumingMemoryBound(to: AlignedReadHeader.self)
            if isDuplicate(header.pointee.ordinal) { header.pointee.flags.insert(.duplicate) }
            return Rank(position: header.pointee.position, ordinal: header.pointee.ordinal, start: start)
        }
        ranks.sort { ($0.position, $0.ordinal) < ($1.position, $1.ordinal) }
        guard let ordered = malloc(used) else { fatalError("out of memory for \(used) bytes of reads") }
        var next = 0
        for (rank, entry) in ranks.enumerated() {
            let header = (memory + entry.start).assumingMemoryBound(to: AlignedReadHeader.self).pointee
            let size = (Self.headerBytes + 4 * Int(header.cigarCount) + 2 * Int(header.baseCount) + 7) / 8 * 8
            (ordered + next).copyMemory(from: memory + entry.start, byteCount: size)
            bin.pointee.starts[rank] = next
            next += size
        }
        free(memory)
        bin.pointee.memory = ordered
        bin.pointee.capacity = used
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
            let bin = bins + firstBinOfContig[contig] + index
            guard let memory = bin.pointee.memory else { continue }
            let count = bin.pointee.starts.count
            bin.pointee.starts.withUnsafeBufferPointer { starts in
                let least = max(from, range.lowerBound - bin.pointee.longestSpan)
                var low = 0
                var high = count
                while low < high {
                    let middle = (low + high) / 2
                    if Int(Self.header(memory, starts[middle]).position) < least {
                        low = middle + 1
                    } else {
                        high = middle
                    }
                }
                for rank in low..<count {
                    let header = Self.header(memory, starts[rank])
                    if Int(header.position) >= range.upperBound { break }
                    if Int(header.end) <= range.lowerBound { continue }
                    body(Self.view(memory + starts[rank], header))
                }
            }
        }
    }

    @inline(__always)
    private static func header(_ memory: UnsafeMutableRawPointer, _ start: Int) -> AlignedReadHeader {
        (memory + start).assumingMemoryBound(to: AlignedReadHeader.self).pointee
    }

    @inline(__always)
    private static func view(_ record: UnsafeMutableRawPointer, _ header: AlignedReadHeader) -> AlignedReadView {
        let cigar = record + headerBytes
        let bases = cigar + 4 * Int(header.cigarCount)
        let count = Int(header.baseCount)
        return AlignedReadView(
            header: header,
            cigar: UnsafeBufferPointer(
                start: cigar.assumingMemoryBound(to: UInt32.self), count: Int(header.cigarCount)),
            bases: UnsafeBufferPointer(start: bases.assumingMemoryBound(to: UInt8.self), count: count),
            qualities: UnsafeBufferPointer(start: (bases + count).assumingMemoryBound(to: UInt8.self), count: count))
    }

    /// Number of stored reads. While reads are being appended, the figure of some moment.
    public var count: Int {
        (0..<binCount).reduce(0) { total, index in
            locks[index % Self.lockCount].withLock { total + bins[index].starts.count }
        }
    }

    /// Bytes of memory that hold records.
    public var byteCount: Int {
        (0..<binCount).reduce(0) { total, index in
            locks[index % Self.lockCount].withLock { total + bins[index].used + 8 * bins[index].starts.count }
        }
    }
}
