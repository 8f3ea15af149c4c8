import ArgumentParser
import Hardware
import Simulation
import Storage

struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Make a genome, a diploid sample and its reads, with the truth; or a call set.",
        discussion: """
            A data set for genotyping:
              dsgd simulate -o sim
            A genome of human size:
              dsgd simulate --length 3.1G --repeats hard --genome g.fa
            Reads to judge a mapper by (dsgd evaluate mapping):
              dsgd simulate --reference g.fa --pairs 1M --truth-in-names -1 R1.fq -2 R2.fq
            Reads from nowhere:
              dsgd simulate --random --pairs 100k -1 R1.fq -2 R2.fq
            A call set of one sample, to filter (what dsgd bench filter takes):
              dsgd simulate --calls calls.vcf.gz --records 4M

            -o writes a whole data set into a directory; --genome, -1 with -2 and --truth write single files, \
            compressed when the name ends in .gz. The same options give the same bytes, whatever the number of \
            threads, and fewer pairs are the beginning of more. Reads of another species are those of a genome with \
            another --seed.

            Plain genomes have 45 % interspersed repeats in families, 5 % segmental duplications, 3 % tandem repeats, \
            isochores and runs of N; hard ones also young families, closer duplications and 2 % satellite arrays. \
            Samples have two heterozygous variants for each homozygous one, and nearly half of the indels in \
            homopolymers and short tandem repeats.
            """)

    @Option(name: .shortAndLong, help: "Directory for a whole data set.") var output: String?
    @Option(help: "Write the genome here (.fa, .fa.gz).", completion: .file()) var genome: String?
    @Option(name: [.customShort("1"), .long], help: "Write first mates here (.fq, .fq.gz).", completion: .file())
    var reads1: String?
    @Option(name: [.customShort("2"), .long], help: "Write second mates here.", completion: .file()) var reads2: String?
    @Option(help: "Write the true variants here (.vcf, .vcf.gz).", completion: .file()) var truth: String?

    @Option(help: "Write a call set here (.vcf, .vcf.gz with its index), and nothing else.", completion: .file())
    var calls: String?
    @Option(help: "Variants of the call set; k, M and G are allowed.") var records = Count(value: 4_000_000)
    @Flag(help: "Put reference blocks between the variants of the call set, as in a gVCF.") var gvcf = false

    @Option(help: "Length of the genome in bases; k, M and G are allowed.") var length = Count(value: 1_000_000)
    @Option(help: "Contigs, of human proportions; 2, or 24 from 100 Mbp on, when left out.") var contigs: Int?
    @Option(help: "Repeats of the genome: plain or hard.") var repeats = RepeatContent.plain.rawValue
    @Option(help: "Use this genome (FASTA) instead of making one.", completion: .file()) var reference: String?
    @Option(help: "SNPs per base.") var snpRate = 1e-3
    @Option(help: "Indels per base.") var indelRate = 1.2e-4

    @Option(help: "Mean depth of the reads.") var depth = 30.0
    @Option(help: "Number of pairs, instead of the depth; k, M and G are allowed.") var pairs: Count?
    @Option(
        name: [.customShort("R"), .long], help: "Only fragments with their middle in these regions (BED).",
        completion: .file())
    var regions: String?
    @Flag(help: "Reads of random sequence, which come from no genome.") var random = false
    @Option(help: "Bases of a read.") var readLength = 150
    @Option(help: "Mean length of the inserts.") var insertMean = 400.0
    @Option(help: "Standard deviation of the inserts.") var insertSd = 80.0
    @Flag(help: "Inserts may be shorter than the reads, which then run into the adapter.") var adapters = false
    @Option(help: "Mean share of wrong bases: 0, or 0.0003 to 0.05.") var errorRate = 0.002
    @Option(help: "Qualities: novaseq (2, 12, 23, 37) or unbinned (2 to 41).")
    var qualities = QualityModel.novaseq.rawValue
    @Flag(help: "Put each pair's true place into its name.") var truthInNames = false

    @Option(help: "Seed; the same seed gives the same files.") var seed: UInt64 = 1
    @OptionGroup var threads: ThreadOptions

    func run() throws {
        if let calls {
            guard [output, genome, reads1, reads2, truth].allSatisfy({ $0 == nil }) else {
                throw ValidationError("--calls makes a call set only: leave out -o, --genome, -1, -2 and --truth")
            }
            var simulator = CallSetSimulator(records: records.value, seed: seed)
            simulator.hasBlocks = gvcf
            simulator.threads = threads.threads > 0 ? threads.threads : HardwareProfile.availableCores
            return try simulator.write(to: calls)
        }
        var options = SimulationOptions()
        options.genomeLength = length.value
        options.contigs = contigs ?? (length.value < 100_000_000 ? 2 : 24)
        guard let content = RepeatContent(rawValue: repeats) else {
            throw ValidationError("--repeats is plain or hard")
        }
        options.repeatContent = content
        options.referencePath = reference
        options.snpRate = snpRate
        options.indelRate = indelRate
        options.coverage = depth
        options.pairs = pairs?.value
        options.regionsPath = regions
        options.isRandom = random
        options.readLength1 = readLength
        options.readLength2 = readLength
        options.insertMean = insertMean
        options.insertDeviation = insertSd
        options.readsAdapters = adapters
        options.errorRate = errorRate
        guard let model = QualityModel(rawValue: qualities) else {
            throw ValidationError("--qualities is novaseq or unbinned")
        }
        options.qualityModel = model
        options.namesTruth = truthInNames
        options.seed = seed
        options.threads = threads.threads > 0 ? threads.threads : HardwareProfile.availableCores
        let simulated = SimulatedDataSet(options)
        let inputs = [reference, regions].compactMap(\.self)
        if let output {
            guard [genome, reads1, reads2, truth].allSatisfy({ $0 == nil }) else {
                throw ValidationError("-o names all files: leave out --genome, -1, -2 and --truth")
            }
            guard !random else { throw ValidationError("--random makes reads only: give -1 and -2 instead of -o") }
            try checkFileNames(inputs: inputs, outputs: SimulationFiles(directory: output).paths)
            return try printJSON(try simulated.run(into: output))
        }
        var files = SimulationFiles()
        files.reference = genome
        files.reads1 = reads1
        files.reads2 = reads2
        files.truth = truth
        try checkFileNames(inputs: inputs, outputs: files.paths)
        let summary = try simulated.run(writing: files)
        if !files.paths.contains("-") { try printJSON(summary) }
    }
}

/// A number that may be written with k, M or G for thousands, millions and thousands of millions: 3.1G.
struct Count: ExpressibleByArgument {
    var value: Int

    init(value: Int) { self.value = value }

    init?(argument: String) {
        let units: [Character: Double] = ["k": 1e3, "M": 1e6, "G": 1e9]
        guard let last = argument.last else { return nil }
        if let unit = units[last] {
            guard let number = Double(argument.dropLast()), number >= 0, number * unit < 1e15 else { return nil }
            value = Int((number * unit).rounded())
        } else {
            guard let number = Int(argument), number >= 0 else { return nil }
            value = number
        }
    }

    var defaultValueDescription: String {
        value % 1_000_000 == 0 ? "\(value / 1_000_000)M" : "\(value)"
    }
}
