import Foundation

/// One base of a column, with what tells artefacts from alleles.
struct ColumnBase {
    var base: UInt8
    var quality: UInt8
    var mappingQuality: UInt8
    var isReverse: Bool
    var isNearEnd: Bool
    /// P(base | allele) when the allele is that base, and when it is another one.
    var match: Double
    var mismatch: Double
}

/// Explanations of a column by a homozygous genotype and something that is no allele: errors that many reads share.
///
/// Independent errors cannot explain several equal bases that differ from the genotype; dependent ones can. Each
/// hypothesis says that some of the reads (those of one strand, the bases near ends, those of low quality, or all) show
/// another base at a rate that is not known, and has a prior probability. The likelihoods, averaged over rates and
/// weighted, join that of the homozygous genotype. DRAGEN-GATK's base-quality drop-out and foreign-read detection
/// (Behera et al. 2024) ask the same two questions.
enum ArtefactModel {
    /// Prior probability per position that reads of one strand err together there; as much for the other strand.
    static let strandPrior = 5e-7
    /// That bases near the ends of alignments do: most are indels that an alignment did not open.
    static let endPrior = 3e-6
    /// That bases whose quality is low do.
    static let qualityPrior = 1e-6
    static let lowQuality = 25
    /// That any reads do, at a rate too low for an allele: damaged molecules, contamination.
    static let anyPrior = 5e-7
    /// That reads from elsewhere show another base, were they sure not to belong here: times 10^(-q/10) for the mean
    /// mapping quality q of those that show it. Which reads map badly is no evidence by itself, because an allele that
    /// makes reads resemble another place lowers their mapping quality too.
    static let foreignPrior = 1e-3
    /// From this mean mapping quality on, the end of the scale, the mapper knows of no other place.
    static let uniqueMappingQuality = 55.0

    /// Rates at which affected reads show the other base, with their shares of the prior: the higher, the rarer.
    private typealias Rates = [(rate: Double, weight: Double)]
    private static let errorRates: Rates = [(0.1, 0.6), (0.25, 0.3), (0.5, 0.08), (0.75, 0.02)]
    private static let lowRates: Rates = [(0.02, 0.2), (0.05, 0.2), (0.1, 0.2), (0.15, 0.2), (0.25, 0.2)]
    /// Foreign reads have at most as many copies as the place's own.
    private static let foreignRates: Rates = [(0.1, 0.25), (0.2, 0.25), (0.35, 0.25), (0.5, 0.25)]

    /// log10 likelihood of the column when the genotype is homozygous for `allele`, with all artefacts that show `other`.
    ///
    /// - Parameter plain: log10 likelihood with independent errors alone.
    static func likelihood(_ column: [ColumnBase], allele: Int, other: Int, plain: Double) -> Double {
        var terms = [plain]
        func consider(_ prior: Double, _ rates: Rates, _ isAffected: (ColumnBase) -> Bool) {
            guard prior > 0 else { return }
            var logarithms = [Double](repeating: plain + log10(prior), count: rates.count)
            var products = rates.map(\.weight)
            var isShown = false
            for entry in column where isAffected(entry) {
                // Bases that are neither are equally likely either way.
                guard entry.base == allele || entry.base == other else { continue }
                let odds = entry.base == other ? entry.match / entry.mismatch : entry.mismatch / entry.match
                isShown = isShown || entry.base == other
                for (index, (rate, _)) in rates.enumerated() {
                    products[index] *= 1 - rate + rate * odds
                    if products[index] < 1e-200 || products[index] > 1e200 {
                        logarithms[index] += log10(products[index])
                        products[index] = 1
                    }
                }
            }
            guard isShown else { return }
            for index in rates.indices { terms.append(logarithms[index] + log10(products[index])) }
        }
        consider(strandPrior, errorRates) { !$0.isReverse }
        consider(strandPrior, errorRates) { $0.isReverse }
        consider(endPrior, errorRates) { $0.isNearEnd }
        consider(qualityPrior, errorRates) { $0.quality < lowQuality }
        consider(anyPrior, lowRates) { _ in true }
        consider(foreignPrior * misplacement(column, other), foreignRates) { _ in true }
        return log10Sum(terms)
    }

    /// Probability that reads of a base are misplaced together.
    private static func misplacement(_ column: [ColumnBase], _ base: Int) -> Double {
        var sum = 0
        var count = 0
        for entry in column where Int(entry.base) == base {
            sum += Int(entry.mappingQuality)
            count += 1
        }
        let mean = Double(sum) / Double(max(1, count))
        return mean < uniqueMappingQuality ? pow(10, -mean / 10) : 0
    }
}
