import ArgumentParser
import Diagnostics
import Evaluation
import Foundation
import GenomicFormats
import KeyNetwork
import Metering
import Roles

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "The whole path on this machine: deposit, request, genotype, filter, deliver.",
        discussion: """
            Starts every role as a process of its own on loopback (five key nodes, link model, holders A, B, C, data
            owner, trusted server), deposits the reads, lets three users ask for them, and stops everything again.
            Without a directory it simulates a diploid sample whose truth is known.
            """)

    @Argument(help: "Directory with reads, reference and, if there is one, truth.", completion: .directory)
    var directory: String?
    @Option(name: .shortAndLong, help: "Directory for configurations, states, logs, answers and report.html.")
    var output = "demo"
    @Option(
        name: [.customShort("@", allowingJoined: true), .long], help: "Worker threads of the engine; 0 for all cores.")
    var threads = 0
    @Option(help: "Key rate of each QKD link in Mbit/s.") var linkRate = 40.0
    @Option(help: "Key in store at each link when the demonstration starts, in MiB.") var linkStock = 64.0
    @Flag(help: "Print the results as JSON on standard output.") var json = false

    static let users = ["user-panel", "user-variants", "user-everything"]

    func run() throws {
        let started = monotonicSeconds()
        let work = URL(fileURLWithPath: output).standardizedFileURL.path
        try Self.prepare(work)
        let input =
            try directory.map { try DemoInput.find(in: URL(fileURLWithPath: $0).standardizedFileURL.path, work: work) }
            ?? DemoInput.simulate(into: work)
        let bank = try LocalBank(
            .init(
                directory: work, reference: input.reference, linkRate: linkRate, linkStock: linkStock,
                users: Self.users,
                threads: threads))
        defer { bank.stop() }
        Self.step("starting \(bank.processNames.count) processes: \(bank.processNames.joined(separator: ", "))")
        try bank.start { Terminal.progress("starting \($0)") }
        Terminal.clearProgress()

        var outcome = DemoOutcome(input: input, directory: work)
        outcome.deposit = try deposit(input, bank)
        for (user, grant) in try Self.grants(input) {
            Self.step("\(user) asks for \(input.sample): \(grant.summary)")
            outcome.answers.append(try ask(user, grant, input, bank))
        }
        outcome.nodes = bank.network.nodes.compactMap {
            try? KeySupplyClient(socketPath: $0.directory + "/ksa.sock", role: "").status()
        }
        let ledger = try administer(.ledger, socket: bank.ownerSocket)
        outcome.ownerLedger = ledger
        bank.stop()
        if let truth = input.truth {
            Self.step("comparing the calls with the truth")
            outcome.comparison = try CallSetComparison.run(
                .init(
                    truth: truth, calls: outcome.answers[2].path, reference: input.reference, regions: input.confident))
        }
        outcome.seconds = monotonicSeconds() - started
        let report = work + "/report.html"
        try DemoReport(outcome).html().write(toFile: report, atomically: true, encoding: .utf8)
        if json { try printJSON(outcome.summary) } else { print(DemoReport(outcome).text()) }
        Terminal.say("report: \(report)")
    }

    /// Takes a fresh directory, or one that an earlier demonstration left.
    private static func prepare(_ work: String) throws {
        let manager = FileManager.default
        let mark = work + "/network.toml"
        if let names = try? manager.contentsOfDirectory(atPath: work), !names.isEmpty {
            guard manager.fileExists(atPath: mark) else {
                throw Failure(
                    .cannotCreate, at: work, "it is not empty and no earlier demonstration left it",
                    remedy: "name another directory with --output")
            }
            try manager.removeItem(atPath: work)
        }
        try manager.createDirectory(
            atPath: work, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    static func step(_ text: String) {
        Terminal.clearProgress()
        Terminal.say("\(timeOfDay()) \(text)")
    }

    private func deposit(_ input: DemoInput, _ bank: LocalBank) throws -> DemoOutcome.Deposit {
        let bytes = input.reads.reduce(0) { $0 + fileSize($1) }
        Self.step("depositing \(bytes) bytes of FASTQ.gz as shares A, B, C")
        let started = monotonicSeconds()
        let files = input.reads.enumerated().map { DepositFile(path: $1, part: "reads-\($0 + 1)") }
        _ = try administer(
            .deposit(dataSet: "demo", sample: input.sample, files: files), socket: bank.ownerSocket
        ) { Terminal.progress($0, $1, $2) }
        return .init(bytes: bytes, seconds: monotonicSeconds() - started)
    }

    /// The three users of the demonstration and what each may see.
    private static func grants(_ input: DemoInput) throws -> [(String, DemoGrant)] {
        [
            (users[0], DemoGrant(coverage: "regions", list: try readList(input.panel), summary: "a gene panel (BED)")),
            (
                users[1],
                DemoGrant(coverage: "variants", list: try readList(input.variants), summary: "a list of variants")
            ),
            (users[2], DemoGrant(coverage: "everything", list: "", summary: "everything")),
        ]
    }

    private func ask(_ user: String, _ grant: DemoGrant, _ input: DemoInput, _ bank: LocalBank) throws
        -> DemoOutcome.Answer
    {
        _ = try administer(
            .grant(
                Grant(
                    user: user, dataSet: "demo", purpose: "DUO:0000043", coverage: grant.coverage, list: grant.list,
                    overlap: "position", usesMaximum: 10)), socket: bank.ownerSocket)
        let path = bank.options.directory + "/\(user).vcf.gz"
        let result = try bank.run([
            "request", "-c", bank.configurationPath(of: user), "--data-set", "demo", "-o", path, "--json",
        ])
        guard result.exitCode == 0 else {
            throw Failure(
                FailureKind(rawValue: result.exitCode) ?? .internalError, at: user,
                "its request failed: \(result.error.split(separator: "\n").first ?? "")",
                remedy: "see the logs in \(output)")
        }
        let note = try JSONDecoder().decode(DeliveryNote.self, from: Data(result.output.utf8))
        let receipt = try receipt(ofJob: note.job, socket: bank.ownerSocket)
        Self.step("\(user) received \(note.recordsDelivered) records, \(receipt.recordsWithheld) were withheld")
        return .init(user: user, right: grant.summary, path: path, note: note, receipt: receipt)
    }
}

struct DemoGrant {
    var coverage: String
    var list: String
    var summary: String
}

/// What a demonstration saw.
struct DemoOutcome {
    struct Deposit: Codable {
        var bytes: Int
        var seconds: Double
    }

    struct Answer: Codable {
        var user: String
        var right: String
        var path: String
        var note: DeliveryNote
        var receipt: Receipt
    }

    struct Summary: Codable {
        var sample: String
        var deposit: Deposit
        var answers: [Answer]
        var keys: [KeyNodeStatus]
        var comparison: ComparisonReport?
        var seconds: Double
    }

    var input: DemoInput
    var directory: String
    var deposit = Deposit(bytes: 0, seconds: 0)
    var answers: [Answer] = []
    var nodes: [KeyNodeStatus] = []
    var ownerLedger = ""
    var comparison: ComparisonReport?
    var seconds = 0.0

    init(input: DemoInput, directory: String) {
        self.input = input
        self.directory = directory
    }

    var summary: Summary {
        Summary(
            sample: input.sample, deposit: deposit, answers: answers, keys: nodes, comparison: comparison,
            seconds: seconds)
    }
}

func fileSize(_ path: String) -> Int {
    ((try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? NSNumber)?.intValue ?? 0
}
