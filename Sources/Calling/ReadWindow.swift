import GenomicFormats
import Mapping

/// The reads of one unit of work, copied out of the store into flat arrays, with mates that overlap made one witness.
struct ReadWindow {
    struct Read {
        var ordinal: UInt64
        var position: Int
        var end: Int
        var cigarStart: Int
        var cigarCount: Int
        var baseStart: Int
        var baseCount: Int
        var mappingQuality: UInt8
        var isReverse: Bool
        /// Soft clips of a fragment shorter than its reads are adapter, not genome.
        var clipsAreGenome: Bool
        var fragment: UInt64 { ordinal >> 1 }
    }

    private(set) var reads: [Read] = []
    private(set) var cigars: [UInt32] = []
    private(set) var bases: [UInt8] = []
    /// Qualities for the pair HMM: lowered where both mates read the same base, 0 where they disagree.
    private(set) var qualities: [UInt8] = []
    /// Qualities for columns: the better mate keeps its quality, the other one gets 0.
    private(set) var columnQualities: [UInt8] = []
    private(set) var unmappableDepth: [(start: Int, end: Int)] = []
    private(set) var sampledOut = 0
    private(set) var longestSpan = 1

    /// Where both mates read a base, each counts with at most this quality in the pair HMM: together about one good
    /// base.
    static let sharedQuality: UInt8 = 20

    /// - Throws: `Failure` when spilled reads cannot be read back.
    init(store: ReadStore, contig: Int, range: Range<Int>, options: CallingOptions) throws {
        let keep = try Self.keepLimits(store: store, contig: contig, range: range, options: options)
        var mates: [UInt64: Int] = [:]
        try store.forEachRead(contig: contig, overlapping: range) { view in
            let header = view.header
            guard !header.flags.contains(.unmapped), !header.flags.contains(.duplicate), header.baseCount > 0,
                !view.cigar.isEmpty
            else { return }
            if header.mappingQuality < options.minimumMappingQuality {
                unmappableDepth.append((Int(header.position), Int(header.end)))
                return
            }
            let bin = max(0, Int(header.position) - range.lowerBound) >> 6
            if let keep, hashOfFragment(header.ordinal >> 1) > keep[bin] {
                sampledOut += 1
                return
            }
            append(view, options: options)
            guard header.flags.contains(.paired), header.mateContig == header.contig else { return }
            let gap = abs(Int(header.matePosition) - Int(header.position))
            guard gap <= Int(header.baseCount) * 2 + 64 else { return }
            let index = reads.count - 1
            if let mate = mates[header.ordinal >> 1] { merge(mate, index) } else { mates[header.ordinal >> 1] = index }
        }
    }

    /// For each 64 bases of start positions the largest hash that is kept; nil when no place is too deep.
    private static func keepLimits(
        store: ReadStore, contig: Int, range: Range<Int>, options: CallingOptions
    ) throws -> [UInt64]? {
        var starts = [Int](repeating: 0, count: range.count >> 6 + 1)
        var longest = 1
        try store.forEachHeader(contig: contig, overlapping: range) { header in
            guard !header.flags.contains(.duplicate) else { return }
            starts[max(0, Int(header.position) - range.lowerBound) >> 6] += 1
            longest = max(longest, Int(header.baseCount))
        }
        let most = max(64, options.maximumDepth * 64 / longest)
        guard starts.contains(where: { $0 > most }) else { return nil }
        return starts.map { $0 <= most ? .max : UInt64(Double(UInt64.max >> 1) * Double(most) / Double($0)) << 1 }
    }

    private mutating func append(_ view: AlignedReadView, options: CallingOptions) {
        let header = view.header
        let template = abs(Int(header.templateLength))
        reads.append(
            Read(
                ordinal: header.ordinal, position: Int(header.position), end: Int(header.end), cigarStart: cigars.count,
                cigarCount: view.cigar.count, baseStart: bases.count, baseCount: view.bases.count,
                mappingQuality: header.mappingQuality, isReverse: header.flags.contains(.reverse),
                clipsAreGenome: template == 0 || template > view.bases.count))
        cigars.append(contentsOf: view.cigar)
        bases.append(contentsOf: view.bases)
        for quality in view.qualities { qualities.append(min(quality, options.maximumBaseQuality)) }
        columnQualities.append(contentsOf: qualities[(qualities.count - view.qualities.count)...])
        longestSpan = max(longestSpan, Int(header.end) - Int(header.position) + 2 * view.bases.count)
    }

