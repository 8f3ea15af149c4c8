import Diagnostics
import Evaluation
import Foundation
import GenomicFormats
import Testing

@Suite struct RecordRuleTests {
    let sequence = "GATTACAGATTACAGATTACAGATTACAGATTACA"

    @Test func recordsAtTheBorderCountByTheBasesTheyChange() throws {
        // Region 10 ..< 20: 1-based 11 to 20.
        let scene = Scene(sequence, regions: [10..<15, 15..<20])
        func count(_ call: String) throws -> Int {
            let result = try scene.compare(truth: [], calls: [call])
            return result.snp.falsePositives + result.indel.falsePositives
        }
        #expect(try count("10 T C 0/1") == 0)
        #expect(try count("11 T C 0/1") == 1)
        #expect(try count("20 C G 0/1") == 1)
        #expect(try count("21 A G 0/1") == 0)
        // A deletion's anchor is not changed.
        #expect(try count("20 CA C 0/1") == 0)
        #expect(try count("17 TTA T 0/1") == 1)
        // An insertion belongs to the base before it.
        #expect(try count("20 C CGG 0/1") == 1)
        #expect(try count("21 A AGG 0/1") == 0)
    }

    @Test func aTrueCallWrittenOutsideTheRegionIsNoMiss() throws {
        let scene = Scene("GATCACACACACATTGCGATTACA", regions: [0..<10])
        let result = try scene.compare(truth: ["3 TCA T 0/1"], calls: ["11 ACA A 0/1"])
        #expect(result.indel.five == [1, 1, 0, 0, 0])
    }

    @Test func filterIsReportedBothWays() throws {
        let report = try Scene(sequence).report(truth: ["4 T C 0/1"], calls: ["4 T C 0/1 LowQual", "11 T C 0/1 PASS"])
        #expect(report.all.snp.five == [1, 1, 1, 0, 0])
        #expect(report.passing.snp.five == [0, 0, 1, 1, 0])
        #expect(report.passing.callsFiltered == 1 && report.all.callsFiltered == 0)
    }

    @Test func qualityBoundLeavesCallsAside() throws {
        var comparison = CallSetComparison(reference: Scene(sequence).reference, regions: nil)
        comparison.minimumQuality = 51
        let record = Scene.record("4 T C 0/1")
        var sure = record
        sure.quality = 60
        var unsaid = record
        unsaid.quality = nil
        #expect(try comparison.compare(truth: [record], calls: [record]).all.snp.five == [0, 0, 0, 1, 0])
        #expect(try comparison.compare(truth: [record], calls: [record]).all.callsBelowQuality == 1)
        #expect(try comparison.compare(truth: [record], calls: [sure]).all.snp.five == [1, 1, 0, 0, 0])
        #expect(try comparison.compare(truth: [record], calls: [unsaid]).all.snp.five == [1, 1, 0, 0, 0])
    }

    @Test func genotypesThatSayNothingAreCountedNotCompared() throws {
        let scene = Scene(sequence)
        let calls = ["4 T C 0/0", "5 A C ./.", "6 C <DEL> 0/1", "8 G * 0/1"]
        let result = try scene.compare(truth: [], calls: calls)
        #expect(result.snp.falsePositives == 0 && result.indel.falsePositives == 0)
        #expect(result.callsWithoutGenotype == 1 && result.callsSymbolic == 1)
    }

    @Test func haploidAndHalfMissingGenotypes() throws {
        let scene = Scene(sequence)
        #expect(try scene.compare(truth: ["4 T C 1/1"], calls: ["4 T C 1"]).snp.five == [1, 1, 0, 0, 0])
        #expect(try scene.compare(truth: ["4 T C 0/1"], calls: ["4 T C ./1"]).snp.five == [1, 1, 0, 0, 0])
    }

    @Test func aSpanningDeletionAlleleLeavesTheChangeToTheDeletion() throws {
        let scene = Scene(sequence)
        let truth = ["3 TTA T 0/1", "5 A *,G 1/2"]
        let calls = ["3 TTA T 0/1", "5 A G 0/1"]
        #expect(try scene.compare(truth: truth, calls: calls).snp.five == [1, 1, 0, 0, 0])
    }

    @Test(arguments: ["4 A C 0/1", "36 A C 0/1", "35 AC A 0/1", "4 T C 0/2"])
    func recordsThatDoNotFitTheReferenceAreRefused(_ record: String) {
        #expect(throws: Failure.self) { try Scene(sequence).compare(truth: [], calls: [record]) }
    }

    @Test func aStrangeContigIsRefusedByName() throws {
        var record = Scene.record("4 T C 0/1")
        record.contig = "chrUnknown"
        let comparison = CallSetComparison(reference: Scene(sequence).reference, regions: nil)
        let failure = #expect(throws: Failure.self) { try comparison.compare(truth: [record], calls: []) }
        #expect(failure?.kind == .data && failure?.problem.contains("chrUnknown") == true)
        // With regions such a record lies outside, unless nothing at all lies on the reference.
        let limited = CallSetComparison(reference: Scene(sequence).reference, regions: ["c": [0..<10]])
        let here = Scene.record("4 T C 0/1")
        #expect(try limited.compare(truth: [here, record], calls: [here]).all.snp.five == [1, 1, 0, 0, 0])
        #expect(throws: Failure.self) { try limited.compare(truth: [record], calls: []) }
    }

    @Test func nothingToCompareHasNoRatio() throws {
        let report = try Scene(sequence).report(truth: [], calls: [])
        #expect(report.all.snp.precision == nil && report.all.snp.recall == nil && report.all.snp.f1 == nil)
        #expect(report.table.contains("n/a"))
    }

    @Test func reportSurvivesJSONAndStatesItsRatios() throws {
        let report = try Scene(sequence).report(
            truth: ["4 T C 0/1", "11 T C 0/1", "18 T C 0/1"], calls: ["4 T C 0/1", "11 T C 0/1", "25 T C 1/1"])
        let data = try JSONEncoder().encode(report)
        #expect(try JSONDecoder().decode(ComparisonReport.self, from: data) == report)
        #expect(String(decoding: data, as: UTF8.self).contains("\"fp_gt\""))
        #expect(abs((report.all.snp.precision ?? 0) - 2.0 / 3) < 1e-12)
        #expect(report.table.contains("0.6667"))
        #expect(ComparisonReport.list(report.all.differences).split(separator: "\n").count == 3)
    }
}
