import CKernels
import GenomicFormats

/// From a read to its scored placements: the part of mapping that looks at one read at a time.
struct CandidateSearch {
    let index: ReferenceIndex
    let table: ck_seed_table
    let seedLength: UInt32
    let scratch: MapperScratch
    /// Base codes of the batch.
    let codes: UnsafePointer<UInt8>

    /// Places per seed that are looked at; more frequent seeds count as hidden copies.
    static let listCap: UInt32 = 64
    /// The cap for reads of which every seed is frequent.
    static let lastResortCap: UInt32 = 1024
    /// Longest gap that is looked for without a seed on its far side.
    static let gapReach: UInt32 = 24
    /// Diagonals on both sides of the two that a gap joins; room for a second gap.
    static let wideMargin: UInt32 = 24
    /// Score lost with one gap from which two gaps are considered.
    static let twoGapLoss: Int32 = 26
    /// Seed-supported diagonals beyond ``gapReach`` that are tried.
    static let farDiagonals = 16
    /// Bases in a row that show where a mate may lie.
    static let rescueRun: UInt32 = 12
    /// Diagonals of a read whose reference is asked for one stage ahead.
    static let prefetchedDiagonals = 32
    /// Two diagonals nearer than this may belong to one alignment.
    static let clusterReach = 160

    init(index: ReferenceIndex, scratch: MapperScratch, codes: UnsafePointer<UInt8>) {
        self.index = index
        table = index.seedTable
        seedLength = UInt32(index.shape.length)
        self.scratch = scratch
        self.codes = codes
    }

    /// Bit planes of both strands.
    func pack(_ read: Int) {
        let length = Int(scratch.states[read].length)
        let bases = codes + scratch.states[read].batchStart
        let reverse = scratch.reverseCodes + read * 512
        ck_reverse_complement(bases, length, reverse)
        ck_pack_planes(bases, length, scratch.planes(of: read, isReverse: false))
        ck_pack_planes(reverse, length, scratch.planes(of: read, isReverse: true))
    }

    /// Seeds of one read of the group; those of the reads before it are there already.
    func findSeeds(ofGroupRead read: Int, _ bases: UnsafePointer<UInt8>, count: Int, shape: ck_seed_shape) {
        let first = scratch.seedStarts[read]
        let found = ck_find_seeds(bases, count, shape, scratch.keys + first, scratch.offsets + first)
        scratch.seedStarts[read + 1] = first + found
    }

    /// What the table says about each seed of the group.
    func lookUp(groupReads count: Int) {
        let seeds = scratch.seedStarts[count]
        scratch.paths.seeds += seeds
        withUnsafePointer(to: table) { ck_look_up_seeds($0, scratch.keys, seeds, scratch.found, scratch.order) }
    }

    func prefetchLists(_ read: Int) {
        let state = scratch.states[read]
        withUnsafePointer(to: table) { ck_prefetch_lists($0, scratch.found + state.firstSeed, state.seedCount) }
    }

    /// Diagonals that seeds support, and a prefetch of the reference along them.
    func collect(_ read: Int) {
        let state = scratch.states + read
        var summary = collectDiagonals(read, cap: Self.listCap)
        if summary.diagonals == 0 && summary.frequent > 0 {
            summary = collectDiagonals(read, cap: Self.lastResortCap)
        }
        if summary.frequent > 0 {
            state.pointee.repetitiveShare = Double(summary.repetitive) / Double(state.pointee.seedCount)
            state.pointee.hiddenScore = max(0, Int32(state.pointee.length) - 5 * Int32(summary.informative))
        }
        state.pointee.firstDiagonal = scratch.diagonalsUsed
        state.pointee.diagonalCount = Int(summary.diagonals)
        scratch.diagonalsUsed += Int(summary.diagonals)
        scratch.paths.diagonals += Int(summary.diagonals)
        let diagonals = scratch.diagonals + state.pointee.firstDiagonal
        for i in 0..<min(Int(summary.diagonals), Self.prefetchedDiagonals) {
            ck_prefetch_place(index.planes.pointer, diagonals[i].start, state.pointee.length)
        }
    }

    /// Ungapped scores along the diagonals, gaps where they can pay; leaves candidates best first.
    func evaluate(_ read: Int) {
        guard scratch.states[read].diagonalCount > 0 else { return }
        score(read)
        alignWithGaps(read)
        removeRedundant(read)
    }

    private func collectDiagonals(_ read: Int, cap: UInt32) -> ck_seed_summary {
        let first = scratch.states[read].firstSeed
        return withUnsafePointer(to: table) {
            ck_collect_diagonals(
                $0, scratch.keys + first, scratch.found + first, scratch.offsets + first,
                scratch.states[read].seedCount, scratch.states[read].length, seedLength, cap,
                scratch.diagonals + scratch.diagonalsUsed,
                MapperScratch.diagonalCapacity, scratch.sortWords)
        }
    }

