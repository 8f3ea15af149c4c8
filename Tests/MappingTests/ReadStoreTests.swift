import Diagnostics
import Foundation
import GenomicFormats
import Mapping
import TestSupport
import Testing

/// One read as it was stored.
private struct Stored: Equatable {
    var ordinal: UInt64
    var contig: Int
    var position: Int
    var flags: AlignmentFlags
    var cigar: [UInt32]
    var bases: [UInt8]
    var qualities: [UInt8]
    var rest: [Int]

    init(_ header: AlignedReadHeader, _ cigar: [UInt32], _ bases: [UInt8], _ qualities: [UInt8]) {
        ordinal = header.ordinal
        contig = Int(header.contig)
        position = Int(header.position)
        flags = header.flags
        self.cigar = cigar
        self.bases = bases
        self.qualities = qualities
        rest = [
            Int(header.end), Int(header.mateContig), Int(header.matePosition), Int(header.templateLength),
            Int(header.mappingQuality), Int(header.editDistance), Int(header.cigarCount), Int(header.baseCount),
        ]
    }
}

struct ReadStoreTests {
    private static let lengths = [150_000, 70, 2_500_000]

    /// A read of any shape: N and high qualities, gaps long and short, no bases at all.
    private static func read(_ ordinal: UInt64, _ random: inout TestRandom) -> (AlignedReadHeader, Stored) {
        let contig = random.below(4) == 0 ? 0 : 2
        var length = 1 + random.below(300)
        let highest = random.below(10) == 0 ? 94 : 63
        var cigar: [CigarOperation] = [CigarOperation(.match, length)]
        if random.below(5) == 0 {
            let deletion = random.below(30) == 0 ? 40_000 : 1 + random.below(50)
            cigar = [
                CigarOperation(.softClip, 3), CigarOperation(.match, length), CigarOperation(.insertion, 2),
                CigarOperation(.match, 7), CigarOperation(.deletion, deletion), CigarOperation(.match, 1),
            ]
            length += 13
        } else if random.below(50) == 0 {
            (cigar, length) = ([], 0)
        }
        let span = cigar.isEmpty ? 1 : cigar.reduce(0) { $0 + ([.match, .deletion].contains($1.kind) ? $1.length : 0) }
        var bases = random.sequence(length)
        var qualities = (0..<length).map { _ in UInt8(random.below(highest)) }
        if random.below(8) == 0, length > 0 {
            let place = random.below(length)
            (bases[place], qualities[place]) = (4, UInt8(random.below(random.below(2) == 0 ? 4 : 90)))
        }
        // Half of the reads crowd on few positions.
        let room = lengths[contig] - span
        let position = random.below(2) == 0 ? random.below(room) : random.below(room) / 1000 * 1000
        let header = AlignedReadHeader(
            ordinal: ordinal, contig: Int32(contig), position: Int32(position), end: Int32(position + span),
            mateContig: Int32(random.below(3)) - 1, matePosition: Int32(random.below(1 << 30)),
            templateLength: Int32(random.below(2000)) - 1000,
            flags: AlignmentFlags(rawValue: UInt16(random.below(0x400))),
            mappingQuality: UInt8(random.below(256)), cigarCount: UInt16(cigar.count), baseCount: UInt16(length),
            editDistance: UInt16(random.below(1 << 16)))
        return (header, Stored(header, cigar.map(\.rawValue), bases, qualities))
    }

    private static func store(
        _ count: Int, seed: UInt64, limits: ReadStore.Limits, firstOrdinal: UInt64 = 0
    ) throws -> (ReadStore, [Stored]) {
        var random = TestRandom(seed)
        let store = ReadStore(contigLengths: lengths, limits: limits)
        var all: [Stored] = []
        for i in 0..<count {
            let (header, stored) = read(firstOrdinal + UInt64(i), &random)
            all.append(stored)
            try stored.cigar.withUnsafeBufferPointer { cigar in
                try stored.bases.withUnsafeBufferPointer { bases in
                    try stored.qualities.withUnsafeBufferPointer {
                        try store.append(header, cigar: cigar, bases: bases, qualities: $0)
                    }
                }
            }
        }
        return (store, all)
    }

