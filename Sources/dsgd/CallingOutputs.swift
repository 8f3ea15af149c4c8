import ArgumentParser
import Calling
import Diagnostics
import Engines
import GenomicFormats
import Storage

/// What a caller writes, and where.
struct CallingOutputs: ParsableArguments {
    @Option(name: .shortAndLong, help: "VCF.gz of the variants; each VCF.gz gets its index (.tbi) beside it.")
    var output: String?
    @Option(help: "gVCF (g.vcf.gz) to write: the variants, and blocks for all other places.") var gvcf: String?
    @Option(
        help: "Sites to genotype whatever the reads show: VCF, PGS scoring file, or BED of points.",
        completion: .file())
    var sites: String?
    @Option(help: "VCF.gz of the genotypes at --sites.") var sitesOutput: String?
    @Option(help: "BAM to write too, in the order of coordinates; the index goes beside it.") var bam: String?
    @Option(
        help: ArgumentHelp(
            "Beginning of the names of metrics files to write, as DRAGEN names them.",
            discussion: "out/S1 gives out/S1.mapping_metrics.csv and others; docs/FORMATS.md lists them.",
            valueName: "prefix"))
    var metrics: String?
    @Flag(inversion: .prefixedNo, help: "Judge each variant by the learned filter (VQ, LowVQ).")
    var learnedFilter = true
    @Flag(help: ArgumentHelp("Write the learned filter's features of each variant (CF).", visibility: .hidden))
    var features = false

    func validate() throws {
        guard output != nil || gvcf != nil || sitesOutput != nil else {
            throw ValidationError("name an output: -o, --gvcf, or --sites-output")
        }
        guard (sites == nil) == (sitesOutput == nil) else {
            throw ValidationError("--sites FILE and --sites-output FILE go together")
        }
        for (option, path) in [("--gvcf", gvcf), ("--sites-output", sitesOutput), ("--bam", bam)] where path == "-" {
            throw ValidationError("standard output has room for one result, that of -o: \(option) names a file")
        }
        guard let metrics else { return }
        guard metrics != "-", !metrics.isEmpty, !metrics.hasSuffix("/") else {
            throw ValidationError("--metrics is the beginning of file names, with the directory that they go to")
        }
    }

    var options: CallingOptions {
        var options = CallingOptions()
        options.usesLearnedFilter = learnedFilter
        options.writesFeatures = features
        return options
    }

    var names: [String] {
        let calls = [output, gvcf, sitesOutput].compactMap(\.self)
        return calls + calls.map { $0 + ".tbi" } + (bam.map { AlignmentFiles.names($0) } ?? [])
            + (metrics.map { MetricsFiles.names($0) } ?? [])
    }
}

/// A VCF.gz and its index beside it, which appear when both are whole. A stream gets no index.
final class CallFile {
    private let file: PartialFile
    private let indexFile: PartialFile?

    init(path: String) throws {
        file = try PartialFile(path: path, audience: .everyone)
        indexFile = file.isStream ? nil : try PartialFile(path: path + ".tbi", audience: .everyone)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws { try file.write(bytes) }
    func write(_ bytes: [UInt8]) throws { try file.write(bytes) }

    func commit(_ index: [UInt8]) throws {
        try indexFile?.write(index)
        try file.commit()
        try indexFile?.commit()
    }
}

/// Where a caller looks, and how many copies of each place the genome has.
struct GenomeOptions: ParsableArguments {
    @Option(name: [.customShort("R"), .long], help: "Call at these regions only (BED).", completion: .file())
    var regions: String?
    @Option(help: "Call at this region only: CONTIG, or CONTIG:FROM-TO from 1 on; may be given again.")
    var region: [String] = []
    @Option(help: "male or female: X, Y and mitochondrion of a human assembly with the copies that this sex has.")
    var sex: SexChoice?
    @Option(help: "1, 2, or a file as for bcftools call --ploidy-file; 2 when left out.", completion: .file())
    var ploidy: String?

    var inputs: [String] { [regions, ploidy.flatMap { ["1", "2"].contains($0) ? nil : $0 }].compactMap(\.self) }

