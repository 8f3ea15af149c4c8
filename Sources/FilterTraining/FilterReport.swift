package import Calling
internal import Evaluation
internal import Foundation

/// What a filter does to labelled calls, as tables in Markdown, and its weights as Swift source.
package struct FilterReport: Sendable {
    package var filter: LearnedFilter
    package init(_ filter: LearnedFilter) { self.filter = filter }

    /// Accuracy of the records that pass, without and with the filter.
    package func accuracy(_ sets: [LabelledCalls]) throws -> String {
        var lines = [
            "| set | class | FP without | FP with | FN without | FN with | F1 without | F1 with |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for set in sets {
            let before = try set.accuracy(nil)
            let after = try set.accuracy(filter)
            for kind in VariantClass.allCases {
                let (a, b) = (before[kind], after[kind])
                lines.append(
                    "| \(set.source.name) | \(kind == .snp ? "SNP" : "indel") | \(a.falsePositives) "
                        + "| \(b.falsePositives) | \(a.falseNegatives) | \(b.falseNegatives) | \(Self.text(a.f1, 5)) | \(Self.text(b.f1, 5)) |")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Records by VQ: how many, how many of them are wrong, and how many should be.
    package func calibration(_ sets: [LabelledCalls]) -> String {
        let bounds = [0.0, 3.0103, 6, 10, 15, 20, 25, 30, 35, 40, 1e9]
        var lines = ["| VQ | records | wrong | expected |", "|---|---|---|---|"]
        let rows = sets.flatMap(\.rows)
        for (low, high) in zip(bounds, bounds.dropFirst()) {
            var (count, wrong, expected) = (0, 0, 0.0)
            for row in rows {
                let quality = filter.quality(row.features)
                guard quality >= low, quality < high else { continue }
                count += 1
                wrong += row.isWrong ? 1 : 0
                expected += pow(10, -quality / 10)
            }
            let name = high > 1e8 ? "\(Self.text(low, 0)) and more" : "\(Self.text(low, 0)) to \(Self.text(high, 0))"
            lines.append("| \(name) | \(count) | \(wrong) | \(Self.text(expected, 1)) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Mean surprise at the labels for each set: by the genotyper's QUAL and GQ, and by VQ. Lower is better.
    package func losses(_ sets: [LabelledCalls]) -> String {
        var lines = ["| set | records | wrong | by QUAL and GQ | by VQ |", "|---|---|---|---|---|"]
        for set in sets {
            let plain = FilterTrainer.loss(set.rows, FilterTrainer.genotyperLogOdds)
            let learned = FilterTrainer.loss(set.rows, filter.logOdds)
            lines.append(
                "| \(set.source.name) | \(set.rows.count) | \(set.rows.count { $0.isWrong }) "
                    + "| \(Self.text(plain, 2)) | \(Self.text(learned, 2)) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The terms that have a weight.
    package var coefficients: String {
        var lines = ["| term | substitutions | indels |", "|---|---|---|"]
        func cell(_ value: Double) -> String { value == 0 ? "" : Self.text(value, 3) }
        lines.append("| (without suspicion) | \(cell(filter.substitution.bias)) | \(cell(filter.indel.bias)) |")
        for (rank, term) in LearnedFilter.terms.enumerated() {
            let (one, two) = (filter.substitution.terms[rank], filter.indel.terms[rank])
            if one > 0 || two > 0 { lines.append("| \(term.name) | \(cell(one)) | \(cell(two)) |") }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Sources/Calling/LearnedFilterWeights.swift for this filter.
    package func source(trainedOn sets: [LabelledCalls]) -> String {
        func list(_ weights: LearnedFilter.Weights) -> String {
            let rows = stride(from: 0, to: weights.terms.count, by: 8).map { first in
                "                "
                    + weights.terms[first..<min(first + 8, weights.terms.count)].map { "\($0)" }.joined(separator: ", ")
            }
            return "Weights(\n            bias: \(weights.bias),\n            terms: [\n"
                + rows.joined(separator: ",\n") + ",\n            ])"
        }
        return """
            // Written by scripts/train-filter: not to be edited by hand.

            extension LearnedFilter {
                /// ``termsDigest`` of the terms that the weights were learned for.
                package static let trainedTerms = "\(LearnedFilter.termsDigest)"
                /// Digest of the rows that the weights were learned from.
                package static let trainingDigest = "\(Self.digest(sets))"

                /// What the program uses.
                package static let trained = LearnedFilter(
                    substitution: \(list(filter.substitution)),
                    indel: \(list(filter.indel)))
            }

            """
    }

    private static func digest(_ sets: [LabelledCalls]) -> String {
        var text = ""
        for set in sets {
            text += set.source.name + "\n"
            for row in set.rows {
                text += row.features.values.map { "\($0)" }.joined(separator: ",") + (row.isWrong ? ",1\n" : ",0\n")
            }
        }
        return LearnedFilter.digest(of: text)
    }

    private static func text(_ value: Double?, _ places: Int) -> String {
        value.map { String(format: "%.\(places)f", $0) } ?? "n/a"
    }
}
