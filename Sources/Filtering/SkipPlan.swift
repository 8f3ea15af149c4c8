import Compression
import GenomicFormats

/// Which blocks of an indexed file hold the records that regions name, and the proof that those in between do not.
///
/// The index is a hint. Reading begins at the first line end in the block that the index gives, never where it says
/// that a record begins, and ends where it has given a place behind the region. The records read on both sides of each
/// gap must show that no position of the regions lies between them: a file in order whose gaps are proven has no wanted
/// position in its gaps. Where records that begin before a region have a part in it, no gap lies between the first one that
/// the index tells of and the region. Where a line on either side is not whole in the block at the gap, or a guess was wrong, the
/// plan knows what to read besides.
struct SkipPlan {
    /// What a stretch costs beside its blocks, and the share of the file from which on reading all of it is as fast.
    private static let stretchBytes = 1 << 15
    private static let largestShare = 0.8

    /// Room for a line, and for records that do not lie evenly: what is missed is read when it is found missing.
    private static let lineRoom = 1 << 9
    /// Where a window of the index takes fewer bytes of the file, it is guessed which of two blocks holds a position.
    private static let smallWindow = 1 << 12

    let stretches: [BGZFGroupReader.Stretch]
    /// What each of them becomes where that does not prove the gaps beside it.
    private let wider: [BGZFGroupReader.Stretch]
    private let regions: RegionSet
    private let byPosition: Bool
    private let index: TabixIndex
    private let windows: [String: Range<Int>]
    private var unseen: Set<String>

    /// Nil when too little would be skipped, or the index does not speak of all contigs of the regions.
    ///
    /// - Parameter byPosition: a record that begins before a region has no part in it, however far it reaches.
    init?(_ regions: RegionSet, byPosition: Bool, index: TabixIndex, fileSize: Int) {
        // The header ends before the first record.
        guard let first = index.places.first(where: { $0 > 0 }) else { return nil }
        let byName = Dictionary(index.contigs.map { ($0.name, $0.windows) }, uniquingKeysWith: { one, _ in one })
        let header = BGZFGroupReader.Stretch(start: 0, last: Int(first >> 16))
        var wanted = [(stretch: header, wider: header)]
        let guesses = byPosition && fileSize / index.places.count < Self.smallWindow
        for (name, intervals) in regions.contigs {
            guard let windows = byName[name], !windows.isEmpty else { return nil }
            // Neighbours in the same windows are one.
            var next: Reach?
            for (start, end) in zip(intervals.starts, intervals.ends) {
                let reach = Reach(start: start, end: end, in: windows)
                if let before = next, before.first == reach.first, before.last == reach.last {
                    next?.end = end
                } else {
                    if let next { wanted.append(Self.stretches(index, next, guesses: guesses)) }
                    next = reach
                }
            }
            if let next { wanted.append(Self.stretches(index, next, guesses: guesses)) }
        }
        var merged: [BGZFGroupReader.Stretch] = []
        var wider: [BGZFGroupReader.Stretch] = []
        for next in wanted.sorted(by: { ($0.stretch.start, $0.stretch.last) < ($1.stretch.start, $1.stretch.last) }) {
            if let last = merged.indices.last, next.stretch.start <= merged[last].last {
                merged[last].last = max(merged[last].last, next.stretch.last)
                wider[last].start = min(wider[last].start, next.wider.start)
                wider[last].last = max(wider[last].last, next.wider.last)
            } else {
                merged.append(next.stretch)
                wider.append(next.wider)
            }
        }
        let bytes = merged.reduce(0) { $0 + min($1.last, fileSize) - $1.start + Self.stretchBytes }
        guard Double(bytes) < Self.largestShare * Double(fileSize) else { return nil }
        stretches = merged
        self.wider = wider
        self.regions = regions
        self.byPosition = byPosition
        self.index = index
        windows = byName
        unseen = Set(regions.contigs.keys)
    }

    /// Positions of one contig, and the windows of the first and of the one behind the last.
    private struct Reach {
        var start: Int
        var end: Int
        var first: Int
        var last: Int

        init(start: Int, end: Int, in windows: Range<Int>) {
            self.start = start
            self.end = end
            first = min(windows.lowerBound + start >> BinningScheme.smallestShift, windows.upperBound - 1)
            last = min(windows.lowerBound + end >> BinningScheme.smallestShift, windows.upperBound - 1)
        }
    }

