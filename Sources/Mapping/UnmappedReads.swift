import GenomicFormats

/// Reads that map nowhere, for alignments that are to be written: beside their mates, or in input order when the mate
/// maps nowhere either.
public final class UnmappedReads: Sendable {
    /// The store knows them by the places of their mates; the others lie on one more contig, 16 ordinals to a place.
    private let store: ReadStore
    private static let ordinalsPerPlace: UInt64 = 16

    init(contigLengths: [Int], limits: ReadStore.Limits) {
        store = ReadStore(contigLengths: contigLengths + [Int(Int32.max)], limits: limits)
    }

    var byteCount: Int { store.byteCount }
    var spilledBytes: Int { store.spilledBytes }

    func addWriter() -> ReadStoreWriter { store.addWriter() }

    /// Appends the reads of a batch that map nowhere.
    ///
    /// - Throws: `Failure` when memory has no room and nothing can be spilled.
    func append(_ batch: ReadBatch, _ mapped: MappedBatch, to writer: ReadStoreWriter) throws {
        var attachment: [UInt8] = []
        for read in 0..<batch.readCount where !mapped.reads[read].isMapped {
            let unmapped = mapped.reads[read]
            var header = AlignedReadHeader(batch, unmapped, read)
            if header.mateContig >= 0 {
                (header.contig, header.position) = (header.mateContig, header.matePosition)
            } else {
                header.contig = Int32(store.contigLengths.count - 1)
                header.position = Int32(header.ordinal / Self.ordinalsPerPlace)
            }
            // A read without alignment counts as one base long (SAMv1 section 4.2.1).
            header.end = header.position + 1
            ReadAttachment.make(batch, mapped, read, part: 0, in: &attachment)
            try writer.append(header, batch, mapped, read, unmapped, attachment)
        }
    }

    func seal(threads: Int) throws { try store.seal(threads: threads) }

    /// Calls `body` for each read whose mate lies at `range` of `contig`, by (the mate's position, ordinal). Safe from
    /// many threads at once, as is ``forEachRead(ordinals:_:)``.
    ///
    /// - Throws: `Failure` when spilled reads cannot be read back.
    public func forEachRead(contig: Int, at range: Range<Int>, _ body: (AlignedReadView) -> Void) throws {
        try store.forEachRead(contig: contig, overlapping: range, maximumSpan: 0) { body(Self.withoutPlace($0)) }
    }

    /// Calls `body` for each read of these ordinals whose mate maps nowhere, or that has none, in input order.
    public func forEachRead(ordinals: Range<UInt64>, _ body: (AlignedReadView) -> Void) throws {
        guard !ordinals.isEmpty else { return }
        let places = ordinals.lowerBound / Self.ordinalsPerPlace...(ordinals.upperBound - 1) / Self.ordinalsPerPlace
        let contig = store.contigLengths.count - 1
        try store.forEachRead(
            contig: contig, overlapping: Int(places.lowerBound)..<Int(places.upperBound) + 1, maximumSpan: 0
        ) {
            if ordinals.contains($0.header.ordinal) { body(Self.withoutPlace($0)) }
        }
    }

    private static func withoutPlace(_ view: AlignedReadView) -> AlignedReadView {
        var header = view.header
        (header.contig, header.position, header.end) = (-1, -1, -1)
        return AlignedReadView(
            header: header, cigar: view.cigar, bases: view.bases, qualities: view.qualities,
            attachment: view.attachment)
    }
}
