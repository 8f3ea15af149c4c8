import GenomicFormats
import Simulation
import Testing

@Suite struct GenomeAndSampleTests {
    @Test func generatorIsXoshiro256PlusPlus() {
        // splitmix64 from seed 0 fills the state; the first outputs follow from the published algorithms.
        var random = RandomStream(seed: 0)
        #expect(random.next() == 0x5317_5D61_490B_23DF)
        var other = RandomStream(seed: 0, lane: 1)
        #expect(other.next() != 0x5317_5D61_490B_23DF)
        var draws = [Int](repeating: 0, count: 7)
        for _ in 0..<70_000 { draws[random.below(7)] += 1 }
        #expect(draws.allSatisfy { abs($0 - 10_000) < 500 })
    }

    @Test(arguments: RepeatContent.allCases)
    func genomesAreDeterminedBySeed(_ content: RepeatContent) {
        let one = GenomeSimulator(length: 200_000, repeatContent: content, contigs: 3, seed: 5).run()
        let two = GenomeSimulator(length: 200_000, repeatContent: content, contigs: 3, seed: 5).run()
        let other = GenomeSimulator(length: 200_000, repeatContent: content, contigs: 3, seed: 6).run()
        #expect(one.digest() == two.digest())
        #expect(one.digest() != other.digest())
        #expect(one.contigs.map(\.name) == ["chr1", "chr2", "chr3"])
        #expect(one.contigs.reduce(0) { $0 + $1.length } == 200_000)
        #expect(one.contigs.allSatisfy { $0.bases.first == BaseCode.n && $0.bases.allSatisfy { $0 <= BaseCode.n } })
    }

    @Test func threadsChangeNothing() {
        var simulator = GenomeSimulator(length: 7_000_000, repeatContent: .hard, contigs: 3, seed: 15)
        let one = simulator.run()
        let digests = [2, 7].map { threads in
            simulator.threads = threads
            return simulator.run().digest()
        }
        #expect(digests == [one.digest(), one.digest()])
        var sampler = DiploidSampleSimulator(seed: 15)
        let variants = sampler.run(on: one).variants
        for threads in [2, 7] {
            sampler.threads = threads
            #expect(sampler.run(on: one).variants == variants)
        }
    }

    @Test func contigsHaveHumanProportions() {
        let genome = GenomeSimulator(length: 3_100_000, contigs: 24, seed: 1).run()
        #expect(genome.contigs.reduce(0) { $0 + $1.length } == 3_100_000)
        #expect(genome.contigs.map(\.name).suffix(3) == ["chr22", "chrX", "chrY"])
        #expect(abs(genome.contigs[0].length - 5 * genome.contigs[20].length) < 25_000)
        let many = GenomeSimulator(length: 400_000, contigs: 40, seed: 1).run()
        #expect(Set(many.contigs.map(\.name)).count == 40 && many.contigs.allSatisfy { $0.length > 1_000 })
    }

    @Test func repeatsAreThere() {
        // Distinct 24-mers: in random sequence nearly all are, repeats at a few per cent divergence share many.
        func repeated(_ genome: ReferenceGenome) -> Double {
            var counts: [UInt64: Int] = [:]
            var word: UInt64 = 0
            var filled = 0
            for base in genome.contigs[0].bases {
                filled = base < 4 ? filled + 1 : 0
                word = (word << 2 | UInt64(base & 3)) & 0xFFFF_FFFF_FFFF
                if filled >= 24 { counts[word, default: 0] += 1 }
            }
            return Double(counts.values.reduce(0) { $0 + ($1 > 1 ? $1 : 0) }) / 400_000
        }
        // A small genome has few families, and whether one is young is chance: three genomes of each.
        let shares = RepeatContent.allCases.map { content in
            (1...3).map { seed in
                repeated(GenomeSimulator(length: 400_000, repeatContent: content, contigs: 1, seed: seed).run())
            }
        }
        #expect(shares.joined().allSatisfy { $0 > 0.02 && $0 < 0.5 })
        #expect(shares[1].reduce(0, +) > 1.2 * shares[0].reduce(0, +))
    }

