import Foundation
import Testing

/// Holds every `import` in `Sources` and `CKernels` to the layer table of docs/ARCHITECTURE.md.
///
/// SwiftPM does not do this: an import of a target that only a dependency declares compiles without a word.
struct LayeringTests {
    struct Layer {
        var rank: Int
        var wing: String
    }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The table's rows by target name.
    static func layers() throws -> [String: Layer] {
        let text = try String(contentsOf: root.appending(path: "docs/ARCHITECTURE.md"), encoding: .utf8)
        var layers: [String: Layer] = [:]
        for line in text.split(separator: "\n") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count >= 4, let rank = Int(cells[0]) else { continue }
            layers[cells[2]] = Layer(rank: rank, wing: cells[1])
        }
        return layers
    }

    /// Why `importer` may not import `imported`, or nil when it may.
    static func objection(_ importer: String, _ imported: String, _ layers: [String: Layer]) -> String? {
        guard let from = layers[importer] else { return "\(importer) is not in the layer table" }
        guard let to = layers[imported] else { return nil }
        if to.rank >= from.rank { return "\(importer) (layer \(from.rank)) imports \(imported) (layer \(to.rank))" }
        let wings: Set<String> = ["secrecy", "genomics", "hardware"]
        if wings.contains(from.wing), wings.contains(to.wing), from.wing != to.wing {
            return "\(importer) (\(from.wing)) imports \(imported) (\(to.wing))"
        }
        return nil
    }

    /// Modules named by the import lines of one Swift file.
    static func imports(in text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard let at = words.firstIndex(of: "import"), at + 1 < words.count else { return nil }
            let before: Set<String> = ["public", "internal", "package", "private", "fileprivate", "@preconcurrency", "@_exported"]
            guard words[..<at].allSatisfy(before.contains) else { return nil }
            let kinds: Set<String> = ["struct", "class", "enum", "func", "protocol", "typealias", "let", "var"]
            let name = kinds.contains(words[at + 1]) && at + 2 < words.count ? words[at + 2] : words[at + 1]
            return name.split(separator: ".").first.map(String.init)
        }
    }

    static func swiftFiles(below folder: URL) throws -> [URL] {
        let all = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        return (all?.allObjects as? [URL] ?? []).filter { $0.pathExtension == "swift" }
    }

    @Test func importsRunDownwards() throws {
        let layers = try Self.layers()
        #expect(layers.count > 20, "the layer table was not read")
        var files = 0
        for folder in try FileManager.default.contentsOfDirectory(
            at: Self.root.appending(path: "Sources"), includingPropertiesForKeys: nil)
        where folder.hasDirectoryPath {
            let target = folder.lastPathComponent
            #expect(layers[target] != nil, "\(target) is not in the layer table")
            for file in try Self.swiftFiles(below: folder) {
                files += 1
                for imported in Self.imports(in: try String(contentsOf: file, encoding: .utf8)) {
                    if let objection = Self.objection(target, imported, layers) {
                        Issue.record("\(file.lastPathComponent): \(objection)")
                    }
                }
            }
        }
        #expect(files > 50, "too few files were read")
    }

    @Test func everyRowOfTheTableExists() throws {
        for target in try Self.layers().keys {
            let inSources = Self.root.appending(path: "Sources/\(target)").path
            let atTop = [
                "CKernels": "CKernels", "HardwareProfiles": "hardware-profiles",
                "BenchmarkSupport": "Benchmarks/BenchmarkSupport",
            ][target]
            let inBenchmarks = target.hasSuffix("Benchmarks") ? "Benchmarks/\(target)" : nil
            let place = (atTop ?? inBenchmarks).map { Self.root.appending(path: $0).path } ?? inSources
            #expect(FileManager.default.fileExists(atPath: place), "\(target) is in the table only")
        }
    }

    @Test func anUpwardOrCrosswiseImportIsCaught() throws {
        let layers = try Self.layers()
        #expect(Self.objection("Kernels", "Roles", layers) != nil)
        #expect(Self.objection("Mapping", "Calling", layers) != nil)
        #expect(Self.objection("Calling", "OneTimePad", layers) != nil)
        #expect(Self.objection("Channel", "GenomicFormats", layers) != nil)
        #expect(Self.objection("Unlisted", "Kernels", layers) != nil)
        #expect(Self.objection("Roles", "Channel", layers) == nil)
        #expect(Self.imports(in: "public import Roles\n@preconcurrency import struct Calling.Call\nlet import1 = 2") == [
            "Roles", "Calling",
        ])
    }
}
