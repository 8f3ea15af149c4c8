public import GenomicFormats
public import Mapping
import Metering
import Synchronization
import Threads

/// Diploid small-variant caller: reads in a store to VCF 4.3 lines.
///
/// The genome is cut at fixed places into units of work; a unit sees some reads beyond its borders but writes only the
/// records that lie inside it. The lines therefore depend on the reads and options alone, not on threads.
public struct VariantCaller: Sendable {
    /// Bases per unit of work.
    static let unitLength = ReadStore.stretch
    /// Bases that a unit sees on each side of its own.
    static let margin = 700
    /// Columns below this QUAL are not worth a thought.
    static let leastColumnQuality = 1.0

    /// Units from which the sample's stutter is estimated.
    static let stutterUnits = 48

    private let reference: ReferenceGenome
    private let options: CallingOptions

    public init(reference: ReferenceGenome, options: CallingOptions = CallingOptions()) {
        self.reference = reference
        self.options = options
    }

    /// The header of an output, last line included, for one sample. `command` is written only when it is not empty.
    public static func header(
        _ output: CallOutput = .variants, reference: ReferenceGenome, sample: String, command: String,
        options: CallingOptions = CallingOptions()
    ) -> [UInt8] {
        CallHeader.text(output, reference: reference, sample: sample, command: command, options: options)
    }

    private struct Unit {
        var contig: Int
        var range: Range<Int>
        /// Records are written for these places of the unit.
        var wanted: [Range<Int>]
        var sites: ArraySlice<SiteList.Site>
    }

    /// What one thread takes from unit to unit.
    private final class Worker: @unchecked Sendable {
        // Each belongs to one thread of a run, one run after the other.

        let counters = PileupCounters(places: VariantCaller.unitLength + 2 * VariantCaller.margin)
        let loneBases = LoneBases()
    }

    private struct Outcome {
        var contig: Int
        var variants: [[UInt8]] = []
        var gvcf: [GVCFLine] = []
        var blocks: GVCFBlocks?
        var sites: [[UInt8]] = []
        var metrics = CallingMetrics()
    }

    /// Calls variants and hands each line (newline included) to `emit`, in the order of the reference.
    ///
    /// - Parameters:
    ///   - store: sealed; its contigs are those of the reference, in the same order.
    ///   - threads: at least 1; the lines do not depend on it.
    ///   - regions: zero-based half-open ranges by contig index; nil means everything.
    /// - Throws: what `emit` throws, and `Failure` when spilled reads cannot be read back.
    public func call(
        store: ReadStore, threads: Int, regions: [(contig: Int, range: Range<Int>)]? = nil, sample: String = "",
        emit: ([UInt8]) throws -> Void
    ) throws -> CallingMetrics {
        try call(store: store, threads: threads, request: CallingRequest(regions: regions)) { _, line in try emit(line) }
    }

    /// As ``call(store:threads:regions:sample:emit:)`` for all outputs that `request` asks for, each in its own order.
    public func call(
        store: ReadStore, threads: Int, request: CallingRequest, emit: (CallOutput, [UInt8]) throws -> Void
    ) throws -> CallingMetrics {
        precondition(store.isSealed && threads > 0)
        precondition(store.contigLengths == reference.contigs.map(\.length), "store and reference differ")
        let begin = monotonicSeconds()
        let stutter = try estimateStutter(store)
        let units = units(request)
        var metrics = CallingMetrics()
        var joiner = GVCFJoiner()
        let workers = Workers(threads) { Worker() }
        let batch = (request.outputs.contains(.gvcf) ? 32 : 128) * threads
        for first in stride(from: 0, to: units.count, by: batch) {
            let slice = units[first..<min(units.count, first + batch)]
            for outcome in try run(slice, request, store: store, stutter: stutter, workers: workers) {
                metrics.add(outcome.metrics)
                for line in outcome.variants { try emit(.variants, line) }
                let contig = reference.contigs[outcome.contig]
                for line in outcome.gvcf {
                    if let bytes = joiner.joined(line, contig: outcome.contig, contig) { try emit(.gvcf, bytes) }
                }
                for line in outcome.sites { try emit(.sites, line) }
            }
        }
        metrics.wallSeconds = monotonicSeconds() - begin
        return metrics
    }

