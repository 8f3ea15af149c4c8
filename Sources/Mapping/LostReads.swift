import CKernels
import GenomicFormats

/// Reads that no seed of theirs placed: the search with seeds that differ from the read.
///
/// The table knows one in seven of the reference's seeds, and a read must match one of these wholly. A read that lies
/// over none, or has a mismatch in each, is asked again with the seeds it would have if it went on for a few bases at
/// either end, and if one of its bases were another one.
extension CandidateSearch {
    /// Bases of a read that are substituted: of one in which many seeds lie, and of a short one.
    private static let substitutedBases = (usual: 3, short: 6)
    /// Room for the near seeds of one read.
    static let nearSeeds = Int(CK_EDGE_SEEDS) + Int(CK_SUBSTITUTED_SEEDS)
    /// About as many windows are judged for the base to substitute.
    private static let doubtfulWindows = 12
    /// Bases in a row that show where a piece of a mate may lie.
    private static let pieceRun = UInt32(CK_SCAN_LEAST_RUN)
    /// What any base may differ by apart from sequencing errors, in units of 2^-16.
    private static let variation = 65

    /// 2^16 times the probability of an error, 2^(-q / 3) in place of 10^(-q / 10): whole numbers on all machines.
    private static let errorWeights: [Int] = (0...255).map { quality in
        ([65536, 52016, 41285][quality % 3] >> min(quality / 3, 20)) + variation
    }

    /// Whether the read has no placement that counts, and no copies are known that were not looked at.
    func isLost(_ read: Int) -> Bool {
        let state = scratch.states[read]
        // Copies that cannot score enough to be a placement do not matter.
        return state.hiddenScore < PairedMapper.leastScore && state.length >= seedLength && hasNoPlace(read)
    }

    /// Whether no placement of the read was found that counts.
    func hasNoPlace(_ read: Int) -> Bool {
        scratch.states[read].candidateCount == 0
            || scratch.candidates(of: read)[0].plainScore < PairedMapper.leastScore
    }

    /// Whether so few seeds lie in reads of this length that one mismatch may spoil all.
    private func isShort(_ length: Int) -> Bool { length < 2 * Int(seedLength) }

    /// Whether near seeds may show a better placement: a lost read, or one so short that few seeds lie in it, with
    /// differences.
    func wantsNearSeeds(_ read: Int) -> Bool {
        let state = scratch.states[read]
        if isLost(read) { return true }
        return isShort(Int(state.length)) && state.hiddenScore == 0 && state.candidateCount > 0
            && scratch.candidates(of: read)[0].score < Int32(state.length)
    }

    /// Searches `reads` of the block anew. Their candidates stay.
    func findLost(_ reads: [Int], qualities: UnsafePointer<UInt8>, shape: ck_seed_shape) {
        let first = scratch.groupSeeds
        var end = first
        for read in reads {
            let state = scratch.states + read
            state.pointee.firstSeed = end
            end += findNearSeeds(read, qualities + state.pointee.batchStart, shape, at: end)
            state.pointee.seedCount = end - state.pointee.firstSeed
        }
        scratch.paths.nearSeeds += end - first
        withUnsafePointer(to: table) {
            ck_look_up_seeds($0, scratch.keys + first, end - first, scratch.found + first, scratch.order)
        }
        for read in reads { prefetchLists(read) }
        for read in reads { collect(read) }
        for read in reads { evaluate(read) }
    }

    private func findNearSeeds(
        _ read: Int, _ qualities: UnsafePointer<UInt8>, _ shape: ck_seed_shape, at first: Int
    ) -> Int {
        let bases = codes + scratch.states[read].batchStart
        let length = Int(scratch.states[read].length)
        let edge = ck_find_edge_seeds(bases, length, shape, scratch.keys + first, scratch.offsets + first)
        let places = doubtfulBases(qualities, length)
        return edge
            + ck_find_substituted_seeds(
                bases, length, shape, places, places.count, scratch.keys + first + edge,
                scratch.offsets + first + edge)
    }

    /// The bases whose substitution is most likely to leave a stretch of a seed's length that matches.
    private func doubtfulBases(_ qualities: UnsafePointer<UInt8>, _ length: Int) -> [UInt32] {
        let size = Int(seedLength)
        let step = max(2, (length - size) / Self.doubtfulWindows)
        return withUnsafeTemporaryAllocation(of: (chance: Int, place: Int).self, capacity: length) { windows in
            var count = 0
            Self.errorWeights.withUnsafeBufferPointer { weights in
                for start in stride(from: 0, through: length - size, by: step) {
                    var sum = 0
                    // The middle of equal ones lies in the most seeds.
                    var place = start + size / 2
                    var most = weights[Int(qualities[place])]
                    for i in start..<start + size {
                        let weight = weights[Int(qualities[i])]
                        sum += weight
                        if weight > most { (most, place) = (weight, i) }
                    }
                    windows.initializeElement(at: count, to: (most * max(0, 65536 - sum + most), place))
                    count += 1
                }
            }
            var chosen: [UInt32] = []
            let most = isShort(length) ? Self.substitutedBases.short : Self.substitutedBases.usual
            while chosen.count < most {
                var best = -1
                for i in 0..<count where windows[i].chance >= 0 {
                    if best < 0 || windows[i].chance > windows[best].chance { best = i }
                }
                if best < 0 { break }
                let place = windows[best].place
                chosen.append(UInt32(place))
                for i in 0..<count where windows[i].place == place { windows[i].chance = -1 }
            }
            return chosen
        }
    }

