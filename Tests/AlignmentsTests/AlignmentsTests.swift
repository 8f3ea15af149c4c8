import Alignments
import Diagnostics
import Foundation
import GenomicFormats
import Kernels
import Mapping
import Synchronization
import TestSupport
import Testing

@Suite struct AlignmentsTests {
    private let reads = try! SampleReads.shared.get()

    @Test func everyRecordIsAsTheSpecificationSays() throws {
        let bam = try BAMFile(reads.bam(threads: 2).bytes)
        let faults = bam.faults(reads.genome)
        #expect(faults.isEmpty, "\(faults.count) faults: \(faults.prefix(10))")
        #expect(bam.text.hasPrefix("@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:"))
        #expect(bam.text.contains("\n@RG\tID:1\tSM:S\tLB:L\tPL:ILLUMINA\tPU:U\n@PG\tID:dsgd\tPN:dsgd\tVN:1\tCL:dsgd map -o x\n"))
        #expect(bam.contigs.map(\.name) == reads.genome.contigs.map(\.name))
        var counts: [Int: Int] = [:]
        for record in bam.records {
            for bit in [0x2, 0x4, 0x8, 0x10, 0x400, 0x800] where record.flags & bit != 0 { counts[bit, default: 0] += 1 }
        }
        // Every kind is there, or the checks above had nothing to look at.
        for bit in [0x2, 0x4, 0x8, 0x10, 0x400, 0x800] { #expect(counts[bit] ?? 0 > 50, "flag \(bit)") }
        #expect(bam.records.contains { bam.otherParts($0).count == 2 })
        #expect(bam.records.contains { $0.flags & 0xc00 == 0xc00 })
        #expect(bam.records.contains { $0.contig >= 0 && $0.isUnmapped })
        #expect(bam.records.contains { $0.contig < 0 })
        #expect(bam.records.contains { $0.cigarText.contains("S") } && bam.records.contains { $0.cigarText.contains("D") })
        #expect(bam.records.contains { $0.contig >= 0 && $0.mateContig >= 0 && $0.contig != $0.mateContig })
        #expect(bam.records.contains { !$0.isUnmapped && $0.flags & 0x8 == 0 && $0.isReverse == ($0.flags & 0x20 != 0) })
        var input = 0
        try reads.forEachBatch { input += $0.readCount }
        #expect(bam.records.count { !$0.isSupplementary } == input)
    }

    @Test func bytesDependOnReadsAlone() throws {
        let before = CPU.cap
        defer { CPU.cap = before }
        let expected = try reads.bam(threads: 1)
        for threads in [2, 7] {
            let other = try reads.bam(threads: threads)
            #expect(other.bytes == expected.bytes && other.index.bytes == expected.index.bytes, "\(threads) threads")
        }
        for cap in CPU.Cap.allCases {
            CPU.cap = cap
            #expect(try reads.bam(threads: 2).bytes == expected.bytes, "\(cap)")
        }
    }

    @Test func bytesDoNotDependOnMemory() throws {
        let expected = try reads.bam(threads: 1)
        for threads in [1, 3] {
            let run = try reads.map(threads: threads) { $0.limits.memory = 1 }
            #expect(run.metrics.spilledBytes > 1_000_000)
            var bytes: [UInt8] = []
            let index = try BAMWriter(header: reads.header, genome: reads.genome, threads: threads).write(run) { bytes += $0 }
            #expect(bytes == expected.bytes && index.bytes == expected.index.bytes, "\(threads) threads")
        }
        let run = try reads.map(threads: 1) { $0.limits.memory = 1 }
        _ = run.store.withSpillFile { ftruncate($0, off_t(run.store.spilledBytes / 3)) }
        let failure = #expect(throws: Failure.self) {
            try BAMWriter(header: reads.header, genome: reads.genome, threads: 2).write(run) { _ in }
        }
        #expect(failure?.kind == .inputOutput)
    }

