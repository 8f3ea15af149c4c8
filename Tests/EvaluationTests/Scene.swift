import Diagnostics
import Evaluation
import GenomicFormats

/// A short reference and the two sides of a comparison, written the way a VCF line is.
struct Scene {
    let reference: ReferenceGenome
    var regions: [Range<Int>]?

    init(_ sequence: String, regions: [Range<Int>]? = nil) {
        let codes = sequence.utf8.map { BaseCode.ofASCII[Int($0)] }
        reference = ReferenceGenome(contigs: [.init(name: "c", bases: codes)])
        self.regions = regions
    }

    /// "POS REF ALT GT" or "POS REF ALT GT FILTER".
    static func record(_ text: String) -> VariantRecord {
        let fields = text.split(separator: " ").map(String.init)
        let genotype: [Int?] = fields[3].split(whereSeparator: { "/|".contains($0) }).map { Int($0) }
        return VariantRecord(
            contig: "c", position: Int(fields[0])! - 1, reference: fields[1],
            alternates: fields[2].split(separator: ",").map(String.init), genotype: genotype, quality: 50,
            isPassing: fields.count < 5 || fields[4] == "PASS")
    }

    func report(truth: [String], calls: [String]) throws -> ComparisonReport {
        let comparison = CallSetComparison(reference: reference, regions: regions.map { ["c": $0] })
        return try comparison.compare(truth: truth.map(Self.record), calls: calls.map(Self.record))
    }

    func compare(truth: [String], calls: [String]) throws -> Comparison {
        try report(truth: truth, calls: calls).all
    }
}

extension ClassCounts {
    /// Truth found, calls true, false positives, false negatives, genotype mismatches.
    var five: [Int] { [truthMatched, callsMatched, falsePositives, falseNegatives, genotypeMismatches] }
}
