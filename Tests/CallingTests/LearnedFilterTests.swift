import Calling
import Foundation
import Mapping
import Testing

@Suite struct LearnedFilterTests {
    /// Features of a record that nothing is wrong with.
    static func innocent(indel: Bool = false) -> CallFeatures {
        var features = CallFeatures(values: CallFeatures.names.map { _ in 0 })
        features[.quality] = 800
        features[.genotypeQuality] = 99
        features[.qualityByDepth] = 25
        features[.alleleFraction] = 0.5
        features[.isHeterozygous] = 1
        features[.depth] = 30
        features[.strandOddsRatio] = 0.7
        features[.mappingQuality] = 60
        features[.alternateMappingQuality] = 60
        features[.alternateReadPosition] = 40
        features[.alternateBaseQuality] = 37
        features[.lengthChange] = indel ? 1 : 0
        features[.gcShare] = 0.45
        features[.alternates] = 1
        return features
    }

    @Test func weightsBelongToTheTerms() {
        #expect(
            LearnedFilter.trainedTerms == LearnedFilter.termsDigest,
            "features or terms have changed since the weights were learned: run scripts/train-filter")
        #expect(LearnedFilter.trainingDigest.count == 16)
    }

    @Test func oddsAreASumOfRamps() {
        let count = LearnedFilter.terms.count
        let first = LearnedFilter.terms.firstIndex { $0.feature == .endShare }!
        let second = LearnedFilter.terms.firstIndex { $0.feature == .unmappableShare }!
        var weights = [Double](repeating: 0, count: count)
        weights[first] = 2
        weights[second] = 4
        let filter = LearnedFilter(
            substitution: .init(bias: -5, terms: weights),
            indel: .init(bias: -1, terms: [Double](repeating: 0, count: count)))
        var features = Self.innocent()
        #expect(filter.logOdds(features) == -5)
        features[.endShare] = 0.6  // half of 0.3 to 0.9
        #expect(abs(filter.logOdds(features) - -4) < 1e-12)
        features[.unmappableShare] = 5  // beyond the ramp
        #expect(abs(filter.logOdds(features) - 0) < 1e-12)
        #expect(abs(filter.quality(features) - LearnedFilter.passQuality) < 1e-9)
        #expect(filter.logOdds(Self.innocent(indel: true)) == -1)
        // 1 / (1 + e) is 0.26894.
        #expect(abs(filter.quality(Self.innocent(indel: true)) - 5.7034) < 1e-3)
    }

    @Test(arguments: [false, true]) func innocentRecordsPass(indel: Bool) {
        #expect(LearnedFilter.trained.quality(Self.innocent(indel: indel)) > 20)
    }

    /// More of what speaks for a record never makes it worse, whatever the rest says.
    @Test func monotone() {
        let rising: [CallFeatures.Feature] = [
            .quality, .genotypeQuality, .qualityByDepth, .mappingQuality, .alternateMappingQuality,
            .mappingQualityRankSum, .readPositionRankSum, .alternateReadPosition, .baseQualityRankSum,
            .alternateBaseQuality,
        ]
        let falling: [CallFeatures.Feature] = [.strandOddsRatio, .strandBias, .endShare, .unmappableShare, .repeatUnits]
        var generator = Generator(state: 5)
        for _ in 0..<300 {
            var features = CallFeatures(
                values: CallFeatures.names.map { _ in Double(generator.below(4000)) / 10 - 100 })
            features[.lengthChange] = Double(generator.below(5) - 2)
            features[.isHeterozygous] = Double(generator.below(2))
            for (group, sign) in [(rising, -1.0), (falling, 1.0)] {
                for feature in group {
                    var better = features
                    better[feature] += Double(generator.below(600)) / 10
                    let change = LearnedFilter.trained.logOdds(better) - LearnedFilter.trained.logOdds(features)
                    #expect(change * sign >= -1e-9, "\(feature)")
                }
            }
        }
    }

    @Test func strangeValuesCostNoMoreThanTheirWeights() {
        let filter = LearnedFilter.trained
        let most = filter.substitution.bias + filter.substitution.terms.reduce(0, +)
        let features = CallFeatures(values: CallFeatures.names.map { _ in 1e300 })
        #expect(filter.logOdds(features).isFinite)
        #expect(filter.logOdds(features) <= max(most, filter.indel.bias + filter.indel.terms.reduce(0, +)))
        #expect(LearnedFilter.quality(logOdds: 1000) >= 0)
        #expect(abs(LearnedFilter.quality(logOdds: -1000) - 4342.94) < 0.01)
    }

    /// The filter adds a field and a filter, and changes nothing else.
    @Test func offSwitch() throws {
        let reads = GVCFTests.reads()
        try reads.store.seal()
        func lines(_ isOn: Bool, features: Bool = false) throws -> [String] {
            var options = CallingOptions()
            options.usesLearnedFilter = isOn
            options.writesFeatures = features
            var lines = [
                String(
                    decoding: VariantCaller.header(
                        reference: reads.reference, sample: "s", command: "", options: options), as: UTF8.self)
            ]
            _ = try VariantCaller(reference: reads.reference, options: options).call(store: reads.store, threads: 1) {
                lines.append(String(decoding: $0, as: UTF8.self))
            }
            return lines
        }
        let with = try lines(true)
        let without = try lines(false)
        #expect(with.count == without.count && with.count > 3)
        #expect(!without.joined().contains("VQ") && !without.joined().contains("CF="))
        let headerLines = with[0].split(separator: "\n").filter { !$0.contains("VQ") }
        #expect(headerLines == without[0].split(separator: "\n"))
        for (a, b) in zip(with, without).dropFirst() {
            #expect(a.contains(";VQ="))
            #expect(Self.withoutFilter(a) == b)
        }
        for line in try lines(false, features: true).dropFirst() {
            let item = line.split(separator: "\t")[7].split(separator: ";").last!
            #expect(item.hasPrefix("CF=") && item.split(separator: ",").count == CallFeatures.names.count)
        }
    }

    /// Two substitutions that swap bases of an impure repeat are marked, and a lone one is not.
    @Test func reciprocalPairs() throws {
        // Reads span the tract, so that the caller keeps the pair and does not take it for a moved unit.
        let unit = "CGTAAA"
        let tract = String(repeating: unit, count: 4) + "CGTAAT" + String(repeating: unit, count: 4)
        let bases = genome(2000, pieces: [(900, "GCC" + tract + "GCG")])
        let impure = 926
        let changes = [
            Change(place: 500, removed: 1, inserted: [other(bases[500])]),
            Change(place: impure, removed: 1, inserted: codes("T")),
            Change(place: impure + 6, removed: 1, inserted: codes("A")),
        ]
        var reads = SyntheticReads(bases)
        reads.add(changes, range: 400..<1200, step: 4)
        reads.add(range: 400..<1200, step: 4)
        try reads.store.seal()
        var options = CallingOptions()
        options.writesFeatures = true
        var shares: [Int: Double] = [:]
        _ = try VariantCaller(reference: reads.reference, options: options).call(store: reads.store, threads: 1) {
            let line = Line(String(decoding: $0, as: UTF8.self))
            let item = line.fields[7].split(separator: ";").last { $0.hasPrefix("CF=") }!
            let values = item.dropFirst(3).split(separator: ",")
            shares[line.position - 1] = Double(values[CallFeatures.Feature.reciprocalShift.rawValue])
        }
        #expect(shares[500] == 0)
        // The window of 61 bases reaches a little beyond the tract.
        #expect(try #require(shares[impure]) > 0.6)
        #expect(shares[impure] == shares[impure + 6])
    }

    private static func withoutFilter(_ line: String) -> String {
        var fields = line.split(separator: "\t").map(String.init)
        fields[6] = fields[6].replacingOccurrences(of: ";LowVQ", with: "")
            .replacingOccurrences(of: "LowVQ", with: "PASS")
        fields[7] = fields[7].split(separator: ";").filter { !$0.hasPrefix("VQ=") }.joined(separator: ";")
        return fields.joined(separator: "\t")
    }
}
