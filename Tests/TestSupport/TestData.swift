import Foundation

/// Finds the shared real data: environment DSGD_TEST_DATA, otherwise `../shared/data` beside the package.
public enum TestData {
    public static let directory: String = {
        if let named = ProcessInfo.processInfo.environment["DSGD_TEST_DATA"] { return named }
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return package.deletingLastPathComponent().appendingPathComponent("shared/data").path
    }()

    /// The path of a file of the shared data; nil, said aloud once per call, when it is not there.
    public static func path(_ name: String, for test: String = #function) -> String? {
        let path = directory + "/" + name
        if FileManager.default.fileExists(atPath: path) { return path }
        FileHandle.standardError.write(Data("SKIPPED \(test): no \(path); set DSGD_TEST_DATA\n".utf8))
        return nil
    }
}
