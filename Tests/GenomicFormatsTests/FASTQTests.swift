import Compression
import Diagnostics
import Foundation
import GenomicFormats
import Storage
import TestSupport
import Testing

/// The blocks of a text that comes in pieces.
private func blocks(_ label: String, _ text: String, pieces: Int) -> ReadBatcher.Source {
    let parser = FASTQParser(label: label)
    var rest = Array(text.utf8)[...]
    var isOver = false
    var waiting: [FASTQBlock] = []
    var problem: (any Error)?
    return {
        while waiting.isEmpty && !isOver && problem == nil {
            do {
                if rest.isEmpty {
                    isOver = true
                    try parser.finish { waiting.append($0) }
                } else {
                    let piece = Array(rest.prefix(pieces))
                    rest = rest.dropFirst(pieces)
                    try piece.withUnsafeBytes { try parser.feed($0) { waiting.append($0) } }
                }
            } catch { problem = error }
        }
        if waiting.isEmpty, let problem { throw problem }
        return waiting.isEmpty ? nil : waiting.removeFirst()
    }
}

/// Batches of two streams, which come in pieces of different sizes, or of one.
private func batches(
    _ layout: ReadLayout, _ streams: [String], pieces: Int = 1 << 20, qualities: QualityEncoding = .detected,
    keepsNames: Bool = false
) throws -> ([ReadBatch], ReadBatcher.Counts) {
    var result: [ReadBatch] = []
    let sources = streams.enumerated().map { place, text in
        (label: "r\(place + 1)", source: blocks("r\(place + 1)", text, pieces: place == 0 ? pieces : pieces * 2 + 1))
    }
    let batcher = ReadBatcher(layout: layout, streams: sources, qualities: qualities, keepsNames: keepsNames)
    let counts = try batcher.run { result.append($0) }
    return (result, counts)
}

private func reads(_ count: Int, mate: Int, length: Int = 30) -> String {
    var random = SplitMix64(seed: UInt64(mate))
    var text = ""
    for number in 0..<count {
        let own = length - number % 7
        let bases = (0..<own).map { _ in ["A", "C", "G", "T", "N"][Int(random.next() % 5)] }.joined()
        text += "@read\(number)/\(mate) x\n\(bases)\n+\n\(String(repeating: number % 2 == 0 ? "I" : "#", count: own))\n"
    }
    return text
}

@Suite struct FASTQTests {
    @Test(arguments: [1, 13, 4_096, 1 << 20])
    func pairsComeInOrder(pieces: Int) throws {
        let count = pieces == 1 ? 100 : 5_000
        let (one, two) = (reads(count, mate: 1), reads(count, mate: 2))
        let (result, counts) = try batches(.paired, [one, two], pieces: pieces)
        #expect(counts.reads == 2 * count)
        #expect(counts.fastqBytes == one.utf8.count + two.utf8.count)
        #expect(result.map(\.readCount).reduce(0, +) == 2 * count)
        #expect(counts.bases == result.map(\.bases.count).reduce(0, +))
        var ordinal: UInt64 = 0
        for (place, batch) in result.enumerated() {
            #expect(batch.isPaired && batch.firstOrdinal == ordinal)
            #expect(batch.readCount == 4_096 || place == result.count - 1)
            ordinal += UInt64(batch.readCount)
        }
        let expected = zip(
            one.split(separator: "\n").enumerated().filter { $0.offset % 4 == 1 }.map(\.element),
            two.split(separator: "\n").enumerated().filter { $0.offset % 4 == 1 }.map(\.element)
        ).flatMap { [$0, $1] }
        let got = result.flatMap { batch in
            (0..<batch.readCount).map { read in
                String(decoding: batch.bases[batch.range(ofRead: read)].map { BaseCode.ascii[Int($0)] }, as: UTF8.self)
            }
        }
        #expect(got == expected.map(String.init))
        #expect(result[0].qualities[0] == 40)
    }

