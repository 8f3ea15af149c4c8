import Diagnostics
import Foundation
import GenomicFormats
import Kernels
import Mapping
import Testing

struct MappingRunTests {
    private let genome: ReferenceGenome = {
        var random = TestRandom(31)
        let repeated = random.sequence(900)
        return ReferenceGenome(contigs: [
            .init(name: "one", bases: random.sequence(90_000) + repeated + random.sequence(20_000) + repeated),
            .init(name: "two", bases: random.sequence(40_000)),
        ])
    }()

    private func run(_ index: ReferenceIndex, _ batches: [ReadBatch], threads: Int, memory: Int = .max) throws
        -> MappingRun.Result
    {
        var options = MappingRun.Options(threads: threads, modelPairs: 500)
        options.limits.memory = memory
        let run = MappingRun(index: index, options: options)
        for batch in batches { try run.submit(batch) }
        return try run.finish()
    }

    /// Everything a caller can see of a store.
    private func contents(_ result: MappingRun.Result, _ index: ReferenceIndex) throws -> [UInt8] {
        var out: [UInt8] = []
        for contig in index.contigs.indices {
            try result.store.forEachRead(contig: contig, overlapping: 0..<index.contigs[contig].length) { view in
                let header = view.header
                for number in [
                    header.contig, header.position, header.end, header.mateContig, header.matePosition,
                    header.templateLength, Int32(header.flags.rawValue), Int32(header.mappingQuality),
                    Int32(header.editDistance), Int32(header.score), Int32(header.secondScore),
                ] { withUnsafeBytes(of: number) { out += $0 } }
                withUnsafeBytes(of: header.ordinal) { out += $0 }
                out += UnsafeRawBufferPointer(view.cigar)
                out += view.bases
                out += view.qualities
            }
        }
        return out
    }

    @Test func resultsDoNotDependOnThreadsOrBatches() throws {
        let reads = SimulatedReads(genome, pairs: 4000, length: 100, seed: 32)
        let index = try ReferenceIndex(genome: genome, threads: 2)
        let expected = try run(index, reads.batches(of: 4000), threads: 1)
        let text = try contents(expected, index)
        #expect(expected.insertSizes.observations > 100)
        #expect(abs(expected.metrics.insertSizeMean - 349) < 15)
        #expect(expected.metrics.reads == 8000 && expected.metrics.mapped > 7950)
        #expect(expected.store.count == expected.metrics.mapped)
        for (threads, size) in [(1, 7), (2, 333), (3, 1000), (3, 64)] {
            let other = try run(index, reads.batches(of: size), threads: threads)
            #expect(try contents(other, index) == text, "\(threads) threads, batches of \(size)")
            #expect(other.insertSizes == expected.insertSizes)
            #expect(other.metrics.duplicates == expected.metrics.duplicates)
        }
    }

    @Test func resultsDoNotDependOnTheMemoryThatReadsMayTake() throws {
        let reads = SimulatedReads(genome, pairs: 6000, length: 100, seed: 37)
        let index = try ReferenceIndex(genome: genome, threads: 2)
        let again = reads.batches(of: 500).map { batch in
            var batch = batch
            batch.firstOrdinal += 12_000
            return batch
        }
        let twice = reads.batches(of: 700) + again
        let expected = try run(index, twice, threads: 1)
        let text = try contents(expected, index)
        #expect(expected.metrics.spilledBytes == 0 && expected.metrics.duplicates > 11_000)
        for (threads, memory) in [(1, 1), (1, 300_000), (2, 300_000), (3, 1 << 20), (2, 1 << 30)] {
            let other = try run(index, twice, threads: threads, memory: memory)
            #expect(try contents(other, index) == text, "\(threads) threads, \(memory) bytes")
            #expect(other.metrics.duplicates == expected.metrics.duplicates)
            #expect((other.metrics.spilledBytes > 1 << 20) == (memory < 1 << 30))
        }
    }

    @Test func resultsDoNotDependOnTheInstructionSet() throws {
        let reads = SimulatedReads(genome, pairs: 3000, length: 150, errorOneIn: 40, seed: 36)
        let before = CPU.cap
        defer { CPU.cap = before }
        var seen: [[UInt8]] = []
        for cap in CPU.Cap.allCases {
            CPU.cap = cap
            let index = try ReferenceIndex(genome: genome, threads: 2)
            for (threads, size) in [(1, 3000), (2, 50), (7, 333)] {
                seen.append(try contents(run(index, reads.batches(of: size), threads: threads), index))
            }
        }
        #expect(seen.count >= 6 && seen.allSatisfy { $0 == seen[0] } && seen[0].count > 1_000_000)
    }

