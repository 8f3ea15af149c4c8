import CKernels
import GenomicFormats

/// Reads that no seed of theirs placed: the search with seeds that differ from the read.
///
/// The table knows one in seven of the reference's seeds, and a read must match one of these wholly. A read that lies
/// over none, or has a mismatch in each, is asked again with the seeds it would have if it went on for a few bases at
/// either end, and if one of its bases were another one.
extension CandidateSearch {
    /// Bases of a read that are substituted; more find little more.
    static let substitutedBases = 4
    /// Room for the near seeds of one read.
    static let nearSeeds = Int(CK_EDGE_SEEDS) + substitutedBases * Int(CK_SUBSTITUTED_SEEDS)
    /// Distance of the windows that are judged for the base to substitute.
    private static let windowStep = 4
    /// What any base may differ by apart from sequencing errors, in units of 2^-16.
    private static let variation = 65

    /// 2^16 times the probability of an error, in thirds of a power of two: 10^(-q / 10) within 1 %.
    private static let errorWeights: [Int] = (0...255).map { quality in
        ([65536, 52016, 41285][quality % 3] >> min(quality / 3, 20)) + variation
    }

    /// Whether no placement of the read was found that counts, and no copies are known that were not looked at.
    func isLost(_ read: Int) -> Bool {
        let state = scratch.states[read]
        guard state.hiddenScore == 0, state.length >= seedLength else { return false }
        return state.candidateCount == 0 || scratch.candidates(of: read)[0].plainScore < PairedMapper.leastScore
    }

    /// Searches `reads` of the block anew. Their weak candidates stay.
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
        var count = ck_find_edge_seeds(bases, length, shape, scratch.keys + first, scratch.offsets + first)
        for place in doubtfulBases(qualities, length) {
            count += ck_find_substituted_seeds(
                bases, length, shape, place, scratch.keys + first + count, scratch.offsets + first + count)
        }
        return count
    }

    /// The bases whose substitution is most likely to leave a stretch of a seed's length that matches.
    private func doubtfulBases(_ qualities: UnsafePointer<UInt8>, _ length: Int) -> [Int] {
        let size = Int(seedLength)
        var windows: [(chance: Int, place: Int)] = []
        windows.reserveCapacity((length - size) / Self.windowStep + 1)
        Self.errorWeights.withUnsafeBufferPointer { weights in
            for start in stride(from: 0, through: length - size, by: Self.windowStep) {
                var sum = 0
                var most = 0
                var place = start
                for i in start..<start + size {
                    let weight = weights[Int(qualities[i])]
                    sum += weight
                    // The most central of equal ones lies in the most seeds.
                    if weight > most || (weight == most && abs(2 * i - length) < abs(2 * place - length)) {
                        most = weight
                        place = i
                    }
                }
                windows.append((most * max(0, 65536 - sum + most), place))
            }
        }
        var chosen: [Int] = []
        while chosen.count < Self.substitutedBases {
            var best = -1
            for (i, window) in windows.enumerated() where !chosen.contains(window.place) {
                if best < 0 || window.chance > windows[best].chance { best = i }
            }
            if best < 0 { break }
            chosen.append(windows[best].place)
        }
        return chosen
    }

    /// As ``rescue(_:isReverse:from:count:leastScore:)``, with gaps anywhere: for mates of which only pieces match.
    func rescuePieces(_ read: Int, isReverse: Bool, from: UInt32, count: UInt32, leastScore: Int32) {
        let length = scratch.states[read].length
        let bases =
            isReverse ? UnsafePointer(scratch.reverseCodes + read * 512) : codes + scratch.states[read].batchStart
        for (start, _) in scan(read, isReverse: isReverse, from: from, count: count) {
            guard scratch.cigarCount < Int32(MapperScratch.cigarSlots) else { return }
            let cigar = scratch.cigars + Int(scratch.cigarCount) * Int(CK_MAX_CIGAR)
            scratch.paths.bandedAlignments += 1
            let alignment = ck_align_banded(
                index.planes.pointer, start - Self.wideMargin, 2 * Self.wideMargin / 32 * 32 + 32, bases, length,
                cigar, scratch.alignScratch)
            guard alignment.score != Int32.min else { continue }
            var candidate = Candidate(
                alignment: alignment, leftDiagonal: start, rightDiagonal: start, cigar: -1, seeds: 0,
                isReverse: isReverse, isRescued: true)
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
        for read in 0..<count where search.isLost(read) { lost.append(read) }
        if lost.isEmpty { return }
        batch.qualities.withUnsafeBufferPointer { qualities in
            guard let qualities = qualities.baseAddress else { return }
            search.findLost(lost, qualities: qualities, shape: index.shape.kernelShape)
        }
        guard batch.isPaired else { return }
        var last = -1
        for read in lost where read & ~1 != last {
            last = read & ~1
            rescue(search, last)
            for (mate, other) in [(last, last + 1), (last + 1, last)]
            where search.isLost(mate) && !search.isLost(other) {
                rescuePieces(search, mate: mate, near: other)
            }
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
            if scratch.states[mate].candidateCount > 0 { return }
        }
        let contig = index.contigs[index.contig(at: candidate.alignment.start)]
        let reach = 2 * insertSizes.properRange.upperBound
        let from = max(Int(candidate.leftDiagonal) - reach, Int(contig.start) - 64)
        let to = min(Int(candidate.leftDiagonal) + reach, Int(contig.start) + contig.length)
        if from >= to { return }
        for isReverse in [false, true] {
            search.rescue(
                mate, isReverse: isReverse, from: UInt32(from), count: UInt32(to - from), leastScore: Self.leastScore)
        }
    }
}
