import GenomicFormats

/// The reads of one region, cut to its stretch of reference, and what their alignments say of its events.
struct RegionReads {
    struct Entry {
        var read: Int
        var first: Int
        var count: Int
        /// Rank of the fragment among the region's fragments.
        var fragment: Int
    }

    private(set) var entries: [Entry] = []
    private(set) var fragmentCount = 0
    private(set) var sampledOut = 0
    private let window: ReadWindow

    static let shortestRead = 10

    /// Reads that touch `core`, cut to `stretch`. A deep region is sampled by fragment.
    init(_ window: ReadWindow, core: Range<Int>, stretch: Range<Int>, mostReads: Int) {
        self.window = window
        var touching: [(read: Int, first: Int, count: Int)] = []
        for read in window.indices(around: core) {
            guard let (first, count) = Self.cut(window, read, core: core, stretch: stretch) else { continue }
            touching.append((read, first, count))
        }
        if touching.count > mostReads {
            let hashes = touching.map { hashOfFragment(window.reads[$0.read].fragment) }
            let limit = hashes.sorted()[mostReads - 1]
            sampledOut = touching.count
            touching = touching.indices.filter { hashes[$0] <= limit }.map { touching[$0] }
            sampledOut -= touching.count
        }
        var ranks: [UInt64: Int] = [:]
        for entry in touching {
            let fragment = window.reads[entry.read].fragment
            let rank = ranks[fragment] ?? ranks.count
            ranks[fragment] = rank
            entries.append(Entry(read: entry.read, first: entry.first, count: entry.count, fragment: rank))
        }
        fragmentCount = ranks.count
    }

    /// The part of a read that belongs to the stretch: by its alignment, soft clips laid out beside it.
    private static func cut(
        _ window: ReadWindow, _ index: Int, core: Range<Int>, stretch: Range<Int>
    ) -> (Int, Int)? {
        let read = window.reads[index]
        var (leading, trailing) = window.clips(of: index)
        var first = read.baseStart
        var last = read.baseStart + read.baseCount
        if !read.clipsAreGenome {
            first += leading
            last -= trailing
            leading = 0
            trailing = 0
        }
        guard read.position - leading < core.upperBound + 1, read.end + trailing > core.lowerBound - 1
        else { return nil }
        var from = last
        var to = first
        if leading > 0 {
            let skipped = max(0, stretch.lowerBound - (read.position - leading))
            if skipped < leading, read.position - leading + skipped < stretch.upperBound {
                from = first + skipped
                to = max(to, min(first + leading, first + stretch.upperBound - read.position + leading))
            }
        }
        window.forEachMatch(index) { position, base, count in
            let low = max(position, stretch.lowerBound)
            let high = min(position + count, stretch.upperBound)
            guard low < high else { return }
            from = min(from, base + low - position)
            to = max(to, base + high - position)
        }
        if trailing > 0, read.end < stretch.upperBound {
            let clipStart = last - trailing
            let skipped = max(0, stretch.lowerBound - read.end)
            if skipped < trailing {
                from = min(from, clipStart + skipped)
                to = max(to, min(last, clipStart + stretch.upperBound - read.end))
            }
        }
        guard to - from >= shortestRead else { return nil }
        return (from, to - from)
    }

    /// What each fragment says of each event, by the reads' own alignments. `reach` is the stretch that a read must
    /// cover to deny an event.
    func witnesses(
        events: [Event], reach: [Range<Int>], reference: UnsafeBufferPointer<UInt8>, floor: UInt8
    ) -> [Witness] {
        var witnesses = [Witness](repeating: Witness(), count: fragmentCount)
        for entry in entries {
            let read = window.reads[entry.read]
            let own = read.cigarCount > 2 ? window.indels(of: entry.read, reference: reference) : []
            for (index, event) in events.enumerated() {
                guard read.position <= event.start, read.end >= event.end else { continue }
                if event.isSubstitution {
                    var place = -1
                    window.forEachMatch(entry.read) { position, base, count in
                        if event.start >= position, event.start < position + count {
                            place = base + event.start - position
                        }
                    }
                    guard place >= 0, window.qualities[place] >= floor else { continue }
                    let letter = window.bases[place]
                    if letter == event.alternate[0] {
                        witnesses[entry.fragment].note(index, true)
                    } else if letter == reference[event.start] {
                        witnesses[entry.fragment].note(index, false)
                    }
                } else if own.contains(event) {
                    witnesses[entry.fragment].note(index, true)
                } else if read.position < reach[index].lowerBound, read.end > reach[index].upperBound {
                    witnesses[entry.fragment].note(index, false)
                }
            }
        }
        return witnesses
    }
}
