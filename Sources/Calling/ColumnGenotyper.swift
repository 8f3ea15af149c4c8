import Foundation
import GenomicFormats

/// Genotypes one position from its column of bases: for substitutions that stand alone.
///
/// P(base | allele) mixes the sequencer's error with the chance that the read belongs elsewhere, so mapping quality
/// caps base quality without a cliff (Li 2011, with an explicit foreign-read term).
struct ColumnGenotyper {
    let window: ReadWindow
    let reference: UnsafeBufferPointer<UInt8>
    let options: CallingOptions

    /// A read comes from elsewhere, or from a damaged molecule, at least this often, whatever its qualities say.
    static let leastForeign = 1e-3

    private struct Tally {
        var likelihoods = [Double](repeating: 0, count: 10)
        var depths = [0, 0, 0, 0]
        var forward = [0, 0, 0, 0]
        var nearEnd = [0, 0, 0, 0]
        var squaredMapping = 0.0
        var total = 0
    }

    /// The record at a position, whatever its quality; nil when no usable base differs from the reference.
    func record(at position: Int, unmappableShare: Double) -> VariantRecord? {
        let letter = Int(reference[position])
        guard letter < 4 else { return nil }
        let tally = tally(position)
        guard tally.total > 0 else { return nil }
        // Alternates in the order of their evidence; the second one enters only when the likelihoods want it.
        let order = (0..<4).filter { $0 != letter && tally.depths[$0] > 0 }
            .sorted { (tally.depths[$0], $1) > (tally.depths[$1], $0) }
        guard let first = order.first else { return nil }
        let single = table([letter, first], tally)
        var chosen = (alleles: [letter, first], table: single)
        if order.count > 1, tally.depths[order[1]] > 1 {
            let double = table([letter, first, order[1]], tally)
            if double.genotype == (1, 2) {
                chosen = ([letter, first, order[1]], double)
            } else if double.genotype.1 == 2 {
                chosen = ([letter, order[1]], table([letter, order[1]], tally))
            }
        }
        return record(position, chosen.alleles, chosen.table, tally, unmappableShare)
    }

    /// The record of given alleles, the reference's letter first, whatever the bases show.
    func record(at position: Int, alleles: [Int], unmappableShare: Double) -> VariantRecord {
        let tally = tally(position)
        return record(position, alleles, table(alleles, tally), tally, unmappableShare)
    }

    private func record(
        _ position: Int, _ alleles: [Int], _ table: GenotypeTable, _ tally: Tally, _ unmappableShare: Double
    ) -> VariantRecord {
        let letter = alleles[0]
        let alternates = alleles.dropFirst()
        let alternateDepth = alternates.reduce(0) { $0 + tally.depths[$1] }
        let alternateForward = alternates.reduce(0) { $0 + tally.forward[$1] }
        return VariantRecord(
            place: position, reference: [UInt8(letter)], alternates: alternates.map { [UInt8($0)] },
            table: table, alleleDepths: alleles.map { tally.depths[$0] }, depth: tally.total,
            mappingQuality: (tally.squaredMapping / Double(max(1, tally.total))).squareRoot(),
            strandBias: strandBias(
                (
                    tally.forward[letter], tally.depths[letter] - tally.forward[letter], alternateForward,
                    alternateDepth - alternateForward
                )),
            endShare: Double(alternates.reduce(0) { $0 + tally.nearEnd[$1] }) / Double(max(1, alternateDepth)),
            unmappableShare: unmappableShare)
    }

    private func table(_ alleles: [Int], _ tally: Tally) -> GenotypeTable {
        var likelihoods: [Double] = []
        for k in alleles.indices {
            for j in 0...k { likelihoods.append(tally.likelihoods[GenotypeTable.index(alleles[j], alleles[k])]) }
        }
        let prior = options.snpHeterozygosity
        return GenotypeTable(
            likelihoods: likelihoods, alternatePriors: Array(repeating: prior, count: alleles.count - 1))
    }

    private func tally(_ position: Int) -> Tally {
        var tally = Tally()
        let candidates = window.firstRead(from: position - window.longestSpan)..<window.firstRead(from: position + 1)
        for index in candidates where window.reads[index].end > position {
            let read = window.reads[index]
            var place = -1
            window.forEachMatch(index) { start, base, count in
                if position >= start, position < start + count { place = base + position - start }
            }
            guard place >= 0, window.bases[place] < 4, window.columnQualities[place] >= options.minimumBaseQuality
            else { continue }
            let base = Int(window.bases[place])
            let (leading, trailing) = window.clips(of: index)
            let fromEnd = min(
                place - read.baseStart - leading, read.baseStart + read.baseCount - trailing - 1 - place)
            let error = pow(10, -Double(window.columnQualities[place]) / 10)
            let foreign = max(Self.leastForeign, pow(10, -Double(read.mappingQuality) / 10))
            let equal = (1 - foreign) * (1 - error) + foreign / 4
            let unequal = (1 - foreign) * error / 3 + foreign / 4
            let (both, one, none) = (log10(equal), log10((equal + unequal) / 2), log10(unequal))
            for k in 0..<4 {
                for j in 0...k {
                    let matches = (j == base ? 1 : 0) + (k == base ? 1 : 0)
                    tally.likelihoods[GenotypeTable.index(j, k)] += matches == 2 ? both : (matches == 1 ? one : none)
                }
            }
            tally.depths[base] += 1
            tally.total += 1
            if !read.isReverse { tally.forward[base] += 1 }
            if fromEnd < 8 { tally.nearEnd[base] += 1 }
            tally.squaredMapping += Double(read.mappingQuality) * Double(read.mappingQuality)
        }
        return tally
    }
}
