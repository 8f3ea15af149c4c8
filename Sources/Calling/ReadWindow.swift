import GenomicFormats
package import Mapping

/// The reads of one unit of work, copied out of the store into flat arrays, with mates that overlap made one witness.
package struct ReadWindow {
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
    /// Qualities for columns: where both mates read a base, one of them speaks for both and the other one has 0.
    private(set) var columnQualities: [UInt8] = []
    let range: Range<Int>
    /// Where the reads whose mapping quality is too low lie, in order, cut to the range.
    private(set) var unmappable: [Range<Int>] = []
    /// The places of the range that reads of any mapping quality cover, with the place behind each read: sorted, apart
    /// from each other.
    private(set) var covered: [Range<Int>] = []
    package private(set) var sampledOut = 0
    private(set) var longestSpan = 1
    private var longestAligned = 1

    /// Where both mates read a base, each counts with at most this quality in the pair HMM: together about one good
    /// base.
    static let sharedQuality: UInt8 = 20

    package var count: Int { reads.count }

    /// - Throws: `Failure` when spilled reads cannot be read back.
    package init(store: ReadStore, contig: Int, range: Range<Int>, options: CallingOptions) throws {
        let selection = try ReadSelection(store: store, contig: contig, range: range, options: options)
        self.range = range
        reads.reserveCapacity(selection.reads)
        cigars.reserveCapacity(selection.operations)
        bases.reserveCapacity(selection.bases)
        qualities.reserveCapacity(selection.bases)
        var mates: [UInt64: Int] = [:]
        try store.forEachRead(contig: contig, overlapping: range) { view in
            let header = view.header
            switch selection.use(of: header) {
            case .none: return
            case .unmappable:
                let place = Int(header.position)..<Int(header.end)
                unmappable.append(place.clamped(to: range))
                cover(place)
                return
            case .sampledOut:
                sampledOut += 1
                return
            case .kept: break
            }
            append(view, options: options)
            guard header.flags.contains(.paired), header.mateContig == header.contig else { return }
            let index = reads.count - 1
            let fragment = header.ordinal >> 1
            // Only a mate that starts inside the first one's alignment shares bases with it.
            if header.matePosition >= header.position, header.matePosition < header.end, mates[fragment] == nil {
                mates[fragment] = index
            } else if header.matePosition <= header.position,
                Int(header.position) - Int(header.matePosition) < longestAligned,
                let mate = mates.removeValue(forKey: fragment)
            {
                merges.append((mate, index))
            }
        }
        columnQualities = qualities
        for (first, second) in merges { merge(first, second, highest: options.maximumBaseQuality) }
        merges = []
    }

    /// Overlapping mates, until all reads are there.
    private var merges: [(first: Int, second: Int)] = []

    private mutating func append(_ view: AlignedReadView, options: CallingOptions) {
        let header = view.header
        let template = abs(Int(header.templateLength))
        let span = Int(header.end) - Int(header.position)
        cover(Int(header.position)..<Int(header.end))
        reads.append(
            Read(
                ordinal: header.ordinal, position: Int(header.position), end: Int(header.end), cigarStart: cigars.count,
                cigarCount: view.cigar.count, baseStart: bases.count, baseCount: view.bases.count,
                mappingQuality: header.mappingQuality, isReverse: header.flags.contains(.reverse),
                clipsAreGenome: template == 0 || template > view.bases.count))
        cigars.append(contentsOf: view.cigar)
        bases.append(contentsOf: view.bases)
        let start = qualities.count
        qualities.append(contentsOf: view.qualities)
        let highest = options.maximumBaseQuality
        qualities.withUnsafeMutableBufferPointer { values in
            for index in start..<values.count { values[index] = min(values[index], highest) }
        }
        longestAligned = max(longestAligned, span)
        longestSpan = max(longestSpan, span + 2 * view.bases.count)
    }

    /// Reads come by position.
    private mutating func cover(_ place: Range<Int>) {
        let place = max(range.lowerBound, place.lowerBound)..<min(range.upperBound, place.upperBound) + 1
        if let last = covered.last, place.lowerBound <= last.upperBound {
            covered[covered.count - 1] = last.lowerBound..<max(last.upperBound, place.upperBound)
        } else {
            covered.append(place)
        }
    }

    /// Makes two mates one witness wherever both have a base at the same reference position.
    private mutating func merge(_ first: Int, _ second: Int, highest: UInt8) {
        // The witness is one mate or the other, fragment by fragment: both strands speak equally often.
        let isFirst = reads[first].fragment & 1 == 0
        var shared: [(first: Int, second: Int, count: Int)] = []
        forEachMatch(first) { position, base, count in
            forEachMatch(second) { otherPosition, otherBase, otherCount in
                let low = max(position, otherPosition)
                let high = min(position + count, otherPosition + otherCount)
                guard low < high else { return }
                shared.append((base + low - position, otherBase + low - otherPosition, high - low))
            }
        }
        bases.withUnsafeBufferPointer { bases in
            qualities.withUnsafeMutableBufferPointer { qualities in
                columnQualities.withUnsafeMutableBufferPointer { columns in
                    for run in shared {
                        for offset in 0..<run.count {
                            let a = run.first + offset
                            let b = run.second + offset
                            guard bases[a] < 4, bases[b] < 4 else { continue }
                            let (qualityA, qualityB) = (columns[a], columns[b])
                            columns[a] = 0
                            columns[b] = 0
                            if bases[a] == bases[b] {
                                columns[isFirst ? a : b] = min(highest, qualityA + qualityB)
                                qualities[a] = min(qualities[a], Self.sharedQuality)
                                qualities[b] = min(qualities[b], Self.sharedQuality)
                            } else {
                                // One of them errs; the better one keeps what it is better by.
                                columns[qualityA >= qualityB ? a : b] = max(qualityA, qualityB) - min(qualityA, qualityB)
                                qualities[a] = 0
                                qualities[b] = 0
                            }
                        }
                    }
                }
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

    /// Reads whose alignment may cover a base of `range`: their indices.
    func aligned(over range: Range<Int>) -> Range<Int> {
        let low = firstRead(from: range.lowerBound - longestAligned + 1)
        return low..<max(low, firstRead(from: range.upperBound))
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
