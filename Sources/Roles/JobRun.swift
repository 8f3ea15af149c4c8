internal import Compression
internal import Diagnostics
internal import Engines
internal import Foundation
internal import GenomicFormats
internal import Kernels
internal import Metering

/// One job at the trusted server: restore, genotype, filter. Reads and genotypes stay in memory.
struct JobRun {
    let order: JobOrder
    let telephone: Telephone
    let engine: any GenotypingEngine
    /// Threads for compression.
    let threads: Int
    /// Called a few times a second; throws when the job must stop.
    let report: (JobProgress) throws -> Void

    /// Seconds between two reports.
    private static let reportSeconds = 0.25

    /// One stream of reads: its shares, its inflater and its place in the pairs.
    private struct Stream {
        let object: RestoredObject
        let inflater: GzipInflater
        let mate: Mate
    }

    func execute(hardwareProfile: String) throws -> ServerAnswer {
        let started = monotonicSeconds()
        let filter = try RightFilter(
            coverage: order.coverage, list: order.list, overlap: order.overlap, fields: order.formatFields)
        let session = try engine.open(GenotypingJob(sample: order.sample))
        let streams: [Stream]
        let counts: ReadBatcher.Counts
        var result: GenotypingResult
        do {
            streams = try order.objects.enumerated().map { index, object in
                guard index < 2, let mate = Mate(rawValue: index) else {
                    throw Failure(
                        .data, at: order.sample, "it has more than two files of reads",
                        remedy: "deposit one or two FASTQ files")
                }
                return Stream(
                    object: try RestoredObject(order: object, telephone: telephone),
                    inflater: GzipInflater(label: object.part, threads: threads), mate: mate)
            }
            counts = try feed(streams, to: session)
            try report(JobProgress(step: "calling variants", done: 0, total: 0))
            result = try session.finish()
        } catch {
            session.cancel()
            throw error
        }
        let genotyped = monotonicSeconds()
        try report(JobProgress(step: "filtering", done: 0, total: 0))
        let filtered = try filter.run(result.vcfGz, sample: order.sample, threads: threads)
        var receipt = makeReceipt(result, counts, streams, hardwareProfile: hardwareProfile)
        let faults = streams.flatMap(\.object.faults)
        receipt.faults = faults.isEmpty ? nil : faults
        receipt.recordsDelivered = filtered.recordsDelivered
        receipt.recordsWithheld = filtered.recordsWithheld
        receipt.filteredBytes = filtered.vcfBytes
        receipt.filteredGzBytes = filtered.vcfGz.count
        receipt.measurements =
            [
                StageMeasurement(
                    stage: .restore, bytes: receipt.depositedBytes,
                    seconds: streams.reduce(0) { $0 + $1.object.seconds }),
                StageMeasurement(
                    stage: .genotyping, bytes: counts.fastqBytes + result.vcfBytes, seconds: genotyped - started),
            ] + filtered.measurements
        receipt.totalSeconds = monotonicSeconds() - started
        // The result is the only owner of these arrays, so they are overwritten in place.
        result.vcfGz.withUnsafeMutableBytes { wipe($0) }
        result.index.withUnsafeMutableBytes { wipe($0) }
        let note = DeliveryNote(
            job: order.job, vcfBytes: filtered.vcfGz.count, indexBytes: filtered.index.count,
            recordsDelivered: filtered.recordsDelivered)
        return ServerAnswer(vcfGz: filtered.vcfGz, index: filtered.index, note: note, receipt: receipt)
    }

    /// Restores the streams side by side and feeds the engine batch by batch.
    private func feed(_ streams: [Stream], to session: any GenotypingSession) throws -> ReadBatcher.Counts {
        defer { for stream in streams { stream.object.close() } }
        let total = order.objects.reduce(0) { $0 + $1.length }
        let batcher = ReadBatcher(layout: streams.count == 2 ? .paired : .unpaired, labels: order.objects.map(\.part))
        let submit = { (batch: ReadBatch) in try session.submit(batch) }
        var open = streams
        var lastReport = monotonicSeconds()
        try report(JobProgress(step: "restoring and mapping", done: 0, total: total))
        while !open.isEmpty {
            for index in open.indices.reversed() {
                let stream = open[index]
                let push = { (plain: UnsafeRawBufferPointer) in
                    try batcher.push(plain, of: stream.mate, emit: submit)
                }
                if try !stream.object.step({ try stream.inflater.feed($0, emit: push) }) {
                    try stream.inflater.finish(emit: push)
                    try batcher.finish(stream.mate, emit: submit)
                    open.remove(at: index)
                }
            }
            if monotonicSeconds() - lastReport > Self.reportSeconds {
                lastReport = monotonicSeconds()
                let done = streams.reduce(0) { $0 + $1.object.deliveredBytes }
                try report(JobProgress(step: "restoring and mapping", done: done, total: total))
            }
        }
        return batcher.counts
    }

    private func makeReceipt(
        _ result: GenotypingResult, _ counts: ReadBatcher.Counts, _ streams: [Stream], hardwareProfile: String
    ) -> Receipt {
        Receipt(
            job: order.job, holders: streams.first?.object.holders ?? [], engine: engine.capabilities.name,
            hardwareProfile: hardwareProfile, reads: result.metrics.reads, mappedReads: result.metrics.mappedReads,
            duplicates: result.metrics.duplicates, recordsCalled: result.metrics.records, recordsDelivered: 0,
            recordsWithheld: 0, fastqBytes: counts.fastqBytes,
            depositedBytes: order.objects.reduce(0) { $0 + $1.length }, vcfBytes: result.vcfBytes,
            vcfGzBytes: result.vcfGz.count, filteredBytes: 0, filteredGzBytes: 0, measurements: [], totalSeconds: 0,
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
