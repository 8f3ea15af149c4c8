import Calling
import GenomicFormats
import Mapping
import Testing

/// Events that no single alignment shows, and those that repeats make hard.
@Suite struct RegionTests {
    private let length = 150

    /// Reads of a haplotype without `removed`: those that cross it are clipped behind their longer part.
    private func addClippedReads(_ reads: inout SyntheticReads, removed: Range<Int>, step: Int) {
        let genome = reads.reference.contigs[0].bases
        let haplotype = Array(genome[..<removed.lowerBound] + genome[removed.upperBound...])
        let first = removed.lowerBound - 300
        for (rank, start) in stride(from: first, to: first + 600, by: step).enumerated() {
            let bases = Array(haplotype[start..<start + length])
            let before = max(0, min(length, removed.lowerBound - start))
            let isReverse = rank % 2 == 1
            if before == length {
                reads.append(bases, [.init(.match, length)], start: start, end: start + length, isReverse: isReverse)
            } else if before == 0 {
                let place = start + removed.count
                reads.append(bases, [.init(.match, length)], start: place, end: place + length, isReverse: isReverse)
            } else if before * 2 >= length {
                let cigar = [CigarOperation(.match, before), CigarOperation(.softClip, length - before)]
                reads.append(bases, cigar, start: start, end: removed.lowerBound, isReverse: isReverse)
            } else {
                let cigar = [CigarOperation(.softClip, before), CigarOperation(.match, length - before)]
                let end = removed.upperBound + length - before
                reads.append(bases, cigar, start: removed.upperBound, end: end, isReverse: isReverse)
            }
        }
    }

    @Test(arguments: [30, 45, 60, 75, 90, 100]) func heterozygousDeletionIsFoundFromClips(removed: Int) throws {
        let bases = genome(4000)
        var reads = SyntheticReads(bases)
        reads.readLength = length
        addClippedReads(&reads, removed: 2000..<2000 + removed, step: 8)
        reads.add(range: 1700..<2400, step: 8)
        let calls = try reads.call()
        #expect(calls.count == 1)
        let fields = calls.first?.summary.split(separator: " ") ?? []
        #expect(fields.count == 4 && fields[1].count == removed + 1 && fields[2].count == 1 && fields[3] == "0/1")
    }

    /// Reads of a haplotype that are all laid out without a gap, as an aligner does when mismatches are cheaper.
    private func addUngappedReads(_ reads: inout SyntheticReads, _ haplotype: [UInt8], range: Range<Int>, step: Int) {
        for (rank, start) in stride(from: range.lowerBound, to: range.upperBound, by: step).enumerated() {
            let letters = Array(haplotype[start..<start + 100])
            reads.append(
                letters, [.init(.match, 100)], start: start, end: start + 100, isReverse: rank % 2 == 0)
        }
    }

    @Test func insertionAndDeletionBehindItAreNotSubstitutions() throws {
        let bases = genome(1200, pieces: [(500, "GATTCCAGCTTGACATGCATCGGATCCTAGGCAT")])
        // One base in front of the piece, one fewer behind it: everything between is shifted.
        let haplotype = Array(bases[..<500]) + codes("C") + Array(bases[500..<533]) + Array(bases[534...])
        var reads = SyntheticReads(bases)
        addUngappedReads(&reads, haplotype, range: 380..<560, step: 6)
        reads.add(range: 380..<560, step: 6)
        let calls = try reads.call()
        #expect(calls.count == 2)
        #expect(calls.allSatisfy { ["0/1", "0|1"].contains($0.summary.suffix(3)) })
        let lengths = calls.map { call in
            let fields = call.summary.split(separator: " ")
            return fields[2].count - fields[1].count
        }
        #expect(lengths == [1, -1])
    }

    @Test func differentInsertionsInALongHomopolymerAreBothFound() throws {
        let genome = genome(1200, pieces: [(500, "GC" + String(repeating: "A", count: 18) + "GC")])
        var reads = SyntheticReads(genome)
        reads.add([Change(place: 502, removed: 0, inserted: codes("A"))], range: 390..<515, step: 5)
        reads.add([Change(place: 503, removed: 0, inserted: codes("G"))], range: 390..<515, step: 5)
        // Reads that end in the tract show the second insertion as a substitution.
        for start in [405, 406, 407, 408] {
            let letters = Array(genome[start..<503]) + codes("G") + Array(genome[504..<start + 100])
            reads.append(letters, [.init(.match, 100)], start: start, end: start + 100, isReverse: false)
        }
        let calls = try reads.call().filter { $0.filter == "PASS" }
        #expect(calls.map(\.summary) == ["502 C CA 0|1", "503 A AG 1|0"])
    }

