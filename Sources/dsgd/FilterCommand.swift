import ArgumentParser
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import Storage

struct FilterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "filter",
        abstract: "Keep the records of a VCF at regions or in a list of variants.",
        discussion: """
            -R takes a BED file, -T a list of variants (CHROM POS, or CHROM POS ID REF ALT). `-` and no name are standard
            input and output. An index is written beside a named output. docs/FILTER-RULES.md has every rule.
            """)

    @Argument(help: "VCF, plain or compressed.", completion: .file()) var input = "-"
    @Option(name: [.customShort("R"), .long], help: "Regions (BED).", completion: .file()) var regions: String?
    @Option(name: [.customShort("T"), .long], help: "List of variants.", completion: .file()) var variants: String?
    @Option(help: "position, record, variant or within; the first three equal bcftools' 0, 1 and 2.")
    var overlap = OverlapRule.position.rawValue
    @Option(help: "FORMAT keys to keep, with commas; all when left out.") var format: String?
    @Option(help: "INFO keys to keep, with commas; all when left out.") var info: String?
    @Option(name: .shortAndLong, help: "VCF.gz to write.") var output = "-"
    @Flag(help: "Do not record the command in the header.") var noVersion = false

    func run() throws {
        guard regions == nil || variants == nil else { throw ValidationError("give -R or -T, not both") }
        guard input != "-" || isatty(STDIN_FILENO) == 0 else { throw ValidationError("name a VCF, or pipe one in") }
        let selection: Selection =
            if let regions { .regions(try BEDReader.read(regions)) } else if let variants {
                .variants(try VariantList.read(variants))
            } else { .everything }
        let fields = FieldProjection(info: Self.keys(info), format: Self.keys(format))
        let filter = VCFFilter(
            selection: selection, overlap: try .named(overlap), fields: fields,
            header: .keep(commandLine: noVersion ? nil : CommandLine.arguments.dropFirst().joined(separator: " ")),
            requiresSortedInput: output != "-")
        try checkFileNames(
            inputs: [input] + [regions, variants].compactMap(\.self), outputs: [output, output + ".tbi"])
        let counts = try filter.filterFile(input, to: output).counts
        Terminal.say("\(counts.recordsOut) of \(counts.recordsIn) records kept")
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
