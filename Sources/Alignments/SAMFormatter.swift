import GenomicFormats
import Mapping

/// Alignments as lines of SAM text (SAMv1 section 1.4). Not for use by two threads at once.
final class SAMFormatter {
    private let encoder: AlignmentEncoder

    init(header: AlignmentHeader, genome: ReferenceGenome) {
        encoder = AlignmentEncoder(header: header, genome: genome)
    }

    func append(_ view: AlignedReadView, to out: ByteBuffer) {
        let header = view.header
        let place = AlignmentEncoder.place(header)
        out.reserve(encoder.room(view))
        out.put(view.attachment.name)
        field(Int(header.flags.rawValue), out)
        tab(out)
        putName(place.contig, out)
        field(Int(place.position) + 1, out)
        field(Int(header.mappingQuality), out)
        tab(out)
        for operation in view.cigar { out.putText(CigarOperation(rawValue: operation)) }
        if view.cigar.isEmpty { out.put(UInt8(ascii: "*")) }
        tab(out)
        if place.mateContig >= 0 && place.mateContig == place.contig {
            out.put(UInt8(ascii: "="))
        } else {
            putName(place.mateContig, out)
        }
        field(Int(place.matePosition) + 1, out)
        field(Int(header.templateLength), out)
        tab(out)
        putSequence(view, out)
        putTags(view, out)
        out.put(UInt8(ascii: "\n"))
    }

    private func putSequence(_ view: AlignedReadView, _ out: ByteBuffer) {
        let count = view.bases.count
        guard count > 0 else { return out.put("*\t*") }
        let letters = out.take(2 * count + 1)
        for base in 0..<count { letters[base] = BaseCode.letter(view.bases[base]) }
        letters[count] = UInt8(ascii: "\t")
        let scores = letters + count + 1
        for base in 0..<count { scores[base] = view.qualities[base] &+ 33 }
    }

    private func putTags(_ view: AlignedReadView, _ out: ByteBuffer) {
        let isMapped = view.header.contig >= 0
        if isMapped {
            encoder.compare(view)
            out.put("\tNM:i:")
            out.putDecimal(encoder.editDistance)
            out.put("\tMD:Z:")
            out.put(encoder.differences.bytes)
        }
        if view.attachment.mateCigarCount > 0 {
            out.put("\tMC:Z:")
            for operation in 0..<view.attachment.mateCigarCount {
                out.putText(CigarOperation(rawValue: view.attachment.mateCigar(operation)))
            }
            out.put("\tMQ:i:")
            out.putDecimal(Int(view.attachment.mateMappingQuality))
        }
        if isMapped {
            out.put("\tAS:i:")
            out.putDecimal(Int(view.header.score))
            out.put("\tXS:i:")
            out.putDecimal(Int(view.header.secondScore))
        }
        if view.attachment.otherPartCount > 0 {
            out.put("\tSA:Z:")
            encoder.putOtherParts(view, out)
        }
        out.put("\tRG:Z:")
        out.put(encoder.readGroup(view))
    }

    private func tab(_ out: ByteBuffer) { out.put(UInt8(ascii: "\t")) }

    private func field(_ value: Int, _ out: ByteBuffer) {
        tab(out)
        out.putDecimal(value)
    }

    private func putName(_ contig: Int32, _ out: ByteBuffer) {
        if contig >= 0 { out.put(encoder.contigNames[Int(contig)]) } else { out.put(UInt8(ascii: "*")) }
    }
}
