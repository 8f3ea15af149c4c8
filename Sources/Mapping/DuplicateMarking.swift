import CKernels
import GenomicFormats

/// What duplicate marking needs to know of one mapped template (a pair, or a read whose mate is not mapped).
///
/// The rules are those of `samtools markdup` in its default mode, on one library:
/// - Pairs are duplicates when both ends of their templates lie at the same places and their strands agree. The ends are
///   the unclipped 5' ends of both mates; of mates on the same strand, the outermost unclipped bases of both, and it
///   then matters which of the two is the first mate.
/// - The pair with the highest sum of base qualities of at least 15 stays.
/// - A read without mapped mate is a duplicate of any pair that has a read whose unclipped 5' end and strand are the
///   same; of such reads among themselves, the one with the highest sum stays.
/// - Ties stay with the template that comes first in the input. (`samtools markdup` takes the pair whose name sorts
///   first, which is the same when names count up.)
public struct TemplateSignature: Sendable, Hashable {
    /// The end that comes first in the reference (contig, place, strand), and the other one; `noEnd` when one end is
    /// all there is. Mates on the same strand have the same two strands here too: forward when the template's first
    /// mate lies as in a forward template.
    var first: UInt64
    var second: UInt64
    /// Sum of base qualities of at least 15.
    var quality: UInt32
    /// The mapped reads are `ordinal` and, for a pair, `ordinal + 1`.
    var ordinal: UInt64

    static let noEnd = UInt64.max
    /// The quality of what is no template but one end of a pair whose signature does not show it.
    private static let onlyAnEnd = UInt32.max

    var isPair: Bool { second != Self.noEnd }

    /// Whether the signature of a pair has the unclipped 5' ends of its reads.
    private var showsEnds: Bool { (first ^ second) & 1 == 1 }

    /// One end as a number that orders by contig, place, strand. Places may be negative by less than 2^20.
    private static func end(_ read: UnclippedRead, at place: Int, isReverse: Bool) -> UInt64 {
        UInt64(read.contig) << 40 | UInt64(place + 1 << 20) << 1 | (isReverse ? 1 : 0)
    }

    /// Appends the signature of the template that begins with `read`, if any of its reads is mapped.
    static func append(
        _ batch: ReadBatch, _ mapped: MappedBatch, _ read: Int, to signatures: inout [TemplateSignature]
    ) {
        let ordinal = batch.firstOrdinal + UInt64(read)
        let first = UnclippedRead(mapped, read)
        let second = batch.isPaired ? UnclippedRead(mapped, read + 1) : nil
        switch (first, second) {
        case (let a?, let b?):
            let sum = quality(batch, read) + quality(batch, read + 1)
            signatures.append(TemplateSignature(pair: a, b, quality: sum, ordinal: ordinal))
            if a.isReverse == b.isReverse {
                for one in [a, b] {
                    signatures.append(TemplateSignature(fragment: one, quality: onlyAnEnd, ordinal: ordinal))
                }
            }
        case (let a?, nil):
            signatures.append(TemplateSignature(fragment: a, quality: quality(batch, read), ordinal: ordinal))
        case (nil, let b?):
            signatures.append(TemplateSignature(fragment: b, quality: quality(batch, read + 1), ordinal: ordinal + 1))
        case (nil, nil): break
        }
    }

    private static func quality(_ batch: ReadBatch, _ read: Int) -> UInt32 {
        let range = batch.range(ofRead: read)
        return batch.qualities.withUnsafeBufferPointer {
            range.isEmpty ? 0 : ck_sum_qualities($0.baseAddress! + range.lowerBound, range.count, 15)
        }
    }

    private init(fragment read: UnclippedRead, quality: UInt32, ordinal: UInt64) {
        first = Self.end(read, at: read.fivePrime, isReverse: read.isReverse)
        second = Self.noEnd
        self.quality = quality
        self.ordinal = ordinal
    }

    /// `a` is the first mate.
    private init(pair a: UnclippedRead, _ b: UnclippedRead, quality: UInt32, ordinal: UInt64) {
        if a.isReverse == b.isReverse {
            let isFirst = (a.contig, a.fivePrime) <= (b.contig, b.fivePrime)
            let (left, right) = isFirst ? (a, b) : (b, a)
            // A forward template whose left mate is the first is, seen from the other strand, a reverse template whose
            // left mate is the second.
            let isReverse = isFirst == a.isReverse
            first = Self.end(left, at: left.start, isReverse: isReverse)
            second = Self.end(right, at: right.last, isReverse: isReverse)
        } else {
            let ends = (
                Self.end(a, at: a.fivePrime, isReverse: a.isReverse), Self.end(b, at: b.fivePrime, isReverse: b.isReverse)
            )
            first = min(ends.0, ends.1)
            second = max(ends.0, ends.1)
        }
        self.quality = quality
        self.ordinal = ordinal
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
        var ends = pairs.filter(\.showsEnds).flatMap { [$0.first, $0.second] }
        ends.sort()
        var next = 0
        for index in fragments.indices where fragments[index].quality != onlyAnEnd {
            let end = fragments[index].first
            while next < ends.count && ends[next] < end { next += 1 }
            let besidePair = next < ends.count && ends[next] == end
            let besideFragment = index > 0 && fragments[index - 1].first == end
            if besidePair || besideFragment { set.insert(fragments[index].ordinal) }
        }
        return set
    }
}

/// Where a mapped read would lie if its clipped ends were aligned; both ends are included.
private struct UnclippedRead {
    var contig: Int32
    var start: Int
    var last: Int
    var isReverse: Bool

    /// The place where sequencing began.
    var fivePrime: Int { isReverse ? last : start }

    init?(_ mapped: MappedBatch, _ read: Int) {
        let placed = mapped.reads[read]
        guard placed.isMapped else { return nil }
        func clip(_ operation: Int) -> Int {
            let operation = CigarOperation(rawValue: mapped.cigars[Int(placed.cigarStart) + operation])
            return operation.kind == .softClip ? operation.length : 0
        }
        contig = placed.contig
        start = Int(placed.position) - clip(0)
        last = Int(placed.end) - 1 + clip(Int(placed.cigarCount) - 1)
        isReverse = placed.flags.contains(.reverse)
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
