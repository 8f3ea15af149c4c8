// Written by scripts/train-filter: not to be edited by hand.

extension LearnedFilter {
    /// ``termsDigest`` of the terms that the weights were learned for.
    package static let trainedTerms = "e7ffcfff6334d3d5"
    /// Digest of the rows that the weights were learned from.
    package static let trainingDigest = "eb6d45087914366d"

    /// What the program uses.
    package static let trained = LearnedFilter(
        substitution: Weights(
            bias: -7.692,
            terms: [
                0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.563,
                3.215, 1.862, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                0.0, 0.021, 0.089, 0.0, 0.0, 0.909, 0.0, 0.0,
                0.0, 0.0, 0.0, 1.594, 0.0, 0.687, 0.387, 10.375,
            ]),
        indel: Weights(
            bias: -6.55,
            terms: [
                0.777, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.81,
                2.214, 1.387, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
                0.0, 0.0, 0.0, 0.712, 0.0, 0.0, 0.0, 0.0,
            ]))
}
