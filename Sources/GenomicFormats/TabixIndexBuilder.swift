import Compression
import Diagnostics

/// Builds a tabix index (.tbi) for VCF records in the order in which they are written.
///
/// Binning and linear index follow the tabix specification: 16 KiB windows, five levels, contigs up to 2^29 bases.
public struct TabixIndexBuilder {
    private struct Contig {
        var name: [UInt8]
        var bins: ContigBins
        var records: UInt64 = 0
    }

    public let label: String
    private var contigs: [Contig] = []
    private var placeOfContig: [Int: Int] = [:]
    private var openContig = -1
    private var openPlace = -1
    private var lastPosition = 0

    public init(label: String) { self.label = label }

    /// Adds one record.
    ///
    /// - Parameters:
    ///   - contig: any number that tells contigs apart; `name` is asked for only at a contig's first record.
    ///   - position: 1-based POS.
    ///   - end: 1-based last base.
    ///   - startOffset: virtual offset of the line's first byte, `endOffset` of the byte behind its line end.
    /// - Throws: ``Failure`` `.data` when records are not sorted or lie beyond 2^29.
    public mutating func add(
        contig: Int, name: @autoclosure () -> [UInt8], position: Int, end: Int, startOffset: UInt64, endOffset: UInt64
    ) throws {
        if contig != openContig {
            guard placeOfContig[contig] == nil else { throw unsorted }
            openContig = contig
            openPlace = contigs.count
            placeOfContig[contig] = openPlace
            if let last = contigs.indices.last { contigs[last].bins.close(block: Self.block) }
            contigs.append(Contig(name: name(), bins: ContigBins(scheme: .standard, firstOffset: startOffset)))
            lastPosition = 0
        }
        guard position >= lastPosition else { throw unsorted }
        lastPosition = position
        let from = position - 1
        let last = max(from, end - 1)
        guard last < BinningScheme.standard.limit else {
            throw Failure(
                .data, at: label, "a record lies beyond base 2^29, where a tabix index ends",
                remedy: "split the contig, or write without an index")
        }
        contigs[openPlace].bins.add(
            from: from, last: last, startOffset: startOffset, endOffset: endOffset, block: Self.block)
        contigs[openPlace].records += 1
    }

    private var unsorted: Failure {
        Failure(.data, at: label, "records are not sorted, so no index can be made", remedy: "sort with bcftools sort")
    }

    /// Offsets are virtual: the upper 48 bits are the block's place.
    private static func block(_ offset: UInt64) -> UInt64 { offset >> 16 }

    /// The whole .tbi file, BGZF-compressed.
    public mutating func finish() -> [UInt8] {
        if let last = contigs.indices.last { contigs[last].bins.close(block: Self.block) }
        var out = IndexBytes(magic: "TBI\u{1}")
        let names: [UInt8] = contigs.reduce(into: []) { $0 += $1.name + [0] }
        // Format 2 is VCF; CHROM is column 1, POS column 2, no end column; '#' begins header lines; none are skipped.
        for value in [contigs.count, 2, 1, 2, 0, 35, 0, names.count] { out.put(value) }
        out.put(names)
        for contig in contigs {
            // `tabix` and `bcftools index --stats` ask the bin of contents for the number of records.
            contig.bins.write(to: &out, isCSI: false, counts: (contig.records, 0)) { $0 }
        }
        out.put(UInt64(0))
        return out.bytes.withUnsafeBytes { BGZF.compress($0).bytes }
    }
}
