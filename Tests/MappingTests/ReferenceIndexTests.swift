import Diagnostics
import Foundation
import GenomicFormats
import Mapping
import Testing

struct ReferenceIndexTests {
    private func genome(_ seed: UInt64 = 11) -> ReferenceGenome {
        var random = TestRandom(seed)
        let a = random.sequence(40_000)
        let repeated = random.sequence(400)
        let b = random.sequence(5_000) + [UInt8](repeating: 4, count: 3_000)
            + (0..<30).flatMap { _ in repeated } + random.sequence(5_000)
        return ReferenceGenome(contigs: [.init(name: "a", bases: a), .init(name: "b", bases: b)])
    }

    private func temporaryPath() -> String {
        FileManager.default.temporaryDirectory.appending(path: "index-\(UUID().uuidString)").path
    }

    private func failureKind(_ body: () throws -> Void) -> FailureKind? {
        do { try body() } catch { return (error as? Failure)?.kind }
        return nil
    }

    @Test func fileHoldsTheSameIndexWhateverTheThreads() throws {
        let genome = genome()
        let (one, three) = (temporaryPath(), temporaryPath())
        try ReferenceIndex(genome: genome, threads: 1).save(to: one)
        try ReferenceIndex(genome: genome, threads: 3).save(to: three)
        defer { for path in [one, three] { try? FileManager.default.removeItem(atPath: path) } }
        #expect(FileManager.default.contents(atPath: one) == FileManager.default.contents(atPath: three))
        let loaded = try ReferenceIndex(contentsOf: one, matching: genome)
        #expect(loaded.contigs.map(\.name) == ["a", "b"])
        #expect(loaded.contigLengths == genome.contigs.map(\.length))
        let again = temporaryPath()
        try loaded.save(to: again)
        defer { try? FileManager.default.removeItem(atPath: again) }
        #expect(FileManager.default.contents(atPath: one) == FileManager.default.contents(atPath: again))
        #expect(!FileManager.default.fileExists(atPath: one + ".partial"))
    }

    @Test func damagedFilesAreRefused() throws {
        let path = temporaryPath()
        try ReferenceIndex(genome: genome()).save(to: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let whole = try #require(FileManager.default.contents(atPath: path))
        let places = [0, 8, 17, 41, 60, 75, 90, 130, 1_000, whole.count / 2, whole.count - 200, whole.count - 1]
        for place in places {
            var bytes = whole
            bytes[place] ^= 0x10
            try bytes.write(to: URL(fileURLWithPath: path))
            #expect(failureKind { _ = try ReferenceIndex(contentsOf: path) } == .data, "byte \(place)")
        }
        for length in [0, 5, 79, 80, 200, whole.count / 3, whole.count - 1] {
            try whole.prefix(length).write(to: URL(fileURLWithPath: path))
            #expect(failureKind { _ = try ReferenceIndex(contentsOf: path) } == .data, "length \(length)")
        }
        try (whole + Data([0])).write(to: URL(fileURLWithPath: path))
        #expect(failureKind { _ = try ReferenceIndex(contentsOf: path) } == .data)
        #expect(failureKind { _ = try ReferenceIndex(contentsOf: path + ".none") } == .noInput)
    }

    @Test func indexOfAnotherReferenceIsRefused() throws {
        let path = temporaryPath()
        try ReferenceIndex(genome: genome()).save(to: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(failureKind { _ = try ReferenceIndex(contentsOf: path, matching: genome(12)) } == .data)
        let renamed = ReferenceGenome(
            contigs: zip(["a", "c"], genome().contigs).map { .init(name: $0, bases: $1.bases) })
        #expect(failureKind { _ = try ReferenceIndex(contentsOf: path, matching: renamed) } == .data)
    }

    @Test func indexOfAnotherVersionIsMadeAnew() throws {
        let path = temporaryPath()
        try ReferenceIndex(genome: genome()).save(to: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let whole = try #require(FileManager.default.contents(atPath: path))
        var old = whole
        old[8] ^= 1
        try old.write(to: URL(fileURLWithPath: path))
        #expect(failureKind { _ = try ReferenceIndex(contentsOf: path) } == .data)
        _ = try ReferenceIndex.load(from: path, matching: genome(), threads: 2)
        #expect(FileManager.default.contents(atPath: path) == whole)
        // Neither a wrong nor a damaged index is replaced.
        #expect(failureKind { _ = try ReferenceIndex.load(from: path, matching: genome(12)) } == .data)
        var damaged = whole
        damaged[whole.count / 2] ^= 1
        try damaged.write(to: URL(fileURLWithPath: path))
        #expect(failureKind { _ = try ReferenceIndex.load(from: path, matching: genome()) } == .data)
        #expect(FileManager.default.contents(atPath: path) == damaged)
        #expect(failureKind { _ = try ReferenceIndex.load(from: path + ".none", matching: genome()) } == .noInput)
    }

    /// Places above 2^31, and the last ones of 32 bits, from a genome that is N but for two islands.
    @Test func placesNearTheEndOfThirtyTwoBits() throws {
        var random = TestRandom(13)
        let island = random.sequence(20_000)
        let genome = ReferenceGenome(contigs: [
            .init(name: "middle", bases: random.sequence(20_000)), .init(name: "last", bases: island),
        ])
        let index = ReferenceIndex(genome: genome, places: [3_000_000_000, 4_294_944_000])
        let mapper = PairedMapper(index: index)
        let read = Array(island[9_000..<9_150])
        let pair = [read, reverseComplement(Array(island[9_250..<9_400]))]
        let mapped = try mapper.map(pairedBatches([pair], of: 1)[0])
        #expect(mapped.reads.map(\.contig) == [1, 1])
        #expect(mapped.reads.map(\.position) == [9_000, 9_250])
        #expect(mapped.reads.allSatisfy { $0.mappingQuality == 60 && $0.flags.contains(.properPair) })
    }

    @Test func emptyAndTinyReferences() throws {
        #expect(failureKind { _ = try ReferenceIndex(genome: ReferenceGenome(contigs: [])) } == .data)
        let tiny = ReferenceGenome(contigs: [.init(name: "n", bases: [4, 4]), .init(name: "e", bases: [])])
        let mapper = PairedMapper(index: try ReferenceIndex(genome: tiny))
        var random = TestRandom(1)
        let mapped = try mapper.map(.single([random.sequence(100)]))
        #expect(!mapped.reads[0].isMapped)
    }
}
