import Compression
import Diagnostics
import Foundation
import GenomicFormats
import Synchronization
import TestSupport
import Testing

/// Bytes in memory as a source; it waits for `stop` behind them when it was told to.
private final class MemorySource: ReadSource, @unchecked Sendable {
    let label: String
    private let bytes: [UInt8]
    private let piece: Int
    private let waits: Bool
    private var at = 0
    private let stopped = DispatchSemaphore(value: 0)

    init(_ bytes: [UInt8], label: String = "r", piece: Int = 1 << 20, waits: Bool = false) {
        (self.bytes, self.label, self.piece, self.waits) = (bytes, label, piece, waits)
    }

    func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        if at == bytes.count {
            guard waits else { return false }
            stopped.wait()
            throw Failure(.transient, at: label, "stopped", remedy: "none")
        }
        let end = min(at + piece, bytes.count)
        defer { at = end }
        try bytes[at..<end].withUnsafeBytes(body)
        return true
    }

    func stop() { stopped.signal() }
}

private func fastq(_ reads: Range<Int>, mate: Int) -> [UInt8] {
    var random = SplitMix64(seed: UInt64(mate))
    var text: [UInt8] = []
    for number in reads {
        let length = 35 + (number * (mate + 6)) % 117
        text += Array("@run:\(number)/\(mate) c\n".utf8)
        text += (0..<length).map { _ in Array("ACGTN".utf8)[Int(random.next() % 5)] }
        text += Array("\n+\n".utf8)
        text += (0..<length).map { _ in Array("#,:F".utf8)[Int(random.next() % 4)] }
        text.append(10)
    }
    return text
}

private func gzip(_ bytes: [UInt8], members: Int = 1) throws -> [UInt8] {
    // The system's gzip writes the members; BGZF blocks would be members too, but known as BGZF.
    let directory = try TemporaryDirectory()
    var result: [UInt8] = []
    for part in 0..<members {
        let range = bytes.count * part / members..<bytes.count * (part + 1) / members
        try directory.write(Array(bytes[range]), to: "part")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "gzip -1 -n < part > part.gz"]
        process.currentDirectoryURL = URL(fileURLWithPath: directory.path)
        try process.run()
        process.waitUntilExit()
        result += try directory.read("part.gz")
    }
    return result
}

private func bgzf(_ bytes: [UInt8]) -> [UInt8] {
    bytes.withUnsafeBytes { BGZF.compress($0, level: .fast) }.bytes
}

private func all(_ files: ReadFiles) throws -> ([ReadBatch], ReadBatcher.Counts) {
    var batches: [ReadBatch] = []
    let counts = try files.forEachBatch { batches.append($0) }
    return (batches, counts)
}

/// What a batch holds, to be compared.
private func content(_ batches: [ReadBatch]) -> [[UInt8]] {
    batches.map { Array("\($0.firstOrdinal) \($0.isPaired) \($0.readGroup) \($0.offsets)".utf8) + $0.bases + $0.qualities }
}

/// The same without the borders of batches.
private func reads(_ batches: [ReadBatch]) -> [[UInt8]] { [batches.flatMap(\.bases), batches.flatMap(\.qualities)] }

@Suite(.serialized) struct ReadFilesTests {
    private static let count = 9_000

    @Test func everyPackingGivesTheSameBatches() throws {
        let directory = try TemporaryDirectory()
        let (one, two) = (fastq(0..<Self.count, mate: 1), fastq(0..<Self.count, mate: 2))
        let packings: [(name: String, pack: ([UInt8]) throws -> [UInt8])] = [
            ("plain", { $0 }), ("gzip", { try gzip($0) }), ("members", { try gzip($0, members: 5) }), ("bgzf", bgzf),
        ]
        var expected: [[UInt8]]?
        for (name, pack) in packings {
            try directory.write(try pack(one), to: name + "1")
            try directory.write(try pack(two), to: name + "2")
            for threads in [1, 2, 7] {
                let paths = [directory.file(name + "1"), directory.file(name + "2")]
                let (batches, counts) = try all(ReadFiles(paths: paths, layout: .paired, threads: threads))
                let got = content(batches)
                #expect(got == expected ?? got, "\(name) on \(threads) threads")
                expected = got
                #expect(counts.reads == 2 * Self.count && counts.fastqBytes == one.count + two.count)
                #expect(counts.bases == batches.reduce(0) { $0 + $1.bases.count })
            }
        }
    }

    @Test(arguments: [1_000, 65_537, 1 << 20]) func piecesOfAnySize(piece: Int) throws {
        let (one, two) = (fastq(0..<Self.count, mate: 1), fastq(0..<Self.count, mate: 2))
        let expected = try all(ReadFiles(sources: [MemorySource(one), MemorySource(two)], layout: .paired)).0
        let sources = [MemorySource(bgzf(one), piece: piece), MemorySource(two, piece: piece / 3 + 1)]
        #expect(content(try all(ReadFiles(sources: sources, layout: .paired)).0) == content(expected))
    }

