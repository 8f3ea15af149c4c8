internal import Calling
internal import Compression
internal import Diagnostics
internal import GenomicFormats

/// The VCFs that a job's calls go to: in memory, but for a gVCF, which can be as large as the reads.
final class CallFiles {
    let request: CallingRequest
    private var writers: [CallOutput: VCFWriter] = [:]
    private var outputs: [CallOutput: Output] = [:]
    private var indexes: [CallOutput: [UInt8]] = [:]

    private final class Output { var bytes: [UInt8] = [] }

    init(job: GenotypingJob, genome: ReferenceGenome, gvcf: ByteSink?) throws {
        let regions = job.regions.map { regions in
            genome.contigs.enumerated().flatMap { number, contig in
                regions.intervals(of: contig.name).map { $0.ranges.map { (contig: number, range: $0) } } ?? []
            }
        }
        var wanted: Set<CallOutput> = []
        // Figures count variants, written or not.
        if job.wantsVariants || job.wantsFigures { wanted.insert(.variants) }
        if gvcf != nil { wanted.insert(.gvcf) }
        if job.sites != nil { wanted.insert(.sites) }
        request = CallingRequest(regions: regions, ploidy: job.ploidy, outputs: wanted, sites: job.sites)
        for kind in CallOutput.allCases where wanted.contains(kind) && (kind != .variants || job.wantsVariants) {
            let text = VariantCaller.header(kind, reference: genome, sample: job.sample, command: job.command ?? "")
            let header = try text.withUnsafeBytes { try VCFHeader(parsing: $0, label: "engine cpu") }
            let output = Output()
            outputs[kind] = output
            writers[kind] = try VCFWriter(header: header, label: "engine cpu") { bytes in
                if kind == .gvcf, let gvcf { try gvcf(bytes) } else { output.bytes.append(contentsOf: bytes) }
            }
        }
    }

    func write(_ kind: CallOutput, _ line: [UInt8]) throws {
        try line.withUnsafeBytes { try writers[kind]?.write(lines: $0) }
    }

    func finish() throws {
        for (kind, writer) in writers {
            guard let index = try writer.finish() else {
                throw Failure(
                    .internalError, at: "engine cpu", "the calls are not in order and cannot be indexed",
                    remedy: "report this with the job's receipt")
            }
            indexes[kind] = index
        }
    }

    func bytes(_ kind: CallOutput) -> [UInt8] { outputs[kind]?.bytes ?? [] }
    func index(_ kind: CallOutput) -> [UInt8] { indexes[kind] ?? [] }
    /// Bytes of all files before compression.
    var plainBytes: Int { writers.values.reduce(0) { $0 + $1.plainBytes } }
}
