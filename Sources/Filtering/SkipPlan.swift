import Compression
import GenomicFormats

/// Which blocks of an indexed file hold the records that regions name, and the proof that those in between do not.
///
/// The index is a hint. Reading begins two of its places before a region and ends two behind it, at the first line end,
/// never where it says that a record begins; and the records read on both sides of each gap must show that no position
/// of the regions lies between them. A file in order whose gaps are proven has no wanted position in its gaps.
struct SkipPlan {
    /// Compressed bytes that are rather read than jumped over.
    private static let leastGap = 1 << 17

    let stretches: [BGZFGroupReader.Stretch]
    private let regions: RegionSet
    private var unseen: Set<String>

    /// Nil when nothing would be skipped, or the index does not speak of all contigs of the regions.
    init?(_ regions: RegionSet, index: TabixIndex, fileSize: Int) {
        let places = index.places
        guard let first = places.first, places.count > 4 else { return nil }
        let byName = Dictionary(index.contigs.map { ($0.name, $0.windows) }, uniquingKeysWith: { one, _ in one })
        var wanted = [BGZFGroupReader.Stretch(start: 0, last: Int(first >> 16))]
        func number(of place: UInt64) -> Int {
            var low = 0
            var high = places.count
            while low < high {
                let middle = (low + high) / 2
                if places[middle] < place { low = middle + 1 } else { high = middle }
            }
            return low
        }
        for (name, intervals) in regions.contigs {
            guard let windows = byName[name], !windows.isEmpty else { return nil }
            for (start, end) in zip(intervals.starts, intervals.ends) {
                let shift = BinningScheme.smallestShift
                let from = number(of: windows[min(max(0, start - 1) >> shift, windows.count - 1)]) - 2
                let reach = min(end >> shift, windows.count - 1)
                var behind = number(of: windows[reach]) + 3
                // Windows without records may have the place of the one before.
                var window = reach + 1
                while window < windows.count, windows[window] <= windows[reach] { window += 1 }
                if window < windows.count { behind = max(behind, number(of: windows[window]) + 2) }
                wanted.append(
                    .init(
                        start: from < 0 ? 0 : Int(places[from] >> 16),
                        last: behind < places.count ? Int(places[behind] >> 16) : .max))
            }
        }
        var merged: [BGZFGroupReader.Stretch] = []
        for stretch in wanted.sorted(by: { ($0.start, $0.last) < ($1.start, $1.last) }) {
            if let last = merged.last, last.last == .max || stretch.start - last.last < Self.leastGap {
                merged[merged.count - 1].last = max(last.last, stretch.last)
            } else {
                merged.append(stretch)
            }
        }
        guard merged.count > 1 || merged[0].last < fileSize else { return nil }
        stretches = merged
        self.regions = regions
        unseen = Set(regions.contigs.keys)
    }

    mutating func see(_ contig: String) { unseen.remove(contig) }

    /// Whether no wanted position lies between two neighbouring records that were read; `after` is nil at the end.
    func provesGap(after: (contig: String, position: Int)?, before: (contig: String, position: Int)?) -> Bool {
        func isFree(_ contig: String, _ range: Range<Int>) -> Bool { !regions.overlaps(contig, range) }
        switch (after, before) {
        case (let after?, let before?) where after.contig == before.contig:
            return after.position <= before.position && isFree(after.contig, after.position - 1..<before.position)
        case (let after, let before):
            return (after.map { isFree($0.contig, $0.position - 1..<Int.max) } ?? true)
                && (before.map { isFree($0.contig, 0..<$0.position) } ?? true)
        }
    }

    /// Whether every contig of the regions was met.
    var isComplete: Bool { unseen.isEmpty }
}

/// The index does not belong to the file: the whole file must be read.
struct IndexDoesNotFit: Error {}
