/// Families of interspersed repeats: the consensus of each and how far its copies have drifted from it.
struct RepeatFamilies: @unchecked Sendable {
    /// Consensus sequences of one length, end to end. Filled by the initialiser and read-only from then on, which is
    /// what makes them safe to share among threads.
    final class Group {
        let count: Int
        let length: Int
        let consensus: UnsafeMutablePointer<UInt8>
        let divergence: [ClosedRange<Double>]

        init(count: Int, length: Int, youngShare: Double, _ random: inout RandomStream) {
            self.count = count
            self.length = length
            consensus = .allocate(capacity: count * length)
            for place in 0..<count * length { consensus[place] = random.base() }
            divergence = (0..<count).map { _ in
                let isYoung = random.chance(youngShare)
                let centre = isYoung ? random.uniform(0.004...0.05) : random.uniform(0.05...0.20)
                return isYoung ? 0.8 * centre...1.2 * centre : 0.7 * centre...1.3 * centre
            }
        }

        deinit { consensus.deallocate() }
    }

    /// 300 bases, as the short elements of primates.
    let short: Group
    /// 6,000 bases, of which most copies have only the 3' end.
    let long: Group

    init(genomeLength: Int, content: RepeatContent, _ random: inout RandomStream) {
        let youngShare = content == .hard ? 0.1 : 0
        // Fewer families in a small genome, so that every family still has several copies.
        short = Group(
            count: min(1_000, max(8, genomeLength / 20_000)), length: 300, youngShare: youngShare, &random)
        long = Group(
            count: min(500, max(2, genomeLength / 60_000)), length: 6_000, youngShare: youngShare, &random)
    }

    /// Writes one copy of a random family at a random place of `segment` and returns its length.
    func writeCopy(into segment: UnsafeMutableBufferPointer<UInt8>, _ random: inout RandomStream) -> Int {
        let group = random.chance(0.2) ? long : short
        let family = random.below(group.count)
        var count = group.length
        if group === long {
            // Copies of long elements lack their 5' end: most are a few hundred to two thousand bases.
            count = 300 + Int(5_700 * random.unit() * random.unit() * random.unit())
        }
        let source = UnsafeBufferPointer(start: group.consensus + (family + 1) * group.length - count, count: count)
        let gaps = GapSampler(rate: random.uniform(group.divergence[family]))
        let isReverse = random.chance(0.5)
        guard count < segment.count else { return count }
        let start = random.below(segment.count - count)
        let target = UnsafeMutableBufferPointer(rebasing: segment[start...])
        return writeMutated(source, isReverse: isReverse, gaps, into: target, &random)
    }
}

/// Writes a copy of `source`, or of its reverse complement, with changes at the distances that `gaps` draws: nine
/// substitutions for every insertion or deletion of one to five bases. Ends early when `target` is full.
///
/// - Returns: how many bases were written.
func writeMutated(
    _ source: UnsafeBufferPointer<UInt8>, isReverse: Bool, _ gaps: GapSampler,
    into target: UnsafeMutableBufferPointer<UInt8>, _ random: inout RandomStream
) -> Int {
    guard let bases = source.baseAddress, let out = target.baseAddress else { return 0 }
    let count = source.count
    let room = target.count
    var read = 0
    var written = 0
    while read < count, written < room {
        let plain = min(gaps.next(&random), count - read, room - written)
        if isReverse {
            for place in 0..<plain {
                let base = bases[count - 1 - read - place]
                out[written + place] = base < 4 ? 3 - base : base
            }
        } else {
            (out + written).update(from: bases + read, count: plain)
        }
        read += plain
        written += plain
        guard read < count, written < room else { break }
        let kind = random.below(20)
        if kind == 0 {
            read += random.uniform(1...5)
        } else {
            let base = isReverse ? 3 - (bases[count - 1 - read] & 3) : bases[read] & 3
            out[written] = kind == 1 ? base : (base + 1 + UInt8(random.below(3))) & 3
            read += 1
            written += 1
            if kind == 1 {
                for _ in 0..<min(random.uniform(1...5), room - written) {
                    out[written] = random.base()
                    written += 1
                }
            }
        }
    }
    return written
}

extension RandomStream {
    /// One of the four bases.
    @inline(__always)
    mutating func base() -> UInt8 { UInt8(truncatingIfNeeded: next() >> 62) }
}