    /// Makes two mates one witness wherever both have a base at the same reference position.
    private mutating func merge(_ first: Int, _ second: Int) {
        let from = max(reads[first].position, reads[second].position)
        let to = min(reads[first].end, reads[second].end)
        guard from < to else { return }
        var place = [Int32](repeating: -1, count: to - from)
        forEachMatch(first) { position, base, count in
            for offset in max(0, from - position)..<max(max(0, from - position), min(count, to - position)) {
                place[position + offset - from] = Int32(base + offset)
            }
        }
        var updates: [(Int, Int)] = []
        forEachMatch(second) { position, base, count in
            for offset in max(0, from - position)..<max(max(0, from - position), min(count, to - position)) {
                let other = place[position + offset - from]
                if other >= 0 { updates.append((Int(other), base + offset)) }
            }
        }
        for (a, b) in updates {
            if bases[a] == bases[b] {
                let best = max(qualities[a], qualities[b])
                columnQualities[a] = best
                columnQualities[b] = 0
                qualities[a] = min(qualities[a], Self.sharedQuality)
                qualities[b] = min(qualities[b], Self.sharedQuality)
            } else {
                columnQualities[a] = 0
                columnQualities[b] = 0
                qualities[a] = 0
                qualities[b] = 0
            }
        }
    }

    /// Calls `body(reference position, index of the base, count)` for each run of aligned bases.
    @inline(__always)
    func forEachMatch(_ read: Int, _ body: (Int, Int, Int) -> Void) {
        var position = reads[read].position
        var base = reads[read].baseStart
        for index in reads[read].cigarStart..<reads[read].cigarStart + reads[read].cigarCount {
            let length = Int(cigars[index] >> 4)
            switch cigars[index] & 0xF {
            case 0, 7, 8:
                body(position, base, length)
                position += length
                base += length
            case 1, 4: base += length
            case 2, 3: position += length
            default: break
            }
        }
    }

    /// The read's insertions and deletions, left-aligned, in order. Those at the very end of an alignment are left out.
    func indels(of read: Int, reference: UnsafeBufferPointer<UInt8>) -> [Event] {
        let last = reads[read].cigarStart + reads[read].cigarCount - 1
        var found: [Event] = []
        var position = reads[read].position
        var base = reads[read].baseStart
        for index in reads[read].cigarStart...last {
            let length = Int(cigars[index] >> 4)
            let isInside = index > reads[read].cigarStart && index < last
            switch cigars[index] & 0xF {
            case 1:
                let inserted = Array(bases[base..<base + length])
                if isInside, !inserted.contains(BaseCode.n), position > 0 {
                    let event = Event(start: position, referenceLength: 0, alternate: inserted)
                    found.append(event.leftAligned(reference: reference))
                }
                base += length
            case 2:
                if isInside, position > 0 {
                    let event = Event(start: position, referenceLength: length, alternate: [])
                    found.append(event.leftAligned(reference: reference))
                }
                position += length
            case 4: base += length
            case 3: position += length
            default:
                position += length
                base += length
            }
        }
        return found
    }

    /// Soft-clipped bases in front of and behind the alignment.
    func clips(of read: Int) -> (leading: Int, trailing: Int) {
        let first = cigars[reads[read].cigarStart]
        let last = cigars[reads[read].cigarStart + reads[read].cigarCount - 1]
        let leading = first & 0xF == 4 ? Int(first >> 4) : 0
        return (leading, reads[read].cigarCount > 1 && last & 0xF == 4 ? Int(last >> 4) : 0)
    }

    /// Reads whose alignment, clips included, may touch `range`: their indices, lower bound first.
    func indices(around range: Range<Int>) -> Range<Int> {
        let low = firstRead(from: range.lowerBound - longestSpan)
        return low..<max(low, firstRead(from: range.upperBound + longestSpan))
    }

    /// Index of the first read that starts at or behind a position.
    func firstRead(from position: Int) -> Int {
        var low = 0
        var high = reads.count
        while low < high {
            let middle = (low + high) / 2
            if reads[middle].position < position { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// A well-mixed hash of a fragment's ordinal (the finaliser of SplitMix64): which reads are sampled out never depends
/// on the order of work.
func hashOfFragment(_ fragment: UInt64) -> UInt64 {
    var value = fragment &+ 0x9E37_79B9_7F4A_7C15
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
}