    @Test func storeIsInOrderAndFindsOverlaps() throws {
        let reads = SimulatedReads(genome, pairs: 2000, length: 100, seed: 33)
        let index = try ReferenceIndex(genome: genome)
        let store = try run(index, reads.batches(of: 100), threads: 2).store
        var all: [(Int, Int, UInt64)] = []
        try store.forEachRead(contig: 0, overlapping: 0..<index.contigs[0].length) {
            all.append((Int($0.header.position), Int($0.header.end), $0.header.ordinal))
        }
        for i in 1..<all.count { #expect((all[i - 1].0, all[i - 1].2) < (all[i].0, all[i].2)) }
        for from in [0, 65_500, 65_536, 89_000] {
            let range = from..<from + 77
            var found: [UInt64] = []
            try store.forEachRead(contig: 0, overlapping: range) { found.append($0.header.ordinal) }
            #expect(found == all.filter { $0.0 < range.upperBound && $0.1 > range.lowerBound }.map(\.2))
        }
    }

    @Test func emptyInputAndUnmappableReads() throws {
        let index = try ReferenceIndex(genome: genome)
        let nothing = try run(index, [], threads: 2)
        #expect(nothing.metrics.reads == 0 && nothing.store.count == 0 && nothing.insertSizes == .default)
        var random = TestRandom(34)
        let junk = pairedBatches((0..<50).map { _ in [random.sequence(100), random.sequence(60)] }, of: 20)
        let unmapped = try run(index, junk, threads: 2)
        #expect(unmapped.metrics.reads == 100 && unmapped.metrics.mapped == 0 && unmapped.metrics.duplicates == 0)
        let run = MappingRun(index: index, options: .init(threads: 2))
        #expect(throws: Failure.self) { try run.submit(.single([random.sequence(600)])) }
        run.cancel()
    }

    /// Reads at given places; the pair's insert is 300 and reads have 80 bases.
    private func pair(_ start: Int, clip: Int = 0, flip: Bool = false) -> [[UInt8]] {
        let bases = genome.contigs[0].bases
        var first = Array(bases[start..<start + 80])
        // Clipped bases are of another contig, so the alignment starts later but the unclipped end stays.
        for i in 0..<clip { first[i] = 3 - first[i] }
        let second = reverseComplement(Array(bases[start + 220..<start + 300]))
        return flip ? [second, first] : [first, second]
    }

    @Test func duplicates() throws {
        let junk = { (seed: UInt64) in var random = TestRandom(seed); return random.sequence(80) }
        let pairs: [([[UInt8]], UInt8, Bool)] = [
            (pair(1000), 30, true),  // a better one follows
            (pair(1000), 35, false),
            (pair(1000, clip: 6), 30, true),  // same unclipped end
            (pair(1001), 30, false),
            (pair(1000, flip: true), 20, true),  // mates swapped, same ends and strands
            (pair(5000), 30, false),  // tie: the first stays
            (pair(5000), 30, true),
            ([pair(1000)[0], junk(1)], 40, true),  // a pair beats a fragment
            ([pair(9000)[0], junk(2)], 30, true),  // fragments among themselves
            ([junk(3), pair(9000)[0]], 31, false),
        ]
        var batch = ReadBatch(firstOrdinal: 0, isPaired: true)
        for (reads, quality, _) in pairs { for read in reads { batch.add(read, quality: quality) } }
        let index = try ReferenceIndex(genome: genome)
        let result = try run(index, [batch], threads: 1)
        var marked = Set<Int>()
        var seen = Set<Int>()
        try result.store.forEachRead(contig: 0, overlapping: 0..<index.contigs[0].length) {
            seen.insert(Int($0.header.ordinal / 2))
            if $0.header.flags.contains(.duplicate) { marked.insert(Int($0.header.ordinal / 2)) }
        }
        #expect(seen == Set(pairs.indices))
        #expect(marked == Set(pairs.indices.filter { pairs[$0].2 }))
    }

    @Test func singleEndReads() throws {
        let bases = genome.contigs[1].bases
        var batch = ReadBatch(firstOrdinal: 0, isPaired: false)
        for start in [100, 100, 200] { batch.add(Array(bases[start..<start + 90])) }
        let result = try run(ReferenceIndex(genome: genome), [batch], threads: 2)
        #expect(result.metrics.mapped == 3 && result.metrics.duplicates == 1)
        var flags: [AlignmentFlags] = []
        try result.store.forEachRead(contig: 1, overlapping: 0..<1000) { flags.append($0.header.flags) }
        #expect(flags == [[], .duplicate, []])
    }
}
