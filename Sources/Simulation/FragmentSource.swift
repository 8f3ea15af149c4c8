import GenomicFormats
import Threads

/// Where the fragments of a sample can lie, and how one is drawn.
///
/// Fragments hold no N. With regions, their middle lies in a region, as after enrichment by hybridisation.
struct FragmentSource: Sendable {
    struct Fragment {
        var contig: Int
        /// 0 or 1.
        var haplotype: Int
        /// Of the haplotype.
        var range: Range<Int>
    }

    private struct Target {
        var contig: Int
        var haplotype: Int
        /// Where the middle may lie, and what the fragment must not leave, in the haplotype's coordinates.
        var middles: Range<Int>
        var stretch: Range<Int>
        /// Places of this target and all before it.
        var cumulative: Int
    }

    private var targets: [Target] = []
    /// Reference bases in which the middle may lie.
    let referenceBases: Int

    /// - Parameters:
    ///   - runs: stretches without N of every contig.
    ///   - shortest: stretches of fewer bases are left out.
    init(
        sample: DiploidSample, runs: [[Range<Int>]], names: [String], regions: RegionSet?, atLeast shortest: Int
    ) {
        var referenceBases = 0
        for (contig, runs) in runs.enumerated() {
            let wanted = regions.map { $0.intervals(of: names[contig])?.ranges ?? [] }
            for run in runs where run.count >= shortest {
                let middles = wanted.map { $0.map { $0.clamped(to: run) }.filter { !$0.isEmpty } } ?? [run]
                referenceBases += middles.reduce(0) { $0 + $1.count }
                for (index, haplotype) in sample.haplotypes[contig].enumerated() {
                    func own(_ range: Range<Int>) -> Range<Int> {
                        haplotype.position(ofReference: range.lowerBound)
                            ..< haplotype.position(ofReference: range.upperBound)
                    }
                    let stretch = own(run)
                    for range in middles.map(own) where !range.isEmpty && stretch.count >= shortest {
                        let before = targets.last?.cumulative ?? 0
                        targets.append(
                            Target(
                                contig: contig, haplotype: index, middles: range, stretch: stretch,
                                cumulative: before + range.count))
                    }
                }
            }
        }
        self.referenceBases = referenceBases
    }

    var isEmpty: Bool { targets.isEmpty }

    func draw(insert drawn: Int, _ random: inout RandomStream) -> Fragment {
        let total = targets[targets.count - 1].cumulative
        var number = random.below(total)
        let target = targets[targets.partitionPoint { $0.cumulative <= number }]
        number -= target.cumulative - target.middles.count
        let stretch = target.stretch
        let insert = min(drawn, stretch.count)
        var start = target.middles.lowerBound + number - insert / 2
        // A fragment that would leave the stretch is drawn anew; moving it inside would pile reads up at the ends.
        for _ in 0..<100 where start < stretch.lowerBound || start + insert > stretch.upperBound {
            start = target.middles.lowerBound + random.below(target.middles.count) - insert / 2
        }
        start = min(max(start, stretch.lowerBound), stretch.upperBound - insert)
        return Fragment(contig: target.contig, haplotype: target.haplotype, range: start..<start + insert)
    }
}

extension ReferenceGenome {
    /// The maximal runs of A, C, G and T of every contig.
    func runsWithoutN(threads: Int) -> [[Range<Int>]] {
        let all = ResultTable<[Range<Int>]>(repeating: [], count: contigs.count)
        inParallel(contigs.count, threads: threads) { all.set($0, Simulation.runsWithoutN(contigs[$0].bases)) }
        return all.values
    }
}

/// The maximal runs of A, C, G and T.
func runsWithoutN(_ bases: [UInt8]) -> [Range<Int>] {
    bases.withUnsafeBufferPointer { bases in
        var runs: [Range<Int>] = []
        var place = 0
        while place < bases.count {
            while place < bases.count, bases[place] > 3 { place += 1 }
            let start = place
            while place + 64 <= bases.count {
                var highest: UInt8 = 0
                for next in place..<place + 64 { highest |= bases[next] }
                if highest > 3 { break }
                place += 64
            }
            while place < bases.count, bases[place] < 4 { place += 1 }
            if place > start { runs.append(start..<place) }
        }
        return runs
    }
}
