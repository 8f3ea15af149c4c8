internal import Diagnostics
internal import Engines
internal import Foundation
internal import GenomicFormats
internal import Kernels
internal import KeyNetwork
internal import Metering

/// One job at the trusted server: restore, genotype, filter. Reads and genotypes stay in memory.
struct JobRun {
    let order: JobOrder
    let telephone: Telephone
    let engine: any GenotypingEngine
    /// What the engine is prepared for.
    let genome: ReferenceGenome
    /// Threads for compression.
    let threads: Int
    /// Called a few times a second; throws when the job must stop.
    let report: (JobProgress) throws -> Void

    /// Seconds between two reports.
    private static let reportSeconds = 0.25

    /// One deposited file, restored on the thread that inflates and parses it.
    private final class Restoring: ReadSource, @unchecked Sendable {
        // While it is read, other threads use the object only as it allows.
        let object: RestoredObject
        var label: String { object.order.part }

        init(_ object: RestoredObject) { self.object = object }

        func next(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool { try object.step(body) }

        func stop() { object.stop() }
    }

    func execute(hardwareProfile: String) throws -> ServerAnswer {
        let started = monotonicSeconds()
        let filter = try RightFilter(
            coverage: order.coverage, list: order.list, overlap: order.overlap, fields: order.formatFields)
        let session = try engine.open(try genotypingJob())
        let objects: [RestoredObject]
        let counts: ReadBatcher.Counts
        var result: GenotypingResult
        do {
            guard (1...2).contains(order.objects.count) else {
                throw Failure(
                    .data, at: order.sample, "it has \(order.objects.count) files of reads",
                    remedy: "deposit one or two FASTQ files")
            }
            objects = try order.objects.map { try RestoredObject(order: $0, telephone: telephone) }
            counts = try feed(objects, to: session)
            try report(JobProgress(step: "calling variants", done: 0, total: 0))
            result = try session.finish()
        } catch {
            session.cancel()
            throw error
        }
        let genotyped = monotonicSeconds()
        try report(JobProgress(step: "filtering", done: 0, total: 0))
        let filtered = try filter.run(result.sites?.vcfGz ?? result.vcfGz, sample: order.sample, threads: threads)
        var receipt = makeReceipt(result, counts, objects, hardwareProfile: hardwareProfile)
        let faults = objects.flatMap(\.faults)
        receipt.faults = faults.isEmpty ? nil : faults
        receipt.recordsDelivered = filtered.recordsDelivered
        receipt.recordsWithheld = filtered.recordsWithheld
        receipt.filteredBytes = filtered.vcfBytes
        receipt.filteredGzBytes = filtered.vcfGz.count
        receipt.measurements =
            [
                StageMeasurement(
                    stage: .restore, bytes: receipt.depositedBytes,
                    seconds: objects.map(\.seconds).max() ?? 0),
                StageMeasurement(
                    stage: .genotyping, bytes: counts.fastqBytes + result.vcfBytes, seconds: genotyped - started),
            ] + filtered.measurements
        receipt.totalSeconds = monotonicSeconds() - started
        // The result is the only owner of these arrays, so they are overwritten in place.
        result.vcfGz.withUnsafeMutableBytes { wipe($0) }
        result.index.withUnsafeMutableBytes { wipe($0) }
        result.sites?.vcfGz.withUnsafeMutableBytes { wipe($0) }
        result.sites?.index.withUnsafeMutableBytes { wipe($0) }
        let note = DeliveryNote(
            job: order.job, vcfBytes: filtered.vcfGz.count, indexBytes: filtered.index.count,
            recordsDelivered: filtered.recordsDelivered)
        return ServerAnswer(vcfGz: filtered.vcfGz, index: filtered.index, note: note, receipt: receipt)
    }

    /// The genotypes that the right needs: those at its sites and no others, or all variants, which its filter reduces.
    private func genotypingJob() throws -> GenotypingJob {
        var job = GenotypingJob(sample: order.sample)
        guard order.coverage == "sites" else { return job }
        var list = order.list
        var sites = try list.withUTF8 {
            try SiteList(parsing: UnsafeRawBufferPointer($0), label: "sites of the right", genome: genome)
        }
        sites.isClosed = true
        job.sites = sites
        job.wantsVariants = false
        return job
    }

    /// Restores the objects side by side and feeds the engine batch by batch.
    private func feed(_ objects: [RestoredObject], to session: any GenotypingSession) throws -> ReadBatcher.Counts {
        defer { for object in objects { object.close() } }
        let total = order.objects.reduce(0) { $0 + $1.length }
        let reads = ReadFiles(
            sources: objects.map { Restoring($0) }, layout: objects.count == 2 ? .paired : .unpaired, threads: threads)
        var lastReport = monotonicSeconds()
        let progress = {
            lastReport = monotonicSeconds()
            let done = objects.reduce(0) { $0 + $1.deliveredBytes }
            try report(JobProgress(step: "restoring and mapping", done: done, total: total))
        }
        try progress()
        let counts = try reads.forEachBatch(waiting: (Self.reportSeconds, progress)) { batch in
            try session.submit(batch)
            if monotonicSeconds() - lastReport > Self.reportSeconds { try progress() }
        }
        try progress()
        return counts
    }

    private func makeReceipt(
        _ result: GenotypingResult, _ counts: ReadBatcher.Counts, _ objects: [RestoredObject], hardwareProfile: String
    ) -> Receipt {
        Receipt(
            job: order.job, holders: objects.first?.holders ?? [], engine: engine.capabilities.name,
            hardwareProfile: hardwareProfile, reads: result.metrics.reads, mappedReads: result.metrics.mappedReads,
            duplicates: result.metrics.duplicates, recordsCalled: result.metrics.records, recordsDelivered: 0,
            recordsWithheld: 0, fastqBytes: counts.fastqBytes,
            depositedBytes: order.objects.reduce(0) { $0 + $1.length }, vcfBytes: result.vcfBytes,
            vcfGzBytes: result.vcfGz.count + (result.sites?.vcfGz.count ?? 0), filteredBytes: 0, filteredGzBytes: 0, measurements: [], totalSeconds: 0,
            engineSeconds: result.metrics.seconds,
            erasures: [
                Erasure(what: "pad bytes of every record, wiped at both ends after use", guarantee: .bestEffort),
                Erasure(
                    what: "data on the way between roles, under pad that no longer exists",
                    guarantee: .informationTheoretic),
                Erasure(what: "reads, alignments and genotypes in the trusted server's memory", guarantee: .bestEffort),
                Erasure(
                    what: "answer after delivery, overwritten in the trusted server's memory", guarantee: .bestEffort),
            ])
    }
}
