import Diagnostics
import Foundation
import GenomicFormats
import Mapping
import Testing

struct MapperTests {
    private func cigar(_ batch: MappedBatch, _ read: Int) -> String {
        let mapped = batch.reads[read]
        return batch.cigars[Int(mapped.cigarStart)..<Int(mapped.cigarStart) + Int(mapped.cigarCount)].map {
            let operation = CigarOperation(rawValue: $0)
            return "\(operation.length)\(Array("MIDNS")[Int(operation.kind.rawValue)])"
        }.joined()
    }

    private struct Accuracy {
        var correct = 0
        var wrongButConfident = 0
        var reads = 0
    }

    private func accuracy(_ genome: ReferenceGenome, length: Int, pairs: Int, seed: UInt64) throws -> Accuracy {
        let reads = SimulatedReads(genome, pairs: pairs, length: length, seed: seed)
        let index = try ReferenceIndex(genome: genome, threads: 2)
        let mapper = PairedMapper(index: index)
        var result = Accuracy()
        var next = 0
        for batch in reads.batches(of: 1000) {
            let mapped = try mapper.map(batch)
            for (read, placed) in mapped.reads.enumerated() {
                let origin = reads.pairs[(next + read) / 2].origins[read % 2]
                var start = Int(placed.position)
                let first = placed.isMapped ? CigarOperation(rawValue: mapped.cigars[Int(placed.cigarStart)]) : nil
                if let first, first.kind == .softClip { start -= first.length }
                let isCorrect = Int(placed.contig) == origin.contig && abs(start - origin.position) <= 25
                    && placed.flags.contains(.reverse) == origin.isReverse
                result.reads += 1
                if isCorrect { result.correct += 1 }
                if !isCorrect && placed.isMapped && placed.mappingQuality >= 20 { result.wrongButConfident += 1 }
            }
            next += mapped.reads.count
        }
        return result
    }

    @Test(arguments: [(36, 0.985), (101, 0.995), (151, 0.996), (500, 0.998)])
    func realSequence(length: Int, least: Double) throws {
        guard let file = sharedData("refs/hg38_chr21_22000000_23000000.fa.gz") else { return }
        let result = try accuracy(genome(fasta: gunzippedLines(file)), length: length, pairs: 10_000, seed: 7)
        #expect(Double(result.correct) / Double(result.reads) >= least, "\(result)")
        #expect(Double(result.wrongButConfident) / Double(result.reads) <= 0.0002, "\(result)")
    }

    private let plain: ReferenceGenome = {
        var random = TestRandom(21)
        return ReferenceGenome(contigs: [
            .init(name: "one", bases: random.sequence(60_000)), .init(name: "two", bases: random.sequence(30_000)),
        ])
    }()

    @Test func gapsClipsAndStrands() throws {
        let one = plain.contigs[0].bases
        var random = TestRandom(22)
        let deletion = Array(one[1000..<1060]) + Array(one[1075..<1130])
        let insertion = Array(one[2000..<2050]) + random.sequence(12) + Array(one[2050..<2100])
        let clipped = Array(one[3000..<3080]) + random.sequence(40)
        let mapper = PairedMapper(index: try ReferenceIndex(genome: plain))
        let reads = [deletion, insertion, clipped, reverseComplement(deletion)]
        let mapped = try mapper.map(.single(reads))
        #expect(mapped.reads.map(\.contig) == [0, 0, 0, 0])
        #expect(mapped.reads.prefix(3).map(\.position) == [1000, 2000, 3000])
        #expect(cigar(mapped, 0).contains("15D") && mapped.reads[0].end == 1130 && mapped.reads[0].editDistance == 15)
        #expect(cigar(mapped, 1).contains("12I") && mapped.reads[1].end == 2100)
        let clip = CigarOperation(rawValue: mapped.cigars[Int(mapped.reads[2].cigarStart) + 1])
        #expect(clip.kind == .softClip && (30...40).contains(clip.length))
        #expect(mapped.reads[3].flags.contains(.reverse) && cigar(mapped, 3) == cigar(mapped, 0))
    }

