/// The files about coverage, from the depths of all contigs.
struct CoverageFigures {
    let contigs: [ContigFigures]
    let coveringReads: Int
    private let genome: Histogram
    private let autosomes: Histogram
    private let knownAutosomes: Histogram

    /// Depths that the fine histogram tells apart.
    static let fineLimit = 1000
    /// Below this median of the autosomes the ratios of medians, which are whole numbers, tell nothing of the sex.
    static let leastPloidyMedian = 4.0
    private static let bounds = [100, 50, 20, 15, 10, 3, 1, 0]

    init(contigs: [ContigFigures], coveringReads: Int) {
        self.contigs = contigs
        self.coveringReads = coveringReads
        genome = Self.sum(contigs.map(\.depths))
        autosomes = Self.sum(contigs.filter { $0.role == .autosome }.map(\.depths))
        knownAutosomes = Self.sum(contigs.filter { $0.role == .autosome }.map(\.knownDepths))
    }

    private static func sum(_ histograms: [Histogram]) -> Histogram {
        histograms.reduce(into: Histogram()) { $0.add($1) }
    }

    private func depths(_ role: ContigRole) -> Histogram {
        Self.sum(contigs.filter { $0.role == role }.map(\.depths))
    }

    func summaryLines() -> [String] {
        var lines = MetricsLines("COVERAGE SUMMARY")
        let bases = genome.sum
        lines.add("Aligned bases", bases)
        lines.add("Aligned bases in genome", bases, of: bases)
        lines.add("Average alignment coverage over genome", genome.mean)
        for share in [0.2, 0.4] {
            lines.add("Uniformity of coverage (PCT > \(share)*mean) over genome", uniformity(share))
        }
        for range in Self.openRanges + Self.closedRanges {
            lines.add("PCT of genome with coverage \(Self.name(range, padded: true))", share(range))
        }
        let (x, y) = (depths(.x).mean, depths(.y).mean)
        lines.add("Average chr X coverage over genome", x)
        lines.add("Average chr Y coverage over genome", y)
        lines.add("Average mitochondrial coverage over genome", depths(.mitochondrion).mean)
        lines.add("Average autosomal coverage over genome", autosomes.mean)
        lines.add("Median autosomal coverage over genome", autosomes.median)
        lines.add("Mean/Median autosomal coverage ratio over genome", ratio(autosomes.mean, autosomes.median))
        lines.add("XAvgCov/YAvgCov ratio over genome", ratio(x, y))
        lines.add("XAvgCov/AutosomalAvgCov ratio over genome", ratio(x, autosomes.mean))
        lines.add("YAvgCov/AutosomalAvgCov ratio over genome", ratio(y, autosomes.mean))
        lines.add("Aligned reads", coveringReads)
        lines.add("Aligned reads in genome", coveringReads, of: coveringReads)
        return lines.lines
    }

    /// Percentage of positions deeper than a share of the mean.
    private func uniformity(_ share: Double) -> Double? {
        guard let mean = genome.mean, mean > 0 else { return nil }
        return percent(genome.count(in: Int(share * mean) + 1..<Int.max), genome.total)
    }

    private static let openRanges = bounds.map { $0..<Int.max }
    private static let closedRanges = zip(bounds.dropFirst(), bounds).map { $0..<$1 }

    private static func name(_ range: Range<Int>, padded: Bool) -> String {
        func text(_ bound: Int) -> String {
            let text = bound == .max ? "inf" : "\(bound)x"
            return padded ? String(repeating: " ", count: 4 - text.utf8.count) + text : text
        }
        return "[\(text(range.lowerBound)):\(text(range.upperBound)))"
    }

    private func share(_ range: Range<Int>) -> Double? {
        genome.total > 0 ? percent(genome.count(in: range), genome.total) : nil
    }

    func meanLines() -> [String] {
        genome.mean.map { ["Average alignment coverage over wgs,\(fixed($0))"] } ?? []
    }

    func coarseLines() -> [String] {
        ([Self.openRanges[0]] + Self.closedRanges).compactMap { range in
            share(range).map { "PCT of bases in wgs with coverage \(Self.name(range, padded: false)),\(fixed($0))" }
        }
    }

    func fineLines() -> [String] {
        ["Depth,Overall"] + (0..<Self.fineLimit).map { "\($0),\(genome[$0])" }
            + ["\(Self.fineLimit)+,\(genome.count(in: Self.fineLimit..<Int.max))"]
    }

    func contigLines() -> [String] {
        func line(_ name: String, _ depths: Histogram) -> String? {
            depths.mean.map { "\(field(name)),\(depths.sum),\(fixed($0, 4))" }
        }
        let all = contigs.map { line($0.name, $0.depths) } + [line("Autosomal regions", autosomes)]
        return all.compactMap(\.self)
    }

    /// Medians over the bases that the reference knows: half of some references' Y is N.
    func ploidyLines() -> [String] {
        var lines = MetricsLines("PLOIDY ESTIMATION")
        guard let autosomal = knownAutosomes.median else { return [] }
        let x = contigs.first { $0.role == .x }?.knownDepths.median
        let y = contigs.first { $0.role == .y }?.knownDepths.median
        lines.add("Autosomal median coverage", autosomal)
        lines.add("X median coverage", x)
        lines.add("Y median coverage", y)
        for contig in contigs where contig.role == .autosome {
            let number = contig.name.hasPrefix("chr") ? String(contig.name.dropFirst(3)) : contig.name
            lines.add("\(number) median / Autosomal median", ratio(contig.knownDepths.median, autosomal))
        }
        lines.add("X median / Autosomal median", ratio(x, autosomal))
        lines.add("Y median / Autosomal median", ratio(y, autosomal))
        if autosomal >= Self.leastPloidyMedian, let x = ratio(x, autosomal), let y = ratio(y, autosomal) {
            lines.add("Ploidy estimation", text: Self.karyotype(x, y))
        }
        return lines.lines
    }

    /// Two copies of the autosomes are the measure. Fewer than two sex chromosomes are filled up: `X0`, `00`.
    static func karyotype(_ x: Double, _ y: Double) -> String {
        let text = String(repeating: "X", count: copies(x)) + String(repeating: "Y", count: copies(y))
        return text + String(repeating: "0", count: max(0, 2 - text.utf8.count))
    }

    /// At most nine, which no living sample has.
    private static func copies(_ ratio: Double) -> Int { min(9, Int((2 * ratio).rounded())) }
}
