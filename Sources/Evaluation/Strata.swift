/// Kinds of variant that callers find differently well: by genotype, by length, by what the sequence around repeats.
public enum Stratum: String, Sendable, Codable, CaseIterable {
    case heterozygous = "heterozygous"
    case homozygous = "homozygous"
    case insertion1To5 = "insertion of 1 to 5"
    case insertion6To15 = "insertion of 6 to 15"
    case insertion16 = "insertion of 16 or more"
    case deletion1To5 = "deletion of 1 to 5"
    case deletion6To15 = "deletion of 6 to 15"
    case deletion16 = "deletion of 16 or more"
    /// A run of one base, seven or longer.
    case homopolymer = "in a homopolymer"
    /// A unit of two to six bases, at least three times and ten bases.
    case tandemRepeat = "in a tandem repeat"
    case unique = "outside repeats"

    /// The strata of a call: one by genotype, one by length for insertions and deletions, one by context.
    static func of(_ call: DecodedCall, homopolymer: Int, tandemUnit: Int?) -> [Stratum] {
        var strata: [Stratum] = [call.isHomozygous ? .homozygous : .heterozygous]
        // Of two alleles the one that changes the length most.
        let growth = call.key.map { $0.bases.count - ($0.end - $0.start) }.max { abs($0) < abs($1) } ?? 0
        if call.variantClass == .indel, growth != 0 {
            let sizes: [Stratum] =
                growth > 0
                ? [.insertion1To5, .insertion6To15, .insertion16] : [.deletion1To5, .deletion6To15, .deletion16]
            strata.append(sizes[abs(growth) < 6 ? 0 : (abs(growth) < 16 ? 1 : 2)])
        }
        strata.append(homopolymer >= 7 ? .homopolymer : (tandemUnit ?? 1 > 1 ? .tandemRepeat : .unique))
        return strata
    }
}

/// The counts of one stratum of one class.
public struct StratumCounts: Sendable, Codable, Equatable {
    public var variantClass: VariantClass
    public var stratum: Stratum
    public var counts: ClassCounts
}

/// Calls by QUAL: how many, and how many of them are wrong (genotype included). A caller whose QUAL is a probability
/// has about 10 % wrong calls at 10, 1 % at 20.
public struct QualityBin: Sendable, Codable, Equatable {
    /// The bin holds calls with a QUAL from here to below 10 more; the last one has no end.
    public var quality: Int
    public var calls: Int
    public var wrong: Int

    public init(quality: Int, calls: Int, wrong: Int) {
        self.quality = quality
        self.calls = calls
        self.wrong = wrong
    }

    static let last = 60
    static func of(_ quality: Double) -> Int { min(last, max(0, Int(quality) / 10 * 10)) }
}

extension Comparison {
    mutating func count(_ strata: [Stratum], _ variantClass: VariantClass, _ change: (inout ClassCounts) -> Void) {
        change(&self[variantClass])
        for stratum in strata {
            if let index = self.strata.firstIndex(where: { $0.variantClass == variantClass && $0.stratum == stratum }) {
                change(&self.strata[index].counts)
            } else {
                var counts = ClassCounts()
                change(&counts)
                self.strata.append(StratumCounts(variantClass: variantClass, stratum: stratum, counts: counts))
            }
        }
    }

    mutating func count(quality: Double?, isWrong: Bool) {
        guard let quality, quality.isFinite else { return }
        let bin = QualityBin.of(min(quality, 1e6))
        if let index = calibration.firstIndex(where: { $0.quality == bin }) {
            calibration[index].calls += 1
            calibration[index].wrong += isWrong ? 1 : 0
        } else {
            calibration.append(QualityBin(quality: bin, calls: 1, wrong: isWrong ? 1 : 0))
        }
    }

    /// Strata and bins in their order, whatever came first.
    mutating func order() {
        let places = Dictionary(uniqueKeysWithValues: Stratum.allCases.enumerated().map { ($1, $0) })
        strata.sort {
            ($0.variantClass == .snp ? 0 : 1, places[$0.stratum] ?? 0)
                < ($1.variantClass == .snp ? 0 : 1, places[$1.stratum] ?? 0)
        }
        calibration.sort { $0.quality < $1.quality }
    }

    /// A table of the strata, and one of the calls' QUAL beside how often they are wrong.
    public var strataTable: String {
        func row(_ fields: [String], _ widths: [Int]) -> String {
            zip(fields, widths).enumerated().map { place, pair in
                let space = String(repeating: " ", count: max(0, pair.1 - pair.0.count))
                return place < 2 ? pair.0 + space : space + pair.0
            }.joined(separator: "  ")
        }
        let widths = [5, 24, 8, 7, 7, 9, 7, 7]
        var lines = [row(["type", "stratum", "truth", "FN", "FP", "precision", "recall", "F1"], widths)]
        for entry in strata {
            let counts = entry.counts
            lines.append(
                row(
                    [
                        entry.variantClass == .snp ? "SNP" : "INDEL", entry.stratum.rawValue,
                        "\(counts.truthMatched + counts.falseNegatives)", "\(counts.falseNegatives)",
                        "\(counts.falsePositives)", ComparisonReport.decimal(counts.precision),
                        ComparisonReport.decimal(counts.recall), ComparisonReport.decimal(counts.f1),
                    ], widths))
        }
        let bins = [5, 24, 8, 9]
        lines += ["", row(["QUAL", "", "calls", "wrong"], bins)]
        for bin in calibration {
            let label = bin.quality == QualityBin.last ? "\(bin.quality)+" : "\(bin.quality)"
            let share = ComparisonReport.decimal(Double(bin.wrong) / Double(max(1, bin.calls)))
            lines.append(row([label, "", "\(bin.calls)", share], bins))
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
