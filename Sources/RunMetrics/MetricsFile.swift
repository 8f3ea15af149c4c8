import Foundation

/// One of DRAGEN's metrics files: what follows the prefix in its name, and its text.
public struct MetricsFile: Sendable, Equatable {
    public let suffix: String
    public let text: String

    /// What may follow the prefix, whichever files a run leaves.
    public static let suffixes = [
        mapping, variants, coverage, meanCoverage, coarseHistogram, fineHistogram, contigCoverage, fragmentLengths,
        ploidy, times,
    ]

    static let mapping = ".mapping_metrics.csv"
    static let variants = ".vc_metrics.csv"
    static let coverage = ".wgs_coverage_metrics.csv"
    static let meanCoverage = ".wgs_overall_mean_cov.csv"
    static let coarseHistogram = ".wgs_hist.csv"
    static let fineHistogram = ".wgs_fine_hist.csv"
    static let contigCoverage = ".wgs_contig_mean_cov.csv"
    static let fragmentLengths = ".fragment_length_hist.csv"
    static let ploidy = ".ploidy_estimation_metrics.csv"
    static let times = ".time_metrics.csv"

    init(_ suffix: String, _ lines: [String]) {
        self.suffix = suffix
        text = lines.map { $0 + "\n" }.joined()
    }
}

extension RunFigures {
    /// The files of a run, but for ``MetricsFile/times(_:)``. A file that would have no line is left out, and so is a
    /// line whose value is not known.
    ///
    /// - Parameters:
    ///   - sample: name of the sample. Commas in names, which the files have no way to write, become underscores.
    ///   - isRestricted: variants were called in some regions only.
    public func files(sample: String, isRestricted: Bool) -> [MetricsFile] {
        let coverage = CoverageFigures(contigs: contigs, coveringReads: coveringReads)
        return [
            MetricsFile(MetricsFile.mapping, mappingLines()),
            MetricsFile(MetricsFile.variants, variantLines(sample: sample, isRestricted: isRestricted)),
            MetricsFile(MetricsFile.coverage, coverage.summaryLines()),
            MetricsFile(MetricsFile.meanCoverage, coverage.meanLines()),
            MetricsFile(MetricsFile.coarseHistogram, coverage.coarseLines()),
            MetricsFile(MetricsFile.fineHistogram, coverage.fineLines()),
            MetricsFile(MetricsFile.contigCoverage, coverage.contigLines()),
            MetricsFile(MetricsFile.fragmentLengths, fragmentLengthLines(sample: sample)),
            MetricsFile(MetricsFile.ploidy, coverage.ploidyLines()),
        ].filter { !$0.text.isEmpty }
    }
}

extension MetricsFile {
    /// One step of a run under the name that DRAGEN gives it.
    public enum Step: String, Sendable {
        case reference = "Time loading reference"
        case aligning = "Time aligning reads"
        case sorting = "Time sorting and marking duplicates"
        case alignments = "Time saving map/align output"
        case metrics = "Time calculating metrics"
        case calling = "Time variant calling"
        case total = "Total runtime"
    }

    /// The file of elapsed seconds.
    public static func times(_ steps: [(step: Step, seconds: Double)]) -> MetricsFile {
        MetricsFile(
            times,
            steps.map { entry in
                let milliseconds = Int((max(0, entry.seconds) * 1000).rounded())
                let clock = String(
                    format: "%02d:%02d:%02d.%03d", milliseconds / 3_600_000, milliseconds / 60_000 % 60,
                    milliseconds / 1000 % 60, milliseconds % 1000)
                return "RUN TIME,,\(entry.step.rawValue),\(clock),\(fixed(Double(milliseconds) / 1000))"
            })
    }
}

/// Lines of one section of a file.
struct MetricsLines {
    private(set) var lines: [String] = []
    private let start: String

    init(_ section: String, of name: String = "") { start = "\(section),\(field(name))," }

    mutating func add(_ name: String, _ value: Int) { lines.append("\(start)\(name),\(value)") }

    /// Left out when there is no value.
    mutating func add(_ name: String, _ value: Double?, decimals: Int = 2) {
        if let value { lines.append("\(start)\(name),\(fixed(value, decimals))") }
    }

    /// The percentage is left out when it would be one of nothing.
    mutating func add(_ name: String, _ value: Int, of whole: Int) {
        lines.append("\(start)\(name),\(value)" + (whole > 0 ? "," + fixed(percent(value, whole)) : ""))
    }

    mutating func add(_ name: String, text: String) { lines.append("\(start)\(name),\(text)") }
}

func field(_ name: String) -> String { name.replacingOccurrences(of: ",", with: "_") }

func fixed(_ value: Double, _ decimals: Int = 2) -> String { String(format: "%.\(decimals)f", value) }

func percent(_ part: Int, _ whole: Int) -> Double { 100 * Double(part) / Double(whole) }

/// nil when it would be by nothing.
func ratio(_ value: Double?, _ by: Double?) -> Double? {
    guard let value, let by, by > 0 else { return nil }
    return value / by
}
