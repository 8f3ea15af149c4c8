import GenomicFormats

/// How one thread appends to a store.
package final class ReadStoreWriter: @unchecked Sendable {
    // Belongs to one thread until the store is sealed; only read afterwards.

    private unowned let store: ReadStore
    private let chunkBytes: (least: Int, most: Int)
    private var chunk: StoreChunk?
    private var nextBytes: Int
    private(set) var count = 0
    /// One bit for each stretch of ``ReadStore/stretch`` bases that has reads.
    private(set) var covered: [UInt64]
    private(set) var longestRead = 0

    init(store: ReadStore, chunkBytes: (least: Int, most: Int), stretches: Int) {
        self.store = store
        self.chunkBytes = chunkBytes
        nextBytes = chunkBytes.least
        covered = [UInt64](repeating: 0, count: (stretches + 63) / 64)
    }

    /// Appends one record. `isBackward` says that bases and qualities are as sequenced, from the reverse strand, and
    /// are to be turned round; the attachment has the header's `attachmentCount` bytes.
    ///
    /// - Throws: `Failure` when memory has no room and nothing can be spilled.
    func append(
        _ header: AlignedReadHeader, cigar: UnsafeBufferPointer<UInt32>, bases: UnsafePointer<UInt8>?,
        qualities: UnsafePointer<UInt8>?, isBackward: Bool, attachment: UnsafeRawPointer?
    ) throws {
        precondition((header.attachmentCount > 0) == (attachment != nil))
        let span = StoredRead.span(cigar)
        precondition(Int(header.end) == Int(header.position) + span, "end and CIGAR of a read disagree")
        precondition(header.ordinal < StoredRead.ordinalLimit)
        let (bin, place) = store.bin(header)
        let most = StoredRead.mostBytes(header)
        let chunk = try roomyChunk { $0.hasRoom(for: most) } ?? newChunk(atLeast: most)
        chunk.append(key: UInt64(place) << 48 | header.ordinal, bin: UInt32(bin), span: span) {
            StoredRead.write(
                header, cigar: cigar, bases: bases, qualities: qualities, isBackward: isBackward,
                attachment: attachment, to: $0)
        }
        count += 1
        longestRead = max(longestRead, Int(header.baseCount))
        let from = bin * ReadStore.binSpan + place
        let last = from + max(0, min(span - 1, ReadStore.maximumSpan))
        for stretch in from / ReadStore.stretch...last / ReadStore.stretch {
            covered[stretch / 64] |= 1 << UInt64(stretch % 64)
        }
    }

    /// Appends what duplicate marking is to know of a template.
    package func append(_ signature: TemplateSignature) throws {
        let chunk = try roomyChunk { $0.hasRoomForSignature } ?? newChunk(atLeast: StoredRead.headerBytes)
        chunk.append(signature)
    }

    /// The open chunk if it has room; otherwise it goes to the store.
    @inline(__always)
    private func roomyChunk(_ hasRoom: (StoreChunk) -> Bool) throws -> StoreChunk? {
        guard let chunk else { return nil }
        if hasRoom(chunk) { return chunk }
        self.chunk = nil
        try store.take(chunk)
        return nil
    }

    private func newChunk(atLeast bytes: Int) -> StoreChunk {
        let chunk = StoreChunk(bytes: max(bytes, nextBytes))
        nextBytes = min(2 * nextBytes, chunkBytes.most)
        self.chunk = chunk
        return chunk
    }

    /// Hands over the open chunk.
    func finish() -> StoreChunk? {
        defer { chunk = nil }
        return chunk
    }
}

extension ReadStoreWriter {
    /// Appends the alignments of a batch, in reference orientation.
    ///
    /// - Parameter whole: with attachments, as alignments that are to be written need.
    func append(_ batch: ReadBatch, _ mapped: MappedBatch, whole: Bool) throws {
        var attachment: [UInt8] = []
        for read in 0..<batch.readCount where mapped.reads[read].isMapped {
            for part in 0..<mapped.partCount(of: read) {
                if whole { ReadAttachment.make(batch, mapped, read, part: part, in: &attachment) }
                let placed = mapped.part(part, of: read)
                try append(AlignedReadHeader(batch, placed, read), batch, mapped, read, placed, attachment)
            }
        }
    }

    /// Appends one alignment of a read of a batch at the place that the header names.
    func append(
        _ header: AlignedReadHeader, _ batch: ReadBatch, _ mapped: MappedBatch, _ read: Int, _ placed: MappedRead,
        _ attachment: [UInt8]
    ) throws {
        let start = batch.range(ofRead: read).lowerBound
        let firstOperation = Int(placed.cigarStart)
        var header = header
        header.attachmentCount = UInt16(attachment.count)
        try batch.bases.withUnsafeBufferPointer { bases in
            try batch.qualities.withUnsafeBufferPointer { qualities in
                try mapped.cigars.withUnsafeBufferPointer { cigars in
                    try attachment.withUnsafeBytes {
                        try append(
                            header,
                            cigar: UnsafeBufferPointer(
                                rebasing: cigars[firstOperation..<firstOperation + Int(header.cigarCount)]),
                            bases: bases.baseAddress.map { $0 + start },
                            qualities: qualities.baseAddress.map { $0 + start },
                            isBackward: header.flags.contains(.reverse),
                            attachment: $0.isEmpty ? nil : $0.baseAddress)
                    }
                }
            }
        }
    }
}
