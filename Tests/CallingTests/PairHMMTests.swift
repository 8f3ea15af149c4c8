import CKernels
import Foundation
import Testing

/// The kernel against the equations in `pairhmm.h`, written out in double with whole matrices, and against itself.
@Suite(.serialized) struct PairHMMTests {
    private struct Case {
        var reads: [(bases: [UInt8], qualities: [UInt8])]
        var haplotype: [UInt8]
        var open: [Float]
    }

    private static let extend: Float = 0.1

    private static func expected(_ read: (bases: [UInt8], qualities: [UInt8]), _ item: Case) -> Double {
        let (rows, columns) = (read.bases.count, item.haplotype.count)
        let empty = [[Double]](repeating: [Double](repeating: 0, count: columns + 1), count: rows + 1)
        var (m, ins, del) = (empty, empty, empty)
        for j in 0...columns { del[0][j] = 1 / Double(columns) }
        let e = Double(extend)
        for j in 1...columns {
            let before = j > 1 ? Double(item.open[j - 2]) : 0
            for i in 1...rows {
                let (a, b) = (read.bases[i - 1], item.haplotype[j - 1])
                let error = min(0.75, pow(10, -Double(min(60, read.qualities[i - 1])) / 10))
                let emission = a > 3 || b > 3 ? 0.25 : (a == b ? 1 - error : error / 3)
                m[i][j] = emission
                    * ((1 - 2 * before) * m[i - 1][j - 1] + (1 - e) * (ins[i - 1][j - 1] + del[i - 1][j - 1]))
                ins[i][j] = 0.25 * (Double(item.open[j - 1]) * m[i - 1][j] + e * ins[i - 1][j])
                del[i][j] = before * m[i][j - 1] + e * del[i][j - 1]
            }
        }
        return log10((1...columns).reduce(0.0) { $0 + m[rows][$1] + ins[rows][$1] })
    }

    private typealias Kernel = (
        UnsafePointer<ck_pairhmm_read>?, Int, UnsafePointer<ck_pairhmm_haplotype>?, Float, UnsafeMutableRawPointer?,
        UnsafeMutablePointer<Double>?
    ) -> Void

    private static func run(_ item: Case, _ kernel: Kernel) -> [Double] {
        let letters = item.reads.flatMap(\.bases)
        let scores = item.reads.flatMap(\.qualities)
        let longest = item.reads.map(\.bases.count).max() ?? 0
        let scratch = UnsafeMutableRawPointer.allocate(
            byteCount: ck_pairhmm_scratch_size(UInt32(longest)), alignment: 64)
        defer { scratch.deallocate() }
        var result = [Double](repeating: .nan, count: item.reads.count)
        letters.withUnsafeBufferPointer { letters in
            scores.withUnsafeBufferPointer { scores in
                var offset = 0
                let rows = item.reads.map { read -> ck_pairhmm_read in
                    defer { offset += read.bases.count }
                    return ck_pairhmm_read(
                        bases: letters.baseAddress.map { $0 + offset },
                        qualities: scores.baseAddress.map { $0 + offset },
                        length: UInt32(read.bases.count))
                }
                item.haplotype.withUnsafeBufferPointer { bases in
                    item.open.withUnsafeBufferPointer { open in
                        var haplotype = ck_pairhmm_haplotype(
                            bases: bases.baseAddress, gap_open: open.baseAddress, length: UInt32(item.haplotype.count))
                        kernel(rows, rows.count, &haplotype, extend, scratch, &result)
                    }
                }
            }
        }
        return result
    }

    private static func randomCase(_ generator: inout Generator, isRandomRead: Bool) -> Case {
        let length = 20 + generator.below(180)
        var haplotype = (0..<length).map { _ in UInt8(generator.below(4)) }
        if generator.below(4) == 0 { haplotype[generator.below(length)] = 4 }
        let open = (0..<length).map { _ in Float(generator.below(1000) + 1) * 1e-5 }
        let reads = (0..<1 + generator.below(40)).map { _ -> (bases: [UInt8], qualities: [UInt8]) in
            let count = generator.below(min(length, 150)) + 1
            let start = generator.below(length - count + 1)
            var bases = Array(haplotype[start..<start + count])
            for index in bases.indices where isRandomRead || generator.below(30) == 0 {
                bases[index] = UInt8(generator.below(5))
            }
            if bases.count > 10, generator.below(3) == 0 { bases.remove(at: generator.below(bases.count)) }
            return (bases, bases.map { _ in UInt8(generator.below(70)) })
        }
        return Case(reads: reads, haplotype: haplotype, open: open)
    }

    @Test func portableFollowsTheEquations() {
        var generator = Generator(state: 1)
        for round in 0..<40 {
            let item = Self.randomCase(&generator, isRandomRead: round % 8 == 7)
            for (read, value) in zip(item.reads, Self.run(item, ck_pairhmm_portable)) {
                #expect(abs(value - max(Self.expected(read, item), CK_PAIRHMM_LEAST)) < 2e-4)
            }
        }
    }

    @Test func allVariantsAreEqualToTheBit() {
        var generator = Generator(state: 2)
        let cap = ck_cpu_get_cap()
        defer { ck_cpu_set_cap(cap) }
        for round in 0..<60 {
            let item = Self.randomCase(&generator, isRandomRead: round % 5 == 4)
            let reference = Self.run(item, ck_pairhmm_portable)
            for limit in [CK_CPU_CAP_AVX512, CK_CPU_CAP_AVX2, CK_CPU_CAP_PORTABLE] {
                ck_cpu_set_cap(limit)
                #expect(Self.run(item, ck_pairhmm) == reference)
            }
        }
    }

    @Test func foreignReadsHaveTheLeastLikelihood() {
        let item = Case(
            reads: [([UInt8](repeating: 0, count: 120), [UInt8](repeating: 60, count: 120))],
            haplotype: [UInt8](repeating: 2, count: 200), open: [Float](repeating: 1e-5, count: 200))
        #expect(Self.expected(item.reads[0], item) < -60)
        #expect(Self.run(item, ck_pairhmm) == [CK_PAIRHMM_LEAST])
    }

    @Test func emptyAndUninformativeInput() {
        let haplotype = [UInt8](repeating: 1, count: 50)
        let open = [Float](repeating: 1e-4, count: 50)
        let silent = Case(reads: [([0, 1, 2, 3], [0, 0, 1, 1])], haplotype: haplotype, open: open)
        var other = silent
        other.haplotype = [UInt8](repeating: 3, count: 50)
        #expect(abs(Self.run(silent, ck_pairhmm)[0] - Self.run(other, ck_pairhmm)[0]) < 1e-6)
        #expect(Self.run(Case(reads: [([], [])], haplotype: haplotype, open: open), ck_pairhmm) == [0])
        #expect(Self.run(Case(reads: [([1], [30])], haplotype: [], open: []), ck_pairhmm) == [-.infinity])
    }
}
