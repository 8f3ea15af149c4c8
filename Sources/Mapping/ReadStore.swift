import CKernels
import Foundation
import Synchronization
import Threads

/// Where aligned reads wait for the caller: bins of neighbouring positions instead of a globally sorted file.
///
/// Each thread appends records (``StoredRead``) to chunks of memory of its own and notes for each its bin: ``binSpan``
/// bases of one contig. ``seal(threads:isDuplicate:)`` brings the notes, not the records, into (position, ordinal)
/// order bin by bin; nothing can be appended any more.
///
/// When the chunks reach the memory budget, full ones are brought into the order of bins and written, encrypted, to a
/// ``SpillFile``: a run. If there was one, sealing spills the rest as well, and bins are read back from all runs when
/// they are asked for. What a caller sees is the same, whatever the budget.
public final class ReadStore: @unchecked Sendable {
    // `state` guards the mutable properties until the store is sealed; a writer belongs to one thread. After sealing
    // everything is only read, `spilledBins` apart, which has a lock of its own.

    public static let binSpan = 1 << 16
    /// Bases in whose steps ``hasReads(contig:overlapping:)`` answers.
    public static let stretch = 1 << 14
    /// How far left of a range an overlapping read may start.
    public static let maximumSpan = 4096

    /// What a store may take of the machine; what is read from it does not depend on it.
    public struct Limits: Sendable {
        /// Bytes of memory for reads.
        public var memory: Int
        /// Where reads are spilled when memory is full; nil for `TMPDIR`, or `/var/tmp` when that is not set.
        public var spillDirectory: String?
        /// Threads that append.
        public var threads: Int

        public init(memory: Int = .max, spillDirectory: String? = nil, threads: Int = 1) {
            precondition(memory > 0 && threads > 0)
            self.memory = memory
            self.spillDirectory = spillDirectory
            self.threads = threads
        }
    }

    /// Contig lengths in bases, in reference order.
    public let contigLengths: [Int]
    private let limits: Limits
    private let firstBinOfContig: [Int]
    let binCount: Int
    private let state = NSCondition()
    private var writers: [ReadStoreWriter] = []
    private lazy var sharedWriter = makeWriter()
    private var chunks: [StoreChunk] = []
    /// Bytes of `chunks` and of those that are being spilled.
    private var chunkBytes = 0
    private var heldBytes = 0
    private var spilling = 0
    private var spillFile: SpillFile?
    private var runs: [SpilledRun] = []
    private var isClosed = false
    private var orderedBins: OrderedBins?
    private var spilledBins: SpilledBins?
    private var covered: [UInt64] = []
    private var longestRead = 0
    public var isSealed: Bool { orderedBins != nil || spilledBins != nil }

    public init(contigLengths: [Int], limits: Limits = Limits()) {
        self.contigLengths = contigLengths
        self.limits = limits
        var first: [Int] = []
        var total = 0
        for length in contigLengths {
            first.append(total)
            total += length / Self.binSpan + 1
        }
        firstBinOfContig = first
        binCount = total
    }

    // MARK: Appending

    private func makeWriter() -> ReadStoreWriter {
        // All open chunks together stay small beside the budget.
        let most = min(16 << 20, max(64 << 10, limits.memory / (16 * limits.threads)))
        let writer = ReadStoreWriter(
            store: self, chunkBytes: (min(256 << 10, most), most), stretches: binCount * (Self.binSpan / Self.stretch))
        writers.append(writer)
        return writer
    }

