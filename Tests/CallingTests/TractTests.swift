import Calling
import GenomicFormats
import Mapping
import Testing

/// Tandem repeats that few of the reads over them span.
@Suite struct TractTests {
    private static let tract = 503..<563
    private let bases = genome(1200, pieces: [(500, "GCC" + String(repeating: "CAT", count: 20) + "GGC")])

    /// Three reads show the insertion and seven the reference's length, among more than thirty that lie over the
    /// tract's first base: all but those ten look the same either way.
    @Test func readsThatSpanTheTractDecide() throws {
        var reads = SyntheticReads(bases)
        let change = Change(place: 503, removed: 0, inserted: codes("CAT"))
        reads.add([change], range: 466..<496, step: 10)
        reads.add(range: 388..<640, step: 5)
        reads.add(range: 388..<460, step: 5)
        let calls = try reads.call()
        #expect(calls.map(\.summary) == ["503 C CCAT 0/1"])
        #expect(calls.first?.filter == "PASS")
    }

    /// One read has its gap opened. The others reach a few bases beyond the tract and are clipped there, or laid out
    /// with mismatches.
    @Test(arguments: [3, 6, -3, -6], [true, false])
    func endsThatFitAMovedFlankAreEvidence(change: Int, isClipped: Bool) throws {
        let inserted = codes(String(repeating: "CAT", count: max(0, change) / 3))
        let removed = max(0, -change)
        let haplotype = Array(bases[..<503]) + inserted + Array(bases[(503 + removed)...])
        var reads = SyntheticReads(bases)
        reads.addRead([Change(place: 503, removed: removed, inserted: inserted)], start: 483, isReverse: false)
        for start in [471, 473, 475, 477] {
            let letters = Array(haplotype[start..<start + 100])
            let tail = isClipped ? start + 100 - min(Self.tract.upperBound, Self.tract.upperBound + change) : 0
            var cigar = [CigarOperation(.match, 100 - tail)]
            if tail > 0 { cigar.append(CigarOperation(.softClip, tail)) }
            reads.append(letters, cigar, start: start, end: start + 100 - tail, isReverse: start % 4 == 1)
        }
        reads.add(range: 388..<640, step: 6)
        let calls = try reads.call()
        #expect(calls.count == 1)
        let fields = calls.first?.summary.split(separator: " ") ?? []
        #expect(fields.count == 4 && fields[0] == "503" && fields[2].count - fields[1].count == change)
        #expect(fields.last == "0/1")
    }

    /// Ends that show nothing but the reference are no evidence: one gap alone is stutter.
    @Test func oneGapIsNotAVariant() throws {
        var reads = SyntheticReads(bases)
        reads.addRead([Change(place: 503, removed: 0, inserted: codes("CAT"))], start: 483, isReverse: false)
        reads.add(range: 388..<640, step: 5)
        #expect(try reads.call().isEmpty)
    }

    /// Two alternate bases lie near the ends of their reads by chance, six do not.
    @Test(arguments: [2, 6]) func readEndNeedsSeveralReads(count: Int) throws {
        let bases = genome(1200)
        let other = (bases[600] + 1) % 4
        var reads = SyntheticReads(bases)
        for rank in 0..<count {
            let change = Change(place: 600, removed: 1, inserted: [other])
            reads.addRead([change], start: 599 - rank, isReverse: rank % 2 == 0)
        }
        for rank in 0..<3 { reads.addRead([], start: 530 + 10 * rank, isReverse: rank == 1) }
        let calls = try reads.call()
        #expect(calls.map(\.summary.first) == ["6"])
        #expect(calls.first?.filter.contains("ReadEnd") == (count > 3))
    }
}
