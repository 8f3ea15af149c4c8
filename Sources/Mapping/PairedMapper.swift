import CKernels
import Diagnostics
public import GenomicFormats

/// Maps batches of reads to a reference. One instance per thread; results depend only on the reads, the index and the
/// insert-size model.
///
/// Scoring, pairing and mapping quality follow bwa mem (Li, arXiv:1303.3997): match 1, mismatch -4, gap -(6 + length),
/// clipped end -5, unpaired -17.
public final class PairedMapper {
    /// Reads shorter or longer than this are refused.
    public static let supportedLengths = 1...Int(CK_MAX_READ)
    /// Lowest score that counts as mapped.
    static let leastScore: Int32 = 30
    /// Lowest score of a mate that was looked for near its well placed other half.
    static let leastMateScore: Int32 = 19
    /// Most that the other half can lend to a read's mapping quality, and to one that scores less than ``leastScore``.
    static let lentQuality = (usual: 40, faint: 19)
    static let unpairedPenalty: Int32 = 17
    /// A pair this much worse than the best one does not matter to mapping quality.
    static let pairMargin: Int32 = 8
    /// What a read without seeds loses at least, less the margin.
    static let seedlessLoss: Int32 = 16 - pairMargin
    /// Factor on a pair's mapping quality where copies exist that were not scored; measured on simulated genomes.
    static let trustWithHiddenCopies = 0.8
    /// Most for a read by itself that differs from its place and scores less than `sureScore`.
    static let unsureQuality = 30
    static let sureScore: Int32 = 50
    /// Windows searched for the mate of one read.
    static let rescueBudget = 6

    public let index: ReferenceIndex
    public let insertSizes: InsertSizeModel
    /// Whether reads that lie in parts get supplementary alignments.
    private let findsSupplementary: Bool
    let scratch = MapperScratch()

    /// Time by stage, and ways taken, since the mapper was made.
    public var stages: MappingStages { scratch.stages }
    public var paths: MappingPaths { scratch.paths }

    public init(index: ReferenceIndex, insertSizes: InsertSizeModel = .default, findsSupplementary: Bool = false) {
        self.index = index
        self.insertSizes = insertSizes
        self.findsSupplementary = findsSupplementary
    }

    /// Maps every read of the batch.
    ///
    /// - Throws: `Failure(.data)` for a read longer than ``supportedLengths``, or an odd number of reads in a paired
    /// batch.
    public func map(_ batch: ReadBatch) throws -> MappedBatch {
        try Self.check(batch)
        var result = MappedBatch()
        result.reads.reserveCapacity(batch.readCount)
        forEachBlock(batch) { search, from, count in
            var begin = monotonicNanoseconds()
            if batch.isPaired {
                for first in stride(from: 0, to: count, by: 2) { rescue(search, first) }
                scratch.stages.note(\.rescue, since: &begin)
            }
            findLost(search, batch, count: count)
            scratch.stages.note(\.lost, since: &begin)
            if batch.isPaired {
                for first in stride(from: 0, to: count, by: 2) { finishPair(search, first, into: &result) }
                scratch.stages.note(\.pair, since: &begin)
            } else {
                for read in 0..<count { finishSingle(search, read, into: &result) }
                scratch.stages.note(\.pair, since: &begin)
            }
        }
        return result
    }

    /// Insert sizes of the batch's pairs whose mates both map confidently by themselves, first `pairs` pairs only.
    ///
    /// - Throws: as ``map(_:)``.
    public func observeInsertSizes(_ batch: ReadBatch, pairs: Int) throws -> [Int] {
        try Self.check(batch)
        guard batch.isPaired else { return [] }
        var sizes: [Int] = []
        forEachBlock(batch) { search, from, count in
            for first in stride(from: 0, to: count, by: 2) where (from + first) / 2 < pairs {
                guard let a = confident(search, first), let b = confident(search, first + 1) else { continue }
                let contigs = (index.contig(at: a.alignment.start), index.contig(at: b.alignment.start))
                guard a.isReverse != b.isReverse, contigs.0 == contigs.1 else { continue }
                let size = insertSize(a, b)
                if size > 0 && size <= 10_000 { sizes.append(size) }
            }
        }
        return sizes
    }

