import ArgumentParser
import Diagnostics
import Engines
import Foundation
import GenomicFormats
import Hardware
import Mapping
import Metering
import Storage

struct GenotypeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "genotype",
        abstract: "FASTQ to VCF.gz with its index.",
        discussion: """
            Reads are FASTQ, plain, gzip or BGZF, of up to 500 bases. Several lanes are given by -1 (and -2) several times,
            or as --fastq-list: a CSV file with the columns RGID,RGSM,RGLB,Lane,Read1File,Read2File, paths relative to it.
            Mates have the same name, but for /1 and /2, what follows a blank, and .1 and .2 behind the number of a spot.
            Without second mates, and without --interleaved, reads are taken as unpaired. `-` is standard input for one
            file of reads, and standard output for the VCF.gz, which gets no index there.
            """)

    @OptionGroup var sample: SampleOptions
    @Option(name: .shortAndLong, help: "VCF.gz to write; the index goes beside it.") var output: String
    @Option(help: "BAM to write too, in the order of coordinates; the index goes beside it.") var bam: String?
    @Option(
        help: ArgumentHelp(
            "Beginning of the names of metrics files to write, as DRAGEN names them.",
            discussion: "out/S1 gives out/S1.mapping_metrics.csv and others; docs/FORMATS.md lists them.",
            valueName: "prefix"))
    var metrics: String?
    @Option(name: [.customShort("R"), .long], help: "Call at these regions only (BED).", completion: .file())
    var regions: String?
    @Flag(help: "Print counts and times as JSON.") var json = false

    func validate() throws {
        guard output != "-" || !json else { throw ValidationError("standard output is the VCF: --json needs -o FILE") }
        guard bam != "-" else { throw ValidationError("standard output has room for one result: --bam names a file") }
        guard let metrics else { return }
        guard metrics != "-", !metrics.isEmpty, !metrics.hasSuffix("/") else {
            throw ValidationError("--metrics is the beginning of file names, with the directory that they go to")
        }
    }

    func run() throws {
        let input = try sample.input()
        try checkFileNames(
            inputs: sample.inputs(input) + [regions].compactMap(\.self),
            outputs: [output, output + ".tbi"] + (bam.map { AlignmentFiles.names($0) } ?? [])
                + (metrics.map { MetricsFiles.names($0) } ?? []))
        // The outputs come first: a place that cannot be written is known before hours of work.
        let vcf = try PartialFile(path: output, audience: .everyone)
        let indexFile = vcf.isStream ? nil : try PartialFile(path: output + ".tbi", audience: .everyone)
        let alignments = try bam.map { try AlignmentFiles(path: $0) }
        let metricsFiles = try metrics.map { try MetricsFiles(prefix: $0) }
        let begun = monotonicSeconds()
        let profile = try HardwareProfile.choose(sample.hardwareProfile)
        profile.apply()
        let threads = sample.threadCount(profile)
        let engine = CPUEngine(profile: profile, threads: threads, memory: sample.memoryBytes)
        let genome = try FASTAReader.read(sample.reference, threads: threads)
        try alignments?.prepareIndex(for: genome)
        let wanted = try regions.map { path in
            let wanted = try BEDReader.read(path)
            let contigs = genome.contigs.map { VCFHeader.Contig(name: $0.name, length: $0.length) }
            try wanted.check(against: contigs, label: path)
            return wanted
        }
        if let index = sample.index { try engine.prepare(genome, index: index) } else { try engine.prepare(genome) }
        var job = GenotypingJob(
            sample: input.name, regions: wanted, readGroups: input.readGroups,
            alignments: alignments == nil ? nil : sample.alignmentHeader(genome, input))
        job.wantsFigures = metricsFiles != nil
        let session = try engine.open(job)
        let source = sample.files(input, threads: threads, keepsNames: alignments != nil)
        let started = monotonicSeconds()
        do {
            let counts = try source.forEachBatch { batch in
                try session.submit(batch)
                Terminal.progress("\(batch.firstOrdinal + UInt64(batch.readCount)) reads")
            }
            let result = try session.finish(alignments: alignments.map { files in { try files.write($0) } })
            try vcf.write(result.vcfGz)
            try indexFile?.write(result.index)
            try vcf.commit()
            try indexFile?.commit()
            if let alignments, let index = result.alignmentIndex { try alignments.commit(index) }
            try metricsFiles?.commit(result, of: job, loading: started - begun, total: monotonicSeconds() - begun)
            Terminal.clearProgress()
            let seconds = monotonicSeconds() - started
            let stage = StageMeasurement(
                stage: .genotyping, bytes: counts.fastqBytes + result.vcfBytes, seconds: seconds)
            if json {
                try printJSON(GenotypeSummary(metrics: result.metrics, stage: stage, hardwareProfile: profile.name))
            } else {
                Terminal.say(
                    "\(result.metrics.records) records from \(result.metrics.reads) reads in \(decimals(seconds, 2)) s, "
                        + "throughput A \(decimals(stage.megabitsPerSecond, 0)) Mbit/s, profile \(profile.name)")
            }
        } catch {
            session.cancel()
            throw error
        }
    }
}

struct GenotypeSummary: Codable {
    var metrics: GenotypingMetrics
    var stage: StageMeasurement
    var hardwareProfile: String
}

struct IndexCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "index",
        abstract: "Build the reference's index once, to a file that `dsgd genotype --index` takes.")

    @Option(name: .shortAndLong, help: "Reference genome (FASTA).", completion: .file()) var reference: String
    @Option(name: .shortAndLong, help: "Index to write; REFERENCE.dsgdx when left out.") var output: String?
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        guard reference != "-" || output != nil else { throw ValidationError("standard input has no name: give --output") }
        let path = output ?? reference + ".dsgdx"
        try checkFileNames(inputs: [reference], outputs: [path])
        let started = monotonicSeconds()
        let threads = threads.threads > 0 ? threads.threads : HardwareProfile.availableCores
        let index = try ReferenceIndex(genome: try FASTAReader.read(reference, threads: threads), threads: threads)
        try index.save(to: path)
        Terminal.say("\(index.byteCount) bytes in \(decimals(monotonicSeconds() - started, 2)) s, in \(path)")
    }
}
