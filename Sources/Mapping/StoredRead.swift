import CKernels

/// The record of one read in the store: a header of 32 bytes, the CIGAR unless it is one match over the whole read,
/// then a byte for each base with its quality (`basequal.h`), or two where some quality has no packed form. A record with
/// a ``ReadAttachment`` has ``Supplement`` behind the header and the attachment at its end. Records begin at multiples
/// of 8. The contig is not in it: records are found by bin.
struct StoredRead: BitwiseCopyable {
    private static let wide: UInt8 = 1
    private static let oneMatch: UInt8 = 2
    private static let attached: UInt8 = 4

    /// What only alignments that are to be written need of the header.
    private struct Supplement: BitwiseCopyable {
        var score: Int16
        var secondScore: Int16
        var attachmentCount: UInt16
        var unused: UInt16 = 0
    }

    private static let supplementBytes = MemoryLayout<Supplement>.stride

    static let headerBytes = MemoryLayout<StoredRead>.stride
    /// Ordinals have 48 bits in records and in notes of them.
    static let ordinalLimit: UInt64 = 1 << 48

    private var ordinalLow: UInt32
    private var ordinalHigh: UInt16
    private var flags: UInt16
    private(set) var position: Int32
    private var mateContig: Int32
    private var matePosition: Int32
    private var templateLength: Int32
    private var baseCount: UInt16
    private var cigarCount: UInt16
    private var editDistance: UInt16
    private var mappingQuality: UInt8
    private var form: UInt8

    /// Bytes that a record may need at most.
    static func mostBytes(_ header: AlignedReadHeader) -> Int {
        align(
            headerBytes + 4 * Int(header.cigarCount) + 2 * Int(header.baseCount)
                + (header.attachmentCount > 0 ? supplementBytes + Int(header.attachmentCount) : 0))
    }

    private static func align(_ bytes: Int) -> Int { (bytes + 7) & ~7 }

    /// Reference bases that a CIGAR covers; a read without one counts as one base long (SAMv1 section 4.2.1).
    static func span(_ cigar: UnsafeBufferPointer<UInt32>) -> Int {
        if cigar.isEmpty { return 1 }
        // Bits of M, D, N, = and X.
        return cigar.reduce(0) { $0 + (0b1_1000_1101 >> ($1 & 0xF) & 1 == 1 ? Int($1 >> 4) : 0) }
    }

    /// Writes a record and returns its bytes. `isBackward` says that bases and qualities are as sequenced, from the
    /// reverse strand, and are to be turned round; the attachment has the header's `attachmentCount` bytes.
    @inline(__always)
    static func write(
        _ header: AlignedReadHeader, cigar: UnsafeBufferPointer<UInt32>, bases: UnsafePointer<UInt8>?,
        qualities: UnsafePointer<UInt8>?, isBackward: Bool, attachment: UnsafeRawPointer?,
        to record: UnsafeMutableRawPointer
    ) -> Int {
        let length = Int(header.baseCount)
        let isOneMatch = cigar.count == 1 && cigar[0] == UInt32(length) << 4
        var next = headerBytes
        let isAttached = header.attachmentCount > 0
        if isAttached {
            (record + next).storeBytes(
                of: Supplement(
                    score: header.score, secondScore: header.secondScore, attachmentCount: header.attachmentCount),
                as: Supplement.self)
            next += supplementBytes
        }
        if !isOneMatch, let source = cigar.baseAddress {
            (record + next).copyMemory(from: source, byteCount: 4 * cigar.count)
            next += 4 * cigar.count
        }
        var isWide = false
        if length > 0, let bases, let qualities {
            let out = (record + next).assumingMemoryBound(to: UInt8.self)
            let fits =
                isBackward
                ? ck_pack_basequal_reverse(bases, qualities, length, out)
                : ck_pack_basequal(bases, qualities, length, out)
            isWide = !fits
            if isWide {
                if isBackward {
                    ck_reverse_complement(bases, length, out)
                    ck_reverse_bytes(qualities, length, out + length)
                } else {
                    out.update(from: bases, count: length)
                    (out + length).update(from: qualities, count: length)
                }
            }
        }
        next += isWide ? 2 * length : length
        if isAttached, let attachment {
            (record + next).copyMemory(from: attachment, byteCount: Int(header.attachmentCount))
            next += Int(header.attachmentCount)
        }
        record.storeBytes(
            of: StoredRead(
                ordinalLow: UInt32(truncatingIfNeeded: header.ordinal), ordinalHigh: UInt16(header.ordinal >> 32),
                flags: header.flags.rawValue, position: header.position, mateContig: header.mateContig,
                matePosition: header.matePosition, templateLength: header.templateLength, baseCount: header.baseCount,
                cigarCount: header.cigarCount, editDistance: header.editDistance,
                mappingQuality: header.mappingQuality,
                form: (isWide ? wide : 0) | (isOneMatch ? oneMatch : 0) | (isAttached ? attached : 0)),
            as: StoredRead.self)
        return align(next)
    }

    var isSupplementary: Bool { AlignmentFlags(rawValue: flags).contains(.supplementary) }

    /// The order of two alignments of one read that begin at the same place: the primary one first, then by strand and
    /// by the clip that they begin with.
    static func isBefore(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer) -> Bool {
        func key(_ record: UnsafeRawPointer) -> (UInt16, UInt32) {
            let stored = record.load(as: StoredRead.self)
            return (stored.flags, stored.storedCigar(at: record).first ?? 0)
        }
        return key(a) < key(b)
    }

