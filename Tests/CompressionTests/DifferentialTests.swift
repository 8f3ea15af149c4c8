import CZlib
import Compression
import Foundation
import TestSupport
import Testing

/// What zlib makes of raw bytes, as an independent judge: windowBits 31 is gzip, -15 raw deflate.
func zlibDeflate(_ plain: [UInt8], level: Int32, strategy: Int32 = Z_DEFAULT_STRATEGY) -> [UInt8] {
    var stream = z_stream()
    let size = Int32(MemoryLayout<z_stream>.size)
    #expect(deflateInit2_(&stream, level, Z_DEFLATED, 31, 8, strategy, ZLIB_VERSION, size) == Z_OK)
    defer { deflateEnd(&stream) }
    var out = [UInt8](repeating: 0, count: plain.count + plain.count / 100 + 100)
    var input = plain
    let made = input.withUnsafeMutableBufferPointer { input in
        out.withUnsafeMutableBufferPointer { out in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            stream.next_out = out.baseAddress
            stream.avail_out = UInt32(out.count)
            #expect(deflate(&stream, Z_FINISH) == Z_STREAM_END)
            return out.count - Int(stream.avail_out)
        }
    }
    return Array(out[..<made])
}

/// zlib's reading of one or more gzip members, or nil when it finds them damaged.
func zlibInflate(_ bytes: [UInt8], limit: Int = 1 << 22) -> [UInt8]? {
    var stream = z_stream()
    guard inflateInit2_(&stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return nil }
    defer { inflateEnd(&stream) }
    var input = bytes
    var out = [UInt8](repeating: 0, count: limit)
    return input.withUnsafeMutableBufferPointer { input in
        let made = out.withUnsafeMutableBufferPointer { out -> Int? in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            stream.next_out = out.baseAddress
            stream.avail_out = UInt32(out.count)
            while true {
                guard inflate(&stream, Z_FINISH) == Z_STREAM_END else { return nil }
                if stream.avail_in == 0 { return out.count - Int(stream.avail_out) }
                guard inflateReset(&stream) == Z_OK else { return nil }
            }
        }
        return made.map { Array(out[..<$0]) }
    }
}

/// Inputs that meet every path of a compressor: borders of blocks, runs, noise, text, periods.
func inputs() -> [[UInt8]] {
    var random = SplitMix64(seed: 11)
    var all: [[UInt8]] = [[], [0], [255, 255], Array("ACGT".utf8)]
    for count in [3, 8, 9, 10, 16, 65_279, 65_280, 65_281, 65_535, 65_536, 65_537, 130_560, 130_561] {
        all.append([UInt8](repeating: 65, count: count))
        all.append(random.bytes(count))
        all.append((0..<count).map { _ in "ACGTN\n".utf8.map { $0 }[Int(random.next() % 6)] })
    }
    for period in [1, 2, 3, 5, 7, 100, 258, 259, 32_767, 32_768, 32_769, 40_000] {
        let unit = random.bytes(period)
        all.append((0..<200_000).map { unit[$0 % period] })
    }
    // Symbol counts like Fibonacci's numbers make the deepest Huffman trees, which have to be cut.
    var steep: [UInt8] = []
    var (one, two) = (1, 1)
    for symbol in 0..<22 {
        steep += [UInt8](repeating: UInt8(symbol), count: one)
        (one, two) = (two, one + two)
    }
    for at in steep.indices.reversed() { steep.swapAt(at, Int(random.next() % UInt64(at + 1))) }
    all.append(steep)
    return all
}

@Suite struct DifferentialTests {
    @Test(arguments: CompressionLevel.allCases)
    func zlibReadsWhatWeWrite(level: CompressionLevel) throws {
        for plain in inputs() {
            let ours = plain.withUnsafeBytes { BGZF.compress($0, level: level).bytes }
            #expect(zlibInflate(ours) == plain, "\(plain.count) bytes")
            #expect(try inflate(ours) == plain, "\(plain.count) bytes")
            #expect(ours.count <= plain.count + (plain.count / BGZF.blockPayload + 1) * 31 + 28)
        }
    }

