import Diagnostics
import Foundation
import Storage
import TestSupport
import Testing

@Suite struct OutputTests {
    @Test func appearsOnlyWhenCommitted() throws {
        let folder = try TemporaryDirectory()
        try folder.write([1], to: "out")
        let file = try PartialFile(path: folder.file("out"))
        try file.write([2, 3])
        #expect(try folder.read("out") == [1])
        #expect(try folder.entries() == ["out", "out.partial"])
        try file.commit()
        #expect(file.byteCount == 2)
        #expect(try folder.read("out") == [2, 3])
        #expect(try folder.entries() == ["out"])
    }

    @Test func leavesNothingWithoutCommit() throws {
        let folder = try TemporaryDirectory()
        try folder.write([1], to: "out")
        do {
            let file = try PartialFile(path: folder.file("out"))
            try file.write([2])
        }
        let other = try PartialFile(path: folder.file("other"))
        other.abandon()
        other.abandon()
        #expect(try folder.entries() == ["out"])
        #expect(try folder.read("out") == [1])
    }

    @Test func ownersFilesAreTheirsAlone() throws {
        let folder = try TemporaryDirectory()
        try writeWhole([1], to: folder.file("share"))
        try writeWhole([1], to: folder.file("vcf"), audience: .everyone)
        let mask = umask(0)
        umask(mask)
        #expect(try mode(folder.file("share")) == 0o600 & ~Int(mask))
        #expect(try mode(folder.file("vcf")) == 0o666 & ~Int(mask))
    }

    @Test func stalePartialFileIsReplacedWithItsMode() throws {
        let folder = try TemporaryDirectory()
        try folder.write(Array(repeating: 9, count: 100), to: "out.partial")
        chmod(folder.file("out.partial"), 0o777)
        try writeWhole([1], to: folder.file("out"))
        #expect(try folder.read("out") == [1])
        #expect(try mode(folder.file("out")) == 0o600)
        #expect(try folder.entries() == ["out"])
    }

    @Test func twoWritersOfOneNameAreRefused() throws {
        let folder = try TemporaryDirectory()
        let first = try PartialFile(path: folder.file("out"))
        try first.write([1])
        #expect(failure { _ = try PartialFile(path: folder.file("out")) }?.problem == "another process is writing it")
        try first.commit()
        #expect(try folder.read("out") == [1])
        try writeWhole([2], to: folder.file("out"))
        #expect(try folder.read("out") == [2])
    }

    @Test func refusesDirectoriesLinksAndEmptyNames() throws {
        let folder = try TemporaryDirectory()
        try folder.write([7], to: "target")
        symlink(folder.file("target"), folder.file("link"))
        symlink(folder.file("nowhere"), folder.file("dangling"))
        symlink(folder.file("target"), folder.file("out.partial"))
        for name in ["", ".", "new/", "link", "dangling", "out", "missing/out"] {
            let path = name.isEmpty ? "" : folder.file(name)
            #expect(failure { _ = try PartialFile(path: path) }?.kind == .cannotCreate, "\(name)")
        }
        #expect(try folder.read("target") == [7])
        #expect(try folder.entries() == ["dangling", "link", "out.partial", "target"])
    }

    @Test func devicesAreWrittenAndStay() throws {
        let null = try PartialFile(path: "/dev/null")
        #expect(null.isStream)
        try null.write([1])
        try null.commit()
        let full = try PartialFile(path: "/dev/full")
        #expect(failure { try full.write([1]) }?.kind == .inputOutput)
        var status = stat()
        #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
        #expect(!FileManager.default.fileExists(atPath: "/dev/null.partial"))
    }

    @Test func inputsAreNotOverwritten() throws {
        let folder = try TemporaryDirectory()
        try folder.write([7], to: "in")
        link(folder.file("in"), folder.file("hard"))
        symlink(folder.file("in"), folder.file("soft"))
        for name in ["in", "hard", "soft", "../" + URL(fileURLWithPath: folder.path).lastPathComponent + "/in"] {
            let found = failure { try checkFileNames(inputs: ["-", folder.file("in")], outputs: [folder.file(name)]) }
            #expect(found?.kind == .usage, "\(name)")
        }
        #expect(failure { try checkFileNames(inputs: [], outputs: ["a", "b", "a"]) }?.kind == .usage)
        let twice = [folder.file("x"), folder.file("./x")]
        #expect(failure { try checkFileNames(inputs: [], outputs: twice) }?.kind == .usage)
        // What is written is named .partial until it is whole.
        try folder.write([7], to: "out.partial")
        let partial = failure { try checkFileNames(inputs: [folder.file("out.partial")], outputs: [folder.file("out")]) }
        #expect(partial?.kind == .usage)
        #expect(failure { try checkFileNames(inputs: ["-", "a", "-"], outputs: []) }?.kind == .usage)
        try checkFileNames(inputs: [folder.file("in"), "/dev/null"], outputs: [folder.file("new"), "/dev/null", "/dev/null", "-"])
    }

    private func mode(_ path: String) throws -> Int {
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        return try #require(mode)
    }
}

@Suite struct InputTests {
    @Test func readsInPiecesAndWhole() throws {
        let folder = try TemporaryDirectory()
        let bytes = (0..<(3 << 20) + 5).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try folder.write(bytes, to: "in")
        #expect(try readWhole(folder.file("in")) == bytes)
        var seen: [UInt8] = []
        try FileReader.forEachPiece(of: folder.file("in")) { seen.append(contentsOf: $0) }
        #expect(seen == bytes)
        #expect(failure { _ = try readWhole(folder.file("in"), limit: bytes.count - 1) }?.kind == .data)
        #expect(try readWhole(folder.file("in"), limit: bytes.count).count == bytes.count)
    }

    @Test func readsByPosition() throws {
        let folder = try TemporaryDirectory()
        try folder.write([0, 1, 2, 3], to: "in")
        let file = try PositionedFile(path: folder.file("in"), remedy: "fetch it again")
        #expect(file.size == 4)
        var two: [UInt8] = [0, 0]
        try two.withUnsafeMutableBytes { try file.read($0, at: 2) }
        #expect(two == [2, 3])
        let found = failure { try two.withUnsafeMutableBytes { try file.read($0, at: 3) } }
        #expect(found?.kind == .data && found?.remedy == "fetch it again")
    }

    @Test func missingFilesAndDirectoriesAreNoInput() throws {
        let folder = try TemporaryDirectory()
        for path in [folder.path, folder.file("none"), folder.file("none/none"), ""] {
            #expect(failure { _ = try FileReader(path: path) }?.kind == .noInput)
            #expect(failure { _ = try PositionedFile(path: path, remedy: "none") }?.kind == .noInput)
        }
        #expect(failure { _ = try PositionedFile(path: "/dev/zero", remedy: "none") }?.kind == .noInput)
    }
}
