import Bank
import Diagnostics
import Foundation
import GenomicFormats
import Roles
import Simulation
import TestSupport

/// A bank of real processes on loopback around a small simulated sample.
final class TestBank {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let program = root.appending(path: ".build/release/dsgd").path
    static let users = ["user-panel", "user-variants", "user-everything"]

    let directory: TemporaryDirectory
    let sample: String
    let bank: LocalBank

    /// - Parameter start: whether all processes start at once.
    init(genomeLength: Int = 60_000, coverage: Double = 20, start: Bool = true) throws {
        directory = try TemporaryDirectory()
        sample = directory.file("sample")
        var options = SimulationOptions()
        options.genomeLength = genomeLength
        options.coverage = coverage
        options.contigs = 2
        _ = try SimulatedDataSet(options).run(into: sample)
        var bankOptions = LocalBank.Options(
            directory: directory.file("bank"), reference: sample + "/reference.fa.gz", program: Self.program,
            linkRate: 40, linkStock: 24, users: Self.users, threads: 2)
        bankOptions.environment["DSGD_PAD_TRACE"] = directory.file("pad-trace")
        bank = try LocalBank(bankOptions)
        if start { try bank.start() }
    }

    deinit { bank.stop() }

    var reads: [String] { [sample + "/reads_R1.fastq.gz", sample + "/reads_R2.fastq.gz"] }

    func deposit(_ files: [String]? = nil, name: String = "set") throws {
        let parts = (files ?? reads).enumerated().map { DepositFile(path: $1, part: "reads-\($0 + 1)") }
        _ = try administer(.deposit(dataSet: name, sample: "SIM1", files: parts), socket: bank.ownerSocket)
    }

    @discardableResult
    func grant(
        _ user: String, coverage: String = "everything", list: String = "", overlap: String = "position",
        uses: Int? = nil
    ) throws -> String {
        try administer(
            .grant(
                Grant(
                    user: user, dataSet: "set", purpose: "DUO:0000043", coverage: coverage, list: list, overlap: overlap,
                    usesMaximum: uses)), socket: bank.ownerSocket)
    }

    func answer(_ user: String) -> String { directory.file("\(user).vcf.gz") }

    /// Runs `dsgd request` as that user.
    func request(_ user: String) throws -> (exitCode: Int32, output: String, error: String) {
        try bank.run([
            "request", "-c", bank.configurationPath(of: user), "--data-set", "set", "-o", answer(user), "--json",
        ])
    }

    /// The end of what every process of the bank said: why a request failed stands there.
    var logs: String {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: bank.options.directory))?.sorted() ?? []
        return names.filter { $0.hasSuffix(".log") }.reduce(into: "") { text, name in
            let log = (try? String(contentsOfFile: bank.options.directory + "/" + name, encoding: .utf8)) ?? ""
            text += "\n\(name): " + log.split(separator: "\n").suffix(4).joined(separator: "\n    ")
        }
    }

    /// The reference's base at a place, counted from 1.
    func referenceBase(_ contig: String, _ place: Int) throws -> String {
        let genome = try FASTAReader.read(sample + "/reference.fa.gz")
        let index = genome.index(ofContig: contig)!
        return String("ACGT".dropFirst(Int(genome.contigs[index].bases[place - 1])).prefix(1))
    }

    func text(_ name: String) throws -> String { try String(contentsOfFile: sample + "/" + name, encoding: .utf8) }

    /// Files below a directory, relative paths.
    func files(below path: String) -> [String] {
        (FileManager.default.enumerator(atPath: path)?.allObjects as? [String] ?? []).filter {
            var isDirectory: ObjCBool = false
            return FileManager.default.fileExists(atPath: path + "/" + $0, isDirectory: &isDirectory)
                && !isDirectory.boolValue
        }
    }
}

/// Runs a program and returns what it printed; nil, said aloud, when it is not installed.
func output(of arguments: [String], for test: String = #function) throws -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let bytes = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    if process.terminationStatus == 127 {
        FileHandle.standardError.write(Data("SKIPPED \(test): \(arguments[0]) is not installed\n".utf8))
        return nil
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// The record lines of a VCF.gz, as bgzip unpacks them.
func records(_ path: String) throws -> [String]? {
    try output(of: ["bgzip", "-dc", path])?.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
}
