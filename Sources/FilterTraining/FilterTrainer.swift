package import Calling
internal import Foundation

/// Fits ``LearnedFilter`` to labelled calls: logistic regression with weights that are never negative and pay for their
/// size, so that a term which helps little gets none. Everything happens in the order of the rows; no random numbers.
package struct FilterTrainer: Sendable {
    /// Cost of a weight, in units of log likelihood: by its size, and by half its square.
    package var penalty: Double
    package var ridge = 0.5
    private static let sweeps = 400
    private static let tolerance = 1e-5
    /// Longest step of a weight in one sweep.
    private static let longestStep = 1.0

    package init(penalty: Double) { self.penalty = penalty }

    package func fit(_ rows: [LabelledCalls.Row]) -> LearnedFilter {
        func weights(_ kind: LearnedFilter.VariantKind) -> LearnedFilter.Weights {
            fit(rows.filter { LearnedFilter.VariantKind($0.features) == kind }, of: kind)
        }
        return LearnedFilter(substitution: weights(.substitution), indel: weights(.indel))
    }

    /// The rows in which a term is not 0, and its values there.
    private struct Column {
        var rows: [Int] = []
        var values: [Double] = []
    }

    private func fit(_ rows: [LabelledCalls.Row], of kind: LearnedFilter.VariantKind) -> LearnedFilter.Weights {
        var columns = [Column](repeating: Column(), count: LearnedFilter.terms.count)
        for (index, row) in rows.enumerated() {
            for (rank, term) in LearnedFilter.terms.enumerated() {
                let value = term.value(row.features)
                guard value > 0 else { continue }
                columns[rank].rows.append(index)
                columns[rank].values.append(value)
            }
        }
        let wrong = Double(rows.count { $0.isWrong })
        // Half a wrong record more than there are keeps the odds finite when there is none.
        var bias = log((wrong + 0.5) / (Double(rows.count) - wrong + 0.5))
        var weights = [Double](repeating: 0, count: columns.count)
        var odds = [Double](repeating: bias, count: rows.count)
        let labels = rows.map { $0.isWrong ? 1.0 : 0.0 }
        for _ in 0..<Self.sweeps {
            var moved = 0.0
            var (slope, curve) = (0.5 * Self.probability(bias) - 0.25, 0.25)
            for index in odds.indices {
                let probability = Self.probability(odds[index])
                slope += probability - labels[index]
                curve += probability * (1 - probability)
            }
            let step = min(Self.longestStep, max(-Self.longestStep, -slope / curve))
            bias += step
            moved = max(moved, abs(step))
            for index in odds.indices { odds[index] += step }
            for rank in columns.indices {
                let step = bestStep(columns[rank], weight: weights[rank], odds: odds, labels: labels)
                guard step != 0 else { continue }
                weights[rank] += step
                moved = max(moved, abs(step))
                for (index, value) in zip(columns[rank].rows, columns[rank].values) { odds[index] += step * value }
            }
            if moved < Self.tolerance { break }
        }
        return LearnedFilter.Weights(bias: Self.rounded(bias), terms: weights.map(Self.rounded))
    }

    private func bestStep(_ column: Column, weight: Double, odds: [Double], labels: [Double]) -> Double {
        var slope = penalty + ridge * weight
        var curve = ridge + 1e-3
        for (index, value) in zip(column.rows, column.values) {
            let probability = Self.probability(odds[index])
            slope += (probability - labels[index]) * value
            curve += probability * (1 - probability) * value * value
        }
        let step = min(Self.longestStep, max(-Self.longestStep, -slope / curve))
        return max(0, weight + step) - weight
    }

    static func probability(_ logOdds: Double) -> Double { 1 / (1 + exp(-logOdds)) }

    /// Three decimals say what a weight says, and are the same on every machine.
    private static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

    /// A higher penalty, and so a smaller model, is taken when it predicts worse by no more than this share.
    private static let tolerableLoss = 0.01

    /// The highest penalty under which samples that were left out are predicted as well as under any, within a
    /// hundredth, and the loss for each that was tried: the mean of the samples' negative log likelihoods per 1000
    /// records.
    package static func choosePenalty(
        _ sets: [[LabelledCalls.Row]], from penalties: [Double] = [1, 3, 10, 30]
    ) -> (penalty: Double, losses: [Double]) {
        let losses = penalties.map { penalty in
            let trainer = FilterTrainer(penalty: penalty)
            let each = sets.indices.map { left in
                let filter = trainer.fit(sets.indices.filter { $0 != left }.flatMap { sets[$0] })
                return loss(sets[left], filter.logOdds)
            }
            return each.reduce(0, +) / Double(max(1, each.count))
        }
        let most = losses.min()! * (1 + tolerableLoss)
        return (zip(penalties, losses).filter { $0.1 <= most }.map(\.0).max()!, losses)
    }

    /// Negative log likelihood of the labels per 1000 records.
    package static func loss(_ rows: [LabelledCalls.Row], _ logOdds: (CallFeatures) -> Double) -> Double {
        guard !rows.isEmpty else { return 0 }
        var sum = 0.0
        for row in rows {
            let odds = logOdds(row.features)
            let surprise = row.isWrong ? -odds : odds
            sum += surprise > 30 ? surprise : log(1 + exp(surprise))
        }
        return 1000 * sum / Double(rows.count)
    }

    /// What the genotyper alone says: the worse of QUAL and GQ as logarithm of the odds.
    package static func genotyperLogOdds(_ features: CallFeatures) -> Double {
        let quality = max(0.01, min(features[.quality], features[.genotypeQuality] + 0.5))
        let wrong = pow(10, -quality / 10)
        return log(wrong / (1 - wrong))
    }
}
