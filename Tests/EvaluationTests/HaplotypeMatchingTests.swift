import Diagnostics
import Evaluation
import GenomicFormats
import Testing

@Suite struct HaplotypeMatchingTests {
    @Test func shiftedIndelInARepeatMatches() throws {
        let scene = Scene("GATCACACACACATTGC")
        let result = try scene.compare(truth: ["3 TCA T 0/1"], calls: ["11 ACA A 0/1"])
        #expect(result.indel.five == [1, 1, 0, 0, 0])
        let insertion = try scene.compare(truth: ["3 T TCA 1/1"], calls: ["13 A ACA 1|1"])
        #expect(insertion.indel.five == [1, 1, 0, 0, 0])
    }

    @Test func anIndelOfAnotherLengthDoesNot() throws {
        let scene = Scene("GATCACACACACATTGC")
        let result = try scene.compare(truth: ["3 TCA T 0/1"], calls: ["3 TCACA T 0/1"])
        #expect(result.indel.five == [0, 0, 1, 1, 0])
    }

    @Test func multiBaseSubstitutionMatchesItsSNPs() throws {
        let scene = Scene("GATTACAGATTACA")
        let asTwo = try scene.compare(truth: ["4 T C 0/1", "5 A G 0/1"], calls: ["4 TA CG 0/1"])
        #expect(asTwo.snp.five == [2, 1, 0, 0, 0])
        let asOne = try scene.compare(truth: ["4 TA CG 1/1"], calls: ["4 T C 1/1", "5 A G 1/1"])
        #expect(asOne.snp.five == [1, 2, 0, 0, 0])
        // On different haplotypes the pair 1/1 and 0/1 is not the substitution.
        let mixed = try scene.compare(truth: ["4 TA CG 1/1"], calls: ["4 T C 1/1", "5 A G 0/1"])
        #expect(mixed.snp.truthMatched == 0 && mixed.snp.falsePositives == 2 && mixed.snp.falseNegatives == 1)
    }

    @Test func genotypeMismatchIsBothFalsePositiveAndFalseNegative() throws {
        let scene = Scene("GATTACAGATTACA")
        let result = try scene.compare(truth: ["4 T C 0/1"], calls: ["4 T C 1/1"])
        #expect(result.snp.five == [0, 0, 1, 1, 1])
        #expect(result.differences.map(\.kind) == [.falsePositive, .falseNegative])
        #expect(result.differences.map(\.isGenotypeMismatch) == [true, true])
    }

    @Test func splitMultiAllelicMatches() throws {
        let scene = Scene("GATCACACACACATTGC")
        let joined = ["3 TCA T,TCACA 1/2"]
        let split = ["3 TCA T 0/1", "3 T TCA 1/0"]
        #expect(try scene.compare(truth: joined, calls: split).indel.five == [1, 2, 0, 0, 0])
        #expect(try scene.compare(truth: split, calls: joined).indel.five == [2, 1, 0, 0, 0])
        let snps = try Scene("GATTACA").compare(truth: ["4 T C,G 1/2"], calls: ["4 T C 0/1", "4 T G 0/1"])
        #expect(snps.snp.five == [1, 2, 0, 0, 0])
    }

    @Test func complexRecordMatchesItsParts() throws {
        // GATTACAGATTACA: TTAC to GC is a substitution and a deletion of two bases.
        let scene = Scene("GATTACAGATTACA")
        let result = try scene.compare(truth: ["3 TTAC GC 0/1"], calls: ["3 T G 0/1", "3 TTA T 0/1"])
        // The deletion shares its anchor with the substitution and lies on the same haplotype: both are laid on it.
        #expect(result.indel.truthMatched == 1 && result.falsePositives == 0)
    }

    @Test func halfOfAClusterIsMatched() throws {
        let scene = Scene("GATTACAGATTACA")
        let result = try scene.compare(truth: ["4 T C 0/1", "8 G A 0/1"], calls: ["4 T C 0/1", "9 A C 0/1"])
        #expect(result.snp.five == [1, 1, 1, 1, 0])
    }

