import Foundation
import GenomicFormats
import Mapping

/// A small generator whose numbers are the same everywhere (SplitMix64).
struct TestRandom {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func base() -> UInt8 { UInt8(next() >> 62) }
    mutating func happens(oneIn: Int) -> Bool { below(oneIn) == 0 }

    mutating func sequence(_ count: Int) -> [UInt8] { (0..<count).map { _ in base() } }
}

func reverseComplement(_ bases: [UInt8]) -> [UInt8] { bases.reversed().map { $0 > 3 ? 4 : 3 - $0 } }

/// Where a simulated read came from: zero-based position of its first reference base.
struct Origin {
    var contig: Int
    var position: Int
    var isReverse: Bool
}

/// Reads with known origins from a genome with variants: one SNP in 1,000 bases, one indel of 1..20 bases in 5,000.
struct SimulatedReads {
    var pairs: [(ReadPair)] = []
    struct ReadPair {
        var bases: [[UInt8]]
        var origins: [Origin]
    }

    init(_ genome: ReferenceGenome, pairs count: Int, length: Int, errorOneIn: Int = 200, seed: UInt64) {
        var random = TestRandom(seed)
        let haplotypes = genome.contigs.map { Self.mutate($0.bases, &random) }
        let total = haplotypes.reduce(0) { $0 + $1.bases.count }
        while pairs.count < count {
            var at = random.below(total)
            var contig = 0
            while at >= haplotypes[contig].bases.count {
                at -= haplotypes[contig].bases.count
                contig += 1
            }
            let insert = max(length, 250 + random.below(100) + random.below(100))
            guard at + insert <= haplotypes[contig].bases.count else { continue }
            let haplotype = haplotypes[contig]
            let second = at + insert - length
            var a = Array(haplotype.bases[at..<at + length])
            var b = reverseComplement(Array(haplotype.bases[second..<second + length]))
            if a.filter({ $0 == 4 }).count > 3 || b.filter({ $0 == 4 }).count > 3 { continue }
            for i in 0..<length {
                if random.happens(oneIn: errorOneIn) { a[i] = random.base() }
                if random.happens(oneIn: errorOneIn) { b[i] = random.base() }
            }
            let origins = [
                Origin(contig: contig, position: haplotype.places[at], isReverse: false),
                Origin(contig: contig, position: haplotype.places[second], isReverse: true),
            ]
            let flip = random.happens(oneIn: 2)
            pairs.append(ReadPair(bases: flip ? [b, a] : [a, b], origins: flip ? origins.reversed() : origins))
        }
    }

    private static func mutate(_ bases: [UInt8], _ random: inout TestRandom) -> (bases: [UInt8], places: [Int]) {
        var out: [UInt8] = []
        var places: [Int] = []
        var i = 0
        while i < bases.count {
            if bases[i] < 4 && random.happens(oneIn: 1000) {
                out.append((bases[i] + 1 + UInt8(random.below(3))) & 3)
                places.append(i)
            } else if bases[i] < 4 && random.happens(oneIn: 5000) {
                let length = 1 + random.below(20)
                if random.happens(oneIn: 2) {
                    i += length
                    continue
                }
                for _ in 0..<length {
                    out.append(random.base())
                    places.append(i)
                }
                out.append(bases[i])
                places.append(i)
            } else {
                out.append(bases[i])
                places.append(i)
            }
            i += 1
        }
        return (out, places)
    }

    /// The pairs cut into batches of `size` pairs.
    func batches(of size: Int) -> [ReadBatch] { pairedBatches(pairs.map(\.bases), of: size) }
}

func pairedBatches(_ pairs: [[[UInt8]]], of size: Int) -> [ReadBatch] {
    stride(from: 0, to: pairs.count, by: size).map { from in
        var batch = ReadBatch(firstOrdinal: UInt64(2 * from), isPaired: true)
        for pair in pairs[from..<min(from + size, pairs.count)] { for read in pair { batch.add(read) } }
        return batch
    }
}

extension ReadBatch {
    mutating func add(_ read: [UInt8], quality: UInt8 = 30) {
        bases += read
        qualities += [UInt8](repeating: quality, count: read.count)
        offsets.append(Int32(bases.count))
    }

    static func single(_ reads: [[UInt8]]) -> ReadBatch {
        var batch = ReadBatch(firstOrdinal: 0, isPaired: false)
        for read in reads { batch.add(read) }
        return batch
    }
}

/// The folder of shared test data, or nil (said aloud) when it is missing.
func sharedData(_ path: String) -> String? {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    let folder =
        ProcessInfo.processInfo.environment["DSGD_TEST_DATA"] ?? root.appending(path: "../shared/data").path
    let file = folder + "/" + path
    if FileManager.default.fileExists(atPath: file) { return file }
    print("SKIPPED: \(file) is not there; set DSGD_TEST_DATA")
    return nil
}

/// Lines of a gzip file, through the system's gzip.
func gunzippedLines(_ path: String) throws -> [Substring] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/gzip")
    process.arguments = ["-dc", path]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self).split(separator: "\n")
}

func genome(fasta lines: [Substring]) -> ReferenceGenome {
    var contigs: [ReferenceGenome.Contig] = []
    var name = ""
    var bases: [UInt8] = []
    for line in lines {
        if line.hasPrefix(">") {
            if !name.isEmpty { contigs.append(.init(name: name, bases: bases)) }
            name = String(line.dropFirst().prefix { $0 != " " })
            bases = []
        } else {
            bases += line.utf8.map { BaseCode.ofASCII[Int($0)] }
        }
    }
    contigs.append(.init(name: name, bases: bases))
    return ReferenceGenome(contigs: contigs)
}
