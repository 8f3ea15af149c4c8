import Diagnostics
import Foundation

/// Runs a program; returns its exit code and all that it said.
@discardableResult
public func run(
    _ arguments: [String], input: String = "", in directory: String? = nil
) throws -> (code: Int32, text: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
    let (stdin, output) = (Pipe(), Pipe())
    process.standardInput = stdin
    process.standardOutput = output
    process.standardError = output
    try process.run()
    try stdin.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try stdin.fileHandleForWriting.close()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self))
}

/// An authority and the certificates that it issued, made by OpenSSL's command.
public struct Authority {
    public let directory: String
    public let name: String

    public init(_ directory: String, name: String = "authority") throws {
        self.directory = directory
        self.name = name
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try check(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=\(name) "
                + "-keyout \(name).key -out \(name).pem")
    }

    private func check(_ command: String) throws {
        let result = try run(["sh", "-c", command], in: directory)
        if result.code != 0 {
            throw Failure(.internalError, at: command, result.text, remedy: "install the openssl command")
        }
    }

    /// A certificate with that common name, good for 127.0.0.1.
    public func issue(_ subject: String, file: String? = nil, days: Int = 2, alternatives: String = "") throws {
        let file = file ?? subject
        try check(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/O=test/CN=\(subject)' "
                + "-keyout \(file).key -out \(file).csr && "
                + "printf 'subjectAltName=IP:127.0.0.1\(alternatives)\n' > \(file).ext && "
                + "openssl x509 -req -in \(file).csr -CA \(name).pem -CAkey \(name).key -CAcreateserial -days \(days) "
                + "-extfile \(file).ext -out \(file).pem")
    }

    public func path(_ file: String) -> String { "\(directory)/\(file)" }
}
