import GenomicFormats
import Mapping

/// Alignments as BAM records (SAMv1 section 4.2). Not for use by two threads at once.
final class BAMFormatter {
    private let encoder: AlignmentEncoder

    init(header: AlignmentHeader, genome: ReferenceGenome) {
        encoder = AlignmentEncoder(header: header, genome: genome)
    }

    /// The file's head: magic, text, contigs.
    static func head(_ header: AlignmentHeader) -> [UInt8] {
        let text = header.text(.coordinate)
        var out: [UInt8] = Array("BAM\u{1}".utf8)
        func put(_ value: Int) { withUnsafeBytes(of: Int32(value).littleEndian) { out.append(contentsOf: $0) } }
        put(text.count)
        out += text
        put(header.contigs.count)
        for contig in header.contigs {
            put(contig.name.utf8.count + 1)
            out += contig.name.utf8
            out.append(0)
            put(contig.length)
        }
        return out
    }

    func append(_ view: AlignedReadView, to out: ByteBuffer) {
        let header = view.header
        let place = AlignmentEncoder.place(header)
        out.reserve(encoder.room(view))
        let start = out.count
        out.putLittleEndian(Int32(0))
        out.putLittleEndian(place.contig)
        out.putLittleEndian(place.position)
        out.put(UInt8(view.attachment.name.count + 1))
        out.put(header.mappingQuality)
        // Sixteen bits, which say nothing on contigs beyond 2^29 bases; readers then look at positions alone.
        let last = header.contig >= 0 ? Int(header.end) - 1 : Int(place.position)
        let bin = place.position >= 0 ? BinningScheme.standard.bin(Int(place.position), last) : Self.binOfUnplaced
        out.putLittleEndian(UInt16(truncatingIfNeeded: bin))
        out.putLittleEndian(UInt16(view.cigar.count))
        out.putLittleEndian(header.flags.rawValue)
        out.putLittleEndian(Int32(view.bases.count))
        out.putLittleEndian(place.mateContig)
        out.putLittleEndian(place.matePosition)
        out.putLittleEndian(header.templateLength)
        out.put(view.attachment.name)
        out.put(0)
        for operation in view.cigar { out.putLittleEndian(operation) }
        putSequence(view, out)
        putTags(view, out)
        out.putLittleEndian(Int32(out.count - start - 4), at: start)
    }

    /// The bin of position -1.
    private static let binOfUnplaced: UInt32 = 4680

    private func putSequence(_ view: AlignedReadView, _ out: ByteBuffer) {
        let count = view.bases.count
        let packed = out.take((count + 1) / 2)
        for pair in 0..<count / 2 {
            packed[pair] = Self.code(view.bases[2 * pair]) << 4 | Self.code(view.bases[2 * pair + 1])
        }
        if count % 2 == 1 { packed[count / 2] = Self.code(view.bases[count - 1]) << 4 }
        out.put(UnsafeRawBufferPointer(view.qualities))
    }

    /// One bit for each base that it may be.
    @inline(__always)
    private static func code(_ base: UInt8) -> UInt8 { base < BaseCode.n ? 1 << base : 15 }

    private func putTags(_ view: AlignedReadView, _ out: ByteBuffer) {
        let isMapped = view.header.contig >= 0
        if isMapped {
            encoder.compare(view)
            put("NM", encoder.editDistance, out)
            out.put("MDZ")
            out.put(encoder.differences.bytes)
            out.put(0)
        }
        if view.attachment.mateCigarCount > 0 {
            out.put("MCZ")
            for operation in 0..<view.attachment.mateCigarCount {
                out.putText(CigarOperation(rawValue: view.attachment.mateCigar(operation)))
            }
            out.put(0)
            put("MQ", Int(view.attachment.mateMappingQuality), out)
        }
        if isMapped {
            put("AS", Int(view.header.score), out)
            put("XS", Int(view.header.secondScore), out)
        }
        if view.attachment.otherPartCount > 0 {
            out.put("SAZ")
            encoder.putOtherParts(view, out)
            out.put(0)
        }
        out.put("RGZ")
        out.put(encoder.readGroup(view))
        out.put(0)
    }

    /// A number in the smallest type that holds it, as htslib writes it.
    private func put(_ tag: StaticString, _ value: Int, _ out: ByteBuffer) {
        out.put(tag)
        switch value {
        case 0...255:
            out.put(UInt8(ascii: "C"))
            out.put(UInt8(value))
        case 256...65_535:
            out.put(UInt8(ascii: "S"))
            out.putLittleEndian(UInt16(value))
        default:
            out.put(UInt8(ascii: "i"))
            out.putLittleEndian(Int32(value))
        }
    }
}
