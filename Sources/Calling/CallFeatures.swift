import Foundation
import GenomicFormats

/// What a record's evidence looks like, in numbers that a filter can be learned from: one value for each of ``names``,
/// in that order, 0 where a quantity has no meaning.
package struct CallFeatures: Sendable, Equatable {
    package enum Feature: Int, CaseIterable, Sendable {
        case quality, qualityByDepth, genotypeQuality, depth, alleleFraction, strandBias, strandOddsRatio
        case mappingQuality, mappingQualityRankSum, readPositionRankSum, baseQualityRankSum
        case alternateReadPosition, alternateBaseQuality, alternateMappingQuality
        case endShare, unmappableShare, lengthChange, repeatPeriod, repeatUnits, gcShare, isHeterozygous, alternates
    }

    package static let names = Feature.allCases.map { String(describing: $0) }

    package private(set) var values = [Double](repeating: 0, count: Feature.allCases.count)
    /// Fragments for each allele, reference first, by the strand of the read that speaks.
    package private(set) var forward: [Int]
    package private(set) var reverse: [Int]
    /// The tandem repeat that the record lies in; empty outside.
    private(set) var repeatUnit: [UInt8] = []

    package subscript(feature: Feature) -> Double {
        get { values[feature.rawValue] }
        set { values[feature.rawValue] = newValue }
    }

    private static let gcFlank = 25
    static let shortestRepeat = 6

    init(_ record: VariantRecord, window: ReadWindow, reference: UnsafeBufferPointer<UInt8>) {
        forward = [Int](repeating: 0, count: record.alternates.count + 1)
        reverse = forward
        var mapping = RankSum()
        var position = RankSum()
        var quality = RankSum()
        for witness in record.witnesses {
            let read = window.reads[witness.read]
            let allele = Int(witness.allele)
            if read.isReverse { reverse[allele] += 1 } else { forward[allele] += 1 }
            let (base, fromEnd) = window.base(of: witness.read, at: record.place)
            mapping.add(Double(read.mappingQuality), isAlternate: allele > 0)
            position.add(Double(fromEnd), isAlternate: allele > 0)
            quality.add(Double(window.qualities[base]), isAlternate: allele > 0)
        }
        self[.mappingQualityRankSum] = mapping.score()
        self[.readPositionRankSum] = position.score()
        self[.baseQualityRankSum] = quality.score()
        self[.alternateReadPosition] = position.alternateMean
        self[.alternateBaseQuality] = quality.alternateMean
        self[.alternateMappingQuality] = mapping.alternateMean
        self[.strandOddsRatio] = strandOddsRatio(
            (forward[0], reverse[0], forward.dropFirst().reduce(0, +), reverse.dropFirst().reduce(0, +)))
        describe(record)
        describe(record.place, reference)
    }

    private mutating func describe(_ record: VariantRecord) {
        let alternate = record.alleleDepths.dropFirst().reduce(0, +)
        let speaking = alternate + record.alleleDepths[0]
        self[.quality] = record.table.quality
        self[.qualityByDepth] = record.table.quality / Double(max(1, speaking))
        self[.genotypeQuality] = Double(record.table.genotypeQuality)
        self[.depth] = Double(record.depth)
        self[.alleleFraction] = Double(alternate) / Double(max(1, speaking))
        self[.strandBias] = record.strandBias
        self[.mappingQuality] = record.mappingQuality
        self[.endShare] = record.endShare
        self[.unmappableShare] = record.unmappableShare
        self[.lengthChange] = record.alternates.map { Double($0.count - record.reference.count) }
            .max { abs($0) < abs($1) } ?? 0
        self[.isHeterozygous] = record.table.genotype.0 != record.table.genotype.1 ? 1 : 0
        self[.alternates] = Double(record.alternates.count)
    }

    /// Repeat and composition of the reference around the record. The repeat is looked for at the base behind the
    /// anchor, where insertions and deletions happen.
    private mutating func describe(_ place: Int, _ reference: UnsafeBufferPointer<UInt8>) {
        let around = max(0, place - Self.gcFlank)..<min(reference.count, place + Self.gcFlank + 1)
        let strong = around.count { reference[$0] == BaseCode.g || reference[$0] == BaseCode.c }
        self[.gcShare] = Double(strong) / Double(max(1, around.count))
        guard place + 1 < reference.count else { return }
        for period in 1...RepeatTracts.longestPeriod {
            var first = place + 1
            var last = min(reference.count, first + period)
            while first > 0, first + period - 1 < reference.count, reference[first - 1] == reference[first - 1 + period],
                reference[first - 1] < 4, place - first < 500
            {
                first -= 1
            }
            while last < reference.count, reference[last] == reference[last - period], reference[last] < 4,
                last - place < 500
            {
                last += 1
            }
            guard last - first >= max(Self.shortestRepeat, 3 * period) else { continue }
            self[.repeatPeriod] = Double(period)
            self[.repeatUnits] = Double((last - first) / period)
            repeatUnit = Array(reference[first..<first + period])
            return
        }
    }
}