    private static func contents(_ store: ReadStore, contig: Int, _ range: Range<Int>) throws -> [Stored] {
        var found: [Stored] = []
        try store.forEachRead(contig: contig, overlapping: range) {
            found.append(Stored($0.header, Array($0.cigar), Array($0.bases), Array($0.qualities)))
        }
        return found
    }

    @Test(arguments: [Int.max, 1 << 20, 100_000])
    func everyReadComesBackAsItWas(memory: Int) throws {
        // Ordinals of more than 32 bits.
        let (store, all) = try Self.store(12_000, seed: 5, limits: .init(memory: memory), firstOrdinal: 1 << 33)
        try store.seal(threads: 2) { $0 % 5 == 0 }
        #expect((store.spilledBytes > 1 << 20) == (memory < .max))
        #expect(store.count == all.count)
        let sorted = all.map { read in
            var read = read
            if read.ordinal % 5 == 0 { read.flags.insert(.duplicate) }
            return read
        }.sorted { ($0.contig, $0.position, $0.ordinal) < ($1.contig, $1.position, $1.ordinal) }
        let ranges = [
            (0, 0..<150_000), (1, 0..<70), (2, 0..<2_500_000), (2, 65_536..<65_537), (2, 1_999_990..<2_000_010),
            (2, 2_499_999..<2_500_000), (0, 149_000..<160_000), (2, 500_000..<500_000),
        ]
        for (contig, range) in ranges {
            let wanted = sorted.filter {
                $0.contig == contig && $0.position < range.upperBound && $0.rest[0] > range.lowerBound
                    && $0.position >= range.lowerBound - ReadStore.maximumSpan && !range.isEmpty
            }
            #expect(try Self.contents(store, contig: contig, range) == wanted)
            var headers: [UInt64] = []
            try store.forEachHeader(contig: contig, overlapping: range) { headers.append($0.ordinal) }
            #expect(headers == wanted.map(\.ordinal))
        }
    }

    @Test func stretchesWithReadsAreKnown() throws {
        var random = TestRandom(8)
        let store = ReadStore(contigLengths: Self.lengths)
        for ordinal in 0..<40 {
            let (header, stored) = Self.read(UInt64(ordinal), &random)
            try stored.cigar.withUnsafeBufferPointer { cigar in
                try stored.bases.withUnsafeBufferPointer { bases in
                    try stored.qualities.withUnsafeBufferPointer {
                        try store.append(header, cigar: cigar, bases: bases, qualities: $0)
                    }
                }
            }
        }
        try store.seal()
        var seen = Set<Bool>()
        for contig in Self.lengths.indices {
            for from in stride(from: 0, to: Self.lengths[contig], by: ReadStore.stretch) {
                let range = from..<min(from + ReadStore.stretch, Self.lengths[contig])
                let found = try !Self.contents(store, contig: contig, range).isEmpty
                #expect(store.hasReads(contig: contig, overlapping: range) == found)
                seen.insert(found)
            }
        }
        #expect(seen == [true, false])
    }

    @Test func manyThreadsReadASpilledStoreAlike() throws {
        let (store, _) = try Self.store(12_000, seed: 6, limits: .init(memory: 200_000))
        try store.seal(threads: 4)
        let ranges = (0..<150).map { $0 * 16_384..<min(2_500_000, ($0 + 1) * 16_384) }
        let expected = try ranges.map { try Self.contents(store, contig: 2, $0) }
        DispatchQueue.concurrentPerform(iterations: 8) { worker in
            for index in ranges.indices {
                let rank = (index + worker * 19) % ranges.count
                #expect((try? Self.contents(store, contig: 2, ranges[rank])) == expected[rank])
            }
        }
    }

    // MARK: The spill file

