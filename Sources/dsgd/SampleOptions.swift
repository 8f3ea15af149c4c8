import Alignments
import ArgumentParser
import Diagnostics
import GenomicFormats
import Hardware
import Storage

/// The number of worker threads, the same option for every command that has it.
struct ThreadOptions: ParsableArguments {
    @Option(name: [.customShort("@", allowingJoined: true), .long], help: "Worker threads; 0 for all cores.")
    var threads = 0

    func validate() throws {
        guard (0...1024).contains(threads) else { throw ValidationError("--threads is 0 to 1024") }
    }
}

/// One sample's reads and what they are mapped to: the same options for every command that maps.
struct SampleOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "Reference genome (FASTA).", completion: .file()) var reference: String
    @OptionGroup var reads: ReadOptions
    @Option(help: "Index from `dsgd index`; built in memory when left out.", completion: .file()) var index: String?
    @Option(help: "Name of the sample; that of the list, or 'sample', when left out.") var sample: String?
    @OptionGroup var threads: ThreadOptions
    @Option(help: "Name or file of a hardware profile.") var hardwareProfile: String?
    @Option(help: "Memory to stay under, in MiB; 0 for the profile's choice. Reads beyond it are spilled, encrypted.")
    var memory = 0

    func validate() throws {
        // A tab or line end would break columns, and tools of the field take a name to be one word.
        if let sample {
            guard (1...255).contains(sample.utf8.count),
                sample.unicodeScalars.allSatisfy({ $0.value > 32 && $0.value != 127 })
            else { throw ValidationError("--sample is one word of at most 255 bytes") }
        }
        guard (0...1 << 30).contains(memory) else { throw ValidationError("--memory is 0 to 1073741824") }
    }

    func input() throws -> FASTQList.Sample { try reads.input(sample: sample) }

    /// The files that are read.
    func inputs(_ input: FASTQList.Sample) -> [String] {
        [reference] + input.lanes.flatMap(\.paths) + [reads.fastqList, index].compactMap(\.self)
    }

    /// 0 for the profile's choice.
    var memoryBytes: Int { memory << 20 }

    func threadCount(_ profile: HardwareProfile) -> Int { threads.threads > 0 ? threads.threads : profile.threads }

    func files(_ input: FASTQList.Sample, threads: Int, keepsNames: Bool) -> ReadFiles {
        ReadFiles(
            lanes: input.lanes, layout: input.layout, qualities: reads.qualities, threads: threads,
            keepsNames: keepsNames)
    }

    func alignmentHeader(_ genome: ReferenceGenome, _ input: FASTQList.Sample) -> AlignmentHeader {
        return AlignmentHeader(
            genome: genome, readGroups: input.readGroups,
            program: .init(version: Program.version, commandLine: CommandLine.arguments.joined(separator: " ")))
    }
}

/// A BAM file and its index beside it, which appear when both are whole. A stream gets no index.
final class AlignmentFiles {
    private let file: PartialFile
    private var indexFile: PartialFile?

    /// What may be written for one name.
    static func names(_ path: String) -> [String] { [path, path + ".bai", path + ".csi"] }

    init(path: String) throws { file = try PartialFile(path: path, audience: .everyone) }

    /// Makes the index's file, whose name depends on the genome.
    func prepareIndex(for genome: ReferenceGenome) throws {
        if file.isStream { return }
        indexFile = try PartialFile(path: file.path + AlignmentIndex.suffix(for: genome), audience: .everyone)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws { try file.write(bytes) }

    func commit(_ index: AlignmentIndex) throws {
        try indexFile?.write(index.bytes)
        try file.commit()
        try indexFile?.commit()
    }
}
