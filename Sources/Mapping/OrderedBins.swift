import Threads

/// The notes of one bin, by (position, ordinal).
struct ReadBin {
    let notes: UnsafePointer<ReadNote>
    let count: Int
    /// Bases that the longest alignment covers.
    let longestSpan: Int
    /// Keeps notes and records alive.
    let owner: AnyObject

    static func sort(_ notes: UnsafeMutablePointer<ReadNote>, count: Int) {
        var notes = UnsafeMutableBufferPointer(start: notes, count: count)
        notes.sort { $0.key != $1.key ? $0.key < $1.key : StoredRead.isBefore($0.record, $1.record) }
    }
}

/// All bins of a store whose reads are in memory.
final class OrderedBins: @unchecked Sendable {
    // Written by the initialiser's threads, each its own bins; only read afterwards.

    private let chunks: [StoreChunk]
    private let notes: LargeBuffer<ReadNote>
    /// Where each bin's notes begin; one more than there are bins.
    private let starts: [Int]
    private let longestSpans: [UInt32]

    init(
        _ chunks: [StoreChunk], binCount: Int, threads: Int, isDuplicate: @escaping @Sendable (UInt64) -> Bool
    ) {
        self.chunks = chunks
        var starts = [Int](repeating: 0, count: binCount + 1)
        var spans = [UInt32](repeating: 0, count: binCount)
        for chunk in chunks {
            for i in 0..<chunk.count {
                let note = chunk.notes.pointer[i]
                starts[Int(note.bin) + 1] += 1
                spans[Int(note.bin)] = max(spans[Int(note.bin)], note.span)
            }
        }
        for bin in 0..<binCount { starts[bin + 1] += starts[bin] }
        self.starts = starts
        longestSpans = spans
        notes = LargeBuffer(count: starts[binCount])
        // Each part takes the notes of its bins, a share of the reads, from all chunks.
        let parts = evenBorders(starts, count: 4 * threads)
        inParallel(parts.count - 1, threads: threads) { [self] part in
            order(bins: parts[part]..<parts[part + 1], isDuplicate)
        }
        for chunk in chunks { chunk.dropNotes() }
    }

    private func order(bins: Range<Int>, _ isDuplicate: (UInt64) -> Bool) {
        guard let first = bins.first, starts[first] < starts[bins.upperBound] else { return }
        var next = bins.map { starts[$0] }
        for chunk in chunks {
            for i in 0..<chunk.count {
                let note = chunk.notes.pointer[i]
                guard bins.contains(Int(note.bin)) else { continue }
                let ordinal = note.key & (StoredRead.ordinalLimit - 1)
                notes.pointer[next[Int(note.bin) - first]] = ReadNote(
                    place: Int(note.key >> 48), ordinal: ordinal, record: chunk.record(note), span: Int(note.span),
                    isDuplicate: isDuplicate(ordinal))
                next[Int(note.bin) - first] += 1
            }
        }
        for bin in bins {
            ReadBin.sort(notes.pointer + starts[bin], count: starts[bin + 1] - starts[bin])
        }
    }

    subscript(bin: Int) -> ReadBin {
        ReadBin(
            notes: UnsafePointer(notes.pointer + starts[bin]), count: starts[bin + 1] - starts[bin],
            longestSpan: Int(longestSpans[bin]), owner: self)
    }

    var byteCount: Int { notes.byteCount }
}

/// Borders that cut items, of which `starts` says how much lies before each, into about `count` even parts.
func evenBorders(_ starts: [Int], count: Int) -> [Int] {
    let items = starts.count - 1
    var borders = [0]
    for item in 0..<items where starts[item] >= borders.count * starts[items] / count {
        if item > borders[borders.count - 1] { borders.append(item) }
    }
    return borders + [items]
}
