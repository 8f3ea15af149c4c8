import GenomicFormats

/// The memory in which a ``Pileup`` counts: one pileup at a time, the same memory for the next one. What no read
/// touches is never written, so that a unit with few reads costs little.
final class PileupCounters {
    fileprivate let depth: UnsafeMutableBufferPointer<Int32>
    fileprivate let unmappableDepth: UnsafeMutableBufferPointer<Int32>
    /// By read base: the four counts of a place lie in one word.
    fileprivate let mismatches: UnsafeMutableBufferPointer<SIMD4<UInt16>>
    fileprivate let clips: UnsafeMutableBufferPointer<UInt16>
    /// What is not zero.
    private var used: [Range<Int>] = []

    /// - Parameter places: the longest range that is counted.
    init(places: Int) {
        func zeroed<Value: BitwiseCopyable & ExpressibleByIntegerLiteral>(
            _ zero: Value
        ) -> UnsafeMutableBufferPointer<Value> {
            let memory = UnsafeMutableBufferPointer<Value>.allocate(capacity: places + 1)
            memory.initialize(repeating: zero)
            return memory
        }
        depth = zeroed(0)
        unmappableDepth = zeroed(0)
        clips = zeroed(0)
        mismatches = .allocate(capacity: places + 1)
        mismatches.initialize(repeating: SIMD4())
    }

    deinit {
        depth.deallocate()
        unmappableDepth.deallocate()
        clips.deallocate()
        mismatches.deallocate()
    }

    /// All counts are 0 again; those of `covered` are going to be used.
    fileprivate func reset(covered: [Range<Int>]) {
        for places in used {
            depth[places].update(repeating: 0)
            unmappableDepth[places].update(repeating: 0)
            mismatches[places].update(repeating: SIMD4())
            clips[places].update(repeating: 0)
        }
        used = covered
        precondition(used.last?.upperBound ?? 0 <= depth.count, "the window is longer than the counters")
    }
}

/// Counters by position over one unit of work: what the streaming test for active places needs (Strelka2's idea, with
/// lower thresholds, because the genotyper decides).
struct Pileup {
    let range: Range<Int>
    /// Places of the range that reads cover, counted from its beginning; all counts elsewhere are 0.
    let covered: [Range<Int>]
    private let counters: PileupCounters
    /// Soft-clip edges and other evidence of the reads' own insertions and deletions, with the number of fragments.
    private(set) var indels: [(event: Event, count: Int)] = []
    /// Mean depth of the places that usable reads cover.
    private var typicalDepth = 0.0

    /// The counts of one kind by place, read with their bounds checked.
    struct Counts<Value> {
        fileprivate let values: UnsafeMutableBufferPointer<Value>
        let count: Int
        subscript(place: Int) -> Value {
            precondition(place >= 0 && place < count)
            return values[place]
        }
    }

    var depth: Counts<Int32> { Counts(values: counters.depth, count: range.count + 1) }
    var unmappableDepth: Counts<Int32> { Counts(values: counters.unmappableDepth, count: range.count + 1) }
    var clips: Counts<UInt16> { Counts(values: counters.clips, count: range.count + 1) }
    /// Counted mismatches by place and read base.
    private var mismatches: UnsafeMutableBufferPointer<SIMD4<UInt16>> { counters.mismatches }

    /// A clip shorter than this, or of worse mean quality, says nothing.
    static let shortestClip = 6
    static let clipQuality = 15
    /// Least share of a column's bases that must agree on a mismatch.
    static let leastShare = 0.08
    /// The same when there is one such base alone: that one is then evidence only among few.
    static let leastLoneShare = 0.25
    /// A lone base in a column that is this many times shallower than the unit is more likely a misplaced read.
    static let mostLoneDepthRatio = 4.0

    /// Counts the reads of a window. The pileup is of no use any more when the counters serve another one.
    init(
        _ window: ReadWindow, reference: UnsafeBufferPointer<UInt8>, options: CallingOptions, counters: PileupCounters
    ) {
        range = window.range
        let origin = range.lowerBound
        covered = window.covered.map { $0.lowerBound - origin..<$0.upperBound - origin }
        self.counters = counters
        counters.reset(covered: covered)
        for place in window.unmappable { Self.add(place.lowerBound, place.upperBound, range, counters.unmappableDepth) }
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
        indels = found.map { ($0.key, $0.value.count) }.sorted { $0.event < $1.event }
        typicalDepth = sumChanges(areUnmappable: !window.unmappable.isEmpty)
    }

