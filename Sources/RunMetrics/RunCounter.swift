public import GenomicFormats
public import Mapping
import Synchronization
import Threads

/// All that was counted of one run.
public struct RunFigures: Sendable, Equatable {
    /// In the order of the job's read groups.
    public var readGroups: [(id: String, figures: ReadFigures)]
    /// In the order of the reference.
    public var contigs: [ContigFigures]
    /// Reads whose alignments cover the reference (``ContigFigures``).
    public var coveringReads = 0
    public var variants: VariantFigures

    public static func == (a: RunFigures, b: RunFigures) -> Bool {
        a.readGroups.map(\.id) == b.readGroups.map(\.id) && a.readGroups.map(\.figures) == b.readGroups.map(\.figures)
            && a.contigs == b.contigs && a.coveringReads == b.coveringReads && a.variants == b.variants
    }

    /// The sample's reads: the sum of its read groups.
    public var reads: ReadFigures { readGroups.reduce(into: ReadFigures()) { $0.add($1.figures) } }
}

/// Counts what a run's metrics files say, beside the run.
///
/// Batches are counted as they are mapped, alignments when duplicates are marked, variants as their lines are written.
/// The figures are sums, and so depend on neither the number of threads nor the order of calls.
public final class RunCounter: Sendable {
    private struct State {
        var groups: [ReadFigures]
        /// Read groups by ordinals of reads: neighbouring batches of one group are one run of ordinals.
        var runs: [(first: UInt64, end: UInt64, group: Int)] = []
        var contigs: [ContigFigures]
        var coveringReads = 0
        var variants: VariantFigures
    }

    private let reference: ReferenceGenome
    private let ids: [String]
    private let state: Mutex<State>

    /// - Parameter readGroups: their IDs, in the order that ``GenomicFormats/ReadBatch/readGroup`` counts.
    public init(reference: ReferenceGenome, readGroups: [String]) {
        precondition(!readGroups.isEmpty)
        self.reference = reference
        ids = readGroups
        let contigs = reference.contigs.map { ContigFigures(name: $0.name, length: $0.length) }
        state = Mutex(
            State(
                groups: readGroups.map { _ in ReadFigures() }, contigs: contigs,
                variants: VariantFigures(contigs: contigs)))
    }

    /// Counts reads as they were sequenced. Safe from many threads.
    public func count(_ batch: ReadBatch) {
        let figures = ReadFigures(sequenced: batch)
        let run = (first: batch.firstOrdinal, end: batch.firstOrdinal + UInt64(batch.readCount), group: batch.readGroup)
        state.withLock {
            $0.groups[run.group].add(figures)
            if ids.count > 1 { $0.runs.append(run) }
        }
    }

    /// Counts one line of the VCF.
    public func count(line: UnsafeRawBufferPointer) { state.withLock { $0.variants.count(line) } }

    /// Counts the alignments of a sealed store whose duplicates are marked, and how deep they cover the reference.
    ///
    /// - Throws: `Failure` when spilled reads cannot be read back.
    public func count(_ store: ReadStore, threads: Int) throws {
        precondition(store.contigLengths == reference.contigs.map(\.length), "store and reference differ")
        let groups = OrdinalGroups(state.withLock { $0.runs })
        var pieces: [(contig: Int, range: Range<Int>)] = []
        for (contig, length) in store.contigLengths.enumerated() {
            for start in stride(from: 0, to: length, by: ReadStore.binSpan) {
                pieces.append((contig, start..<min(length, start + ReadStore.binSpan)))
            }
        }
        try countPieces(pieces, store, groups, threads: threads)
    }

    private func countPieces(
        _ pieces: [(contig: Int, range: Range<Int>)], _ store: ReadStore, _ groups: OrdinalGroups, threads: Int
    ) throws {
        let counters = Workers(threads) { PieceCounter(store: store, groups: groups, groupCount: ids.count) }
        let failed = counters.forEach(pieces.count) { [self] counter, piece in
            let (contig, range) = pieces[piece]
            let depths = try counter.count(contig, range, reference.contigs[contig].bases)
            state.withLock {
                $0.contigs[contig].depths.add(depths.all)
                $0.contigs[contig].knownDepths.add(depths.known)
            }
        }
        if let failed { throw failed.error }
        state.withLock {
            for counter in counters.contexts {
                for (group, figures) in counter.figures.enumerated() { $0.groups[group].add(figures) }
                $0.coveringReads += counter.coveringReads
            }
        }
    }

    /// What was counted so far.
    public var figures: RunFigures {
        state.withLock {
            RunFigures(
                readGroups: Array(zip(ids, $0.groups)).map { (id: $0.0, figures: $0.1) }, contigs: $0.contigs,
                coveringReads: $0.coveringReads, variants: $0.variants)
        }
    }
}

/// The read group of each ordinal.
struct OrdinalGroups: Sendable {
    private var runs: [(first: UInt64, end: UInt64, group: Int)] = []

    init(_ batches: [(first: UInt64, end: UInt64, group: Int)]) {
        for batch in batches.sorted(by: { $0.first < $1.first }) {
            if let last = runs.last, last.group == batch.group, last.end == batch.first {
                runs[runs.count - 1].end = batch.end
            } else {
                runs.append(batch)
            }
        }
    }

    /// 0 for an ordinal that no batch had, as when there is one group.
    func group(of ordinal: UInt64) -> Int {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].end <= ordinal { low = middle + 1 } else { high = middle }
        }
        return low < runs.count && runs[low].first <= ordinal ? runs[low].group : 0
    }
}
