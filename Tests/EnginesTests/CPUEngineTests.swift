import Diagnostics
import Engines
import Evaluation
import Foundation
import GenomicFormats
import Hardware
import Kernels
import TestSupport
import Testing

/// The engine as a whole, FASTQ to VCF. Serial, because the tests share the machine's cores and the dispatch cap.
@Suite(.serialized) struct CPUEngineTests {
    @Test func vcfDoesNotDependOnThreadsBatchesOrInstructionSet() throws {
        let sample = try SimulatedSample.shared.get()
        var run = EngineRun(genome: sample.genome, reads: sample.reads)
        run.threads = 1
        let expected = try run.result()
        #expect(expected.metrics.records > 250)
        for threads in [2, 3] {
            run.threads = threads
            let other = try run.result()
            #expect(other.vcfGz == expected.vcfGz && other.index == expected.index, "\(threads) threads")
        }
        for size in [2, 510, 30_000] {
            run.batchSize = size
            #expect(try run.result().vcfGz == expected.vcfGz, "batches of \(size)")
        }
        run.batchSize = 0
        let cap = CPU.cap
        defer { CPU.cap = cap }
        for other in CPU.Cap.allCases where other.rawValue <= cap.rawValue {
            CPU.cap = other
            #expect(try run.result().vcfGz == expected.vcfGz, "capped at \(other.name)")
        }
    }

    @Test func vcfDoesNotDependOnMemory() throws {
        let sample = try SimulatedSample.shared.get()
        var run = EngineRun(genome: sample.genome, reads: sample.reads)
        let expected = try run.result()
        #expect(expected.metrics.spilledBytes == 0 && expected.metrics.residentBytes > 10_000_000)
        run.memory = 1
        let spilled = try run.result()
        #expect(spilled.metrics.spilledBytes > 1_000_000)
        #expect(spilled.vcfGz == expected.vcfGz && spilled.index == expected.index)
    }

    @Test func profilesSayHowMuchMemoryJobsTake() throws {
        let directory = try TemporaryDirectory()
        func profile(_ fields: String) throws -> HardwareProfile {
            let text = """
                {"name": "p", "matches": {"architecture": "any", "isa": "portable"},
                 "uses": {"isa": "portable", "threads": 1, "queued_batches": 2\(fields)}}
                """
            try directory.write(Array(text.utf8), to: "p.json")
            return try HardwareProfile.choose(directory.file("p.json"))
        }
        let said = try profile(#", "memory_mib": 3, "spill_directory": "/scratch""#)
        #expect(said.memory == 3 << 20 && said.uses.spillDirectory == "/scratch")
        let left = try profile("")
        #expect(left.memory == HardwareProfile.availableMemory / 4 * 3 && left.uses.spillDirectory == nil)
        #expect(left.memory > 1 << 28)
        for wrong in [#", "memory_mib": 0"#, #", "memory_mib": -5"#, #", "memory_mib": "all""#] {
            #expect(throws: Failure.self) { try profile(wrong) }
        }
    }

    @Test func simulatedSampleIsCalled() throws {
        let sample = try SimulatedSample.shared.get()
        let result = try EngineRun(genome: sample.genome, reads: sample.reads).result()
        let found = try compare(
            result, truth: sample.file("truth.vcf.gz"), reference: sample.file("reference.fa.gz"),
            regions: sample.file("confident.bed"))
        #expect(found.snp.truthMatched > 200 && found.indel.truthMatched > 20)
        // Three hundred SNPs; a deletion in a tandem repeat that no read spans looks like two more.
        #expect(found.snp.f1 ?? 0 >= 0.99 && found.snp.falseNegatives == 0)
        // Some forty indels, nearly half of them in homopolymers and short tandem repeats.
        #expect(found.indel.f1 ?? 0 >= 0.96)
        #expect(result.metrics.mappedReads > result.metrics.reads * 99 / 100)
        #expect(abs(result.metrics.insertSizeMean - 400) < 5)
    }

    @Test func unpairedReadsAreCalled() throws {
        let sample = try SimulatedSample.shared.get()
        var run = EngineRun(genome: sample.genome, reads: [sample.reads[0]])
        run.layout = .unpaired
        let result = try run.result()
        #expect(result.metrics.properPairs == 0)
        #expect(result.metrics.mappedReads > result.metrics.reads * 999 / 1000)
        let found = try compare(
            result, truth: sample.file("truth.vcf.gz"), reference: sample.file("reference.fa.gz"),
            regions: sample.file("confident.bed"))
        #expect(found.snp.f1 ?? 0 >= 0.97)
        #expect(found.indel.f1 ?? 0 >= 0.9)
    }

    @Test func readsOfAnotherGenomeAreRefused() throws {
        let sample = try SimulatedSample.shared.get()
        let stranger = try SimulatedSample(seed: 77, length: 60_000, coverage: 2)
        let failure = #expect(throws: Failure.self) {
            try EngineRun(genome: sample.genome, reads: stranger.reads).result()
        }
        #expect(failure?.kind == .data)
    }

    @Test func noReadsMakeAnEmptyFile() throws {
        let sample = try SimulatedSample.shared.get()
        let engine = CPUEngine(profile: try HardwareProfile.choose("portable"), threads: 2)
        try engine.prepare(sample.genome)
        let result = try engine.open(GenotypingJob(sample: "S1")).finish()
        #expect(result.metrics.reads == 0 && result.metrics.records == 0 && result.vcfBytes > 0)
    }

    @Test func jobsNeedAPreparedEngine() throws {
        let engine = CPUEngine(profile: try HardwareProfile.choose("portable"), threads: 1)
        let failure = #expect(throws: Failure.self) { _ = try engine.open(GenotypingJob(sample: "S1")) }
        #expect(failure?.kind == .configuration)
        #expect(engine.health() == .ok)
    }

    @Test func tooLongReadsAreRefused() throws {
        let sample = try SimulatedSample.shared.get()
        let engine = CPUEngine(profile: try HardwareProfile.choose("portable"), threads: 1)
        try engine.prepare(sample.genome)
        let session = try engine.open(GenotypingJob(sample: "S1"))
        var batch = ReadBatch(firstOrdinal: 0, isPaired: false)
        let length = engine.capabilities.maximumReadLength + 13
        batch.bases = Array(repeating: BaseCode.a, count: length)
        batch.qualities = Array(repeating: 30, count: length)
        batch.offsets.append(Int32(length))
        let failure = #expect(throws: Failure.self) { try session.submit(batch) }
        #expect(failure?.kind == .data)
        session.cancel()
    }

    @Test func cancelLeavesNoThread() throws {
        let sample = try SimulatedSample.shared.get()
        let engine = CPUEngine(profile: try HardwareProfile.choose("portable"), threads: 3)
        try engine.prepare(sample.genome)
        let others = try threads(named: "dsgd-map")
        let session = try engine.open(GenotypingJob(sample: "S1"))
        let batches = try EngineRun.batches(sample.reads, .paired)
        for batch in batches.prefix(9) { try session.submit(batch) }
        var mapping: Set<String> = []
        #expect(
            try eventually {
                mapping = try threads(named: "dsgd-map").subtracting(others)
                return !mapping.isEmpty
            })
        session.cancel()
        #expect(try eventually { try threads(named: "dsgd-map").isDisjoint(with: mapping) })
        // A submitter that has not heard of it must not wait for threads that are gone.
        #expect(throws: Failure.self) { for batch in batches { try session.submit(batch) } }
        #expect(throws: Failure.self) { _ = try session.finish() }
        session.cancel()
    }
}
