import Alignments
import ArgumentParser
import Diagnostics
import Engines
import GenomicFormats
import Hardware
import Mapping
import Metering
import Storage

struct MapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "map",
        abstract: "FASTQ to alignments: SAM text, or BAM in the order of coordinates with its index.",
        discussion: """
            `-` is standard input for the reads, and standard output for the alignments, which are then SAM text in the
            order of the reads, without marks of duplicates. A file is BAM, sorted, with duplicates marked:
              dsgd map -r ref.fa.gz -1 R1.fastq.gz -2 R2.fastq.gz | dsgd evaluate mapping
              dsgd map -r ref.fa.gz -1 R1.fastq.gz -2 R2.fastq.gz -o out.bam
            """)

    @OptionGroup var sample: SampleOptions
    @Option(name: .shortAndLong, help: "BAM to write, its index goes beside it; - for SAM on standard output.")
    var output = "-"

    func run() throws {
        let input = try sample.input()
        try checkFileNames(inputs: sample.inputs(input), outputs: output == "-" ? [output] : AlignmentFiles.names(output))
        // The output comes first: a place that cannot be written is known before hours of work.
        let text = output == "-" ? try PartialFile(path: output) : nil
        let files = output == "-" ? nil : try AlignmentFiles(path: output)
        let profile = try HardwareProfile.choose(sample.hardwareProfile)
        profile.apply()
        let threads = sample.threadCount(profile)
        let genome = try FASTAReader.read(sample.reference, threads: threads)
        try files?.prepareIndex(for: genome)
        let index = try sample.index.map { try ReferenceIndex.load(from: $0, matching: genome, threads: threads) }
            ?? ReferenceIndex(genome: genome, threads: threads)
        let header = sample.alignmentHeader(genome, input)
        var options = MappingRun.Options(threads: threads, queueLength: profile.uses.queuedBatches)
        options.keeps = .alignments
        options.libraries = ReadGroup.libraries(of: input.readGroups)
        options.limits = CPUEngine.readLimits(
            profile, threads: threads, memory: sample.memoryBytes, genome: genome, index: index)
        if let text {
            let stream = try SAMStream(header: header, genome: genome) { try text.write($0) }
            options.keeps = .nothing
            options.observer = { try stream.write($0, $1) }
        }
        let started = monotonicSeconds()
        let run = MappingRun(index: index, options: options)
        do {
            _ = try sample.files(input, threads: threads, keepsNames: true).forEachBatch { batch in
                try run.submit(batch)
                Terminal.progress("\(batch.firstOrdinal + UInt64(batch.readCount)) reads")
            }
            let result = try run.finish()
            if let files {
                let bam = BAMWriter(header: header, genome: genome, threads: threads)
                try files.commit(try bam.write(result) { try files.write($0) })
            }
            try text?.commit()
            Terminal.clearProgress()
            Terminal.say(
                "\(result.metrics.mapped) of \(result.metrics.reads) reads mapped in "
                    + "\(decimals(monotonicSeconds() - started, 2)) s")
        } catch {
            run.cancel()
            throw error
        }
    }
}
