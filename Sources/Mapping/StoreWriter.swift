import CKernels
import GenomicFormats

/// The records of one thread, end to end in blocks of memory that grow with their number.
final class ReadStoreWriter: @unchecked Sendable {
    // Belongs to one thread until the store is sealed; only read afterwards.

    private static let headerBytes = MemoryLayout<AlignedReadHeader>.stride
    private static let blockBytes = (least: 256 << 10, most: 32 << 20)
    private static let notesPerBlock = 32 << 10

    private var blocks: [LargeBuffer<UInt8>] = []
    private var used = 0
    private var capacity = 0
    private var noteBlocks: [LargeBuffer<ReadStore.Note>] = []
    private var noteCapacity = 0
    private(set) var count = 0

    /// Bytes of the blocks of records.
    var byteCount: Int { blocks.reduce(0) { $0 + $1.byteCount } }

    /// Appends one record. `isBackward` says that bases and qualities are as sequenced, from the reverse strand, and
    /// are to be turned round; the attachment has the header's `attachmentCount` bytes.
    func append(
        _ header: AlignedReadHeader, bin: UInt32, cigar: UnsafePointer<UInt32>?, bases: UnsafePointer<UInt8>?,
        qualities: UnsafePointer<UInt8>?, isBackward: Bool,
        attachment: UnsafeRawPointer?
    ) {
        let (operations, length) = (Int(header.cigarCount), Int(header.baseCount))
        let attached = Int(header.attachmentCount)
        let size = (Self.headerBytes + 4 * operations + 2 * length + attached + 7) / 8 * 8
        if used + size > capacity { addBlock(size) }
        let record = UnsafeMutableRawPointer(blocks[blocks.count - 1].pointer + used)
        used += size
        record.storeBytes(of: header, as: AlignedReadHeader.self)
        var next = record + Self.headerBytes
        if let cigar { next.copyMemory(from: cigar, byteCount: 4 * operations) }
        next += 4 * operations
        if let bases, let qualities {
            let ownBases = next.assumingMemoryBound(to: UInt8.self)
            if isBackward {
                ck_reverse_complement(bases, length, ownBases)
                ck_reverse_bytes(qualities, length, ownBases + length)
            } else {
                ownBases.update(from: bases, count: length)
                (ownBases + length).update(from: qualities, count: length)
            }
        }
        if let attachment { (next + 2 * length).copyMemory(from: attachment, byteCount: attached) }
        if count == noteCapacity {
            noteBlocks.append(LargeBuffer(count: Self.notesPerBlock))
            noteCapacity += Self.notesPerBlock
        }
        noteBlocks[noteBlocks.count - 1].pointer[count % Self.notesPerBlock] = ReadStore.Note(
            ordinal: header.ordinal, record: record, position: header.position, bin: bin,
            span: UInt32(max(0, header.end - header.position)), isDuplicate: false)
        count += 1
    }

    private func addBlock(_ size: Int) {
        let wanted = min(Self.blockBytes.most, max(Self.blockBytes.least, 2 * capacity))
        blocks.append(LargeBuffer(count: max(size, wanted)))
        capacity = blocks[blocks.count - 1].count
        used = 0
    }

    func forEachNote(_ body: (ReadStore.Note) -> Void) {
        var left = count
        for block in noteBlocks {
            for i in 0..<min(left, Self.notesPerBlock) { body(block.pointer[i]) }
            left -= min(left, Self.notesPerBlock)
        }
    }

    func dropNotes() { noteBlocks = [] }
}

extension ReadStoreWriter {
    /// Appends the mapped reads of a batch, in reference orientation.
    ///
    /// - Parameter whole: with attachments, as alignments that are to be written need.
    func append(_ batch: ReadBatch, _ mapped: MappedBatch, in store: ReadStore, whole: Bool) {
        var attachment: [UInt8] = []
        for read in 0..<batch.readCount where mapped.reads[read].isMapped {
            if whole { ReadAttachment.make(batch, mapped, read, in: &attachment) }
            append(AlignedReadHeader(batch, mapped, read), batch, mapped, read, attachment, in: store)
        }
    }

    /// Appends one read of a batch at the place that the header names.
    func append(
        _ header: AlignedReadHeader, _ batch: ReadBatch, _ mapped: MappedBatch, _ read: Int, _ attachment: [UInt8],
        in store: ReadStore
    ) {
        let start = batch.range(ofRead: read).lowerBound
        var header = header
        header.attachmentCount = UInt16(attachment.count)
        batch.bases.withUnsafeBufferPointer { bases in
            batch.qualities.withUnsafeBufferPointer { qualities in
                mapped.cigars.withUnsafeBufferPointer { cigars in
                    attachment.withUnsafeBytes {
                        append(
                            header, bin: store.bin(header),
                            cigar: cigars.baseAddress.map { $0 + Int(mapped.reads[read].cigarStart) },
                            bases: bases.baseAddress.map { $0 + start },
                            qualities: qualities.baseAddress.map { $0 + start },
                            isBackward: header.flags.contains(.reverse), attachment: $0.baseAddress)
                    }
                }
            }
        }
    }
}
