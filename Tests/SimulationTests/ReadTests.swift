import Diagnostics
import GenomicFormats
import Simulation
import Storage
import TestSupport
import Testing

@Suite struct ReadTests {
    struct Read {
        var name: Substring
        var bases: [UInt8]
        var qualities: [UInt8]
    }

    /// Where one mate of a named pair comes from.
    struct Place: Equatable {
        var contig: String
        var haplotype: Int
        var isReverse: Bool
        /// 0-based.
        var position: Int
    }

    static func parse(_ text: [UInt8]) -> [Read] {
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        return stride(from: 0, to: lines.count - 1, by: 4).map { line in
            precondition(lines[line].first == "@" && lines[line + 2] == "+")
            return Read(
                name: lines[line].dropFirst().prefix { $0 != " " },
                bases: lines[line + 1].utf8.map { BaseCode.ofASCII[Int($0)] },
                qualities: lines[line + 3].utf8.map { $0 - 33 })
        }
    }

    static func files(
        _ write: ([String]) throws -> ReadSimulator.Totals
    ) throws -> (text: [[UInt8]], totals: ReadSimulator.Totals) {
        let directory = try TemporaryDirectory()
        let totals = try write([directory.file("1.fq"), directory.file("2.fq")])
        return ([try directory.read("1.fq"), try directory.read("2.fq")], totals)
    }

    static func draw(
        _ simulator: ReadSimulator, _ sample: DiploidSample, _ genome: ReferenceGenome, pairs: Int
    ) throws -> (mates: [[Read]], totals: ReadSimulator.Totals) {
        let drawn = try files { try simulator.write(sample: sample, genome: genome, pairs: pairs, to: $0) }
        return (drawn.text.map(parse), drawn.totals)
    }

    static func place(_ name: Substring, mate: Int) -> Place {
        let fields = name.split(separator: "#")[1].split(separator: "_")
        let place = fields[fields.count - 2 + mate]
        return Place(
            contig: fields.dropLast(3).joined(separator: "_"), haplotype: Int(fields[fields.count - 3])! - 1,
            isReverse: place.first == "-", position: Int(place.dropFirst())! - 1)
    }

    /// What an error-free read at a place of the haplotype looks like.
    static func expected(_ haplotype: [UInt8], _ start: Int, _ count: Int, _ isReverse: Bool) -> [UInt8] {
        let template = haplotype[start..<start + count]
        return isReverse ? template.reversed().map { $0 < 4 ? 3 - $0 : $0 } : Array(template)
    }

    static func sample(length: Int, seed: UInt64, indelRate: Double) -> (ReferenceGenome, DiploidSample) {
        let genome = GenomeSimulator(length: length, repeatContent: .hard, contigs: 2, seed: seed).run()
        var sampler = DiploidSampleSimulator(seed: seed)
        sampler.indelRate = indelRate
        return (genome, sampler.run(on: genome))
    }

    @Test func everyReadWithoutErrorsEqualsTheHaplotypeAtItsTruePlace() throws {
        let (genome, sample) = Self.sample(length: 100_000, seed: 21, indelRate: 3e-3)
        #expect(sample.variants.count > 200)
        var simulator = ReadSimulator(seed: 22)
        simulator.namesTruth = true
        simulator.errorRate = 0
        simulator.readLength2 = 101
        let drawn = try Self.draw(simulator, sample, genome, pairs: 10_000)
        #expect(drawn.totals.errors == 0 && drawn.totals.bases == 10_000 * 251)
        let haplotypes = sample.haplotypes.map { $0.map { $0.bases(in: 0..<$0.length) } }
        var found = 0
        var reverse = 0
        for mate in 0..<2 {
            for read in drawn.mates[mate] {
                let place = Self.place(read.name, mate: mate)
                let contig = try #require(genome.index(ofContig: place.contig))
                let haplotype = sample.haplotypes[contig][place.haplotype]
                // Bases of an insertion share one reference position: any of them may begin the read.
                let from = haplotype.position(ofReference: place.position)
                let starts = (max(0, from - 60)...from).filter { haplotype.referencePosition(of: $0) == place.position }
                let isThere = starts.contains { start in
                    start + read.bases.count <= haplotype.length && read.bases
                        == Self.expected(haplotypes[contig][place.haplotype], start, read.bases.count, place.isReverse)
                }
                found += isThere ? 1 : 0
                reverse += place.isReverse && mate == 0 ? 1 : 0
                #expect(read.bases.count == (mate == 0 ? 150 : 101) && read.qualities.allSatisfy { $0 == 37 })
            }
        }
        #expect(found == 20_000)
        #expect(abs(reverse - 5_000) < 300)
        for (one, two) in zip(drawn.mates[0], drawn.mates[1]) {
            let (first, second) = (Self.place(one.name, mate: 0), Self.place(two.name, mate: 1))
            #expect(one.name == two.name && first.isReverse != second.isReverse)
            #expect(first.isReverse ? second.position <= first.position + 60 : first.position <= second.position + 60)
        }
    }

