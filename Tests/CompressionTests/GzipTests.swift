import Compression
import Diagnostics
import Foundation
import TestSupport
import Testing

/// Text that compresses, but not to nothing.
private func sample(_ count: Int) -> [UInt8] {
    var random = SplitMix64(seed: 7)
    return (0..<count).map { _ in "ACGT\n".utf8.map { $0 }[Int(random.next() % 5)] }
}

private func bgzf(_ bytes: [UInt8], threads: Int = 1) -> [UInt8] {
    bytes.withUnsafeBytes { BGZF.compress($0, threads: threads).bytes }
}

private func gzip(_ bytes: [UInt8]) -> [UInt8]? {
    let folder = temporaryFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    save(bytes, folder + "/x")
    return run("gzip", ["-nc", folder + "/x"])?.output
}

@Suite struct GzipTests {
    @Test(arguments: [1, 7, 17, 18, 19, 1_000, 1 << 20])
    func everyKindInEveryPieceSize(pieces: Int) throws {
        let plain = sample(pieces < 100 ? 66_000 : 300_000)
        #expect(try inflate(plain, pieces: pieces) == plain)
        #expect(try inflate(bgzf(plain), pieces: pieces) == plain)
        guard let member = gzip(plain) else { return }
        #expect(try inflate(member, pieces: pieces) == plain)
        #expect(try inflate(member + member, pieces: pieces) == plain + plain)
        #expect(try inflate(bgzf(plain) + member, pieces: pieces) == plain + plain)
        #expect(try inflate(member + bgzf(plain), pieces: pieces) == plain + plain)
        #expect(try inflate(member + [0, 0, 0], pieces: pieces) == plain)
        #expect(try inflate(bgzf(plain) + bgzf(plain), pieces: pieces) == plain + plain)
    }

    @Test func emptyAndTinyInput() throws {
        #expect(try inflate([]) == [])
        #expect(try inflate([65]) == [65])
        #expect(try inflate([0x1f]) == [0x1f])
        #expect(try inflate(BGZF.endMarker) == [])
        #expect(failure { _ = try inflate([0x1f, 0x8b]) }?.problem.contains("truncated") == true)
    }

    @Test(arguments: [1, 1_000, 1 << 20])
    func damageIsRefused(pieces: Int) throws {
        let plain = sample(200_000)
        let good = bgzf(plain)
        for cut in [5, 17, 30, 1_000, good.count - 29, good.count - 27, good.count - 1] {
            let problem = failure { _ = try inflate(Array(good[..<cut]), pieces: pieces) }
            #expect(problem?.kind == .data, "cut at \(cut)")
            #expect(problem?.place.contains("byte") == true)
        }
        let noEnd = Array(good.dropLast(28))
        #expect(failure { _ = try inflate(noEnd, pieces: pieces) }?.problem.contains("end marker") == true)
        #expect(try inflate(noEnd, pieces: pieces, limits: .init(requiresBGZFEndMarker: false)) == plain)
        let garbage = failure { _ = try inflate(good + [1, 2, 3], pieces: pieces) }
        #expect(garbage?.problem.contains("follow the end") == true)
        #expect(garbage?.place == "in.gz:byte \(good.count)")
        let size = Int(good[16]) + Int(good[17]) << 8 + 1
        var crc = good
        crc[size - 8] ^= 1
        #expect(failure { _ = try inflate(crc, pieces: pieces) }?.problem.contains("CRC32") == true)
        for value in [UInt8(0), 25, 200] {
            var wrong = good
            wrong[16] = value
            wrong[17] = value == 200 ? wrong[17] : 0
            #expect(failure { _ = try inflate(wrong, pieces: pieces) }?.kind == .data)
        }
        var isize = good
        isize[size - 1] = 1
        #expect(failure { _ = try inflate(isize, pieces: pieces) }?.problem.contains("64 KiB") == true)
    }

    @Test func damagedGzipIsRefused() throws {
        let plain = sample(200_000)
        guard let member = gzip(plain) else { return }
        for cut in [2, 10, 19, 500, member.count - 1] {
            #expect(failure { _ = try inflate(Array(member[..<cut])) }?.problem.contains("truncated") == true)
        }
        var wrong = member
        wrong[member.count - 6] ^= 0x40
        #expect(failure { _ = try inflate(wrong) }?.problem.contains("corrupt") == true)
        #expect(failure { _ = try inflate(member + Array("tail".utf8)) }?.problem.contains("follow the end") == true)
    }

    @Test func bombsAreRefused() throws {
        let zeros = bgzf([UInt8](repeating: 0, count: 8 << 20))
        #expect(
            failure { _ = try inflate(zeros, limits: .init(maximumRatio: 100, ratioFreeOutput: 0)) }?.problem.contains("100 times") == true)
        #expect(
            failure { _ = try inflate(zeros, limits: .init(maximumOutput: 1 << 20)) }?.problem.contains("1048576")
                == true)
        #expect(try inflate(zeros).count == 8 << 20)
        let capped = failure {
            _ = try zeros.withUnsafeBytes { try GzipInflater.inflate($0, label: "b", limits: .init(maximumOutput: 1 << 20), threads: 2) }
        }
        #expect(capped?.kind == .data)
    }

    @Test func wholeFileFunctionsAgree() throws {
        let plain = sample(300_003)
        let one = bgzf(plain)
        #expect(one == bgzf(plain, threads: 2))
        var streamed = [UInt8]()
        let writer = BGZFWriter { streamed.append(contentsOf: $0) }
        try plain[..<500].withUnsafeBytes { try writer.write($0) }
        try plain[500...].withUnsafeBytes { try writer.write($0) }
        try writer.finish()
        #expect(streamed == one)
        for threads in [1, 2] {
            #expect(try one.withUnsafeBytes { try GzipInflater.inflate($0, label: "x", threads: threads) } == plain)
            var wrong = one
            wrong[one.count / 2] ^= 1
            #expect(
                failure { _ = try wrong.withUnsafeBytes { try GzipInflater.inflate($0, label: "x", threads: threads) } }?
                    .kind
                    == .data)
        }
        let noEnd = Array(one.dropLast(28))
        #expect(failure { _ = try noEnd.withUnsafeBytes { try GzipInflater.inflate($0, label: "x") } }?.kind == .data)
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        save(one, folder + "/a.gz")
        if let theirs = run("bgzip", ["-dc", folder + "/a.gz"]) {
            #expect(theirs.output == plain && theirs.status == 0)
        }
    }
}
