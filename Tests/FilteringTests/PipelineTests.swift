import CKernels
import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import Kernels
import Storage
import TestSupport
import Testing

/// A filter as slow and plain as can be: the first two overlap rules on lines split at tabs.
private func slowly(_ text: String, _ regions: [String: [Range<Int>]], byRecord: Bool) -> String {
    text.split(separator: "\n").filter { line in
        if line.hasPrefix("#") { return true }
        let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
        let start = Int(columns[1])! - 1
        var end = start + columns[3].count
        for item in columns[7].split(separator: ";") where item.hasPrefix("END=") {
            end = max(Int(item.dropFirst(4))!, start + 1)
        }
        let extent = byRecord ? start..<end : start..<start + 1
        return regions[String(columns[0]), default: []].contains { $0.overlaps(extent) }
    }.map { $0 + "\n" }.joined()
}

private let head = """
    ##fileformat=VCFv4.2
    ##INFO=<ID=END,Number=1,Type=Integer,Description="End">
    ##contig=<ID=1>
    ##contig=<ID=2>
    #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tann

    """

private func randomText(_ random: inout SplitMix64, records: Int, spacing: UInt64) -> String {
    var text = head
    for contig in ["1", "2"] {
        var position = 1
        for _ in 0..<records {
            position += Int(random.next() % spacing)
            let ref = String(repeating: "A", count: 1 + Int(random.next() % 16) / 12 * Int(random.next() % 5))
            let info = random.next() % 9 == 0 ? "DP=7;END=\(position + Int(random.next() % 30))" : "DP=\(random.next() % 90)"
            text += "\(contig)\t\(position)\t.\t\(ref)\tC\t\(random.next() % 900).5\tPASS\t\(info)\tGT:AD\t0/1:\(random.next())\n"
        }
    }
    return text
}

private func randomRegions(_ random: inout SplitMix64, limit: Int, count: Int) -> [String: [Range<Int>]] {
    var regions: [String: [Range<Int>]] = [:]
    for contig in ["1", "2"] {
        regions[contig] = (0..<count).map { _ in
            let start = Int(random.next() % UInt64(limit))
            return start..<start + 1 + Int(random.next() % UInt64(limit / 4))
        }
    }
    return regions
}

@Suite(.serialized) struct PipelineTests {
    @Test func equalsTheSlowFilterWhereverBlocksEnd() throws {
        var random = SplitMix64(seed: 5)
        for round in 0..<60 {
            let text = randomText(&random, records: 120, spacing: 12)
            let regions = randomRegions(&random, limit: 800, count: 1 + round % 4)
            var file: [UInt8] = []
            let writer = BGZFWriter { file.append(contentsOf: $0) }
            let bytes = Array(text.utf8)
            var at = 0
            while at < bytes.count {
                let end = min(bytes.count, at + 1 + Int(random.next() % [3, 40, 400, 9_000][round % 4]))
                try writer.write(Array(bytes[at..<end]))
                try writer.flushBlock()
                at = end
            }
            try writer.finish()
            for rule in [OverlapRule.position, .record] {
                let filter = VCFFilter(selection: .regions(RegionSet(regions)), overlap: rule)
                let expected = slowly(text, regions, byRecord: rule == .record)
                let one = try file.withUnsafeBytes { try filter.run($0, label: "x") }
                let three = try file.withUnsafeBytes { try filter.run($0, label: "x", threads: 3) }
                #expect(one.vcfGz == three.vcfGz && one.tbi == three.tbi && one.counts == three.counts)
                let plain = try one.vcfGz.withUnsafeBytes { try GzipInflater.inflate($0, label: "o") }
                #expect(String(decoding: plain, as: UTF8.self) == expected)
            }
        }
    }