    static func check(_ batch: ReadBatch) throws {
        if batch.isPaired && batch.readCount % 2 != 0 {
            throw Failure(
                .data, at: "read \(batch.firstOrdinal + UInt64(batch.readCount))",
                "a paired batch holds a read without mate",
                remedy: "give both mates of every pair, in the same order")
        }
        let most = supportedLengths.upperBound
        for read in 0..<batch.readCount where batch.range(ofRead: read).count > most {
            throw Failure(
                .data, at: "read \(batch.firstOrdinal + UInt64(read) + 1)",
                "the read has \(batch.range(ofRead: read).count) bases, more than the \(most) supported",
                remedy: "use short reads; long reads need another mapper")
        }
    }

    /// Takes the batch through the stages, seeds a group at a time and the rest a block at a time, and hands each block
    /// of collected reads to `body`.
    private func forEachBlock(_ batch: ReadBatch, _ body: (CandidateSearch, Int, Int) -> Void) {
        batch.bases.withUnsafeBufferPointer { bases in
            var none: UInt8 = 4
            withUnsafePointer(to: &none) { empty in
                let search = CandidateSearch(index: index, scratch: scratch, codes: bases.baseAddress ?? empty)
                let shape = index.shape.kernelShape
                for group in stride(from: 0, to: batch.readCount, by: MapperScratch.groupReads) {
                    let groupEnd = min(group + MapperScratch.groupReads, batch.readCount)
                    var begin = monotonicNanoseconds()
                    scratch.seedStarts[0] = 0
                    for read in group..<groupEnd {
                        let range = batch.range(ofRead: read)
                        search.findSeeds(
                            ofGroupRead: read - group, search.codes + range.lowerBound, count: range.count,
                            shape: shape)
                    }
                    scratch.stages.note(\.seed, since: &begin)
                    scratch.groupSeeds = scratch.seedStarts[groupEnd - group]
                    search.lookUp(groupReads: groupEnd - group)
                    scratch.stages.note(\.lookup, since: &begin)
                    for from in stride(from: group, to: groupEnd, by: MapperScratch.blockReads) {
                        let count = min(MapperScratch.blockReads, groupEnd - from)
                        collect(search, batch, from: from, count: count, group: group)
                        body(search, from, count)
                    }
                }
            }
        }
    }

    /// Takes `count` reads from `from` on through the stages between the lookup and the choice of placements.
    private func collect(_ search: CandidateSearch, _ batch: ReadBatch, from: Int, count: Int, group: Int) {
        scratch.cigarCount = 0
        scratch.diagonalsUsed = 0
        var begin = monotonicNanoseconds()
        for read in 0..<count {
            let range = batch.range(ofRead: from + read)
            let place = from + read - group
            scratch.states[read] = ReadState()
            scratch.states[read].length = UInt32(range.count)
            scratch.states[read].batchStart = range.lowerBound
            scratch.states[read].firstSeed = scratch.seedStarts[place]
            scratch.states[read].seedCount = scratch.seedStarts[place + 1] - scratch.seedStarts[place]
            search.prefetchLists(read)
            search.pack(read)
        }
        scratch.stages.note(\.pack, since: &begin)
        for read in 0..<count { search.collect(read) }
        scratch.stages.note(\.candidates, since: &begin)
        for read in 0..<count { search.evaluate(read) }
        scratch.stages.note(\.evaluate, since: &begin)
    }

    // MARK: One read

    private func confident(_ search: CandidateSearch, _ read: Int) -> Candidate? {
        guard scratch.states[read].candidateCount > 0 else { return nil }
        let best = scratch.candidates(of: read)[0]
        guard best.plainScore >= Self.leastScore, singleQuality(read, 0) >= 20 else { return nil }
        return best
    }