    private func score(_ read: Int) {
        let diagonals = scratch.diagonals + scratch.states[read].firstDiagonal
        let count = scratch.states[read].diagonalCount
        let length = scratch.states[read].length
        var most: UInt16 = 0
        for i in 0..<count { most = max(most, diagonals[i].seeds) }
        for i in 0..<count where diagonals[i].seeds * 4 >= most {
            if i >= Self.prefetchedDiagonals - 4, i + 4 < count {
                ck_prefetch_place(index.planes.pointer, diagonals[i + 4].start, length)
            }
            let isReverse = diagonals[i].strand != 0
            let start = diagonals[i].start
            let alignment = ck_score_diagonal(
                index.planes.pointer, start, scratch.planes(of: read, isReverse: isReverse), length)
            insert(
                Candidate(
                    alignment: alignment, leftDiagonal: start, rightDiagonal: start, cigar: -1,
                    seeds: diagonals[i].seeds, isReverse: isReverse, isRescued: false),
                read, limit: MapperScratch.keptCandidates)
        }
    }

    /// Keeps the list sorted: score, then seeds, then place, then strand. The last one falls out when the list is
    /// full, and counts as a hidden copy.
    func insert(_ candidate: Candidate, _ read: Int, limit: Int) {
        let list = scratch.candidates(of: read)
        var count = scratch.states[read].candidateCount
        if count == limit {
            let isKept = isBefore(candidate, list[count - 1])
            let dropped = isKept ? list[count - 1].plainScore : candidate.plainScore
            scratch.states[read].hiddenScore = max(scratch.states[read].hiddenScore, dropped)
            scratch.states[read].droppedCount += 1
            if !isKept { return }
            count -= 1
        }
        var rank = count
        while rank > 0 && isBefore(candidate, list[rank - 1]) {
            list[rank] = list[rank - 1]
            rank -= 1
        }
        list[rank] = candidate
        scratch.states[read].candidateCount = count + 1
    }

    @inline(__always)
    func isBefore(_ a: Candidate, _ b: Candidate) -> Bool {
        if a.score != b.score { return a.score > b.score }
        if a.seeds != b.seeds { return a.seeds > b.seeds }
        if a.leftDiagonal != b.leftDiagonal { return a.leftDiagonal < b.leftDiagonal }
        return !a.isReverse && b.isReverse
    }

    /// Looks for gaps in the most promising candidates that fall short of a score no gap can beat.
    private func alignWithGaps(_ read: Int) {
        let length = Int32(scratch.states[read].length)
        let list = scratch.candidates(of: read)
        let count = scratch.states[read].candidateCount
        let best = list[0].score
        var tries = 0
        var changed = false
        for i in 0..<count {
            if list[i].score >= length - 7 { continue }
            if tries == 6 { break }
            if best >= length - 8 && i > 0 && best - list[i].score > 40 { continue }
            // One gap leaves about half of the read, or more, to the diagonal.
            if i > 0 && list[i].plainScore < length / 3 { continue }
            if coveredByEarlier(list, i) { continue }
            tries += 1
            if improve(&list[i], read, isBest: i == 0) { changed = true }
        }
        if changed { sort(read) }
    }

    /// True when an earlier candidate's gapped alignment already runs along this diagonal.
    private func coveredByEarlier(_ list: UnsafeMutablePointer<Candidate>, _ i: Int) -> Bool {
        for j in 0..<i where list[j].cigar >= 0 && list[j].isReverse == list[i].isReverse {
            if list[j].leftDiagonal == list[i].leftDiagonal || list[j].rightDiagonal == list[i].leftDiagonal {
                return true
            }
        }
        return false
    }

    /// Replaces the ungapped alignment by a better gapped one, if there is one.
    func improve(_ candidate: inout Candidate, _ read: Int, isBest: Bool) -> Bool {
        let length = scratch.states[read].length
        let main = candidate.leftDiagonal
        // Diagonals that seeds support farther away than gaps are looked for blindly.
        var far = 0
        let diagonals = scratch.diagonals + scratch.states[read].firstDiagonal
        for i in 0..<scratch.states[read].diagonalCount where far < Self.farDiagonals {
            let diagonal = diagonals[i]
            let shift = Int(diagonal.start) - Int(main)
            if (diagonal.strand != 0) == candidate.isReverse && abs(shift) > Int(Self.gapReach)
                && abs(shift) <= Self.clusterReach
            {
                scratch.shifts[far] = Int32(shift)
                far += 1
            }
        }
        guard scratch.cigarCount < Int32(MapperScratch.cigarSlots) else { return false }
        let cigar = scratch.cigars + Int(scratch.cigarCount) * Int(CK_MAX_CIGAR)
        scratch.paths.gapSearches += 1
        let oneGap = ck_align_one_gap(
            index.planes.pointer, main, scratch.planes(of: read, isReverse: candidate.isReverse), length,
            candidate.score, Self.gapReach, scratch.shifts, UInt32(far), cigar)
        guard oneGap.score > candidate.score else { return false }
        candidate.take(oneGap, length: length, cigar: scratch.cigarCount)
        // Where one gap helps and much is still lost, a second one can pay; only the best placement is worth it.
        if isBest && candidate.score <= Int32(length) - Self.twoGapLoss {
            alignBanded(&candidate, read, from: main, cigar: cigar)
        }
        scratch.cigarCount += 1
        return true
    }

