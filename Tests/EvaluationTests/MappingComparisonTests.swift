import Diagnostics
import Evaluation
import TestSupport
import Testing

@Suite struct MappingComparisonTests {
    /// A SAM line of a read whose first mate comes from + 1,000 and second from - 1,250 of `contig`.
    static func line(
        _ flags: Int, _ contig: String, _ position: Int, _ quality: Int, _ cigar: String = "150M",
        name: String = "A:1:2#chr1_2_+1000_-1250"
    ) -> String {
        "\(name)\t\(flags)\t\(contig)\t\(position)\t\(quality)\t\(cigar)\t=\t1250\t400\tACGT\tFFFF\tNM:i:0\n"
    }

    static func report(_ text: String, isForeign: Bool = false, piece: Int = .max) throws -> MappingReport {
        let comparison = MappingComparison(label: "a.sam", isForeign: isForeign)
        let bytes = Array(text.utf8)
        try bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: bytes.count, by: min(piece, max(1, bytes.count))) {
                let end = piece == .max ? bytes.count : min(start + piece, bytes.count)
                try comparison.feed(.init(rebasing: bytes[start..<end]))
            }
        }
        return try comparison.finish()
    }

    @Test(arguments: [
        // flags, contig, position, CIGAR, whether it is correct
        (99, "chr1", 1_000, "150M", true), (147, "chr1", 1_250, "150M", true), (99, "chr1", 1_060, "150M", true),
        (99, "chr1", 940, "150M", true), (99, "chr1", 1_061, "150M", false), (99, "chr1", 939, "150M", false),
        (83, "chr1", 1_000, "150M", false), (99, "chr2", 1_000, "150M", false), (99, "chr10", 1_000, "150M", false),
        (99, "chr", 1_000, "150M", false), (99, "chr1", 1_100, "100S50M", true), (99, "chr1", 1_100, "60H40S50M", true),
        (99, "chr1", 1_100, "50M100S", false), (147, "chr1", 1_250, "70S80M", true),
        (147, "chr1", 1_000, "150M", false),
        (99, "chr1", 1_100, "*", false), (0, "chr1", 1_000, "150M", true), (16, "chr1", 1_250, "150M", false),
    ])
    func placesAreJudged(_ flags: Int, _ contig: String, _ position: Int, _ cigar: String, _ isCorrect: Bool) throws {
        let report = try Self.report(Self.line(flags, contig, position, 60, cigar))
        #expect(report.reads == 1 && report.mapped == 1 && report.correct == (isCorrect ? 1 : 0))
        #expect(report.correctAt60 == report.correct && report.wrongAt20 == 1 - report.correct)
    }

    static let many = "@HD\tVN:1.6\n@SQ\tSN:chr1\tLN:5000\n"
        + line(99, "chr1", 1_000, 60) + line(147, "chr1", 1_250, 19) + line(99, "chr1", 4_000, 20)
        + line(99, "chr1", 4_000, 3) + line(77, "*", 0, 0, "*") + line(355, "chr1", 9, 0) + line(2_147, "chr1", 9, 60)
        + line(99, "chr1", 1_000, 20) + line(99, "chr1", 1_000, 255)
        + line(99, "chr1", 1_000, 60, name: "r#HLA_A#1_x_1_+1000_-7") + line(0, "chr1", 1_000, 30, name: "r#*")
        + line(4, "*", 0, 0, name: "r#*") + line(0, "chr1", 1_000, 60, name: "r#chr1_1_+999_-7/1")

    @Test func countsAndCalibration() throws {
        let report = try Self.report(Self.many)
        #expect(report.reads == 11 && report.mapped == 9 && report.passedOver == 2)
        #expect(report.correct == 5 && report.correctAt20 == 3 && report.wrongAt20 == 3 && report.correctAt60 == 2)
        #expect(report.foreign == 2 && report.foreignMapped == 1)
        #expect(
            report.qualities == [
                .init(quality: 255, mapped: 1, wrong: 0), .init(quality: 60, mapped: 3, wrong: 1),
                .init(quality: 30, mapped: 1, wrong: 1), .init(quality: 20, mapped: 2, wrong: 1),
                .init(quality: 19, mapped: 1, wrong: 0), .init(quality: 3, mapped: 1, wrong: 1),
            ])
        #expect(report.table.contains("correct                        5    45.4545 %"))
        for piece in [1, 7, 64] { #expect(try Self.report(Self.many, piece: piece) == report) }
        // The last line may lack its end.
        #expect(try Self.report(String(Self.many.dropLast())) == report)
        #expect(try Self.report(Self.many.replacing("\n", with: "\r\n")) == report)
    }

    @Test func aContigMayHaveAnyName() throws {
        let name = "r#HLA_A#1_x_1_+1000_-7"
        #expect(try Self.report(Self.line(99, "HLA_A#1_x", 1_000, 60, name: name)).correct == 1)
        #expect(try Self.report(Self.line(147, "HLA_A#1_x", 1_000, 60, name: name)).correct == 0)
        #expect(try Self.report(Self.line(163, "HLA_A#1_x", 7, 60, name: name)).correct == 0)
        #expect(try Self.report(Self.line(179, "HLA_A#1_x", 7, 60, name: name)).correct == 1)
    }

    @Test func readsOfAnotherGenomeAreWrongWhereverTheyAre() throws {
        let text = Self.line(99, "chr1", 1_000, 60) + Self.line(77, "*", 0, 0, "*", name: "any")
        let report = try Self.report(text, isForeign: true)
        #expect(report.reads == 2 && report.correct == 0 && report.wrongAt20 == 1 && report.foreignMapped == 1)
    }

    @Test(arguments: [
        "", "@HD\tVN:1.6\n", "no tabs\n", "a\tb\tc\n", line(99, "chr1", 1_000, 256), line(70_000, "chr1", 1_000, 60),
        line(99, "chr1", -5, 60), line(99, "chr1", 1_000, 60, name: "A:1:2"), line(99, "chr1", 1, 60, name: "A#"),
        line(99, "chr1", 1, 60, name: "A#chr1"), line(99, "chr1", 1, 60, name: "A#chr1_1_+5"),
        line(99, "chr1", 1, 60, name: "A#chr1_1_5_6"), line(99, "chr1", 1, 60, name: "A#chr1_3_+5_-6"),
        line(99, "chr1", 1, 60, name: "A#chr1_1_+_-6"), line(99, "chr1", 1, 60, name: "A#_1_+1_-6_"),
        line(99, "chr1", 1, 60, name: "A#chr1_1_+5_-99999999999999999999999999"), "BAM\u{1}\u{0}\u{0}",
    ])
    func badInputIsRefused(_ text: String) throws {
        #expect(throws: Failure.self) { try Self.report(text) }
    }

    @Test func aMessageNamesTheLine() throws {
        let failure = #expect(throws: Failure.self) { try Self.report(Self.many + "x\ty\n") }
        #expect(failure?.kind == .data && failure?.place == "a.sam:line 16")
        #expect(throws: Failure.self) { try MappingComparison.run("/nowhere/a.sam") }
        let directory = try TemporaryDirectory()
        try directory.write(Array(Self.many.utf8), to: "a.sam")
        #expect(try MappingComparison.run(directory.file("a.sam")) == Self.report(Self.many))
    }
}
