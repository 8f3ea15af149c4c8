import ArgumentParser
import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import Hardware
import Storage

struct FilterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "filter",
        abstract: "Keep the records of a VCF or BCF at regions or in a list of variants.",
        discussion: """
            All of a gene panel, compressed, with an index beside it:
              dsgd filter in.vcf.gz -R panel.bed -o out.vcf.gz
            Listed variants (CHROM POS, or CHROM POS ID REF ALT), two samples, genotypes only:
              dsgd filter in.vcf.gz -T sites.tsv -s ann,bob --format GT -o out.vcf.gz
            Variants by their ID, without likelihoods and depths:
              dsgd filter in.bcf --ids rs.txt -x FORMAT/PL,INFO/DP -o out.bcf
            In a pipe:
              bcftools norm -f ref.fa -Ou in.bcf | dsgd filter -r chr1:1000-2000,chr2 | less

            What the input is, is told by its content. The output is BCF when its name ends in .bcf, VCF when it ends \
            in .vcf or is standard output, and VCF.gz otherwise; -O says so too. Records of VCF are \
            copied to the byte; bcftools view -T with --targets-overlap 0, 1 or 2 keeps the same ones, but for one \
            case in docs/FILTER-RULES.md. A .tbi beside the input lets blocks be skipped. Blocks that go out whole are \
            passed on compressed as they are; -l says how the others are compressed. docs/FILTER-RULES.md has every rule.
            """)

    @Argument(help: "VCF or BCF, plain or compressed; - for standard input.", completion: .file()) var input = "-"
    @Option(name: [.customShort("R"), .long], help: "Regions (BED).", completion: .file()) var regions: String?
    @Option(
        name: [.customShort("r"), .long],
        help: "Regions as CHROM, CHROM:POS, CHROM:FROM-TO or CHROM:FROM-, with commas; 1-based.")
    var region: String?
    @Option(
        name: [.customShort("T"), .long],
        help: "Variants: CHROM POS, CHROM POS ID REF ALT, or a VCF; a name that ends in .bed is read as by -R.",
        completion: .file())
    var variants: String?
    @Option(help: "Variants by ID: a file with one ID a line.", completion: .file()) var ids: String?
    @Option(help: "position, record, variant or within; the first three equal bcftools' 0, 1 and 2.")
    var overlap = OverlapRule.position.rawValue
    @Option(name: .shortAndLong, help: "Samples to keep, in this order, with commas. AC, AN and AF stay as they are.")
    var samples: String?
    @Option(help: "FORMAT keys to keep, with commas; all when left out.") var format: String?
    @Option(help: "INFO keys to keep, with commas; all when left out.") var info: String?
    @Option(
        name: [.customShort("x"), .long],
        help: "What to drop, with commas: INFO/KEY, FORMAT/KEY, INFO, FORMAT (all but GT), ID, QUAL, FILTER.")
    var remove: String?
    @Option(name: .shortAndLong, help: "File to write; - for standard output.") var output = "-"
    @Option(
        name: [.customShort("O", allowingJoined: true), .long],
        help: "z for VCF.gz, v for VCF, b for BCF, u for BCF without compression; told by -o when left out.")
    var outputType: String?
    @Option(name: [.customShort("l"), .long], help: "fast, or compact: as small as bgzip's, in five times the time.")
    var level = CompressionLevel.fast.rawValue
    @Option(help: "Lengthen VCF.gz to a multiple of so many bytes, so that its size does not tell the number of records.")
    var pad = 1
    @Flag(help: "Read the whole input, whatever index lies beside it.") var noIndex = false
    @Flag(help: "Do not record the command in the header.") var noVersion = false
    @OptionGroup var threads: ThreadOptions

    func validate() throws {
        guard [regions, region, variants, ids].compactMap(\.self).count < 2 else {
            throw ValidationError("give one of -R, -r, -T and --ids")
        }
        _ = try fields()
        guard CompressionLevel(rawValue: level) != nil else { throw ValidationError("-l is fast or compact") }
        guard outputType.map({ Self.formats[$0] != nil }) ?? true else {
            throw ValidationError("-O is z (VCF.gz), v (VCF), b (BCF) or u (BCF without compression)")
        }
        guard (1...1 << 30).contains(pad) else { throw ValidationError("--pad is 1 to 2^30") }
        guard pad == 1 || outputFormat == .vcfGz else { throw ValidationError("--pad lengthens VCF.gz only (-O z)") }
    }

    private static let formats: [String: FilterOutput.Format] = ["z": .vcfGz, "v": .vcf, "b": .bcf, "u": .bcfPlain]

    private var outputFormat: FilterOutput.Format {
        if let outputType { return Self.formats[outputType] ?? .vcfGz }
        if output == "-" || output.hasSuffix(".vcf") { return .vcf }
        return output.hasSuffix(".bcf") ? .bcf : .vcfGz
    }

    func run() throws {
        guard input != "-" || isatty(STDIN_FILENO) == 0 else { throw ValidationError("name a VCF, or pipe one in") }
        let filter = VCFFilter(
            selection: try selection(), overlap: try .named(overlap),
            fields: try fields(),
            header: .keep(
                commandLine: noVersion ? nil : ResultCommand.text(),
                samples: samples.map { $0.split(separator: ",").map(String.init) }),
            requiresSortedInput: output != "-")
        let isIndexed = output != "-" && (outputFormat == .vcfGz || outputFormat == .bcf)
        try checkFileNames(
            inputs: [input] + [regions, variants, ids].compactMap(\.self),
            outputs: [output] + (isIndexed ? [output + ".tbi", output + ".csi"] : []))
        let report = try filter.filterFile(
            input, to: output,
            output: FilterOutput(
                format: outputFormat, level: CompressionLevel(rawValue: level) ?? .fast,
                threads: threads.threads > 0 ? threads.threads : HardwareProfile.availableCores, lengthMultiple: pad),
            usesIndex: !noIndex)
        let read = report.counts.recordsIn
        Terminal.say("\(report.counts.recordsOut) of \(read) records kept\(report.skipped ? ", of those that were read" : "")")
    }

    private func selection() throws -> Selection {
        if let regions { return .regions(try BEDReader.read(regions)) }
        if let region { return .regions(try RegionSet(listed: region)) }
        if let ids { return .identifiers(try IdentifierList.read(ids)) }
        guard let variants else { return .everything }
        return [".bed", ".bed.gz"].contains { variants.hasSuffix($0) }
            ? .regions(try BEDReader.read(variants)) : .variants(try VariantList.read(variants))
    }

    /// The columns and keys that go out.
    private func fields() throws -> FieldProjection {
        var fields = FieldProjection(info: Self.keys(info), format: Self.keys(format))
        for name in remove?.split(separator: ",") ?? [] {
            let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
            switch (parts.first, parts.count) {
            case ("ID", 1): fields.keepsIdentifier = false
            case ("QUAL", 1): fields.keepsQuality = false
            case ("FILTER", 1): fields.keepsFilter = false
            case ("INFO", 1): fields.info = []
            case ("FORMAT", 1), ("FMT", 1): fields.format = (fields.format ?? ["GT"]).intersection(["GT"])
            case ("INFO", 2):
                guard !FieldProjection.structural.contains(parts[1]) else {
                    throw ValidationError("-x \(name): END, SVTYPE and SVLEN always stay")
                }
                fields.droppedInfo.insert(parts[1])
            case ("FORMAT", 2), ("FMT", 2): fields.droppedFormat.insert(parts[1])
            default:
                throw ValidationError("-x \(name) is none of INFO/KEY, FORMAT/KEY, INFO, FORMAT, ID, QUAL and FILTER")
            }
        }
        return fields
    }

    private static func keys(_ list: String?) -> Set<String>? {
        list.map { Set($0.split(separator: ",").map(String.init)) }
    }
}

extension OverlapRule {
    /// ArgumentParser's conformances cannot be public here, so rules are parsed by name.
    static func named(_ name: String) throws -> OverlapRule {
        guard let rule = OverlapRule(rawValue: name) else {
            throw ValidationError("--overlap is one of \(allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return rule
    }
}
