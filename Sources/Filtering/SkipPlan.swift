import Compression
import GenomicFormats

/// Which blocks of an indexed file hold the records that regions name, and the proof that those in between do not.
///
/// The index is a hint. Reading begins at the first line end in the block that the index gives for the place before a
/// region's, never where it says that a record begins, and ends where it has given a place behind the region and another
/// behind that, so that the line at the first is whole. The records read on both sides of each gap must show that no
/// position of the regions lies between them. A file in order whose gaps are proven has no wanted position in its gaps.
struct SkipPlan {
    /// What a stretch costs beside its blocks, and the share of the file from which on reading all of it is as fast.
    private static let stretchBytes = 1 << 15
    private static let largestShare = 0.8

    let stretches: [BGZFGroupReader.Stretch]
    private let regions: RegionSet
    private var unseen: Set<String>

    /// Nil when too little would be skipped, or the index does not speak of all contigs of the regions.
    init?(_ regions: RegionSet, index: TabixIndex, fileSize: Int) {
        // The header ends before the first record.
        guard let first = index.places.first(where: { $0 > 0 }) else { return nil }
        let byName = Dictionary(index.contigs.map { ($0.name, $0.windows) }, uniquingKeysWith: { one, _ in one })
        var wanted = [BGZFGroupReader.Stretch(start: 0, last: Int(first >> 16))]
        let shift = BinningScheme.smallestShift
        for (name, intervals) in regions.contigs {
            guard let windows = byName[name], !windows.isEmpty else { return nil }
            var last = (-1, -1)
            for (start, end) in zip(intervals.starts, intervals.ends) {
                let from = min(windows.lowerBound + start >> shift, windows.upperBound - 1)
                let reach = min(windows.lowerBound + end >> shift, windows.upperBound - 1)
                if (from, reach) == last { continue }
                last = (from, reach)
                wanted.append(Self.stretch(index, from: index.places[from], to: index.places[reach]))
            }
        }
        var merged: [BGZFGroupReader.Stretch] = []
        for stretch in wanted.sorted(by: { ($0.start, $0.last) < ($1.start, $1.last) }) {
            if let last = merged.last, stretch.start <= last.last {
                merged[merged.count - 1].last = max(last.last, stretch.last)
            } else {
                merged.append(stretch)
            }
        }
        let bytes = merged.reduce(0) { $0 + min($1.last, fileSize) - $1.start + Self.stretchBytes }
        guard Double(bytes) < Self.largestShare * Double(fileSize) else { return nil }
        stretches = merged
        self.regions = regions
        unseen = Set(regions.contigs.keys)
    }

    /// The blocks for a region whose first base lies in a window with the place `from`, and the base behind its last one
    /// in a window with the place `to`.
    private static func stretch(_ index: TabixIndex, from: UInt64, to: UInt64) -> BGZFGroupReader.Stretch {
        var before = index.place(before: from)
        // A line that begins with its block is not seen to be whole.
        if let place = before, place & 0xffff == 0 { before = index.place(before: place) }
        let behind = index.place(behind: to).flatMap { index.place(behind: $0) }
        // The block of the byte before that place.
        let last = behind.map { $0 & 0xffff > 0 ? Int($0 >> 16) : Int($0 >> 16) - 1 }
        return .init(start: before.map { Int($0 >> 16) } ?? 0, last: last ?? .max)
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