    private func run(
        _ units: ArraySlice<Unit>, _ request: CallingRequest, store: ReadStore, stutter: StutterModel,
        workers: Workers<Worker>
    ) throws -> [Outcome] {
        let outcomes = Mutex([Outcome](repeating: Outcome(contig: 0), count: units.count))
        let failed = workers.forEach(units.count) { worker, index in
            let unit = units[units.startIndex + index]
            let outcome = try self.outcome(unit, request, store: store, stutter: stutter, worker: worker)
            outcomes.withLock { $0[index] = outcome }
        }
        if let failed { throw failed.error }
        return outcomes.withLock { $0 }
    }

    private func units(_ request: CallingRequest) -> [Unit] {
        let isEverywhere = request.outputs != [.sites]
        var units: [Unit] = []
        for (contig, entry) in reference.contigs.enumerated() {
            let wanted = request.regions?.filter { $0.contig == contig }.map { $0.range.clamped(to: 0..<entry.length) }
            for start in stride(from: 0, to: entry.length, by: Self.unitLength) {
                let range = start..<min(entry.length, start + Self.unitLength)
                let sites = request.sites?.sites(contig: contig, in: range) ?? []
                let inside = isEverywhere ? wanted?.filter { $0.overlaps(range) } ?? [range] : []
                if inside.isEmpty && sites.isEmpty { continue }
                units.append(Unit(contig: contig, range: range, wanted: inside, sites: sites))
            }
        }
        return units
    }

    private func outcome(
        _ unit: Unit, _ request: CallingRequest, store: ReadStore, stutter: StutterModel, worker: Worker
    ) throws -> Outcome {
        var outcome = Outcome(contig: unit.contig)
        let contig = reference.contigs[unit.contig]
        let seen = max(0, unit.range.lowerBound - Self.margin)..<min(contig.length, unit.range.upperBound + Self.margin)
        let begin = monotonicSeconds()
        let window = try ReadWindow(store: store, contig: unit.contig, range: seen, options: options)
        outcome.metrics.reads = window.reads.count
        outcome.metrics.sampledOutReads = window.sampledOut
        outcome.metrics.loadSeconds = monotonicSeconds() - begin
        guard !window.reads.isEmpty || request.outputs != [.variants] else { return outcome }
        contig.bases.withUnsafeBufferPointer { bases in
            let ploidy = { request.ploidy.ploidy(contig: unit.contig, at: $0) }
            var records = self.records(
                window, unit: unit, reference: bases, stutter: stutter, request: request, worker: worker,
                outcome: &outcome)
            records = wanted(records, unit, ploidy)
            records = Annotator(window: window, reference: bases, options: options).annotated(records)
            outcome.metrics.records = records.count
            outcome.metrics.passedRecords = records.count { $0.filters(options).isEmpty }
            if request.outputs.contains(.variants) {
                outcome.variants = records.map { $0.line(contig: contig.name, options: options) }
            }
            if let blocks = outcome.blocks {
                outcome.blocks = nil
                let between = blocks.lines(
                    wanted: unit.wanted, records: records, reference: bases, contig: contig.name, ploidy: ploidy)
                let lines = records.map {
                    GVCFLine(
                        start: $0.place, end: $0.end,
                        bytes: $0.line(contig: contig.name, options: options, hasUnseenAllele: true))
                }
                outcome.gvcf = merged(between, lines)
            }
        }
        return outcome
    }

    /// Two lists of lines by place; no block begins where a record does.
    private func merged(_ blocks: [GVCFLine], _ records: [GVCFLine]) -> [GVCFLine] {
        var lines: [GVCFLine] = []
        lines.reserveCapacity(blocks.count + records.count)
        var next = 0
        for record in records {
            while next < blocks.count, blocks[next].start < record.start {
                lines.append(blocks[next])
                next += 1
            }
            lines.append(record)
        }
        return lines + blocks[next...]
    }

    /// The records that are written, in order.
    private func wanted(_ all: [VariantRecord], _ unit: Unit, _ ploidy: (Int) -> Int) -> [VariantRecord] {
        var records = all.compactMap { record -> VariantRecord? in
            guard unit.range.contains(record.place), unit.wanted.contains(where: { $0.contains(record.place) }),
                let record = record.converted(toPloidy: ploidy(record.place)),
                record.table.quality >= options.emitQuality
            else { return nil }
            return record
        }
        records.sort { a, b in
            if a.place != b.place { return a.place < b.place }
            if a.reference.count != b.reference.count { return a.reference.count < b.reference.count }
            return a.alternates[0].lexicographicallyPrecedes(b.alternates[0])
        }
        return withoutRepeats(records)
    }

