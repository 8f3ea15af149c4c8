import ArgumentParser
import Bank
import Compression
import Diagnostics
import Foundation
import GenomicFormats
import Roles
import Storage

/// Options of the commands that talk to the data owner's process.
struct OwnerOptions: ParsableArguments {
    @Option(name: [.short, .customLong("config")], help: "Configuration of the data owner's process (TOML).")
    var config: String

    func administer(_ command: AdminCommand) throws -> String {
        let configuration = try LoadedConfiguration(path: config)
        let answer = try Roles.administer(command, socket: configuration.ownerSocket) { Terminal.progress($0, $1, $2) }
        Terminal.clearProgress()
        return answer
    }
}

struct DepositCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deposit",
        abstract: "Split files into shares A, B, C and send them to their holders.",
        discussion: """
            Two FASTQ files are the reads of a sample. With --object any file (BAM, CRAM, VCF.gz ...) is deposited as it
            is. The data set appears in the catalogue when all shares are at their holders, or not at all.
            """)

    @OptionGroup var owner: OwnerOptions
    @Option(help: "Name of the data set.") var dataSet: String
    @Option(help: "Name of the sample, as in the VCF.") var sample: String
    @Flag(help: "The files are objects of any kind, not reads.") var object = false
    @Argument(help: "Files to deposit.", completion: .file()) var files: [String]

    func run() throws {
        guard !files.isEmpty else { throw ValidationError("name at least one file") }
        guard object || files.count <= 2 else { throw ValidationError("reads are one or two FASTQ files") }
        let parts = files.enumerated().map { index, path in
            DepositFile(
                path: URL(fileURLWithPath: path).standardizedFileURL.path,
                part: object ? URL(fileURLWithPath: path).lastPathComponent : "reads-\(index + 1)")
        }
        print(try owner.administer(.deposit(dataSet: dataSet, sample: sample, files: parts)))
    }
}

struct RetrieveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retrieve", abstract: "Give the data owner a deposited object back, restored from two shares.")

    @OptionGroup var owner: OwnerOptions
    @Option(help: "Name of the data set.") var dataSet: String
    @Option(help: "Part of the data set, such as reads-1.") var part: String
    @Option(name: .shortAndLong, help: "File to write.") var output: String

    func run() throws {
        let path = URL(fileURLWithPath: output).standardizedFileURL.path
        print(try owner.administer(.retrieve(dataSet: dataSet, part: part, output: path)))
    }
}

struct GrantCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "grant",
        abstract: "Give a user a right to a part of a data set.",
        discussion: """
            One of --everything, --regions BED, --variants LIST and --sites LIST says what the user may see; all else is
            withheld. --sites gives a genotype at every site of the list, 0/0 or an honest ./. too, as risk scores and drug
            genes need; the others give the records that there are.
            Prints the identifier of the right, for `dsgd revoke`.
            """)

    @OptionGroup var owner: OwnerOptions
    @Option(help: "Name of the user.") var user: String
    @Option(help: "Name of the data set.") var dataSet: String
    @Option(help: "DUO code of the purpose.") var purpose = "DUO:0000043"
    @Flag(help: "All records.") var everything = false
    @Option(help: "Records at these regions (BED).", completion: .file()) var regions: String?
    @Option(help: "Records at these positions (CHROM POS [ID REF ALT]).", completion: .file()) var variants: String?
    @Option(
        help: "Genotypes at these sites (VCF, PGS scoring file, BED of points), held to the reference in each job.",
        completion: .file())
    var sites: String?
    @Option(help: "When a record is inside a region: position, record, variant or within (docs/FILTER-RULES.md).")
    var overlap = "within"
    @Option(help: "FORMAT keys that the user may see, with commas; all when left out.") var fields: String?
    @Option(help: "Days until the right ends.") var days: Double?
    @Option(help: "How often the right may be used.") var uses: Int?

    func run() throws {
        let choices = [
            ("everything", everything), ("regions", regions != nil), ("variants", variants != nil), ("sites", sites != nil),
        ].filter(\.1)
        guard let coverage = choices.first?.0, choices.count == 1 else {
            throw ValidationError("give exactly one of --everything, --regions, --variants, --sites")
        }
        let list = try (regions ?? variants ?? sites).map { try readList($0) } ?? ""
        let grant = Grant(
            user: user, dataSet: dataSet, purpose: purpose,
            coverage: coverage, list: list, overlap: overlap,
            formatFields: fields?.split(separator: ",").map(String.init),
            notAfter: days.map { Date().timeIntervalSince1970 + $0 * 86_400 }, usesMaximum: uses)
        print(try owner.administer(.grant(grant)))
    }
}

struct RevokeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Take a right back, from this moment on, running jobs included.")

    @OptionGroup var owner: OwnerOptions
    @Argument(help: "Identifier of the right.") var right: String

    func run() throws { print("revoked \(try owner.administer(.revoke(right: right)))") }
}

struct RequestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "request",
        abstract: "As a user: ask for a data set's genotypes and receive what the right allows.")

    @Option(name: [.short, .customLong("config")], help: "Configuration of the user (TOML).") var config: String
    @Option(help: "Name of the data set.") var dataSet: String
    @Option(help: "DUO code of the purpose, to be held against the right.") var purpose: String?
    @Option(name: .shortAndLong, help: "VCF.gz to write; its index goes beside it.") var output: String
    @Flag(help: "Print the delivery note as JSON.") var json = false

    func run() throws {
        let user = try User(configuration: try LoadedConfiguration(path: config))
        let request = UserRequest(dataSet: dataSet, purpose: purpose, output: output)
        let note = try user.fetch(request) { Terminal.progress($0.step, $0.done, $0.total) }
        Terminal.clearProgress()
        if json {
            try printJSON(note)
        } else {
            print("\(note.recordsDelivered) records in \(output)")
        }
    }
}

struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "The hash-chained log of decisions, refusals and deliveries.",
        subcommands: [Verify.self, Show.self])

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify", abstract: "Check that no line was changed, removed or put in.")
        @OptionGroup var owner: OwnerOptions
        func run() throws {
            let lines = try auditLines(owner)
            try AuditLog.verify(lines)
            print("\(lines.count) lines follow from each other; the last is \(lines.last?.hash ?? "none")")
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Print the log, a JSON object a line.")
        @OptionGroup var owner: OwnerOptions
        func run() throws {
            for line in try auditLines(owner) {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                print(String(decoding: try encoder.encode(line), as: UTF8.self))
            }
        }
    }

    static func auditLines(_ owner: OwnerOptions) throws -> [AuditLine] {
        try Catalogue.auditLines(path: try LoadedConfiguration(path: owner.config).cataloguePath)
    }
}

/// A BED or variant list as text, inflated when it is compressed.
func readList(_ path: String) throws -> String {
    let inflater = GzipInflater(label: path)
    let file = try FileReader(path: path)
    var bytes: [UInt8] = []
    while try file.next({ try inflater.feed($0) { bytes.append(contentsOf: $0) } }) {}
    try inflater.finish { bytes.append(contentsOf: $0) }
    return String(decoding: bytes, as: UTF8.self)
}
