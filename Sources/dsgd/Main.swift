import ArgumentParser
import Diagnostics
import Foundation
import Kernels
import Roles
import Storage

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
            create, 74 I/O, 77 not authorised, 78 configuration, 141 nobody reads the output, 143 ended by SIGTERM, 175 try again.
            """,
        version: Program.nameAndVersion,
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
                    IndexCommand.self, MapCommand.self, GenotypeCommand.self, FilterCommand.self, ShareCommand.self,
                    EvaluateCommand.self,
                ]),
            CommandGroup(name: "Measure", subcommands: [BenchCommand.self]),
        ])

    static func main() {
        do {
            try hardenProcess()
            occupyStandardDescriptors()
            // Errors of the write instead, so that a service outlives them: a pipe that nobody reads, a file longer than
            // its limit.
            signal(SIGPIPE, SIG_IGN)
            signal(SIGXFSZ, SIG_IGN)
            var command = try parseAsRoot()
            try command.run()
        } catch is ReaderGone {
            endByBrokenPipe()
        } catch {
            // Help and version are errors too, for ArgumentParser, and go to standard output.
            if exitCode(for: error).isSuccess { exit(withError: error) }
            // A service that a signal ended has said all it had to say.
            if let code = error as? ExitCode { Foundation.exit(code.rawValue) }
            let failure = failure(of: error)
            Terminal.report(failure)
            Foundation.exit(failure.kind.exitCode)
        }
    }

    /// Ends as any program in a pipeline does: by the signal, and without a word.
    private static func endByBrokenPipe() -> Never {
        signal(SIGPIPE, SIG_DFL)
        raise(SIGPIPE)
        Foundation.exit(128 + SIGPIPE)
    }

    /// Every error as the one that people and scripts see.
    private static func failure(of error: any Error) -> Failure {
        if let failure = error as? Failure { return failure }
        let words = message(for: error).split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            .joined(separator: " ")
        if exitCode(for: error) == .validationFailure {
            return Failure(.usage, at: "command line", words, remedy: "see dsgd help, or dsgd help COMMAND")
        }
        return Failure(.internalError, at: "dsgd", words, remedy: "report this with the command line")
    }

    /// A standard descriptor that the caller closed would be given to the next file that is opened, and messages would
    /// be written into it. Each is taken by /dev/null, opened the wrong way round so that its use is an error.
    private static func occupyStandardDescriptors() {
        for (descriptor, wrongWay) in [(STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_RDONLY)]
        where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", wrongWay)
        }
    }
}

/// What the program says to people. Everything here goes to standard error; standard output is for results.
enum Terminal {
    static let isInteractive = isatty(STDERR_FILENO) == 1

    static func report(_ failure: Failure) {
        clearProgress()
        let place = failure.place == "-" || failure.place.hasPrefix("-:")
            ? "standard input" + failure.place.dropFirst() : failure.place
        say("dsgd: \(oneLine(place)): \(oneLine(failure.problem))")
        say("hint: \(oneLine(failure.remedy))")
    }

    /// What a file or a peer put into a message stays one line of bounded length, and moves no cursor.
    private static func oneLine(_ text: String) -> String {
        let visible = text.unicodeScalars.prefix(1000).map { $0.properties.generalCategory == .control ? "?" : $0 }
        return String(String.UnicodeScalarView(visible))
    }

    static func say(_ line: String) { write(line + "\n") }

    /// A message that cannot be written is lost: there is nobody left to tell.
    private static func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Foundation.write(STDERR_FILENO, bytes, bytes.count)
    }

    /// A line that the next one overwrites; silent unless a person watches.
    static func progress(_ line: String) {
        guard isInteractive else { return }
        write("\r\u{1B}[K\(line)")
    }

    static func progress(_ step: String, _ done: Int, _ total: Int) {
        let share = total > 0 ? " \(min(100, done * 100 / total)) %" : ""
        progress("\(step)\(share)")
    }

    static func clearProgress() {
        guard isInteractive else { return }
        write("\r\u{1B}[K")
    }
}

/// Prints a line of the result on standard output.
///
/// - Throws: `Failure` `.inputOutput`, which `print` would pass over.
func printResult(_ line: String) throws {
    let output = try PartialFile(path: "-")
    try output.write(Array((line + "\n").utf8))
    try output.commit()
}

/// Prints a value as JSON with sorted keys.
func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    try printResult(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// Pads `text` to `width` columns.
func column(_ text: String, _ width: Int, right: Bool = false) -> String {
    let blanks = String(repeating: " ", count: max(0, width - text.count))
    return right ? blanks + text : text + blanks
}

/// A number with a fixed count of decimals.
func decimals(_ value: Double, _ count: Int) -> String { String(format: "%.\(count)f", value) }
