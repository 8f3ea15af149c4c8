import Compression
public import GenomicFormats

/// The index of a BAM file: BAI, or CSI when a contig has more than 2^29 bases.
public struct AlignmentIndex: Sendable {
    /// What the index's name has behind the BAM's: `.bai` or `.csi`.
    public var suffix: String
    public var bytes: [UInt8]

    /// What the index of alignments to this genome is called.
    public static func suffix(for genome: ReferenceGenome) -> String {
        scheme(genome.contigs.map(\.length)) == .standard ? ".bai" : ".csi"
    }

    static func scheme(_ lengths: [Int]) -> BinningScheme { BinningScheme(holding: lengths.max() ?? 0) }
}

/// Gathers the places of records, as offsets among the plain bytes, while they are written in order.
struct BAMIndexBuilder {
    private struct Contig {
        var bins: ContigBins
        var mapped: UInt64 = 0
        var unmapped: UInt64 = 0
    }

    private let scheme: BinningScheme
    private var contigs: [Contig?]
    private var withoutPlace: UInt64 = 0

    init(contigLengths: [Int]) {
        scheme = AlignmentIndex.scheme(contigLengths)
        contigs = contigLengths.map { _ in nil }
    }

    mutating func add(_ record: RecordPlace, at offset: Int) {
        guard record.contig >= 0 else {
            withoutPlace += 1
            return
        }
        let contig = Int(record.contig)
        if contigs[contig] == nil {
            contigs[contig] = Contig(bins: ContigBins(scheme: scheme, firstOffset: UInt64(offset)))
        }
        contigs[contig]!.bins.add(
            from: Int(record.position), last: Int(record.last), startOffset: UInt64(offset),
            endOffset: UInt64(offset + Int(record.size)), block: Self.block)
        if record.isMapped { contigs[contig]!.mapped += 1 } else { contigs[contig]!.unmapped += 1 }
    }

    private static func block(_ offset: UInt64) -> UInt64 { offset / UInt64(BGZF.blockPayload) }

    func finish(_ file: BGZFWriter) -> AlignmentIndex {
        let isCSI = scheme != .standard
        var out = IndexBytes(magic: isCSI ? "CSI\u{1}" : "BAI\u{1}")
        if isCSI {
            // No auxiliary data.
            for value in [BinningScheme.smallestShift, scheme.depth, 0] { out.put(value) }
        }
        out.put(contigs.count)
        for contig in contigs {
            guard var contig else {
                out.put(0)
                if !isCSI { out.put(0) }
                continue
            }
            contig.bins.close(block: Self.block)
            contig.bins.write(to: &out, isCSI: isCSI, counts: (contig.mapped, contig.unmapped)) {
                file.virtualOffset(ofPlainByte: Int($0))
            }
        }
        out.put(withoutPlace)
        guard isCSI else { return AlignmentIndex(suffix: ".bai", bytes: out.bytes) }
        return AlignmentIndex(suffix: ".csi", bytes: out.bytes.withUnsafeBytes { BGZF.compress($0).bytes })
    }
}

/// Where one record lies, in the reference and among its like; ordered as on one contig.
struct RecordPlace: Comparable {
    var contig: Int32
    var position: Int32
    /// The last base that it covers.
    var last: Int32
    var isMapped: Bool
    /// Bytes of the record.
    var size: UInt32
    var ordinal: UInt64

    static func < (a: RecordPlace, b: RecordPlace) -> Bool { (a.position, a.ordinal) < (b.position, b.ordinal) }
}
