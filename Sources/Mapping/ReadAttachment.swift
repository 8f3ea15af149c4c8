import CKernels
public import GenomicFormats

/// What SAM says of a read beyond its own alignment, kept behind a stored read when alignments are to be written: the
/// mate's mapping quality and CIGAR, the read group, the read's other alignments when it lies in parts, and the read's
/// name. Borrowed memory, as the ``AlignedReadView`` it belongs to.
public struct ReadAttachment {
    // The mate's mapping quality, the read group, the number of the mate's CIGAR operations, the number of other parts,
    // the mate's operations, each part (`PartHeader` and operations), the name.
    private static let fixedBytes = 4
    /// Read groups that one byte tells apart.
    public static let mostReadGroups = 256

    /// One of the other alignments of a read that lies in parts.
    public struct Part {
        public let contig: Int32
        /// Leftmost reference base covered, zero-based.
        public let position: Int32
        public let editDistance: UInt16
        public let mappingQuality: UInt8
        public let isReverse: Bool
        private let operations: UnsafeRawBufferPointer

        fileprivate init(_ header: PartHeader, _ operations: UnsafeRawBufferPointer) {
            contig = header.contig
            position = header.position
            editDistance = header.editDistance
            mappingQuality = header.mappingQuality
            isReverse = header.strandAndCount & PartHeader.reverse != 0
            self.operations = operations
        }

        public var cigarCount: Int { operations.count / 4 }
        public func cigar(_ operation: Int) -> UInt32 {
            operations.loadUnaligned(fromByteOffset: 4 * operation, as: UInt32.self)
        }
    }

    fileprivate struct PartHeader: BitwiseCopyable {
        static let reverse: UInt8 = 0x80

        var contig: Int32
        var position: Int32
        var editDistance: UInt16
        var mappingQuality: UInt8
        var strandAndCount: UInt8

        var cigarBytes: Int { 4 * Int(strandAndCount & ~Self.reverse) }
    }

    private let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    public var mateMappingQuality: UInt8 { bytes.isEmpty ? 0 : bytes[0] }

    /// The place of the read group in the job's list.
    public var readGroup: Int { bytes.isEmpty ? 0 : Int(bytes[1]) }

    /// Operations of the mate's CIGAR, 0 when it is not mapped.
    public var mateCigarCount: Int { bytes.isEmpty ? 0 : Int(bytes[2]) }

    public func mateCigar(_ operation: Int) -> UInt32 {
        bytes.loadUnaligned(fromByteOffset: Self.fixedBytes + 4 * operation, as: UInt32.self)
    }

    /// How many other alignments the read has.
    public var otherPartCount: Int { bytes.isEmpty ? 0 : Int(bytes[3]) }

    /// Calls `body` for the read's other alignments, the primary one first. Returns where their bytes end.
    @discardableResult
    public func forEachOtherPart(_ body: (Part) -> Void) -> Int {
        var next = Self.fixedBytes + 4 * mateCigarCount
        for _ in 0..<otherPartCount {
            let header = bytes.loadUnaligned(fromByteOffset: next, as: PartHeader.self)
            next += MemoryLayout<PartHeader>.size
            body(Part(header, UnsafeRawBufferPointer(rebasing: bytes[next..<next + header.cigarBytes])))
            next += header.cigarBytes
        }
        return next
    }

    public var name: UnsafeRawBufferPointer {
        bytes.isEmpty ? bytes : UnsafeRawBufferPointer(rebasing: bytes[forEachOtherPart { _ in }...])
    }

    /// Makes `out` the attachment of one of the alignments of a read of a batch that has names.
    static func make(_ batch: ReadBatch, _ mapped: MappedBatch, _ read: Int, part: Int, in out: inout [UInt8]) {
        let mate = batch.isPaired ? mapped.reads[read ^ 1] : MappedRead()
        out.removeAll(keepingCapacity: true)
        out.append(mate.mappingQuality)
        out.append(UInt8(batch.readGroup))
        out.append(UInt8(mate.cigarCount))
        let parts = mapped.partCount(of: read)
        out.append(UInt8(parts - 1))
        func append(cigarOf read: MappedRead) {
            let start = Int(read.cigarStart)
            mapped.cigars.withUnsafeBytes { out.append(contentsOf: $0[4 * start..<4 * (start + Int(read.cigarCount))]) }
        }
        append(cigarOf: mate)
        for other in 0..<parts where other != part {
            let placed = mapped.part(other, of: read)
            let header = PartHeader(
                contig: placed.contig, position: placed.position, editDistance: placed.editDistance,
                mappingQuality: placed.mappingQuality,
                strandAndCount: UInt8(placed.cigarCount) | (placed.flags.contains(.reverse) ? PartHeader.reverse : 0))
            withUnsafeBytes(of: header) { out.append(contentsOf: $0) }
            append(cigarOf: placed)
        }
        batch.names!.bytes.withUnsafeBytes { out.append(contentsOf: $0[batch.nameRange(ofRead: read)]) }
    }
}

extension AlignedReadHeader {
    /// The header of one alignment of a read of a batch, without attachment.
    init(_ batch: ReadBatch, _ placed: MappedRead, _ read: Int) {
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
    /// Calls `body` for every alignment of a batch that has names, reads that are not mapped included, in input order
    /// and supplementary alignments behind the primary one, as a store would show it.
    public func forEachAlignment(of batch: ReadBatch, _ body: (AlignedReadView) -> Void) {
        var attachment: [UInt8] = []
        var turned: [UInt8] = []
        for read in 0..<batch.readCount {
            for part in 0..<partCount(of: read) {
                ReadAttachment.make(batch, self, read, part: part, in: &attachment)
                show(self.part(part, of: read), of: batch, read, attachment, &turned, body)
            }
        }
    }

    /// Calls `body` for one alignment; `turned` is room for a read of the reverse strand.
    private func show(
        _ placed: MappedRead, of batch: ReadBatch, _ read: Int, _ attachment: [UInt8], _ turned: inout [UInt8],
        _ body: (AlignedReadView) -> Void
    ) {
        let header = AlignedReadHeader(batch, placed, read)
        let range = batch.range(ofRead: read)
        func show(_ bases: UnsafeBufferPointer<UInt8>, _ qualities: UnsafeBufferPointer<UInt8>) {
            cigars.withUnsafeBufferPointer { cigars in
                attachment.withUnsafeBytes { attachment in
                    let start = Int(placed.cigarStart)
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
