import GenomicFormats

/// What reads say of the length of a tandem repeat beyond their own gaps.
///
/// Only reads with bases on both sides of a tract can tell its length, and a tract that is nearly as long as a read
/// has few of them. Of those that reach only a little beyond it, a mapper lays out most without a gap: a few
/// mismatches or a clipped end cost less than opening one.
struct TractReads {
    let window: ReadWindow
    let reference: UnsafeBufferPointer<UInt8>

    /// Bases that a read needs beyond each end of a tract to tell its length.
    static let anchor = 5
    /// A read that reaches this far beyond a tract has its gap opened.
    static let tail = 24
    /// Bases beyond the tract that must agree with the other length, and those that must differ without it.
    static let leastAgreeing = 4
    static let leastDiffering = 2

    /// Shorter tracts are spanned by nearly all the reads that touch them.
    static let leastTract = 24

    /// Reads that can tell the length of an indel's tract, and the fragments whose ends show the indel without a gap.
    func support(_ event: Event, tract: Range<Int>) -> (spanning: Int, tails: Int) {
        guard tract.count >= Self.leastTract, event.referenceLength == 0 || event.alternate.isEmpty
        else { return (0, 0) }
        return (spanning(tract), tails(tract, change: event.alternate.count - event.referenceLength))
    }

    /// Reads that span a tract.
    private func spanning(_ tract: Range<Int>) -> Int {
        window.aligned(over: tract).count {
            window.reads[$0].position + Self.anchor <= tract.lowerBound
                && window.reads[$0].end >= tract.upperBound + Self.anchor
        }
    }

    /// Fragments whose end, clipped or laid out with mismatches, fits a tract that is longer by `change` bases, and
    /// does not fit the reference's.
    private func tails(_ tract: Range<Int>, change: Int) -> Int {
        var fragments: Set<UInt64> = []
        for read in window.indices(around: tract) {
            let entry = window.reads[read]
            guard entry.clipsAreGenome, !fragments.contains(entry.fragment) else { continue }
            let first = entry.baseStart
            let last = first + entry.baseCount
            func behind(_ border: Int) -> Range<Int> { min(max(border, first), last)..<last }
            func before(_ border: Int) -> Range<Int> { first..<min(max(border, first), last) }
            let (leading, trailing) = window.clips(of: read)
            window.forEachMatch(read) { position, base, count in
                // A match that lies in the tract and ends with the read, but for a clip.
                let inside = min(position + count, tract.upperBound) - max(position, tract.lowerBound)
                guard inside >= max(Self.anchor, abs(change)) else { return }
                let end = base + tract.upperBound - position
                let start = base + tract.lowerBound - position
                let isTail =
                    base + count + trailing == last
                    && isMoved(end, to: end + change, beyond: behind, place: tract.upperBound)
                let isHead =
                    base - leading == first
                    && isMoved(start, to: start - change, beyond: before, place: tract.lowerBound)
                if isTail || isHead { fragments.insert(entry.fragment) }
            }
        }
        return fragments.count
    }

    /// Whether the reference's base at `place`, where a tract begins or ends, is in the read at `moved` rather than at
    /// `plain`. `beyond` gives the read's bases on the far side of a border.
    private func isMoved(_ plain: Int, to moved: Int, beyond: (Int) -> Range<Int>, place: Int) -> Bool {
        let (old, new) = (beyond(plain), beyond(moved))
        guard old.count <= Self.tail, new.count >= Self.leastAgreeing else { return false }
        func differing(_ bases: Range<Int>, _ border: Int) -> Int {
            bases.count {
                let other = place + $0 - border
                return !reference.indices.contains(other) || window.bases[$0] != reference[other]
            }
        }
        // What lies between the two borders belongs to the tract, whichever is right.
        let all = old.count > new.count ? old : new
        return differing(all, moved) == 0 && differing(old, plain) >= Self.leastDiffering
    }
}
