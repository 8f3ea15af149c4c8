import CKernels

/// Supplementary alignments: a read whose alignment leaves many bases out at an end is aligned in parts, as reads
/// across the breakpoints of structural variants are (SAMv1 section 1.2, chimeric alignment).
///
/// The rules are those of bwa mem: a part has a score of its own that counts as mapped, and of the shorter of two parts
/// less than half lies in the other. Parts come from the seeds that the read was mapped by; where these show none, the
/// neighbourhood of the alignment is searched. The primary alignment is the one that the mapper chose for the read, so
/// that it does not depend on whether parts are looked for.
extension PairedMapper {
    /// Fewest bases left out at one end for which parts are looked for.
    static let leastClip: UInt16 = 20
    /// Supplementary alignments of one read.
    static let mostSupplementary = 2

    /// Adds supplementary alignments of a mapped read, whose primary alignment is candidate `chosen` and stands at
    /// `place` of the result.
    @inline(__always)
    func addSupplementary(
        _ search: CandidateSearch, _ read: Int, besides chosen: Int, at place: Int, into result: inout MappedBatch
    ) {
        let alignment = scratch.candidates(of: read)[chosen].alignment
        if max(alignment.clip_left, alignment.clip_right) < Self.leastClip { return }
        addParts(search, read, besides: chosen, at: place, into: &result)
    }

    private func addParts(
        _ search: CandidateSearch, _ read: Int, besides chosen: Int, at place: Int, into result: inout MappedBatch
    ) {
        let length = Int(scratch.states[read].length)
        let primary = scratch.candidates(of: read)[chosen]
        var taken = [primary.stretch(ofRead: length)]
        let (before, after) = (0..<taken[0].lowerBound, taken[0].upperBound..<length)
        let open = max(before.count, after.count)
        var pool = search.placements(of: read, besides: chosen, leastScore: Self.leastMateScore)
        let isFound = pool.contains {
            $0.plainScore >= Self.leastScore && !Self.isMasked($0.stretch(ofRead: length), by: taken[0])
        }
        if !isFound {
            search.scan(
                before.count > after.count ? before : after, ofRead: read, near: primary,
                leastScore: Self.leastMateScore, into: &pool)
        }
        let start = result.supplementary.count
        for candidate in pool {
            if candidate.plainScore < Self.leastScore || taken.count > Self.mostSupplementary { break }
            var part = candidate
            if taken.contains(where: { Self.isMasked(part.stretch(ofRead: length), by: $0) }) { continue }
            if part.cigar < 0, Int(part.plainScore) + 8 < open, search.improve(&part, read, isBest: false),
                taken.contains(where: { Self.isMasked(part.stretch(ofRead: length), by: $0) })
            {
                part = candidate
            }
            let runner = runnerUp(of: part, read, in: pool, search)
            let alone = quality(of: part, read, besides: runner)
            var mapped = MappedRead()
            write(
                part, quality: min(alone, Int(result.reads[place].mappingQuality)), secondScore: runner.score, &mapped,
                into: &result)
            guard mapped.isMapped else { continue }
            link(&mapped, place, in: result)
            taken.append(part.stretch(ofRead: length))
            result.supplementary.append(mapped)
        }
        result.reads[place].supplementaryStart = Int32(start)
        result.reads[place].supplementaryCount = UInt8(result.supplementary.count - start)
    }

    /// bwa mem's rule: at least half of the shorter stretch lies in the other one.
    private static func isMasked(_ a: Range<Int>, by b: Range<Int>) -> Bool {
        2 * a.clamped(to: b).count >= min(a.count, b.count)
    }

    /// The best score of another placement of the same bases, and how many are about as good.
    private func runnerUp(
        of part: Candidate, _ read: Int, in pool: [Candidate], _ search: CandidateSearch
    ) -> (score: Int32, count: Int) {
        let length = Int(scratch.states[read].length)
        let stretch = part.stretch(ofRead: length)
        let others = pool.filter {
            !search.isSamePlacement($0, part) && Self.isMasked($0.stretch(ofRead: length), by: stretch)
        }
        // A copy that shares no seed with the part differs in each of the part's seeds; where seeds are too frequent,
        // in one of them.
        let unseen = part.plainScore - 5 * max(1, Int32(part.seeds))
        var best = max(unseen, min(scratch.states[read].hiddenScore, part.plainScore - 5))
        for other in others { best = max(best, other.plainScore) }
        return (max(0, best), others.count { $0.plainScore >= best - 7 })
    }

