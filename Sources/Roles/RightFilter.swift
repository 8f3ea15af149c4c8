internal import Diagnostics
internal import Filtering
internal import GenomicFormats
internal import Metering

/// A right as the filter server applies it: what its list and rules say, checked and parsed.
struct RightFilter {
    struct Result {
        var vcfGz: [UInt8]
        var index: [UInt8]
        var vcfBytes: Int
        var recordsDelivered: Int
        var recordsWithheld: Int
        var measurements: [StageMeasurement]
    }

    private let selection: Selection
    private let overlap: OverlapRule
    private let fields: FieldProjection

    /// - Throws: `Failure(.usage)` for an unknown rule, `Failure(.data)` for a list that cannot be read.
    init(coverage: String, list: String, overlap: String, fields: [String]?) throws {
        guard let rule = OverlapRule(rawValue: overlap) else {
            throw Failure(
                .usage, at: "overlap rule \(overlap)", "there is no such rule",
                remedy: "use \(OverlapRule.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        self.overlap = rule
        self.fields = fields.map { FieldProjection(format: Set($0)) } ?? .all
        var list = list
        switch coverage {
        case "everything": selection = .everything
        case "regions":
            selection = .regions(
                try list.withUTF8 { try BEDReader.parse(UnsafeRawBufferPointer($0), label: "regions of the right") })
        case "variants":
            selection = .variants(
                try list.withUTF8 {
                    try VariantList(parsing: UnsafeRawBufferPointer($0), label: "variants of the right")
                })
        case "sites":
            // The engine genotypes the sites and nothing else. Only it has the genome that the list is held to.
            guard list.contains(where: { !$0.isWhitespace }) else {
                throw Failure(
                    .data, at: "sites of the right", "the list is empty",
                    remedy: "give a VCF, a PGS scoring file, or a BED of points")
            }
            selection = .everything
        default:
            throw Failure(
                .usage, at: "coverage \(coverage)", "there is no such coverage",
                remedy: "use everything, regions, variants or sites")
        }
    }

    /// Stages B-1, B-2 and B-3 on a whole VCF.gz in memory. The header that goes out is written afresh.
    func run(_ vcfGz: [UInt8], sample: String, threads: Int) throws -> Result {
        let filter = VCFFilter(
            selection: selection, overlap: overlap, fields: fields,
            header: .disclose(samples: [SampleName(original: sample, disclosed: sample)], source: "dsgd"))
        let output = try vcfGz.withUnsafeBytes { try filter.run($0, label: "calls of \(sample)", threads: threads) }
        guard let index = output.tbi else {
            throw Failure(.internalError, at: "calls of \(sample)", "they are not in order", remedy: "report this")
        }
        let sizes = output.measurements.first { $0.stage == .compression }?.bytes ?? output.vcfGz.count
        return Result(
            vcfGz: output.vcfGz, index: index, vcfBytes: sizes - output.vcfGz.count,
            recordsDelivered: output.counts.recordsOut, recordsWithheld: output.counts.withheld,
            measurements: output.measurements)
    }
}
