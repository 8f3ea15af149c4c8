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
            Reads are FASTQ, plain, gzip or BGZF, of up to 500 bases. Several lanes are given by -1 (and -2) several times,
            or as --fastq-list: a CSV file with the columns RGID,RGSM,RGLB,Lane,Read1File,Read2File, paths relative to it.
            Mates have the same name, but for /1 and /2, what follows a blank, and .1 and .2 behind the number of a spot.
            Without second mates, and without --interleaved, reads are taken as unpaired. `-` is standard input for one
            file of reads, and standard output for the VCF.gz, which gets no index there.
            """)

    @Option(name: .shortAndLong, help: "Reference genome (FASTA).", completion: .file()) var reference: String
    @OptionGroup var reads: ReadOptions
    @Option(name: .shortAndLong, help: "VCF.gz to write; the index goes beside it.") var output: String
    @OptionGroup var threads: ThreadOptions
    @Option(help: "Index from `dsgd index`; built in memory when left out.", completion: .file()) var index: String?
    @Option(name: [.customShort("R"), .long], help: "Call at these regions only (BED).", completion: .file())
    var regions: String?
    @Option(help: "Name of the sample column; that of the list, or 'sample', when left out.") var sample: String?
    @Option(help: "Name or file of a hardware profile.") var hardwareProfile: String?
    @Option(help: "Memory to stay under, in MiB; 0 for the profile's choice. Reads beyond it are spilled, encrypted.")
    var memory = 0
    @Flag(help: "Print counts and times as JSON.") var json = false

    func validate() throws {
        // A tab or line end would break the VCF's columns, and tools of the field take a name to be one word.
        if let sample {
            guard (1...255).contains(sample.utf8.count),
                sample.unicodeScalars.allSatisfy({ $0.value > 32 && $0.value != 127 })
            else { throw ValidationError("--sample is one word of at most 255 bytes") }
        }
        guard (0...1 << 30).contains(memory) else { throw ValidationError("--memory is 0 to 1073741824") }
        guard output != "-" || !json else { throw ValidationError("standard output is the VCF: --json needs -o FILE") }
    }

    func run() throws {
        let input = try reads.input(sample: sample)
        let inputs = [reference] + input.lanes.flatMap(\.paths) + [reads.fastqList, index, regions].compactMap(\.self)
        try checkFileNames(inputs: inputs, outputs: [output, output + ".tbi"])
        // The outputs come first: a place that cannot be written is known before hours of work.
        let vcf = try PartialFile(path: output, audience: .everyone)
        let indexFile = vcf.isStream ? nil : try PartialFile(path: output + ".tbi", audience: .everyone)
        let profile = try HardwareProfile.choose(hardwareProfile)
        profile.apply()
        let threads = threads.threads > 0 ? threads.threads : profile.threads
        let engine = CPUEngine(profile: profile, threads: threads, memory: memory << 20)
        let genome = try FASTAReader.read(reference, threads: threads)
        let wanted = try regions.map { path in
            let wanted = try BEDReader.read(path)
            let contigs = genome.contigs.map { VCFHeader.Contig(name: $0.name, length: $0.length) }
            try wanted.check(against: contigs, label: path)
            return wanted
        }
        if let index { try engine.prepare(genome, index: index) } else { try engine.prepare(genome) }
        let session = try engine.open(
            GenotypingJob(sample: input.name, regions: wanted, readGroups: input.readGroups))
        let source = ReadFiles(
            lanes: input.lanes, layout: input.layout, qualities: reads.qualities, threads: threads)
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
        let threads = threads.threads > 0 ? threads.threads : HardwareProfile.availableCores
        let index = try ReferenceIndex(genome: try FASTAReader.read(reference, threads: threads), threads: threads)
        try index.save(to: path)
        Terminal.say("\(index.byteCount) bytes in \(decimals(monotonicSeconds() - started, 2)) s, in \(path)")
    }
}
