import CKernels
import GenomicFormats
import Mapping
import Testing

/// Reads that no seed of theirs places.
struct LostReadTests {
    private static let shape = ck_seed_shape(window: 7, extension: 3)
    private let length = Int(ck_seed_length(LostReadTests.shape))

    private struct Seed: Hashable, Comparable {
        var key: UInt64
        var offset: Int32
        static func < (a: Seed, b: Seed) -> Bool { (a.offset, a.key) < (b.offset, b.key) }
    }

    private func seeds(
        most: Int, _ find: (UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UInt32>) -> Int
    ) -> [Seed] {
        var keys = [UInt64](repeating: 0, count: most)
        var offsets = [UInt32](repeating: 0, count: most)
        let count = keys.withUnsafeMutableBufferPointer { keys in
            offsets.withUnsafeMutableBufferPointer { find(keys.baseAddress!, $0.baseAddress!) }
        }
        return zip(keys, offsets).prefix(count).map { Seed(key: $0, offset: Int32(bitPattern: $1)) }
    }

    private func seeds(of codes: [UInt8]) -> [Seed] {
        seeds(most: codes.count + 16) { ck_find_seeds(codes, codes.count, Self.shape, $0, $1) }
    }

    /// Reads with an N now and then.
    private func read(_ random: inout TestRandom, _ count: Int) -> [UInt8] {
        (0..<count).map { _ in random.happens(oneIn: 60) ? 4 : random.base() }
    }

    @Test func edgeSeedsAreThoseOfEveryContinuation() {
        var random = TestRandom(81)
        var found = 0
        for round in 0..<300 {
            let codes = read(&random, 28 + round % 40)
            var expected: Set<Seed> = []
            for missing in 1...3 {
                for rest in 0..<(1 << (2 * missing)) {
                    let other = (0..<missing).map { UInt8(rest >> (2 * $0) & 3) }
                    for seed in seeds(of: other + codes) where seed.offset == 0 {
                        expected.insert(Seed(key: seed.key, offset: Int32(-missing)))
                    }
                    for seed in seeds(of: codes + other) where Int(seed.offset) == codes.count + missing - length {
                        expected.insert(seed)
                    }
                }
            }
            let actual = seeds(most: Int(CK_EDGE_SEEDS)) { ck_find_edge_seeds(codes, codes.count, Self.shape, $0, $1) }
            #expect(actual.sorted() == expected.sorted())
            found += actual.count
        }
        #expect(found > 1000)
    }

    @Test func substitutedSeedsAreThoseOfTheChangedRead() {
        var random = TestRandom(82)
        for round in 0..<200 {
            let codes = read(&random, 28 + round)
            let places = (0..<1 + round % Int(CK_SUBSTITUTIONS)).map { _ in UInt32(random.below(codes.count)) }
            var expected: [Seed] = []
            for place in places {
                for base in 0..<UInt8(4) where base != codes[Int(place)] {
                    var changed = codes
                    changed[Int(place)] = base
                    expected += seeds(of: changed).filter { $0.offset <= place && Int($0.offset) + length > place }
                }
            }
            let actual = seeds(most: Int(CK_SUBSTITUTED_SEEDS)) {
                ck_find_substituted_seeds(codes, codes.count, Self.shape, places, places.count, $0, $1)
            }
            #expect(actual.sorted() == expected.sorted())
        }
    }

    private let plain: ReferenceGenome = {
        var random = TestRandom(83)
        return ReferenceGenome(contigs: [.init(name: "one", bases: random.sequence(80_000))])
    }()

    /// Reads of a seed's length and a bit, whole or with one doubtful base: most lie over no seed of the table.
    @Test func shortReadsArePlaced() throws {
        let bases = plain.contigs[0].bases
        var random = TestRandom(84)
        var batch = ReadBatch(firstOrdinal: 0, isPaired: false)
        var starts: [Int] = []
        for _ in 0..<2000 {
            let start = random.below(bases.count - 36)
            var read = Array(bases[start..<start + 36])
            let place = 8 + random.below(20)
            let isWrong = random.happens(oneIn: 2)
            if isWrong { read[place] = (read[place] + 1) & 3 }
            batch.add(read)
            if isWrong { batch.qualities[batch.qualities.count - 36 + place] = 8 }
            starts.append(start)
        }
        let mapped = try PairedMapper(index: try ReferenceIndex(genome: plain)).map(batch)
        let right = zip(mapped.reads, starts).filter { Int($0.position) == $1 }.count
        #expect(right >= 1800, "\(right)")
        #expect(mapped.reads.filter(\.isMapped).count == right)
    }

    @Test func matesThatLookOddAreFoundNearby() throws {
        let bases = plain.contigs[0].bases
        var random = TestRandom(85)
        // Both mates forward, the second with a mismatch in every 14 bases; then one of which 23 bases match.
        var odd = Array(bases[20_300..<20_400])
        for i in stride(from: 6, to: 100, by: 14) { odd[i] = (odd[i] + 1) & 3 }
        let piece = random.sequence(40) + reverseComplement(Array(bases[30_200..<30_223])) + random.sequence(38)
        let foreign = [random.sequence(100), random.sequence(100)]
        let pairs = [[Array(bases[20_000..<20_100]), odd], [Array(bases[30_000..<30_100]), piece], foreign]
        let mapped = try PairedMapper(index: try ReferenceIndex(genome: plain)).map(pairedBatches(pairs, of: 3)[0])
        #expect(mapped.reads[1].position == 20_300 && !mapped.reads[1].flags.contains(.properPair))
        #expect(abs(Int(mapped.reads[3].position) - 30_200) < 4 && mapped.reads[3].flags.contains(.properPair))
        #expect(mapped.reads[1].isRescued && mapped.reads[3].isRescued && mapped.reads[1].score < mapped.reads[0].score)
        #expect(!mapped.reads[4].isMapped && !mapped.reads[5].isMapped)
    }

    @Test func nothingOfForeignSequenceMaps() throws {
        var random = TestRandom(86)
        let index = try ReferenceIndex(genome: plain)
        for length in [36, 100, 150] {
            let pairs = (0..<1000).map { _ in [random.sequence(length), random.sequence(length)] }
            let mapped = try PairedMapper(index: index).map(pairedBatches(pairs, of: 1000)[0])
            #expect(mapped.reads.allSatisfy { !$0.isMapped })
        }
    }
}
