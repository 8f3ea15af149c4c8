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

    /// The substitutions that a change of several bases is made of; none when it changes the length.
    func parts(_ reference: UnsafeBufferPointer<UInt8>) -> [Event] {
        guard !isSubstitution, referenceLength == alternate.count else { return [] }
        return alternate.indices.filter { alternate[$0] != reference[start + $0] }.map {
            Event(start: start + $0, referenceLength: 1, alternate: [alternate[$0]])
        }
    }

    /// How far to the right an insertion or a deletion may be moved and still be the same change.
    private func play(_ reference: UnsafeBufferPointer<UInt8>) -> Int {
        var shift = 0
        while end + shift < reference.count,
            reference[end + shift] == (alternate.isEmpty ? reference[start + shift] : alternate[shift % alternate.count])
        {
            shift += 1
        }
        return shift
    }

    /// Whether another change touches the bases that this one replaces, or is an insertion or deletion in the same
    /// stretch of a repeat: a haplotype with it has neither this change nor the reference.
    func collides(with other: Event, reference: UnsafeBufferPointer<UInt8>) -> Bool {
        guard self != other else { return false }
        let isLengthOnly = referenceLength == 0 || alternate.isEmpty
        if isLengthOnly, other.referenceLength == 0 || other.alternate.isEmpty {
            return other.start <= end + play(reference) && start <= other.end + other.play(reference)
        }
        return other.start < end && start < other.end
    }
}
