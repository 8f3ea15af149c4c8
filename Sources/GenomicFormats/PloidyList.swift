import Diagnostics
import Storage

public enum Sex: String, Sendable, CaseIterable {
    case male
    case female
}

/// Ploidy by sex and region, as `bcftools call --ploidy-file` takes it: columns CHROM, FROM, TO (1-based, both
/// included), SEX (M, F, or * for both) and PLOIDY; a line of `*` for CHROM, FROM and TO is the ploidy everywhere else.
public struct PloidyList: Sendable {
    private struct Rule: Sendable {
        var contig: String?
        var range: Range<Int>
        var sex: Sex?
        var ploidy: Int
        var line: Int
    }

    private let rules: [Rule]
    private let label: String
    /// A preset may name contigs that a genome does not have.
    private let needsContigs: Bool

    public static func read(_ path: String) throws -> PloidyList {
        let bytes = try readWhole(path)
        return try bytes.withUnsafeBytes { try PloidyList(parsing: $0, label: path) }
    }

    public init(parsing bytes: UnsafeRawBufferPointer, label: String) throws {
        var rules: [Rule] = []
        try TableReader.forEachLine(of: bytes, label: label) { number, line in
            func failure(_ problem: String) -> Failure {
                Failure(
                    .data, at: "\(label):line \(number)", problem,
                    remedy: "write CHROM FROM TO SEX PLOIDY, as for bcftools call --ploidy-file")
            }
            if line[0] == UInt8(ascii: "#") { return }
            let fields = line.split(whereSeparator: { $0 == 9 || $0 == 32 }).map { String(decoding: $0, as: UTF8.self) }
            guard !fields.isEmpty else { return }
            guard fields.count == 5 else { throw failure("has \(fields.count) columns, not five") }
            guard let ploidy = Int(fields[4]), (0...2).contains(ploidy) else {
                throw failure("PLOIDY is not 0, 1 or 2")
            }
            guard let sex = ["M": Sex.male, "F": .female, "*": nil][fields[3]] else {
                throw failure("SEX is not M, F or *")
            }
            if fields[0...2] == ["*", "*", "*"] {
                guard ploidy > 0 else { throw failure("the ploidy everywhere else is not 1 or 2") }
                rules.append(Rule(contig: nil, range: 0..<1, sex: sex, ploidy: ploidy, line: number))
                return
            }
            guard let from = Int(fields[1]), let to = Int(fields[2]), from >= 1, to >= from, to <= Int(Int32.max) else {
                throw failure("FROM and TO are no range of places from 1 on")
            }
            rules.append(Rule(contig: fields[0], range: from - 1..<to, sex: sex, ploidy: ploidy, line: number))
        }
        guard !rules.isEmpty else {
            throw Failure(
                .data, at: label, "holds no rule",
                remedy: "write CHROM FROM TO SEX PLOIDY, as for bcftools call --ploidy-file")
        }
        self.init(rules: rules, label: label, needsContigs: true)
    }

    private init(rules: [Rule], label: String, needsContigs: Bool) {
        self.rules = rules
        self.label = label
        self.needsContigs = needsContigs
    }

    /// Whether the list says the same for everyone.
    public var dependsOnSex: Bool { rules.contains { $0.sex != nil } }

    /// The human assemblies, by the length of their X, and the places of the X that have no partner on the Y.
    private static let assemblies: [(name: String, lengthOfX: Int, single: [Range<Int>])] = [
        ("GRCh37", 155_270_560, [0..<60_000, 2_699_520..<154_931_043]),
        ("GRCh38", 156_040_895, [0..<9_999, 2_781_479..<155_701_382]),
        ("T2T-CHM13", 154_259_566, [2_394_410..<153_925_834]),
    ]

    /// The rules of the human assembly that `contigs` are of, known by the length of its X; nil for another genome.
    public static func human(contigs: [(name: String, length: Int)]) -> PloidyList? {
        guard let x = contigs.first(where: { ["X", "chrX"].contains($0.name) }),
            let assembly = assemblies.first(where: { $0.lengthOfX == x.length })
        else { return nil }
        var rules: [Rule] = []
        func add(_ names: [String], _ range: Range<Int>, _ sex: Sex?, _ ploidy: Int) {
            for name in names { rules.append(Rule(contig: name, range: range, sex: sex, ploidy: ploidy, line: 0)) }
        }
        for range in assembly.single { add(["X", "chrX"], range, .male, 1) }
        add(["Y", "chrY"], 0..<Int(Int32.max), .male, 1)
        add(["Y", "chrY"], 0..<Int(Int32.max), .female, 0)
        add(["M", "MT", "chrM", "chrMT"], 0..<Int(Int32.max), nil, 1)
        return PloidyList(rules: rules, label: assembly.name, needsContigs: false)
    }

    /// What the list says of one sex: the ploidy everywhere else, and ranges by contig, sorted and disjoint. Of rules
    /// that overlap the first one counts.
    ///
    /// - Throws: ``Failure`` `.data` when a rule names a contig that the genome does not have.
    public func rules(
        of sex: Sex, contigs: [(name: String, length: Int)]
    ) throws -> (usual: Int, ranges: [[(range: Range<Int>, ploidy: Int)]]) {
        let wanted = rules.filter { $0.sex == nil || $0.sex == sex }
        if needsContigs,
            let rule = rules.first(where: { rule in
                rule.contig.map { name in !contigs.contains { $0.name == name } } ?? false
            })
        {
            throw Failure(
                .data, at: "\(label):line \(rule.line)", "contig '\(rule.contig ?? "")' is not in the reference",
                remedy: "check that the names agree (chrX is not X)")
        }
        let usual = wanted.first { $0.contig == nil }?.ploidy ?? 2
        let ranges = contigs.map { contig -> [(range: Range<Int>, ploidy: Int)] in
            let own = wanted.filter { $0.contig == contig.name }
            let borders = Set(own.flatMap { [$0.range.lowerBound, min($0.range.upperBound, contig.length)] }).sorted()
            return zip(borders, borders.dropFirst()).compactMap { from, to in
                guard let rule = own.first(where: { $0.range.contains(from) }) else { return nil }
                return rule.ploidy == usual ? nil : (from..<to, rule.ploidy)
            }
        }
        return (usual, ranges)
    }
}
