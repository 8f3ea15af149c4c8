import Diagnostics
import GenomicFormats

/// The headers of the files that a run of the caller writes (VCF 4.3 section 1.4).
enum CallHeader {
    private static let filters = [
        ("PASS", "All filters passed"),
        ("LowQual", "QUAL below the pass threshold"),
        ("StrandBias", "Fisher strand bias (FS) above 60"),
        ("ReadEnd", "Over 90% of the alternate bases, four or more, lie within 8 bases of a read's end"),
        ("LowMapQ", "Over 90% of the depth has mapping quality below the minimum"),
        ("LowVQ", "More likely wrong than right by the learned filter (VQ below 3)"),
    ]
    private static let siteFilters = [
        ("PASS", "The site is genotyped"),
        ("LowGQ", "The reads do not settle the genotype: GQ below \(SiteGenotyper.leastQuality)"),
        ("OtherAllele", "The sample has a change of the site's reference bases that the site does not list"),
        ("NoCoverage", "No usable read speaks for any allele of the site"),
    ]

    private static let info = [
        ("DP", "1", "Integer", "Usable fragments at the place"),
        ("MQ", "1", "Float", "Root mean square mapping quality of usable reads"),
        ("FS", "1", "Float", "Phred-scaled p-value of Fisher's test of strand bias"),
        ("SOR", "1", "Float", "Symmetric odds ratio of strand bias, natural logarithm"),
        ("QD", "1", "Float", "QUAL by fragments that speak for an allele"),
        ("MQRankSum", "1", "Float", "Z-score of the rank sum test of alternate against reference mapping qualities"),
        (
            "ReadPosRankSum", "1", "Float",
            "Z-score of the rank sum test of alternate against reference distances to a read end"
        ),
        ("BaseQRankSum", "1", "Float", "Z-score of the rank sum test of alternate against reference base qualities"),
        ("MPOS", "1", "Float", "Mean distance of the alternate alleles from the nearer end of their reads"),
        ("RU", "1", "String", "Unit of the reference's tandem repeat at the variant"),
        ("REFREP", "1", "Integer", "Times that the reference repeats RU"),
        ("VQ", "1", "Float", "Phred-scaled probability of a wrong allele or genotype, by the learned filter"),
    ]
    private static let featureInfo = (
        "CF", ".", "Float", "Features of the learned filter: \(CallFeatures.names.joined(separator: ", "))"
    )
    private static let format = [
        ("GT", "1", "String", "Genotype"),
        ("AD", "R", "Integer", "Fragments that speak for each allele"),
        ("DP", "1", "Integer", "Usable fragments at the place"),
        ("GQ", "1", "Integer", "Phred-scaled probability of a wrong genotype"),
        ("PL", "G", "Integer", "Phred-scaled genotype likelihoods"),
        ("AF", "A", "Float", "Share of the fragments in AD that speak for each alternate allele"),
        ("ADF", "R", "Integer", "Fragments that speak for each allele, by a read on the forward strand"),
        ("ADR", "R", "Integer", "Fragments that speak for each allele, by a read on the reverse strand"),
        ("PS", "1", "Integer", "Phase set: POS of its first record"),
    ]

    static func text(
        _ output: CallOutput, reference: ReferenceGenome, sample: String, command: String, options: CallingOptions
    ) -> [UInt8] {
        var lines = ["##fileformat=VCFv4.3", "##source=\(Program.nameAndVersion)"]
        lines += (output == .sites ? siteFilters : filters(options)).map {
            "##FILTER=<ID=\($0.0),Description=\"\($0.1)\">"
        }
        var info =
            output == .sites
            ? Array(Self.info.prefix(1)) : Self.info.filter { $0.0 != "VQ" || options.usesLearnedFilter }
        if options.writesFeatures, output != .sites { info.append(featureInfo) }
        var format = output == .sites ? Self.format.filter { ["GT", "AD", "DP", "GQ", "PL"].contains($0.0) } : Self.format
        if output == .gvcf {
            lines.append("##ALT=<ID=NON_REF,Description=\"Any other allele\">")
            info.append(("END", "1", "Integer", "Last place of the block"))
            format.append(("MIN_DP", "1", "Integer", "Least DP of the block"))
            lines += GVCFBlocks.bands.map { "##GVCFBlock=minGQ=\($0.lowerBound),maxGQ=\($0.upperBound - 1)" }
        }
        lines += info.map { Self.definition("INFO", $0) } + format.map { Self.definition("FORMAT", $0) }
        lines += reference.contigs.map { "##contig=<ID=\($0.name),length=\($0.length)>" }
        if !command.isEmpty {
            lines.append("##dsgdCommand=" + command.split(whereSeparator: \.isNewline).joined(separator: " "))
        }
        lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t\(sample)")
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    private static func filters(_ options: CallingOptions) -> [(String, String)] {
        filters.filter { $0.0 != "LowVQ" || options.usesLearnedFilter }
    }

    private static func definition(_ kind: String, _ field: (String, String, String, String)) -> String {
        "##\(kind)=<ID=\(field.0),Number=\(field.1),Type=\(field.2),Description=\"\(field.3)\">"
    }
}