    @Test func otherLayouts() throws {
        let (single, counts) = try batches(.unpaired, [reads(4_097, mate: 1)])
        #expect(single.map(\.readCount) == [4_096, 1] && !single[0].isPaired && counts.reads == 4_097)
        let pair = "@a/1\nAC\n+\nII\n@a/2\nGT\n+\nII\n"
        #expect(try batches(.interleaved, [pair]).0[0].bases == [0, 1, 2, 3])
        let odd = failure { _ = try batches(.interleaved, [pair + "@b/1\nA\n+\nI\n"]) }
        #expect(odd?.problem.contains("no mate") == true)
    }

    @Test(arguments: [
        "@a\r\nacgtn\r\n+\r\nIIIII\r\n", "@a\nACGTN\n+a\nIIIII", "@a\nACGTR\n+\nIIIII\n\n\n",
        "@a\r\nACGT.\r\n+\r\nIIIII",
        "@a b c\nACGTy\n+\nIIIII\n",
    ]) func acceptedForms(text: String) throws {
        for pieces in [1, 3, 1_000] {
            let (result, _) = try batches(.unpaired, [text], pieces: pieces)
            #expect(result[0].bases == [0, 1, 2, 3, 4])
            #expect(result[0].qualities == [40, 40, 40, 40, 40])
        }
    }

    @Test func lengthLimits() throws {
        func record(_ length: Int, _ end: String) -> String {
            let bases = String(repeating: "A", count: length)
            return "@a\(end)\(bases)\(end)+\(end)\(String(repeating: "I", count: length))\(end)"
        }
        for end in ["\n", "\r\n"] {
            for pieces in [1, 507, 10_000] {
                #expect(try batches(.unpaired, [record(500, end)], pieces: pieces).1.bases == 500)
                let long = failure { _ = try batches(.unpaired, [record(501, end)], pieces: pieces) }
                #expect(long?.problem.contains("longer than 500") == true)
            }
        }
        #expect(try batches(.unpaired, [record(0, "\n")]).1.reads == 1)
        let endless = "@" + String(repeating: "x", count: 20_000)
        #expect(failure { _ = try batches(.unpaired, [endless], pieces: 100) }?.problem.contains("name line") == true)
    }

    @Test(arguments: [
        ("", "no reads"), ("\n\n", "no reads"), ("hello\n", "begin with '@'"), (">a\nACGT\n", "begin with '@'"),
        ("@a\nACGT\n+\nIII\n", "differ in length"), ("@a\nACGT\n+\nIIIII\n", "differ in length"),
        ("@a\nACGT\n+\nIII", "differ in length"), ("@a\nACGT\n+\n", "not whole"), ("@a\nACGT\n", "not whole"),
        ("@a\nACGT", "not whole"), ("@a\nACGT\nACGT\n+\nIIIIIIII\n", "third line"), ("@a\nAC1T\n+\nIIII\n", "no base"),
        ("@a\nAC T\n+\nIIII\n", "no base"), ("@a\nACGT\n+\nII I\n", "quality"), ("@a\nACGT\n+\nII\u{7f}I\n", "quality"),
        ("@\nACGT\n+\nIIII\n", "no name"), ("@a\nA\n+\nI\n\n@b\nA\n+\nI\n", "begin with '@'"),
        ("@a\nA\n+\nI\nx", "begin with '@'"),
    ]) func malformedIsRefused(text: String, problem: String) {
        for pieces in [1, 2, 1_000] {
            let got = failure { _ = try batches(.unpaired, [text], pieces: pieces) }
            #expect(got?.kind == .data)
            let isTold = got?.problem.contains(problem) == true || got?.problem.contains("differ in length") == true
            #expect(isTold, "\(got?.description ?? "accepted")")
            #expect(got?.place.hasPrefix("r1") == true)
        }
    }

