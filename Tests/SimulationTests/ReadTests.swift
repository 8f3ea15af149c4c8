import GenomicFormats
import Simulation
import Testing

@Suite struct ReadTests {
    struct Read {
        var name: Substring
        var bases: [UInt8]
        var qualities: [UInt8]
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

    static func draw(
        _ simulator: ReadSimulator, _ sample: DiploidSample, _ genome: ReferenceGenome, pairs: Int
    ) -> (first: [Read], second: [Read], totals: ReadSimulator.Totals) {
        var first: [UInt8] = []
        var second: [UInt8] = []
        let totals = simulator.run(sample: sample, genome: genome, pairs: pairs) { one, two in
            first += one
            second += two
        }
        return (parse(first), parse(second), totals)
    }

    /// Places of a named pair: contig, haplotype, first mate's and second mate's leftmost reference base.
    static func truth(_ name: Substring) -> (contig: String, haplotype: Int, first: Int, second: Int) {
        let fields = name.split(separator: "#")[1].split(separator: "_")
        return (String(fields[0]), Int(fields[1])! - 1, Int(fields[2])!, Int(fields[3])!)
    }

    @Test func readsLieAtTheirPlaceAndErrorsAreCounted() {
        let genome = GenomeSimulator(length: 100_000, contigs: 2, seed: 11).run()
        var sampler = DiploidSampleSimulator(seed: 11)
        sampler.indelRate = 0  // without indels haplotype and reference positions are the same
        let sample = sampler.run(on: genome)
        var simulator = ReadSimulator(seed: 12)
        simulator.namesTruth = true
        simulator.readLength2 = 101
        let drawn = Self.draw(simulator, sample, genome, pairs: 4_000)
        #expect(drawn.first.count == 4_000 && drawn.second.count == 4_000)
        var errors = 0
        var reverse = 0
        var inserts = 0
        for (one, two) in zip(drawn.first, drawn.second) {
            #expect(one.name == two.name && one.bases.count == 150 && two.bases.count == 101)
            let place = Self.truth(one.name)
            let contig = genome.index(ofContig: place.contig)!
            let haplotype = sample.haplotypes[contig][place.haplotype].bases
            let isReverse = place.first > place.second
                || (place.first == place.second && mismatches(one, place.first, haplotype, false) > 20)
            reverse += isReverse ? 1 : 0
            let wrong = mismatches(one, place.first, haplotype, isReverse)
                + mismatches(two, place.second, haplotype, !isReverse)
            #expect(wrong < 40)
            errors += wrong
            inserts += max(place.first + 150, place.second + 101) - min(place.first, place.second)
        }
        #expect(errors == drawn.totals.errors)
        #expect(drawn.totals.bases == 4_000 * 251)
        #expect(abs(reverse - 2_000) < 200)
        #expect(abs(inserts / 4_000 - 400) < 8)
    }