    @Test func aCallGivenTwiceIsTrueOnce() throws {
        let scene = Scene("GATTACAGATTACA")
        #expect(try scene.compare(truth: ["4 T C 1/1"], calls: ["4 T C 1/1", "4 T C 1/1"]).snp.five == [1, 1, 1, 0, 0])
        #expect(try scene.compare(truth: ["4 T C 0/1"], calls: ["4 T C 0/1", "4 T C 0/1"]).snp.five == [1, 1, 1, 0, 0])
        // Twice the same on both sides is a contradiction on both: neither is believed beyond one copy each.
        let both = try scene.compare(truth: ["4 T C 1/1", "4 T C 1/1"], calls: ["4 T C 1/1", "4 T C 1/1"])
        #expect(both.snp.five == [1, 1, 1, 1, 1])
    }

    @Test func adjacentVariantsAreNotContradictions() throws {
        let scene = Scene("GATTACAGATTACA")
        let calls = ["4 T TGG 1/1", "5 A C 1/1", "5 AC A 0/1"]
        #expect(try scene.compare(truth: calls, calls: calls.reversed()).falsePositives == 0)
    }

    @Test func theOrderOfRecordsDoesNotMatter() throws {
        let scene = Scene("GATCACACACACATTGCGATTACAGATTACA")
        let truth = ["3 TCA T 0/1", "14 T G 1/1", "20 T C 0/1", "21 T G 0/1"]
        let calls = ["11 ACA A 0/1", "14 T G 0/1", "20 TT CG 0/1", "25 G A 1/1"]
        let one = try scene.compare(truth: truth, calls: calls)
        let two = try scene.compare(truth: truth.reversed(), calls: calls.reversed())
        #expect(one.snp == two.snp && one.indel == two.indel)
        #expect(one.snp.five == [2, 1, 2, 1, 1] && one.indel.five == [1, 1, 0, 0, 0])
    }

    @Test func denseClustersEndInTimeAndStayExact() throws {
        // Forty heterozygous SNPs within reach of each other are beyond enumeration on either side.
        let sequence = String(repeating: "GATTACAGCC", count: 20)
        let letters = Array(sequence)
        let truth = (0..<40).map { index -> String in
            let place = 1 + index * 4
            let base = letters[place]
            return "\(place + 1) \(base) \(base == "A" ? "C" : "A") 0/1"
        }
        var calls = truth
        calls[20] = calls[20].replacingOccurrence(of: "0/1", with: "1/1")
        let result = try Scene(sequence).compare(truth: truth, calls: calls)
        #expect(result.snp.five == [39, 39, 1, 1, 1])
        let same = Scene.record("2 A C 0/1")
        let many = [VariantRecord](repeating: same, count: 30)
        let comparison = CallSetComparison(reference: Scene(sequence).reference, regions: nil)
        let crowded = try comparison.compare(truth: [same], calls: many).all
        #expect(crowded.snp.truthMatched == 1 && crowded.snp.falsePositives == 29)
    }

    @Test func homopolymerAndTandemContextAreTold() throws {
        let scene = Scene("GATCACACACACATTTTTTGC")
        let result = try scene.compare(truth: [], calls: ["13 AT A 0/1", "3 TCA T 0/1"])
        let deletion = try #require(result.differences.first { $0.position == 13 })
        #expect(deletion.homopolymerLength == 6)
        let repeated = try #require(result.differences.first { $0.position == 3 })
        #expect(repeated.tandemRepeatUnit == 2)
    }
}

extension Comparison {
    var falsePositives: Int { snp.falsePositives + indel.falsePositives }
}

extension String {
    func replacingOccurrence(of old: String, with new: String) -> String {
        split(separator: old, omittingEmptySubsequences: false).joined(separator: new)
    }
}
