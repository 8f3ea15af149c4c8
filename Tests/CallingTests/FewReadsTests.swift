import Calling
import GenomicFormats
import Mapping
import Testing

/// Units with few reads, whose threads keep memory from one unit to the next.
@Suite struct FewReadsTests {
    private static let length = 9 * ReadStore.stretch

    /// Islands of reads, some deep, most of one read, with substitutions, a deletion in a long repeat and errors.
    private func reads() throws -> SyntheticReads {
        var generator = Generator(state: 5)
        let repeats = stride(from: 900, to: Self.length - 2_000, by: 5_000).map {
            ($0, "GC" + String(repeating: "A", count: 14) + "GC" + String(repeating: "CAT", count: 20) + "GG")
        }
        let bases = genome(Self.length, pieces: repeats)
        var reads = SyntheticReads(bases)
        for start in stride(from: 500, to: Self.length - 2_000, by: 500) {
            let place = start + 100 + generator.below(60)
            let change = Change(place: place, removed: 1, inserted: [(bases[place] + 1 + UInt8(generator.below(3))) & 3])
            switch generator.below(6) {
            case 0: break
            case 1: reads.add([change], range: start..<start + 200, step: 9)
            case 2:
                let tract = Change(place: (start / 5_000) * 5_000 + 902, removed: 2, inserted: [])
                reads.add([tract], range: max(0, tract.place - 95)..<tract.place - 5, step: 8)
            default:
                reads.quality = UInt8(12 + generator.below(28))
                reads.mappingQuality = generator.below(5) == 0 ? 0 : UInt8(3 + generator.below(58))
                reads.addRead([change], start: start + generator.below(100), isReverse: generator.below(2) == 0)
                reads.mappingQuality = 60
                reads.quality = 35
            }
        }
        try reads.store.seal()
        return reads
    }

    /// Each unit's lines, when a thread has seen no other one before.
    @Test func aUnitKnowsNothingOfTheOneBefore() throws {
        let reads = try reads()
        let caller = VariantCaller(reference: reads.reference)
        var alone: [String] = []
        for start in stride(from: 0, to: Self.length, by: ReadStore.stretch) {
            _ = try caller.call(store: reads.store, threads: 1, regions: [(0, start..<start + ReadStore.stretch)]) {
                alone.append(String(decoding: $0, as: UTF8.self))
            }
        }
        #expect(alone.count > 50)
        for threads in [1, 2, 5] { #expect(try reads.call(threads: threads).map(\.line) == alone) }
    }

    /// A base alone in its column is judged alike the first time and later.
    @Test func loneBasesAreJudgedByTheirQualities() throws {
        let bases = genome(4_000)
        for (quality, isCalled) in [(UInt8(12), false), (38, true)] {
            var reads = SyntheticReads(bases)
            reads.quality = quality
            let places = Array(stride(from: 300, to: 3_600, by: 300))
            for place in places {
                reads.addRead(
                    [Change(place: place, removed: 1, inserted: [bases[place] ^ 2])], start: place - 50, isReverse: false)
            }
            let found = try reads.call().map(\.summary)
            #expect(found.count == (isCalled ? places.count : 0), "quality \(quality)")
        }
    }
}