    @Test func indexesAreHints() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var random = SplitMix64(seed: 6)
        let all = VCFFilter(selection: .everything)
        for name in ["a", "b"] {
            save(Array(randomText(&random, records: 30_000, spacing: 400).utf8), folder + "/\(name).vcf")
            try all.filterFile(folder + "/\(name).vcf", to: folder + "/\(name).vcf.gz")
        }
        func answer(_ regions: [String: [Range<Int>]], usesIndex: Bool) throws -> (bytes: [UInt8], report: FilterReport) {
            let filter = VCFFilter(selection: .regions(RegionSet(regions)), overlap: .record)
            let report = try filter.filterFile(folder + "/a.vcf.gz", to: folder + "/o.vcf.gz", usesIndex: usesIndex)
            return (try readWhole(folder + "/o.vcf.gz"), report)
        }
        let last = 30_000 * 200
        for regions in [
            ["1": [70_000..<80_000]], ["2": [0..<3], "1": [3_000_000..<3_000_500]],
            ["1": [last - 200_000..<last + 200_000]], ["2": [last..<last + 300_000]],
        ] {
            let fast = try answer(regions, usesIndex: true)
            let whole = try answer(regions, usesIndex: false)
            #expect(fast.bytes == whole.bytes && fast.report.counts.recordsOut == whole.report.counts.recordsOut)
            #expect(!whole.report.skipped && fast.report.skipped)
            #expect(fast.report.counts.recordsIn < whole.report.counts.recordsIn)
        }
        // The index of another file, and no index at all.
        try FileManager.default.removeItem(atPath: folder + "/a.vcf.gz.tbi")
        try FileManager.default.copyItem(atPath: folder + "/b.vcf.gz.tbi", toPath: folder + "/a.vcf.gz.tbi")
        let regions = ["1": [70_000..<80_000], "2": [900_000..<901_000]]
        let whole = try answer(regions, usesIndex: false)
        #expect(try answer(regions, usesIndex: true).bytes == whole.bytes)
        save([1, 2, 3], folder + "/a.vcf.gz.tbi")
        #expect(try answer(regions, usesIndex: true).bytes == whole.bytes)
    }

    @Test func paddedFilesAreRead() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var random = SplitMix64(seed: 7)
        save(Array(randomText(&random, records: 300, spacing: 9).utf8), folder + "/a.vcf")
        let plain = try readWhole(folder + "/a.vcf")
        for multiple in [1, 64, 1_000, 65_536, 1 << 18] {
            try VCFFilter(selection: .everything).filterFile(
                folder + "/a.vcf", to: folder + "/o.vcf.gz", output: FilterOutput(lengthMultiple: multiple))
            let bytes = try readWhole(folder + "/o.vcf.gz")
            #expect(bytes.count % multiple == 0)
            #expect(try bytes.withUnsafeBytes { try GzipInflater.inflate($0, label: "o") } == plain)
            // A whole pass through the reader of blocks, too.
            let again = try bytes.withUnsafeBytes { try VCFFilter(selection: .everything).filter($0, label: "o") }
            #expect(again.bytes == plain)
        }
    }

    /// Records that the kernel does not mark are those that the scanner takes, column by column, under every cap.
    @Test func kernelsAgreeWithTheScanner() throws {
        var random = SplitMix64(seed: 8)
        let text = Array(randomText(&random, records: 40, spacing: 9).utf8)
        let start = Array(head.utf8).count
        // Contigs are no matter of the kernel: without contigs in the header the scanner takes any.
        let lines = head.split(separator: "\n").filter { !$0.hasPrefix("##contig") }.joined(separator: "\n") + "\n"
        let header = try Array(lines.utf8).withUnsafeBytes { try VCFHeader(parsing: $0, label: "h") }
        let alphabet = Array("\t\n,:;/|.<>*=0123456789ACGT\r\0E-+".utf8)
        let before = CPU.cap
        defer { CPU.cap = before }
        for _ in 0..<1_500 {
            var bytes = Array(text[start...])
            for _ in 0...random.next() % 5 {
                bytes[Int(random.next() % UInt64(bytes.count))] = alphabet[Int(random.next() % UInt64(alphabet.count))]
            }
            bytes.append(10)
            let guarded = GuardedBuffer(bytes)
            var expected: [[UInt32]]?
            for cap in CPU.Cap.ofThisArchitecture {
                CPU.cap = cap
                let found = scan(guarded.readOnly)
                if let expected { #expect(found == expected, "\(cap)") }
                expected = found
            }
            for record in expected ?? [] where record[12] & 1 == 0 {
                var scanner = VCFRecordScanner(header: header, label: "x")
                let line = UnsafeRawBufferPointer(rebasing: guarded.readOnly[Int(record[0])..<Int(record[9])])
                let slow = try scanner.scan(line)
                let place = record[0]
                #expect(slow.position == Int(record[10]) && slow.end() == Int(record[11]))
                #expect(
                    [slow.chromEnd, slow.posEnd, slow.idEnd, slow.refEnd, slow.altEnd]
                        == record[1...5].map { Int($0 - place) })
            }
        }
    }

    /// All fields of all records; of marked ones those that count.
    private func scan(_ text: UnsafeRawBufferPointer) -> [[UInt32]] {
        var result: [[UInt32]] = []
        var records = [ck_vcf_record](repeating: ck_vcf_record(), count: 7)
        var at = 0
        while at < text.count {
            var scanned = 0
            let count = ck_vcf_scan(
                (text.baseAddress! + at).assumingMemoryBound(to: UInt8.self), text.count - at, 10, true, &records, 7,
                &scanned)
            for r in records[0..<count] {
                let base = UInt32(at)
                let isMarked = r.flags & UInt32(CK_VCF_CHECK) != 0
                let ends: [UInt32] = [
                    r.chrom_end, r.pos_end, r.id_end, r.ref_end, r.alt_end, r.qual_end, r.filter_end, r.info_end,
                ]
                let columns = ends.map { isMarked ? 0 : $0 + base }
                var fields: [UInt32] = [r.line + base]
                fields += columns
                fields += isMarked ? [r.end + base, 0, 0, r.flags] : [r.end + base, r.position, r.last, r.flags]
                result.append(fields)
            }
            at += scanned
        }
        return result
    }
}