    @Test func variantsHaveTheRatesAsked() {
        let genome = GenomeSimulator(length: 3_000_000, contigs: 2, seed: 2).run()
        let variants = DiploidSampleSimulator(seed: 3).run(on: genome).variants
        let snps = variants.filter(\.isSNP)
        let indels = variants.filter { !$0.isSNP }
        #expect(abs(Double(snps.count) / 3_000_000 - 1e-3) < 1.2e-4)
        #expect(abs(Double(indels.count) / 3_000_000 - 1.2e-4) < 3e-5)
        let heterozygous = Double(variants.filter { !$0.isHomozygous }.count)
        #expect(abs(heterozygous / (Double(variants.count) - heterozygous) - 2) < 0.3)
        let transitions = Double(snps.filter { $0.reference[0] ^ $0.alternate[0] == 2 }.count)
        #expect(abs(transitions / (Double(snps.count) - transitions) - 2) < 0.3)
        let sizes = indels.map { abs($0.reference.count - $0.alternate.count) }
        #expect(sizes.min() == 1 && sizes.max()! <= 50 && sizes.max()! > 20)
        let ones = Double(sizes.count { $0 == 1 }) / Double(sizes.count)
        #expect(ones > 0.35 && ones < 0.65)
        // A good part of the indels repeats what is beside it at least twice.
        let inRepeats = indels.count { variant in
            let bases = genome.contigs[variant.contig].bases
            let unit = Array((variant.reference.count > 1 ? variant.reference : variant.alternate).dropFirst())
            let next = variant.position + variant.reference.count
            return next + 2 * unit.count < bases.count && Array(bases[next..<next + 2 * unit.count]) == unit + unit
        }
        let share = Double(inRepeats) / Double(indels.count)
        #expect(share > 0.3 && share < 0.7)
    }

    @Test func truthAppliedToTheReferenceGivesTheHaplotypes() {
        let genome = GenomeSimulator(length: 300_000, repeatContent: .hard, contigs: 2, seed: 8).run()
        var simulator = DiploidSampleSimulator(seed: 8)
        simulator.snpRate = 5e-3
        simulator.indelRate = 2e-3
        let sample = simulator.run(on: genome)
        #expect(sample.variants.count > 1_000)
        for (number, contig) in genome.contigs.enumerated() {
            for haplotype in 0..<2 {
                var bases = contig.bases
                // From the end, so that positions before stay what they are.
                for variant in sample.variants.reversed() where variant.contig == number {
                    #expect(Array(contig.bases[variant.position..<variant.end]) == variant.reference)
                    guard haplotype == 0 ? variant.isOnFirst : variant.isOnSecond else { continue }
                    bases.replaceSubrange(variant.position..<variant.end, with: variant.alternate)
                }
                let made = sample.haplotypes[number][haplotype]
                #expect(made.bases(in: 0..<made.length) == bases)
                // Every window gives what the whole gives, wherever it begins and ends.
                var random = RandomStream(seed: 99)
                for _ in 0..<2_000 {
                    let start = random.below(made.length)
                    let end = min(made.length, start + random.below(300))
                    #expect(made.bases(in: start..<end)[...] == bases[start..<end])
                }
            }
        }
    }

    @Test func recordsAreNormalisedAndApart() {
        let genome = GenomeSimulator(length: 300_000, contigs: 1, seed: 4).run()
        var simulator = DiploidSampleSimulator(seed: 9)
        simulator.indelRate = 5e-3
        let sample = simulator.run(on: genome)
        for (one, two) in zip(sample.variants, sample.variants.dropFirst()) { #expect(one.end < two.position) }
        for variant in sample.variants {
            #expect(variant.reference.allSatisfy { $0 < 4 } && variant.alternate.allSatisfy { $0 < 4 })
            #expect(variant.reference != variant.alternate)
            if variant.isSNP { continue }
            // Left-aligned with one anchor: the last bases differ, or the shorter allele is the anchor alone at an N.
            let isHeldByN = genome.contigs[0].bases[variant.position - 1] == BaseCode.n
            #expect(isHeldByN || variant.reference.last != variant.alternate.last)
            #expect(min(variant.reference.count, variant.alternate.count) == 1)
            #expect(variant.reference[0] == variant.alternate[0])
        }
    }

    @Test func haplotypePositionsLeadBackToTheReference() {
        func variant(_ position: Int, _ reference: [UInt8], _ alternate: [UInt8]) -> TruthVariant {
            TruthVariant(
                contig: 0, position: position, reference: reference, alternate: alternate, isOnFirst: true,
                isOnSecond: false)
        }
        let reference: [UInt8] = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]
        let haplotype = Haplotype.applying(
            [variant(1, [1], [1, 3, 3]), variant(5, [1, 2, 3], [1]), variant(9, [1], [0])], to: reference)
        #expect(haplotype.bases(in: 0..<haplotype.length) == [0, 1, 3, 3, 2, 3, 0, 1, 0, 0, 2, 3])
        #expect((0..<12).map { haplotype.referencePosition(of: $0) } == [0, 1, 2, 2, 2, 3, 4, 5, 8, 9, 10, 11])
        #expect((0..<12).map { haplotype.position(ofReference: $0) } == [0, 1, 4, 5, 6, 7, 8, 8, 8, 9, 10, 11])
    }
}
