import Calling
import Testing

@Suite struct GenotypeTests {
    @Test func genotypeOrderIsThatOfVCF() {
        let order = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)].map { GenotypeTable.index($0.0, $0.1) }
        #expect(order == [0, 1, 2, 3, 4, 5])
        #expect(GenotypeTable.index(2, 1) == GenotypeTable.index(1, 2))
    }

    @Test(arguments: [
        ([0.0, -9, -40], (0, 0), [0, 90, 400]), ([-30.0, -3, -20], (0, 1), [270, 0, 170]),
        ([-60.0, -9, -1], (1, 1), [590, 80, 0]),
    ])
    func likelihoodsDecide(_ likelihoods: [Double], _ genotype: (Int, Int), _ scaled: [Int]) {
        let table = GenotypeTable(likelihoods: likelihoods, alternatePriors: [1e-3])
        #expect(table.genotype == genotype)
        #expect(table.scaled == scaled)
    }

    @Test func weakEvidenceYieldsToThePrior() {
        // The likelihood favours the heterozygote a hundredfold, the prior the reference a thousandfold.
        let table = GenotypeTable(likelihoods: [-2, 0, -5], alternatePriors: [1e-3])
        #expect(table.genotype == (0, 0))
        #expect(table.quality < 3)
        #expect((7...13).contains(table.genotypeQuality))
    }

    @Test func qualityIsThePosteriorOfTheReference() {
        let table = GenotypeTable(likelihoods: [-10, 0, -10], alternatePriors: [1e-3])
        #expect(abs(table.quality - 70) < 0.1)
        #expect(table.genotypeQuality == 70)
        let certain = GenotypeTable(likelihoods: [-5000, 0, -5000], alternatePriors: [1e-3])
        #expect(certain.quality == GenotypeTable.highestQuality && certain.genotypeQuality == 99)
        #expect(certain.scaled == [9999, 0, 9999])
    }

    @Test func bothAlternatesWhenTheLikelihoodsWantThem() {
        let table = GenotypeTable(likelihoods: [-90, -40, -42, -41, 0, -44], alternatePriors: [1e-4, 1e-4])
        #expect(table.genotype == (1, 2))
    }

    @Test func strandBiasOfKnownTables() {
        #expect(strandBias((10, 10, 10, 10)) < 1e-9)
        // Fisher's exact test of 3, 1, 1, 3: p = 34/70.
        #expect(abs(strandBias((3, 1, 1, 3)) - 3.136) < 0.01)
        #expect(strandBias((30, 30, 20, 0)) > 40)
        #expect(strandBias((0, 0, 5, 5)) == 0)
    }

    private func aligned(_ reference: String, _ event: Event) -> Event {
        codes(reference).withUnsafeBufferPointer { event.leftAligned(reference: $0) }
    }

    @Test func eventsMoveLeft() {
        let deletion = aligned("GCATATATG", Event(start: 6, referenceLength: 2, alternate: []))
        #expect(deletion == Event(start: 2, referenceLength: 2, alternate: []))
        // An inserted TA behind ATAT is an AT in front of it.
        let insertion = aligned("GCATATGG", Event(start: 5, referenceLength: 0, alternate: codes("TA")))
        #expect(insertion == Event(start: 2, referenceLength: 0, alternate: codes("AT")))
        let fixed = Event(start: 3, referenceLength: 0, alternate: codes("G"))
        #expect(aligned("GCATATGG", fixed) == fixed)
        let substitution = Event(start: 3, referenceLength: 1, alternate: codes("G"))
        #expect(aligned("GGGGGGG", substitution) == substitution)
    }

    @Test func eventsStopAtTheContigsFirstBase() {
        let deletion = aligned("AAAAAA", Event(start: 4, referenceLength: 1, alternate: []))
        #expect(deletion.start == 1)
        let insertion = aligned("AAAAAA", Event(start: 5, referenceLength: 0, alternate: codes("AA")))
        #expect(insertion == Event(start: 1, referenceLength: 0, alternate: codes("AA")))
    }

    @Test func leftAligningKeepsTheHaplotype() {
        var generator = Generator(state: 3)
        func apply(_ event: Event, _ bases: [UInt8]) -> [UInt8] {
            Array(bases[..<event.start]) + event.alternate + Array(bases[event.end...])
        }
        for _ in 0..<500 {
            let bases = (0..<40).map { _ in UInt8(generator.below(2)) }
            let start = 5 + generator.below(25)
            let length = 1 + generator.below(6)
            let event =
                generator.below(2) == 0
                ? Event(start: start, referenceLength: length, alternate: [])
                : Event(
                    start: start, referenceLength: 0,
                    alternate: (0..<length).map { _ in UInt8(generator.below(2)) })
            let moved = bases.withUnsafeBufferPointer { event.leftAligned(reference: $0) }
            #expect(moved.start <= event.start && apply(moved, bases) == apply(event, bases))
            let again = bases.withUnsafeBufferPointer { moved.leftAligned(reference: $0) }
            #expect(again == moved)
        }
    }
}
