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
    /// are to be turned round.
    func append(
        _ header: AlignedReadHeader, bin: UInt32, cigar: UnsafePointer<UInt32>?, bases: UnsafePointer<UInt8>?,
        qualities: UnsafePointer<UInt8>?, isBackward: Bool
    ) {
        let (operations, length) = (Int(header.cigarCount), Int(header.baseCount))
        let size = (Self.headerBytes + 4 * operations + 2 * length + 7) / 8 * 8
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
    func append(_ batch: ReadBatch, _ mapped: MappedBatch, in store: ReadStore) {
        batch.bases.withUnsafeBufferPointer { bases in
            batch.qualities.withUnsafeBufferPointer { qualities in
                mapped.cigars.withUnsafeBufferPointer { cigars in
                    for read in 0..<batch.readCount {
                        let placed = mapped.reads[read]
                        guard placed.isMapped else { continue }
                        let range = batch.range(ofRead: read)
                        let header = AlignedReadHeader(
                            ordinal: batch.firstOrdinal + UInt64(read), contig: placed.contig,
                            position: placed.position, end: placed.end, mateContig: placed.mateContig,
                            matePosition: placed.matePosition, templateLength: placed.templateLength,
                            flags: placed.flags, mappingQuality: placed.mappingQuality,
                            cigarCount: placed.cigarCount, baseCount: UInt16(range.count),
                            editDistance: placed.editDistance)
                        append(
                            header, bin: store.bin(header), cigar: cigars.baseAddress! + Int(placed.cigarStart),
                            bases: bases.baseAddress! + range.lowerBound,
                            qualities: qualities.baseAddress! + range.lowerBound,
                            isBackward: placed.flags.contains(.reverse))
                    }
                }
            }
        }
    }
}
