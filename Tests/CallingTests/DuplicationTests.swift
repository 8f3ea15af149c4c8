import Calling
import GenomicFormats
import Mapping
import Testing

/// Tandem duplications too long for an alignment with a gap: all that the reads show is clipped ends.
struct DuplicationTests {
    /// Clipped reads of a haplotype that holds `copied` twice in a row.
    private func addReads(_ reads: inout SyntheticReads, copied: Range<Int>, step: Int) {
        let genome = reads.reference.contigs[0].bases
        let haplotype = Array(genome[..<copied.upperBound] + genome[copied.lowerBound...])
        let length = reads.readLength
        for (rank, start) in stride(from: copied.lowerBound - 300, to: copied.upperBound + 300, by: step).enumerated() {
            let bases = Array(haplotype[start..<start + length])
            let before = copied.upperBound - start
            let isReverse = rank % 2 == 1
            if before >= length {
                reads.append(
                    bases, [CigarOperation(.match, length)], start: start, end: start + length, isReverse: isReverse)
            } else if before <= 0 {
                let place = start - copied.count
                reads.append(
                    bases, [CigarOperation(.match, length)], start: place, end: place + length, isReverse: isReverse)
            } else if before * 2 >= length {
                let cigar = [CigarOperation(.match, before), CigarOperation(.softClip, length - before)]
                reads.append(bases, cigar, start: start, end: copied.upperBound, isReverse: isReverse)
            } else {
                let cigar = [CigarOperation(.softClip, before), CigarOperation(.match, length - before)]
                let place = copied.lowerBound
                reads.append(bases, cigar, start: place, end: place + length - before, isReverse: isReverse)
            }
        }
    }

    @Test(arguments: [29, 34, 46, 55]) func heterozygousDuplicationIsFound(length: Int) throws {
        let bases = genome(4000)
        var reads = SyntheticReads(bases)
        reads.readLength = 150
        let copied = 2000..<2000 + length
        addReads(&reads, copied: copied, step: 8)
        reads.add(range: 1700..<2300, step: 8)
        let calls = try reads.call()
        #expect(calls.count == 1)
        let fields = calls.first?.line.split(separator: "\t").map(String.init) ?? []
        // Left-aligned: the copy may be written some bases further left.
        let place = Int(fields.count > 1 ? fields[1] : "") ?? 0
        #expect((1900...2000).contains(place))
        #expect(fields.count > 9 && fields[4].utf8.count == length + 1 && fields[9].hasPrefix("0/1"))
    }
}
