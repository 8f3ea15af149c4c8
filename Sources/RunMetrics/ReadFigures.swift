import GenomicFormats
import Mapping

/// Counts of one read group's first mates or second mates; unpaired reads count as first ones.
public struct MateFigures: Sendable, Equatable {
    public var reads = 0
    public var bases = 0
    /// Bases of Phred quality 30 and more.
    public var q30Bases = 0
    public var mapped = 0
    /// Bases of mapped reads, clipped ones included.
    public var mappedBases = 0
    public var softClippedBases = 0
    /// Bases that differ from the reference, where both are known (neither is N).
    public var substitutions = 0
    /// Inserted and deleted bases.
    public var indelBases = 0
    public var readsWithIndel = 0

    static func + (_ a: MateFigures, _ b: MateFigures) -> MateFigures {
        var sum = a
        sum.reads += b.reads
        sum.bases += b.bases
        sum.q30Bases += b.q30Bases
        sum.mapped += b.mapped
        sum.mappedBases += b.mappedBases
        sum.softClippedBases += b.softClippedBases
        sum.substitutions += b.substitutions
        sum.indelBases += b.indelBases
        sum.readsWithIndel += b.readsWithIndel
        return sum
    }
}

/// Counts of one read group's reads and of their alignments. Where nothing else is said, of primary alignments, that is
/// of reads.
public struct ReadFigures: Sendable, Equatable {
    public var first = MateFigures()
    public var second = MateFigures()
    /// Reads that came as pairs.
    public var pairedReads = 0
    public var duplicates = 0
    /// Mapped reads of pairs whose mate is mapped, and is not.
    public var bothMapped = 0
    public var singletons = 0
    public var properlyPaired = 0
    public var onDifferentContigs = 0
    public var onDifferentContigsConfident = 0
    public var secondaryAlignments = 0
    public var supplementaryAlignments = 0
    /// Aligned bases of quality 30 and more in reads that are no duplicates.
    public var uniqueQ30Bases = 0
    public var mappingQualities = Histogram()
    /// |TLEN| of properly paired templates that are no duplicates.
    public var fragmentLengths = Histogram()

    /// The least mapping quality of ``onDifferentContigsConfident``.
    static let confident: UInt8 = 10

    /// Of SAM's FLAG (SAMv1 section 1.4).
    private static let secondary: UInt16 = 0x100
    private static let supplementary: UInt16 = 0x800

    static func isPrimary(_ flags: AlignmentFlags) -> Bool { flags.rawValue & (secondary | supplementary) == 0 }

    static func isSecondary(_ flags: AlignmentFlags) -> Bool { flags.rawValue & secondary != 0 }

    public var all: MateFigures { first + second }

    mutating func add(_ other: ReadFigures) {
        first = first + other.first
        second = second + other.second
        pairedReads += other.pairedReads
        duplicates += other.duplicates
        bothMapped += other.bothMapped
        singletons += other.singletons
        properlyPaired += other.properlyPaired
        onDifferentContigs += other.onDifferentContigs
        onDifferentContigsConfident += other.onDifferentContigsConfident
        secondaryAlignments += other.secondaryAlignments
        supplementaryAlignments += other.supplementaryAlignments
        uniqueQ30Bases += other.uniqueQ30Bases
        mappingQualities.add(other.mappingQualities)
        fragmentLengths.add(other.fragmentLengths)
    }

    /// Counts reads as they were sequenced.
    init(sequenced batch: ReadBatch) {
        pairedReads = batch.isPaired ? batch.readCount : 0
        batch.qualities.withUnsafeBufferPointer { qualities in
            for read in 0..<batch.readCount {
                let range = batch.range(ofRead: read)
                let good = goodBases(UnsafeBufferPointer(rebasing: qualities[range]))
                if batch.isPaired && read & 1 == 1 {
                    second.count(bases: range.count, good: good)
                } else {
                    first.count(bases: range.count, good: good)
                }
            }
        }
    }

    init() {}

    /// Counts an alignment as it is stored. `reference` is the bases of its contig.
    mutating func count(_ view: AlignedReadView, _ reference: UnsafeBufferPointer<UInt8>) {
        let header = view.header
        let flags = header.flags
        guard Self.isPrimary(flags) else {
            if Self.isSecondary(flags) { secondaryAlignments += 1 } else { supplementaryAlignments += 1 }
            return
        }
        mappingQualities.add(Int(header.mappingQuality))
        if flags.contains(.duplicate) { duplicates += 1 }
        if flags.contains(.paired) { countPair(header) }
        let good =
            flags.contains(.secondInPair) ? second.count(view, reference) : first.count(view, reference)
        if !flags.contains(.duplicate) { uniqueQ30Bases += good }
    }

    private mutating func countPair(_ header: AlignedReadHeader) {
        let flags = header.flags
        guard !flags.contains(.mateUnmapped) else {
            singletons += 1
            return
        }
        bothMapped += 1
        if header.contig != header.mateContig {
            onDifferentContigs += 1
            if header.mappingQuality >= Self.confident { onDifferentContigsConfident += 1 }
        }
        guard flags.contains(.properPair) else { return }
        properlyPaired += 1
        if flags.contains(.firstInPair) && !flags.contains(.duplicate) {
            fragmentLengths.add(Int(header.templateLength.magnitude))
        }
    }
}

extension MateFigures {
    fileprivate mutating func count(bases: Int, good: Int) {
        reads += 1
        self.bases += bases
        q30Bases += good
    }

    /// Counts an alignment with its clipped, inserted, deleted and different bases.
    ///
    /// - Returns: its bases of good quality that are not clipped.
    fileprivate mutating func count(_ view: AlignedReadView, _ reference: UnsafeBufferPointer<UInt8>) -> Int {
        mapped += 1
        mappedBases += Int(view.header.baseCount)
        var hasIndel = false
        var place = Int(view.header.position)
        var base = 0
        var good = 0
        for word in view.cigar {
            let length = Int(word >> 4)
            let bases = base..<base + length
            switch AlignmentStep(word) {
            case .aligned:
                substitutions += different(
                    UnsafeBufferPointer(rebasing: view.bases[bases]),
                    UnsafeBufferPointer(rebasing: reference[place..<place + length]))
                good += goodBases(UnsafeBufferPointer(rebasing: view.qualities[bases]))
                place += length
                base += length
            case .inserted:
                indelBases += length
                hasIndel = true
                good += goodBases(UnsafeBufferPointer(rebasing: view.qualities[bases]))
                base += length
            case .clipped:
                softClippedBases += length
                base += length
            case .deleted:
                indelBases += length
                hasIndel = true
                place += length
            case .skipped: place += length
            case .absent: break
            }
        }
        if hasIndel { readsWithIndel += 1 }
        return good
    }
}

/// What one CIGAR operation does; every operation of SAM has its place, whichever the mapper writes.
enum AlignmentStep {
    case aligned, inserted, deleted, skipped, clipped, absent

    init(_ word: UInt32) {
        switch word & 0xF {
        case 0, 7, 8: self = .aligned
        case 1: self = .inserted
        case 2: self = .deleted
        case 3: self = .skipped
        case 4: self = .clipped
        default: self = .absent
        }
    }
}
