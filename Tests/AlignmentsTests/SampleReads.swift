import Alignments
import Compression
import Foundation
import GenomicFormats
import Mapping
import Simulation
import TestSupport

/// A small simulated sample with everything that alignments may be: reads without mapped mates, reads that map nowhere,
/// mates on one strand and on two contigs, and duplicates of all kinds. Names count up.
struct SampleReads {
    let genome: ReferenceGenome
    let index: ReferenceIndex
    let header: AlignmentHeader
    private let mates: [[UInt8]]

    struct Read {
        var bases: [UInt8]
        var qualities: [UInt8]
    }

    static let shared = Result { try SampleReads() }

    private init() throws {
        let directory = try TemporaryDirectory()
        var options = SimulationOptions()
        options.genomeLength = 160_000
        options.coverage = 8
        options.errorRate = 0.01
        options.indelRate = 1e-3
        _ = try SimulatedDataSet(options).run(into: directory.path)
        genome = try FASTAReader.read(directory.file("reference.fa.gz"))
        index = try ReferenceIndex(genome: genome, threads: 2)
        header = AlignmentHeader(
            genome: genome, readGroups: [ReadGroup(id: "1", sample: "S", library: "L", platformUnit: "U")],
            program: .init(version: "1", commandLine: "dsgd\tmap -o x"))
        var pairs = try zip(Self.reads(directory.file("reads_R1.fastq.gz")), Self.reads(directory.file("reads_R2.fastq.gz")))
            .map { [$0, $1] }
        Self.addOddPairs(&pairs)
        mates = [0, 1].map { mate in
            var text: [UInt8] = []
            for (number, pair) in pairs.enumerated() {
                let digits = String(number)
                text += "@r\(String(repeating: "0", count: 7 - digits.count))\(digits)/\(mate + 1)\n".utf8
                text += pair[mate].bases + Array("\n+\n".utf8) + pair[mate].qualities + [10]
            }
            return text
        }
    }

    private static func addOddPairs(_ pairs: inout [[Read]]) {
        var random = SplitMix64(seed: 5)
        func junk() -> Read {
            let bases = random.bytes(150).map { BaseCode.ascii[Int($0 & 3)] }
            return Read(bases: bases, qualities: random.bytes(150).map { 35 + $0 % 38 })
        }
        let count = pairs.count
        for number in 0..<count {
            var pair = pairs[number]
            let other = pairs[(number * 7919) % count]
            switch number % 40 {
            case 0: pairs.append([pair[0], junk()])
            case 1: pairs.append([junk(), pair[1]])
            case 2: pairs.append([junk(), junk()])
            case 3: pairs.append([pair[0], turned(pair[1])])
            case 4: pairs.append([turned(pair[0]), pair[1]])
            case 5: pairs.append([pair[0], other[1]])
            case 6: pairs.append([pair[1], pair[0]])
            case 7...12:
                // Another template from the same place: other qualities, an end that will be clipped, a tie.
                if number % 3 == 0 { pair[0].qualities = random.bytes(150).map { 35 + $0 % 38 } }
                if number % 3 == 1 { for i in 0..<7 { pair[0].bases[i] = junk().bases[i] } }
                pairs.append(pair)
                if number % 2 == 0 { pairs.append([turned(pair[1]), pair[0]]) }
                if number % 5 == 0 { pairs.append([pair[0], junk()]) }
            // Reads in two or three parts, first and second mates, beside a mate that maps nowhere too.
            case 13: pairs.append([joined([pair[0], other[1]]), pair[1]])
            case 14: pairs.append([pair[0], joined([turned(other[0]), pair[1]])])
            case 15: pairs.append([joined([pair[1], turned(pair[0]), other[0]]), junk()])
            case 16: pairs.append([joined([other[1], pair[0]]), joined([pair[1], other[0]])])
            default: break
            }
        }
        // Odd pairs are as likely to have duplicates as others.
        for number in stride(from: count, to: pairs.count, by: 3) { pairs.append(pairs[number]) }
        for number in stride(from: count + 1, to: pairs.count, by: 7) { pairs.append(pairs[number].reversed()) }
    }

    /// A read whose parts are those of several.
    private static func joined(_ reads: [Read]) -> Read {
        var read = reads[0]
        for (part, other) in reads.enumerated() {
            let range = part * 150 / reads.count..<(part + 1) * 150 / reads.count
            read.bases.replaceSubrange(range, with: other.bases[range])
            read.qualities.replaceSubrange(range, with: other.qualities[range])
        }
        return read
    }

    private static func turned(_ read: Read) -> Read {
        let partner: [UInt8: UInt8] = [65: 84, 67: 71, 71: 67, 84: 65]
        return Read(bases: read.bases.reversed().map { partner[$0] ?? $0 }, qualities: read.qualities.reversed())
    }

    private static func reads(_ path: String) throws -> [Read] {
        let packed = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
        let text = try packed.withUnsafeBytes { try GzipInflater.inflate($0, label: path) }
        let lines = text.split(separator: 10, omittingEmptySubsequences: false)
        return stride(from: 0, to: lines.count - 1, by: 4).map {
            Read(bases: Array(lines[$0 + 1]), qualities: Array(lines[$0 + 3]))
        }
    }

    /// Calls `body` with every batch.
    func forEachBatch(_ body: (ReadBatch) throws -> Void) throws {
        let streams = mates.enumerated().map { (label: "\($0 + 1)", source: Self.blocks($1)) }
        _ = try ReadBatcher(layout: .paired, streams: streams, keepsNames: true).run(body)
    }

    /// The parsed blocks of a text.
    static func blocks(_ text: [UInt8]) -> ReadBatcher.Source {
        var waiting: [FASTQBlock] = []
        var isParsed = false
        return {
            if !isParsed {
                isParsed = true
                let parser = FASTQParser(label: "text")
                try text.withUnsafeBytes { try parser.feed($0) { waiting.append($0) } }
                try parser.finish { waiting.append($0) }
            }
            return waiting.isEmpty ? nil : waiting.removeFirst()
        }
    }

    func map(threads: Int, _ change: (inout MappingRun.Options) -> Void = { _ in }) throws -> MappingRun.Result {
        var options = MappingRun.Options(threads: threads)
        options.keeps = .alignments
        change(&options)
        let run = MappingRun(index: index, options: options)
        try forEachBatch { try run.submit($0) }
        return try run.finish()
    }

    func bam(threads: Int) throws -> (bytes: [UInt8], index: AlignmentIndex) {
        var bytes: [UInt8] = []
        let index = try BAMWriter(header: header, genome: genome, threads: threads)
            .write(try map(threads: threads)) { bytes += $0 }
        return (bytes, index)
    }
}
