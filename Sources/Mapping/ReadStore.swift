import CKernels
import Diagnostics
import Foundation
import Synchronization

/// Where aligned reads wait for the caller: bins of neighbouring positions instead of a globally sorted file.
///
/// Each thread appends records (the header, the CIGAR, the bases, the qualities) to memory of its own, one after the
/// other, and notes for each its bin: ``binSpan`` bases of one contig. ``seal(threads:isDuplicate:)`` brings the notes,
/// not the records, into (position, ordinal) order bin by bin; nothing can be appended any more. Reads live in memory
/// only.
public final class ReadStore: @unchecked Sendable {
    // `lock` guards `writers` and the shared writer until the store is sealed; a writer belongs to one thread. After
    // sealing everything is only read.

    public static let binSpan = 1 << 16

    /// What the store knows of one read without touching its record.
    struct Note: BitwiseCopyable {
        var ordinal: UInt64
        var record: UnsafeMutableRawPointer
        var position: Int32
        var bin: UInt32
        /// Reference bases that the alignment covers.
        var span: UInt32
        var isDuplicate: Bool
    }

    private static let headerBytes = MemoryLayout<AlignedReadHeader>.stride

    /// Contig lengths in bases, in reference order.
    public let contigLengths: [Int]
    private let firstBinOfContig: [Int]
    private let binCount: Int
    private let lock = NSLock()
    private var writers: [ReadStoreWriter] = []
    private lazy var sharedWriter = makeWriter()
    private var notes = LargeBuffer<Note>(count: 0)
    /// Where each bin's notes begin; one more than there are bins.
    private var binStarts: [Int]
    private var longestSpans: [UInt32]
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
        binStarts = [Int](repeating: 0, count: total + 1)
        longestSpans = [UInt32](repeating: 0, count: total)
    }

    /// Memory for the records of one thread.
    func makeWriter() -> ReadStoreWriter {
        let writer = ReadStoreWriter()
        writers.append(writer)
        return writer
    }

    /// As `makeWriter()`, safe from many threads.
    func addWriter() -> ReadStoreWriter {
        lock.withLock {
            precondition(!isSealed)
            return makeWriter()
        }
    }

    @inline(__always)
    func bin(_ header: AlignedReadHeader) -> UInt32 {
        precondition(header.position >= 0 && Int(header.position) < contigLengths[Int(header.contig)])
        return UInt32(firstBinOfContig[Int(header.contig)] + Int(header.position) / Self.binSpan)
    }

    /// Appends one mapped read. Safe from many threads; the order of calls does not matter after sealing.
    ///
    /// The header's contig and position must lie inside the reference.
    public func append(
        _ header: AlignedReadHeader, cigar: UnsafeBufferPointer<UInt32>, bases: UnsafeBufferPointer<UInt8>,
        qualities: UnsafeBufferPointer<UInt8>
    ) {
        precondition(cigar.count == Int(header.cigarCount) && bases.count == Int(header.baseCount))
        precondition(qualities.count == bases.count && header.attachmentCount == 0)
        lock.withLock {
            precondition(!isSealed)
            sharedWriter.append(
                header, bin: bin(header), cigar: cigar.baseAddress, bases: bases.baseAddress,
                qualities: qualities.baseAddress, isBackward: false, attachment: nil)
        }
    }

    /// Orders every bin and flags the reads for whose ordinal `isDuplicate` answers true.
    public func seal(threads: Int = 1, isDuplicate: @escaping @Sendable (UInt64) -> Bool = { _ in false }) {
        precondition(!isSealed)
        var counts = [Int](repeating: 0, count: binCount)
        for writer in writers {
            writer.forEachNote { note in
                counts[Int(note.bin)] += 1
                longestSpans[Int(note.bin)] = max(longestSpans[Int(note.bin)], note.span)
            }
        }
        for bin in 0..<binCount { binStarts[bin + 1] = binStarts[bin] + counts[bin] }
        notes = LargeBuffer(count: binStarts[binCount])
        // Each part takes the notes of its bins, a share of the reads, from all writers.
        let parts = partBorders(4 * threads)
        inParallel(count: parts.count - 1, threads: threads) { [self] part, _ in
            order(bins: parts[part]..<parts[part + 1], isDuplicate)
        }
        for writer in writers { writer.dropNotes() }
        isSealed = true
    }

    /// Borders of bins that part the notes evenly.
    private func partBorders(_ count: Int) -> [Int] {
        var borders = [0]
        for bin in 0..<binCount where binStarts[bin] >= borders.count * binStarts[binCount] / count {
            if bin > borders[borders.count - 1] { borders.append(bin) }
        }
        return borders + [binCount]
    }

    private struct Rank: BitwiseCopyable {
        /// Position in the bin, then the ordinal.
        var key: UInt64
        var note: Int
    }

    private func order(bins: Range<Int>, _ isDuplicate: (UInt64) -> Bool) {
        guard let first = bins.first, binStarts[first] < binStarts[bins.upperBound] else { return }
        var next = bins.map { binStarts[$0] }
        for writer in writers {
            writer.forEachNote { note in
                guard bins.contains(Int(note.bin)) else { return }
                let bin = Int(note.bin) - first
                notes.pointer[next[bin]] = note
                notes.pointer[next[bin]].isDuplicate = isDuplicate(note.ordinal)
                next[bin] += 1
            }
        }
        var ranks: [Rank] = []
        var sorted: [Note] = []
        for bin in bins where binStarts[bin] + 1 < binStarts[bin + 1] {
            let here = notes.pointer + binStarts[bin]
            let count = binStarts[bin + 1] - binStarts[bin]
            ranks.removeAll(keepingCapacity: true)
            sorted.removeAll(keepingCapacity: true)
            for i in 0..<count {
                let place = UInt64(here[i].position) % UInt64(Self.binSpan)
                ranks.append(Rank(key: place << 48 | here[i].ordinal, note: i))
            }
            ranks.withUnsafeMutableBufferPointer { $0.sort { $0.key < $1.key } }
            for rank in ranks { sorted.append(here[rank.note]) }
            sorted.withUnsafeBufferPointer { here.update(from: $0.baseAddress!, count: count) }
        }
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
            let bin = firstBinOfContig[contig] + index
            let here = notes.pointer + binStarts[bin]
            let count = binStarts[bin + 1] - binStarts[bin]
            let least = max(from, range.lowerBound - Int(longestSpans[bin]))
            var low = 0
            var high = count
            while low < high {
                let middle = (low + high) / 2
                if Int(here[middle].position) < least { low = middle + 1 } else { high = middle }
            }
            for rank in low..<count {
                let note = here[rank]
                if Int(note.position) >= range.upperBound { break }
                if rank + Self.recordsAhead < count {
                    ck_prefetch_bytes(here[rank + Self.recordsAhead].record, Self.bytesAhead)
                }
                if Int(note.position) + Int(note.span) <= range.lowerBound { continue }
                body(Self.view(note))
            }
        }
    }

    /// Records lie in the order in which reads were mapped, so those to come are asked for in time.
    private static let recordsAhead = 4
    private static let bytesAhead = 384

    @inline(__always)
    private static func view(_ note: Note) -> AlignedReadView {
        var header = note.record.assumingMemoryBound(to: AlignedReadHeader.self).pointee
        if note.isDuplicate { header.flags.insert(.duplicate) }
        let cigar = note.record + headerBytes
        let bases = cigar + 4 * Int(header.cigarCount)
        let count = Int(header.baseCount)
        return AlignedReadView(
            header: header,
            cigar: UnsafeBufferPointer(
                start: cigar.assumingMemoryBound(to: UInt32.self), count: Int(header.cigarCount)),
            bases: UnsafeBufferPointer(start: bases.assumingMemoryBound(to: UInt8.self), count: count),
            qualities: UnsafeBufferPointer(start: (bases + count).assumingMemoryBound(to: UInt8.self), count: count),
            attachment: ReadAttachment(
                UnsafeRawBufferPointer(start: bases + 2 * count, count: Int(header.attachmentCount))))
    }

    /// Number of stored reads. While reads are being appended, the figure of some moment.
    public var count: Int { lock.withLock { writers.reduce(0) { $0 + $1.count } } }

    /// Bytes of memory that hold records and the notes of them.
    public var byteCount: Int {
        lock.withLock { writers.reduce(0) { $0 + $1.byteCount + $1.count * MemoryLayout<Note>.stride } }
    }
}