    /// A region and a lone column may find the same substitution: the first of equal records stays.
    private func withoutRepeats(_ records: [VariantRecord]) -> [VariantRecord] {
        var kept: [VariantRecord] = []
        for record in records {
            let isKnown = kept.reversed().prefix { $0.place == record.place }.contains {
                $0.reference == record.reference && !Set($0.alternates).isDisjoint(with: record.alternates)
            }
            if !isKnown { kept.append(record) }
        }
        return kept
    }

    /// The sample's stutter, from units spread over the whole reference, whatever regions are asked for.
    private func estimateStutter(_ store: ReadStore) throws -> StutterModel {
        let used = units(CallingRequest()).filter { store.hasReads(contig: $0.contig, overlapping: $0.range) }
        var observed = StutterModel.Observation()
        let step = max(1, used.count / Self.stutterUnits)
        for index in stride(from: 0, to: used.count, by: step) {
            let unit = used[index]
            let window = try ReadWindow(store: store, contig: unit.contig, range: unit.range, options: options)
            reference.contigs[unit.contig].bases.withUnsafeBufferPointer {
                observed.add(window, range: unit.range, reference: $0)
            }
        }
        return StutterModel(observed)
    }

    private func records(
        _ window: ReadWindow, unit: Unit, reference: UnsafeBufferPointer<UInt8>, stutter: StutterModel,
        request: CallingRequest, worker: Worker, outcome: inout Outcome
    ) -> [VariantRecord] {
        var begin = monotonicSeconds()
        let seen = window.range
        let pileup = Pileup(window, reference: reference, options: options, counters: worker.counters)
        let tracts = RepeatTracts(UnsafeBufferPointer(rebasing: reference[seen]), model: stutter)
        let finder = ActiveRegionFinder(
            window: window, pileup: pileup, tracts: tracts, tractOrigin: seen.lowerBound, reference: reference,
            options: options)
        outcome.metrics.pileupSeconds += monotonicSeconds() - begin
        begin = monotonicSeconds()
        let columnGenotyper = ColumnGenotyper(window: window, reference: reference, options: options)
        var columns: [Int: VariantRecord] = [:]
        var positions: [Int] = []
        let candidates = pileup.candidateColumns()
        for position in candidates {
            let unmapped = Double(pileup.unmappableDepth[position - seen.lowerBound])
            let depth = Double(pileup.depth[position - seen.lowerBound]) + unmapped
            let found = columnGenotyper.record(
                at: position, unmappableShare: unmapped / max(1, depth), leastQuality: Self.leastColumnQuality,
                loneBases: worker.loneBases)
            guard let record = found else { continue }
            columns[position] = record
            positions.append(position)
        }
        outcome.metrics.columns += positions.count
        outcome.metrics.columnSeconds += monotonicSeconds() - begin
        begin = monotonicSeconds()
        let (alone, regions) = finder.split(columns: positions, candidates: candidates)
        var records = alone.compactMap { columns[$0] }.filter { $0.table.genotype != (0, 0) }
        let genotyper = RegionGenotyper(
            window: window, reference: reference, tracts: tracts, tractOrigin: seen.lowerBound, pileup: pileup,
            options: options, stutter: stutter)
        for region in regions
        where region.owned.lowerBound < unit.range.upperBound && region.owned.upperBound > unit.range.lowerBound {
            records += genotyper.records(region, columns: positions, metrics: &outcome.metrics)
        }
        outcome.metrics.regionSeconds += monotonicSeconds() - begin
        if request.outputs.contains(.gvcf) {
            outcome.blocks = GVCFBlocks(
                window, range: unit.range, reference: reference, columns: columnGenotyper, tracts: tracts,
                tractOrigin: seen.lowerBound)
        }
        guard !unit.sites.isEmpty else { return records }
        let sites = SiteGenotyper(
            columns: columnGenotyper, regions: genotyper, pileup: pileup, active: regions, positions: positions,
            called: records, present: records.flatMap { $0.presentEvents(reference) }, reference: reference,
            options: options, isClosed: request.sites?.isClosed ?? false)
        let contig = self.reference.contigs[unit.contig].name
        for site in unit.sites {
            let ploidy = request.ploidy.ploidy(contig: unit.contig, at: site.position)
            outcome.sites += sites.lines(site, contig: contig, ploidy: ploidy, metrics: &outcome.metrics)
        }
        return records
    }
}
