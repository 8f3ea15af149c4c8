public import Compression
public import GenomicFormats
public import Mapping
import Threads

/// Writes the alignments of a finished mapping run as BAM in the order of their coordinates, with an index.
///
/// Reads of one position are in the order of the input. A read that maps nowhere follows the place of its mate; those
/// whose mates map nowhere either come last. The bytes depend on reads, reference and header alone.
public struct BAMWriter: Sendable {
    /// Read ordinals in one piece of the reads without place.
    private static let ordinalsPerPiece: UInt64 = 16_384

    private let header: AlignmentHeader
    private let genome: ReferenceGenome
    private let threads: Int

    public init(header: AlignmentHeader, genome: ReferenceGenome, threads: Int = 1) {
        self.header = header
        self.genome = genome
        self.threads = max(1, threads)
    }

    /// What one thread encodes at a time.
    private enum Piece {
        case bases(contig: Int, range: Range<Int>)
        case ordinals(Range<UInt64>)
    }

    /// - Parameters:
    ///   - run: a run that kept alignments.
    ///   - sink: receives the compressed file in order.
    /// - Throws: `Failure` when spilled reads cannot be read back, and what `sink` throws.
    public func write(_ run: MappingRun.Result, sink: @escaping ByteSink) throws -> AlignmentIndex {
        guard let unmapped = run.unmapped else { preconditionFailure("the run kept no alignments") }
        let file = BGZFWriter(level: .fast, threads: threads, sink: sink)
        var index = BAMIndexBuilder(contigLengths: genome.contigs.map(\.length))
        try file.write(BAMFormatter.head(header))
        let pieces = pieces(reads: run.metrics.reads)
        let encoded = (0..<2 * threads).map { _ in EncodedPiece() }
        let formatters = Workers(threads) { BAMFormatter(header: header, genome: genome) }
        for first in stride(from: 0, to: pieces.count, by: encoded.count) {
            let count = min(encoded.count, pieces.count - first)
            let failure = formatters.forEach(count) { formatter, item in
                try encode(pieces[first + item], run.store, unmapped, with: formatter, to: encoded[item])
            }
            if let failure { throw failure.error }
            for piece in encoded[..<count] {
                try piece.forEachRun { records, bytes in
                    var offset = file.inputBytes
                    for record in records {
                        index.add(record, at: offset)
                        offset += Int(record.size)
                    }
                    try file.write(bytes)
                }
            }
        }
        try file.finish()
        return index.finish(file)
    }

    private func pieces(reads: Int) -> [Piece] {
        var pieces: [Piece] = []
        for (contig, entry) in genome.contigs.enumerated() {
            for start in stride(from: 0, to: entry.length, by: ReadStore.binSpan) {
                pieces.append(.bases(contig: contig, range: start..<min(entry.length, start + ReadStore.binSpan)))
            }
        }
        for start in stride(from: 0, to: UInt64(reads), by: Int(Self.ordinalsPerPiece)) {
            pieces.append(.ordinals(start..<min(UInt64(reads), start + Self.ordinalsPerPiece)))
        }
        return pieces
    }

    private func encode(
        _ piece: Piece, _ store: ReadStore, _ unmapped: UnmappedReads, with formatter: BAMFormatter, to out: EncodedPiece
    ) throws {
        out.removeAll()
        switch piece {
        case .ordinals(let range): try unmapped.forEachRead(ordinals: range) { out.mapped.append($0, with: formatter) }
        case .bases(let contig, let range):
            try unmapped.forEachRead(contig: contig, at: range) { out.unmapped.append($0, with: formatter) }
            try store.forEachRead(
                contig: contig, overlapping: range, maximumSpan: 0, includingSupplementary: true
            ) { view in
                if Int(view.header.position) >= range.lowerBound { out.mapped.append(view, with: formatter) }
            }
        }
    }
}

/// Records of one kind, end to end in order. Encoded by one thread, then read by the writing one.
private final class RecordRun: @unchecked Sendable {
    let bytes = ByteBuffer(capacity: 1 << 16)
    private(set) var records: [RecordPlace] = []

    func removeAll() {
        bytes.removeAll()
        records.removeAll(keepingCapacity: true)
    }

    func append(_ view: AlignedReadView, with formatter: BAMFormatter) {
        let start = bytes.count
        formatter.append(view, to: bytes)
        let place = AlignmentEncoder.place(view.header)
        let isMapped = view.header.contig >= 0
        records.append(
            RecordPlace(
                contig: place.contig, position: place.position, last: isMapped ? view.header.end - 1 : place.position,
                isMapped: isMapped, size: UInt32(bytes.count - start), ordinal: view.header.ordinal))
    }
}

/// The records of one piece: mapped reads, and reads that lie there by the places of their mates.
private final class EncodedPiece: Sendable {
    let mapped = RecordRun()
    let unmapped = RecordRun()

    func removeAll() {
        mapped.removeAll()
        unmapped.removeAll()
    }

    /// Calls `body` for the records in the order of (position, ordinal), as many at a time as lie end to end.
    func forEachRun(_ body: (ArraySlice<RecordPlace>, UnsafeRawBufferPointer) throws -> Void) rethrows {
        var (next, offset) = (0, 0)
        func give(_ run: RecordRun, _ records: Range<Int>, from start: Int) throws -> Int {
            let slice = run.records[records]
            let end = slice.reduce(start) { $0 + Int($1.size) }
            if !slice.isEmpty { try body(slice, UnsafeRawBufferPointer(rebasing: run.bytes.bytes[start..<end])) }
            return end
        }
        var (placed, placedOffset) = (0, 0)
        for (index, record) in unmapped.records.enumerated() {
            var end = next
            while end < mapped.records.count, mapped.records[end] < record { end += 1 }
            guard end > next else { continue }
            placedOffset = try give(unmapped, placed..<index, from: placedOffset)
            placed = index
            offset = try give(mapped, next..<end, from: offset)
            next = end
        }
        _ = try give(unmapped, placed..<unmapped.records.count, from: placedOffset)
        _ = try give(mapped, next..<mapped.records.count, from: offset)
    }
}
