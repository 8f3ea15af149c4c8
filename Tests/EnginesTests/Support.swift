import Diagnostics
import Engines
import Evaluation
import Foundation
import GenomicFormats
import Hardware
import Simulation
import TestSupport

/// A simulated sample on disk: 300 kb at 30x, with its truth.
final class SimulatedSample: @unchecked Sendable {
    // Immutable after init.
    static let shared = Result { try SimulatedSample(seed: 5) }

    let directory: TemporaryDirectory
    let genome: ReferenceGenome

    init(seed: UInt64, length: Int = 300_000, coverage: Double = 30) throws {
        directory = try TemporaryDirectory()
        var options = SimulationOptions()
        options.genomeLength = length
        options.coverage = coverage
        options.seed = seed
        _ = try SimulatedDataSet(options).run(into: directory.file("sample"))
        genome = try FASTAReader.read(directory.file("sample/reference.fa.gz"))
    }

    func file(_ name: String) -> String { directory.file("sample/" + name) }
    var reads: [String] { [file("reads_R1.fastq.gz"), file("reads_R2.fastq.gz")] }
}

/// One run of the engine from files to the VCF.
struct EngineRun {
    var genome: ReferenceGenome
    var reads: [String]
    var layout = ReadLayout.paired
    var threads = 2
    /// Bytes that the process is to stay under; 0 for the profile's number.
    var memory = 0
    /// Reads per batch; 0 leaves the batches as the reader cuts them.
    var batchSize = 0
    var job = GenotypingJob(sample: "S1")

    func result(gvcf: ((UnsafeRawBufferPointer) throws -> Void)? = nil) throws -> GenotypingResult {
        let engine = CPUEngine(profile: try HardwareProfile.choose("portable"), threads: threads, memory: memory)
        try engine.prepare(genome)
        let session = try engine.open(job)
        do {
            let batches = try Self.batches(reads, layout)
            for batch in batchSize > 0 ? Self.cut(batches, into: batchSize) : batches { try session.submit(batch) }
            return try session.finish(alignments: nil, gvcf: gvcf)
        } catch {
            session.cancel()
            throw error
        }
    }

    static func batches(_ reads: [String], _ layout: ReadLayout) throws -> [ReadBatch] {
        var batches: [ReadBatch] = []
        _ = try ReadFiles(paths: reads, layout: layout).forEachBatch { batches.append($0) }
        return batches
    }

    /// The same reads in batches of `size`, which must be even for pairs.
    static func cut(_ batches: [ReadBatch], into size: Int) -> [ReadBatch] {
        var result: [ReadBatch] = []
        for batch in batches {
            for read in 0..<batch.readCount {
                if result.last.map({ $0.readCount == size }) ?? true {
                    result.append(
                        ReadBatch(firstOrdinal: batch.firstOrdinal + UInt64(read), isPaired: batch.isPaired))
                }
                let range = batch.range(ofRead: read)
                let last = result.count - 1
                result[last].bases += batch.bases[range]
                result[last].qualities += batch.qualities[range]
                result[last].offsets.append(Int32(result[last].bases.count))
            }
        }
        return result
    }
}

/// Compares the result's passing records with the truth.
func compare(
    _ result: GenotypingResult, truth: String, reference: String, regions: String? = nil
) throws -> Comparison {
    let directory = try TemporaryDirectory()
    let calls = directory.file("calls.vcf.gz")
    try Data(result.vcfGz).write(to: URL(fileURLWithPath: calls))
    return try CallSetComparison.run(
        .init(truth: truth, calls: calls, reference: reference, regions: regions)
    ).passing
}
