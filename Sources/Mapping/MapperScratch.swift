import CKernels
import GenomicFormats

/// One placement of a read that was scored.
struct Candidate {
    var alignment: ck_alignment
    /// Place of the read's first base along the left and the right end of the alignment (they differ by the gaps).
    var leftDiagonal: UInt32
    var rightDiagonal: UInt32
    /// Index of the CIGAR in the scratch, -1 for an ungapped alignment.
    var cigar: Int32
    var seeds: UInt16
    var isReverse: Bool
    var isRescued: Bool

    var score: Int32 { alignment.score }

    /// Becomes an alignment with gaps, whose CIGAR is in slot `cigar`.
    mutating func take(_ alignment: ck_alignment, length: UInt32, cigar: Int32) {
        self.alignment = alignment
        self.cigar = cigar
        leftDiagonal = alignment.start - UInt32(alignment.clip_left)
        rightDiagonal = alignment.end + UInt32(alignment.clip_right) - length
    }

    /// Score without the clip penalties.
    var plainScore: Int32 {
        alignment.score + (alignment.clip_left > 0 ? 5 : 0) + (alignment.clip_right > 0 ? 5 : 0)
    }
}

/// What is known of one read of the block in hand.
struct ReadState {
    var length: UInt32 = 0
    var batchStart = 0
    /// Range of the read's seeds in the scratch.
    var firstSeed = 0
    var seedCount = 0
    var candidateCount = 0
    /// Range of the read's diagonals in the scratch.
    var firstDiagonal = 0
    var diagonalCount = 0
    /// Upper bound on the score of a copy that is not among the candidates, because its seeds are too frequent or there
    /// were too many candidates.
    var hiddenScore: Int32 = 0
    /// Candidates that found no room.
    var droppedCount = 0
    /// Share of the seeds that are so frequent that they say nothing.
    var repetitiveShare = 0.0
}

/// Memory of one mapping thread: a block of reads goes through each stage together.
final class MapperScratch {
    static let blockReads = 64
    /// Reads whose seeds are looked up together, in whole blocks.
    static let groupReads = 1024
    static let mostSeeds = 512
    /// Seeds of a group, and near seeds of a block's lost reads behind them.
    static let seedCapacity = (groupReads + 1) * mostSeeds + blockReads * CandidateSearch.nearSeeds
    static let diagonalCapacity = 2048
    static let candidateStride = 60
    /// Candidates kept of a read's own seeds; the others are room for rescue.
    static let keptCandidates = 48
    static let cigarSlots = 4096

    let states = UnsafeMutablePointer<ReadState>.allocate(capacity: blockReads)
    let forwardPlanes = UnsafeMutablePointer<UInt64>.allocate(capacity: blockReads * Int(CK_READ_WORDS))
    let reversePlanes = UnsafeMutablePointer<UInt64>.allocate(capacity: blockReads * Int(CK_READ_WORDS))
    let reverseCodes = UnsafeMutablePointer<UInt8>.allocate(capacity: blockReads * 512)
    /// Seeds of the group's reads, end to end, and where those of each read begin.
    let keys = UnsafeMutablePointer<UInt64>.allocate(capacity: seedCapacity)
    let offsets = UnsafeMutablePointer<UInt32>.allocate(capacity: seedCapacity)
    let found = UnsafeMutablePointer<UInt64>.allocate(capacity: seedCapacity)
    let order = UnsafeMutablePointer<UInt32>.allocate(capacity: seedCapacity)
    let seedStarts = UnsafeMutablePointer<Int>.allocate(capacity: groupReads + 1)
    /// Diagonals of the block's reads, end to end; every read finds room for the most that one can have, twice if it
    /// is lost.
    let diagonals = UnsafeMutablePointer<ck_diagonal>.allocate(capacity: 2 * blockReads * diagonalCapacity)
    let sortWords = UnsafeMutablePointer<UInt64>.allocate(capacity: 2 * diagonalCapacity)
    let candidates = UnsafeMutablePointer<Candidate>.allocate(capacity: blockReads * candidateStride)
    let cigars = UnsafeMutablePointer<UInt32>.allocate(capacity: cigarSlots * Int(CK_MAX_CIGAR))
    var cigarCount: Int32 = 0
    let alignScratch = UnsafeMutablePointer<UInt8>.allocate(
        capacity: Int(CK_MAX_READ) * Int(CK_MAX_LANES) + 4096)
    let shifts = UnsafeMutablePointer<Int32>.allocate(capacity: CandidateSearch.farDiagonals)
    var diagonalsUsed = 0
    /// Seeds of the group.
    var groupSeeds = 0
    var stages = MappingStages()
    var paths = MappingPaths()

    init() {
        states.initialize(repeating: ReadState(), count: Self.blockReads)
    }

    deinit {
        states.deallocate()
        forwardPlanes.deallocate()
        reversePlanes.deallocate()
        reverseCodes.deallocate()
        keys.deallocate()
        offsets.deallocate()
        found.deallocate()
        order.deallocate()
        seedStarts.deallocate()
        diagonals.deallocate()
        sortWords.deallocate()
        candidates.deallocate()
        cigars.deallocate()
        alignScratch.deallocate()
        shifts.deallocate()
    }

    @inline(__always)
    func candidates(of read: Int) -> UnsafeMutablePointer<Candidate> { candidates + read * Self.candidateStride }

    @inline(__always)
    func planes(of read: Int, isReverse: Bool) -> UnsafeMutablePointer<UInt64> {
        (isReverse ? reversePlanes : forwardPlanes) + read * Int(CK_READ_WORDS)
    }
}