    /// The same share of reads with a shorter tract is an error in a sample that shows it everywhere, and a variant in
    /// one that shows it nowhere else.
    @Test(arguments: [true, false]) func stutterIsEstimatedFromTheSample(isNoisy: Bool) throws {
        let tracts = Array(stride(from: 500, to: 24_000, by: 400))
        let genome = genome(
            25_000, pieces: tracts.map { ($0, "GC" + String(repeating: "A", count: 14) + "GC") })
        var reads = SyntheticReads(genome)
        for (rank, tract) in tracts.enumerated() {
            let isTarget = rank == tracts.count / 2
            for index in 0..<40 {
                let isShorter = index % 5 == 0 && (isNoisy || isTarget)
                let change = isShorter ? [Change(place: tract + 2, removed: 1, inserted: [])] : []
                reads.addRead(change, start: tract - 75 + 2 * (index % 32), isReverse: index % 2 == 0)
            }
        }
        let passing = try reads.call().filter { $0.filter == "PASS" }
        #expect(passing.count == (isNoisy ? 0 : 1))
    }

    @Test func aPileOfReadsTakesBoundedWork() throws {
        let bases = genome(1200)
        var reads = SyntheticReads(bases)
        for rank in 0..<100_000 {
            let changes = rank % 2 == 0 ? [Change(place: 500, removed: 20, inserted: [])] : []
            reads.addRead(changes, start: 410 + rank % 80, isReverse: rank % 3 == 0)
        }
        try reads.store.seal()
        var lines: [String] = []
        let metrics = try VariantCaller(reference: reads.reference).call(store: reads.store, threads: 1) {
            lines.append(String(decoding: $0, as: UTF8.self))
        }
        #expect(lines.count == 1 && lines[0].contains("0/1"))
        #expect(metrics.sampledOutReads > 95_000 && metrics.cells < 100_000_000)
    }

    /// Tracts in which one unit differs; no read spans them, and reads that lie on their left show that unit moved.
    @Test(arguments: [-12, -6, 6, 12], [true, false])
    func movedUnitOfARepeatIsAnIndel(change: Int, isHomozygous: Bool) throws {
        let unit = "CGTAAA"
        let tract = String(repeating: unit, count: 9) + "CGTAAT" + String(repeating: unit, count: 12)
        let bases = genome(2000, pieces: [(900, "GCC" + tract + "GCG")])
        let inserted = codes(String(repeating: unit, count: max(0, change) / 6))
        let haplotype = Array(bases[..<903]) + inserted + Array(bases[(903 - min(0, change))...])
        var reads = SyntheticReads(bases)
        let other = isHomozygous ? (haplotype, change) : (bases, 0)
        for rank in 0..<60 {
            for (letters, shift) in [(haplotype, change), other] {
                // Reads on the left end in the tract, reads on the right begin in it.
                let left = 780 + 2 * rank
                let isReverse = rank % 2 == 1
                if left < 890 {
                    let end = min(left + 120, 1020)
                    reads.append(
                        Array(letters[left..<end]), [.init(.match, end - left)], start: left, end: end,
                        isReverse: isReverse)
                }
                let right = 922 + 2 * rank
                reads.append(
                    Array(letters[right + shift..<right + shift + 120]), [.init(.match, 120)], start: right,
                    end: right + 120, isReverse: isReverse)
            }
        }
        let calls = try reads.call()
        #expect(calls.count == 1)
        let fields = calls.first?.summary.split(separator: " ") ?? []
        #expect(fields.count == 4 && fields[0] == "903" && fields[2].count - fields[1].count == change)
        #expect(fields.last.map { isHomozygous ? ["1/1", "1|1"].contains($0) : $0.contains("0") } == true)
    }

    /// Two substitutions one unit apart stay what they are where reads span the tract.
    @Test func substitutionsAUnitApartAreKeptWhereReadsSpanTheTract() throws {
        let unit = "CGTAAA"
        let tract = String(repeating: unit, count: 4) + "CGTAAT" + String(repeating: unit, count: 4)
        let bases = genome(2000, pieces: [(900, "GCC" + tract + "GCG")])
        let changes = [
            Change(place: 926, removed: 1, inserted: codes("T")), Change(place: 932, removed: 1, inserted: codes("A")),
        ]
        var reads = SyntheticReads(bases)
        reads.add(changes, range: 810..<960, step: 4)
        reads.add(range: 810..<960, step: 4)
        let calls = try reads.call()
        #expect(calls.map(\.summary) == ["927 A T 0|1", "933 T A 0|1"])
    }
}