    private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        state.lock()
        defer { state.unlock() }
        return try body()
    }

    /// How one more thread appends.
    package func addWriter() -> ReadStoreWriter {
        locked {
            precondition(!isClosed)
            return makeWriter()
        }
    }

    /// The bin of a read, and its place in it. The header's contig and position must lie inside the reference.
    @inline(__always)
    func bin(_ header: AlignedReadHeader) -> (bin: Int, place: Int) {
        let position = Int(header.position)
        precondition(position >= 0 && position < contigLengths[Int(header.contig)])
        return (firstBinOfContig[Int(header.contig)] + position / Self.binSpan, position % Self.binSpan)
    }

    /// Appends one mapped read. Safe from many threads; the order of calls does not matter after sealing.
    ///
    /// The header's contig and position must lie inside the reference, and its end is where the CIGAR ends, one behind
    /// the position without a CIGAR.
    /// - Throws: `Failure` when memory is full and nothing can be spilled.
    public func append(
        _ header: AlignedReadHeader, cigar: UnsafeBufferPointer<UInt32>, bases: UnsafeBufferPointer<UInt8>,
        qualities: UnsafeBufferPointer<UInt8>
    ) throws {
        precondition(cigar.count == Int(header.cigarCount) && bases.count == Int(header.baseCount))
        precondition(qualities.count == bases.count && header.attachmentCount == 0)
        appending.lock()
        defer { appending.unlock() }
        let writer = locked { sharedWriter }
        try writer.append(
            header, cigar: cigar, bases: bases.baseAddress, qualities: qualities.baseAddress, isBackward: false,
            attachment: nil)
    }

    /// Serves the writer that ``append(_:cigar:bases:qualities:)`` shares among threads.
    private let appending = NSLock()

    /// Takes a full chunk. When half of the budget is full, of which at least a quarter waits, the caller spills what
    /// waits; when all of it is full and others spill, the caller waits for them.
    func take(_ chunk: StoreChunk) throws {
        let due: [StoreChunk] = locked {
            chunks.append(chunk)
            chunkBytes += chunk.heldBytes
            heldBytes += chunk.heldBytes
            guard heldBytes > limits.memory / 2, chunkBytes >= limits.memory / 4 else { return [] }
            return takeChunks()
        }
        if !due.isEmpty { try spill(due) }
        locked { while heldBytes > limits.memory && spilling > 0 { state.wait() } }
    }

    /// The chunks that wait, for a run that the caller is to write. Called under the lock.
    private func takeChunks() -> [StoreChunk] {
        defer {
            chunks = []
            chunkBytes = 0
            spilling += 1
        }
        return chunks
    }

    private func spill(_ due: [StoreChunk]) throws {
        defer {
            locked {
                heldBytes -= due.reduce(0) { $0 + $1.heldBytes }
                spilling -= 1
                state.broadcast()
            }
        }
        let file = try locked {
            let file = try spillFile ?? SpillFile(directory: limits.spillDirectory)
            spillFile = file
            return file
        }
        let run = try SpilledRun(due, binCount: binCount, partitions: partitions, file: file)
        locked { runs.append(run) }
    }

    // MARK: Signatures

    private var partitions: SignaturePartitions {
        SignaturePartitions(contigLengths: contigLengths, firstBinOfContig: firstBinOfContig, binCount: binCount)
    }

    /// Ordinals of the reads that are duplicates, by the signatures that were appended. Nothing can be appended any
    /// more.
    package func markDuplicates(threads: Int) throws -> OrdinalSet {
        try close(threads: threads)
        let found = Mutex(OrdinalSet())
        let source = SignatureSource(chunks: chunks, runs: runs, file: spillFile, partitions: partitions)
        // A part and its sorted copies fit in a thread's share of half the budget.
        let parts = source.parts(atLeast: 4 * threads, mostBytes: max(1 << 20, limits.memory / (8 * threads)))
        try inParallel(
            parts.count, threads: threads,
            throwing: { part in
                let duplicates = try source.duplicates(parts[part])
                found.withLock { for ordinal in duplicates { $0.insert(ordinal) } }
            })
        for chunk in chunks { chunk.dropSignatures() }
        return found.withLock { $0 }
    }

    // MARK: Sealing

    /// Takes what writers have open; when there are runs already, what is left becomes runs too, one on each thread.
    private func close(threads: Int) throws {
        if isClosed { return }
        isClosed = true
        for writer in writers {
            if let chunk = writer.finish() {
                chunks.append(chunk)
                heldBytes += chunk.heldBytes
            }
            longestRead = max(longestRead, writer.longestRead)
            if covered.isEmpty { covered = [UInt64](repeating: 0, count: writer.covered.count) }
            for word in covered.indices { covered[word] |= writer.covered[word] }
        }
        guard spillFile != nil else { return }
        let rest = takeChunks()
        let runs = min(threads, rest.count)
        spilling = runs
        try inParallel(
            runs, threads: threads,
            throwing: { [self] run in
                try spill(Array(rest[run * rest.count / runs..<(run + 1) * rest.count / runs]))
            })
    }

    /// Orders every bin and flags the reads for whose ordinal `isDuplicate` answers true.
    ///
    /// - Throws: `Failure` when reads cannot be spilled.
    public func seal(
        threads: Int = 1, isDuplicate: @escaping @Sendable (UInt64) -> Bool = { _ in false }
    ) throws {
        precondition(!isSealed)
        try close(threads: threads)
        if let spillFile {
            spilledBins = SpilledBins(
                file: spillFile, runs: runs, binCount: binCount, memory: limits.memory / 2,
                leastBins: 2 * threads + 2, isDuplicate: isDuplicate)
            runs = []
        } else {
            orderedBins = OrderedBins(chunks, binCount: binCount, threads: threads, isDuplicate: isDuplicate)
        }
    }

    // MARK: Reading

    /// Calls `body` for each read whose alignment overlaps `range` of `contig`, by (position, ordinal), if it starts at
    /// most `maximumSpan` left of the range. Supplementary alignments are shown to who asks for them. Safe from many
    /// threads at once.
    ///
    /// - Throws: `Failure` when spilled reads cannot be read back.
    public func forEachRead(
        contig: Int, overlapping range: Range<Int>, maximumSpan: Int = ReadStore.maximumSpan,
        includingSupplementary: Bool = false, _ body: (AlignedReadView) -> Void
    ) throws {
        try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(1, 2 * longestRead)) { letters in
            try withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 1) { operation in
                let scratch = StoredRead.Scratch(
                    operation: operation.baseAddress.unsafelyUnwrapped, letters: letters.baseAddress.unsafelyUnwrapped)
                try forEachNote(contig: contig, overlapping: range, maximumSpan) { note, span in
                    let stored = note.record.load(as: StoredRead.self)
                    if stored.isSupplementary && !includingSupplementary { return }
                    let header = stored.header(
                        at: note.record, contig: Int32(contig), span: span, isDuplicate: note.isDuplicate)
                    body(stored.view(header, at: note.record, scratch))
                }
            }
        }
    }

    /// As ``forEachRead(contig:overlapping:maximumSpan:includingSupplementary:_:)`` without CIGAR, bases, qualities and
    /// supplementary alignments.
    public func forEachHeader(
        contig: Int, overlapping range: Range<Int>, _ body: (AlignedReadHeader) -> Void
    ) throws {
        try forEachNote(contig: contig, overlapping: range, Self.maximumSpan) { note, span in
            let stored = note.record.load(as: StoredRead.self)
            if stored.isSupplementary { return }
            body(
                stored.header(at: note.record, contig: Int32(contig), span: span, isDuplicate: note.isDuplicate))
        }
    }

    @inline(__always)
    private func forEachNote(
        contig: Int, overlapping range: Range<Int>, _ maximumSpan: Int, _ body: (ReadNote, _ span: Int) -> Void
    ) throws {
        precondition(isSealed)
        guard !range.isEmpty, contigLengths[contig] > 0 else { return }
        let from = max(0, range.lowerBound - maximumSpan)
        let lastBin = min(range.upperBound - 1, contigLengths[contig] - 1) / Self.binSpan
        guard from / Self.binSpan <= lastBin else { return }
        for index in (from / Self.binSpan)...lastBin {
            let bin = try bin(firstBinOfContig[contig] + index)
            let here = bin.notes
            let start = index * Self.binSpan
            let least = max(from, range.lowerBound - bin.longestSpan) - start
            var low = 0
            var high = bin.count
            while low < high {
                let middle = (low + high) / 2
                if here[middle].place < least { low = middle + 1 } else { high = middle }
            }
            for rank in low..<bin.count {
                let note = here[rank]
                let position = start + note.place
                if position >= range.upperBound { break }
                if rank + Self.recordsAhead < bin.count {
                    ck_prefetch_bytes(here[rank + Self.recordsAhead].record, Self.bytesAhead)
                }
                let span = note.span
                if position + span <= range.lowerBound { continue }
                body(note, span)
            }
            withExtendedLifetime(bin.owner) {}
        }
    }

    @inline(__always)
    private func bin(_ bin: Int) throws -> ReadBin {
        if let orderedBins { return orderedBins[bin] }
        return try spilledBins.unsafelyUnwrapped.bin(bin)
    }

    /// Records lie in the order in which reads were mapped, so those to come are asked for in time.
    private static let recordsAhead = 6
    private static let bytesAhead = 256

    /// Whether ``forEachRead(contig:overlapping:maximumSpan:includingSupplementary:_:)`` would find an alignment of any
    /// kind, in steps of ``stretch`` bases; quick.
    public func hasReads(contig: Int, overlapping range: Range<Int>) -> Bool {
        precondition(isSealed)
        guard !range.isEmpty, !covered.isEmpty, range.lowerBound < contigLengths[contig] else { return false }
        let first = firstBinOfContig[contig] * (Self.binSpan / Self.stretch)
        let last = min(range.upperBound - 1, contigLengths[contig] - 1)
        return (first + range.lowerBound / Self.stretch...first + last / Self.stretch).contains {
            covered[$0 / 64] >> UInt64($0 % 64) & 1 == 1
        }
    }

    // MARK: Figures

    /// Number of stored alignments. While reads are being appended, the figure of some moment.
    public var count: Int { locked { writers.reduce(0) { $0 + $1.count } } }

    /// Bytes of memory that hold records and the notes of them, what is read back from a spill file apart.
    public var byteCount: Int { locked { chunks.reduce(0) { $0 + $1.usedBytes } + (orderedBins?.byteCount ?? 0) } }

    /// Bytes that were spilled.
    public var spilledBytes: Int { locked { spillFile?.byteCount ?? 0 } }

    /// The file of spilled reads, for a test that looks into it or damages it.
    package func withSpillFile<Result>(_ body: (_ descriptor: Int32) throws -> Result) rethrows -> Result? {
        try spillFile?.withDescriptor(body)
    }
}
