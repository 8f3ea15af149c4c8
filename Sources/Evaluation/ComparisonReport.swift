/// Counts of one class of variant. `truthMatched` and `callsMatched` differ when both sides write the same haplotypes
/// with different numbers of records.
public struct ClassCounts: Sendable, Codable, Equatable {
    /// Truth records found (TP as recall counts them).
    public var truthMatched = 0
    /// Calls that are true (TP as precision counts them).
    public var callsMatched = 0
    public var falsePositives = 0
    public var falseNegatives = 0
    /// False positives whose allele is true and whose genotype is not (FP.gt); they are among `falsePositives`.
    public var genotypeMismatches = 0

    public init() {}

    /// Nil when nothing was called.
    public var precision: Double? { Self.ratio(callsMatched, falsePositives) }
    /// Nil when there is nothing to find.
    public var recall: Double? { Self.ratio(truthMatched, falseNegatives) }
    /// Harmonic mean of precision and recall; nil when either is.
    public var f1: Double? {
        guard let precision, let recall else { return nil }
        return precision + recall == 0 ? 0 : 2 * precision * recall / (precision + recall)
    }

    private static func ratio(_ good: Int, _ bad: Int) -> Double? {
        good + bad == 0 ? nil : Double(good) / Double(good + bad)
    }

    private enum CodingKeys: String, CodingKey {
        case truthMatched = "truth_tp"
        case callsMatched = "calls_tp"
        case falsePositives = "fp"
        case falseNegatives = "fn"
        case genotypeMismatches = "fp_gt"
        case precision, recall, f1
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        truthMatched = try values.decode(Int.self, forKey: .truthMatched)
        callsMatched = try values.decode(Int.self, forKey: .callsMatched)
        falsePositives = try values.decode(Int.self, forKey: .falsePositives)
        falseNegatives = try values.decode(Int.self, forKey: .falseNegatives)
        genotypeMismatches = try values.decode(Int.self, forKey: .genotypeMismatches)
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(truthMatched, forKey: .truthMatched)
        try values.encode(callsMatched, forKey: .callsMatched)
        try values.encode(falsePositives, forKey: .falsePositives)
        try values.encode(falseNegatives, forKey: .falseNegatives)
        try values.encode(genotypeMismatches, forKey: .genotypeMismatches)
        try values.encodeIfPresent(precision, forKey: .precision)
        try values.encodeIfPresent(recall, forKey: .recall)
        try values.encodeIfPresent(f1, forKey: .f1)
    }
}

/// One false positive or false negative, with what helps to understand it. Holds genotypes: for the evaluator's eyes.
public struct Difference: Sendable, Codable, Equatable {
    public enum Kind: String, Sendable, Codable {
        case falsePositive = "FP"
        case falseNegative = "FN"
    }
    public var kind: Kind
    public var variantClass: VariantClass
    public var contig: String
    /// 1-based, as the record has it.
    public var position: Int
    public var reference: String
    public var alternates: [String]
    public var genotype: String
    public var quality: Double?
    public var depth: Int?
    public var isPassing: Bool
    /// The allele is true, the genotype is not.
    public var isGenotypeMismatch: Bool
    /// Length of the run of one base that the variant touches.
    public var homopolymerLength: Int
    /// Unit length of the tandem repeat (at least three units and ten bases) that the variant touches; nil outside one.
    public var tandemRepeatUnit: Int?
}

/// The comparison of one set of calls with the truth.
public struct Comparison: Sendable, Codable, Equatable {
    public var snp = ClassCounts()
    public var indel = ClassCounts()
    /// Calls left aside by FILTER, by the quality bound, and because their genotype is missing or symbolic.
    public var callsFiltered = 0
    public var callsBelowQuality = 0
    public var callsWithoutGenotype = 0
    public var callsSymbolic = 0
    public var truthWithoutGenotype = 0
    public var truthSymbolic = 0
    public var differences: [Difference] = []
    /// Counts by genotype, length and context; strata without a variant are left out.
    public var strata: [StratumCounts] = []
    /// Calls inside the regions by QUAL; bins without a call are left out.
    public var calibration: [QualityBin] = []

    public init() {}

    public subscript(variantClass: VariantClass) -> ClassCounts {
        get { variantClass == .snp ? snp : indel }
        set { if variantClass == .snp { snp = newValue } else { indel = newValue } }
    }
}

/// Both ways to read the FILTER column, side by side.
public struct ComparisonReport: Sendable, Codable, Equatable {
    /// Calls with FILTER `PASS` or `.` only.
    public var passing: Comparison
    /// All calls, whatever FILTER says.
    public var all: Comparison

    public init(passing: Comparison, all: Comparison) {
        self.passing = passing
        self.all = all
    }

    /// A table of both, one line per class and filter.
    public var table: String {
        var lines = [
            Self.columns([
                "type", "filter", "truth", "TP", "FN", "calls", "FP", "FP.gt", "precision", "recall", "F1",
            ])
        ]
        for (label, comparison) in [("PASS", passing), ("all", all)] {
            for variantClass in VariantClass.allCases {
                let counts = comparison[variantClass]
                lines.append(
                    Self.columns([
                        variantClass == .snp ? "SNP" : "INDEL", label,
                        "\(counts.truthMatched + counts.falseNegatives)", "\(counts.truthMatched)",
                        "\(counts.falseNegatives)", "\(counts.callsMatched + counts.falsePositives)",
                        "\(counts.falsePositives)", "\(counts.genotypeMismatches)", Self.decimal(counts.precision),
                        Self.decimal(counts.recall), Self.decimal(counts.f1),
                    ]))
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The false positives and negatives of one comparison, tab-separated with a header line.
    public static func list(_ differences: [Difference]) -> String {
        var text =
            "kind\ttype\tcontig\tposition\tref\talt\tgenotype\tqual\tdepth\tfilter\tgenotype_only"
            + "\thomopolymer\ttandem_unit\n"
        for item in differences {
            let fields: [String] = [
                item.kind.rawValue, item.variantClass.rawValue, item.contig, "\(item.position)", item.reference,
                item.alternates.joined(separator: ","), item.genotype, item.quality.map { "\($0)" } ?? ".",
                item.depth.map { "\($0)" } ?? ".", item.isPassing ? "PASS" : "filtered",
                item.isGenotypeMismatch ? "yes" : "no", "\(item.homopolymerLength)",
                item.tandemRepeatUnit.map { "\($0)" } ?? ".",
            ]
            text += fields.joined(separator: "\t") + "\n"
        }
        return text
    }

    private static func columns(_ fields: [String]) -> String {
        let widths = [5, 6, 8, 8, 7, 8, 7, 6, 9, 7, 7]
        return zip(fields, widths).enumerated().map { place, pair in
            let space = String(repeating: " ", count: max(0, pair.1 - pair.0.count))
            return place < 2 ? pair.0 + space : space + pair.0
        }.joined(separator: "  ")
    }

    /// Four decimals, rounded to nearest.
    static func decimal(_ value: Double?) -> String {
        guard let value else { return "n/a" }
        let scaled = Int((value * 10_000).rounded())
        let digits = String(scaled % 10_000)
        return "\(scaled / 10_000)." + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
