import Compression
import Diagnostics
import Filtering
import Foundation
import GenomicFormats
import TestSupport
import Testing

/// Damaged BGZF files: a message that says what is wrong, and nothing under the final name.
@Suite struct DamagedFileTests {
    private static let text: [UInt8] = {
        var text = "##fileformat=VCFv4.2\n##contig=<ID=1,length=100000000>\n"
        text += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts\n"
        var random = SplitMix64(seed: 7)
        for number in 0..<40_000 {
            text += "1\t\(number * 10 + 1)\t.\tA\tC\t\(random.next() % 1_000)\tPASS\tX=\(random.next())\tGT\t0/1\n"
        }
        return Array(text.utf8)
    }()
    private static let whole = text.withUnsafeBytes { BGZF.compress($0, level: .fast) }

    /// Filters bytes as a file, with and without disclosing, on one thread and two; returns what is wrong with them.
    private static func problems(of bytes: [UInt8]) throws -> [String] {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let input = folder + "/in.vcf.gz"
        save(bytes, input)
        let regions = Selection.regions(RegionSet(["1": [0..<50_000, 380_000..<400_000]]))
        let one = HeaderPolicy.disclose(samples: [.init(original: "s", disclosed: "x")], source: "d")
        var problems: Set<String> = []
        for header in [one, .keep(commandLine: nil)] {
            for threads in [1, 2] {
                let filter = VCFFilter(selection: regions, header: header)
                let problem = failure {
                    try filter.filterFile(
                        input, to: folder + "/out.vcf.gz", output: FilterOutput(level: .fast, threads: threads))
                }
                #expect(problem?.kind == .data, "\(String(describing: problem))")
                #expect(problem?.place.hasPrefix(input) == true, "\(String(describing: problem))")
                #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["in.vcf.gz"])
                problems.insert(problem?.problem ?? "none")
            }
        }
        return problems.sorted()
    }

    @Test func truncated() throws {
        let bytes = Self.whole.bytes
        let starts = Self.whole.blockStarts
        #expect(starts.count > 20)
        // Inside a block's header, its data and its trailer, near the beginning and at the end.
        for block in [0, 9, starts.count - 2] {
            for cut in [starts[block] + 5, starts[block] + 17, starts[block] + 500, starts[block + 1] - 3] {
                let problems = try Self.problems(of: Array(bytes[..<cut]))
                #expect(problems.count == 1 && problems[0].contains("truncated"), "\(cut): \(problems)")
            }
        }
        let inMarker = try Self.problems(of: Array(bytes.dropLast(3)))
        #expect(inMarker.count == 1 && inMarker[0].contains("truncated"), "\(inMarker)")
    }

    @Test func withoutEndMarker() throws {
        for end in [Self.whole.blockStarts[1], Self.whole.blockStarts[11], Self.whole.blockStarts.last!] {
            let problems = try Self.problems(of: Array(Self.whole.bytes[..<end]))
            #expect(problems.count == 1 && problems[0].contains("end marker"), "\(end): \(problems)")
        }
    }

    @Test func damagedInside() throws {
        let starts = Self.whole.blockStarts
        for block in [0, 9, starts.count - 2] {
            // CRC32, the length of the plain bytes, and the deflate data.
            for place in [starts[block + 1] - 8, starts[block + 1] - 4, starts[block] + 300] {
                var bytes = Self.whole.bytes
                bytes[place] ^= 0x41
                let problems = try Self.problems(of: bytes)
                #expect(!problems.contains("none"), "byte \(place - starts[block]) of block \(block)")
            }
        }
        for tail in [[0x1f, 0x8b, 8], Array("1\t5\n".utf8)] as [[UInt8]] {
            #expect(try !Self.problems(of: Self.whole.bytes + tail).contains("none"))
        }
    }

    /// A header line of zeros, as deflate packs it best: a thousand bytes out for one in.
    @Test func bomb() throws {
        let blank = Array("##fileformat=VCFv4.2\n##x=".utf8) + [UInt8](repeating: UInt8(ascii: "0"), count: 80 << 20)
        let bytes = blank.withUnsafeBytes { BGZF.compress($0, level: .compact, threads: 2).bytes }
        #expect(bytes.count * 500 < blank.count)
        let problems = try Self.problems(of: bytes)
        #expect(problems.count == 1 && problems[0].contains("times its size"), "\(problems)")
    }

    /// A damaged index changes nothing of what goes out.
    @Test func damagedIndex() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let input = folder + "/in.vcf.gz"
        save(Self.whole.bytes, input)
        let all = try VCFFilter(selection: .everything).filterFile(input, to: folder + "/all.vcf.gz")
        #expect(all.counts.recordsOut == 40_000)
        let filter = VCFFilter(selection: .regions(RegionSet(["1": [390_000..<400_000]])))
        func answer() throws -> [UInt8] {
            try filter.filterFile(input, to: folder + "/o.vcf.gz")
            return try readBytes(folder + "/o.vcf.gz").withUnsafeBytes { try GzipInflater.inflate($0, label: "o") }
        }
        let expected = try answer()
        let index = try readBytes(folder + "/all.vcf.gz.tbi")
        let plain = try index.withUnsafeBytes { try GzipInflater.inflate($0, label: "i") }
        var random = SplitMix64(seed: 9)
        for _ in 0..<60 {
            var bytes = plain
            for _ in 0...Int(random.next() % 3) {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(random.next() % 256)
            }
            save(bytes.withUnsafeBytes { BGZF.compress($0, level: .fast).bytes }, input + ".tbi")
            #expect(try answer() == expected)
        }
    }

    private func readBytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    }
}
