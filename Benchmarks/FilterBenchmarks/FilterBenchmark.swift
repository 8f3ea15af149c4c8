public import BenchmarkSupport
internal import Compression
internal import Diagnostics
internal import Filtering
internal import Foundation
internal import GenomicFormats
internal import Metering
internal import Storage

/// Time from VCF.gz to filtered VCF.gz, and to filtered text, of the shipped filter and of the programs that are installed
/// beside it. Programs are timed from before their start to their end, without the shell that starts them.
public struct FilterBenchmark {
    public enum Level: String, Sendable { case fast, compact }

    /// Records of the call set, and how many of them are taken out.
    public var records = 4_000_000
    public var extracted = [0, 30_000, 1_500_000, 3_000_000]
    public var threads = [1, 2]
    /// Runs of each program; the quickest counts.
    public var samples = 1
    public var level = Level.fast
    public var comparesPeers = true
    /// Seconds after which a peer is stopped and left out: seeking to millions of points takes some of them hours.
    public var peerLimit = 120
    /// The `dsgd` that is timed as a program, as its peers are: this very one, where it is that.
    public var command: String? = {
        let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return own.flatMap { $0.hasSuffix("/dsgd") ? $0 : nil }
    }()

    private let directory: String
    private var input: String { directory + "/in.vcf.gz" }

    /// - Parameter directory: exists and is empty; files of the size of the call set are made there.
    public init(directory: String) { self.directory = directory }

    private struct Run {
        var seconds: [Double] = []
        var stages: [StageMeasurement] = []
        var body = Body()
        var best: Double { seconds.min() ?? 0 }
    }

    /// What makes two bodies equal: their number of lines and FNV-1a over all their bytes.
    private struct Body: Equatable {
        var lines = 0
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    }

    /// Measures all, and hands each figure on as it is there.
    ///
    /// - Throws: ``Failure`` when a file cannot be written, or a peer fails.
    public func run(_ report: (BenchmarkResult) -> Void) throws -> [BenchmarkResult] {
        let calls = try CallSet(records: records, to: input)
        var results: [BenchmarkResult] = []
        func add(
            _ name: String, _ variant: String, _ threads: Int, _ value: Double, _ unit: String, spread: Double = 0
        ) {
            let result = BenchmarkResult(
                name: name, variant: variant, threads: threads, place: "file", value: value, unit: unit, spread: spread)
            results.append(result)
            report(result)
        }
        for byPoints in [false, true] {
            for count in extracted where !(byPoints && count == 0) {
                let bed = directory + "/targets.bed"
                let file = try PartialFile(path: bed, audience: .everyone)
                try calls.bed(of: count, byPoints: byPoints).withUnsafeBytes { try file.write($0) }
                try file.commit()
                let name = "filter.\(byPoints ? "points" : "regions").\(count)"
                for threads in threads {
                    let programs = try self.programs(bed: bed, threads: threads)
                    var runs = [Run](repeating: Run(), count: programs.count)
                    for sample in 0..<samples {
                        for (index, program) in programs.enumerated() {
                            if sample > 0 && runs[index].seconds.isEmpty { continue }
                            guard let time = try program.run() else {
                                runs[index].seconds = []
                                try? FileManager.default.removeItem(atPath: program.output)
                                continue
                            }
                            runs[index].seconds.append(time.seconds)
                            if runs[index].best == time.seconds { runs[index].stages = time.stages }
                            if sample == 0 { runs[index].body = try body(program.output) }
                            try FileManager.default.removeItem(atPath: program.output)
                        }
                    }
                    for (program, run) in zip(programs, runs) {
                        guard !run.seconds.isEmpty else {
                            add(name + ".stopped", program.name, threads, Double(peerLimit), "s")
                            continue
                        }
                        let spread = ((run.seconds.max() ?? 0) - run.best) / run.best
                        add(name, program.name, threads, run.best, "s", spread: spread)
                        for stage in run.stages {
                            let rate = stage.megabitsPerSecond
                            add(name + "." + stage.stage.label, program.name, threads, rate, "Mbit/s")
                        }
                        add(name + ".lines", program.name, threads, Double(run.body.lines), "lines")
                        guard program.isPeer else { continue }
                        // Who writes text is held against both; who writes VCF.gz against VCF.gz alone.
                        for (other, own) in zip(programs, runs)
                        where !other.isPeer && other.readsByIndex && (program.writesText || !other.writesText) {
                            add(name + ".ratio." + other.name, program.name, threads, run.best / own.best, "times")
                        }
                        add(name + ".same", program.name, threads, run.body == runs[0].body ? 1 : 0, "body")
                    }
                }
            }
        }
        return results
    }

    /// What one program took; stages of the shipped filter alone.
    private struct Time {
        var seconds: Double
        var stages: [StageMeasurement] = []
    }

