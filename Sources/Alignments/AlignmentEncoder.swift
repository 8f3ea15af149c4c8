import GenomicFormats
import Mapping

/// What SAM text and BAM have in common: places of read and mate, MD and NM, bounds of room.
///
/// Not for use by two threads at once.
final class AlignmentEncoder {
    private let genome: ReferenceGenome
    let contigNames: [[UInt8]]
    private let readGroups: [[UInt8]]
    private let longestReadGroup: Int
    /// SAM's MD of the read seen last, and the number of differences that NM says.
    let differences = ByteBuffer(capacity: 4096)
    private(set) var editDistance = 0

    init(header: AlignmentHeader, genome: ReferenceGenome) {
        self.genome = genome
        contigNames = header.contigs.map { Array($0.name.utf8) }
        readGroups = header.readGroups.map { Array($0.id.utf8) }
        longestReadGroup = readGroups.reduce(0) { max($0, $1.count) }
    }

    /// RNAME, POS, RNEXT, PNEXT: contigs by number and zero-based positions, -1 for none.
    struct Place {
        var contig: Int32
        var position: Int32
        var mateContig: Int32
        var matePosition: Int32
    }

    /// A read that maps nowhere is listed at its mate's place, and the mate of a mapped read that maps nowhere at that
    /// of the read (SAMv1 section 2.4).
    static func place(_ header: AlignedReadHeader) -> Place {
        let hasOwn = header.contig >= 0
        let hasMate = header.mateContig >= 0
        let own = hasOwn ? (header.contig, header.position) : hasMate ? (header.mateContig, header.matePosition) : (-1, -1)
        let isPaired = header.flags.contains(.paired)
        let mate = hasMate ? (header.mateContig, header.matePosition) : isPaired ? own : (-1, -1)
        return Place(contig: own.0, position: own.1, mateContig: mate.0, matePosition: mate.1)
    }

    /// Bytes that no record of this read exceeds, as BAM or as text.
    func room(_ view: AlignedReadView) -> Int {
        var operations = view.cigar.count + view.attachment.mateCigarCount
        var parts = 0
        view.attachment.forEachOtherPart {
            operations += $0.cigarCount
            parts += 64 + longestName
        }
        let covered = max(0, Int(view.header.end) - Int(view.header.position))
        let names = contigNames.isEmpty ? 0 : 2 * longestName
        return 512 + names + parts + longestReadGroup + view.attachment.name.count + 24 * operations + 5 * view.bases.count
            + 3 * covered
    }

    /// The value of SA: the other parts of a read, the primary one first.
    func putOtherParts(_ view: AlignedReadView, _ out: ByteBuffer) {
        view.attachment.forEachOtherPart { part in
            out.put(contigNames[Int(part.contig)])
            out.put(UInt8(ascii: ","))
            out.putDecimal(Int(part.position) + 1)
            out.put(part.isReverse ? ",-," : ",+,")
            for operation in 0..<part.cigarCount { out.putText(CigarOperation(rawValue: part.cigar(operation))) }
            out.put(UInt8(ascii: ","))
            out.putDecimal(Int(part.mappingQuality))
            out.put(UInt8(ascii: ","))
            out.putDecimal(Int(part.editDistance))
            out.put(UInt8(ascii: ";"))
        }
    }

    func readGroup(_ view: AlignedReadView) -> [UInt8] { readGroups[view.attachment.readGroup] }

    private lazy var longestName = contigNames.reduce(0) { max($0, $1.count) }

    /// Finds MD and NM (SAM optional fields specification): N, in the read or in the reference, equals nothing.
    func compare(_ view: AlignedReadView) {
        differences.removeAll()
        differences.reserve(64 + 24 * view.cigar.count + 3 * Int(view.header.end - view.header.position))
        editDistance = 0
        genome.contigs[Int(view.header.contig)].bases.withUnsafeBufferPointer { reference in
            var at = Int(view.header.position)
            var base = 0
            var run = 0
            for raw in view.cigar {
                let operation = CigarOperation(rawValue: raw)
                let length = operation.length
                switch operation.kind {
                case .softClip: base += length
                case .insertion:
                    base += length
                    editDistance += length
                case .deletion:
                    differences.putDecimal(run)
                    differences.put(UInt8(ascii: "^"))
                    for place in at..<at + length { differences.put(BaseCode.letter(reference[place])) }
                    run = 0
                    at += length
                    editDistance += length
                case .match:
                    for offset in 0..<length {
                        let wanted = reference[at + offset]
                        if view.bases[base + offset] == wanted && wanted < BaseCode.n {
                            run += 1
                        } else {
                            differences.putDecimal(run)
                            differences.put(BaseCode.letter(wanted))
                            run = 0
                            editDistance += 1
                        }
                    }
                    at += length
                    base += length
                }
            }
            differences.putDecimal(run)
        }
    }
}

extension ByteBuffer {
    /// One operation of a CIGAR as text.
    func putText(_ operation: CigarOperation) {
        putDecimal(operation.length)
        switch operation.kind {
        case .match: put(UInt8(ascii: "M"))
        case .insertion: put(UInt8(ascii: "I"))
        case .deletion: put(UInt8(ascii: "D"))
        case .softClip: put(UInt8(ascii: "S"))
        }
    }
}
