/// A simple difference from the reference: a substituted base, an insertion or a deletion. Coordinates are zero-based.
package struct Event: Hashable, Comparable, Sendable {
    /// First replaced base; an insertion lies in front of it.
    package var start: Int
    package var referenceLength: Int
    /// ``GenomicFormats/BaseCode`` values; empty for a deletion.
    package var alternate: [UInt8]

    package init(start: Int, referenceLength: Int, alternate: [UInt8]) {
        self.start = start
        self.referenceLength = referenceLength
        self.alternate = alternate
    }

    package var isSubstitution: Bool { referenceLength == 1 && alternate.count == 1 }
    package var end: Int { start + referenceLength }
    /// Bases inserted or deleted.
    package var length: Int { max(referenceLength, alternate.count) }
    /// Zero-based place of the VCF record: the base before an insertion or deletion.
    package var anchor: Int { isSubstitution ? start : start - 1 }

    package static func < (a: Event, b: Event) -> Bool {
        if a.start != b.start { return a.start < b.start }
        if a.referenceLength != b.referenceLength { return a.referenceLength < b.referenceLength }
        return a.alternate.lexicographicallyPrecedes(b.alternate)
    }

    /// True when one haplotype can carry both, `self` being first in order.
    func precedes(_ next: Event) -> Bool {
        if isSubstitution || next.isSubstitution { return end <= next.start }
        return end < next.start
    }

    /// The same change as far left as the reference lets it go (Tan et al. 2015), not beyond `limit`.
    package func leftAligned(reference: UnsafeBufferPointer<UInt8>, limit: Int = 1) -> Event {
        guard !isSubstitution, referenceLength == 0 || alternate.isEmpty else { return self }
        var moved = self
        if alternate.isEmpty {
            while moved.start > limit, reference[moved.start - 1] == reference[moved.start + referenceLength - 1] {
                moved.start -= 1
            }
            return moved
        }
        var shift = 0
        let count = alternate.count
        // Rotating the inserted bases is bookkeeping on an offset; they are written out once.
        while moved.start > limit, reference[moved.start - 1] == alternate[(count * 2 - 1 - shift % count) % count] {
            moved.start -= 1
            shift += 1
        }
        let rotation = shift % count
        if rotation > 0 { moved.alternate = Array(alternate[(count - rotation)...] + alternate[..<(count - rotation)]) }
        return moved
    }
}