    /// The best score of another placement than candidate `chosen`, and how many are about as good as that one.
    private func runnerUp(_ read: Int, _ chosen: Int) -> (score: Int32, count: Int) {
        let list = scratch.candidates(of: read)
        let count = scratch.states[read].candidateCount
        var best = scratch.states[read].hiddenScore
        for i in 0..<count where i != chosen { best = max(best, list[i].plainScore) }
        var near = 0
        for i in 0..<count where i != chosen && list[i].plainScore >= list[chosen].plainScore - 7 { near += 1 }
        return (best, near)
    }

    /// bwa mem's mapping quality of a read by itself.
    private func singleQuality(_ read: Int, _ chosen: Int) -> Int {
        quality(of: scratch.candidates(of: read)[chosen], read, besides: runnerUp(read, chosen))
    }

    /// The same of a candidate, given the best score elsewhere and how many are about as good.
    func quality(of candidate: Candidate, _ read: Int, besides other: (score: Int32, count: Int)) -> Int {
        let near = other.count
        let second = max(other.score, 19)
        let score = candidate.plainScore
        if second >= score { return 0 }
        let aligned = scratch.states[read].length
            - UInt32(candidate.alignment.clip_left) - UInt32(candidate.alignment.clip_right)
        let length = Double(max(aligned, candidate.alignment.end - candidate.alignment.start))
        let identity = 1 - (length - Double(score)) / 5 / length
        var weight = length < 50 ? 1 : 3.912023005428146 / MappingQuality.naturalLogarithm(length)
        weight *= identity * identity
        var quality = Int(6.02 * Double(score - second) * weight * weight + 0.499)
        if near > 0 { quality -= MappingQuality.penalty(copies: near) }
        quality = Int(Double(quality) * (1 - scratch.states[read].repetitiveShare) + 0.499)
        // Few seeds lie in a short read: where it differs from this place, a copy may share none with it.
        let isSure = score == Int32(scratch.states[read].length) || score >= Self.sureScore
        return min(isSure ? 60 : Self.unsureQuality, max(0, quality))
    }

    private func finishSingle(_ search: CandidateSearch, _ read: Int, into result: inout MappedBatch) {
        var mapped = MappedRead()
        if scratch.states[read].candidateCount > 0, scratch.candidates(of: read)[0].plainScore >= Self.leastScore {
            write(read, 0, quality: singleQuality(read, 0), &mapped, into: &result)
        }
        if !mapped.isMapped { mapped.flags.insert(.unmapped) }
        result.reads.append(mapped)
        guard findsSupplementary && mapped.isMapped else { return }
        addSupplementary(search, read, besides: 0, at: result.reads.count - 1, into: &result)
    }

    // MARK: Pairs

    /// From the first base of the forward mate to the last of the reverse one; negative when they look apart.
    private func insertSize(_ a: Candidate, _ b: Candidate) -> Int {
        let (forward, reverse) = a.isReverse ? (b, a) : (a, b)
        return Int(reverse.alignment.end) + Int(reverse.alignment.clip_right) - Int(forward.leftDiagonal)
    }

    func isProper(_ a: Candidate, _ b: Candidate) -> Bool {
        a.isReverse != b.isReverse && insertSizes.properRange.contains(insertSize(a, b))
    }