    /// What is measured on one set of targets. The filter with the index that lies beside the input comes first.
    private struct Program {
        var name: String
        /// Plain VCF; otherwise VCF.gz.
        var writesText = false
        var readsByIndex = true
        var isPeer = false
        var output: String
        /// Nil when it was stopped.
        var run: () throws -> Time?
    }

    private func programs(bed: String, threads: Int) throws -> [Program] {
        let own = [("dsgd", true, false), ("dsgd.scan", false, false), ("dsgd.text", true, true)].map {
            name, usesIndex, writesText in
            let output = directory + "/\(name).vcf" + (writesText ? "" : ".gz")
            return Program(name: name, writesText: writesText, readsByIndex: usesIndex, output: output) {
                [input, level] in
                let start = monotonicSeconds()
                let filter = VCFFilter(selection: .regions(try BEDReader.read(bed)), overlap: .position)
                let settings = FilterOutput(
                    format: writesText ? .vcf : .vcfGz, level: level == .fast ? .fast : .compact, threads: threads,
                    makesIndex: false)
                let report = try filter.filterFile(input, to: output, output: settings, usesIndex: usesIndex)
                return Time(seconds: monotonicSeconds() - start, stages: report.measurements)
            }
        }
        var scripts: [(name: String, needs: [String], isPeer: Bool, writesText: Bool, script: String)] = []
        if let command {
            let start = "\"\(command)\" filter \"$0\" -R \"$1\" -@ \(threads) -l \(level.rawValue) --no-version"
            scripts += [
                ("dsgd.program", [], false, false, "\(start) -o \"$2\""),
                ("dsgd.program.text", [], false, true, "\(start) -O v -o \"$2\""),
            ]
        }
        if comparesPeers {
            let view = "bcftools view" + (threads > 1 ? " --threads \(threads)" : "")
            scripts += [
                ("bcftools -T", ["bcftools"], true, false, "\(view) -T \"$1\" --targets-overlap 0 -Oz -o \"$2\" \"$0\""),
                ("bcftools -R", ["bcftools"], true, false, "\(view) -R \"$1\" --regions-overlap 0 -Oz -o \"$2\" \"$0\""),
                (
                    "tabix|bgzip", ["tabix", "bgzip"], true, false,
                    "tabix -h -R \"$1\" \"$0\" | bgzip -@ \(threads) -c > \"$2\""
                ),
                ("tabix -R", ["tabix"], true, true, "tabix -h -R \"$1\" \"$0\" > \"$2\""),
            ]
        }
        return own
            + scripts.filter { $0.needs.allSatisfy(Self.isInstalled) }.map { name, _, isPeer, writesText, script in
                let output = directory + "/program.vcf" + (writesText ? "" : ".gz")
                return Program(name: name, writesText: writesText, isPeer: isPeer, output: output) {
                    [input, peerLimit] in
                    try Self.shell(script, [input, bed, output], name: name, limit: peerLimit).map { Time(seconds: $0) }
                }
            }
    }

    private static func isInstalled(_ program: String) -> Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
        }
    }

    /// Runs a script and returns the seconds that its commands took; nil when that was too long.
    private static func shell(_ script: String, _ arguments: [String], name: String, limit: Int) throws -> Double? {
        let clock = arguments[2] + ".seconds"
        defer { try? FileManager.default.removeItem(atPath: clock) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
        process.arguments =
            [
                "\(limit)", "/bin/bash", "-c",
                "set -eo pipefail; LC_ALL=C; a=$EPOCHREALTIME; \(script); b=$EPOCHREALTIME; echo $a $b > \"$3\"",
            ] + arguments + [clock]
        process.standardInput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        if process.terminationStatus == 124 { return nil }
        let times = (try? readWhole(clock)).map { String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace) }
        guard process.terminationStatus == 0, let times, times.count == 2, let start = Double(times[0]),
            let end = Double(times[1])
        else {
            throw Failure(
                .internalError, at: name, "ended with status \(process.terminationStatus)",
                remedy: "leave it out with --no-peers")
        }
        return end - start
    }

    private func body(_ path: String) throws -> Body {
        var body = Body()
        var isLineStart = true
        var isHeader = true
        let file = try FileReader(path: path)
        let inflater = GzipInflater(label: path)
        func take(_ bytes: UnsafeRawBufferPointer) {
            for byte in bytes {
                if isHeader && isLineStart && byte != UInt8(ascii: "#") { isHeader = false }
                isLineStart = byte == 10
                if isHeader { continue }
                body.hash = (body.hash ^ UInt64(byte)) &* 0x100_0000_01b3
                if isLineStart { body.lines += 1 }
            }
        }
        while try file.next({ try inflater.feed($0) { take($0) } }) {}
        try inflater.finish { take($0) }
        return body
    }
}
