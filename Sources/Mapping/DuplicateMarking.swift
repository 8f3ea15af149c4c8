import CKernels
import GenomicFormats

/// What duplicate marking needs to know of one mapped template (a pair, or a read whose mate is not mapped).
///
/// The rules are those of `samtools markdup` in its default mode:
/// - Pairs are duplicates when both ends of their templates lie at the same places and their strands agree. The ends are
///   the unclipped 5' ends of both mates; of mates on the same strand, the outermost unclipped bases of both, and it
///   then matters which of the two is the first mate.
/// - The pair with the highest sum of base qualities of at least 15 stays.
/// - A read without mapped mate is a duplicate of any pair that has a read whose unclipped 5' end and strand are the
///   same; of such reads among themselves, the one with the highest sum stays.
/// - Ties stay with the template that comes first in the input. (`samtools markdup` takes the pair whose name sorts
///   first, which is the same when names count up.)
/// - Templates of different libraries are never duplicates of each other.
public struct TemplateSignature: Sendable, Hashable, BitwiseCopyable {
    /// The end that comes first in the reference (contig, library, place, strand), and the other one; `noEnd` when one
    /// end is all there is. Mates on the same strand have the same two strands here too: forward when the template's
    /// first mate lies as in a forward template.
    let first: UInt64
    let second: UInt64
    private let qualityAndOrdinal: UInt64

    /// Sum of base qualities of at least 15.
    var quality: UInt64 { qualityAndOrdinal >> Self.ordinalBits }
    /// The mapped reads are `ordinal` and, for a pair, `ordinal + 1`.
    var ordinal: UInt64 { qualityAndOrdinal & (1 << Self.ordinalBits - 1) }

    static let noEnd = UInt64.max
    /// The quality of what is no template but one end of a pair whose signature does not show it.
    package static let onlyAnEnd: UInt32 = 1 << 24 - 1
    /// Libraries that an end can tell apart.
    public static let mostLibraries = 128
    private static let ordinalBits: UInt64 = 40
    private static let contigShift: UInt64 = 40
    private static let libraryShift: UInt64 = 33
    /// Positions may be negative by less than this.
    private static let positionOffset = 1 << 20

    /// One end as a number that orders by contig, library, position, strand.
    package static func end(contig: Int32, place: Int, isReverse: Bool, library: Int = 0) -> UInt64 {
        precondition((0..<mostLibraries).contains(library))
        let place = UInt64(place + positionOffset) << 1 | (isReverse ? 1 : 0)
        return UInt64(contig) << contigShift | UInt64(library) << libraryShift | place
    }

    /// The contig and position of an end.
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
    package init(fragment end: UInt64, quality: UInt32, ordinal: UInt64) {
        self.init(end, Self.noEnd, quality, ordinal)
    }

    /// A pair; `ordinal` is that of its first read.
    package init(pair a: UInt64, _ b: UInt64, quality: UInt32, ordinal: UInt64) {
        self.init(min(a, b), max(a, b), quality, ordinal)
    }

    /// A pair whose first mate is `a`.
    private init(pair a: UnclippedRead, _ b: UnclippedRead, quality: UInt32, ordinal: UInt64) {
        guard a.isReverse == b.isReverse else {
            self.init(pair: a.fivePrimeEnd, b.fivePrimeEnd, quality: quality, ordinal: ordinal)
            return
        }
        let isFirst = (a.contig, a.fivePrime) <= (b.contig, b.fivePrime)
        let (left, right) = isFirst ? (a, b) : (b, a)
        // A forward template whose left mate is the first is, seen from the other strand, a reverse template whose left
        // mate is the second.
        let isReverse = isFirst == a.isReverse
        self.init(
            left.end(at: left.start, isReverse: isReverse),
            right.end(at: right.last, isReverse: isReverse), quality, ordinal)
    }

    var isPair: Bool { second != Self.noEnd }

    /// Whether the signature of a pair has the unclipped 5' ends of its reads.
    private var showsEnds: Bool { (first ^ second) & 1 == 1 }

    /// Appends what there is to know of the template that begins with `read`, if any of its reads is mapped.
    static func append(
        _ batch: ReadBatch, _ mapped: MappedBatch, _ read: Int, library: Int, to writer: ReadStoreWriter
    ) throws {
        let ordinal = batch.firstOrdinal + UInt64(read)
        let first = UnclippedRead(mapped, read, library)
        let second = batch.isPaired ? UnclippedRead(mapped, read + 1, library) : nil
        switch (first, second) {
        case (let a?, let b?):
            let sum = quality(batch, read) + quality(batch, read + 1)
            try writer.append(TemplateSignature(pair: a, b, quality: sum, ordinal: ordinal))
            guard a.isReverse == b.isReverse else { return }
            try writer.append(TemplateSignature(fragment: a.fivePrimeEnd, quality: onlyAnEnd, ordinal: ordinal))
            try writer.append(TemplateSignature(fragment: b.fivePrimeEnd, quality: onlyAnEnd, ordinal: ordinal))
        case (let a?, nil):
            try writer.append(
                TemplateSignature(fragment: a.fivePrimeEnd, quality: quality(batch, read), ordinal: ordinal))
        case (nil, let b?):
            try writer.append(
                TemplateSignature(fragment: b.fivePrimeEnd, quality: quality(batch, read + 1), ordinal: ordinal + 1))
        case (nil, nil): break
        }
    }

    private static func quality(_ batch: ReadBatch, _ read: Int) -> UInt32 {
        let range = batch.range(ofRead: read)
        return batch.qualities.withUnsafeBufferPointer {
            range.isEmpty ? 0 : ck_sum_qualities($0.baseAddress! + range.lowerBound, range.count, 15)
        }
    }

    /// Ordinals of the reads that are duplicates, of templates whose first end `isJudged`. There must be every template
    /// that has an end in such a place; the others say only where pairs have ends.
    static func duplicates(
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
        for signature in signatures where signature.isPair && signature.showsEnds {
            ends += [signature.first, signature.second]
        }
        ends.sort()
        var next = 0
        for index in fragments.indices where fragments[index].quality != onlyAnEnd {
            let end = fragments[index].first
            while next < ends.count && ends[next] < end { next += 1 }
            let besidePair = next < ends.count && ends[next] == end
            let besideFragment = index > 0 && fragments[index - 1].first == end
            if besidePair || besideFragment { duplicates.append(fragments[index].ordinal) }
        }
        return duplicates
    }
}

/// Where a mapped read would lie if its clipped ends were aligned; both ends are included.
private struct UnclippedRead {
    var contig: Int32
    var start: Int
    var last: Int
    var isReverse: Bool
    var library: Int

    /// The place where sequencing began.
    var fivePrime: Int { isReverse ? last : start }
    var fivePrimeEnd: UInt64 { end(at: fivePrime, isReverse: isReverse) }

    func end(at place: Int, isReverse: Bool) -> UInt64 {
        TemplateSignature.end(contig: contig, place: place, isReverse: isReverse, library: library)
    }

    init?(_ mapped: MappedBatch, _ read: Int, _ library: Int) {
        self.library = library
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
