import Diagnostics
import Foundation
public import GenomicFormats

/// Writes alignments as SAM text (SAMv1), for comparison with other mappers and for `--bam`.
public struct SAMFormatter: Sendable {
    public let contigs: [ReferenceIndex.Contig]

    public init(index: ReferenceIndex) { contigs = index.contigs }

    /// The header lines.
    public func header() -> [UInt8] {
        var text = "@HD\tVN:1.6\tSO:unsorted\n"
        for contig in contigs { text += "@SQ\tSN:\(contig.name)\tLN:\(contig.length)\n" }
        return Array(text.utf8)
    }

    /// Appends one line per read of the batch. The name is the ordinal of the pair (or of the read, if single) from 0
    /// on.
    public func append(_ batch: ReadBatch, _ mapped: MappedBatch, to out: inout [UInt8]) {
        for read in 0..<batch.readCount {
            let placed = mapped.reads[read]
            let ordinal = batch.firstOrdinal + UInt64(read)
            let start = Int(placed.cigarStart)
            let range = batch.range(ofRead: read)
            var bases = Array(batch.bases[range])
            var qualities = Array(batch.qualities[range])
            if placed.flags.contains(.reverse) {
                bases = bases.reversed().map { $0 > 3 ? 4 : 3 - $0 }
                qualities.reverse()
            }
            appendFields(
                name: batch.isPaired ? ordinal / 2 : ordinal, placed: placed,
                cigar: mapped.cigars[start..<start + Int(placed.cigarCount)], bases: bases, qualities: qualities, &out)
            if placed.isMapped {
                out += "\tNM:i:\(placed.editDistance)\tAS:i:\(placed.score)\tXS:i:\(placed.secondScore)".utf8
            }
            out.append(UInt8(ascii: "\n"))
        }
    }

    /// Appends the line of a stored read.
    public func append(_ view: AlignedReadView, to out: inout [UInt8]) {
        var placed = MappedRead()
        placed.contig = view.header.contig
        placed.position = view.header.position
        placed.mateContig = view.header.mateContig
        placed.matePosition = view.header.matePosition
        placed.templateLength = view.header.templateLength
        placed.flags = view.header.flags
        placed.mappingQuality = view.header.mappingQuality
        let isPaired = view.header.flags.contains(.paired)
        appendFields(
            name: isPaired ? view.header.ordinal / 2 : view.header.ordinal, placed: placed,
            cigar: Array(view.cigar)[...], bases: Array(view.bases), qualities: Array(view.qualities), &out)
        out += "\tNM:i:\(view.header.editDistance)\n".utf8
    }

    private func appendFields(
        name: UInt64, placed: MappedRead, cigar: ArraySlice<UInt32>, bases: [UInt8], qualities: [UInt8],
        _ out: inout [UInt8]
    ) {
        // A read that maps nowhere is listed at its mate's place (SAMv1 section 2.4).
        let contig = placed.isMapped ? placed.contig : placed.mateContig
        let position = placed.isMapped ? placed.position : placed.matePosition
        let mateContig = placed.mateContig >= 0 ? placed.mateContig : placed.isMapped && placed.flags.contains(.paired)
            ? placed.contig : -1
        let matePosition = placed.mateContig >= 0 ? placed.matePosition : placed.position
        out += "\(name)\t\(placed.flags.rawValue)\t\(self.name(contig))\t\(position + 1)\t".utf8
        out += "\(placed.mappingQuality)\t".utf8
        if cigar.isEmpty { out.append(UInt8(ascii: "*")) }
        for raw in cigar {
            let operation = CigarOperation(rawValue: raw)
            out += String(operation.length).utf8
            out.append(Self.letters[Int(operation.kind.rawValue)])
        }
        let mateName = mateContig >= 0 && mateContig == contig ? "=" : self.name(mateContig)
        out += "\t\(mateName)\t\(mateContig >= 0 ? matePosition + 1 : 0)\t\(placed.templateLength)\t".utf8
        if bases.isEmpty { out.append(UInt8(ascii: "*")) }
        for base in bases { out.append(BaseCode.ascii[Int(base)]) }
        out.append(UInt8(ascii: "\t"))
        if bases.isEmpty { out.append(UInt8(ascii: "*")) }
        for quality in qualities { out.append(min(quality, 93) + 33) }
    }

    private static let letters = Array("MIDNSHP=X".utf8)

    private func name(_ contig: Int32) -> String { contig >= 0 ? contigs[Int(contig)].name : "*" }
}
