import Compression
import Diagnostics
import Foundation
import TestSupport
import Testing

private let plain = Array("@r1\nACGTACGTTTGACA\n+\nFFFF:FFFFF,FF#\n@r2\nTTGACA\n+\nFFFFFF\n".utf8)

/// A gzip member around raw deflate data, with the optional header fields that are given.
private func member(
    _ plain: [UInt8], flags: UInt8 = 0, extra: [UInt8] = [], name: String = "", comment: String = "",
    wrongHeaderChecksum: Bool = false
) -> [UInt8] {
    let gzip = zlibDeflate(plain, level: 6)
    var header: [UInt8] = [0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3]
    if flags & 4 != 0 { header += [UInt8(extra.count & 255), UInt8(extra.count >> 8)] + extra }
    if flags & 8 != 0 { header += Array(name.utf8) + [0] }
    if flags & 16 != 0 { header += Array(comment.utf8) + [0] }
    if flags & 2 != 0 {
        // The low half of the CRC32 of all bytes before it: RFC 1952. A stored member of the header carries it.
        let crc = Array(zlibDeflate(header, level: 0).suffix(8).prefix(2))
        header += wrongHeaderChecksum ? [crc[0] ^ 1, crc[1]] : crc
    }
    return header + gzip[10...]
}

@Suite struct MemberTests {
    @Test(arguments: [1, 2, 3, 7, 1 << 20])
    func everyHeaderField(pieces: Int) throws {
        for flags in UInt8(0)..<32 {
            for extra in [[], [1], [66, 67, 2, 0, 1, 0, 0], [UInt8](repeating: 0, count: flags == 31 ? 65_535 : 400)] {
                let bytes = member(plain, flags: flags, extra: extra, name: "reads.fastq", comment: "a comment")
                #expect(try inflate(bytes + bytes, pieces: max(pieces, extra.count / 1_000)) == plain + plain, "\(flags)")
            }
        }
        #expect(try inflate(member(plain, flags: 24), pieces: pieces) == plain)
        let wrong = failure { _ = try inflate(member(plain, flags: 2, wrongHeaderChecksum: true), pieces: pieces) }
        #expect(wrong?.problem.contains("CRC16") == true && wrong?.place == "in.gz:byte 11")
        #expect(failure { _ = try inflate(member(plain, flags: 32)) }?.problem.contains("unknown flags") == true)
        var method = member(plain)
        method[2] = 7
        #expect(failure { _ = try inflate(method) }?.problem.contains("method") == true)
    }

    @Test(arguments: [1, 1_000])
    func everyTruncationIsAnError(pieces: Int) throws {
        let blocks = plain.withUnsafeBytes { BGZF.compress($0).bytes }
        let files = [
            member(plain), member(plain, flags: 31, extra: [9, 9], name: "n", comment: "c"),
            member(plain) + member(plain), blocks, member(plain) + blocks,
            zlibDeflate([], level: 6), zlibDeflate(plain, level: 0),
        ]
        for (number, whole) in files.enumerated() {
            let expected = try inflate(whole, pieces: pieces)
            // Between members and before an end marker there is nothing that a reader could miss but the marker.
            let ends = number == 2 ? [member(plain).count] : number == 4 ? [member(plain).count] : []
            for cut in 2..<whole.count where !ends.contains(cut) {
                let problem = failure { _ = try inflate(Array(whole[..<cut]), pieces: pieces) }
                #expect(problem?.kind == .data, "file \(number) cut at \(cut)")
                #expect(problem?.place == "in.gz:byte \(cut)", "file \(number) cut at \(cut)")
            }
            #expect(expected.count <= 2 * plain.count)
        }
    }

    @Test func wrongTrailersAreErrors() throws {
        for pieces in [1, 1 << 20] {
            let good = member(plain)
            for place in 1...8 {
                var wrong = good
                wrong[good.count - place] ^= 4
                let problem = failure { _ = try inflate(wrong, pieces: pieces) }
                #expect(problem?.problem.contains("CRC32 or length") == true, "byte \(place) from the end")
            }
        }
        let good = plain.withUnsafeBytes { BGZF.compress($0).bytes }
        let size = good.count - 28
        for place in 1...8 {
            var wrong = good
            wrong[size - place] ^= 4
            #expect(failure { _ = try inflate(wrong) }?.place == "in.gz:byte 0", "byte \(place) from the block's end")
        }
        // A block with a byte between its deflate data and its trailer.
        var padded = Array(good[..<(size - 8)]) + [0] + good[(size - 8)...]
        padded[16] += 1
        #expect(failure { _ = try inflate(padded) }?.problem.contains("longer than its deflate data") == true)
    }

    @Test func tailsOfAMember() throws {
        #expect(try inflate(member(plain) + [0, 0, 0, 0], pieces: 1) == plain)
        for tail in [[1], [0, 0, 1], [0x1f], [0x1f, 0x8b], Array("more".utf8)] as [[UInt8]] {
            for pieces in [1, 3, 1_000] {
                let problem = failure { _ = try inflate(member(plain) + tail, pieces: pieces) }
                #expect(problem?.kind == .data, "\(tail)")
            }
        }
    }
}

