internal import CKernels

/// Swift face of the pair HMM kernel: one table of log10 likelihoods, reads by haplotypes.
struct PairHMM {
    struct Read {
        var bases: UnsafePointer<UInt8>
        var qualities: UnsafePointer<UInt8>
        var count: Int
    }

    /// log10 of the least likelihood: of all haplotypes that a read is foreign to.
    static let least = CK_PAIRHMM_LEAST

    /// log10 P(read | haplotype) at `read * haplotypes.count + haplotype`.
    static func likelihoods(reads: [Read], haplotypes: [[UInt8]], model: StutterModel) -> [Double] {
        // Reads of like length share a vector; the order has no influence on the result.
        let order = reads.indices.sorted { (reads[$0].count, $0) < (reads[$1].count, $1) }
        let rows = order.map {
            ck_pairhmm_read(
                bases: reads[$0].bases, qualities: reads[$0].qualities, length: UInt32(reads[$0].count))
        }
        let longest = reads.map(\.count).max() ?? 0
        let scratch = UnsafeMutableRawPointer.allocate(
            byteCount: ck_pairhmm_scratch_size(UInt32(longest)), alignment: 64)
        defer { scratch.deallocate() }
        var table = [Double](repeating: 0, count: reads.count * haplotypes.count)
        var column = [Double](repeating: 0, count: reads.count)
        for (index, bases) in haplotypes.enumerated() {
            let open = bases.withUnsafeBufferPointer { RepeatTracts($0, model: model).gapOpen() }
            bases.withUnsafeBufferPointer { letters in
                open.withUnsafeBufferPointer { gaps in
                    var haplotype = ck_pairhmm_haplotype(
                        bases: letters.baseAddress, gap_open: gaps.baseAddress, length: UInt32(bases.count))
                    ck_pairhmm(rows, rows.count, &haplotype, RepeatTracts.gapExtend, scratch, &column)
                }
            }
            for (rank, read) in order.enumerated() { table[read * haplotypes.count + index] = column[rank] }
        }
        return table
    }
}
