import Foundation
import GenomicFormats

/// What one base of one read says of its column, by mapping and base quality.
///
/// P(base | allele) mixes the sequencer's error with the chance that the read belongs elsewhere, so mapping quality
/// caps base quality without a cliff (Li 2011, with an explicit foreign-read term).
enum BaseEvidence {
    /// A read comes from elsewhere, or from a damaged molecule, at least this often, whatever its qualities say.
    static let leastForeign = 2e-4

    /// P(base | allele) when the allele is that base, and when it is another one.
    static func probabilities(mappingQuality: UInt8, quality: UInt8) -> SIMD2<Double> {
        probabilityTable[index(mappingQuality, quality)]
    }

    /// log10 P(base | genotype) for two, one and no alleles of the genotype that are this base; then 1, to count.
    static func logarithms(mappingQuality: UInt8, quality: UInt8) -> SIMD4<Float> {
        logarithmTable[index(mappingQuality, quality)]
    }

    private static let qualities = 64
    /// Above this mapping quality a read is as good as any: ``leastForeign`` is then the larger term.
    private static let highestMappingQuality = 40

    @inline(__always)
    private static func index(_ mappingQuality: UInt8, _ quality: UInt8) -> Int {
        min(Int(mappingQuality), highestMappingQuality) * qualities + min(Int(quality), qualities - 1)
    }

    private static let probabilityTable: [SIMD2<Double>] = (0...highestMappingQuality).flatMap { mapping in
        (0..<qualities).map { quality in
            let error = min(0.75, pow(10, -Double(quality) / 10))
            let foreign = max(leastForeign, pow(10, -Double(mapping) / 10))
            return SIMD2((1 - foreign) * (1 - error) + foreign / 4, (1 - foreign) * error / 3 + foreign / 4)
        }
    }

    /// The rows of ``logarithms(mappingQuality:quality:)`` by mapping quality, for loops over many bases.
    static func withLogarithms<Result>(
        _ body: (_ row: (UInt8) -> UnsafePointer<SIMD4<Float>>) -> Result
    ) -> Result {
        logarithmTable.withUnsafeBufferPointer { table in
            body { table.baseAddress! + index($0, 0) }
        }
    }

    static let highestQuality = qualities - 1

    private static let logarithmTable: [SIMD4<Float>] = probabilityTable.map {
        SIMD4(Float(log10($0.x)), Float(log10(($0.x + $0.y) / 2)), Float(log10($0.y)), 1)
    }
}

/// The likelihoods of all ten genotypes of one position by its column of bases, each fragment counted once.
package struct ColumnLikelihoods: BitwiseCopyable, Sendable {
    /// Sums of ``BaseEvidence/logarithms(mappingQuality:quality:)`` by read base.
    private var a = SIMD4<Float>()
    private var c = SIMD4<Float>()
    private var g = SIMD4<Float>()
    private var t = SIMD4<Float>()

    package init() {}

    private subscript(base: Int) -> SIMD4<Float> {
        switch base {
        case 0: a
        case 1: c
        case 2: g
        default: t
        }
    }

    /// log10 likelihood of the genotype with these two bases (codes 0 to 3), in any order.
    package func likelihood(_ first: Int, _ second: Int) -> Double {
        var sum: Float = 0
        for base in 0..<4 {
            let matches = (base == first ? 1 : 0) + (base == second ? 1 : 0)
            sum += self[base][2 - matches]
        }
        return Double(sum)
    }

    /// Fragments that read this base (code 0 to 3).
    package func depth(_ base: Int) -> Int { Int(self[base].w) }

    package var depth: Int { Int(a.w + c.w + g.w + t.w) }

    @inline(__always)
    mutating func add(base: UInt8, mappingQuality: UInt8, quality: UInt8) {
        add(base: base, BaseEvidence.logarithms(mappingQuality: mappingQuality, quality: quality))
    }

    @inline(__always)
    mutating func add(base: UInt8, _ evidence: SIMD4<Float>) {
        switch base {
        case 0: a += evidence
        case 1: c += evidence
        case 2: g += evidence
        default: t += evidence
        }
    }
}

extension ColumnGenotyper {
    /// The likelihoods at one position, variant or not.
    package func likelihoods(at position: Int) -> ColumnLikelihoods {
        var result = ColumnLikelihoods()
        forEachColumn(in: position..<position + 1) { _, column in result = column }
        return result
    }

    /// Calls `body` with the likelihoods of every position of `range`, in order, those without reads too. One sweep
    /// over the reads: the way to look at whole stretches.
    package func forEachColumn(in range: Range<Int>, _ body: (_ position: Int, ColumnLikelihoods) -> Void) {
        var from = range.lowerBound
        while from < range.upperBound {
            let to = min(range.upperBound, from + Self.sweepLength)
            sweep(from..<to, body)
            from = to
        }
    }

    /// Positions whose sums are kept at a time: they stay in the first-level cache.
    private static let sweepLength = 256

    private func sweep(_ range: Range<Int>, _ body: (Int, ColumnLikelihoods) -> Void) {
        withUnsafeTemporaryAllocation(of: ColumnLikelihoods.self, capacity: range.count) { sums in
            sums.initialize(repeating: ColumnLikelihoods())
            BaseEvidence.withLogarithms { row in
                for read in window.aligned(over: range) {
                    add(read, in: range, evidence: row(window.reads[read].mappingQuality), to: sums)
                }
            }
            for place in range { body(place, sums[place - range.lowerBound]) }
        }
    }

    /// Adds the usable bases of one read to the columns of `range`.
    private func add(
        _ read: Int, in range: Range<Int>, evidence: UnsafePointer<SIMD4<Float>>,
        to sums: UnsafeMutableBufferPointer<ColumnLikelihoods>
    ) {
        let floor = max(1, options.minimumBaseQuality)
        window.bases.withUnsafeBufferPointer { bases in
            window.columnQualities.withUnsafeBufferPointer { qualities in
                window.forEachMatch(read) { position, first, count in
                    let low = max(position, range.lowerBound)
                    let high = min(position + count, range.upperBound)
                    guard low < high else { return }
                    for place in low..<high {
                        let index = first + place - position
                        let quality = qualities[index]
                        guard quality >= floor, bases[index] < 4 else { continue }
                        sums[place - range.lowerBound].add(
                            base: bases[index], evidence[min(Int(quality), BaseEvidence.highestQuality)])
                    }
                }
            }
        }
    }
}