    @Test func insertsHaveTheMeanAndDeviationAsked() throws {
        let (genome, sample) = Self.sample(length: 200_000, seed: 61, indelRate: 0)
        var simulator = ReadSimulator(seed: 62)
        simulator.namesTruth = true
        simulator.insertMean = 500
        simulator.insertDeviation = 50
        let drawn = try Self.draw(simulator, sample, genome, pairs: 5_000)
        let inserts = drawn.mates[0].map { read in
            let ends = [0, 1].map { Self.place(read.name, mate: $0).position }
            return Double(ends.max()! + 150 - ends.min()!)
        }
        let mean = inserts.reduce(0, +) / 5_000
        let variance = inserts.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 5_000
        #expect(abs(mean - 500) < 4 && abs(variance.squareRoot() - 50) < 3)
    }

    @Test func readsOfShortInsertsEndInTheAdapter() throws {
        let (genome, sample) = Self.sample(length: 100_000, seed: 71, indelRate: 0)
        var simulator = ReadSimulator(seed: 72)
        simulator.namesTruth = true
        simulator.errorRate = 0
        simulator.insertMean = 120
        simulator.insertDeviation = 30
        simulator.readsAdapters = true
        let drawn = try Self.draw(simulator, sample, genome, pairs: 2_000)
        let adapters = ["AGATCGGAAGAGCACACG", "AGATCGGAAGAGCGTCGT"].map { $0.utf8.map { BaseCode.ofASCII[Int($0)] } }
        var short = 0
        for mate in 0..<2 {
            for read in drawn.mates[mate] {
                let (own, other) = (Self.place(read.name, mate: mate), Self.place(read.name, mate: 1 - mate))
                // Both mates of a fragment shorter than the read start at its left end.
                guard own.position == other.position else { continue }
                let contig = try #require(genome.index(ofContig: own.contig))
                let haplotype = sample.haplotypes[contig][own.haplotype]
                let insert = (30..<150).first { insert in
                    let end = min(150, insert + 18)
                    return Array(read.bases[insert..<end]) == Array(adapters[mate].prefix(end - insert))
                        && Array(read.bases[..<insert]) == Self.expected(
                            haplotype.bases(in: 0..<haplotype.length), own.position, insert, own.isReverse)
                }
                if insert != nil { short += 1 }
            }
        }
        // 84 % of the inserts are below one deviation above the mean.
        #expect(short > 2 * 2_000 * 80 / 100 && short < 2 * 2_000 * 88 / 100)
        simulator.readsAdapters = false
        let without = try Self.draw(simulator, sample, genome, pairs: 500)
        let withAdapter = without.mates.joined().filter { read in
            (0..<130).contains { read.bases[$0...].starts(with: adapters[0]) }
        }
        #expect(withAdapter.isEmpty)
    }