    @Test func weReadWhatZlibWrites() throws {
        for plain in inputs() {
            for (level, strategy) in [
                (0, Z_DEFAULT_STRATEGY), (1, Z_DEFAULT_STRATEGY), (6, Z_DEFAULT_STRATEGY), (9, Z_DEFAULT_STRATEGY),
                (6, Z_FIXED), (6, Z_HUFFMAN_ONLY), (6, Z_RLE),
            ] as [(Int32, Int32)] {
                let member = zlibDeflate(plain, level: level, strategy: strategy)
                #expect(try inflate(member) == plain, "\(plain.count) bytes at level \(level)")
            }
        }
    }

    /// Any damage is an error or leaves the bytes as they are: never other bytes, never a shorter output. Where zlib
    /// sees damage, so must we.
    @Test func damageIsSeenWhereverZlibSeesIt() throws {
        var random = SplitMix64(seed: 12)
        let plain = (0..<3_000).map { _ in "ACGT\n".utf8.map { $0 }[Int(random.next() % 5)] }
        let blocks = plain.withUnsafeBytes { BGZF.compress($0, level: .fast).bytes }
        for whole in [blocks, zlibDeflate(plain, level: 6), zlibDeflate(plain, level: 6, strategy: Z_FIXED)] {
            var found = 0
            for _ in 0..<3_000 {
                var bytes = whole
                for _ in 0...(random.next() % 3) {
                    bytes[Int(random.next() % UInt64(bytes.count))] ^= UInt8(1 << (random.next() % 8))
                }
                let ours = try? inflate(bytes, pieces: 1 + Int(random.next() % 4_000))
                if let ours, !(bytes.first != 0x1f || bytes[1] != 0x8b) { #expect(ours == plain) }
                if bytes[0] == 0x1f, bytes[1] == 0x8b, zlibInflate(bytes, limit: 1 << 14) == nil { #expect(ours == nil) }
                found += ours == nil ? 1 : 0
            }
            #expect(found > 2_000)
        }
    }

    @Test func compactIsBgzipsDefault() throws {
        var random = SplitMix64(seed: 13)
        let plain = (0..<300_000).map { _ in "ACGT\n".utf8.map { $0 }[Int(random.next() % 5)] }
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        save(plain, folder + "/x")
        guard let theirs = run("bgzip", ["-c", folder + "/x"])?.output else { return }
        let ours = plain.withUnsafeBytes { BGZF.compress($0).bytes }
        #expect(ours == theirs)
        #expect(try inflate(theirs) == plain)
        let fast = plain.withUnsafeBytes { BGZF.compress($0, level: .fast).bytes }
        save(fast, folder + "/fast.gz")
        #expect(run("bgzip", ["-dc", folder + "/fast.gz"])?.output == plain)
        #expect(run("gzip", ["-dc", folder + "/fast.gz"])?.output == plain)
    }

    /// The bytes of the fast level are a contract between processors, so a change of the search has to be seen here.
    @Test func fastLevelMakesTheseBytes() {
        var random = SplitMix64(seed: 14)
        var plain: [UInt8] = []
        for line in 0..<3_000 {
            plain += "@read:\(line):\(random.next() % 2_000)\n".utf8
            plain += (0..<100).map { _ in "ACGT".utf8.map { $0 }[Int(random.next() % 4)] }
            plain += "\n+\n".utf8
            plain += (0..<100).map { _ in "FFFFF:,#".utf8.map { $0 }[Int(random.next() % 8)] } + [10]
        }
        let bytes = plain.withUnsafeBytes { BGZF.compress($0, level: .fast).bytes }
        // FNV-1a.
        let digest = bytes.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        #expect(bytes.count == 228_609)
        #expect(digest == 425_876_283_094_492_776)
    }
}