    private static func bytes(ofSpillFileOf store: ReadStore) throws -> [UInt8] {
        let bytes = store.withSpillFile { descriptor in
            var bytes = [UInt8](repeating: 0, count: store.spilledBytes)
            #expect(pread(descriptor, &bytes, bytes.count, 0) == bytes.count)
            return bytes
        }
        return try #require(bytes)
    }

    @Test func spilledReadsHaveNoNameAndCannotBeRead() throws {
        let directory = try TemporaryDirectory()
        let store = ReadStore(contigLengths: [1 << 20], limits: .init(memory: 100_000, spillDirectory: directory.path))
        // Reads of one letter and one quality: in the clear they would be runs of one byte.
        let cigar = [CigarOperation(.match, 150).rawValue]
        let (bases, qualities) = ([UInt8](repeating: 2, count: 150), [UInt8](repeating: 37, count: 150))
        for i in 0..<6000 {
            let header = AlignedReadHeader(
                ordinal: UInt64(i), contig: 0, position: Int32(i * 100), end: Int32(i * 100 + 150), mateContig: -1,
                matePosition: -1, templateLength: 0, flags: [], mappingQuality: 60, cigarCount: 1, baseCount: 150,
                editDistance: 0)
            try cigar.withUnsafeBufferPointer { cigar in
                try bases.withUnsafeBufferPointer { bases in
                    try qualities.withUnsafeBufferPointer {
                        try store.append(header, cigar: cigar, bases: bases, qualities: $0)
                    }
                }
            }
        }
        try store.seal()
        let spilled = try Self.bytes(ofSpillFileOf: store)
        #expect(spilled.count > 1_000_000)
        var longest = 0
        var run = 1
        var counts = [Int](repeating: 0, count: 256)
        for i in spilled.indices {
            counts[Int(spilled[i])] += 1
            run = i > 0 && spilled[i] == spilled[i - 1] ? run + 1 : 1
            longest = max(longest, run)
        }
        #expect(longest < 8, "bytes repeat as those of the reads do")
        // Chi-square with 255 degrees of freedom: 500 is over ten deviations off.
        let mean = Double(spilled.count) / 256
        #expect(counts.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) / mean } < 500)
        #expect(try directory.entries() == [])
        let links = store.withSpillFile { descriptor in
            var status = stat()
            return fstat(descriptor, &status) == 0 ? Int(status.st_nlink) : -1
        }
        #expect(links == 0)
    }

    @Test func eachStoreHasItsOwnKey() throws {
        let spilled = try (0..<2).map { _ in
            let (store, _) = try Self.store(4000, seed: 9, limits: .init(memory: 100_000))
            try store.seal()
            return try Self.bytes(ofSpillFileOf: store)
        }
        #expect(spilled[0].count == spilled[1].count && spilled[0].prefix(64) != spilled[1].prefix(64))
    }