    @Test func textSaysTheSameInInputOrder() throws {
        let bam = try BAMFile(reads.bam(threads: 1).bytes)
        let records = bam.records
        let byRead = Dictionary(grouping: records) { "\($0.name) \($0.flags & 0xc0)" }
        // Names count up; a read's other parts follow its primary alignment as that names them.
        let expected = byRead.keys.sorted { ($0.prefix(8), $0.dropFirst(8).count, $0) < ($1.prefix(8), $1.dropFirst(8).count, $1) }
            .flatMap { key in
                let primary = byRead[key]!.first { !$0.isSupplementary }!
                return [primary] + bam.otherParts(primary).map { named in byRead[key]!.first { $0.asPart == named }! }
            }
        for threads in [1, 3] {
            let collected = Collected()
            let stream = try SAMStream(header: reads.header, genome: reads.genome) { collected.bytes += $0 }
            let run = try reads.map(threads: threads) {
                $0.keeps = .nothing
                $0.observer = { try stream.write($0, $1) }
            }
            #expect(run.store.count == 0 && run.metrics.reads == records.count { !$0.isSupplementary })
            #expect(run.metrics.supplementary == records.count { $0.isSupplementary })
            let lines = String(decoding: collected.bytes, as: UTF8.self).split(separator: "\n")
            let body = lines.filter { !$0.hasPrefix("@") }
            #expect(lines[0] == "@HD\tVN:1.6\tSO:unsorted\tGO:query" && body.count == records.count)
            var wrong = 0
            for (line, record) in zip(body, expected) {
                let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
                if fields != text(record) { wrong += 1 }
            }
            #expect(wrong == 0)
        }
    }

    /// Written under the stream's own lock.
    private final class Collected: @unchecked Sendable { var bytes: [UInt8] = [] }

    /// A record's fields as SAM has them, without the mark of a duplicate.
    private func text(_ record: BAMRecord) -> [String] {
        func name(_ contig: Int) -> String { contig < 0 ? "*" : reads.genome.contigs[contig].name }
        var fields = [
            record.name, "\(record.flags & ~0x400)", name(record.contig), "\(record.position + 1)",
            "\(record.mappingQuality)", record.cigar.isEmpty ? "*" : record.cigarText,
            record.mateContig >= 0 && record.mateContig == record.contig ? "=" : name(record.mateContig),
            "\(record.matePosition + 1)", "\(record.templateLength)", record.bases,
            String(decoding: record.qualities.map { $0 + 33 }, as: UTF8.self),
        ]
        for (tag, type) in [("NM", "i"), ("MD", "Z"), ("MC", "Z"), ("MQ", "i"), ("AS", "i"), ("XS", "i"), ("SA", "Z"), ("RG", "Z")] {
            if let value = record.tags[tag] { fields.append("\(tag):\(type):\(value)") }
        }
        return fields
    }

