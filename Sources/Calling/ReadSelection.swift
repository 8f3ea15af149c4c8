import GenomicFormats
import Mapping

/// Which reads of one unit of work are looked at: the usable ones, and of these, where they lie too deep, exactly as many
/// as the cap says, by a hash of the fragment. Time is linear in the reads and memory is bounded, whatever the depth.
struct ReadSelection {
    enum Use { case kept, sampledOut, unmappable, none }

    /// What is kept: an upper bound where a read is not of the range's own.
    private(set) var reads = 0
    private(set) var bases = 0
    private(set) var operations = 0
    private let origin: Int
    private let leastMappingQuality: UInt8
    /// For each ``binLength`` bases of start positions the largest hash that is kept; empty when no place is too deep.
    private var limits: [UInt64] = []

    /// Reads are counted and sampled by this many bases of start positions.
    static let binLength = 64
    /// Fewer reads than this are never too deep.
    static let leastReads = 64

    /// - Throws: `Failure` when spilled reads cannot be read back.
    init(store: ReadStore, contig: Int, range: Range<Int>, options: CallingOptions) throws {
        origin = range.lowerBound
        leastMappingQuality = options.minimumMappingQuality
        var starts = [Int](repeating: 0, count: range.count / Self.binLength + 1)
        var longest = 1
        try store.forEachHeader(contig: contig, overlapping: range) { header in
            guard use(of: header) == .kept else { return }
            starts[bin(header)] += 1
            longest = max(longest, Int(header.baseCount))
            count(header)
        }
        let most = max(Self.leastReads, options.maximumDepth * Self.binLength / longest)
        guard starts.contains(where: { $0 > most }) else { return }
        // Twice the share that is to stay is enough to find its largest hash among, and little to hold.
        let drafts = starts.map { $0 <= 2 * most ? .max : UInt64.max / UInt64($0) * UInt64(2 * most) }
        var hashes = [[UInt64]](repeating: [], count: starts.count)
        try store.forEachHeader(contig: contig, overlapping: range) { header in
            guard use(of: header) == .kept, starts[bin(header)] > most else { return }
            let hash = hashOfFragment(header.ordinal >> 1)
            if hash <= drafts[bin(header)] { hashes[bin(header)].append(hash) }
        }
        limits = starts.indices.map { index in
            guard starts[index] > most else { return .max }
            return hashes[index].count < most ? drafts[index] : hashes[index].sorted()[most - 1]
        }
        (reads, bases, operations) = (0, 0, 0)
        try store.forEachHeader(contig: contig, overlapping: range) { header in
            if use(of: header) == .kept { count(header) }
        }
    }

    func use(of header: AlignedReadHeader) -> Use {
        guard !header.flags.contains(.unmapped), !header.flags.contains(.duplicate), header.baseCount > 0,
            header.cigarCount > 0
        else { return .none }
        if header.mappingQuality < leastMappingQuality { return .unmappable }
        if !limits.isEmpty, hashOfFragment(header.ordinal >> 1) > limits[bin(header)] { return .sampledOut }
        return .kept
    }

    private func bin(_ header: AlignedReadHeader) -> Int { max(0, Int(header.position) - origin) / Self.binLength }

    private mutating func count(_ header: AlignedReadHeader) {
        reads += 1
        bases += Int(header.baseCount)
        operations += Int(header.cigarCount)
    }
}

/// A well-mixed hash of a fragment's ordinal (the finaliser of SplitMix64): which reads are sampled out never depends
/// on the order of work.
func hashOfFragment(_ fragment: UInt64) -> UInt64 {
    var value = fragment &+ 0x9E37_79B9_7F4A_7C15
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
}
