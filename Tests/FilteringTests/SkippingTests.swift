import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import Storage
import TestSupport
import Testing

/// Skipping by an index, right, wrong and damaged, gives what reading everything gives.
@Suite(.serialized) struct SkippingTests {
    private static let head = """
        ##fileformat=VCFv4.2
        ##INFO=<ID=END,Number=1,Type=Integer,Description="End">
        ##INFO=<ID=X,Number=1,Type=String,Description="X">
        ##contig=<ID=1>
        ##contig=<ID=2>
        ##contig=<ID=3>
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann

        """

    /// Writes a file and its index; `info` makes a record's INFO from its position. The header names further contigs.
    static func make(
        _ path: String, records: Int, spacing: UInt64, seed: UInt64, contigs: Int = 0,
        info: (Int, inout SplitMix64) -> String
    ) throws {
        var random = SplitMix64(seed: seed)
        let more = (0..<contigs).map { "##contig=<ID=more\($0)>\n" }.joined()
        var text = head.replacing("#CHROM", with: more + "#CHROM")
        for contig in ["1", "2", "3"] {
            var position = 1
            for _ in 0..<records {
                position += 1 + Int(random.next() % spacing)
                let own = info(position, &random)
                let alternative = own.hasPrefix("END=") ? "<NON_REF>" : "C"
                text += "\(contig)\t\(position)\t.\tA\t\(alternative)\t\(random.next() % 900)\tPASS\t\(own)\tGT\t0/\(own.hasPrefix("END=") ? 0 : 1)\n"
            }
        }
        save(Array(text.utf8), path + ".vcf")
        try VCFFilter(selection: .everything).filterFile(path + ".vcf", to: path + ".vcf.gz")
        try FileManager.default.removeItem(atPath: path + ".vcf")
    }

    /// The answer with and without the index; both as text.
    static func answers(
        _ path: String, _ regions: [String: [Range<Int>]], _ rule: OverlapRule = .position
    ) throws -> (byIndex: [UInt8], whole: [UInt8], skipped: Bool) {
        let filter = VCFFilter(selection: .regions(RegionSet(regions)), overlap: rule)
        let settings = FilterOutput(format: .vcf)
        let one = try filter.filterFile(path + ".vcf.gz", to: path + ".1", output: settings)
        try filter.filterFile(path + ".vcf.gz", to: path + ".2", output: settings, usesIndex: false)
        return (try readWhole(path + ".1"), try readWhole(path + ".2"), one.skipped)
    }

    private static func randomRegions(_ random: inout SplitMix64, limit: UInt64) -> [String: [Range<Int>]] {
        var regions: [String: [Range<Int>]] = [:]
        for _ in 0...random.next() % 4 {
            let start = Int(random.next() % limit)
            regions["\(1 + random.next() % 3)", default: []].append(start..<start + 1 + Int(random.next() % 9_000))
        }
        return regions
    }