@Suite struct ThreadTests {
    private static func text(_ count: Int) -> [UInt8] {
        var random = SplitMix64(seed: 21)
        return (0..<count).map { _ in "ACGT\n".utf8.map { $0 }[Int(random.next() % 5)] }
    }

    @Test(arguments: CompressionLevel.allCases)
    func bytesDoNotDependOnThreads(level: CompressionLevel) throws {
        let plain = Self.text(level == .fast ? 3_000_000 : 400_000)
        let one = plain.withUnsafeBytes { BGZF.compress($0, level: level, threads: 1) }
        for threads in [1, 2, 7] {
            let again = plain.withUnsafeBytes { BGZF.compress($0, level: level, threads: threads) }
            #expect(again.bytes == one.bytes && again.blockStarts == one.blockStarts)
            var streamed = [UInt8]()
            let writer = BGZFWriter(level: level, threads: threads) { streamed.append(contentsOf: $0) }
            for start in stride(from: 0, to: plain.count, by: 100_001) {
                try writer.write(Array(plain[start..<min(start + 100_001, plain.count)]))
            }
            try writer.finish()
            #expect(streamed == one.bytes)
            #expect(writer.outputBytes == one.bytes.count && writer.inputBytes == plain.count)
            for pieces in [10_000, 1 << 20] {
                #expect(try inflate(one.bytes, pieces: pieces, threads: threads) == plain)
            }
            let joined = one.bytes + one.bytes
            let whole = try joined.withUnsafeBytes { try GzipInflater.inflate($0, label: "x", threads: threads) }
            #expect(whole == plain + plain)
        }
    }

    @Test func shortBlocksKeepTheirPlaces() throws {
        for threads in [1, 2, 7] {
            var streamed = [UInt8]()
            let writer = BGZFWriter(threads: threads) { streamed.append(contentsOf: $0) }
            var plain = [UInt8]()
            for count in [1, 0, 70_000, 2, 65_280, 3] {
                let piece = [UInt8](repeating: UInt8(65 + count % 7), count: count)
                plain += piece
                try writer.write(piece)
                try writer.flushBlock()
            }
            try writer.finish()
            #expect(try inflate(streamed, threads: threads) == plain)
        }
    }

    /// The same error and the same bytes before it, on any number of threads and in any pieces.
    @Test func errorsDoNotDependOnThreads() throws {
        let plain = Self.text(2_000_000)
        let good = plain.withUnsafeBytes { BGZF.compress($0, level: .fast) }
        var wrong = good.bytes
        for block in [9, 11, 20] { wrong[good.blockStarts[block] + 100] ^= 16 }
        for limits in [GzipInflater.Limits(), .init(maximumOutput: 700_000), .init(maximumOutput: 300_000)] {
            var first: (problem: Failure?, count: Int)?
            for (threads, pieces) in [(1, 1 << 20), (2, 1 << 20), (7, 1 << 20), (7, 5_000), (1, 33_333)] {
                var count = 0
                let problem = failure {
                    let inflater = GzipInflater(label: "x", limits: limits, threads: threads)
                    for start in stride(from: 0, to: wrong.count, by: pieces) {
                        try wrong[start..<min(start + pieces, wrong.count)].withUnsafeBytes {
                            try inflater.feed($0) { count += $0.count }
                        }
                    }
                }
                #expect(problem?.kind == .data)
                if let first { #expect(first.problem == problem && first.count == count) }
                first = first ?? (problem, count)
            }
            let blocks = limits.maximumOutput.map { min(9, $0 / BGZF.blockPayload) } ?? 9
            #expect(first?.count == blocks * BGZF.blockPayload)
            #expect(first?.problem?.place == "x:byte \(good.blockStarts[blocks])")
        }
    }

    @Test func aBombIsRefusedWithItsPlace() throws {
        let zeros = [UInt8](repeating: 0, count: 16 << 20)
        let blocks = zeros.withUnsafeBytes { BGZF.compress($0).bytes }
        for bomb in [blocks, zlibDeflate(zeros, level: 9)] {
            for limits in [
                GzipInflater.Limits(maximumRatio: 200, ratioFreeOutput: 1 << 20), .init(maximumOutput: 2 << 20),
            ] {
                var most = 0
                let problem = failure {
                    let inflater = GzipInflater(label: "bomb.gz", limits: limits, threads: 2)
                    try bomb.withUnsafeBytes { try inflater.feed($0) { most += $0.count } }
                }
                #expect(problem?.place.hasPrefix("bomb.gz:byte ") == true && problem?.kind == .data)
                #expect(most <= 2 << 20, "\(most) bytes came out")
                let whole = failure {
                    _ = try bomb.withUnsafeBytes { try GzipInflater.inflate($0, label: "bomb.gz", limits: limits) }
                }
                #expect(whole?.kind == .data)
            }
            #expect(try inflate(bomb).count == zeros.count)
        }
    }
}