    /// The blocks for some positions, and those in which the lines on both sides are whole, however long they are.
    private static func stretches(
        _ index: TabixIndex, _ reach: Reach, guesses: Bool
    ) -> (BGZFGroupReader.Stretch, wider: BGZFGroupReader.Stretch) {
        let from = index.places[reach.first]
        let to = index.places[reach.last]
        let before = index.place(before: from)
        let behind = index.place(behind: to)
        // A line that begins with its block is not seen to be whole.
        let wider = before.flatMap { $0 & 0xffff == 0 ? index.place(before: $0) : $0 }
        var start = before
        var last = Self.last(before: behind)
        let room = guesses ? index.place(behind: from).flatMap { offset(of: reach.start, from, $0) } : nil
        let first = (room ?? Int(from & 0xffff)) - lineRoom
        if first >= BGZF.blockPayload { start = index.place(behind: from) } else if first >= 0 { start = from }
        if guesses, let behind, let end = offset(of: reach.end, to, behind), end + lineRoom < BGZF.blockPayload {
            last = Int(to >> 16)
        }
        let startBlock = start.map { Int($0 >> 16) } ?? 0
        return (
            .init(start: startBlock, last: max(last, startBlock)),
            wider: .init(
                start: wider.map { Int($0 >> 16) } ?? 0,
                last: Self.last(before: behind.flatMap { index.place(behind: $0) }))
        )
    }

    /// The block of the byte before a place.
    private static func last(before place: UInt64?) -> Int {
        place.map { $0 & 0xffff > 0 ? Int($0 >> 16) : Int($0 >> 16) - 1 } ?? .max
    }

    /// How far behind the beginning of the block of `place` a position may lie, whose window begins there, where the
    /// next window begins in that block or the one behind it; nil where it does not.
    private static func offset(of position: Int, _ place: UInt64, _ next: UInt64) -> Int? {
        let from = Int(place & 0xffff)
        var to = Int(next & 0xffff)
        if next >> 16 > place >> 16 {
            guard next >> 16 - place >> 16 <= UInt64(BGZF.maximumBlockSize) else { return nil }
            to += BGZF.blockPayload
        }
        let window = 1 << BinningScheme.smallestShift
        return from + max(0, to - from) * (position & (window - 1)) / window
    }

    /// What else is to be read of a gap that is not proven.
    ///
    /// - Parameters:
    ///   - from: the end of the blocks before it.
    ///   - next: the beginning of the stretch behind it; nil behind the last one.
    func stretches(from: Int, before next: Int?) -> [BGZFGroupReader.Stretch] {
        let end = next ?? .max
        var low = 0
        var behind = stretches.count
        while low < behind {
            let middle = (low + behind) / 2
            if stretches[middle].start >= end { behind = middle } else { low = middle + 1 }
        }
        var more: [BGZFGroupReader.Stretch] = []
        if behind > 0, wider[behind - 1].last >= from {
            // What goes on to the end of the file is seen to do so.
            let last = wider[behind - 1].last
            more.append(.init(start: from, last: next == nil ? last : min(last, end - 1)))
        }
        if behind < stretches.count, wider[behind].start < end {
            let start = max(from, wider[behind].start)
            if let last = more.last, start <= last.last {
                more[0].last = end - 1
            } else {
                more.append(.init(start: start, last: end - 1))
            }
        }
        return more
    }

    mutating func see(_ contig: String) { unseen.remove(contig) }

    /// Whether no record of a gap is wanted, by two neighbouring records that were read.
    ///
    /// - Parameters:
    ///   - after: the last record before the gap.
    ///   - before: the first one behind it; nil at the end of the file.
    ///   - gapEnd: the block in which reading goes on.
    func provesGap(
        after: (contig: String, position: Int)?, before: (contig: String, position: Int)?, gapEnd: Int
    ) -> Bool {
        func isFree(_ contig: String, _ range: Range<Int>) -> Bool { !regions.overlaps(contig, range) }
        switch (after, before) {
        case (let after?, let before?) where after.contig == before.contig:
            return after.position <= before.position && isFree(after.contig, after.position - 1..<before.position)
                && isNotBegun(before, gapEnd: gapEnd)
        case (let after, let before):
            return (after.map { isFree($0.contig, $0.position - 1..<Int.max) } ?? true)
                && (before.map { isFree($0.contig, 0..<$0.position) && isNotBegun($0, gapEnd: gapEnd) } ?? true)
        }
    }

    /// Whether the first record that has a part in the next region lies behind the gap, by the index: one that begins in the
    /// gap may reach into the region over the record behind the gap.
    private func isNotBegun(_ record: (contig: String, position: Int), gapEnd: Int) -> Bool {
        guard !byPosition, let intervals = regions.contigs[record.contig], let windows = windows[record.contig] else {
            return true
        }
        let next = intervals.firstIndex(endingAfter: record.position - 1)
        guard next < intervals.count else { return true }
        let reach = Reach(start: intervals.starts[next], end: intervals.ends[next], in: windows)
        return Int(index.places[reach.first] >> 16) >= gapEnd
    }

    /// Whether every contig of the regions was met.
    var isComplete: Bool { unseen.isEmpty }
}

/// The index does not belong to the file: the whole file must be read.
struct IndexDoesNotFit: Error {}