    private func mismatches(_ read: Read, _ start: Int, _ haplotype: [UInt8], _ isReverse: Bool) -> Int {
        let end = start + read.bases.count
        guard end <= haplotype.count else { return .max / 4 }
        let template = haplotype[start..<end]
        let expected = isReverse ? template.reversed().map { $0 < 4 ? 3 - $0 : $0 } : Array(template)
        return zip(read.bases, expected).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) }
    }

    @Test func readsCarryTheSamplesIndels() {
        let genome = GenomeSimulator(length: 60_000, contigs: 1, seed: 21).run()
        var sampler = DiploidSampleSimulator(seed: 21)
        sampler.indelRate = 3e-3
        let sample = sampler.run(on: genome)
        var simulator = ReadSimulator(seed: 22)
        simulator.namesTruth = true
        simulator.errorScale = 0
        let drawn = Self.draw(simulator, sample, genome, pairs: 1_000)
        // Only quality 37 is left, whose errors are one in five thousand.
        #expect(drawn.first.allSatisfy { $0.qualities.allSatisfy { $0 == 37 } })
        #expect(drawn.totals.errors < 150)
        var found = 0
        for (one, two) in zip(drawn.first, drawn.second) {
            let place = Self.truth(one.name)
            let haplotype = sample.haplotypes[0][place.haplotype]
            for (read, position) in [(one, place.first), (two, place.second)] {
                let lowest = max(0, position - 400)
                let starts = lowest..<min(position + 400, haplotype.bases.count - read.bases.count)
                let here = starts.filter { haplotype.referencePosition(of: $0) == position }
                let best = here.map { start in
                    min(mismatches(read, start, haplotype.bases, false), mismatches(read, start, haplotype.bases, true))
                }.min()
                if let best, best <= 3 { found += 1 }
            }
        }
        #expect(found == 2_000)
    }

    @Test func errorsFollowTheQualities() {
        let genome = GenomeSimulator(length: 100_000, contigs: 1, seed: 31).run()
        var sampler = DiploidSampleSimulator(seed: 31)
        sampler.indelRate = 0
        let sample = sampler.run(on: genome)
        var simulator = ReadSimulator(seed: 32)
        simulator.namesTruth = true
        let drawn = Self.draw(simulator, sample, genome, pairs: 6_000)
        var bases: [UInt8: Int] = [:]
        var wrong: [UInt8: Int] = [:]
        var early = 0
        var late = 0
        for (one, two) in zip(drawn.first, drawn.second) {
            let place = Self.truth(one.name)
            let haplotype = sample.haplotypes[0][place.haplotype].bases
            let isForward = mismatches(one, place.first, haplotype, false) < 40
            let isReverse = !isForward
            for (read, start, reverse) in [(one, place.first, isReverse), (two, place.second, !isReverse)] {
                let template = haplotype[start..<start + 150]
                let expected = reverse ? template.reversed().map { 3 - $0 } : Array(template)
                for place in 0..<150 {
                    let quality = read.qualities[place]
                    bases[quality, default: 0] += 1
                    if read.bases[place] != expected[place] { wrong[quality, default: 0] += 1 }
                    if quality < 37 { if place < 50 { early += 1 } else if place >= 100 { late += 1 } }
                }
            }
        }
        #expect(Set(bases.keys) == [2, 12, 23, 37])
        func rate(_ quality: UInt8) -> Double { Double(wrong[quality] ?? 0) / Double(bases[quality] ?? 1) }
        #expect(rate(2) == 1)
        #expect(abs(rate(12) - 0.063) < 0.006)
        #expect(abs(rate(23) - 0.005) < 0.001)
        #expect(abs(rate(37) - 0.0002) < 0.0001)
        #expect(late > early * 2)
        let errors = Double(drawn.totals.errors) / Double(drawn.totals.bases)
        #expect(errors > 0.0012 && errors < 0.003)
    }

    @Test func namesAreUniqueAndSayNothingUnlessAsked() {
        let genome = GenomeSimulator(length: 20_000, contigs: 1, seed: 41).run()
        let sample = DiploidSampleSimulator(seed: 41).run(on: genome)
        let drawn = Self.draw(ReadSimulator(seed: 42), sample, genome, pairs: 12_000)
        #expect(Set(drawn.first.map(\.name)).count == 12_000)
        #expect(drawn.first.allSatisfy { !$0.name.contains("#") && $0.name.split(separator: ":").count == 7 })
    }

    @Test func fragmentsNeverHoldN() {
        // Stretches a little longer than a read force the shortest inserts.
        var bases = [UInt8](repeating: BaseCode.n, count: 5_000)
        var random = RandomStream(seed: 51)
        for start in stride(from: 100, to: 4_500, by: 400) {
            for place in start..<start + 180 { bases[place] = UInt8(random.below(4)) }
        }
        let genome = ReferenceGenome(contigs: [.init(name: "c", bases: bases)])
        let sample = DiploidSampleSimulator(seed: 51).run(on: genome)
        var simulator = ReadSimulator(seed: 52)
        simulator.errorScale = 0
        let drawn = Self.draw(simulator, sample, genome, pairs: 500)
        #expect(drawn.first.count == 500)
        #expect((drawn.first + drawn.second).allSatisfy { !$0.bases.contains(BaseCode.n) })
        let none = Self.draw(simulator, sample, .init(contigs: genome.contigs), pairs: 0)
        #expect(none.totals == ReadSimulator.Totals())
    }
}