    /// Looks for mates near the good placements of `read` that have none among the candidates of `mate`.
    ///
    /// A mate that shares no seed with the reference has several mismatches, unless its seeds are too frequent; where
    /// such a mate could not come near the best pair, nobody looks for it.
    private func rescue(_ search: CandidateSearch, mate: Int, near read: Int, top: Int32, bestPair: Int32) {
        let list = scratch.candidates(of: read)
        let mates = scratch.candidates(of: mate)
        let mateLength = Int(scratch.states[mate].length)
        if mateLength < 20 { return }
        let mostOfMate =
            Int32(mateLength) + (scratch.states[mate].hiddenScore == 0 ? -Self.seedlessLoss : Self.pairMargin)
        var windows = 0
        for i in 0..<scratch.states[read].candidateCount {
            let candidate = list[i]
            if candidate.isRescued || candidate.plainScore < Self.leastScore { continue }
            if candidate.plainScore + mostOfMate <= bestPair { continue }
            if candidate.score < top - Self.unpairedPenalty || windows == Self.rescueBudget { break }
            var hasMate = false
            for j in 0..<scratch.states[mate].candidateCount 
            where mates[j].plainScore >= Self.leastMateScore && isProper(candidate, mates[j]) {
                hasMate = true
                break
            }
            if hasMate { continue }
            windows += 1
            guard let window = mateWindow(of: candidate, mateLength: mateLength) else { continue }
            search.rescue(
                mate, isReverse: !candidate.isReverse, from: window.lowerBound, count: UInt32(window.count),
                leastScore: Self.leastMateScore)
        }
    }

    /// The diagonals on which the mate of a placement makes a proper pair with it; nil when none lies in the contig.
    func mateWindow(of candidate: Candidate, mateLength: Int) -> Range<UInt32>? {
        let range = insertSizes.properRange
        let contig = index.contigs[index.contig(at: candidate.alignment.start)]
        var from: Int
        var to: Int
        if candidate.isReverse {
            let end = Int(candidate.alignment.end) + Int(candidate.alignment.clip_right)
            from = end - range.upperBound
            to = end - range.lowerBound + 1
        } else {
            from = Int(candidate.leftDiagonal) + range.lowerBound - mateLength
            to = Int(candidate.leftDiagonal) + range.upperBound - mateLength + 1
        }
        from = max(from, Int(contig.start) - 64)
        to = min(to, Int(contig.start) + contig.length)
        return from < to ? UInt32(from)..<UInt32(to) : nil
    }

    private struct PairChoice {
        var first = -1
        var second = -1
        var score = Int32.min
        var runnerUp: Int32 = 0
        var near = 0
    }

    private func choosePair(_ a: Int, _ b: Int) -> PairChoice {
        var choice = PairChoice()
        let (left, right) = (scratch.candidates(of: a), scratch.candidates(of: b))
        var scores: [Int32] = []
        for i in 0..<scratch.states[a].candidateCount {
            for j in 0..<scratch.states[b].candidateCount where isProper(left[i], right[j]) {
                if max(left[i].plainScore, right[j].plainScore) < Self.leastScore { continue }
                if min(left[i].plainScore, right[j].plainScore) < Self.leastMateScore { continue }
                let fit = insertSizes.score(insertSize(left[i], right[j]))
                let score = max(0, left[i].plainScore + right[j].plainScore + Int32((fit + 0.499).rounded(.down)))
                scores.append(score)
                if score > choice.score {
                    choice.runnerUp = max(choice.runnerUp, choice.score)
                    choice.score = score
                    choice.first = i
                    choice.second = j
                } else {
                    choice.runnerUp = max(choice.runnerUp, score)
                }
            }
        }
        for score in scores where score >= choice.runnerUp - 7 { choice.near += 1 }
        choice.near = max(0, choice.near - 1)
        return choice
    }

    /// Looks for each mate of the pair near the other one.
    func rescue(_ search: CandidateSearch, _ a: Int) {
        let b = a + 1
        let topA = scratch.states[a].candidateCount > 0 ? scratch.candidates(of: a)[0].score : 0
        let topB = scratch.states[b].candidateCount > 0 ? scratch.candidates(of: b)[0].score : 0
        let pair = bestPairScore(a, b)
        rescue(search, mate: b, near: a, top: topA, bestPair: pair)
        rescue(search, mate: a, near: b, top: topB, bestPair: pair)
    }