    @Test func matesAreHeldTogether() throws {
        let good = "@a:1 1:N:0:ACGT\nA\n+\nI\n@b\nA\n+\nI\n"
        #expect(try batches(.paired, [good, "@a:1 2:N:0:ACGT\nA\n+\nI\n@b\nA\n+\nI\n"]).1.reads == 4)
        let step = failure { _ = try batches(.paired, [good, "@a:1\nA\n+\nI\n@c\nA\n+\nI\n"]) }
        #expect(step?.problem.contains("out of step") == true)
        #expect(step?.place == "r2:record 2")
        let short = failure { _ = try batches(.paired, [good, "@a:1\nA\n+\nI\n"]) }
        #expect(short?.place == "r1:record 2" && short?.problem.contains("r1 2, r2 1") == true)
        #expect(failure { _ = try batches(.paired, [good, ""]) }?.problem == "holds no reads")
    }

    @Test(arguments: [
        // Illumina, before and since Casava 1.8; MGI; SRA, with and without numbers of mates; comments between tabs.
        ("H:1:F:1:2:3#0/1", "H:1:F:1:2:3#0/2"), ("A0:1:H:1:1:1:9 1:N:0:AC+GT", "A0:1:H:1:1:1:9 2:N:0:AC+GT"),
        ("V300L1C001R0010000001/1", "V300L1C001R0010000001/2"), ("E1L1C001R00100000001 x/1", "E1L1C001R00100000001 y/2"),
        ("SRR1.1 1 length=150", "SRR1.1 1 length=150"), ("SRR1.1.1 1 length=150", "SRR1.1.2 1 length=150"),
        ("SRR1.1.2", "SRR1.1.1"), ("SRR1.17 H:1/1", "SRR1.17 H:1/2"), ("a\tBC:Z:AC", "a\tBC:Z:GT"), ("1", "1"), ("/1", "/1"),
    ]) func namesOfMates(first: String, second: String) throws {
        let (one, two) = ("@\(first)\nA\n+\nI\n", "@\(second)\nC\n+\nI\n")
        #expect(try batches(.paired, [one, two]).0[0].bases == [0, 1])
        #expect(try batches(.interleaved, [one + two]).0[0].bases == [0, 1])
    }

    @Test(arguments: [
        ("a", "b"), ("SRR1.1", "SRR1.2"), ("SRR1.1.1", "SRR1.2.2"), ("SRR1.1.1", "SRR1.1.3"),
        ("SRR1.1 x", "SRR1.11 x"), ("a..1", "a..2"), ("ab.1", "ab.2"), ("a/1", "b/2"), ("a/3", "a/4"), ("a1", "a2"),
    ]) func namesOfOthers(first: String, second: String) {
        let texts = ["@\(first)\nA\n+\nI\n", "@\(second)\nC\n+\nI\n"]
        #expect(failure { _ = try batches(.paired, texts) }?.place == "r2:record 1")
        #expect(failure { _ = try batches(.interleaved, [texts.joined()]) }?.place == "r1:record 2")
    }

    @Test func qualityAlphabets() throws {
        func one(_ quality: String, _ encoding: QualityEncoding = .detected) throws -> [UInt8] {
            let text = "@a\n\(String(repeating: "A", count: quality.utf8.count))\n+\n\(quality)\n"
            return try batches(.unpaired, [text], qualities: encoding).0[0].qualities
        }
        #expect(try one("!~") == [0, 93])
        #expect(try one("#,:F") == [2, 11, 25, 37])
        // High scores alone are no sign of Phred+64, and neither are its low ones.
        #expect(try one("FFFF") == [37, 37, 37, 37] && one("BBCJ") == [33, 33, 34, 41])
        #expect(try one("?+5I") == [30, 10, 20, 40])
        let old = failure { _ = try one("ghhB") }
        #expect(old?.problem.contains("Phred+64") == true && old?.place == "r1:record 1")
        #expect(try one("ghhB", .phred64) == [39, 40, 40, 2] && one("ghhB", .phred33) == [70, 71, 71, 33])
        #expect(failure { _ = try one("gh?B", .phred64) }?.problem.contains("'@'") == true)
    }

