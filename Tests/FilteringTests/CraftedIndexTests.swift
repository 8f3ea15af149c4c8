import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import Storage
import Synchronization
import TestSupport
import Testing

/// Indexes that were made to hide records: what is read proves each gap, or the whole file is read.
@Suite(.serialized) struct CraftedIndexTests {
    /// A file of three contigs with its index, and what the index was before it is changed.
    private final class Sample {
        let folder = temporaryFolder()
        let path: String
        let index: [UInt8]
        let size: UInt64

        /// - Parameter contigs: further contig lines, which make the header longer than a block.
        init(records: Int = 12_000, contigs: Int = 0) throws {
            path = folder + "/c"
            try SkippingTests.make(path, records: records, spacing: 300, seed: 11, contigs: contigs) { _, random in
                "X=\(random.next())"
            }
            index = try readWhole(path + ".vcf.gz.tbi").withUnsafeBytes { try GzipInflater.inflate($0, label: "i") }
            size = UInt64(try readWhole(path + ".vcf.gz").count)
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        /// Writes the index with other windows of each contig, by its number.
        func change(_ change: (Int, [UInt64]) -> [UInt64]) {
            var contig = -1
            let bytes = SkippingTests.withWindows(of: index) {
                contig += 1
                return change(contig, $0)
            }
            save(bytes.withUnsafeBytes { BGZF.compress($0, level: .fast).bytes }, path + ".vcf.gz.tbi")
        }
    }

    private static let regions: [[String: [Range<Int>]]] = [
        ["1": [50_000..<51_000]], ["1": [0..<400]], ["2": [900_000..<901_000]], ["3": [1_700_000..<9_000_000]],
        ["1": [1_200_000..<1_201_000], "3": [20_000..<20_400]],
    ]

    /// What goes into a pipe, which is not taken back when an index does not fit.
    private static func throughPipe(
        _ path: String, _ regions: [String: [Range<Int>]], _ rule: OverlapRule = .position
    ) throws -> (bytes: [UInt8], failure: Failure?) {
        let pipe = Pipe()
        let bytes = Mutex<[UInt8]>([])
        let isRead = DispatchSemaphore(value: 0)
        DispatchQueue.global().async {
            let data = pipe.fileHandleForReading.readDataToEndOfFile()
            bytes.withLock { $0 = [UInt8](data) }
            isRead.signal()
        }
        let filter = VCFFilter(selection: .regions(RegionSet(regions)), overlap: rule)
        let failure = failure {
            try filter.filterFile(
                path + ".vcf.gz", to: "/proc/self/fd/\(pipe.fileHandleForWriting.fileDescriptor)",
                output: FilterOutput(format: .vcf))
        }
        try pipe.fileHandleForWriting.close()
        isRead.wait()
        return (bytes.withLock { $0 }, failure)
    }

    private func expectSame(_ sample: Sample, _ comment: Comment, count: Int = 5) throws {
        for regions in Self.regions.prefix(count) {
            let found = try SkippingTests.answers(sample.path, regions)
            #expect(found.byIndex == found.whole, "\(comment) \(regions)")
            let lines = found.whole.split(separator: 10)
            #expect(lines.last?.first.map { $0 != UInt8(ascii: "#") } == true, "\(comment) \(regions)")
        }
    }

    /// The first place decides where the stretch of the header ends.
    @Test(arguments: [0, 6_000]) func gapsBehindTheHeader(contigs: Int) throws {
        let sample = try Sample(contigs: contigs)
        let honest = try SkippingTests.answers(sample.path, Self.regions[0])
        #expect(honest.skipped && honest.byIndex == honest.whole)
        // In the first block, which may not hold all of the header; other records are said to come later than they do.
        for shift in [0, 1, 60] {
            sample.change { contig, places in
                var changed = places.indices.map { places[min(places.count - 1, $0 + shift)] }
                if contig == 0 { changed[0] = 5 }
                return changed
            }
            try expectSame(sample, "shift \(shift)", count: contigs == 0 ? 5 : 2)
        }
        // All in one place of the header.
        sample.change { _, places in places.map { _ in 5 } }
        try expectSame(sample, "one place", count: 2)
    }

    @Test func placesBehindTheEndOfTheFile() throws {
        let sample = try Sample()
        let beyond = (sample.size + 1_000) << 16
        for from in [0, 1, 2, 30, 80] {
            sample.change { contig, places in
                places.indices.map { contig == 2 && $0 >= from ? beyond | UInt64($0) : places[$0] }
            }
            try expectSame(sample, "contig 3 from window \(from)")
        }
        // Right behind the last block with records, and at the end marker.
        for place in [sample.size - 28, sample.size] {
            sample.change { contig, places in places.map { contig == 2 ? place << 16 : $0 } }
            try expectSame(sample, "place \(place)")
        }
    }

    /// The last line has no line end, and the index says that the file goes on behind it.
    @Test func aLastLineWithoutLineEnd() throws {
        let sample = try Sample()
        let text = try readWhole(sample.path + ".vcf.gz").withUnsafeBytes { try GzipInflater.inflate($0, label: "c") }
        let headerBytes = text.withUnsafeBytes { VCFHeader.byteCount(in: $0) } ?? 0
        var file: [UInt8] = []
        let writer = BGZFWriter { file.append(contentsOf: $0) }
        try writer.write(Array(text[..<headerBytes]))
        try writer.flushBlock()
        try writer.write(Array(text[headerBytes...].dropLast()))
        try writer.finish()
        save(file, sample.path + ".vcf.gz")
        try expectSame(sample, "honest")
        for regions in Self.regions {
            let piped = try Self.throughPipe(sample.path, regions)
            let whole = try SkippingTests.answers(sample.path, regions).whole
            #expect(piped.failure == nil && piped.bytes == whole)
        }
        let beyond = (sample.size + 1_000) << 16
        sample.change { contig, places in
            contig == 2 ? places.dropLast(2) + [beyond, beyond + 1] : places
        }
        try expectSame(sample, "beyond")
    }