    /// The sum of scores of the best two placements that make a proper pair, fit of the insert size apart.
    private func bestPairScore(_ a: Int, _ b: Int) -> Int32 {
        let (left, right) = (scratch.candidates(of: a), scratch.candidates(of: b))
        var best: Int32 = 0
        for i in 0..<scratch.states[a].candidateCount {
            for j in 0..<scratch.states[b].candidateCount where left[i].plainScore + right[j].plainScore > best {
                if isProper(left[i], right[j]) { best = left[i].plainScore + right[j].plainScore }
            }
        }
        return best
    }

    private func finishPair(_ search: CandidateSearch, _ a: Int, into result: inout MappedBatch) {
        let b = a + 1
        var (chosenA, chosenB) = (-1, -1)
        let scoreA = bestPlain(a, &chosenA)
        let scoreB = bestPlain(b, &chosenB)
        var pair = choosePair(a, b)
        let apart = scoreA + scoreB - Self.unpairedPenalty
        var first = MappedRead()
        var second = MappedRead()
        var isProperPair = false
        if pair.first >= 0 && pair.score > apart {
            isProperPair = true
            (chosenA, chosenB) = (pair.first, pair.second)
            pair.runnerUp = max(pair.runnerUp, apart)
            if scratch.states[a].hiddenScore > 0 && scratch.states[b].hiddenScore > 0 {
                pair.runnerUp = max(pair.runnerUp, scratch.states[a].hiddenScore + scratch.states[b].hiddenScore)
            }
            var together = Int(6.02 * Double(max(0, pair.score - pair.runnerUp)) + 0.499)
            pair.near += min(scratch.states[a].droppedCount, scratch.states[b].droppedCount)
            if pair.near > 0 { together -= MappingQuality.penalty(copies: pair.near) }
            let repetitive = (scratch.states[a].repetitiveShare + scratch.states[b].repetitiveShare) / 2
            // Where copies were not seen, they may be as many again as were.
            let isHidden = scratch.states[a].hiddenScore > 0 || scratch.states[b].hiddenScore > 0
            let trust = (1 - repetitive) * (isHidden ? Self.trustWithHiddenCopies : 1)
            together = Int(Double(min(60, max(0, together))) * trust + 0.499)
            write(a, pair.first, quality: pairQuality(a, pair.first, together), &first, into: &result)
            write(b, pair.second, quality: pairQuality(b, pair.second, together), &second, into: &result)
        } else {
            if chosenA >= 0 { write(a, chosenA, quality: apartQuality(a, chosenA), &first, into: &result) }
            if chosenB >= 0 { write(b, chosenB, quality: apartQuality(b, chosenB), &second, into: &result) }
        }
        isProperPair = isProperPair && first.isMapped && second.isMapped
        link(&first, &second, isProperPair: isProperPair)
        result.reads.append(first)
        result.reads.append(second)
        guard findsSupplementary else { return }
        let place = result.reads.count - 2
        if first.isMapped { addSupplementary(search, a, besides: chosenA, at: place, into: &result) }
        if second.isMapped { addSupplementary(search, b, besides: chosenB, at: place + 1, into: &result) }
    }

    private func bestPlain(_ read: Int, _ chosen: inout Int) -> Int32 {
        guard scratch.states[read].candidateCount > 0 else { return 0 }
        let best = scratch.candidates(of: read)[0]
        guard best.plainScore >= (best.isRescued ? Self.leastMateScore : Self.leastScore) else { return 0 }
        chosen = 0
        return best.plainScore
    }

    /// The mapping quality of a read that makes no proper pair; what is faint is found beside the mate only.
    private func apartQuality(_ read: Int, _ chosen: Int) -> Int {
        let quality = singleQuality(read, chosen)
        let isFaint = scratch.candidates(of: read)[chosen].plainScore < Self.leastScore
        return isFaint ? min(quality, Self.lentQuality.faint) : quality
    }

    private func pairQuality(_ read: Int, _ chosen: Int, _ together: Int) -> Int {
        let alone = singleQuality(read, chosen)
        let score = scratch.candidates(of: read)[chosen].plainScore
        let lent = score >= Self.leastScore ? Self.lentQuality.usual : Self.lentQuality.faint
        return min(60, alone > together ? alone : min(together, alone + lent))
    }

