import ArgumentParser
import Diagnostics
import Engines
import Foundation
import GenomicFormats
import Hardware
import Mapping
import Metering
import Storage

/// The number of worker threads, the same option for every command that has it.
struct ThreadOptions: ParsableArguments {
    @Option(name: [.customShort("@"), .long], help: "Worker threads; 0 for all cores.") var threads = 0

    func validate() throws {
        guard (0...1024).contains(threads) else { throw ValidationError("--threads is 0 to 1024") }
    }
}

struct GenotypeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "genotype",
        abstract: "FASTQ to VCF.gz with its index.",
        discussion: """
            Reads may be plain, gzip or BGZF. `-` is standard input for the reads and standard output for the VCF.gz, which
            gets no index there. One file of reads is taken as unpaired.
            """)

    @Option(name: .shortAndLong, help: "Reference genome (FASTA).", completion: .file()) var reference: String
    @Option(name: [.customShort("1"), .customLong("reads1")], help: "First mates.", completion: .file()) var reads1: String
    @Option(name: [.customShort("2"), .customLong("reads2")], help: "Second mates.", completion: .file()) var reads2: String?
    @Option(name: .shortAndLong, help: "VCF.gz to write; the index goes beside it.") var output: String
    @OptionGroup var threads: ThreadOptions
    @Option(help: "Index from `dsgd index`; built in memory when left out.", completion: .file()) var index: String?
    @Option(name: [.customShort("R"), .long], help: "Call at these regions only (BED).", completion: .file())
    var regions: String?
    @Option(help: "Name of the sample column.") var sample = "sample"
    @Option(help: "Name or file of a hardware profile.") var hardwareProfile: String?
    @Option(help: "Memory to stay under, in MiB; 0 for the profile's choice. Reads beyond it are spilled, encrypted.")
    var memory = 0
    @Flag(help: "Reads of one file are mates in turn.") var interleaved = false
    @Flag(help: "Print counts and times as JSON.") var json = false

    func validate() throws {
        // A tab or line end would break the VCF's columns, and tools of the field take a name to be one word.
        guard (1...255).contains(sample.utf8.count), sample.unicodeScalars.allSatisfy({ $0.value > 32 && $0.value != 127 })
        else { throw ValidationError("--sample is one word of at most 255 bytes") }
        guard (0...1 << 30).contains(memory) else { throw ValidationError("--memory is 0 to 1073741824") }
        guard output != "-" || !json else { throw ValidationError("standard output is the VCF: --json needs -o FILE") }
        guard let reads2 else { return }
        guard !interleaved else { throw ValidationError("--interleaved takes one file of reads, not two") }
        guard reads1 != reads2, !isSameFile(reads1, reads2) else {
            throw ValidationError("-1 and -2 are the same file: first and second mates are in two files, or --interleaved")
        }
    }

    func run() throws {
        let inputs = [reference, reads1] + [reads2, index, regions].compactMap(\.self)
        try checkFileNames(inputs: inputs, outputs: [output, output + ".tbi"])
        // The outputs come first: a place that cannot be written is known before hours of work.
        let vcf = try PartialFile(path: output, audience: .everyone)
        let indexFile = vcf.isStream ? nil : try PartialFile(path: output + ".tbi", audience: .everyone)
        let profile = try HardwareProfile.choose(hardwareProfile)
        profile.apply()
        let engine = CPUEngine(profile: profile, threads: threads.threads, memory: memory << 20)
        let genome = try FASTAReader.read(reference)
        let wanted = try regions.map { path in
            let wanted = try BEDReader.read(path)
            let contigs = genome.contigs.map { VCFHeader.Contig(name: $0.name, length: $0.length) }
            try wanted.check(against: contigs, label: path)
            return wanted
        }
        if let index { try engine.prepare(genome, index: index) } else { try engine.prepare(genome) }
        let session = try engine.open(GenotypingJob(sample: sample, regions: wanted))
        let paths = [reads1] + (reads2.map { [$0] } ?? [])
        let layout: ReadLayout = paths.count == 2 ? .paired : interleaved ? .interleaved : .unpaired
        let source = ReadFiles(
            paths: paths, layout: layout, threads: threads.threads > 0 ? threads.threads : profile.threads)
        let started = monotonicSeconds()
        do {
            let counts = try source.forEachBatch { batch in
                try session.submit(batch)
                Terminal.progress("\(batch.firstOrdinal + UInt64(batch.readCount)) reads")
            }
            let result = try session.finish()
            try vcf.write(result.vcfGz)
            try indexFile?.write(result.index)
            try vcf.commit()
            try indexFile?.commit()
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
