import CKernels
import Diagnostics
public import GenomicFormats
import Threads

/// A reference genome made ready for mapping: bit planes of the sequence and a table of sampled seeds.
///
/// The sequence lies in one coordinate system of 32-bit *places*: contigs in order, at least ``margin`` N around each,
/// so that no alignment reaches from one contig into the next. Seeds are open syncmers (Edgar, PeerJ 2021) on 16-mers,
/// extended at both ends; the table has one cache line per bucket. Building and content do not depend on the number of
/// threads. About 1.9 bytes per reference base.
public final class ReferenceIndex: @unchecked Sendable {
    // Everything is written before `init` returns and only read afterwards.

    /// What seeds look like.
    public struct SeedShape: Sendable, Hashable {
        /// Consecutive 16-mers of which the middle one must be the smallest: one base in `window` starts a seed.
        public var window: Int
        /// Bases added at both ends of the window.
        public var extensionLength: Int

        public init(window: Int = 7, extensionLength: Int = 3) {
            precondition(window % 2 == 1 && (3...9).contains(window) && (0...4).contains(extensionLength))
            self.window = window
            self.extensionLength = extensionLength
        }

        /// Bases of one seed.
        public var length: Int { 15 + window + 2 * extensionLength }

        var kernelShape: ck_seed_shape {
            ck_seed_shape(window: UInt32(window), extension: UInt32(extensionLength))
        }
    }

    /// One contig's name and where it lies.
    public struct Contig: Sendable, Hashable {
        public let name: String
        /// Bases.
        public let length: Int
        /// Place of its first base.
        let start: UInt32
    }

    /// N bases kept free around every contig.
    static let margin = 1024
    /// Seeds with more places than this are counted, not listed.
    static let listLimit: UInt32 = 4096

    public let contigs: [Contig]
    public let shape: SeedShape
    /// Identifies names, lengths and bases of the reference. Not cryptographic.
    public let referenceDigest: UInt64
    let planes: LargeBuffer<UInt64>
    let buckets: LargeBuffer<ck_bucket>
    let lists: LargeBuffer<UInt32>

    init(
        contigs: [Contig], shape: SeedShape, referenceDigest: UInt64, planes: LargeBuffer<UInt64>,
        buckets: LargeBuffer<ck_bucket>, lists: LargeBuffer<UInt32>
    ) {
        self.contigs = contigs
        self.shape = shape
        self.referenceDigest = referenceDigest
        self.planes = planes
        self.buckets = buckets
        self.lists = lists
    }

    /// Builds the index in memory.
    ///
    /// - Throws: `Failure(.data)` when the reference has no contig or more bases than 32-bit places can name.
    public convenience init(genome: ReferenceGenome, shape: SeedShape = SeedShape(), threads: Int = 1) throws {
        self.init(genome: genome, contigs: try Self.layOut(genome), shape: shape, threads: threads)
    }

    /// As ``init(genome:shape:threads:)``, with contigs at places of the caller's choice: in order, multiples of 64,
    /// and ``margin`` apart at least.
    package convenience init(genome: ReferenceGenome, places: [UInt32], threads: Int = 1) {
        let contigs = zip(genome.contigs, places).map { Contig(name: $0.name, length: $0.length, start: $1) }
        self.init(genome: genome, contigs: contigs, shape: SeedShape(), threads: threads)
    }

    private convenience init(genome: ReferenceGenome, contigs: [Contig], shape: SeedShape, threads: Int) {
        let planes = Self.pack(genome, contigs, threads: threads)
        let digest = Self.digest(contigs, planes)
        let table = SeedTableBuilder(contigs: contigs, planes: planes, shape: shape, threads: threads).build()
        self.init(
            contigs: contigs, shape: shape, referenceDigest: digest, planes: planes, buckets: table.buckets,
            lists: table.lists)
    }

    public var contigLengths: [Int] { contigs.map(\.length) }

    /// Bytes of the tables in memory.
    public var byteCount: Int { planes.byteCount + buckets.byteCount + lists.byteCount }

    /// The digest that an index of this reference carries, without building the index.
    ///
    /// - Throws: as ``init(genome:shape:threads:)``.
    public static func digest(of genome: ReferenceGenome, threads: Int = 1) throws -> UInt64 {
        let contigs = try layOut(genome)
        return digest(contigs, pack(genome, contigs, threads: threads))
    }

