import Evaluation
import Testing

@Suite struct StrataTests {
    /// A run of eight A at 11 to 18, a repeat of five CG at 31 to 40, plain sequence elsewhere.
    static let scene = Scene("GATTCTGCTCAAAAAAAAGTCTGATCTGACCGCGCGCGCGTATTGCTGAATCCTGAGTCATGC")

    static func rows(_ comparison: Comparison) -> [String: [Int]] {
        var rows: [String: [Int]] = [:]
        for entry in comparison.strata {
            rows["\(entry.variantClass.rawValue) \(entry.stratum.rawValue)"] = entry.counts.five
        }
        return rows
    }

    @Test func callsCountInTheirStrata() throws {
        let truth = ["4 T C 0/1", "10 CA C 0/1", "30 C CCG 1/1", "48 G GTTTTTTT 0/1", "53 CTGAGTC C 0/1"]
        let calls = ["4 T C 0/1", "10 CAA C 0/1", "30 C CCG 1/1", "48 G GTTTTTTT 0/1"]
        let result = try Self.scene.compare(truth: truth, calls: calls)
        #expect(
            Self.rows(result) == [
                "snp heterozygous": [1, 1, 0, 0, 0], "snp outside repeats": [1, 1, 0, 0, 0],
                "indel heterozygous": [1, 1, 1, 2, 0], "indel homozygous": [1, 1, 0, 0, 0],
                "indel deletion of 1 to 5": [0, 0, 1, 1, 0], "indel in a homopolymer": [0, 0, 1, 1, 0],
                "indel insertion of 1 to 5": [1, 1, 0, 0, 0], "indel in a tandem repeat": [1, 1, 0, 0, 0],
                "indel insertion of 6 to 15": [1, 1, 0, 0, 0], "indel deletion of 6 to 15": [0, 0, 0, 1, 0],
                "indel outside repeats": [1, 1, 0, 1, 0],
            ])
        // Every call is in one stratum by genotype and in one by context.
        let total = result.strata.filter { $0.stratum == .heterozygous || $0.stratum == .homozygous }
        #expect(total.reduce(0) { $0 + $1.counts.callsMatched + $1.counts.falsePositives } == calls.count)
        #expect(result.strataTable.contains("INDEL  in a homopolymer"))
    }

    @Test func calibrationCountsWrongCallsByQuality() throws {
        var calls = ["4 T C 0/1", "21 C T 0/1", "45 G C 0/1", "50 A T 0/1"].map(Scene.record)
        for (index, quality) in [9.9, 10, 75, .nan].enumerated() { calls[index].quality = quality }
        let comparison = CallSetComparison(reference: Self.scene.reference, regions: nil)
        let result = try comparison.compare(truth: ["4 T C 0/1", "45 G C 1/1"].map(Scene.record), calls: calls).all
        #expect(
            result.calibration == [
                QualityBin(quality: 0, calls: 1, wrong: 0), QualityBin(quality: 10, calls: 1, wrong: 1),
                QualityBin(quality: 60, calls: 1, wrong: 1),
            ])
    }
}
