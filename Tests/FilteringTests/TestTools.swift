import Diagnostics
import Foundation
import GenomicFormats
import Testing

/// Where shared test data lies: DSGD_TEST_DATA, or ../shared/data beside the package.
func sharedData(_ name: String) -> String? {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    let folder =
        ProcessInfo.processInfo.environment["DSGD_TEST_DATA"]
        ?? root.deletingLastPathComponent().appendingPathComponent("shared/data").path
    let path = folder + "/" + name
    guard FileManager.default.fileExists(atPath: path) else {
        print("SKIPPED: test data \(name) is not in \(folder); set DSGD_TEST_DATA")
        return nil
    }
    return path
}

/// Runs a program and returns its output, or nil, said aloud, when it is not installed.
func run(_ program: String, _ arguments: [String]) -> (output: [UInt8], status: Int32)? {
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

func temporaryFolder() -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("dsgd-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
}

func save(_ bytes: [UInt8], _ path: String) { try? Data(bytes).write(to: URL(fileURLWithPath: path)) }

/// A small fixed generator, so that random tests repeat.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

/// What a body throws, as the project's own failure.
func failure(_ body: () throws -> Void) -> Failure? {
    do {
        try body()
        return nil
    } catch { return error as? Failure }
}
