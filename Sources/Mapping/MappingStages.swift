import Glibc

/// Nanoseconds of one thread by stage of mapping. Clocks are read once per block of reads and stage, not once per read.
public struct MappingStages: Sendable, Codable, Equatable {
    /// Bit planes of both strands, and the prefetch of lists of places.
    public var pack = 0
    /// Seeds of the reads.
    public var seed = 0
    /// What the table says about each seed.
    public var lookup = 0
    /// Diagonals from places, and the prefetch of the reference along them.
    public var candidates = 0
    /// Scores along the diagonals, gaps.
    public var evaluate = 0
    /// Mates looked for near the other half.
    public var rescue = 0
    /// Reads without a place searched once more.
    public var lost = 0
    /// Choice of the placements, mapping quality, coordinates.
    public var pair = 0
    /// Records into the store, signatures of templates.
    public var store = 0

    public init() {}

    public var total: Int { pack + seed + lookup + candidates + evaluate + rescue + lost + pair + store }

    /// Adds the time since `begin` to one stage and moves `begin` on.
    @inline(__always)
    mutating func note(_ stage: WritableKeyPath<MappingStages, Int>, since begin: inout Int) {
        let now = monotonicNanoseconds()
        self[keyPath: stage] += now - begin
        begin = now
    }

    mutating func add(_ other: MappingStages) {
        pack += other.pack
        seed += other.seed
        lookup += other.lookup
        candidates += other.candidates
        evaluate += other.evaluate
        rescue += other.rescue
        lost += other.lost
        pair += other.pair
        store += other.store
    }
}

/// How many reads took which way, and how often the dearer searches ran.
public struct MappingPaths: Sendable, Codable, Equatable {
    public var seeds = 0
    public var diagonals = 0
    public var gapSearches = 0
    public var bandedAlignments = 0
    public var rescueScans = 0
    /// Seeds of lost reads that differ from the read.
    public var nearSeeds = 0

    public init() {}

    mutating func add(_ other: MappingPaths) {
        seeds += other.seeds
        diagonals += other.diagonals
        gapSearches += other.gapSearches
        bandedAlignments += other.bandedAlignments
        rescueScans += other.rescueScans
        nearSeeds += other.nearSeeds
    }
}

/// Processor time of the calling thread.
func threadNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A steady clock, read without the conversions of `monotonicSeconds()`.
@inline(__always)
func monotonicNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