    func validate() throws {
        if let ploidy, Int(ploidy) != nil, !["1", "2"].contains(ploidy) {
            throw ValidationError("--ploidy is 1, 2 or a file: a file of that name is ./\(ploidy)")
        }
        guard sex == nil || !["1", "2"].contains(ploidy) else {
            throw ValidationError("--ploidy 1 and 2 are for the whole genome: --sex adds nothing")
        }
    }

    /// nil for everywhere.
    func regions(of genome: ReferenceGenome) throws -> RegionSet? {
        guard regions != nil || !region.isEmpty else { return nil }
        var ranges: [String: [Range<Int>]] = [:]
        let contigs = genome.contigs.map { VCFHeader.Contig(name: $0.name, length: $0.length) }
        if let regions {
            let read = try BEDReader.read(regions)
            try read.check(against: contigs, label: regions)
            ranges = read.contigs.mapValues(\.ranges)
            guard !read.isEmpty else {
                throw Failure(
                    .data, at: regions, "holds no region", remedy: "list regions, or leave -R out to call everywhere")
            }
        }
        for text in region {
            let (contig, range) = try Self.range(text, genome)
            ranges[contig, default: []].append(range)
        }
        return RegionSet(ranges)
    }

    private static func range(_ text: String, _ genome: ReferenceGenome) throws -> (String, Range<Int>) {
        if let index = genome.index(ofContig: text) { return (text, 0..<genome.contigs[index].length) }
        func failure(_ problem: String, _ remedy: String) -> Failure {
            Failure(.data, at: "--region \(text)", problem, remedy: remedy)
        }
        guard let colon = text.lastIndex(of: ":"), let index = genome.index(ofContig: String(text[..<colon])) else {
            throw failure("no such contig in the reference", "check that the names agree (chr20 is not 20)")
        }
        let bounds = text[text.index(after: colon)...].filter { $0 != "," }
            .split(separator: "-", omittingEmptySubsequences: false)
        guard bounds.count == 2, bounds.allSatisfy({ $0.first?.isNumber ?? false }),
            let from = Int(bounds[0]), let to = Int(bounds[1]), from >= 1, from <= to,
            to <= genome.contigs[index].length
        else {
            throw failure(
                "is no range inside the contig of \(genome.contigs[index].length) bases",
                "write CONTIG:FROM-TO, from 1 on")
        }
        return (genome.contigs[index].name, from - 1..<to)
    }

    func ploidies(of genome: ReferenceGenome) throws -> PloidyMap {
        if let ploidy, let everywhere = Int(ploidy), (1...2).contains(everywhere) { return PloidyMap(everywhere) }
        if let ploidy {
            let list = try PloidyList.read(ploidy)
            guard sex != nil || !list.dependsOnSex else {
                throw Failure(
                    .usage, at: ploidy, "the ploidies depend on the sex", remedy: "add --sex male or --sex female")
            }
            return try PloidyMap(list, sex: sex?.value ?? .female, reference: genome)
        }
        guard let sex else { return PloidyMap() }
        guard let list = PloidyList.human(contigs: genome.contigs.map { ($0.name, $0.length) }) else {
            throw Failure(
                .usage, at: "--sex \(sex.rawValue)", "the reference has no X of GRCh37, GRCh38 or T2T-CHM13",
                remedy: "give the ploidies with --ploidy FILE")
        }
        return try PloidyMap(list, sex: sex.value, reference: genome)
    }
}

/// ``Sex`` on the command line.
enum SexChoice: String, ExpressibleByArgument, CaseIterable {
    case male
    case female

    var value: Sex { self == .male ? .male : .female }
}

/// The command line as a file's header keeps it: without what cannot change the records, so that a file is the same
/// whatever ran beside it.
enum ResultCommand {
    private static let values: Set<String> = [
        "-@", "--threads", "--memory", "--hardware-profile", "--index", "-o", "--output", "--gvcf", "--sites-output",
        "--bam", "--metrics",
    ]

    static func text(_ arguments: [String] = CommandLine.arguments) -> String {
        var kept = ["dsgd"]
        var isValue = false
        for argument in arguments.dropFirst() {
            if isValue {
                isValue = false
            } else if values.contains(argument) {
                isValue = true
            } else if argument != "--json", !argument.hasPrefix("-@"),
                !values.contains(where: { argument.hasPrefix($0 + "=") })
            {
                kept.append(argument)
            }
        }
        return kept.joined(separator: " ")
    }
}
