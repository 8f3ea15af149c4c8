import Alignments
import GenomicFormats
import Mapping
import TestSupport
import Testing

/// Reads across the breakpoints of structural variants on random sequence: each part is where it was taken from.
@Suite struct SplitReadTests {
    private static let genome = {
        var random = SplitMix64(seed: 77)
        let contigs = ["one", "two"].map { name in
            ReferenceGenome.Contig(name: name, bases: random.bytes(30_000).map { $0 & 3 })
        }
        return ReferenceGenome(contigs: contigs)
    }()
    private static let index = Result { try ReferenceIndex(genome: genome, threads: 2) }

    /// A stretch of the genome as one part of a read shows it.
    struct Piece: Sendable, CustomStringConvertible {
        var contig = 0
        var range: Range<Int>
        var isReverse = false

        var turned: Piece { Piece(contig: contig, range: range, isReverse: !isReverse) }
        var bases: [UInt8] {
            let bases = SplitReadTests.genome.contigs[contig].bases[range]
            return isReverse ? bases.reversed().map { 3 - $0 } : Array(bases)
        }
        var description: String { "\(contig):\(range)\(isReverse ? "-" : "+")" }
    }

    /// The read, the first part the longest, and its mate.
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var pieces: [Piece]
        var mate: Piece

        var isOnOtherStrand: Case {
            Case(testDescription: testDescription + ", other strand", pieces: pieces.reversed().map(\.turned), mate: mate.turned)
        }
    }

    static let cases: [Case] = [
        Case(
            testDescription: "deletion of 5 kb", pieces: [Piece(range: 10_000..<10_090), Piece(range: 15_090..<15_150)],
            mate: Piece(range: 15_300..<15_450, isReverse: true)),
        Case(
            testDescription: "inversion",
            pieces: [Piece(range: 8_000..<8_090), Piece(range: 12_000..<12_060, isReverse: true)],
            mate: Piece(range: 11_700..<11_850)),
        Case(
            testDescription: "translocation",
            pieces: [Piece(range: 20_000..<20_080), Piece(contig: 1, range: 5_000..<5_070)],
            mate: Piece(contig: 1, range: 5_200..<5_350, isReverse: true)),
        Case(
            testDescription: "tandem duplication of 400 bases",
            pieces: [Piece(range: 17_310..<17_400), Piece(range: 17_000..<17_060)],
            mate: Piece(range: 17_200..<17_350, isReverse: true)),
        Case(
            testDescription: "three parts",
            pieces: [
                Piece(range: 3_000..<3_060), Piece(contig: 1, range: 9_000..<9_045, isReverse: true),
                Piece(range: 25_000..<25_045),
            ],
            mate: Piece(range: 3_200..<3_350, isReverse: true)),
    ]

    private func map(_ pairs: [[[UInt8]]], isUnpaired: Bool = false) throws -> BAMFile {
        let texts = (0..<pairs[0].count).map { mate -> [UInt8] in
            var text: [UInt8] = []
            for (number, pair) in pairs.enumerated() {
                text += Array("@q\(number)\n".utf8)
                for base in pair[mate] { text.append(BaseCode.ascii[Int(base)]) }
                text += Array("\n+\n".utf8)
                for place in pair[mate].indices { text.append(UInt8(40 + place % 30)) }
                text.append(10)
            }
            return text
        }
        var options = MappingRun.Options(threads: 2)
        options.keeps = .alignments
        let run = MappingRun(index: try Self.index.get(), options: options)
        let streams = texts.enumerated().map { (label: "\($0)", source: SampleReads.blocks($1)) }
        _ = try ReadBatcher(layout: texts.count == 1 ? .unpaired : .paired, streams: streams, keepsNames: true)
            .run { try run.submit($0) }
        let header = AlignmentHeader(
            genome: Self.genome, readGroups: [ReadGroup(id: "1", sample: "S", library: "L", platformUnit: "U")],
            program: .init(version: "1", commandLine: "map"))
        var bytes: [UInt8] = []
        _ = try BAMWriter(header: header, genome: Self.genome).write(try run.finish()) { bytes += $0 }
        return try BAMFile(bytes)
    }

    /// Breakpoints may move by bases that both sides share by chance.
    private func expect(_ records: [BAMRecord], _ pieces: [Piece], _ what: String) {
        #expect(records.count == pieces.count, "\(what): \(records.map(\.asPart))")
        for piece in pieces {
            let found = records.filter {
                $0.contig == piece.contig && $0.isReverse == piece.isReverse
                    && abs($0.position - piece.range.lowerBound) < 6 && abs($0.end - piece.range.upperBound) < 6
            }
            #expect(found.count == 1, "\(what): \(piece) among \(records.map(\.asPart))")
            #expect(found.allSatisfy { $0.mappingQuality >= 20 && $0.bases.count == 150 && $0.tags["NM"] == "0" }, "\(what)")
        }
    }

    @Test(arguments: cases) func partsAreWhereTheyWereTakenFrom(_ one: Case) throws {
        let variants = [one, one.isOnOtherStrand]
        let reads = variants.map { $0.pieces.flatMap(\.bases) }
        // As first and as second mate, and beside a mate that maps nowhere.
        let lost = [UInt8](repeating: 0, count: 150)
        let pairs = zip(variants, reads).flatMap { [[$1, $0.mate.bases], [$0.mate.bases, $1], [$1, lost]] }
        let bam = try map(pairs)
        let faults = bam.faults(Self.genome)
        #expect(faults.isEmpty, "\(faults.prefix(5))")
        for (number, pair) in pairs.enumerated() {
            let flag = reads.contains(pair[0]) ? 0x40 : 0x80
            let records = bam.records.filter { $0.name == "q\(number)" && $0.flags & flag != 0 }
            expect(records, variants[number / 3].pieces, "pair \(number)")
        }
        let alone = try map(reads.map { [$0] })
        #expect(alone.faults(Self.genome).isEmpty)
        for (number, variant) in variants.enumerated() {
            let records = alone.records.filter { $0.name == "q\(number)" }
            expect(records, variant.pieces, "read \(number)")
            let longest = records.max { Int($0.tags["AS"]!)! < Int($1.tags["AS"]!)! }
            #expect(longest?.isSupplementary == false)
        }
    }

    /// What does not belong to the genome, or is too short to be placed, is left out at the end of the one alignment.
    @Test func readsThatDoNotLieInParts() throws {
        var random = SplitMix64(seed: 3)
        let foreign = random.bytes(60).map { $0 & 3 }
        let own = Piece(range: 6_000..<6_150).bases
        let far = Piece(contig: 1, range: 6_000..<6_150).bases
        let reads = [
            own, Array(own[..<90]) + foreign, foreign + Array(own[60...]), Array(own[..<125]) + Array(far[125...]),
            Array(own[..<131]) + Array(far[131...]),
        ]
        let bam = try map(reads.map { [$0] })
        #expect(bam.faults(Self.genome).isEmpty)
        #expect(bam.records.count == reads.count && bam.records.allSatisfy { $0.tags["SA"] == nil && $0.contig == 0 })
    }

    /// A read whose second half turns back onto the first: both alignments begin at one place, and keep their order.
    @Test func partsAtOnePlace() throws {
        let there = Piece(range: 14_000..<14_075)
        let read = there.bases + there.turned.bases
        let bams = try (0..<3).map { _ in try map([[read], [read]]) }
        for bam in bams {
            #expect(bam.faults(Self.genome).isEmpty && bam.records.count == 4)
            #expect(bam.records.map(\.position) == [14_000, 14_000, 14_000, 14_000])
            #expect(bam.records.map { "\($0.name) \($0.isSupplementary)" } == ["q0 false", "q0 true", "q1 false", "q1 true"])
        }
    }
}
