import Foundation

/// How sure a record is, learned from simulated samples with known truth.
///
/// A logistic model of ramps: each term rises from 0 to 1 while one feature goes from an innocent value to a suspicious
/// one, and stays there; its weight is never negative. The model is therefore monotone (more quality never makes a
/// record worse), a strange value costs no more than its weight, and a weight can be read: it is what the term adds at
/// most to the natural logarithm of the odds that the record is wrong. docs/LEARNED-FILTER.md has the table.
package struct LearnedFilter: Sendable, Equatable {
    /// Substitutions, and records that change the length, have weights of their own.
    package enum VariantKind: String, Sendable, CaseIterable {
        case substitution, indel

        package init(_ features: CallFeatures) {
            self = features[.lengthChange] == 0 ? .substitution : .indel
        }
    }

    /// One term: 0 up to `innocent`, 1 from `suspicious` on, straight between; `suspicious` may be the lower one.
    package struct Term: Sendable, Equatable {
        /// Which records the term looks at; it is 0 for others.
        package enum Zygosity: String, Sendable {
            case any, heterozygous, homozygous
        }

        package var feature: CallFeatures.Feature
        package var innocent: Double
        package var suspicious: Double
        package var zygosity = Zygosity.any

        package init(
            _ feature: CallFeatures.Feature, _ innocent: Double, _ suspicious: Double, _ zygosity: Zygosity = .any
        ) {
            self.feature = feature
            self.innocent = innocent
            self.suspicious = suspicious
            self.zygosity = zygosity
        }

        package func value(_ features: CallFeatures) -> Double {
            let isHeterozygous = features[.isHeterozygous] != 0
            if zygosity == .heterozygous && !isHeterozygous || zygosity == .homozygous && isHeterozygous { return 0 }
            let value = feature == .lengthChange ? abs(features[feature]) : features[feature]
            return min(1, max(0, (value - innocent) / (suspicious - innocent)))
        }

        package var name: String {
            let scope = zygosity == .any ? "" : " (\(zygosity.rawValue))"
            return "\(feature) \(VCFLine.decimal(innocent, 2)) to \(VCFLine.decimal(suspicious, 2))\(scope)"
        }
    }

    /// The terms, the same for both kinds, in the order of the weights.
    package static let terms: [Term] = [
        Term(.quality, 300, 100), Term(.quality, 100, 50), Term(.quality, 50, 25), Term(.quality, 25, 12),
        Term(.quality, 12, 5), Term(.quality, 5, 1),
        Term(.genotypeQuality, 99, 50), Term(.genotypeQuality, 50, 25), Term(.genotypeQuality, 25, 12),
        Term(.genotypeQuality, 12, 5), Term(.genotypeQuality, 5, 0),
        Term(.qualityByDepth, 12, 2),
        Term(.alleleFraction, 0.4, 0.15, .heterozygous), Term(.alleleFraction, 0.65, 0.9, .heterozygous),
        Term(.alleleFraction, 0.95, 0.7, .homozygous),
        Term(.strandOddsRatio, 1.5, 4), Term(.strandBias, 10, 60),
        Term(.mappingQuality, 50, 20), Term(.alternateMappingQuality, 50, 20), Term(.mappingQualityRankSum, -2, -8),
        Term(.readPositionRankSum, -2, -6), Term(.alternateReadPosition, 20, 5), Term(.endShare, 0.3, 0.9),
        Term(.baseQualityRankSum, -2, -6), Term(.alternateBaseQuality, 32, 15),
        Term(.unmappableShare, 0.1, 0.7),
        Term(.lengthChange, 1, 30), Term(.repeatUnits, 5, 20), Term(.alternates, 1, 2),
        Term(.gcShare, 0.6, 0.85), Term(.gcShare, 0.3, 0.1), Term(.reciprocalShift, 0.5, 0.9),
    ]

    /// Weights of one kind of record.
    package struct Weights: Sendable, Equatable {
        /// Natural logarithm of the odds of a wrong record without any suspicion.
        package var bias: Double
        /// One for each of ``LearnedFilter/terms``, none negative.
        package var terms: [Double]

        package init(bias: Double, terms: [Double]) {
            precondition(terms.count == LearnedFilter.terms.count && terms.allSatisfy { $0 >= 0 })
            self.bias = bias
            self.terms = terms
        }
    }

    package var substitution: Weights
    package var indel: Weights

    package init(substitution: Weights, indel: Weights) {
        self.substitution = substitution
        self.indel = indel
    }

    package subscript(kind: VariantKind) -> Weights {
        kind == .substitution ? substitution : indel
    }

    /// Natural logarithm of the odds that the record is wrong: a sum in the order of the terms, the same everywhere.
    package func logOdds(_ features: CallFeatures) -> Double {
        let weights = self[VariantKind(features)]
        var sum = weights.bias
        for (term, weight) in zip(Self.terms, weights.terms) { sum += weight * term.value(features) }
        return sum
    }

    /// Phred-scaled probability that allele or genotype is wrong.
    package func quality(_ features: CallFeatures) -> Double { Self.quality(logOdds: logOdds(features)) }

    package static func quality(logOdds: Double) -> Double {
        logOdds > 0 ? 10 * log10(1 + exp(-logOdds)) : 10 * (log10(1 + exp(logOdds)) - logOdds / log(10))
    }

    /// Below it a record is more likely wrong than right: 10 log10 2.
    package static let passQuality = 10 * log10(2.0)

    /// A digest of what the weights depend on: names, order, ramps. 64-bit FNV-1a.
    package static var termsDigest: String {
        digest(of: (CallFeatures.names + terms.map(\.name)).joined(separator: "\n"))
    }

    package static func digest(of text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 {
            hash ^= UInt64(byte)
            hash &*= 0x100_0000_01b3
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
