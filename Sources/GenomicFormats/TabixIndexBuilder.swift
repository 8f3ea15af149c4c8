import Compression
import Diagnostics

/// Builds a tabix index (.tbi) or its like in CSI form (.csi) for VCF records in the order in which they are written; and
/// the CSI of a BCF, which has numbers for names.
///
/// Binning and linear index follow the tabix specification: 16 KiB windows, five levels, contigs up to 2^29 bases. CSI
/// has as many levels as the longest contig needs.
public struct TabixIndexBuilder {
    private struct Contig {
        var name: [UInt8]
        var bins: ContigBins
        var records: UInt64 = 0
    }

    public enum Kind: Sendable {
        case tbi
        case csi(longestContig: Int)
        /// Contigs are told by their place among all of the header, from 0 on.
        case bcf(contigs: Int, longestContig: Int)
    }

    public let label: String
    private let kind: Kind
    private let scheme: BinningScheme
    private let block: (UInt64) -> UInt64
    private var contigs: [Contig] = []
    private var placeOfContig: [Int: Int] = [:]
    private var openContig = -1
    private var openPlace = -1
    private var lastPosition = 0

    /// - Parameter block: which block an offset lies in; offsets are virtual offsets when it is left out.
    public init(label: String, kind: Kind = .tbi, block: @escaping (UInt64) -> UInt64 = { $0 >> 16 }) {
        self.label = label
        self.kind = kind
        self.block = block
        switch kind {
        case .tbi: scheme = .standard
        case .csi(let longestContig), .bcf(_, let longestContig): scheme = BinningScheme(holding: longestContig)
        }
    }

    /// Adds one record, or several neighbours in one window of 2^14 bases.
    ///
    /// - Parameters:
    ///   - contig: any number that tells contigs apart, in BCF the contig's own; `name` is asked for only at a contig's
    ///     first record.
    ///   - position: 1-based POS.
    ///   - end: 1-based last base.
    ///   - startOffset: offset of the line's first byte, `endOffset` of the byte behind its line end.
    /// - Throws: ``Failure`` `.data` when records are not sorted or lie beyond 2^29.
    public mutating func add(
        contig: Int, name: @autoclosure () -> [UInt8], position: Int, end: Int, startOffset: UInt64, endOffset: UInt64,
        records: Int = 1
    ) throws {
        if contig != openContig {
            guard placeOfContig[contig] == nil else { throw unsorted }
            openContig = contig
            openPlace = contigs.count
            placeOfContig[contig] = openPlace
            if let last = contigs.indices.last { contigs[last].bins.close(block: block) }
            contigs.append(Contig(name: name(), bins: ContigBins(scheme: scheme, firstOffset: startOffset)))
            lastPosition = 0
        }
        guard position >= lastPosition else { throw unsorted }
        lastPosition = position
        let from = position - 1
        let last = max(from, end - 1)
        guard last < scheme.limit else {
            throw Failure(
                .data, at: label, "a record lies beyond base \(scheme.limit), where the index ends",
                remedy: "give the contig's length in the header, or write without an index")
        }
        contigs[openPlace].bins.add(
            from: from, last: last, startOffset: startOffset, endOffset: endOffset, block: block)
        contigs[openPlace].records += UInt64(records)
    }

    private var unsorted: Failure {
        Failure(.data, at: label, "records are not sorted, so no index can be made", remedy: "sort with bcftools sort")
    }

    /// The whole index file, BGZF-compressed.
    ///
    /// - Parameter virtualOffset: the virtual offset of an offset that was added.
    public mutating func finish(virtualOffset: (UInt64) -> UInt64 = { $0 }) -> [UInt8] {
        if let last = contigs.indices.last { contigs[last].bins.close(block: block) }
        let names: [UInt8] = contigs.reduce(into: []) { $0 += $1.name + [0] }
        // Format 2 is VCF; CHROM is column 1, POS column 2, no end column; '#' begins header lines; none are skipped.
        let layout = [2, 1, 2, 0, 35, 0, names.count]
        var out: IndexBytes
        var isCSI = true
        var places = Array(contigs.indices).map(Optional.init)
        switch kind {
        case .tbi:
            isCSI = false
            out = IndexBytes(magic: "TBI\u{1}")
            for value in [contigs.count] + layout { out.put(value) }
            out.put(names)
        case .csi:
            out = IndexBytes(magic: "CSI\u{1}")
            for value in [BinningScheme.smallestShift, scheme.depth, 4 * layout.count + names.count] + layout {
                out.put(value)
            }
            out.put(names)
            out.put(contigs.count)
        case .bcf(let count, _):
            out = IndexBytes(magic: "CSI\u{1}")
            for value in [BinningScheme.smallestShift, scheme.depth, 0, count] { out.put(value) }
            places = (0..<count).map { placeOfContig[$0] }
        }
        for place in places {
            guard let place else {
                out.put(0)
                continue
            }
            let contig = contigs[place]
            // `tabix` and `bcftools index --stats` ask the bin of contents for the number of records.
            contig.bins.write(to: &out, isCSI: isCSI, counts: (contig.records, 0), virtualOffset: virtualOffset)
        }
        out.put(UInt64(0))
        return out.bytes.withUnsafeBytes { BGZF.compress($0).bytes }
    }
}