    /// A stretch behind the end of the file, where the last block read is empty and ends in the middle of a line.
    @Test func placesBehindTheEndAndAnEmptyBlock() throws {
        let sample = try Sample()
        let file = try readWhole(sample.path + ".vcf.gz")
        let text = try file.withUnsafeBytes { try GzipInflater.inflate($0, label: "c") }
        let first = (text.count / 4).advanced(by: 17)
        var changed: [UInt8] = []
        let writer = BGZFWriter { changed.append(contentsOf: $0) }
        try writer.write(Array(text[..<first]))
        try writer.flushBlock()
        let empty = UInt64(changed.count)
        changed += BGZF.endMarker
        // A writer of its own: the offsets of the first are those before the empty block.
        let rest = BGZFWriter { changed.append(contentsOf: $0) }
        try rest.write(Array(text[first...]))
        try rest.finish()
        save(changed, sample.path + ".vcf.gz")
        let beyond = (UInt64(changed.count) + 100_000) << 16 | 1_000
        for known in [2, 20, 40] {
            sample.change { contig, places in
                places.indices.map { contig == 0 && $0 < known ? empty << 16 | UInt64(min(2, $0 + 1)) : beyond }
            }
            try expectSame(sample, "\(known) windows")
            for regions in Self.regions {
                let whole = try SkippingTests.answers(sample.path, regions).whole
                let piped = try Self.throughPipe(sample.path, regions)
                #expect(piped.failure?.kind == .data || piped.bytes == whole, "\(known) windows \(regions)")
            }
        }
    }

    /// Long records over others, of which many windows have one place: an honest index is enough for every rule.
    @Test(arguments: [OverlapRule.position, .record, .variant]) func longRecordsOverOthers(rule: OverlapRule) throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var random = SplitMix64(seed: 23)
        for round in 0..<12 {
            let path = folder + "/l\(round)"
            try SkippingTests.make(path, records: 2_500, spacing: 2_000, seed: UInt64(round)) { position, random in
                switch random.next() % 40 {
                case 0: "END=\(position + Int(random.next() % (random.next() % 4 == 0 ? 900_000 : 60_000)))"
                default: "X=\(random.next())\(random.next())"
                }
            }
            for _ in 0..<12 {
                let contig = "\(1 + random.next() % 3)"
                let starts = (0...random.next() % 4).map { _ in Int(random.next() % 2_300_000) }
                let regions = [contig: starts.map { $0..<$0 + 1 + Int(random.next() % 20_000) }]
                let whole = try SkippingTests.answers(path, regions, rule).whole
                let piped = try Self.throughPipe(path, regions, rule)
                #expect(piped.failure == nil && piped.bytes == whole, "\(round) \(regions) \(String(describing: piped.failure))")
            }
        }
    }

    /// What went into a pipe is not taken back: the answer, or a beginning of it and a failure that says what does not fit.
    @Test func pipesGetNothingTwice() throws {
        let sample = try Sample()
        let regions: [String: [Range<Int>]] = ["1": [300_000..<302_000], "2": [900_000..<901_000]]
        let whole = try SkippingTests.answers(sample.path, regions).whole
        #expect(whole.count > 1_000)
        func throughPipe() throws -> (bytes: [UInt8], failure: Failure?) { try Self.throughPipe(sample.path, regions) }
        let honest = try throughPipe()
        #expect(honest.failure == nil && honest.bytes == whole)
        sample.change { contig, places in
            contig == 1 ? places.indices.map { places[min(places.count - 1, $0 + 40)] } : places
        }
        // The gap is read that the index hides records in.
        let crafted = try throughPipe()
        #expect(crafted.failure == nil && crafted.bytes == whole)
        for place: UInt64 in [0, 5, 1 << 16 | 5] {
            sample.change { _, places in places.map { _ in place } }
            let result = try throughPipe()
            if let failure = result.failure {
                #expect(failure.kind == .data && failure.place.hasSuffix(".tbi") && whole.starts(with: result.bytes))
            } else {
                #expect(result.bytes == whole)
            }
        }
        // A file gets the answer all the same.
        #expect(try SkippingTests.answers(sample.path, regions).byIndex == whole)
    }

    /// Of a file in order hardly more is read than the blocks that hold the records.
    @Test func fewBlocksAreRead() throws {
        let sample = try Sample(records: 40_000)
        let regions = (0..<20).map { 100_000 + 280_000 * $0 }.map { $0..<$0 + 3_000 }
        let filter = VCFFilter(selection: .regions(RegionSet(["2": regions])), overlap: .position)
        let read = try filter.filterFile(
            sample.path + ".vcf.gz", to: sample.folder + "/o", output: FilterOutput(format: .vcf)
        ).counts.recordsIn
        let file = try readWhole(sample.path + ".vcf.gz")
        let plain = try file.withUnsafeBytes { try GzipInflater.inflate($0, label: "c") }.count
        let recordsInBlock = 120_000 * 0xff00 / plain
        #expect(read > 20 * recordsInBlock / 2 && read < 30 * recordsInBlock, "\(read) of \(recordsInBlock) a block")
    }
}
