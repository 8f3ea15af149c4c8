public import GenomicFormats
public import Mapping
import Dispatch
import Metering
import Synchronization

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

    /// The VCF header, last line included, for one sample. `command` is written only when it is not empty.
    public static func header(reference: ReferenceGenome, sample: String, command: String) -> [UInt8] {
        VariantRecord.header(reference: reference, sample: sample, command: command)
    }

    private struct Unit {
        var contig: Int
        var range: Range<Int>
        /// Records are written for these places of the unit; nil writes all.
        var wanted: [Range<Int>]?
    }

    private struct Outcome {
        var lines: [[UInt8]] = []
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
        precondition(store.isSealed && threads > 0)
        precondition(store.contigLengths == reference.contigs.map(\.length), "store and reference differ")
        let begin = monotonicSeconds()
        let stutter = try estimateStutter(store)
        let units = units(regions)
        var metrics = CallingMetrics()
        let batch = 32 * threads
        for first in stride(from: 0, to: units.count, by: batch) {
            let slice = units[first..<min(units.count, first + batch)]
            for outcome in try run(slice, store: store, stutter: stutter, threads: threads) {
                metrics.add(outcome.metrics)
                for line in outcome.lines { try emit(line) }
            }
        }
        metrics.wallSeconds = monotonicSeconds() - begin
        return metrics
    }

    private func run(_ units: ArraySlice<Unit>, store: ReadStore, stutter: StutterModel, threads: Int) throws
        -> [Outcome]
    {
        let outcomes = Mutex([Result<Outcome, any Error>](repeating: .success(Outcome()), count: units.count))
        let next = Atomic<Int>(0)
        @Sendable func work() {
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < units.count else { return }
                let unit = units[units.startIndex + index]
                let outcome = Result { try self.outcome(unit, store: store, stutter: stutter) }
                outcomes.withLock { $0[index] = outcome }
            }
        }
        if threads == 1 { work() } else { DispatchQueue.concurrentPerform(iterations: threads) { _ in work() } }
        return try outcomes.withLock { try $0.map { try $0.get() } }
    }

    private func units(_ regions: [(contig: Int, range: Range<Int>)]?) -> [Unit] {
        var units: [Unit] = []
        for (contig, entry) in reference.contigs.enumerated() {
            let wanted = regions?.filter { $0.contig == contig }.map { $0.range.clamped(to: 0..<entry.length) }
            for start in stride(from: 0, to: entry.length, by: Self.unitLength) {
                let range = start..<min(entry.length, start + Self.unitLength)
                let inside = wanted?.filter { $0.overlaps(range) }
                if let inside, inside.isEmpty { continue }
                units.append(Unit(contig: contig, range: range, wanted: inside))
            }
        }
        return units
    }

    private func outcome(_ unit: Unit, store: ReadStore, stutter: StutterModel) throws -> Outcome {
        var outcome = Outcome()
        let contig = reference.contigs[unit.contig]
        let seen = max(0, unit.range.lowerBound - Self.margin)..<min(contig.length, unit.range.upperBound + Self.margin)
        let begin = monotonicSeconds()
        let window = try ReadWindow(store: store, contig: unit.contig, range: seen, options: options)
        outcome.metrics.reads = window.reads.count
        outcome.metrics.sampledOutReads = window.sampledOut
        outcome.metrics.loadSeconds = monotonicSeconds() - begin
        guard !window.reads.isEmpty else { return outcome }
        var records = contig.bases.withUnsafeBufferPointer {
            self.records(
                window, unit: unit.range, seen: seen, reference: $0, stutter: stutter, metrics: &outcome.metrics)
        }
        records = records.filter { record in
            guard unit.range.contains(record.place), record.table.quality >= options.emitQuality else { return false }
            return unit.wanted?.contains { $0.contains(record.place) } ?? true
        }
        records.sort { a, b in
            if a.place != b.place { return a.place < b.place }
            if a.reference.count != b.reference.count { return a.reference.count < b.reference.count }
            return a.alternates[0].lexicographicallyPrecedes(b.alternates[0])
        }
        records = withoutRepeats(records)
        outcome.metrics.records = records.count
        outcome.metrics.passedRecords = records.count { $0.filters(options).isEmpty }
        outcome.lines = records.map { $0.line(contig: contig.name, options: options) }
        return outcome
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
        let used = units(nil).filter { store.hasReads(contig: $0.contig, overlapping: $0.range) }
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
        _ window: ReadWindow, unit: Range<Int>, seen: Range<Int>, reference: UnsafeBufferPointer<UInt8>,
        stutter: StutterModel, metrics: inout CallingMetrics
    ) -> [VariantRecord] {
        var begin = monotonicSeconds()
        let pileup = Pileup(window, range: seen, reference: reference, options: options)
        let tracts = RepeatTracts(UnsafeBufferPointer(rebasing: reference[seen]), model: stutter)
        let finder = ActiveRegionFinder(
            pileup: pileup, tracts: tracts, tractOrigin: seen.lowerBound, options: options)
        metrics.pileupSeconds += monotonicSeconds() - begin
        begin = monotonicSeconds()
        let columnGenotyper = ColumnGenotyper(window: window, reference: reference, options: options)
        var columns: [Int: VariantRecord] = [:]
        var positions: [Int] = []
        for position in pileup.candidateColumns() {
            let unmapped = Double(pileup.unmappableDepth[position - seen.lowerBound])
            let depth = Double(pileup.depth[position - seen.lowerBound]) + unmapped
            guard let record = columnGenotyper.record(at: position, unmappableShare: unmapped / max(1, depth)),
                record.table.quality >= Self.leastColumnQuality
            else { continue }
            columns[position] = record
            positions.append(position)
        }
        metrics.columns += positions.count
        metrics.columnSeconds += monotonicSeconds() - begin
        begin = monotonicSeconds()
        let (alone, regions) = finder.split(columns: positions)
        var records = alone.compactMap { columns[$0] }.filter { $0.table.genotype != (0, 0) }
        let genotyper = RegionGenotyper(
            window: window, reference: reference, tracts: tracts, tractOrigin: seen.lowerBound, pileup: pileup,
            options: options, stutter: stutter)
        for region in regions
        where region.owned.lowerBound < unit.upperBound && region.owned.upperBound > unit.lowerBound {
            records += genotyper.records(region, columns: positions, metrics: &metrics)
        }
        metrics.regionSeconds += monotonicSeconds() - begin
        return records
    }
}