    /// Flags, mate fields and template length of a supplementary alignment of the read at `place`. The mate is its
    /// primary alignment.
    private func link(_ part: inout MappedRead, _ place: Int, in result: MappedBatch) {
        let primary = result.reads[place]
        part.flags.formUnion(primary.flags.subtracting(.reverse))
        part.flags.insert(.supplementary)
        guard primary.flags.contains(.paired) else { return }
        let mate = result.reads[place ^ 1]
        // A mate that maps nowhere has the place of the primary alignment.
        part.mateContig = mate.isMapped ? mate.contig : primary.contig
        part.matePosition = mate.isMapped ? mate.position : primary.position
        if mate.isMapped && mate.contig == part.contig { part.templateLength = Self.templateLength(part, mate) }
    }
}

extension Candidate {
    /// The bases of the read, as sequenced, that the alignment covers.
    func stretch(ofRead length: Int) -> Range<Int> {
        let (left, right) = (Int(alignment.clip_left), Int(alignment.clip_right))
        return isReverse ? right..<max(right, length - left) : left..<max(left, length - right)
    }
}

extension CandidateSearch {
    /// Diagonals of one read that are scored for its parts.
    private static let partDiagonals = 256

    /// Placements of the read other than candidate `chosen`, best first: the candidates, and what lies on diagonals that
    /// were passed over, because another one has many more seeds or there was no room.
    func placements(of read: Int, besides chosen: Int, leastScore: Int32) -> [Candidate] {
        let list = UnsafeBufferPointer(
            start: scratch.candidates(of: read), count: scratch.states[read].candidateCount)
        var found: [Candidate] = []
        for i in list.indices where i != chosen && list[i].plainScore >= leastScore { found.append(list[i]) }
        let diagonals = UnsafeBufferPointer(
            start: scratch.diagonals + scratch.states[read].firstDiagonal, count: scratch.states[read].diagonalCount)
        var budget = Self.partDiagonals
        for diagonal in diagonals where budget > 0 {
            let isReverse = diagonal.strand != 0
            let isKnown = list.contains {
                $0.isReverse == isReverse && ($0.leftDiagonal == diagonal.start || $0.rightDiagonal == diagonal.start)
            }
            if isKnown { continue }
            budget -= 1
            let alignment = ck_score_diagonal(
                index.planes.pointer, diagonal.start, scratch.planes(of: read, isReverse: isReverse),
                scratch.states[read].length)
            let candidate = Candidate(
                alignment: alignment, leftDiagonal: diagonal.start, rightDiagonal: diagonal.start, cigar: -1,
                seeds: diagonal.seeds, isReverse: isReverse, isRescued: false)
            if candidate.plainScore >= leastScore { found.append(candidate) }
        }
        found.sort(by: isBefore)
        return found
    }

    /// Bases on both sides of an alignment in which its other part is looked for without seeds.
    private static let partReach = 1000

    /// Looks for a stretch of the read, as sequenced, near another placement, on both strands; adds what it finds, best
    /// first.
    func scan(
        _ stretch: Range<Int>, ofRead read: Int, near other: Candidate, leastScore: Int32,
        into found: inout [Candidate]
    ) {
        let length = Int(scratch.states[read].length)
        let contig = index.contigs[index.contig(at: other.alignment.start)]
        let from = max(Int(contig.start), Int(other.alignment.start) - Self.partReach)
        let to = min(Int(contig.start) + contig.length, Int(other.alignment.end) + Self.partReach) - stretch.count
        if from >= to { return }
        var starts: [UInt32] = [0, 0, 0, 0]
        var scores: [Int32] = [0, 0, 0, 0]
        for isReverse in [false, true] {
            let first = isReverse ? length - stretch.upperBound : stretch.lowerBound
            let bases =
                isReverse
                ? UnsafePointer(scratch.reverseCodes + read * 512) : codes + scratch.states[read].batchStart
            scratch.paths.rescueScans += 1
            let count = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Int(CK_READ_WORDS)) { planes in
                ck_pack_planes(bases + first, stretch.count, planes.baseAddress)
                return ck_scan_diagonals(
                    index.planes.pointer, UInt32(from), UInt32(to - from), planes.baseAddress, UInt32(stretch.count),
                    CandidateSearch.rescueRun, &starts, &scores)
            }
            for place in starts[..<Int(count)] {
                let start = place - UInt32(first)
                if other.isReverse == isReverse && [other.leftDiagonal, other.rightDiagonal].contains(start) { continue }
                let alignment = ck_score_diagonal(
                    index.planes.pointer, start, scratch.planes(of: read, isReverse: isReverse), UInt32(length))
                let candidate = Candidate(
                    alignment: alignment, leftDiagonal: start, rightDiagonal: start, cigar: -1, seeds: 0,
                    isReverse: isReverse, isRescued: true)
                if candidate.plainScore >= leastScore { found.append(candidate) }
            }
        }
        found.sort(by: isBefore)
    }
}