    /// As ``rescue(_:isReverse:from:count:leastScore:)``, with gaps anywhere: for mates of which only pieces match.
    func rescuePieces(_ read: Int, isReverse: Bool, from: UInt32, count: UInt32, leastScore: Int32) {
        let length = scratch.states[read].length
        let bases =
            isReverse ? UnsafePointer(scratch.reverseCodes + read * 512) : codes + scratch.states[read].batchStart
        for (start, _) in scan(read, isReverse: isReverse, from: from, count: count, run: Self.pieceRun) {
            let whole = ck_score_diagonal(
                index.planes.pointer, start, scratch.planes(of: read, isReverse: isReverse), length)
            var candidate = Candidate(
                alignment: whole, leftDiagonal: start, rightDiagonal: start, cigar: -1, seeds: 0,
                isReverse: isReverse, isRescued: true)
            if candidate.plainScore >= leastScore { insert(candidate, read, limit: MapperScratch.candidateStride) }
            guard scratch.cigarCount < Int32(MapperScratch.cigarSlots) else { return }
            let cigar = scratch.cigars + Int(scratch.cigarCount) * Int(CK_MAX_CIGAR)
            scratch.paths.bandedAlignments += 1
            let alignment = ck_align_banded(
                index.planes.pointer, start - Self.wideMargin, 2 * Self.wideMargin / 32 * 32 + 32, bases, length,
                cigar, scratch.alignScratch)
            guard alignment.score > candidate.score else { continue }
            candidate.take(alignment, length: length, cigar: scratch.cigarCount)
            guard candidate.plainScore >= leastScore else { continue }
            scratch.cigarCount += 1
            insert(candidate, read, limit: MapperScratch.candidateStride)
        }
        removeRedundant(read)
    }
}

extension PairedMapper {
    /// Searches the block's reads that have no placement: with near seeds those whose mate has none either, near the
    /// mate the others.
    func findLost(_ search: CandidateSearch, _ batch: ReadBatch, count: Int) {
        var lost: [Int] = []
        for read in 0..<count where search.wantsNearSeeds(read) { lost.append(read) }
        if !lost.isEmpty {
            batch.qualities.withUnsafeBufferPointer { qualities in
                guard let qualities = qualities.baseAddress else { return }
                search.findLost(lost, qualities: qualities, shape: index.shape.kernelShape)
            }
        }
        guard batch.isPaired else { return }
        var last = -1
        for read in lost where read & ~1 != last {
            last = read & ~1
            rescue(search, last)
        }
        for read in 0..<count where search.hasNoPlace(read) && !search.hasNoPlace(read ^ 1) {
            rescuePieces(search, mate: read, near: read ^ 1)
        }
    }

    /// Looks for a mate that is still without a place on both strands around the best placement of `read`: pairs that
    /// do not look as they should, and pieces of the mate where it is expected.
    private func rescuePieces(_ search: CandidateSearch, mate: Int, near read: Int) {
        guard scratch.states[read].candidateCount > 0, scratch.states[mate].length >= 20 else { return }
        let candidate = scratch.candidates(of: read)[0]
        guard candidate.plainScore >= Self.leastScore else { return }
        if let window = mateWindow(of: candidate, mateLength: Int(scratch.states[mate].length)) {
            search.rescuePieces(
                mate, isReverse: !candidate.isReverse, from: window.lowerBound, count: UInt32(window.count),
                leastScore: Self.leastMateScore)
            let found = scratch.states[mate].candidateCount
            if found > 0 && isProper(candidate, scratch.candidates(of: mate)[0]) { return }
        }
        let contig = index.contigs[index.contig(at: candidate.alignment.start)]
        let reach = 2 * insertSizes.properRange.upperBound
        let from = max(Int(candidate.leftDiagonal) - reach, Int(contig.start) - 64)
        let to = min(Int(candidate.leftDiagonal) + reach, Int(contig.start) + contig.length)
        if from >= to { return }
        for isReverse in [false, true] {
            search.rescue(
                mate, isReverse: isReverse, from: UInt32(from), count: UInt32(to - from),
                leastScore: Self.leastMateScore)
        }
    }
}