    /// Replaces an alignment with one gap by the best one in a band around its two diagonals, if that scores more.
    private func alignBanded(
        _ candidate: inout Candidate, _ read: Int, from main: UInt32, cigar: UnsafeMutablePointer<UInt32>
    ) {
        let length = scratch.states[read].length
        let other = candidate.leftDiagonal == main ? candidate.rightDiagonal : candidate.leftDiagonal
        let spread = max(main, other) - min(main, other)
        let lanes = (spread + 2 * Self.wideMargin + 31) / 32 * 32
        let first = min(main, other) - (lanes - spread) / 2
        let bases =
            candidate.isReverse
            ? UnsafePointer(scratch.reverseCodes + read * 512) : codes + scratch.states[read].batchStart
        scratch.paths.bandedAlignments += 1
        let oneGap = (cigar[0], cigar[1], cigar[2], cigar[3], cigar[4])
        let alignment = ck_align_banded(
            index.planes.pointer, first, lanes, bases, length, cigar, scratch.alignScratch)
        if alignment.score > candidate.score {
            candidate.take(alignment, length: length, cigar: scratch.cigarCount)
        } else {
            (cigar[0], cigar[1], cigar[2], cigar[3], cigar[4]) = oneGap
        }
    }

    func sort(_ read: Int) {
        let list = scratch.candidates(of: read)
        for i in 1..<max(1, scratch.states[read].candidateCount) {
            let candidate = list[i]
            var rank = i
            while rank > 0 && isBefore(candidate, list[rank - 1]) {
                list[rank] = list[rank - 1]
                rank -= 1
            }
            list[rank] = candidate
        }
    }

    /// Drops candidates that describe the same placement as a better one.
    func removeRedundant(_ read: Int) {
        let list = scratch.candidates(of: read)
        let count = scratch.states[read].candidateCount
        var kept = 0
        for i in 0..<count {
            if list[i].score <= 0 { continue }
            var isRedundant = false
            for j in 0..<kept where isSamePlacement(list[j], list[i]) {
                isRedundant = true
                break
            }
            if isRedundant { continue }
            if kept != i { list[kept] = list[i] }
            kept += 1
        }
        scratch.states[read].candidateCount = kept
    }

    func isSamePlacement(_ a: Candidate, _ b: Candidate) -> Bool {
        if a.isReverse != b.isReverse { return false }
        if a.leftDiagonal == b.leftDiagonal || a.rightDiagonal == b.rightDiagonal { return true }
        if a.rightDiagonal == b.leftDiagonal || a.leftDiagonal == b.rightDiagonal { return true }
        // Overlap of at least 95 % of the shorter one, as in bwa mem.
        let low = max(a.alignment.start, b.alignment.start)
        let high = min(a.alignment.end, b.alignment.end)
        if low >= high { return false }
        let shorter = min(a.alignment.end - a.alignment.start, b.alignment.end - b.alignment.start)
        return UInt64(high - low) * 20 >= UInt64(shorter) * 19
    }

    /// The best diagonals of the read among `count` from `from` on, with their scores without gaps; `run` bases in a row
    /// match on each.
    func scan(
        _ read: Int, isReverse: Bool, from: UInt32, count: UInt32, run: UInt32
    ) -> [(start: UInt32, score: Int32)] {
        var starts: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
        var scores: (Int32, Int32, Int32, Int32) = (0, 0, 0, 0)
        scratch.paths.rescueScans += 1
        let found = withUnsafeMutableBytes(of: &starts) { starts in
            withUnsafeMutableBytes(of: &scores) { scores in
                ck_scan_diagonals(
                    index.planes.pointer, from, count, scratch.planes(of: read, isReverse: isReverse),
                    scratch.states[read].length, run, starts.baseAddress!.assumingMemoryBound(to: UInt32.self),
                    scores.baseAddress!.assumingMemoryBound(to: Int32.self))
            }
        }
        let all = [(starts.0, scores.0), (starts.1, scores.1), (starts.2, scores.2), (starts.3, scores.3)]
        return Array(all.prefix(Int(found)))
    }

    /// Searches `count` starts from `from` on for the read; adds what it finds.
    func rescue(_ read: Int, isReverse: Bool, from: UInt32, count: UInt32, leastScore: Int32) {
        let length = scratch.states[read].length
        let found = scan(read, isReverse: isReverse, from: from, count: count, run: Self.rescueRun)
        for (rank, (start, _)) in found.enumerated() {
            let alignment = ck_score_diagonal(
                index.planes.pointer, start, scratch.planes(of: read, isReverse: isReverse), length)
            var candidate = Candidate(
                alignment: alignment, leftDiagonal: start, rightDiagonal: start, cigar: -1, seeds: 0,
                isReverse: isReverse, isRescued: true)
            if candidate.score < Int32(length) - 7 && rank < 2 && candidate.plainScore >= leastScore {
                _ = improve(&candidate, read, isBest: rank == 0)
            }
            if candidate.plainScore >= leastScore { insert(candidate, read, limit: MapperScratch.candidateStride) }
        }
        if !found.isEmpty { removeRedundant(read) }
    }
}