    @Test func unknownBasesAndContigEnds() throws {
        let one = plain.contigs[0].bases
        var withN = Array(one[500..<600])
        for i in [3, 50, 51, 98] { withN[i] = 4 }
        let left = [UInt8](repeating: 1, count: 3) + Array(one[0..<97])
        let right = Array(one[59_905...]) + [1, 2, 1]
        var random = TestRandom(23)
        let junk = random.sequence(100)
        let mapper = PairedMapper(index: try ReferenceIndex(genome: plain))
        let mapped = try mapper.map(
            .single([withN, left, right, junk, [UInt8](repeating: 4, count: 80), [], [0], Array(one[700..<735])]))
        #expect(mapped.reads[0].position == 500 && cigar(mapped, 0) == "100M" && mapped.reads[0].editDistance == 4)
        #expect(mapped.reads[1].position == 0 && cigar(mapped, 1) == "3S97M")
        #expect(mapped.reads[2].position == 59_905 && mapped.reads[2].end == 60_000 && cigar(mapped, 2) == "95M3S")
        for read in 3...6 { #expect(mapped.reads[read].flags.contains(.unmapped) && !mapped.reads[read].isMapped) }
        #expect(mapped.reads[7].isMapped == false || mapped.reads[7].position == 700)
    }

    @Test func copiesHaveNoMappingQuality() throws {
        var random = TestRandom(24)
        let copy = random.sequence(2000)
        let bases = random.sequence(5000) + copy + random.sequence(5000) + copy + random.sequence(5000)
        let genome = ReferenceGenome(contigs: [.init(name: "x", bases: bases)])
        let mapper = PairedMapper(index: try ReferenceIndex(genome: genome))
        let inside = try mapper.map(.single([Array(copy[800..<900])]))
        #expect(inside.reads[0].isMapped && inside.reads[0].mappingQuality == 0)
        // One mate in unique sequence decides which copy the other one belongs to.
        let pair = [Array(bases[11_850..<11_950]), reverseComplement(Array(bases[12_050..<12_150]))]
        let mapped = try mapper.map(pairedBatches([pair], of: 1)[0])
        #expect(mapped.reads.map(\.position) == [11_850, 12_050])
        #expect(mapped.reads[0].mappingQuality >= 20 && mapped.reads[1].mappingQuality >= 20)
    }

    @Test func pairsCarryFlagsAndTemplateLength() throws {
        let one = plain.contigs[0].bases
        let mapper = PairedMapper(index: try ReferenceIndex(genome: plain))
        var bad = reverseComplement(Array(one[10_200..<10_300]))
        for i in stride(from: 4, to: 100, by: 14) { bad[i] = (bad[i] + 1) & 3 }
        var random = TestRandom(25)
        let pairs = [
            [Array(one[10_000..<10_100]), reverseComplement(Array(one[10_200..<10_270]))],
            [Array(one[10_000..<10_100]), bad],
            [random.sequence(100), Array(one[5_000..<5_100])],
        ]
        let mapped = try mapper.map(pairedBatches(pairs, of: 3)[0])
        #expect(mapped.reads[0].flags == [.paired, .properPair, .firstInPair, .mateReverse])
        #expect(mapped.reads[1].flags == [.paired, .properPair, .secondInPair, .reverse])
        #expect(mapped.reads[0].templateLength == 270 && mapped.reads[1].templateLength == -270)
        #expect(mapped.reads[3].isRescued && mapped.reads[3].position == 10_200)
        #expect(mapped.reads[4].flags == [.paired, .firstInPair, .unmapped])
        #expect(mapped.reads[5].flags == [.paired, .secondInPair, .mateUnmapped])
    }

    @Test func unusableBatchesAreRefused() throws {
        let mapper = PairedMapper(index: try ReferenceIndex(genome: plain))
        var random = TestRandom(26)
        #expect(throws: Failure.self) { try mapper.map(.single([random.sequence(501)])) }
        var odd = ReadBatch(firstOrdinal: 0, isPaired: true)
        odd.add(random.sequence(100))
        #expect(throws: Failure.self) { try mapper.map(odd) }
    }
}
