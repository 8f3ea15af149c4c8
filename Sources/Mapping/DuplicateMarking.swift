/// What duplicate marking needs to know of one mapped template (a pair, or a read whose mate is not mapped).
///
/// The rules are Picard MarkDuplicates': templates are duplicates when the unclipped 5' ends of both mates and their
/// strands agree; the highest sum of base qualities of at least 15 stays; a read without mapped mate is a duplicate of
/// any pair that has an end in the same place on the same strand. Ties stay with the lowest ordinal. Templates of
/// different libraries are never duplicates of each other.
public struct TemplateSignature: Sendable, Hashable, BitwiseCopyable {
    /// The end that comes first in the reference (contig, library, unclipped 5' position, strand), and the other one;
    /// `noEnd` when the template has one mapped read.
    let first: UInt64
    let second: UInt64
    private let qualityAndOrdinal: UInt64

    /// Sum of base qualities of at least 15.
    var quality: UInt64 { qualityAndOrdinal >> Self.ordinalBits }
    /// The mapped reads are `ordinal` and, for a pair, `ordinal + 1`.
    var ordinal: UInt64 { qualityAndOrdinal & (1 << Self.ordinalBits - 1) }

    static let noEnd = UInt64.max
    /// Libraries that an end can tell apart.
    public static let mostLibraries = 128
    private static let ordinalBits: UInt64 = 40
    private static let contigShift: UInt64 = 40
    private static let libraryShift: UInt64 = 33
    /// Positions may be negative by less than this.
    private static let positionOffset = 1 << 20

    /// One end as a number that orders by contig, library, position, strand.
    package static func end(contig: Int32, unclipped5Prime: Int, isReverse: Bool, library: Int = 0) -> UInt64 {
        precondition((0..<mostLibraries).contains(library))
        let place = UInt64(unclipped5Prime + positionOffset) << 1 | (isReverse ? 1 : 0)
        return UInt64(contig) << contigShift | UInt64(library) << libraryShift | place
    }

    /// The contig and unclipped 5' position of an end.
    static func place(ofEnd end: UInt64) -> (contig: Int, position: Int) {
        (Int(end >> contigShift), Int(end >> 1 & (1 << (libraryShift - 1) - 1)) - positionOffset)
    }

    private init(_ first: UInt64, _ second: UInt64, _ quality: UInt32, _ ordinal: UInt64) {
        precondition(quality >> 24 == 0 && ordinal >> Self.ordinalBits == 0)
        self.first = first
        self.second = second
        qualityAndOrdinal = UInt64(quality) << Self.ordinalBits | ordinal
    }

    /// A read whose mate is not mapped, or that has none.
    public init(fragment end: UInt64, quality: UInt32, ordinal: UInt64) {
        self.init(end, Self.noEnd, quality, ordinal)
    }

    /// A pair; `ordinal` is that of its first read.
    public init(pair a: UInt64, _ b: UInt64, quality: UInt32, ordinal: UInt64) {
        self.init(min(a, b), max(a, b), quality, ordinal)
    }

    var isPair: Bool { second != Self.noEnd }

    /// The unclipped 5' end of an alignment.
    public static func end(of read: MappedRead, cigar: ArraySlice<UInt32>, library: Int = 0) -> UInt64 {
        let isReverse = read.flags.contains(.reverse)
        let outer = CigarOperation(rawValue: (isReverse ? cigar.last : cigar.first) ?? 0)
        let clip = outer.kind == .softClip ? outer.length : 0
        let position = isReverse ? Int(read.end) - 1 + clip : Int(read.position) - clip
        return end(contig: read.contig, unclipped5Prime: position, isReverse: isReverse, library: library)
    }

    /// Ordinals of the reads that are duplicates, of templates whose first end `isJudged`. There must be every template
    /// that has an end in such a place; the others say only where pairs have ends.
    public static func duplicates(
        _ signatures: [TemplateSignature], isJudged: (UInt64) -> Bool = { _ in true }
    ) -> [UInt64] {
        var duplicates: [UInt64] = []
        let pairs = signatures.filter { $0.isPair && isJudged($0.first) }.sorted {
            ($0.first, $0.second, $1.quality, $0.ordinal) < ($1.first, $1.second, $0.quality, $1.ordinal)
        }
        for index in pairs.indices.dropFirst()
        where pairs[index].first == pairs[index - 1].first && pairs[index].second == pairs[index - 1].second {
            duplicates += [pairs[index].ordinal, pairs[index].ordinal + 1]
        }
        let fragments = signatures.filter { !$0.isPair && isJudged($0.first) }.sorted {
            ($0.first, $1.quality, $0.ordinal) < ($1.first, $0.quality, $1.ordinal)
        }
        guard !fragments.isEmpty else { return duplicates }
        var ends: [UInt64] = []
        for signature in signatures where signature.isPair { ends += [signature.first, signature.second] }
        ends.sort()
        var next = 0
        for index in fragments.indices {
            let end = fragments[index].first
            while next < ends.count && ends[next] < end { next += 1 }
            let besidePair = next < ends.count && ends[next] == end
            let besideFragment = index > 0 && fragments[index - 1].first == end
            if besidePair || besideFragment { duplicates.append(fragments[index].ordinal) }
        }
        return duplicates
    }
}

/// A set of read ordinals, one bit each.
public struct OrdinalSet: Sendable {
    private var words: [UInt64] = []
    public private(set) var count = 0

    public init() {}

    public mutating func insert(_ ordinal: UInt64) {
        let word = Int(ordinal >> 6)
        if word >= words.count { words.append(contentsOf: repeatElement(0, count: word + 1 - words.count)) }
        let bit = UInt64(1) << (ordinal & 63)
        if words[word] & bit == 0 { count += 1 }
        words[word] |= bit
    }

    public func contains(_ ordinal: UInt64) -> Bool {
        let word = Int(ordinal >> 6)
        return word < words.count && words[word] >> (ordinal & 63) & 1 == 1
    }
}
