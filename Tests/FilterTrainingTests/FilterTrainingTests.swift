import Calling
import Diagnostics
import Evaluation
import FilterTraining
import Foundation
import Testing

@Suite struct FilterTrainingTests {
    /// SplitMix64, from 0 to 1.
    struct Noise {
        var state: UInt64
        mutating func next() -> Double {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return Double((value ^ (value >> 31)) >> 11) / 9_007_199_254_740_992
        }
    }

    /// Substitutions that are wrong with log odds -3, and 4 more when all alternate bases lie at read ends; strand and
    /// GC are noise.
    static func planted(_ count: Int, seed: UInt64) -> [LabelledCalls.Row] {
        var noise = Noise(state: seed)
        return (0..<count).map { _ in
            var features = CallFeatures(values: CallFeatures.names.map { _ in 0 })
            features[.quality] = 1000
            features[.genotypeQuality] = 99
            features[.qualityByDepth] = 30
            features[.alleleFraction] = 1
            features[.mappingQuality] = 60
            features[.alternateMappingQuality] = 60
            features[.alternateReadPosition] = 30
            features[.alternateBaseQuality] = 37
            features[.gcShare] = 0.2 + 0.6 * noise.next()
            features[.strandOddsRatio] = 4 * noise.next()
            features[.endShare] = noise.next() < 0.3 ? 1 : 0
            let odds = -3 + 4 * features[.endShare]
            return LabelledCalls.Row(features: features, isWrong: noise.next() < 1 / (1 + exp(-odds)))
        }
    }

    static func weight(_ filter: LearnedFilter, _ feature: CallFeatures.Feature) -> Double {
        zip(LearnedFilter.terms, filter.substitution.terms).filter { $0.0.feature == feature }.map(\.1).reduce(0, +)
    }

    @Test func plantedRuleIsFound() {
        let filter = FilterTrainer(penalty: 10).fit(Self.planted(8000, seed: 3))
        #expect(abs(filter.substitution.bias - -3) < 0.3)
        #expect(abs(Self.weight(filter, .endShare) - 4) < 0.4)
        for noise in [CallFeatures.Feature.gcShare, .strandOddsRatio, .unmappableShare, .quality] {
            #expect(Self.weight(filter, noise) < 0.1, "\(noise)")
        }
        // There were no indels: nothing is learned of them but that a record may be wrong.
        #expect(filter.indel.terms.allSatisfy { $0 == 0 })
    }

    @Test func sameRowsSameWeights() {
        let rows = Self.planted(2000, seed: 8)
        #expect(FilterTrainer(penalty: 3).fit(rows) == FilterTrainer(penalty: 3).fit(rows))
    }

    /// What speaks against sense gets no weight: here bases at read ends are the right ones.
    @Test func weightsAreNeverNegative() {
        let rows = Self.planted(3000, seed: 4).map { LabelledCalls.Row(features: $0.features, isWrong: !$0.isWrong) }
        let filter = FilterTrainer(penalty: 1).fit(rows)
        #expect(Self.weight(filter, .endShare) == 0)
        #expect(filter.substitution.terms.allSatisfy { $0 >= 0 })
    }

    @Test func penaltyIsChosenBySamplesLeftOut() {
        let sets = (0..<4).map { Self.planted(400, seed: 20 + UInt64($0)) }
        let choice = FilterTrainer.choosePenalty(sets, from: [1, 10, 1e6])
        // A penalty that leaves no term predicts worse than one that finds the rule.
        #expect(choice.penalty < 1e6)
        #expect(choice.losses[2] > choice.losses[1])
        let flat = FilterTrainer(penalty: 1e6).fit(sets[0])
        let good = FilterTrainer(penalty: 10).fit(sets[0])
        #expect(FilterTrainer.loss(sets[1], good.logOdds) < FilterTrainer.loss(sets[1], flat.logOdds))
    }

    @Test func lossesByHand() {
        var features = CallFeatures(values: CallFeatures.names.map { _ in 0 })
        features[.quality] = 10
        features[.genotypeQuality] = 50
        let odds = FilterTrainer.genotyperLogOdds(features)
        #expect(abs(odds - log(0.1 / 0.9)) < 1e-12)
        let rows = [true, false].map { LabelledCalls.Row(features: features, isWrong: $0) }
        let expected = 500 * (-log(0.1) - log(0.9))
        #expect(abs(FilterTrainer.loss(rows, FilterTrainer.genotyperLogOdds) - expected) < 1e-9)
    }

    @Test func filesBecomeRows() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "filter-training-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ name: String, _ text: String) throws -> String {
            let path = folder.appending(path: name).path
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            return path
        }
        let header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts\n"
        let features = CallFeatures.names.indices.map(String.init).joined(separator: ",")
        func call(_ place: Int, _ change: String, _ info: String) -> String {
            "c\t\(place)\t.\t\(change)\t50\tPASS\t\(info)\tGT\t0/1\n"
        }
        let reference = try write("r.fa", ">c\nACGTACGTACGTACGTACGT\n")
        let truth = try write("t.vcf", header + call(3, "G\tA", "DP=9"))
        let good = try write(
            "c.vcf", header + call(3, "G\tA", "DP=9;CF=\(features)") + call(10, "C\tT", "CF=\(features)"))
        let list = try write("list", "# samples\nx\ttrain\t\(good)\t\(truth)\t\(reference)\t.\n")
        let source = try #require(try LabelledCalls.sources(list).first)
        let set = try LabelledCalls(source)
        #expect(set.rows.map(\.isWrong) == [false, true])
        #expect(set.rows[0].features.values == CallFeatures.names.indices.map(Double.init))
        let counts = try set.accuracy(nil).snp
        #expect(counts.callsMatched == 1 && counts.falsePositives == 1)
        // A filter that thinks everything wrong leaves nothing.
        let none = LearnedFilter.Weights(bias: 9, terms: LearnedFilter.terms.map { _ in 0 })
        let after = try set.accuracy(LearnedFilter(substitution: none, indel: none)).snp
        #expect(after.callsMatched == 0 && after.falsePositives == 0 && after.falseNegatives == 1)

        let plain = try write("p.vcf", header + call(3, "G\tA", "DP=9"))
        var other = source
        other.calls = plain
        #expect(throws: Failure.self) { try LabelledCalls(other) }
        let short = try write("short", "x\ttrain\t\(good)\n")
        #expect(throws: Failure.self) { try LabelledCalls.sources(short) }
        let use = try write("use", "x\ttest\t\(good)\t\(truth)\t\(reference)\t.\n")
        #expect(throws: Failure.self) { try LabelledCalls.sources(use) }
    }
}
