import ArgumentParser
import Diagnostics
import Foundation
import Randomness
import SecretSharing
import Storage

struct ShareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "share",
        abstract: "XOR (2,3) secret sharing of files: any two of three shares restore, one alone says nothing.",
        discussion: """
            FILE becomes PREFIX.a.share, PREFIX.b.share and PREFIX.c.share for the three holders, and PREFIX.tags for the
            owner alone: with it every block of every share is proved, and a wrong one is named.
            """,
        subcommands: [Split.self, Join.self, Verify.self, Repair.self, Refresh.self])

    struct Source: ParsableArguments {
        @Option(help: "Hardware or quantum generator (device, file, or rdseed); the kernel's generator when left out.")
        var randomDevice: String?

        func open() throws -> HealthTestedSource {
            if let randomDevice { return try HealthTestedSource(device: randomDevice) }
            return try HealthTestedSource(wrapping: KernelRandomSource())
        }
    }

    static func paths(_ prefix: String) -> SharePaths {
        SharePaths(a: prefix + ".a.share", b: prefix + ".b.share", c: prefix + ".c.share", tags: prefix + ".tags")
    }

    struct Split: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "split", abstract: "Cut a file into three shares and the owner's tags.")
        @OptionGroup var source: Source
        @Argument(help: "File to split.", completion: .file()) var file: String
        @Option(name: .shortAndLong, help: "Prefix of the outputs; FILE when left out.") var output: String?

        func run() throws {
            guard file != "-" || output != nil else {
                throw ValidationError("standard input has no name: give --output")
            }
            let paths = ShareCommand.paths(output ?? file)
            try checkFileNames(inputs: [file], outputs: [paths.a, paths.b, paths.c, paths.tags])
            let random = try source.open()
            let made = try ShareFiles.split(
                file, to: paths, objectID: try Identifier(from: random), random: random)
            let set = made.description
            try printResult("share set \(set.set), \(set.length) bytes, \(set.blockCount) blocks; \(made.randomUse)")
        }
    }

    struct Join: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "join", abstract: "Restore a file from any two of its shares.")
        @Argument(help: "Two share files.", completion: .file()) var shares: [String]
        @Option(help: "The owner's tags; without them altered blocks go unnoticed.", completion: .file()) var tags:
            String?
        @Option(name: .shortAndLong, help: "File to write.") var output: String

        func run() throws {
            guard shares.count == 2 else { throw ValidationError("name exactly two share files") }
            try checkFileNames(inputs: shares + [tags].compactMap(\.self), outputs: [output])
            let set = try ShareFiles.join(shares[0], shares[1], tags: try tags.map(ShareFiles.tags), to: output)
            Terminal.say("restored \(set.length) bytes")
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify", abstract: "Check one, two or three shares, block by block.")
        @Argument(help: "Share files.", completion: .file()) var shares: [String]
        @Option(help: "The owner's tags; without them only contradictions are found.", completion: .file()) var tags:
            String?

        func run() throws {
            guard (1...3).contains(shares.count) else { throw ValidationError("name one to three share files") }
            let faults = try ShareFiles.verify(shares, tags: try tags.map(ShareFiles.tags))
            for fault in faults {
                try printResult("\(fault.path)\(fault.block.map { " block \($0)" } ?? ""): \(fault.problem)")
            }
            if !faults.isEmpty {
                throw Failure(
                    .data, at: shares.joined(separator: ", "), "faults were found: \(faults.count)",
                    remedy: "repair the share that is named from the other two (dsgd share repair)")
            }
            try printResult("no fault in \(shares.count) shares")
        }
    }

    struct Repair: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "repair",
            abstract: "Make a lost share from the other two, without forming the secret.")
        @Argument(help: "The two good share files.", completion: .file()) var shares: [String]
        @Option(help: "The owner's tags.", completion: .file()) var tags: String
        @Option(name: .shortAndLong, help: "Share file to write.") var output: String

        func run() throws {
            guard shares.count == 2 else { throw ValidationError("name exactly two share files") }
            try checkFileNames(inputs: shares + [tags], outputs: [output])
            let made = try ShareFiles.repair(from: shares[0], shares[1], tags: try ShareFiles.tags(tags), to: output)
            try printResult("made share \(made)")
        }
    }

    struct Refresh: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "refresh",
            abstract: "Give all three shares fresh randomness, so that old and new shares do not combine.")
        @OptionGroup var source: Source
        @Argument(help: "Prefix of the share files and tags.") var prefix: String
        @Option(name: .shortAndLong, help: "Prefix of the outputs.") var output: String

        func run() throws {
            let old = ShareCommand.paths(prefix), new = ShareCommand.paths(output)
            try checkFileNames(inputs: [old.a, old.b, old.c, old.tags], outputs: [new.a, new.b, new.c, new.tags])
            let made = try ShareFiles.refresh(old, to: new, random: try source.open())
            try printResult("share set \(made.description.set); \(made.randomUse); delete the old shares and tags")
        }
    }
}
