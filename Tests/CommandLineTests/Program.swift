import Foundation
import TestSupport
import Testing

/// One run of the program and what must come of it.
struct Case: Sendable {
    /// Given to a shell in an empty directory: `$D` is the directory of the data, `dsgd` the program.
    let command: String
    let code: Int32
    /// Words that standard error must hold.
    let words: [String]
    /// Files that must be there afterwards, and no others.
    let files: [String]

    init(_ command: String, _ code: Int32 = 0, _ words: String..., files: [String] = []) {
        self.command = command
        self.code = code
        self.words = words
        self.files = files
    }
}

/// The program as it was built, and the data that it is given: a small simulated sample, and files made from it.
/// Made once and only read afterwards.
final class Program: @unchecked Sendable {
    static let data: Result<Program, any Error> = Result { try Program() }

    let directory: TemporaryDirectory
    private let binary: String
    /// What a run may take before it is killed: a hundred times what it needs, since machines may be slow and busy.
    private static let patience = 900

    private init() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        binary = root.appending(path: ".build/release/dsgd").path
        directory = try TemporaryDirectory()
        let made = try shell("dsgd simulate -o s --length 40000 --depth 12", in: directory.path)
        try #require(made.code == 0, "simulate failed: \(made.errors)")
        try makeFiles()
    }

    func file(_ name: String) -> String { directory.file(name) }

    /// Runs every case in a directory of its own, and holds errors to their form: one line with place and problem, one
    /// line with a hint, nothing else.
    func check(_ cases: [Case], sourceLocation: SourceLocation = #_sourceLocation) throws {
        for test in cases {
            let place = try TemporaryDirectory()
            let result = try shell(test.command, in: place.path)
            let left = try place.entries()
            #expect(result.code == test.code, "\(test.command): \(result.errors)", sourceLocation: sourceLocation)
            for word in test.words {
                #expect(result.errors.contains(word), "\(test.command): \(result.errors)", sourceLocation: sourceLocation)
            }
            #expect(left == test.files.sorted(), "\(test.command)", sourceLocation: sourceLocation)
            guard test.code != 0 else { continue }
            let lines = result.errors.split(separator: "\n")
            #expect(
                lines.count == 2 && lines[0].hasPrefix("dsgd: ") && lines[1].hasPrefix("hint: "),
                "\(test.command): \(result.errors)", sourceLocation: sourceLocation)
        }
    }

    /// The exit code and standard error of a command line; a run that takes too long is killed and ends with 137.
    func shell(_ command: String, in place: String) throws -> (code: Int32, errors: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
        let script = "dsgd() { '\(binary)' \"$@\"; }\nD='\(directory.path)'\n\(command)"
        process.arguments = ["-s", "KILL", "\(Self.patience)", "/bin/bash", "-c", script]
        process.currentDirectoryURL = URL(fileURLWithPath: place)
        let errors = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }
}
