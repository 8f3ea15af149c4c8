import GenomicFormats
import Mapping

/// Counts the alignments of one piece of a contig after the other. Belongs to one thread.
final class PieceCounter {
    private let store: ReadStore
    private let groups: OrdinalGroups
    /// Differences between the depths of neighbouring positions of the piece.
    private let steps: UnsafeMutableBufferPointer<Int32>
    /// How many positions of the piece have each depth below the limit of dense histograms: those with N, then known
    /// ones.
    private let tallies: UnsafeMutableBufferPointer<Int>

    private(set) var figures: [ReadFigures]
    private(set) var coveringReads = 0

    init(store: ReadStore, groups: OrdinalGroups, groupCount: Int) {
        self.store = store
        self.groups = groups
        figures = [ReadFigures](repeating: ReadFigures(), count: groupCount)
        steps = .allocate(capacity: ReadStore.binSpan + 1)
        tallies = .allocate(capacity: 2 * Histogram.denseLimit)
    }

    deinit {
        steps.deallocate()
        tallies.deallocate()
    }

    /// Counts the alignments that begin in `range`, and returns the depths of its positions.
    func count(_ contig: Int, _ range: Range<Int>, _ reference: [UInt8]) throws -> (all: Histogram, known: Histogram) {
        steps.initialize(repeating: 0)
        try reference.withUnsafeBufferPointer { reference in
            try store.forEachRead(contig: contig, overlapping: range, includingSupplementary: true) { view in
                let isOwn = Int(view.header.position) >= range.lowerBound
                if isOwn { figures[groups.group(of: view.header.ordinal)].count(view, reference) }
                guard Self.covers(view.header) else { return }
                if isOwn && ReadFigures.isPrimary(view.header.flags) { coveringReads += 1 }
                cover(view, range)
            }
        }
        return depths(range, reference)
    }

    private static func covers(_ header: AlignedReadHeader) -> Bool {
        !header.flags.contains(.duplicate) && !ReadFigures.isSecondary(header.flags) && header.mappingQuality > 0
    }

    private func cover(_ view: AlignedReadView, _ range: Range<Int>) {
        var place = Int(view.header.position)
        for word in view.cigar {
            let length = Int(word >> 4)
            switch AlignmentStep(word) {
            case .aligned:
                let from = max(place, range.lowerBound)
                let to = min(place + length, range.upperBound)
                if from < to {
                    steps[from - range.lowerBound] += 1
                    steps[to - range.lowerBound] -= 1
                }
                place += length
            case .deleted, .skipped: place += length
            case .inserted, .clipped, .absent: break
            }
        }
    }

    private func depths(_ range: Range<Int>, _ reference: [UInt8]) -> (all: Histogram, known: Histogram) {
        var all = Histogram()
        var known = Histogram()
        tallies.initialize(repeating: 0)
        reference.withUnsafeBufferPointer { reference in
            var depth = 0
            for (offset, base) in reference[range].enumerated() {
                depth += Int(steps[offset])
                let isKnown = base < BaseCode.n
                if depth < Histogram.denseLimit {
                    tallies[2 * depth + (isKnown ? 1 : 0)] += 1
                } else {
                    all.add(depth)
                    if isKnown { known.add(depth) }
                }
            }
        }
        for depth in 0..<Histogram.denseLimit {
            all.add(depth, times: tallies[2 * depth] + tallies[2 * depth + 1])
            known.add(depth, times: tallies[2 * depth + 1])
        }
        return (all, known)
    }
}
