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
            file of reads, and standard output for -o, which gets no index there.

            One run writes any of: variants (-o), a gVCF for joint genotyping (--gvcf), genotypes at sites of a list:
              dsgd genotype -r ref.fa.gz -1 R1.fastq.gz -2 R2.fastq.gz -o out.vcf.gz --gvcf out.g.vcf.gz
              dsgd genotype -r ref.fa.gz -1 R1.fastq.gz -2 R2.fastq.gz --sites PGS000001.txt.gz --sites-output score.vcf.gz
            At a site, 0/0 is what the reads show, and ./. that they do not settle it. Genomes are diploid; --sex knows the
            human X, Y and mitochondrion, --ploidy takes any other.
            """)

    @OptionGroup var sample: SampleOptions
    @OptionGroup var outputs: CallingOutputs
    @OptionGroup var genome: GenomeOptions
    @Flag(help: "Print counts and times as JSON.") var json = false

    func validate() throws {
        guard outputs.output != "-" || !json else {
            throw ValidationError("standard output is the VCF: --json needs -o FILE")
        }
    }

    func run() throws {
        let input = try sample.input()
        try checkFileNames(
            inputs: sample.inputs(input) + self.genome.inputs + [outputs.sites].compactMap(\.self),
            outputs: outputs.names)
        // The outputs come first: a place that cannot be written is known before hours of work.
        let variants = try outputs.output.map { try CallFile(path: $0) }
        let gvcf = try outputs.gvcf.map { try CallFile(path: $0) }
        let sites = try outputs.sitesOutput.map { try CallFile(path: $0) }
        let alignments = try outputs.bam.map { try AlignmentFiles(path: $0) }
        let metricsFiles = try outputs.metrics.map { try MetricsFiles(prefix: $0) }
        let begun = monotonicSeconds()
        let profile = try HardwareProfile.choose(sample.hardwareProfile)
        profile.apply()
        let threads = sample.threadCount(profile)
        let engine = CPUEngine(profile: profile, threads: threads, memory: sample.memoryBytes)
        let genome = try FASTAReader.read(sample.reference, threads: threads)
        try alignments?.prepareIndex(for: genome)
        var job = GenotypingJob(
            sample: input.name, command: ResultCommand.text(), regions: try self.genome.regions(of: genome),
            readGroups: input.readGroups, alignments: alignments == nil ? nil : sample.alignmentHeader(genome, input))
        job.ploidy = try self.genome.ploidies(of: genome)
        job.wantsVariants = variants != nil
        job.wantsGVCF = gvcf != nil
        job.wantsFigures = metricsFiles != nil
        job.sites = try outputs.sites.map { try readSites($0, genome) }
        if let index = sample.index { try engine.prepare(genome, index: index) } else { try engine.prepare(genome) }
        let session = try engine.open(job)
        let source = sample.files(input, threads: threads, keepsNames: alignments != nil)
        let started = monotonicSeconds()
        do {
            let counts = try source.forEachBatch { batch in
                try session.submit(batch)
                Terminal.progress("\(batch.firstOrdinal + UInt64(batch.readCount)) reads")
            }
            let result = try session.finish(
                alignments: alignments.map { files in { try files.write($0) } },
                gvcf: gvcf.map { file in { try file.write($0) } })
            try variants?.write(result.vcfGz)
            if let found = result.sites { try sites?.write(found.vcfGz) }
            try variants?.commit(result.index)
            if let index = result.gvcfIndex { try gvcf?.commit(index) }
            if let found = result.sites { try sites?.commit(found.index) }
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

    private func readSites(_ path: String, _ genome: ReferenceGenome) throws -> SiteList {
        let list = try SiteList.read(path, genome: genome)
        if list.linesWithoutPlace > 0 {
            Terminal.say("\(path): \(list.linesWithoutPlace) lines name no place on the genome and are left out")
        }
        return list
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