    @Test func interleavedAndLanesGiveTheSameReads() throws {
        let directory = try TemporaryDirectory()
        let (one, two) = (fastq(0..<Self.count, mate: 1), fastq(0..<Self.count, mate: 2))
        let whole = try all(ReadFiles(sources: [MemorySource(one), MemorySource(two)], layout: .paired))
        var mixed: [UInt8] = []
        var rests = [one[...], two[...]]
        for _ in 0..<Self.count {
            for mate in 0..<2 {
                let lines = rests[mate].indices.lazy.filter { rests[mate][$0] == 10 }.prefix(4)
                let end = Array(lines)[3] + 1
                mixed += rests[mate][..<end]
                rests[mate] = rests[mate][end...]
            }
        }
        let interleaved = try all(ReadFiles(sources: [MemorySource(mixed)], layout: .interleaved))
        #expect(content(interleaved.0) == content(whole.0) && interleaved.1 == whole.1)

        // Lanes: the reads are the same, and each batch is of one lane.
        let border = one.indices.filter { one[$0] == 10 }[4 * 4_100 - 1] + 1
        let other = two.indices.filter { two[$0] == 10 }[4 * 4_100 - 1] + 1
        for (name, bytes) in [
            ("a1", bgzf(Array(one[..<border]))), ("a2", Array(two[..<other])), ("b1", Array(one[border...])),
            ("b2", try gzip(Array(two[other...]))),
        ] { try directory.write(bytes, to: name) }
        let lanes = [
            ReadLane(paths: [directory.file("a1"), directory.file("a2")], readGroup: 3),
            ReadLane(paths: [directory.file("b1"), directory.file("b2")], readGroup: 1),
        ]
        let (batches, counts) = try all(ReadFiles(lanes: lanes, layout: .paired, threads: 2))
        #expect(counts == whole.1 && reads(batches) == reads(whole.0))
        #expect(batches.map(\.readGroup) == [3, 3, 3, 1, 1, 1] && batches.map(\.readCount) == [4096, 4096, 8, 4096, 4096, 1608])
        #expect(batches.map { Int($0.firstOrdinal) } == [0, 4096, 8192, 8200, 12296, 16392])
        // A lane that is short of mates is told by its own files, although the next lane would make up for it.
        let wrong = [
            ReadLane(paths: [directory.file("a1"), directory.file("b2")]),
            ReadLane(paths: [directory.file("b1"), directory.file("a2")]),
        ]
        #expect(failure { _ = try all(ReadFiles(lanes: wrong, layout: .paired)) }?.place.hasPrefix(directory.file("b2")) == true)
    }

    @Test func truncatedInputNamesFileAndPlace() throws {
        let text = fastq(0..<Self.count, mate: 1)
        for (packed, words) in [
            (try gzip(text), "truncated"), (bgzf(text), "truncated"), (text, "differ in length"),
        ] {
            let cut = Array(packed.prefix(packed.count / 2))
            var reads = 0
            let got = failure {
                _ = try ReadFiles(sources: [MemorySource(cut, label: "lane")], layout: .unpaired).forEachBatch {
                    reads += $0.readCount
                }
            }
            #expect(got?.kind == .data && got?.place.hasPrefix("lane:") == true, "\(got?.description ?? "accepted")")
            #expect(got?.problem.contains(words) == true || got?.problem.contains("not whole") == true)
            #expect(reads > 1_000 && reads < Self.count, "the reads before the fault come out")
        }
    }

    @Test func noThreadIsLeftBehind() throws {
        struct Enough: Error {}
        let (one, two) = (fastq(0..<Self.count, mate: 1), fastq(0..<Self.count, mate: 2))
        // The user gives up while one stream waits for input, and while the other has more than it may read ahead.
        let long = Array((0..<8).map { _ in one }.joined())
        for sources in [
            [MemorySource(one, waits: true), MemorySource(two, waits: true)], [MemorySource(long), MemorySource(two)],
        ] {
            let others = try threads(named: "dsgd-read")
            var reading: Set<String> = []
            #expect(throws: Enough.self) {
                _ = try ReadFiles(sources: sources, layout: .paired).forEachBatch { _ in
                    reading = try threads(named: "dsgd-read").subtracting(others)
                    throw Enough()
                }
            }
            #expect(!reading.isEmpty)
            #expect(try eventually { try threads(named: "dsgd-read").isDisjoint(with: reading) })
        }
    }

    @Test func waitingIsToldAndCanEndTheReading() throws {
        struct Enough: Error {}
        var calls = 0
        #expect(throws: Enough.self) {
            let source = MemorySource(fastq(0..<10, mate: 1), waits: true)
            let waiting = (
                seconds: 0.01,
                call: {
                    calls += 1
                    if calls == 3 { throw Enough() }
                }
            )
            _ = try ReadFiles(sources: [source], layout: .unpaired).forEachBatch(waiting: waiting) { _ in }
        }
        #expect(calls == 3)
    }

    /// A pipe whose writer says nothing does not hold up the end.
    @Test func pipesAreInterrupted() throws {
        struct Enough: Error {}
        let directory = try TemporaryDirectory()
        let (path, other) = (directory.file("pipe"), directory.file("1.fq"))
        try directory.write(fastq(0..<Self.count, mate: 1), to: "1.fq")
        #expect(mkfifo(path, 0o600) == 0)
        let writer = open(path, O_RDWR)
        defer { close(writer) }
        let started = ContinuousClock.now
        #expect(throws: Enough.self) {
            let waiting = (seconds: 0.05, call: { throw Enough() })
            _ = try ReadFiles(paths: [other, path], layout: .paired).forEachBatch(waiting: waiting) { _ in }
        }
        #expect(ContinuousClock.now - started < .seconds(60))
    }
}