    /// The first thing wrong in the input is what is told, in whatever pieces it comes.
    @Test(arguments: [1, 40, 1 << 20]) func theFirstFaultIsTold(pieces: Int) {
        let good = (0..<50).map { "@r\($0)\nACGT\n+\nIIII\n" }
        func place(_ layout: ReadLayout, _ changes: [(stream: Int, record: Int, text: String)]) -> String? {
            var streams = [good, good]
            for change in changes { streams[change.stream][change.record] = change.text }
            let texts = streams.prefix(layout == .paired ? 2 : 1).map { $0.joined() }
            return failure { _ = try batches(layout, Array(texts), pieces: pieces) }?.place
        }
        let (broken, foreign, noBase) = ("x\n", "@other\nA\n+\nI\n", "@r20\nAC!T\n+\nIIII\n")
        #expect(place(.paired, [(0, 30, broken), (1, 40, broken)]) == "r1:record 31")
        #expect(place(.paired, [(0, 40, broken), (1, 30, broken)]) == "r2:record 31")
        #expect(place(.paired, [(0, 30, broken), (1, 30, broken)]) == "r1:record 31")
        #expect(place(.paired, [(0, 30, broken), (1, 10, foreign)]) == "r2:record 11")
        #expect(place(.paired, [(1, 20, noBase), (1, 30, foreign)]) == "r2:record 21")
        #expect(place(.unpaired, [(0, 20, noBase), (0, 22, broken)]) == "r1:record 21")
        #expect(place(.interleaved, [(0, 45, broken)]) == "r1:record 2")
    }

    @Test func namesAreKeptOnRequest() throws {
        let pairs = [reads(5_000, mate: 1), reads(5_000, mate: 2)]
        #expect(try batches(.paired, pairs).0.allSatisfy { $0.names == nil })
        for (layout, streams) in [(ReadLayout.paired, pairs), (.unpaired, [pairs[0]])] {
            let kept = try batches(layout, streams, pieces: 1_000, keepsNames: true).0
            #expect(kept.count > 1)
            for batch in kept {
                let wrong = (0..<batch.readCount).count { read in
                    let number = (batch.firstOrdinal + UInt64(read)) / (batch.isPaired ? 2 : 1)
                    return !batch.names!.bytes[batch.nameRange(ofRead: read)].elementsEqual("read\(number)".utf8)
                }
                #expect(wrong == 0)
            }
        }
        let longest = String(repeating: "x", count: 254)
        _ = try batches(.unpaired, ["@\(longest)/1\nA\n+\nI\n"], keepsNames: true)
        // The numbers of mates that fastq-dump writes are no part of the name of a template.
        let spots = ["@SRR1.7.1 x\nA\n+\nI\n", "@SRR1.7.2 x\nA\n+\nI\n"]
        #expect(try batches(.paired, spots, keepsNames: true).0[0].names?.bytes == Array("SRR1.7".utf8))
        for name in [longest + "y", "a@b", "a\u{7}", "\u{e9}"] {
            let text = "@b\nA\n+\nI\n@\(name)\nA\n+\nI\n"
            _ = try batches(.unpaired, [text])
            let refused = failure { _ = try batches(.unpaired, [text], keepsNames: true) }
            #expect(refused?.place == "r1:record 2" && refused?.problem.hasPrefix("name") == true)
        }
    }

    @Test func realReads() throws {
        guard let path = TestData.path("hg001_b37_chr20") else { return }
        let names = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.contains("q.gz") }.sorted()
        guard names.count == 2 else { return }
        let sources = try names.map { name in
            let inflater = GzipInflater(label: name, limits: .init(requiresBGZFEndMarker: false))
            let parser = FASTQParser(label: name)
            var blocks: [FASTQBlock] = []
            try FileReader.forEachPiece(of: path + "/" + name) { chunk in
                try inflater.feed(chunk) { try parser.feed($0) { blocks.append($0) } }
            }
            try inflater.finish { try parser.feed($0) { blocks.append($0) } }
            try parser.finish { blocks.append($0) }
            return (label: name, source: { blocks.isEmpty ? nil : blocks.removeFirst() } as ReadBatcher.Source)
        }
        var total = 0
        let counts = try ReadBatcher(layout: .paired, streams: sources).run { total += $0.readCount }
        #expect(total == 2 * 25_839)
        #expect(counts.reads == total)
    }
}