    /// Flags, mate fields and template length of a pair (SAMv1 section 1.4).
    private func link(_ a: inout MappedRead, _ b: inout MappedRead, isProperPair: Bool) {
        a.flags.formUnion([.paired, .firstInPair])
        b.flags.formUnion([.paired, .secondInPair])
        if isProperPair {
            a.flags.insert(.properPair)
            b.flags.insert(.properPair)
        }
        Self.describeMate(of: &a, b)
        Self.describeMate(of: &b, a)
        if a.isMapped && b.isMapped && a.contig == b.contig {
            a.templateLength = Self.templateLength(a, b)
            b.templateLength = -a.templateLength
        }
    }

    /// As samtools fixmate has it: from 5' end to 5' end, the reverse strand's one past its last base.
    static func templateLength(_ a: MappedRead, _ b: MappedRead) -> Int32 {
        (b.flags.contains(.reverse) ? b.end : b.position) - (a.flags.contains(.reverse) ? a.end : a.position)
    }

    private static func describeMate(of read: inout MappedRead, _ mate: MappedRead) {
        if !read.isMapped { read.flags.insert(.unmapped) }
        if mate.isMapped {
            read.mateContig = mate.contig
            read.matePosition = mate.position
            if mate.flags.contains(.reverse) { read.flags.insert(.mateReverse) }
        } else {
            read.flags.insert(.mateUnmapped)
        }
    }

    // MARK: Output

    /// Turns a candidate into coordinates and a CIGAR. Leaves `mapped` unmapped if nothing of it lies inside the
    /// contig.
    private func write(
        _ read: Int, _ chosen: Int, quality: Int, _ mapped: inout MappedRead, into result: inout MappedBatch
    ) {
        write(
            scratch.candidates(of: read)[chosen], quality: quality, secondScore: runnerUp(read, chosen).score, &mapped,
            into: &result)
    }

    func write(
        _ candidate: Candidate, quality: Int, secondScore: Int32, _ mapped: inout MappedRead,
        into result: inout MappedBatch
    ) {
        let alignment = candidate.alignment
        let start = result.cigars.count
        if candidate.cigar >= 0 {
            let from = scratch.cigars + Int(candidate.cigar) * Int(CK_MAX_CIGAR)
            result.cigars.append(contentsOf: UnsafeBufferPointer(start: from, count: Int(alignment.cigar_count)))
        } else {
            let (left, right) = (Int(alignment.clip_left), Int(alignment.clip_right))
            if left > 0 { result.cigars.append(CigarOperation(.softClip, left).rawValue) }
            result.cigars.append(CigarOperation(.match, Int(alignment.end - alignment.start)).rawValue)
            if right > 0 { result.cigars.append(CigarOperation(.softClip, right).rawValue) }
        }
        let number = index.contig(at: alignment.start + (alignment.end - alignment.start) / 2)
        let contig = index.contigs[number]
        let before = Int(contig.start) - Int(alignment.start)
        let after = Int(alignment.end) - Int(contig.start) - contig.length
        if before > 0 || after > 0 {
            guard ContigEdge.clip(&result.cigars, from: start, before: max(0, before), after: max(0, after)) else {
                result.cigars.removeSubrange(start...)
                return
            }
        }
        mapped.contig = Int32(number)
        mapped.position = Int32(max(0, -before))
        mapped.end = Int32(Int(alignment.end) - Int(contig.start) - max(0, after))
        mapped.score = candidate.plainScore
        mapped.secondScore = secondScore
        mapped.cigarStart = Int32(start)
        mapped.cigarCount = UInt16(result.cigars.count - start)
        mapped.editDistance = UInt16(max(0, Int(alignment.edits) - max(0, before) - max(0, after)))
        if candidate.isReverse { mapped.flags.insert(.reverse) }
        mapped.mappingQuality = UInt8(quality)
        mapped.isRescued = candidate.isRescued
    }
}