    var seedTable: ck_seed_table {
        ck_seed_table(buckets: buckets.pointer, lists: lists.pointer, bucket_count: UInt32(buckets.count))
    }

    /// The contig that holds `place`, or the nearest one to its left.
    @inline(__always)
    func contig(at place: UInt32) -> Int {
        var low = 0
        var high = contigs.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if contigs[middle].start <= place { low = middle } else { high = middle }
        }
        return low
    }

    private static func layOut(_ genome: ReferenceGenome) throws -> [Contig] {
        var contigs: [Contig] = []
        var place = margin
        for contig in genome.contigs {
            contigs.append(Contig(name: contig.name, length: contig.length, start: UInt32(place)))
            place = (place + contig.length + margin + 63) / 64 * 64
            guard place < Int(UInt32.max) - margin else {
                throw Failure(
                    .data, at: contig.name, "the reference has more bases than 32-bit places can name",
                    remedy: "use a reference of less than 4.29 billion bases")
            }
        }
        guard !contigs.isEmpty else {
            throw Failure(.data, at: "reference", "there is no contig", remedy: "give a FASTA file with sequences")
        }
        return contigs
    }

    /// Words of the planes that hold these contigs, margins included.
    static func planeWords(_ contigs: [Contig]) -> Int {
        let last = contigs[contigs.count - 1]
        return ck_plane_words(Int(last.start) + last.length + margin) + 6
    }

    private static func pack(_ genome: ReferenceGenome, _ contigs: [Contig], threads: Int) -> LargeBuffer<UInt64> {
        let planes = LargeBuffer<UInt64>(count: planeWords(contigs))
        for contig in contigs {
            let (start, end) = (Int(contig.start), Int(contig.start) + contig.length)
            for border in [(start - margin)..<start, end..<(end + margin + 192)] {
                for block in border.lowerBound / 64..<min(border.upperBound / 64, planes.count / 3) {
                    planes.pointer[3 * block + 2] = ~0
                }
            }
        }
        let piece = 1 << 20
        var pieces: [(contig: Int, from: Int)] = []
        for (index, contig) in contigs.enumerated() {
            pieces += stride(from: 0, to: contig.length, by: piece).map { (index, $0) }
        }
        let work = pieces
        inParallel(work.count, threads: threads) { item in
            let (index, from) = work[item]
            let contig = contigs[index]
            genome.contigs[index].bases.withUnsafeBufferPointer { bases in
                ck_pack_planes(
                    bases.baseAddress! + from, min(piece, contig.length - from),
                    planes.pointer + (Int(contig.start) + from) / 64 * 3)
            }
        }
        return planes
    }

    static func digest(_ contigs: [Contig], _ planes: LargeBuffer<UInt64>) -> UInt64 {
        var hash = WordHash()
        for contig in contigs {
            hash.add(Array(contig.name.utf8))
            hash.add(UInt64(contig.length))
        }
        hash.add(UnsafeBufferPointer(start: planes.pointer, count: planes.count))
        return hash.value
    }
}

/// A fast 64-bit hash of words that notices damage and mix-ups; not meant against an adversary.
struct WordHash {
    private var lanes: (UInt64, UInt64) = (0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f)
    private var count: UInt64 = 0

    @inline(__always)
    mutating func add(_ word: UInt64) {
        let mixed = (lanes.0 ^ word) &* 0xff51_afd7_ed55_8ccd
        lanes.0 = lanes.1
        lanes.1 = mixed ^ (mixed >> 32)
        count &+= 1
    }

    mutating func add(_ bytes: [UInt8]) {
        add(UInt64(bytes.count))
        for byte in bytes { add(UInt64(byte)) }
    }

    mutating func add(_ words: UnsafeBufferPointer<UInt64>) {
        for word in words { add(word) }
    }

    var value: UInt64 {
        var result = lanes.0 ^ (lanes.1 << 21 | lanes.1 >> 43) ^ count
        result = (result ^ (result >> 33)) &* 0xc4ce_b9fe_1a85_ec53
        return result ^ (result >> 33)
    }
}