    var ordinal: UInt64 { UInt64(ordinalHigh) << 32 | UInt64(ordinalLow) }

    private var storedOperations: Int { form & Self.oneMatch != 0 ? 0 : Int(cigarCount) }

    /// Offset of the CIGAR.
    private var fixedBytes: Int { Self.headerBytes + (form & Self.attached != 0 ? Self.supplementBytes : 0) }
    /// Offset of the attachment, or of what fills the record up.
    private var attachmentOffset: Int {
        fixedBytes + 4 * storedOperations + (form & Self.wide != 0 ? 2 : 1) * Int(baseCount)
    }

    private func supplement(at record: UnsafeRawPointer) -> Supplement {
        guard form & Self.attached != 0 else { return Supplement(score: 0, secondScore: 0, attachmentCount: 0) }
        return record.load(fromByteOffset: Self.headerBytes, as: Supplement.self)
    }

    /// Bytes of the whole record at `record`, whose header this is.
    func byteCount(at record: UnsafeRawPointer) -> Int {
        Self.align(attachmentOffset + Int(supplement(at: record).attachmentCount))
    }

    /// Reference bases that the alignment of the record at `record`, whose header this is, covers.
    func span(at record: UnsafeRawPointer) -> Int {
        if form & Self.oneMatch != 0 { return Int(baseCount) }
        return Self.span(storedCigar(at: record))
    }

    private func storedCigar(at record: UnsafeRawPointer) -> UnsafeBufferPointer<UInt32> {
        UnsafeBufferPointer(
            start: (record + fixedBytes).assumingMemoryBound(to: UInt32.self), count: storedOperations)
    }

    @inline(__always)
    func header(at record: UnsafeRawPointer, contig: Int32, span: Int, isDuplicate: Bool) -> AlignedReadHeader {
        let supplement = supplement(at: record)
        var flags = AlignmentFlags(rawValue: flags)
        if isDuplicate { flags.insert(.duplicate) }
        return AlignedReadHeader(
            ordinal: ordinal, contig: contig, position: position, end: position + Int32(span), mateContig: mateContig,
            matePosition: matePosition, templateLength: templateLength, flags: flags, mappingQuality: mappingQuality,
            cigarCount: cigarCount, baseCount: baseCount, editDistance: editDistance, score: supplement.score,
            secondScore: supplement.secondScore, attachmentCount: supplement.attachmentCount)
    }

    /// Room for what a view shows of one record.
    struct Scratch {
        let operation: UnsafeMutablePointer<UInt32>
        /// Room for the bases and qualities of the longest read.
        let letters: UnsafeMutablePointer<UInt8>
    }

    /// Shows the record at `record`, whose header this is; the view lives as long as `scratch` is left alone.
    @inline(__always)
    func view(_ header: AlignedReadHeader, at record: UnsafeRawPointer, _ scratch: Scratch) -> AlignedReadView {
        let count = Int(baseCount)
        var cigar = storedCigar(at: record)
        let stored = (record + fixedBytes + 4 * cigar.count).assumingMemoryBound(to: UInt8.self)
        if form & Self.oneMatch != 0 {
            scratch.operation.pointee = UInt32(count) << 4
            cigar = UnsafeBufferPointer(start: scratch.operation, count: 1)
        }
        var bases = stored
        if form & Self.wide == 0 {
            ck_unpack_basequal(stored, count, scratch.letters, scratch.letters + count)
            bases = UnsafePointer(scratch.letters)
        }
        return AlignedReadView(
            header: header, cigar: cigar, bases: UnsafeBufferPointer(start: bases, count: count),
            qualities: UnsafeBufferPointer(start: bases + count, count: count),
            attachment: ReadAttachment(
                UnsafeRawBufferPointer(start: record + attachmentOffset, count: Int(header.attachmentCount))))
    }
}

/// What a sealed store knows of one read without touching its record.
struct ReadNote: BitwiseCopyable {
    /// Position in the bin, then the ordinal: the order of a bin.
    var key: UInt64
    /// The record's address in the lower 48 bits, its span up to `longSpan`, whether it is a duplicate.
    private var word: UInt64

    /// Alignments of this span and more have theirs looked up in the record.
    private static let longSpan: UInt64 = 0x7FFF
    private static let addressBits: UInt64 = 48

    init(place: Int, ordinal: UInt64, record: UnsafeRawPointer, span: Int, isDuplicate: Bool) {
        key = UInt64(place) << 48 | ordinal
        let address = UInt64(UInt(bitPattern: record))
        precondition(address >> Self.addressBits == 0)
        word = address | min(UInt64(span), Self.longSpan) << Self.addressBits | (isDuplicate ? 1 << 63 : 0)
    }

    var place: Int { Int(key >> 48) }
    var ordinal: UInt64 { key & (StoredRead.ordinalLimit - 1) }

    var isDuplicate: Bool {
        get { word >> 63 == 1 }
        set { word = word & ~(1 << 63) | (newValue ? 1 << 63 : 0) }
    }

    var record: UnsafeRawPointer {
        UnsafeRawPointer(bitPattern: UInt(word & (1 << Self.addressBits - 1))).unsafelyUnwrapped
    }

    @inline(__always)
    var span: Int {
        let short = word >> Self.addressBits & Self.longSpan
        return short < Self.longSpan ? Int(short) : record.load(as: StoredRead.self).span(at: record)
    }
}
