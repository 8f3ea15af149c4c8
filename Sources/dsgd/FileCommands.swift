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
            Reads may be plain, gzip or BGZF. `-` is standard input for the reads and standard output for the VCF.gz, which
            gets no index there. One file of reads is taken as unpaired.
            """)

    @OptionGroup var sample: SampleOptions
    @Option(name: .shortAndLong, help: "VCF.gz to write; the index goes beside it.") var output: String
    @Option(help: "BAM to write too, in the order of coordinates; the index goes beside it.") var bam: String?
    @Option(name: [.customShort("R"), .long], help: "Call at these regions only (BED).", completion: .file())
    var regions: String?
    @Flag(help: "Print counts and times as JSON.") var json = false

    func validate() throws {
        guard output != "-" || !json else { throw ValidationError("standard output is the VCF: --json needs -o FILE") }
        guard bam != "-" else { throw ValidationError("standard output has room for one result: --bam names a file") }
    }

    func run() throws {
        try checkFileNames(
            inputs: sample.inputs + [regions].compactMap(\.self),
            outputs: [output, output + ".tbi"] + (bam.map { AlignmentFiles.names($0) } ?? []))
        // The outputs come first: a place that cannot be written is known before hours of work.
        let vcf = try PartialFile(path: output, audience: .everyone)
        let indexFile = vcf.isStream ? nil : try PartialFile(path: output + ".tbi", audience: .everyone)
        let alignments = try bam.map { try AlignmentFiles(path: $0) }
        let profile = try HardwareProfile.choose(sample.hardwareProfile)
        profile.apply()
        let threads = sample.threadCount(profile)
        let engine = CPUEngine(profile: profile, threads: threads, memory: sample.memoryBytes)
        let genome = try FASTAReader.read(sample.reference)
        try alignments?.prepareIndex(for: genome)
        let wanted = try regions.map { path in
            let wanted = try BEDReader.read(path)
            let contigs = genome.contigs.map { VCFHeader.Contig(name: $0.name, length: $0.length) }
            try wanted.check(against: contigs, label: path)
            return wanted
        }
        if let index = sample.index { try engine.prepare(genome, index: index) } else { try engine.prepare(genome) }
        let session = try engine.open(
            GenotypingJob(
                sample: sample.sample, regions: wanted,
                alignments: alignments == nil ? nil : sample.alignmentHeader(genome)))
        let source = sample.reads(threads: threads, keepsNames: alignments != nil)
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
        let index = try ReferenceIndex(
            genome: try FASTAReader.read(reference), threads: threads.threads > 0 ? threads.threads : HardwareProfile.availableCores)
        try index.save(to: path)
        Terminal.say("\(index.byteCount) bytes in \(decimals(monotonicSeconds() - started, 2)) s, in \(path)")
    }
}