    @Test func sinksThatFailEndTheRun() throws {
        struct Full: Error {}
        let written = Atomic<Int>(0)
        let stream = try SAMStream(header: reads.header, genome: reads.genome) {
            if written.add($0.count, ordering: .relaxed).newValue > 100_000 { throw Full() }
        }
        #expect(throws: Full.self) {
            try reads.map(threads: 2) {
                $0.keeps = .nothing
                $0.observer = { try stream.write($0, $1) }
            }
        }
        let run = try reads.map(threads: 1)
        #expect(throws: Full.self) {
            try BAMWriter(header: reads.header, genome: reads.genome).write(run) { _ in throw Full() }
        }
    }

    @Test func readsWithoutMates() throws {
        var text: [UInt8] = []
        for (number, start) in [40_500, 40_500, 40_900, 0].enumerated() {
            let bases = reads.genome.contigs[0].bases[start..<start + 100].map { BaseCode.ascii[Int($0)] }
            let shown = number == 3 ? [UInt8](repeating: UInt8(ascii: "N"), count: 100) : bases
            text += Array("@q\(number)\n".utf8) + shown + Array("\n+\n".utf8) + [UInt8](repeating: 70, count: 100) + [10]
        }
        var options = MappingRun.Options()
        options.keeps = .alignments
        let run = MappingRun(index: reads.index, options: options)
        let streams = [(label: "q", source: SampleReads.blocks(text))]
        _ = try ReadBatcher(layout: .unpaired, streams: streams, keepsNames: true).run { try run.submit($0) }
        var bytes: [UInt8] = []
        let result = try run.finish()
        _ = try BAMWriter(header: reads.header, genome: reads.genome).write(result) { bytes += $0 }
        let bam = try BAMFile(bytes)
        #expect(bam.faults(reads.genome).isEmpty)
        #expect(bam.records.map(\.name) == ["q0", "q1", "q2", "q3"])
        #expect(bam.records.map(\.flags) == [0, 0x400, 0, 0x4])
        #expect(bam.records.allSatisfy { $0.mateContig == -1 && $0.matePosition == -1 && $0.tags["MC"] == nil })
    }

    /// The same read of two lanes: of one library it is a duplicate, of two it is none; each lane has its read group.
    @Test(arguments: [[0, 0], [0, 1]]) func lanesAndLibraries(libraries: [Int]) throws {
        let bases = reads.genome.contigs[0].bases[40_500..<40_600].map { BaseCode.ascii[Int($0)] }
        let text = Array("@q\n".utf8) + bases + Array("\n+\n".utf8) + [UInt8](repeating: 70, count: 100) + [10]
        var options = MappingRun.Options()
        options.keeps = .alignments
        options.libraries = libraries
        let run = MappingRun(index: reads.index, options: options)
        for lane in 0...1 {
            let streams = [(label: "q", source: SampleReads.blocks(text))]
            let batcher = ReadBatcher(
                layout: .unpaired, streams: streams, readGroup: lane, firstOrdinal: UInt64(lane), keepsNames: true)
            _ = try batcher.run { try run.submit($0) }
        }
        let groups = (0...1).map {
            ReadGroup(id: "lane\($0)", sample: "S", library: "L\(libraries[$0])", platformUnit: "\($0)")
        }
        #expect(ReadGroup.libraries(of: groups) == libraries)
        let header = AlignmentHeader(genome: reads.genome, readGroups: groups, program: reads.header.program)
        var bytes: [UInt8] = []
        let result = try run.finish()
        _ = try BAMWriter(header: header, genome: reads.genome).write(result) { bytes += $0 }
        let bam = try BAMFile(bytes)
        #expect(bam.records.map(\.flags) == [0, libraries[0] == libraries[1] ? 0x400 : 0])
        #expect(bam.records.map { $0.tags["RG"] } == ["lane0", "lane1"])
    }

    @Test func realReads() throws {
        let files = ["hg19.chr20.unittest.fa.gz", "HG001.R1.fastq.gz", "HG001.R2.fastq.gz"]
        let paths = files.compactMap { TestData.path("hg001_b37_chr20/" + $0) }
        guard paths.count == files.count else { return }
        let genome = try FASTAReader.read(paths[0])
        var options = MappingRun.Options(threads: 2)
        options.keeps = .alignments
        let run = MappingRun(index: try ReferenceIndex(genome: genome, threads: 2), options: options)
        _ = try ReadFiles(paths: Array(paths[1...]), layout: .paired, keepsNames: true).forEachBatch { try run.submit($0) }
        let header = AlignmentHeader(
            genome: genome, readGroups: reads.header.readGroups, program: reads.header.program)
        var bytes: [UInt8] = []
        let result = try run.finish()
        _ = try BAMWriter(header: header, genome: genome, threads: 2).write(result) { bytes += $0 }
        let bam = try BAMFile(bytes)
        let faults = bam.faults(genome)
        #expect(faults.isEmpty, "\(faults.count) faults: \(faults.prefix(10))")
        let primary = bam.records.filter { !$0.isSupplementary }
        #expect(primary.count == 51_678 && primary.count { $0.flags & 0x400 != 0 } == result.metrics.duplicates)
    }
}
