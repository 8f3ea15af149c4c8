import Compression
import Diagnostics

/// Builds a tabix index (.tbi) for VCF records in the order in which they are written.
///
/// Binning and linear index follow the tabix specification: 16 KiB windows, five levels, contigs up to 2^29 bases.
public struct TabixIndexBuilder {
    private struct Chunk {
        var start: UInt64
        var end: UInt64
    }

    private struct Contig {
        var name: [UInt8]
        var bins: [UInt32: [Chunk]] = [:]
        var windows: [UInt64] = []
        var firstOffset: UInt64 = 0
        var lastOffset: UInt64 = 0
        var records: UInt64 = 0
    }

    public let label: String
    private var contigs: [Contig] = []
    private var placeOfContig: [Int: Int] = [:]
    private var openContig = -1
    private var openPlace = -1
    private var openBin: UInt32 = .max
    private var openChunk = Chunk(start: 0, end: 0)
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
            closeBin()
            guard placeOfContig[contig] == nil else { throw unsorted }
            openContig = contig
            openPlace = contigs.count
            placeOfContig[contig] = openPlace
            var new = Contig(name: name())
            new.firstOffset = startOffset
            contigs.append(new)
            lastPosition = 0
        }
        guard position >= lastPosition else { throw unsorted }
        lastPosition = position
        let from = position - 1
        let last = max(from, end - 1)
        guard last < 1 << 29 else {
            throw Failure(
                .data, at: label, "a record lies beyond base 2^29, where a tabix index ends",
                remedy: "split the contig, or write without an index")
        }
        let bin = Self.bin(from, last)
        if bin != openBin {
            closeBin()
            openBin = bin
            openChunk = Chunk(start: startOffset, end: endOffset)
        } else {
            openChunk.end = endOffset
        }
        let window = last >> 14
        if contigs[openPlace].windows.count <= window {
            let count = window + 1 - contigs[openPlace].windows.count
            contigs[openPlace].windows.append(contentsOf: repeatElement(.max, count: count))
        }
        for touched in from >> 14...window where contigs[openPlace].windows[touched] == .max {
            contigs[openPlace].windows[touched] = startOffset
        }
        contigs[openPlace].lastOffset = endOffset
        contigs[openPlace].records += 1
    }

    private var unsorted: Failure {
        Failure(.data, at: label, "records are not sorted, so no index can be made", remedy: "sort with bcftools sort")
    }

    private mutating func closeBin() {
        guard openBin != .max else { return }
        var chunks = contigs[openPlace].bins[openBin] ?? []
        if let last = chunks.indices.last, chunks[last].end >> 16 >= openChunk.start >> 16 {
            chunks[last].end = openChunk.end
        } else {
            chunks.append(openChunk)
        }
        contigs[openPlace].bins[openBin] = chunks
        openBin = .max
    }

    /// The smallest bin that holds the 0-based bases `from` to `last`.
    private static func bin(_ from: Int, _ last: Int) -> UInt32 {
        var shift = 14
        var first = 4681
        for level in [4, 3, 2, 1, 0] {
            if from >> shift == last >> shift { return UInt32(first + (from >> shift)) }
            shift += 3
            first -= 1 << (3 * level)
        }
        return 0
    }

    /// The whole .tbi file, BGZF-compressed.
    public mutating func finish() -> [UInt8] {
        closeBin()
        var out: [UInt8] = Array("TBI\u{1}".utf8)
        func put(_ value: Int) { withUnsafeBytes(of: Int32(value).littleEndian) { out.append(contentsOf: $0) } }
        func put(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { out.append(contentsOf: $0) } }
        let names: [UInt8] = contigs.reduce(into: []) { $0 += $1.name + [0] }
        // Format 2 is VCF; CHROM is column 1, POS column 2, no end column; '#' begins header lines; none are skipped.
        for value in [contigs.count, 2, 1, 2, 0, 35, 0, names.count] { put(value) }
        out.append(contentsOf: names)
        for contig in contigs {
            put(contig.bins.count + 1)
            for (bin, chunks) in contig.bins.sorted(by: { $0.key < $1.key }) {
                put(Int(bin))
                put(chunks.count)
                for chunk in chunks {
                    put(chunk.start)
                    put(chunk.end)
                }
            }
            // Bin 37450 holds what `tabix` and `bcftools index --stats` ask for: extent and number of records.
            put(37_450)
            put(2)
            put(contig.firstOffset)
            put(contig.lastOffset)
            put(contig.records)
            put(UInt64(0))
            put(contig.windows.count)
            var before: UInt64 = contig.firstOffset
            for offset in contig.windows {
                if offset != .max { before = offset }
                put(before)
            }
        }
        put(UInt64(0))
        return out.withUnsafeBytes { BGZF.compress($0).bytes }
    }
}
