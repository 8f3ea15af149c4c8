import GenomicFormats

/// Counters by position over one unit of work: what the streaming test for active places needs (Strelka2's idea, with
/// lower thresholds, because the genotyper decides).
struct Pileup {
    let range: Range<Int>
    private(set) var depth: [Int32]
    private(set) var unmappableDepth: [Int32]
    /// Counted mismatches, four per position by read base.
    private(set) var mismatches: [UInt16]
    private(set) var clips: [UInt16]
    /// Soft-clip edges and other evidence of the reads' own insertions and deletions, with the number of fragments.
    private(set) var indels: [(event: Event, count: Int)] = []

    /// A clip shorter than this, or of worse mean quality, says nothing.
    static let shortestClip = 6
    static let clipQuality = 15
    /// Least share of a column's bases that must agree on a mismatch.
    static let leastShare = 0.08
    /// The same when there is one such base alone: that one is then evidence only among few.
    static let leastLoneShare = 0.25
    /// A lone base in a column that is this many times shallower than the unit is more likely a misplaced read.
    static let mostLoneDepthRatio = 4.0

    init(_ window: ReadWindow, range: Range<Int>, reference: UnsafeBufferPointer<UInt8>, options: CallingOptions) {
        precondition(window.unmappable.count == range.count + 1, "the window is of another range")
        self.range = range
        depth = [Int32](repeating: 0, count: range.count + 1)
        unmappableDepth = window.unmappable
        mismatches = [UInt16](repeating: 0, count: range.count * 4)
        clips = [UInt16](repeating: 0, count: range.count + 1)
        var found: [Event: (count: Int, last: UInt64)] = [:]
        for read in window.reads.indices {
            countMatches(window, read, reference: reference, floor: options.minimumBaseQuality)
            countClips(window, read)
            guard window.reads[read].cigarCount > 2 else { continue }
            for event in window.indels(of: read, reference: reference) {
                var entry = found[event] ?? (0, .max)
                if entry.last != window.reads[read].fragment { entry.count += 1 }
                entry.last = window.reads[read].fragment
                found[event] = entry
            }
        }
        for place in 1..<depth.count {
            depth[place] += depth[place - 1]
            unmappableDepth[place] += unmappableDepth[place - 1]
        }
        indels = found.map { ($0.key, $0.value.count) }.sorted { $0.event < $1.event }
    }

    /// Positions with enough mismatching bases to be worth genotyping. Where reads are few everywhere, one is enough.
    func candidateColumns() -> [Int] {
        let covered = depth.reduce(into: (bases: 0, depth: 0)) { sum, depth in
            if depth > 0 { sum = (sum.bases + 1, sum.depth + Int(depth)) }
        }
        let typicalDepth = Double(covered.depth) / Double(max(1, covered.bases))
        var found: [Int] = []
        for place in 0..<range.count {
            let slot = place * 4
            let most = max(
                max(mismatches[slot], mismatches[slot + 1]), max(mismatches[slot + 2], mismatches[slot + 3]))
            guard most > 0 else { continue }
            let share = Double(most) / Double(max(1, depth[place]))
            let isEnough =
                most > 1
                ? share >= Self.leastShare
                : share >= Self.leastLoneShare && Double(depth[place]) * Self.mostLoneDepthRatio >= typicalDepth
            if isEnough { found.append(range.lowerBound + place) }
        }
        return found
    }

    /// The substitutions of a column that are not too rare for a region, with their reads.
    func substitutions(at position: Int) -> [(event: Event, count: Int)] {
        let place = position - range.lowerBound
        return (0..<4).compactMap { letter in
            let count = Int(mismatches[place * 4 + letter])
            guard count >= 2, Double(count) >= Self.leastShare * Double(depth[place]) else { return nil }
            return (Event(start: position, referenceLength: 1, alternate: [UInt8(letter)]), count)
        }
    }

    private static func add(_ start: Int, _ end: Int, _ range: Range<Int>, _ counts: inout [Int32]) {
        let from = max(start, range.lowerBound)
        let to = min(end, range.upperBound)
        guard from < to else { return }
        counts[from - range.lowerBound] += 1
        counts[to - range.lowerBound] -= 1
    }

    private mutating func countMatches(
        _ window: ReadWindow, _ read: Int, reference: UnsafeBufferPointer<UInt8>, floor: UInt8
    ) {
        let range = self.range
        window.bases.withUnsafeBufferPointer { bases in
            window.columnQualities.withUnsafeBufferPointer { qualities in
                window.forEachMatch(read) { position, base, count in
                    Self.add(position, position + count, range, &depth)
                    let from = max(0, range.lowerBound - position)
                    let to = min(count, range.upperBound - position)
                    guard from < to else { return }
                    let readBases = UnsafeRawPointer(bases.baseAddress! + base)
                    let genome = UnsafeRawPointer(reference.baseAddress! + position)
                    var offset = from
                    while offset < to {
                        if offset + 8 <= to,
                            readBases.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                                == genome.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                        {
                            offset += 8
                            continue
                        }
                        for place in offset..<min(offset + 8, to) {
                            let letter = bases[base + place]
                            if letter != reference[position + place], letter < 4, qualities[base + place] >= floor {
                                let slot = (position + place - range.lowerBound) * 4 + Int(letter)
                                if mismatches[slot] < .max { mismatches[slot] += 1 }
                            }
                        }
                        offset += 8
                    }
                }
            }
        }
    }

    private mutating func countClips(_ window: ReadWindow, _ read: Int) {
        let entry = window.reads[read]
        let (leading, trailing) = window.clips(of: read)
        guard entry.clipsAreGenome else { return }
        if leading >= Self.shortestClip, range.contains(entry.position) {
            let sum = (0..<leading).reduce(0) { $0 + Int(window.qualities[entry.baseStart + $1]) }
            if sum >= Self.clipQuality * leading { clips[entry.position - range.lowerBound] += 1 }
        }
        if trailing >= Self.shortestClip, range.contains(entry.end) {
            let last = entry.baseStart + entry.baseCount
            let sum = (last - trailing..<last).reduce(0) { $0 + Int(window.qualities[$1]) }
            if sum >= Self.clipQuality * trailing { clips[entry.end - range.lowerBound] += 1 }
        }
    }
}