    /// Blocks of a gVCF that begin long before a region, and reach into it or over it.
    @Test func longBlocksReachIntoRegions() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/g"
        try Self.make(path, records: 20_000, spacing: 300, seed: 1) { position, random in
            switch random.next() % 400 {
            case 0: "END=\(position + Int(random.next() % 60_000))"
            case 1..<200: "END=\(position + Int(random.next() % 200))"
            default: "X=\(random.next())\(random.next())"
            }
        }
        var random = SplitMix64(seed: 2)
        var skipped = 0
        for round in 0..<16 {
            let regions = Self.randomRegions(&random, limit: 3_000_000)
            let rule = OverlapRule.allCases[round % OverlapRule.allCases.count]
            let found = try Self.answers(path, regions, rule)
            #expect(found.byIndex == found.whole, "\(rule) \(regions)")
            if found.skipped { skipped += 1 }
        }
        #expect(skipped > 8)
    }

    /// Lines as long as blocks and longer, of which the index says where they begin but not where they end.
    @Test func longLines() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/l"
        try Self.make(path, records: 60, spacing: 60_000, seed: 3) { _, random in
            var value = ""
            for _ in 0..<random.next() % 9_000 { value += "\(random.next() % 100_000_000)" }
            return "X=\(value)."
        }
        var random = SplitMix64(seed: 4)
        var skipped = 0
        for _ in 0..<10 {
            let regions = Self.randomRegions(&random, limit: 1_800_000)
            let found = try Self.answers(path, regions)
            #expect(found.byIndex == found.whole, "\(regions)")
            if found.skipped { skipped += 1 }
        }
        #expect(skipped > 3)
    }

    /// Indexes whose places are in order and wrong: what is read cannot prove the gaps, or proves them rightly.
    @Test func wrongIndexes() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/w"
        try Self.make(path, records: 20_000, spacing: 200, seed: 5) { _, random in "X=\(random.next())" }
        let index = try readWhole(path + ".vcf.gz.tbi").withUnsafeBytes { try GzipInflater.inflate($0, label: "i") }
        var random = SplitMix64(seed: 6)
        let ranges = (0..<3).map { _ in Self.randomRegions(&random, limit: 1_800_000) }
        let expected = try ranges.map { try Self.answers(path, $0).whole }
        func shifted(_ places: [UInt64], _ by: Int) -> [UInt64] {
            places.indices.map { places[min(max(0, $0 + by), places.count - 1)] }
        }
        let changes: [([UInt64]) -> [UInt64]] = [
            { $0 }, { shifted($0, 1) }, { shifted($0, -1) }, { shifted($0, 7) }, { shifted($0, -7) },
            { shifted($0, 40) }, { shifted($0, -40) },
            { $0.map { $0 & ~0xffff } }, { $0.map { $0 | 0xffff } }, { places in places.map { _ in places[0] } },
            { places in places.map { _ in places[places.count - 1] } }, { $0.map { _ in 0 } }, { $0.map { ($0 >> 16) / 2 << 16 } },
            { $0.map { $0 + (3 << 16) } }, { Array($0.reversed()) }, { $0.map { $0 << 20 } },
            { $0.map { _ in UInt64.max } },
        ]
        for (number, change) in changes.enumerated() {
            let bytes = Self.withWindows(of: index, changed: change)
            save(bytes.withUnsafeBytes { BGZF.compress($0, level: .fast).bytes }, path + ".vcf.gz.tbi")
            for (regions, expected) in zip(ranges, expected) {
                let filter = VCFFilter(selection: .regions(RegionSet(regions)), overlap: .position)
                let report = try filter.filterFile(
                    path + ".vcf.gz", to: path + ".1", output: FilterOutput(format: .vcf))
                #expect(try readWhole(path + ".1") == expected, "change \(number) \(regions)")
                if number == 0 { #expect(report.skipped) }
            }
        }
    }

    /// The index with other places in each contig's windows.
    static func withWindows(of index: [UInt8], changed: ([UInt64]) -> [UInt64]) -> [UInt8] {
        var bytes = index
        func number(_ at: Int) -> Int {
            index.withUnsafeBytes { Int(Int32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: Int32.self))) }
        }
        var at = 36 + number(32)
        for _ in 0..<number(4) {
            let bins = number(at)
            at += 4
            for _ in 0..<bins { at += 8 + 16 * number(at + 4) }
            let count = number(at)
            at += 4
            let places = (0..<count).map { window in
                index.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at + 8 * window, as: UInt64.self) }
            }
            for (window, place) in changed(places).enumerated() {
                bytes.withUnsafeMutableBytes {
                    $0.storeBytes(of: place, toByteOffset: at + 8 * window, as: UInt64.self)
                }
            }
            at += 8 * count
        }
        return bytes
    }

    /// htslib believes an index of either kind, a .csi first.
    @Test func indexesOfWhatTheNameHeldBeforeGo() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Self.make(folder + "/s", records: 50, spacing: 90, seed: 9) { _, _ in "X=1" }
        for (format, left) in [(FilterOutput.Format.vcfGz, [".tbi"]), (.vcf, [])] {
            for suffix in [".tbi", ".csi"] { save([1], folder + "/o" + suffix) }
            try VCFFilter(selection: .everything).filterFile(
                folder + "/s.vcf.gz", to: folder + "/o", output: FilterOutput(format: format))
            #expect(
                [".tbi", ".csi"].filter { FileManager.default.fileExists(atPath: folder + "/o" + $0) } == left)
        }
    }

    /// Single records between ones that stay, beside blocks that go out whole.
    @Test func scatteredRecordsAndWholeBlocks() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/s"
        try Self.make(path, records: 12_000, spacing: 90, seed: 7) { _, random in "X=\(random.next())" }
        let lines = try readWhole(path + ".vcf.gz").withUnsafeBytes { try GzipInflater.inflate($0, label: "s") }
            .split(separator: 10).filter { $0.first != UInt8(ascii: "#") }
        var random = SplitMix64(seed: 8)
        var regions: [String: [Range<Int>]] = [:]
        var expected: [UInt8] = []
        var left = 0
        var isIn = false
        for line in lines {
            if left == 0 {
                isIn.toggle()
                left = random.next() % 60 == 0 ? 2_000 : 1 + Int(random.next() % 2)
            }
            left -= 1
            guard isIn else { continue }
            let columns = line.split(separator: 9, maxSplits: 2).map { String(decoding: $0, as: UTF8.self) }
            let start = Int(columns[1])! - 1
            regions[columns[0], default: []].append(start..<start + 1)
            expected += line + [10]
        }
        let filter = VCFFilter(selection: .regions(RegionSet(regions)), overlap: .position)
        var first: [UInt8]?
        for threads in [1, 3] {
            for format in [FilterOutput.Format.vcf, .vcfGz] {
                let report = try filter.filterFile(
                    path + ".vcf.gz", to: folder + "/o", output: FilterOutput(format: format, threads: threads))
                let bytes = try readWhole(folder + "/o")
                let plain = try bytes.withUnsafeBytes { try GzipInflater.inflate($0, label: "o") }
                #expect(plain.count > expected.count && Array(plain.suffix(expected.count)) == expected)
                if format == .vcfGz {
                    #expect(report.passedBytes > 0)
                    if let first { #expect(first == bytes) } else { first = bytes }
                }
            }
        }
    }

    /// Lines of a BED in plain and in rare forms mean the same.
    @Test func bedLines() throws {
        func ranges(_ text: String) throws -> RegionSet {
            try Array(text.utf8).withUnsafeBytes { try BEDReader.parse($0, label: "b") }
        }
        let expected = RegionSet(["a": [1..<5, 7..<9, 100..<2_147_483_647], "ab": [3..<4]])
        #expect(try ranges("a\t1\t5\na\t7\t9\tname\t0\na\t0000000100\t2147483647\nab\t3\t4\n") == expected)
        #expect(try ranges("a 1 5\r\na\t7\t9\r\na\t7\t7\nab\t3\t4\na\t100\t2147483647") == expected)
        for bad in ["\t5", "\t5\t4", "\t5\t", "\t5\t6x", "\t-5\t6", "\t5\t2147483648", "\t5\t99999999999999999999", "\t 5\t6"] {
            #expect(failure { _ = try ranges("a\t1\t2\na\(bad)\n") }?.place == "b:line 2", "\(bad)")
        }
    }

    /// Whichever program inflates a block, damage in it is seen.
    @Test func everyDamagedBlockIsSeen() throws {
        var random = SplitMix64(seed: 9)
        let text = (0..<700_000).map { _ in Array("0123456789:/\t\n".utf8)[Int(random.next() % 14)] }
        let whole = text.withUnsafeBytes { BGZF.compress($0, level: .compact) }
        for block in whole.blockStarts.indices.dropLast() {
            var bytes = whole.bytes
            let range = whole.blockStarts[block] + 18..<whole.blockStarts[block + 1]
            bytes[range.lowerBound + Int(random.next() % UInt64(range.count))] ^= 1 << UInt8(random.next() % 8)
            #expect(failure { _ = try bytes.withUnsafeBytes { try GzipInflater.inflate($0, label: "x") } }?.kind == .data)
        }
        #expect(try whole.bytes.withUnsafeBytes { try GzipInflater.inflate($0, label: "x") } == text)
    }
}
