/// What duplicate marking needs to know of one mapped template (a pair, or a read whose mate is not mapped).
///
/// The rules are Picard MarkDuplicates': templates are duplicates when the unclipped 5' ends of both mates and their
/// strands agree; the highest sum of base qualities of at least 15 stays; a read without mapped mate is a duplicate of
/// any pair that has an end in the same place on the same strand. Ties stay with the lowest ordinal.
public struct TemplateSignature: Sendable, Hashable {
    /// The end that comes first in the reference (contig, unclipped 5' position, strand), and the other one; `noEnd`
    /// when the template has one mapped read.
    var first: UInt64
    var second: UInt64
    /// Sum of base qualities of at least 15.
    var quality: UInt32
    /// The mapped reads are `ordinal` and, for a pair, `ordinal + 1`.
    var ordinal: UInt64

    static let noEnd = UInt64.max

    /// One end as a number that orders by contig, position, strand. Positions may be negative by less than 2^20.
    static func end(contig: Int32, unclipped5Prime: Int, isReverse: Bool) -> UInt64 {
        UInt64(contig) << 40 | UInt64(unclipped5Prime + 1 << 20) << 1 | (isReverse ? 1 : 0)
    }

    /// A read whose mate is not mapped, or that has none.
    public init(fragment end: UInt64, quality: UInt32, ordinal: UInt64) {
        first = end
        second = Self.noEnd
        self.quality = quality
        self.ordinal = ordinal
    }

    /// A pair; `ordinal` is that of its first read.
    public init(pair a: UInt64, _ b: UInt64, quality: UInt32, ordinal: UInt64) {
        first = min(a, b)
        second = max(a, b)
        self.quality = quality
        self.ordinal = ordinal
    }

    var isPair: Bool { second != Self.noEnd }

    /// The unclipped 5' end of an alignment.
    public static func end(of read: MappedRead, cigar: ArraySlice<UInt32>) -> UInt64 {
        let isReverse = read.flags.contains(.reverse)
        let outer = CigarOperation(rawValue: (isReverse ? cigar.last : cigar.first) ?? 0)
        let clip = outer.kind == .softClip ? outer.length : 0
        let position = isReverse ? Int(read.end) - 1 + clip : Int(read.position) - clip
        return end(contig: read.contig, unclipped5Prime: position, isReverse: isReverse)
    }

    /// Ordinals of the reads that are duplicates.
    public static func duplicates(_ signatures: [TemplateSignature]) -> OrdinalSet {
        var set = OrdinalSet()
        let pairs = signatures.filter(\.isPair).sorted {
            ($0.first, $0.second, $1.quality, $0.ordinal) < ($1.first, $1.second, $0.quality, $1.ordinal)
        }
        for index in pairs.indices.dropFirst()
        where pairs[index].first == pairs[index - 1].first && pairs[index].second == pairs[index - 1].second {
            set.insert(pairs[index].ordinal)
            set.insert(pairs[index].ordinal + 1)
        }
        let fragments = signatures.filter { !$0.isPair }.sorted {
            ($0.first, $1.quality, $0.ordinal) < ($1.first, $0.quality, $1.ordinal)
        }
        guard !fragments.isEmpty else { return set }
        var ends = pairs.flatMap { [$0.first, $0.second] }
        ends.sort()
        var next = 0
        for index in fragments.indices {
            let end = fragments[index].first
            while next < ends.count && ends[next] < end { next += 1 }
            let besidePair = next < ends.count && ends[next] == end
            let besideFragment = index > 0 && fragments[index - 1].first == end
            if besidePair || besideFragment { set.insert(fragments[index].ordinal) }
        }
        return set
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
