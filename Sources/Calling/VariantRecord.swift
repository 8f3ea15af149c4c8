import Foundation
import GenomicFormats

/// One line of the VCF before it is written: alleles as base codes, zero-based place.
struct VariantRecord {
    var place: Int
    var reference: [UInt8]
    var alternates: [[UInt8]]
    var table: GenotypeTable
    /// Fragments that speak for each allele, reference first.
    var alleleDepths: [Int]
    /// Fragments at the place that could be used.
    var depth: Int
    var mappingQuality: Double
    var strandBias: Double
    /// Share of the alternate evidence that lies within 8 bases of the end of its alignment.
    var endShare: Double
    var unmappableShare: Double

    static let strandBiasLimit = 60.0
    static let endShareLimit = 0.9
    static let unmappableLimit = 0.5

    func filters(_ options: CallingOptions) -> [String] {
        var failed: [String] = []
        if table.quality < options.passQuality { failed.append("LowQual") }
        if strandBias > Self.strandBiasLimit { failed.append("StrandBias") }
        if endShare > Self.endShareLimit { failed.append("ReadEnd") }
        if unmappableShare > Self.unmappableLimit { failed.append("LowMapQ") }
        return failed
    }

    /// The line's bytes, newline included.
    func line(contig: String, options: CallingOptions) -> [UInt8] {
        func text(_ bases: [UInt8]) -> String {
            String(decoding: bases.map { BaseCode.ascii[Int($0)] }, as: UTF8.self)
        }
        let failed = filters(options)
        let (a, b) = table.genotype
        var fields = [contig, String(place + 1), ".", text(reference), alternates.map(text).joined(separator: ",")]
        fields.append(Self.decimal(table.quality, 2))
        fields.append(failed.isEmpty ? "PASS" : failed.joined(separator: ";"))
        fields.append("DP=\(depth);MQ=\(Self.decimal(mappingQuality, 1));FS=\(Self.decimal(strandBias, 1))")
        fields.append("GT:AD:DP:GQ:PL")
        let depths = alleleDepths.map { String($0) }.joined(separator: ",")
        let scaled = table.scaled.map { String($0) }.joined(separator: ",")
        fields.append("\(a)/\(b):\(depths):\(depth):\(table.genotypeQuality):\(scaled)")
        return Array((fields.joined(separator: "\t") + "\n").utf8)
    }

    /// A non-negative number with at most `places` decimals and at most six significant digits, without zeros at its end:
    /// what htslib writes for the same value, so that a pass through bcftools changes no byte. Integer arithmetic gives
    /// the same bytes in every locale.
    static func decimal(_ value: Double, _ places: Int) -> String {
        var places = places
        while places > 0, value >= 1e6 / Double(power(places)) { places -= 1 }
        let scale = power(places)
        let scaled = Int((value * Double(scale)).rounded())
        guard scaled % scale != 0 else { return String(scaled / scale) }
        var fraction = String(scaled % scale)
        fraction = String(repeating: "0", count: places - fraction.count) + fraction
        while fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(scaled / scale).\(fraction)"
    }

    private static func power(_ places: Int) -> Int { (0..<places).reduce(1) { scale, _ in scale * 10 } }

    /// The header of a one-sample file (VCF 4.3 section 1.4).
    static func header(reference: ReferenceGenome, sample: String, command: String) -> [UInt8] {
        var lines = [
            "##fileformat=VCFv4.3", "##source=dsgd",
            "##FILTER=<ID=PASS,Description=\"All filters passed\">",
            "##FILTER=<ID=LowQual,Description=\"QUAL below the pass threshold\">",
            "##FILTER=<ID=StrandBias,Description=\"Fisher strand bias (FS) above 60\">",
            "##FILTER=<ID=ReadEnd,Description=\"Over 90% of the alternate bases lie within 8 bases of a read's end\">",
            "##FILTER=<ID=LowMapQ,Description=\"Over half of the depth has mapping quality below the minimum\">",
            "##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Usable fragments at the place\">",
            "##INFO=<ID=MQ,Number=1,Type=Float,Description=\"Root mean square mapping quality of usable reads\">",
            "##INFO=<ID=FS,Number=1,Type=Float,Description=\"Phred-scaled p-value of Fisher's test of strand bias\">",
            "##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">",
            "##FORMAT=<ID=AD,Number=R,Type=Integer,Description=\"Fragments that speak for each allele\">",
            "##FORMAT=<ID=DP,Number=1,Type=Integer,Description=\"Usable fragments at the place\">",
            "##FORMAT=<ID=GQ,Number=1,Type=Integer,Description=\"Phred-scaled probability of a wrong genotype\">",
            "##FORMAT=<ID=PL,Number=G,Type=Integer,Description=\"Phred-scaled genotype likelihoods\">",
        ]
        lines += reference.contigs.map { "##contig=<ID=\($0.name),length=\($0.length)>" }
        if !command.isEmpty {
            lines.append("##dsgdCommand=" + command.split(whereSeparator: \.isNewline).joined(separator: " "))
        }
        lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t\(sample)")
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }
}