/// Wilcoxon rank sum test of two groups of numbers: do the alternate's differ from the reference's?
struct RankSum {
    private var values: [(value: Double, isAlternate: Bool)] = []
    private var alternateSum = 0.0
    private var alternateCount = 0

    mutating func add(_ value: Double, isAlternate: Bool) {
        values.append((value, isAlternate))
        if isAlternate {
            alternateSum += value
            alternateCount += 1
        }
    }

    var alternateMean: Double { alternateCount > 0 ? alternateSum / Double(alternateCount) : 0 }

    /// The normal deviate, corrected for ties: below 0 when the alternate's values are lower; 0 when a group is empty.
    mutating func score() -> Double {
        let total = values.count
        let others = total - alternateCount
        guard alternateCount > 0, others > 0 else { return 0 }
        values.sort { $0.value < $1.value }
        var rankSum = 0.0
        var ties = 0.0
        var first = 0
        while first < total {
            var next = first
            while next < total, values[next].value == values[first].value { next += 1 }
            let rank = Double(first + next + 1) / 2
            rankSum += rank * Double(values[first..<next].count { $0.isAlternate })
            let count = Double(next - first)
            ties += count * count * count - count
            first = next
        }
        let (n, m, all) = (Double(alternateCount), Double(others), Double(total))
        let deviation = rankSum - n * (all + 1) / 2
        let variance = n * m / 12 * (all + 1 - ties / (all * max(1, all - 1)))
        return variance > 1e-9 ? deviation / variance.squareRoot() : 0
    }
}

/// Symmetric odds ratio of strand bias (GATK's StrandOddsRatio): natural logarithm; about 0.7 for even counts.
func strandOddsRatio(_ table: (Int, Int, Int, Int)) -> Double {
    let (a, b, c, d) = (Double(table.0) + 1, Double(table.1) + 1, Double(table.2) + 1, Double(table.3) + 1)
    let ratio = a * d / (b * c)
    let reference = min(a, b) / max(a, b)
    let alternate = min(c, d) / max(c, d)
    return log(ratio + 1 / ratio) + log(reference) - log(alternate)
}

extension ReadWindow {
    /// Index of the read's base at a place, or of the last one in front of it, and its distance from the nearer end of
    /// the alignment.
    func base(of read: Int, at place: Int) -> (base: Int, fromEnd: Int) {
        let (leading, trailing) = clips(of: read)
        let first = reads[read].baseStart + leading
        let last = reads[read].baseStart + reads[read].baseCount - trailing - 1
        var found = first
        forEachMatch(read) { position, base, count in
            if position <= place { found = base + min(place - position, count - 1) }
        }
        return (found, max(0, min(found - first, last - found)))
    }
}