    @Test func aDamagedSpillFileIsNoticed() throws {
        for damage in [0, 1, 2] {
            let (store, _) = try Self.store(4000, seed: 7, limits: .init(memory: 100_000))
            try store.seal()
            let spilled = try Self.bytes(ofSpillFileOf: store)
            store.withSpillFile { descriptor in
                switch damage {
                case 0:
                    var byte = spilled[spilled.count / 2] ^ 1
                    #expect(pwrite(descriptor, &byte, 1, off_t(spilled.count / 2)) == 1)
                case 1: #expect(ftruncate(descriptor, off_t(spilled.count / 2)) == 0)
                default:
                    // Two blocks of the cipher change places.
                    #expect(pwrite(descriptor, Array(spilled[160..<176]), 16, 320) == 16)
                    #expect(pwrite(descriptor, Array(spilled[320..<336]), 16, 160) == 16)
                }
            }
            let failure = #expect(throws: Failure.self) {
                for contig in [0, 2] { _ = try Self.contents(store, contig: contig, 0..<Self.lengths[contig]) }
            }
            #expect(failure?.kind == .inputOutput)
        }
    }

    @Test func aDirectoryThatIsNotThereStopsTheJob() throws {
        let failure = #expect(throws: Failure.self) {
            _ = try Self.store(4000, seed: 7, limits: .init(memory: 100_000, spillDirectory: "/nowhere/at/all"))
        }
        #expect(failure?.kind == .cannotCreate)
    }

    // MARK: Duplicates

    private struct Template {
        var ends: [UInt64]
        /// Where the reads of a pair on one strand begin, which are not the ends of the template.
        var readEnds: [UInt64]
        var quality: UInt32
    }

    /// The rule, template by template against all others.
    private static func duplicates(_ templates: [Template]) -> Set<UInt64> {
        var found = Set<UInt64>()
        for (i, one) in templates.enumerated() {
            for (j, other) in templates.enumerated() where i != j {
                let isBeaten = other.quality > one.quality || (other.quality == one.quality && j < i)
                if one.ends.count == 1, other.ends.count == 2, other.readEnds.contains(one.ends[0]) {
                    found.insert(UInt64(2 * i))
                } else if one.ends.count == other.ends.count, one.ends.sorted() == other.ends.sorted(), isBeaten {
                    found.formUnion(one.ends.count == 2 ? [UInt64(2 * i), UInt64(2 * i + 1)] : [UInt64(2 * i)])
                }
            }
        }
        return found
    }

    @Test func duplicatesDoNotDependOnMemory() throws {
        var random = TestRandom(12)
        let lengths = [40_000_000, 300, 9_000_000]
        func end() -> UInt64 {
            let contig = random.below(3)
            // A few places, some beyond the contig's ends as clipped reads have them.
            let position = random.below(12) * lengths[contig] / 10 - 100
            return TemplateSignature.end(
                contig: Int32(contig), place: position, isReverse: random.below(2) == 0,
                library: random.below(4) == 0 ? 127 : 0)
        }
        let templates = (0..<1500).map { _ -> Template in
            let ends = random.below(3) == 0 ? [end()] : [end(), end()]
            let isOnOneStrand = ends.count == 2 && (ends[0] ^ ends[1]) & 1 == 0
            return Template(
                ends: ends, readEnds: isOnOneStrand ? [end(), end()] : ends, quality: UInt32(random.below(6)))
        }
        let wanted = Self.duplicates(templates)
        #expect(wanted.count > 300 && wanted.count < 1900)
        for (memory, writers) in [(Int.max, 1), (Int.max, 3), (1, 1), (1, 2)] {
            let store = ReadStore(contigLengths: lengths, limits: .init(memory: memory))
            let open = (0..<writers).map { _ in store.addWriter() }
            for (i, template) in templates.enumerated() {
                let (ends, ordinal) = (template.ends, UInt64(2 * i))
                try open[i % writers].append(
                    ends.count == 2
                        ? TemplateSignature(pair: ends[0], ends[1], quality: template.quality, ordinal: ordinal)
                        : TemplateSignature(fragment: ends[0], quality: template.quality, ordinal: ordinal))
                if template.readEnds != template.ends {
                    for end in template.readEnds {
                        try open[i % writers].append(
                            TemplateSignature(fragment: end, quality: TemplateSignature.onlyAnEnd, ordinal: ordinal))
                    }
                }
                // Whole chunks are what is spilled: fill them.
                if memory == 1, i % 10 == 0 {
                    for _ in 0..<250 { try open[i % writers].append(Self.lone(&random)) }
                }
            }
            let found = try store.markDuplicates(threads: 2)
            #expect((store.spilledBytes > 0) == (memory == 1))
            #expect(Set((0..<UInt64(2 * templates.count)).filter(found.contains)) == wanted)
        }
    }

    /// A template that shares its place with no other, behind all places of the test.
    private static func lone(_ random: inout TestRandom) -> TemplateSignature {
        TemplateSignature(
            fragment: TemplateSignature.end(
                contig: 0, place: 1 + random.below(3_000_000), isReverse: false, library: 1),
            quality: 1, ordinal: 1 << 20)
    }
}
