import Diagnostics
import Randomness
import SecretSharing
import TestSupport
import Testing

/// A directory with an object, its shares and its tags.
private struct Files {
    let directory: TemporaryDirectory
    let object: [UInt8]
    let paths: SharePaths
    let description: ShareSetDescription

    init(length: Int, blockSize: Int = 96) throws {
        var random = SplitMix64(seed: UInt64(length))
        directory = try TemporaryDirectory()
        object = random.bytes(length)
        try directory.write(object, to: "object")
        paths = Self.paths(directory, "")
        description = try ShareFiles.split(
            directory.file("object"), to: paths, objectID: Fixture.objectID, blockSize: blockSize,
            random: KernelRandomSource()
        ).description
    }

    static func paths(_ directory: TemporaryDirectory, _ suffix: String) -> SharePaths {
        SharePaths(
            a: directory.file("a" + suffix), b: directory.file("b" + suffix), c: directory.file("c" + suffix),
            tags: directory.file("tags" + suffix))
    }

    func tags() throws -> ShareTags { try ShareFiles.tags(paths.tags) }

    func damage(_ name: String, at place: Int) throws {
        var bytes = try directory.read(name)
        bytes[place] ^= 0x80
        try directory.write(bytes, to: name)
    }
}

@Suite struct FileTests {
    @Test(arguments: [0, 1, 95, 96, 97, 10_000]) func roundTrip(length: Int) throws {
        let files = try Files(length: length)
        #expect(try files.directory.entries() == ["a", "b", "c", "object", "tags"])
        for (x, y) in Fixture.pairs {
            try ShareFiles.join(files.paths[x], files.paths[y], tags: files.tags(), to: files.directory.file("out"))
            #expect(try files.directory.read("out") == files.object)
        }
        #expect(try ShareFiles.verify([files.paths.a, files.paths.b, files.paths.c], tags: files.tags()).isEmpty)
        #expect(try ShareFiles.verify([files.paths.a, files.paths.b, files.paths.c], tags: nil).isEmpty)
    }

