import ArgumentParser
import Diagnostics
import Foundation
import Kernels
import Roles

/// The program. Secrets may pass through any of its commands, so core dumps and crash backtraces, which print memory,
/// are off before anything else happens.
@main
struct DSGD: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dsgd",
        abstract: "Distributed secure genomic data analysis: a genome bank on secret shares and one-time pad.",
        discussion: """
            See the whole path on this machine:       dsgd demo
            Genotype one sample without the bank:     dsgd genotype -r ref.fa.gz -1 R1.fastq.gz -2 R2.fastq.gz -o out.vcf.gz

            Exit codes: 0 done, 64 usage, 65 bad data, 66 no input, 69 peer unavailable, 70 internal error, 73 cannot
            create, 74 I/O, 77 not authorised, 78 configuration, 143 ended by SIGTERM, 175 try again.
            """,
        version: "dsgd 0.1.0",
        groupedSubcommands: [
            CommandGroup(name: "See it work", subcommands: [DemoCommand.self, SimulateCommand.self]),
            CommandGroup(
                name: "Run a bank",
                subcommands: [
                    ServeCommand.self, DepositCommand.self, RetrieveCommand.self, GrantCommand.self, RevokeCommand.self,
                    RequestCommand.self, AuditCommand.self, KeysCommand.self,
                ]),
            CommandGroup(
                name: "Work on files",
                subcommands: [
                    IndexCommand.self, GenotypeCommand.self, FilterCommand.self, ShareCommand.self, EvaluateCommand.self,
                ]),
            CommandGroup(name: "Measure", subcommands: [BenchCommand.self]),
        ])

    static func main() {
        do {
            try hardenProcess()
            signal(SIGPIPE, SIG_IGN)
            var command = try parseAsRoot()
            try command.run()
        } catch let failure as Failure {
            Terminal.report(failure)
            Foundation.exit(failure.kind.exitCode)
        } catch {
            exit(withError: error)
        }
    }
}

/// What the program says to people. Everything here goes to standard error; standard output is for results.
enum Terminal {
    static let isInteractive = isatty(STDERR_FILENO) == 1

    static func report(_ failure: Failure) {
        clearProgress()
        say("dsgd: \(failure.place): \(failure.problem)")
        say("hint: \(failure.remedy)")
    }

    static func say(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

    /// A line that the next one overwrites; silent unless a person watches.
    static func progress(_ line: String) {
        guard isInteractive else { return }
        FileHandle.standardError.write(Data("\r\u{1B}[K\(line)".utf8))
    }

    static func progress(_ step: String, _ done: Int, _ total: Int) {
        let share = total > 0 ? " \(min(100, done * 100 / total)) %" : ""
        progress("\(step)\(share)")
    }

    static func clearProgress() {
        guard isInteractive else { return }
        FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
    }
}

/// Prints a value as JSON with sorted keys.
func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// Pads `text` to `width` columns.
func column(_ text: String, _ width: Int, right: Bool = false) -> String {
    let blanks = String(repeating: " ", count: max(0, width - text.count))
    return right ? blanks + text : text + blanks
}

/// A number with a fixed count of decimals.
func decimals(_ value: Double, _ count: Int) -> String { String(format: "%.\(count)f", value) }
