import BinaryVariants
import Compression
import Diagnostics
import Foundation
import TestSupport
import Testing

/// BCF that lies: refused with the place, never a crash.
@Suite struct HostileTests {
    private static let plain: [UInt8] = (try? Sample.encode(Sample.text).file) ?? []
    private static let starts = Sample.starts(plain)

    private func problem(_ plain: [UInt8]) -> Failure? { failure { _ = try Sample.decode(plain) } }

    @Test func cutAnywhere() {
        for count in 0..<Self.plain.count where !Self.starts.contains(count) {
            let problem = problem(Array(Self.plain[..<count]))
            #expect(problem?.kind == .data && problem?.problem.contains("BCF ends inside") == true, "\(count)")
        }
    }

    @Test func fieldsThatLie() throws {
        /// The second record with some of its bytes replaced.
        func changed(_ offset: Int, _ bytes: [UInt8]) -> Failure? {
            var plain = Self.plain
            plain.replaceSubrange(Self.starts[1] + offset..<Self.starts[1] + offset + bytes.count, with: bytes)
            return problem(plain)
        }
        for (offset, bytes, word) in [
            (8, [3, 0, 0, 0], "contig number"), (8, [255, 255, 255, 255], "contig number"),
            (8, [0, 0, 0, 128], "contig number"), (28, [3], "samples"), (31, [200], "value"), (31, [1], "fill"),
            (24, [250], "value"), (26, [0, 0], "no REF"), (26, [255, 255], "value"),
            (0, [255, 255, 255, 255], "length"), (0, [3, 0, 0, 0], "length"), (4, [255, 255, 255, 127], "length"),
            (32, [0x14], "value"), (32, [0xf7], "value"),
            // The ID has no bytes; behind it lies REF: 0x47, ACGT.
            (34, [0], "NUL"), (34, [9], "NUL"), (34, [10], "NUL"),
        ] as [(Int, [UInt8], String)] {
            let problem = changed(offset, bytes)
            #expect(problem?.kind == .data && problem?.place == "in:record 2", "\(String(describing: problem))")
            #expect(problem?.problem.contains(word) == true, "\(offset) \(bytes): \(String(describing: problem))")
        }
    }

    @Test func headersThatLie() {
        func header(_ text: String, count: Int? = nil) -> [UInt8] {
            let count = UInt32(count ?? text.utf8.count + 1)
            let size = withUnsafeBytes(of: count.littleEndian) { Array($0) }
            return Array("BCF\u{2}\u{2}".utf8) + size + Array(text.utf8) + [0]
        }
        let columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        #expect(problem(header("##fileformat=VCFv4.2\n" + columns)) == nil)
        for (bytes, word) in [
            (Array("BCF\u{4}hello".utf8), "version 2.2"),
            (Array("BCF\u{2}\u{1}\0\0\0\0".utf8), "version 2.2"),
            (header("", count: 0xffff_ffff), "longer than 256 MiB"),
            (header(columns, count: 5_000), "ends inside its header"),
            (header(""), "fileformat"), (header("\u{1}\u{2}"), "fileformat"),
            (header("##fileformat=VCFv4.2\n"), "CHROM"),
            (header("##fileformat=VCFv4.2\n##INFO=<ID=A,IDX=1999999999>\n" + columns), "IDX"),
            (header("##fileformat=VCFv4.2\n##contig=<ID=1,IDX=-4>\n" + columns), "IDX"),
            (header("##fileformat=VCFv4.2\n##INFO=<ID=A,Description=\"a \\\" x\",IDX=100000000>\n" + columns), "IDX"),
            (header("##fileformat=VCFv4.2\n##INFO=<ID=A,Source=<a>,IDX=100000000>\n" + columns), "IDX"),
            (header("##fileformat=VCFv4.2\n##contig=<ID=1>\n##contig=<ID=1>\n" + columns), "twice"),
            (header("##fileformat=VCFv4.2\n##contig=<ID=1,IDX=0>\n##contig=<ID=2,IDX=0>\n" + columns), "contradict"),
            (header("##fileformat=VCFv4.2\n\0" + columns), "NUL"),
        ] {
            let problem = problem(bytes)
            let told = "\(word): \(String(describing: problem))"
            #expect(problem?.kind == .data && problem?.place.hasPrefix("in:") == true, "\(told)")
            #expect(problem?.problem.contains(word) == true, "\(word): \(String(describing: problem))")
        }
    }

    /// Whatever bytes are changed, the answer is text of whole lines or a refusal.
    @Test func mutations() {
        var random = SplitMix64(seed: 3)
        var refused = 0
        let rounds = 20_000
        for _ in 0..<rounds {
            var bytes = Self.plain
            // Most changes in the records, some in the header.
            let from = random.next() % 10 == 0 ? 0 : Self.starts[0]
            for _ in 0...Int(random.next() % 4) {
                let place = from + Int(random.next() % UInt64(bytes.count - from))
                switch random.next() % 4 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes[place] ^= 1 << UInt8(random.next() % 8)
                case 2: bytes[place] = [0, 7, 0x10, 0x17, 0x7f, 0x80, 0xf1, 0xf7, 0xff][Int(random.next() % 9)]
                default: bytes[place] = bytes[from + Int(random.next() % UInt64(bytes.count - from))]
                }
            }
            do {
                let text = try Sample.decode(bytes)
                #expect(text.last == "\n" && !text.contains("\0"))
                let records = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
                #expect(records.count <= Self.starts.count)
            } catch let failure as Failure {
                #expect(failure.kind == .data)
                refused += 1
            } catch { Issue.record(error) }
        }
        #expect(refused > rounds / 4 && refused < rounds)
    }
}
