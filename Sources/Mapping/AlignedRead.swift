/// SAM's FLAG bits, as far as the read store needs them (SAMv1 section 1.4).
public struct AlignmentFlags: OptionSet, Sendable, Hashable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let paired = AlignmentFlags(rawValue: 0x1)
    public static let properPair = AlignmentFlags(rawValue: 0x2)
    public static let unmapped = AlignmentFlags(rawValue: 0x4)
    public static let mateUnmapped = AlignmentFlags(rawValue: 0x8)
    public static let reverse = AlignmentFlags(rawValue: 0x10)
    public static let mateReverse = AlignmentFlags(rawValue: 0x20)
    public static let firstInPair = AlignmentFlags(rawValue: 0x40)
    public static let secondInPair = AlignmentFlags(rawValue: 0x80)
    public static let duplicate = AlignmentFlags(rawValue: 0x400)
    public static let supplementary = AlignmentFlags(rawValue: 0x800)
}

/// One CIGAR operation in BAM's packing: length in the upper 28 bits, operation in the lower 4.
public struct CigarOperation: Sendable, Hashable {
    public enum Kind: UInt32, Sendable {
        case match = 0  // M: bases aligned, equal or not
        case insertion = 1  // I
        case deletion = 2  // D
        case softClip = 4  // S
    }

    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public init(_ kind: Kind, _ length: Int) { rawValue = UInt32(length) << 4 | kind.rawValue }

    public var kind: Kind { Kind(rawValue: rawValue & 0xF)! }
    public var length: Int { Int(rawValue >> 4) }
}

/// The fixed part of an aligned read. Coordinates are zero-based.
public struct AlignedReadHeader: Sendable {
    /// Ordinal of the read in the input, mates counted one by one; the last tie-breaker of every order.
    public var ordinal: UInt64
    public var contig: Int32
    /// Leftmost reference base that the alignment covers (soft clips not counted).
    public var position: Int32
    /// One past the rightmost reference base that the alignment covers.
    public var end: Int32
    public var mateContig: Int32
    public var matePosition: Int32
    /// SAM's TLEN: signed observed template length, 0 when unknown.
    public var templateLength: Int32
    public var flags: AlignmentFlags
    public var mappingQuality: UInt8
    public var cigarCount: UInt16
    public var baseCount: UInt16
    public var editDistance: UInt16
    /// SAM's AS and XS, 0 when the run keeps no attachments.
    public var score: Int16
    public var secondScore: Int16
    /// Bytes of the ``ReadAttachment``, 0 when the run keeps none.
    public var attachmentCount: UInt16

    public init(
        ordinal: UInt64, contig: Int32, position: Int32, end: Int32, mateContig: Int32, matePosition: Int32,
        templateLength: Int32, flags: AlignmentFlags, mappingQuality: UInt8, cigarCount: UInt16, baseCount: UInt16,
        editDistance: UInt16, score: Int16 = 0, secondScore: Int16 = 0, attachmentCount: UInt16 = 0
    ) {
        self.ordinal = ordinal
        self.contig = contig
        self.position = position
        self.end = end
        self.mateContig = mateContig
        self.matePosition = matePosition
        self.templateLength = templateLength
        self.flags = flags
        self.mappingQuality = mappingQuality
        self.cigarCount = cigarCount
        self.baseCount = baseCount
        self.editDistance = editDistance
        self.score = score
        self.secondScore = secondScore
        self.attachmentCount = attachmentCount
    }
}

/// A borrowed view of one stored read. Valid only inside the closure that received it.
///
/// `bases` are ``GenomicFormats/BaseCode`` values and `qualities` Phred scores, both in reference orientation (reverse
/// strand reads are already reverse complemented), soft-clipped ends included.
public struct AlignedReadView {
    public let header: AlignedReadHeader
    public let cigar: UnsafeBufferPointer<UInt32>
    public let bases: UnsafeBufferPointer<UInt8>
    public let qualities: UnsafeBufferPointer<UInt8>
    public let attachment: ReadAttachment

    public init(
        header: AlignedReadHeader, cigar: UnsafeBufferPointer<UInt32>, bases: UnsafeBufferPointer<UInt8>,
        qualities: UnsafeBufferPointer<UInt8>, attachment: ReadAttachment
    ) {
        self.header = header
        self.cigar = cigar
        self.bases = bases
        self.qualities = qualities
        self.attachment = attachment
    }
}