    /// Makes depths of changes of depth, and returns the mean of those that are not 0.
    private func sumChanges(areUnmappable: Bool) -> Double {
        var (bases, total) = (0, 0)
        for places in covered {
            // No read reaches from one covered stretch into the next.
            var (sum, unmappable): (Int32, Int32) = (0, 0)
            for place in places {
                sum += counters.depth[place]
                counters.depth[place] = sum
                total += Int(sum)
                bases += sum > 0 ? 1 : 0
            }
            guard areUnmappable else { continue }
            for place in places {
                unmappable += counters.unmappableDepth[place]
                counters.unmappableDepth[place] = unmappable
            }
        }
        return Double(total) / Double(max(1, bases))
    }

    /// Positions with enough mismatching bases to be worth genotyping. Where reads are few everywhere, one is enough.
    func candidateColumns() -> [Int] {
        var found: [Int] = []
        for places in covered {
            for place in places.clamped(to: 0..<range.count) where mismatches[place] != SIMD4() {
                let most = mismatches[place].max()
                let depth = counters.depth[place]
                let share = Double(most) / Double(max(1, depth))
                let isEnough =
                    most > 1
                    ? share >= Self.leastShare
                    : share >= Self.leastLoneShare && Double(depth) * Self.mostLoneDepthRatio >= typicalDepth
                if isEnough { found.append(range.lowerBound + place) }
            }
        }
        return found
    }

    /// The substitutions of a column that are not too rare for a region, with their reads.
    func substitutions(at position: Int) -> [(event: Event, count: Int)] {
        precondition(range.contains(position))
        let place = position - range.lowerBound
        return (0..<4).compactMap { letter in
            let count = Int(mismatches[place][letter])
            guard count >= 2, Double(count) >= Self.leastShare * Double(counters.depth[place]) else { return nil }
            return (Event(start: position, referenceLength: 1, alternate: [UInt8(letter)]), count)
        }
    }

    private static func add(
        _ start: Int, _ end: Int, _ range: Range<Int>, _ counts: UnsafeMutableBufferPointer<Int32>
    ) {
        let from = max(start, range.lowerBound)
        let to = min(end, range.upperBound)
        guard from < to else { return }
        counts[from - range.lowerBound] += 1
        counts[to - range.lowerBound] -= 1
    }

    private func countMatches(
        _ window: ReadWindow, _ read: Int, reference: UnsafeBufferPointer<UInt8>, floor: UInt8
    ) {
        let range = self.range
        let mismatches = self.mismatches
        window.bases.withUnsafeBufferPointer { bases in
            window.columnQualities.withUnsafeBufferPointer { qualities in
                window.forEachMatch(read) { position, base, count in
                    Self.add(position, position + count, range, counters.depth)
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
                                let slot = position + place - range.lowerBound
                                if mismatches[slot][Int(letter)] < .max { mismatches[slot][Int(letter)] += 1 }
                            }
                        }
                        offset += 8
                    }
                }
            }
        }
    }

    private func countClips(_ window: ReadWindow, _ read: Int) {
        let entry = window.reads[read]
        let (leading, trailing) = window.clips(of: read)
        guard entry.clipsAreGenome else { return }
        if leading >= Self.shortestClip, range.contains(entry.position) {
            let sum = (0..<leading).reduce(0) { $0 + Int(window.qualities[entry.baseStart + $1]) }
            if sum >= Self.clipQuality * leading { counters.clips[entry.position - range.lowerBound] += 1 }
        }
        if trailing >= Self.shortestClip, range.contains(entry.end) {
            let last = entry.baseStart + entry.baseCount
            let sum = (last - trailing..<last).reduce(0) { $0 + Int(window.qualities[$1]) }
            if sum >= Self.clipQuality * trailing { counters.clips[entry.end - range.lowerBound] += 1 }
        }
    }
}
