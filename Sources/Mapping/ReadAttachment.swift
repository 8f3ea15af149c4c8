import CKernels
public import GenomicFormats

/// What SAM says of a read beyond its own alignment, kept behind a stored read when alignments are to be written: the
/// mate's mapping quality and CIGAR, the read group, and the read's name. Borrowed memory, as the ``AlignedReadView`` it belongs to.
public struct ReadAttachment {
    // The mate's mapping quality, the read group, the number of the mate's CIGAR operations (16 bits), the operations, the
    // name.
    private static let fixedBytes = 4
    /// Read groups that one byte tells apart.
    public static let mostReadGroups = 256

    private let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    public var mateMappingQuality: UInt8 { bytes.isEmpty ? 0 : bytes[0] }

    /// The place of the read group in the job's list.
    public var readGroup: Int { bytes.isEmpty ? 0 : Int(bytes[1]) }

    /// Operations of the mate's CIGAR, 0 when it is not mapped.
    public var mateCigarCount: Int {
        bytes.isEmpty ? 0 : Int(bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
    }

    public func mateCigar(_ operation: Int) -> UInt32 {
        bytes.loadUnaligned(fromByteOffset: Self.fixedBytes + 4 * operation, as: UInt32.self)
    }

    public var name: UnsafeRawBufferPointer {
        bytes.isEmpty ? bytes : UnsafeRawBufferPointer(rebasing: bytes[(Self.fixedBytes + 4 * mateCigarCount)...])
    }

    /// Makes `out` the attachment of a read of a batch that has names.
    static func make(_ batch: ReadBatch, _ mapped: MappedBatch, _ read: Int, in out: inout [UInt8]) {
        let mate = batch.isPaired ? mapped.reads[read ^ 1] : MappedRead()
        out.removeAll(keepingCapacity: true)
        out.append(mate.mappingQuality)
        out.append(UInt8(batch.readGroup))
        withUnsafeBytes(of: mate.cigarCount) { out.append(contentsOf: $0) }
        let start = Int(mate.cigarStart)
        mapped.cigars.withUnsafeBytes { out.append(contentsOf: $0[4 * start..<4 * (start + Int(mate.cigarCount))]) }
        batch.names!.bytes.withUnsafeBytes { out.append(contentsOf: $0[batch.nameRange(ofRead: read)]) }
    }
}

extension AlignedReadHeader {
    /// The header of a read of a batch, without attachment.
    init(_ batch: ReadBatch, _ mapped: MappedBatch, _ read: Int) {
        let placed = mapped.reads[read]
        self.init(
            ordinal: batch.firstOrdinal + UInt64(read), contig: placed.contig, position: placed.position,
            end: placed.end, mateContig: placed.mateContig, matePosition: placed.matePosition,
            templateLength: placed.templateLength, flags: placed.flags, mappingQuality: placed.mappingQuality,
            cigarCount: placed.cigarCount, baseCount: UInt16(batch.range(ofRead: read).count),
            editDistance: placed.editDistance, score: Int16(clamping: placed.score),
            secondScore: Int16(clamping: placed.secondScore))
    }
}

extension MappedBatch {
    /// Calls `body` for every read of a batch that has names, mapped or not, in input order, as a store would show it.
    public func forEachAlignment(of batch: ReadBatch, _ body: (AlignedReadView) -> Void) {
        var attachment: [UInt8] = []
        var turned: [UInt8] = []
        for read in 0..<batch.readCount {
            ReadAttachment.make(batch, self, read, in: &attachment)
            let header = AlignedReadHeader(batch, self, read)
            let range = batch.range(ofRead: read)
            func show(_ bases: UnsafeBufferPointer<UInt8>, _ qualities: UnsafeBufferPointer<UInt8>) {
                cigars.withUnsafeBufferPointer { cigars in
                    attachment.withUnsafeBytes { attachment in
                        let start = Int(reads[read].cigarStart)
                        let own = start..<start + Int(header.cigarCount)
                        body(
                            AlignedReadView(
                                header: header, cigar: UnsafeBufferPointer(rebasing: cigars[own]), bases: bases,
                                qualities: qualities, attachment: ReadAttachment(attachment)))
                    }
                }
            }
            batch.bases.withUnsafeBufferPointer { bases in
                batch.qualities.withUnsafeBufferPointer { qualities in
                    let bases = UnsafeBufferPointer(rebasing: bases[range])
                    let qualities = UnsafeBufferPointer(rebasing: qualities[range])
                    guard header.flags.contains(.reverse), let first = bases.baseAddress else {
                        return show(bases, qualities)
                    }
                    let count = range.count
                    if turned.count < 2 * count { turned = [UInt8](repeating: 0, count: 2 * count) }
                    turned.withUnsafeMutableBufferPointer { turned in
                        let own = turned.baseAddress!
                        ck_reverse_complement(first, count, own)
                        ck_reverse_bytes(qualities.baseAddress!, count, own + count)
                        show(
                            UnsafeBufferPointer(start: own, count: count),
                            UnsafeBufferPointer(start: own + count, count: count))
                    }
                }
            }
        }
    }
}