@Suite struct FASTQListTests {
    private static let header = "RGID,RGSM,RGLB,Lane,Read1File,Read2File\n"

    private func parse(_ text: String) throws -> FASTQList {
        try Array(text.utf8).withUnsafeBytes { try FASTQList(parsing: $0, label: "l.csv", directory: "d/") }
    }

    @Test func lanesAndReadGroups() throws {
        let list = try parse(
            Self.header + "A.1,S1,L1,1,a_1.fq.gz,a_2.fq.gz\r\nA.2,S1,L2,2,/x/b_1.fq.gz,-\r\n\nB.1,S2,L1,1,c.fq,\n"
                + "A.1,S1,L1,3,e_1.fq,e_2.fq\n")
        #expect(list.samples.map(\.name) == ["S1", "S2"])
        let one = try list.sample("S1", label: "l.csv")
        #expect(one.layout == .paired && one.lanes.map(\.readGroup) == [0, 1, 0])
        #expect(one.lanes.map(\.paths) == [["d/a_1.fq.gz", "d/a_2.fq.gz"], ["/x/b_1.fq.gz", "-"], ["d/e_1.fq", "d/e_2.fq"]])
        #expect(one.readGroups.map(\.id) == ["A.1", "A.2"] && one.readGroups.map(\.library) == ["L1", "L2"])
        #expect(one.readGroups[0].sample == "S1" && one.readGroups[0].platformUnit == "A.1")
        #expect(try list.sample("S2", label: "l.csv").layout == .unpaired)
        let several = failure { _ = try list.sample(nil, label: "l.csv") }
        #expect(several?.problem == "has 2 samples" && several?.remedy.contains("'S1', 'S2'") == true)
        #expect(failure { _ = try list.sample("S3", label: "l.csv") }?.problem.contains("'S3'") == true)
        // Columns in another order, with a unit.
        let other = try parse("Lane,RGSM,RGPU,RGID,RGLB,RGCN,Read2File,Read1File\n1,S,u.1,g,l,c,,x.fq\n").sample(nil, label: "")
        #expect(other.lanes == [ReadLane(paths: ["d/x.fq"])] && other.readGroups[0].platformUnit == "u.1")
    }

    @Test func relativePathsBeginAtTheList() throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array((Self.header + "g,S,L,1,r.fq,\n").utf8), to: "list.csv")
        let list = try FASTQList.read(directory.file("list.csv"))
        #expect(list.samples[0].lanes[0].paths == [directory.file("r.fq")])
        #expect(failure { _ = try FASTQList.read(directory.file("none.csv")) }?.kind == .noInput)
    }

    @Test(arguments: [
        ("", 0, "no lane"), (header, 0, "no lane"), ("RGID,RGSM,RGLB,Lane,Read1File\ng,S,L,1,a\n", 1, "'Read2File' is missing"),
        ("RGID,RGSM,RGLB,Lane,Read1File,Read2File,Path\n", 1, "unknown column 'Path'"),
        ("RGID,RGSM,RGLB,Lane,Read1File,Read2File,Lane\n", 1, "twice"), (header + "g,S,L,1,a\n", 2, "5 fields"),
        (header + "g,S,L,1,a,b,c\n", 2, "7 fields"), (header + "g,,L,1,a,b\n", 2, "RGSM is empty"),
        (header + "g,S,L,1,,b\n", 2, "Read1File is empty"), (header + "g,S,L,x,a,b\n", 2, "Lane"),
        (header + "g,S T,L,1,a,b\n", 2, "one word"), (header + "g,S\u{7f},L,1,a,b\n", 2, "control"),
        (header + "g,S,\"L\",1,a,b\n", 2, "quotation"), (header + "g,S,L,1,a,b\ng,S,L,2,c,\n", 3, "without second mates"),
        (header + "g,S,L,1,a,a\n", 2, "twice"), (header + "g,S,L,1,a,b\nh,S,L,2,c,a\n", 3, "twice"),
        (header + "g,S,L,1,a,b\ng,S,M,2,c,d\n", 3, "another library"), ("@r\nA\n+\nI\n", 1, "unknown column"),
    ]) func errorsNameTheLine(text: String, line: Int, problem: String) {
        let got = failure { _ = try parse(text) }
        #expect(got?.kind == .data && got?.problem.contains(problem) == true, "\(got?.description ?? "accepted")")
        #expect(got?.place == (line == 0 ? "l.csv" : "l.csv:line \(line)"))
    }
}
