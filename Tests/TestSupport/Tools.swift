public import Diagnostics
import Foundation

/// Runs a program of the system and returns its output; nil, said aloud, when it is not installed.
public func run(_ program: String, _ arguments: [String]) -> (output: [UInt8], status: Int32)? {
    guard
        let path = ["/usr/bin/", "/usr/local/bin/", "/bin/"].map({ $0 + program })
            .first(where: { FileManager.default.isExecutableFile(atPath: $0) })
    else {
        print("SKIPPED: \(program) is not installed")
        return nil
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    do { try process.run() } catch { return nil }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (Array(data), process.terminationStatus)
}

/// A fresh directory, which the caller removes.
public func temporaryFolder() -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("dsgd-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
}

public func save(_ bytes: [UInt8], _ path: String) { try? Data(bytes).write(to: URL(fileURLWithPath: path)) }

/// What a body throws, as the project's own failure.
public func failure(_ body: () throws -> Void) -> Failure? {
    do {
        try body()
        return nil
    } catch { return error as? Failure }
}
