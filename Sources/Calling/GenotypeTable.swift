import Foundation

/// Genotype likelihoods of one record and what follows from them: genotype, QUAL, GQ, PL (VCF 4.3 sections 1.4.1,
/// 1.4.2).
package struct GenotypeTable {
    /// log10 likelihood of the genotypes in VCF order: (j, k), j <= k, at k (k + 1) / 2 + j; of the alleles when
    /// haploid.
    package let likelihoods: [Double]
    /// Heterozygosities of the alternate alleles.
    let alternatePriors: [Double]
    /// 2, or 1.
    package let ploidy: Int
    var alleleCount: Int { alternatePriors.count + 1 }
    /// Two equal alleles when haploid.
    package private(set) var genotype: (Int, Int) = (0, 0)
    /// Phred-scaled probability that no alternate allele is there.
    package private(set) var quality = 0.0
    package private(set) var genotypeQuality = 0

    package static let highestQuality = 3000.0

    package static func index(_ a: Int, _ b: Int) -> Int { max(a, b) * (max(a, b) + 1) / 2 + min(a, b) }

    /// The alleles of a diploid genotype by its place in VCF order.
    static func alleles(_ index: Int) -> (Int, Int) {
        var row = 0
        while (row + 1) * (row + 2) / 2 <= index { row += 1 }
        return (index - row * (row + 1) / 2, row)
    }

    /// `alternatePriors` are the heterozygosities of the alternate alleles, one by one.
    package init(likelihoods: [Double], alternatePriors: [Double], ploidy: Int = 2) {
        self.likelihoods = likelihoods
        self.alternatePriors = alternatePriors
        self.ploidy = ploidy
        let posteriors =
            ploidy == 1
            ? Self.haploidPosteriors(likelihoods, alternatePriors) : Self.posteriors(likelihoods, alternatePriors)
        var best = 0
        for index in posteriors.indices where posteriors[index] > posteriors[best] { best = index }
        genotype = ploidy == 1 ? (best, best) : Self.alleles(best)
        let total = log10Sum(posteriors)
        quality = min(Self.highestQuality, max(0, -10 * (posteriors[0] - total)))
        var others = posteriors
        others[best] = -.infinity
        let wrong = -10 * (log10Sum(others) - total)
        genotypeQuality = wrong.isFinite ? max(0, min(99, Int(wrong.rounded()))) : 99
    }

    private static func posteriors(_ likelihoods: [Double], _ priors: [Double]) -> [Double] {
        var result = likelihoods
        for k in 0...priors.count {
            for j in 0...k where k > 0 {
                let prior: Double
                if j == 0 {
                    prior = priors[k - 1]
                } else if j == k {
                    prior = priors[k - 1] / 2
                } else {
                    prior = priors[k - 1] * priors[j - 1]
                }
                result[index(j, k)] += log10(prior)
            }
        }
        result[0] += log10(max(0.5, 1 - 1.5 * priors.reduce(0, +)))
        return result
    }

    /// One chromosome differs from the reference half as often as either of two does.
    private static func haploidPosteriors(_ likelihoods: [Double], _ priors: [Double]) -> [Double] {
        let alternates = zip(likelihoods.dropFirst(), priors).map { $0 + log10($1 / 2) }
        return [likelihoods[0] + log10(max(0.5, 1 - priors.reduce(0, +) / 2))] + alternates
    }

    /// Phred-scaled likelihoods, 0 for the most likely genotype.
    package var scaled: [Int] {
        let best = likelihoods.max() ?? 0
        return likelihoods.map { min(9999, Int((-10 * ($0 - best)).rounded())) }
    }
}

/// log10 of the sum of 10^x.
func log10Sum(_ values: [Double]) -> Double {
    guard let best = values.max(), best > -.infinity else { return -.infinity }
    return best + log10(values.reduce(0) { $0 + pow(10, $1 - best) })
}

/// Phred-scaled two-sided Fisher's exact test of a 2 x 2 table of counts: reference and alternate by strand.
package func strandBias(_ table: (Int, Int, Int, Int)) -> Double {
    let (a, b, c, d) = table
    let total = a + b + c + d
    guard a + b > 0, c + d > 0, a + c > 0, b + d > 0 else { return 0 }
    func logFactorial(_ n: Int) -> Double { lgamma(Double(n) + 1) }
    let margins =
        logFactorial(a + b) + logFactorial(c + d) + logFactorial(a + c) + logFactorial(b + d) - logFactorial(total)
    func logProbability(_ x: Int) -> Double {
        margins - logFactorial(x) - logFactorial(a + b - x) - logFactorial(a + c - x) - logFactorial(d - a + x)
    }
    let observed = logProbability(a)
    var sum = 0.0
    for x in max(0, a - d)...min(a + b, a + c) where logProbability(x) <= observed + 1e-7 {
        sum += exp(logProbability(x))
    }
    return max(0, -10 * log10(min(1, sum)))
}