    @Test func repairGivesTheLostFileToTheByte() throws {
        let files = try Files(length: 1001)
        for lost in ShareIndex.allCases {
            let others = ShareIndex.allCases.filter { $0 != lost }
            for order in [others, others.reversed()] {
                let made = try ShareFiles.repair(
                    from: files.paths[order[0]], files.paths[order[1]], tags: files.tags(),
                    to: files.directory.file("new"))
                #expect(made == lost)
                let name = lost.description.lowercased()
                #expect(try files.directory.read("new") == files.directory.read(name))
            }
        }
        try files.damage("a", at: 128 + 112 + 3)
        let failure = #expect(throws: Failure.self) {
            try ShareFiles.repair(
                from: files.paths.a, files.paths.b, tags: files.tags(), to: files.directory.file("bad"))
        }
        #expect(failure?.place.hasSuffix("share A, block 1") == true)
        #expect(try !files.directory.entries().contains { $0.hasPrefix("bad") }, "something half-written is left")
    }

    @Test func refreshKeepsTheObjectAndPartsWithTheOldShares() throws {
        let files = try Files(length: 1001)
        let fresh = Files.paths(files.directory, "2")
        let description = try ShareFiles.refresh(files.paths, to: fresh, random: KernelRandomSource()).description
        #expect(description.set != files.description.set && description.object == files.description.object)
        let tags = try ShareFiles.tags(fresh.tags)
        for (x, y) in Fixture.pairs {
            try ShareFiles.join(fresh[x], fresh[y], tags: tags, to: files.directory.file("out"))
            #expect(try files.directory.read("out") == files.object)
            #expect(throws: Failure.self) {
                try ShareFiles.join(files.paths[x], fresh[y], tags: nil, to: files.directory.file("mixed"))
            }
        }
        #expect(try ShareFiles.verify([fresh.a, fresh.b, fresh.c], tags: tags).isEmpty)
        // In place, except for the tags.
        var inPlace = fresh
        inPlace.tags = files.directory.file("tags3")
        try ShareFiles.refresh(fresh, to: inPlace, random: KernelRandomSource())
        try ShareFiles.join(fresh.b, fresh.c, tags: ShareFiles.tags(inPlace.tags), to: files.directory.file("out"))
        #expect(try files.directory.read("out") == files.object)
        #expect(throws: Failure.self) { try ShareFiles.refresh(inPlace, to: inPlace, random: KernelRandomSource()) }
    }

    @Test func verifyNamesEveryFault() throws {
        let files = try Files(length: 1000)
        try files.damage("b", at: 128 + 2 * 112 + 5)
        try files.damage("c", at: 128 + 4 * 112 + 100)
        let all = [files.paths.c, files.paths.a, files.paths.b]
        let faults = try ShareFiles.verify(all, tags: files.tags())
        #expect(faults.map(\.share) == [.b, .c])
        #expect(faults.map(\.block) == [2, 4])
        // Without tags the identity shows the altered payload of B, not whose it is; the altered tag of C stays unseen.
        let blind = try ShareFiles.verify(all, tags: nil)
        #expect(blind.map(\.block) == [2])
        #expect(blind.map(\.share) == [nil])
        try files.damage("a", at: 20)
        #expect(try ShareFiles.verify([files.paths.a], tags: files.tags()).count == 1)
    }

    @Test func truncatedFilesAreNamed() throws {
        let files = try Files(length: 1000)
        let whole = try files.directory.read("a")
        for length in [0, 50, 127, 128, 200, 128 + 112, 128 + 3 * 112, whole.count - 1, whole.count + 1] {
            try files.directory.write(Array((whole + [0])[..<length]), to: "a")
            for tags in [nil, try files.tags()] {
                let failure = #expect(throws: Failure.self) {
                    try ShareFiles.join(files.paths.a, files.paths.b, tags: tags, to: files.directory.file("out"))
                }
                #expect(failure?.kind == .data)
                if (128..<whole.count).contains(length) {
                    #expect(failure?.place.hasSuffix("share A, block \((length - 128) / 112)") == true)
                }
            }
            #expect(try !files.directory.entries().contains { $0.hasPrefix("out") })
        }
    }

    @Test func rangesAreRestoredFromTheirBlocks() throws {
        var random = SplitMix64(seed: 30)
        let files = try Files(length: 2001)
        let tags = try files.tags()
        func range(_ bounds: Range<Int>, _ x: ShareIndex, _ y: ShareIndex) throws -> [UInt8] {
            var result: [UInt8] = []
            try ShareFiles.restore(bounds, files.paths[x], files.paths[y], tags: tags) { result.append(contentsOf: $0) }
            return result
        }
        for _ in 0..<100 {
            let from = Int.random(in: 0...2001, using: &random), to = Int.random(in: from...2001, using: &random)
            let (x, y) = Fixture.pairs.randomElement(using: &random)!
            #expect(try range(from..<to, x, y) == Array(files.object[from..<to]))
        }
        #expect(throws: Failure.self) { try range(0..<2002, .a, .b) }
        #expect(throws: Failure.self) { try range(-1..<5, .a, .b) }
        // A fault elsewhere does not matter.
        try files.damage("a", at: 128 + 10 * 112)
        #expect(try range(0..<960, .a, .b) == Array(files.object[..<960]))
        #expect(throws: Failure.self) { try range(960..<961, .a, .b) }
    }

    @Test func missingInputsAndDirectories() throws {
        let files = try Files(length: 10)
        #expect(throws: Failure.self) {
            try ShareFiles.join("/nowhere", files.paths.b, tags: nil, to: files.directory.file("out"))
        }
        let failure = #expect(throws: Failure.self) {
            try ShareFiles.join(files.paths.a, files.paths.b, tags: nil, to: "/nowhere/out")
        }
        #expect(failure?.kind == .cannotCreate)
        #expect(throws: Failure.self) { try ShareFiles.tags(files.paths.a) }
    }

    /// Reading ahead takes from a generator what the shares need and not one byte more.
    @Test func randomBytesAreTakenToTheByte() throws {
        let directory = try TemporaryDirectory()
        let length = 5 << 20 | 1
        var random = SplitMix64(seed: 8)
        let object = random.bytes(length)
        try directory.write(object, to: "object")
        // The identifier of the set, three keys and pads for header and blocks, and R.
        let needed = 16 + 3 * 16 * (2 + 2) + length + 1
        try directory.write(random.bytes(needed), to: "exact")
        let paths = Files.paths(directory, "")
        let source = try DeviceRandomSource(path: directory.file("exact"))
        let made = try ShareFiles.split(directory.file("object"), to: paths, objectID: Fixture.objectID, random: source)
        #expect(made.randomUse.bytes == length + 1 && made.randomUse.source == source.name)
        try ShareFiles.join(paths.a, paths.c, tags: ShareFiles.tags(paths.tags), to: directory.file("out"))
        #expect(try directory.read("out") == object)
        // Share C is R itself, in the order in which the source gave it.
        let r = try directory.read("exact").suffix(length + 1), c = try directory.read("c")
        #expect(c[128..<128 + (4 << 20)].elementsEqual(r.prefix(4 << 20)))

        try directory.write(random.bytes(needed - 1), to: "one byte short")
        let short = try DeviceRandomSource(path: directory.file("one byte short"))
        let failure = #expect(throws: Failure.self) {
            try ShareFiles.split(
                directory.file("object"), to: Files.paths(directory, "2"), objectID: Fixture.objectID, random: short)
        }
        #expect(failure?.kind == .inputOutput)
        #expect(try !directory.entries().contains { $0.hasSuffix("2") })
    }

    @Test func failingRandomSourceLeavesNothing() throws {
        let directory = try TemporaryDirectory()
        try directory.write([UInt8](repeating: 3, count: 1000), to: "object")
        try directory.write([UInt8](repeating: 9, count: 900), to: "short")
        let source = try DeviceRandomSource(path: directory.file("short"))
        #expect(throws: Failure.self) {
            try ShareFiles.split(
                directory.file("object"), to: Files.paths(directory, ""), objectID: Fixture.objectID, blockSize: 96,
                random: source)
        }
        #expect(try directory.entries() == ["object", "short"])
    }
}
