import ArgumentParser
import GenomicFormats
import Mapping
import Storage

/// Where the reads of one sample are.
struct ReadOptions: ParsableArguments {
    @Option(
        name: [.customShort("1"), .customLong("reads1")], help: "First mates; again for each lane.",
        completion: .file())
    var reads1: [String] = []
    @Option(
        name: [.customShort("2"), .customLong("reads2")], help: "Second mates; again for each lane.",
        completion: .file())
    var reads2: [String] = []
    @Flag(help: "The reads of a file are mates in turn.") var interleaved = false
    @Option(help: "Lanes of a sample, as DRAGEN lists them (CSV), instead of -1 and -2.", completion: .file())
    var fastqList: String?
    @Option(help: "The sample (RGSM) of the list, when it has several.") var fastqListSampleId: String?
    @Option(help: "Where qualities begin: 33 or 64; when left out, 33, and files that look like 64 are refused.")
    var qualityOffset: Int?

    var qualities: QualityEncoding { qualityOffset == 64 ? .phred64 : qualityOffset == 33 ? .phred33 : .detected }

    func validate() throws {
        guard qualityOffset.map({ [33, 64].contains($0) }) ?? true else {
            throw ValidationError("--quality-offset is 33 or 64")
        }
        if fastqList != nil {
            guard reads1.isEmpty, reads2.isEmpty else {
                throw ValidationError("--fastq-list stands instead of -1 and -2")
            }
            return
        }
        guard fastqListSampleId == nil else { throw ValidationError("--fastq-list-sample-id needs --fastq-list") }
        guard !reads1.isEmpty else { throw ValidationError("give the reads: -1 and -2, or --fastq-list") }
        guard !interleaved || reads2.isEmpty else {
            throw ValidationError("--interleaved takes one file of reads for each lane, not two")
        }
        guard reads2.isEmpty || reads1.count == reads2.count else {
            throw ValidationError(
                "there are \(reads1.count) files of first mates (-1) and \(reads2.count) of second mates (-2)")
        }
    }

    /// The lanes and what they are of.
    ///
    /// - Parameter sample: the name that was asked for.
    /// - Throws: `Failure` for a list that cannot be used; an error of usage when a file is given twice.
    func input(sample: String?) throws -> FASTQList.Sample {
        var input: FASTQList.Sample
        if let fastqList {
            input = try FASTQList.read(fastqList).sample(fastqListSampleId, label: fastqList)
            if interleaved {
                guard input.layout == .unpaired else {
                    throw ValidationError("--interleaved takes a list without second mates (Read2File)")
                }
                input.layout = .interleaved
            }
            input.name = sample ?? input.name
        } else {
            let name = sample ?? "sample"
            let lanes = reads1.indices.map { ReadLane(paths: [reads1[$0]] + (reads2.isEmpty ? [] : [reads2[$0]])) }
            input = FASTQList.Sample(
                name: name, layout: !reads2.isEmpty ? .paired : interleaved ? .interleaved : .unpaired, lanes: lanes,
                readGroups: [ReadGroup(sample: name)])
        }
        let libraries = Set(input.readGroups.map(\.library)).count
        let mostLibraries = TemplateSignature.mostLibraries
        guard input.readGroups.count <= ReadAttachment.mostReadGroups, libraries <= mostLibraries else {
            throw ValidationError(
                "a sample has at most \(ReadAttachment.mostReadGroups) read groups of at most \(mostLibraries) libraries")
        }
        let paths = input.lanes.flatMap(\.paths)
        for (place, path) in paths.enumerated() {
            guard !paths[..<place].contains(where: { $0 == path || isSameFile($0, path) }) else {
                throw ValidationError(
                    "\(path) is given twice, or is the same file as another: each file of reads is read once")
            }
        }
        return input
    }
}
