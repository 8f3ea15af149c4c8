import Foundation
import GenomicFormats

/// Genotypes one position from its column of bases: for substitutions that stand alone.
///
/// Independent errors come from ``BaseEvidence``, errors that reads share from ``ArtefactModel``.
package struct ColumnGenotyper {
    let window: ReadWindow
    let reference: UnsafeBufferPointer<UInt8>
    let options: CallingOptions

    package init(window: ReadWindow, reference: UnsafeBufferPointer<UInt8>, options: CallingOptions) {
        self.window = window
        self.reference = reference
        self.options = options
    }

    /// A read of a region comes from elsewhere, or from a damaged molecule, at least this often.
    static let leastForeign = 1e-3

    /// Share of substitutions that are transitions; the two transversions of a base share the rest (human Ti/Tv 2.1).
    static let transitionShare = 0.68

    /// Whether two different bases are a transition apart: A and G, C and T are two apart in the codes.
    static func isTransition(_ a: Int, _ b: Int) -> Bool { abs(a - b) == 2 }

    /// A base this close to the end of its alignment may be there because an alignment did not open a gap.
    static let endReach = 8

    /// The record at a position, whatever its quality; nil when no usable base differs from the reference.
    func record(at position: Int, unmappableShare: Double) -> VariantRecord? {
        record(at: position, unmappableShare: unmappableShare, leastQuality: 0, loneBases: nil)
    }

    /// The record at a position; nil when no usable base differs from the reference, and below `leastQuality`, which
    /// is the same for all columns that share `loneBases`.
    func record(
        at position: Int, unmappableShare: Double, leastQuality: Double, loneBases: LoneBases?
    ) -> VariantRecord? {
        let letter = Int(reference[position])
        guard letter < 4 else { return nil }
        let column = column(at: position)
        if column.count == 1, let loneBases, loneBases.isWorthless(column[0], reference: letter) { return nil }
        var depths = [0, 0, 0, 0]
        for entry in column { depths[Int(entry.base)] += 1 }
        let alternates = (0..<4).filter { $0 != letter && depths[$0] > 0 }
        guard !alternates.isEmpty else { return nil }
        let likelihoods = genotypeLikelihoods(column, bases: [letter] + alternates)
        let alleles = alleles(letter, alternates, depths, likelihoods)
        let table = table(alleles, likelihoods)
        guard table.quality >= leastQuality else {
            if column.count == 1 { loneBases?.noteWorthless(column[0], reference: letter) }
            return nil
        }
        return makeRecord(position, alleles, table, column, depths, unmappableShare)
    }

    /// The record of given alleles, the reference's letter first, whatever the bases show.
    func record(at position: Int, alleles: [Int], unmappableShare: Double) -> VariantRecord {
        let column = column(at: position)
        var depths = [0, 0, 0, 0]
        for entry in column { depths[Int(entry.base)] += 1 }
        let seen = (0..<4).filter { $0 != alleles[0] && depths[$0] > 0 }
        let likelihoods = genotypeLikelihoods(column, bases: [alleles[0]] + seen)
        return makeRecord(position, alleles, table(alleles, likelihoods), column, depths, unmappableShare)
    }

    /// log10 likelihoods of the ten genotypes; those of `bases`, which are seen here, with artefacts.
    private func genotypeLikelihoods(_ column: [ColumnBase], bases: [Int]) -> [Double] {
        var plain = ColumnLikelihoods()
        for entry in column {
            plain.add(base: entry.base, mappingQuality: entry.mappingQuality, quality: entry.quality)
        }
        var likelihoods = [Double](repeating: 0, count: 10)
        for k in 0..<4 {
            for j in 0...k { likelihoods[GenotypeTable.index(j, k)] = plain.likelihood(j, k) }
        }
        for allele in bases {
            let own = likelihoods[GenotypeTable.index(allele, allele)]
            let others = bases.filter { $0 != allele }
            likelihoods[GenotypeTable.index(allele, allele)] =
                others.map { ArtefactModel.likelihood(column, allele: allele, other: $0, plain: own) }.max() ?? own
        }
        return likelihoods
    }

    /// Reference first, then the alternates of the best genotype; the deepest one when that is the reference alone.
    private func alleles(_ letter: Int, _ alternates: [Int], _ depths: [Int], _ likelihoods: [Double]) -> [Int] {
        let order = alternates.sorted { (depths[$0], $1) > (depths[$1], $0) }
        guard order.count > 1 else { return [letter] + order }
        let all = [letter] + order
        let (a, b) = table(all, likelihoods).genotype
        let wanted = Set([a, b]).subtracting([0]).sorted().map { all[$0] }
        return [letter] + (wanted.isEmpty ? [order[0]] : wanted)
    }

    private func table(_ alleles: [Int], _ likelihoods: [Double]) -> GenotypeTable {
        var chosen: [Double] = []
        for k in alleles.indices {
            for j in 0...k { chosen.append(likelihoods[GenotypeTable.index(alleles[j], alleles[k])]) }
        }
        let priors = alleles.dropFirst().map { alternate in
            Self.isTransition(alternate, alleles[0]) ? Self.transitionShare : (1 - Self.transitionShare) / 2
        }
        return GenotypeTable(
            likelihoods: chosen, alternatePriors: priors.map { $0 * options.snpHeterozygosity })
    }

    private func makeRecord(
        _ position: Int, _ alleles: [Int], _ table: GenotypeTable, _ column: [ColumnBase], _ depths: [Int],
        _ unmappableShare: Double
    ) -> VariantRecord {
        // Reference then alternate, forward then reverse.
        var strands = (0, 0, 0, 0)
        var nearEnd = 0
        var squaredMapping = 0.0
        for entry in column {
            squaredMapping += Double(entry.mappingQuality) * Double(entry.mappingQuality)
            if Int(entry.base) == alleles[0] {
                if entry.isReverse { strands.1 += 1 } else { strands.0 += 1 }
            } else if alleles.contains(Int(entry.base)) {
                if entry.isReverse { strands.3 += 1 } else { strands.2 += 1 }
                if entry.isNearEnd { nearEnd += 1 }
            }
        }
        return VariantRecord(
            place: position, reference: [UInt8(alleles[0])], alternates: alleles.dropFirst().map { [UInt8($0)] },
            table: table, alleleDepths: alleles.map { depths[$0] }, depth: column.count,
            mappingQuality: (squaredMapping / Double(max(1, column.count))).squareRoot(),
            strandBias: strandBias(strands), endShare: Double(nearEnd) / Double(max(1, strands.2 + strands.3)),
            unmappableShare: unmappableShare)
    }

    /// The usable bases at a position, in the order of their reads.
    private func column(at position: Int) -> [ColumnBase] {
        var column: [ColumnBase] = []
        for index in window.aligned(over: position..<position + 1) {
            var place = -1
            window.forEachMatch(index) { start, base, count in
                if position >= start, position < start + count { place = base + position - start }
            }
            guard place >= 0, window.bases[place] < 4 else { continue }
            let quality = window.columnQualities[place]
            guard quality >= max(1, options.minimumBaseQuality) else { continue }
            let read = window.reads[index]
            let (leading, trailing) = window.clips(of: index)
            let fromEnd = min(
                place - read.baseStart - leading, read.baseStart + read.baseCount - trailing - 1 - place)
            let evidence = BaseEvidence.probabilities(mappingQuality: read.mappingQuality, quality: quality)
            column.append(
                ColumnBase(
                    base: window.bases[place], quality: quality, mappingQuality: read.mappingQuality,
                    isReverse: read.isReverse, isNearEnd: fromEnd < Self.endReach, match: evidence.x,
                    mismatch: evidence.y))
        }
        return column
    }
}