    @Test(arguments: QualityModel.allCases, [0.002, 0.01])
    func errorsFollowTheQualitiesAndHaveTheRateAsked(_ model: QualityModel, _ rate: Double) throws {
        let (genome, sample) = Self.sample(length: 100_000, seed: 31, indelRate: 0)
        var simulator = ReadSimulator(seed: 32)
        simulator.namesTruth = true
        simulator.qualityModel = model
        simulator.errorRate = rate
        let drawn = try Self.draw(simulator, sample, genome, pairs: 6_000)
        let haplotypes = sample.haplotypes.map { $0.map { $0.bases(in: 0..<$0.length) } }
        var bases: [UInt8: Int] = [:]
        var wrong: [UInt8: Int] = [:]
        var thirds = [0, 0, 0]
        for mate in 0..<2 {
            for read in drawn.mates[mate] {
                let place = Self.place(read.name, mate: mate)
                let contig = try #require(genome.index(ofContig: place.contig))
                let expected = Self.expected(haplotypes[contig][place.haplotype], place.position, 150, place.isReverse)
                for at in 0..<150 {
                    bases[read.qualities[at], default: 0] += 1
                    guard read.bases[at] != expected[at] else { continue }
                    wrong[read.qualities[at], default: 0] += 1
                    thirds[at / 50] += 1
                }
            }
        }
        let errors = wrong.values.reduce(0, +)
        #expect(errors == drawn.totals.errors)
        #expect(abs(Double(errors) / 1_800_000 - rate) < rate * 0.1)
        #expect(Set(bases.keys).isSubset(of: model == .novaseq ? [2, 12, 23, 37] : Set(2...41)))
        #expect(bases.count == (model == .novaseq ? 4 : 40) || (model == .unbinned && bases.count > 30))
        for (quality, count) in bases {
            var stated = 1.0
            for _ in 0..<(quality == 2 ? 0 : quality) { stated *= 0.7943282 }
            let expected = stated * Double(count)
            // Five deviations of a count.
            #expect(abs(Double(wrong[quality] ?? 0) - expected) <= 5 * expected.squareRoot() + 1)
        }
        #expect(thirds[2] > thirds[0])
        if rate < 0.005 { #expect(thirds[2] * 10 > thirds[0] * 15) }
    }

    @Test func threadsChangeNothingAndOtherSeedsDo() throws {
        let (genome, sample) = Self.sample(length: 60_000, seed: 81, indelRate: 1e-3)
        var simulator = ReadSimulator(seed: 82)
        simulator.namesTruth = true
        let one = try Self.files { try simulator.write(sample: sample, genome: genome, pairs: 9_000, to: $0) }
        for threads in [2, 7] {
            simulator.threads = threads
            let other = try Self.files { try simulator.write(sample: sample, genome: genome, pairs: 9_000, to: $0) }
            #expect(other.text == one.text && other.totals == one.totals)
        }
        simulator.seed = 83
        let other = try Self.files { try simulator.write(sample: sample, genome: genome, pairs: 9_000, to: $0) }
        #expect(other.text != one.text)
    }

    @Test func namesAreUniqueAndSayNothingUnlessAsked() throws {
        let (genome, sample) = Self.sample(length: 20_000, seed: 41, indelRate: 0)
        let drawn = try Self.draw(ReadSimulator(seed: 42), sample, genome, pairs: 12_000)
        #expect(Set(drawn.mates[0].map(\.name)).count == 12_000)
        #expect(drawn.mates[0].allSatisfy { !$0.name.contains("#") && $0.name.split(separator: ":").count == 7 })
    }

    @Test func randomReadsComeFromNowhere() throws {
        var simulator = ReadSimulator(seed: 91)
        simulator.namesTruth = true
        let drawn = try Self.files { try simulator.writeRandom(pairs: 1_000, to: $0) }
        let reads = drawn.text.map(Self.parse).joined()
        #expect(reads.count == 2_000 && reads.allSatisfy { $0.name.hasSuffix("#*") && $0.bases.count == 150 })
        var counts = [Int](repeating: 0, count: 5)
        for read in reads { for base in read.bases { counts[Int(base)] += 1 } }
        #expect(counts[..<4].allSatisfy { abs($0 - 75_000) < 1_500 } && counts[4] > 0)
        #expect(Set(reads.map { $0.bases }).count == 2_000)
    }

    @Test func fragmentsNeverHoldN() throws {
        // Stretches a little longer than a read force the shortest inserts.
        var bases = [UInt8](repeating: BaseCode.n, count: 5_000)
        var random = RandomStream(seed: 51)
        for start in stride(from: 100, to: 4_500, by: 400) {
            for place in start..<start + 180 { bases[place] = UInt8(random.below(4)) }
        }
        let genome = ReferenceGenome(contigs: [.init(name: "c", bases: bases)])
        let sample = DiploidSampleSimulator(seed: 51).run(on: genome)
        var simulator = ReadSimulator(seed: 52)
        simulator.errorRate = 0
        let drawn = try Self.draw(simulator, sample, genome, pairs: 500)
        #expect(drawn.mates[0].count == 500)
        #expect(drawn.mates.joined().allSatisfy { !$0.bases.contains(BaseCode.n) })
        #expect(try Self.draw(simulator, sample, genome, pairs: 0).totals == ReadSimulator.Totals())
        simulator.readLength1 = 200
        #expect(throws: Failure.self) { try Self.draw(simulator, sample, genome, pairs: 1) }
    }

    @Test func readsStayInTheRegionsAndHaveTheDepthAsked() throws {
        let (genome, sample) = Self.sample(length: 100_000, seed: 95, indelRate: 1e-3)
        var simulator = ReadSimulator(seed: 96)
        simulator.namesTruth = true
        simulator.regions = RegionSet(["chr1": [20_000..<21_000, 30_000..<30_100], "chr2": [15_000..<15_500]])
        let drawn = try Self.files { try simulator.write(sample: sample, genome: genome, coverage: 60, to: $0) }
        #expect(drawn.totals.pairs == 1_600 * 60 / 300)
        for read in Self.parse(drawn.text[0]) {
            let places = [0, 1].map { Self.place(read.name, mate: $0) }
            let middle = (places[0].position + places[1].position + 150) / 2
            let regions = try #require(simulator.regions?.intervals(of: places[0].contig))
            #expect(regions.overlaps(middle - 60..<middle + 60))
        }
        simulator.regions = RegionSet(["chr1": [0..<1]])
        #expect(throws: Failure.self) { try Self.draw(simulator, sample, genome, pairs: 1) }
    }
}
