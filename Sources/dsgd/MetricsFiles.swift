import Engines
import RunMetrics
import Storage

/// The metrics files of one run, which appear when all results are whole.
final class MetricsFiles {
    private var files: [String: PartialFile] = [:]

    /// What may be written for one prefix.
    static func names(_ prefix: String) -> [String] { MetricsFile.suffixes.map { prefix + $0 } }

    init(prefix: String) throws {
        for suffix in MetricsFile.suffixes {
            files[suffix] = try PartialFile(path: prefix + suffix, audience: .everyone)
        }
    }

    /// Writes what is known of the run. A file for which nothing is known does not appear.
    ///
    /// - Parameters:
    ///   - loading: seconds until reads could be mapped.
    ///   - total: seconds of the whole run.
    func commit(_ result: GenotypingResult, of job: GenotypingJob, loading: Double, total: Double) throws {
        guard let figures = result.figures else { preconditionFailure("the job wanted no figures") }
        let written =
            figures.files(sample: job.sample, isRestricted: job.regions != nil)
            + [MetricsFile.times(Self.steps(result.metrics.seconds, loading: loading, total: total))]
        for file in written { try files[file.suffix]?.write(Array(file.text.utf8)) }
        for file in written { try files[file.suffix]?.commit() }
    }

    private static func steps(
        _ seconds: [String: Double], loading: Double, total: Double
    ) -> [(step: MetricsFile.Step, seconds: Double)] {
        // The engine's time of mapping ends when bins are in order.
        let sorting = (seconds["duplicates"] ?? 0) + (seconds["sorting"] ?? 0)
        let steps: [(MetricsFile.Step, Double?)] = [
            (.reference, loading), (.aligning, seconds["mapping"].map { $0 - sorting }), (.sorting, sorting),
            (.alignments, seconds["alignments"]), (.metrics, seconds["metrics"]), (.calling, seconds["calling"]),
            (.total, total),
        ]
        return steps.compactMap { step, seconds in seconds.map { (step, $0) } }
    }
}
