public import GenomicFormats

/// Draws read pairs from a diploid sample as a NovaSeq would: binned qualities (2, 12, 23, 37) that fall towards the
/// end of the read, substitutions with the probability that each quality states, no-calls (N) at quality 2.
public struct ReadSimulator: Sendable {
    public var readLength1 = 150
    public var readLength2 = 150
    public var insertMean = 400.0
    public var insertDeviation = 80.0
    /// Multiplies the share of low qualities, and with them the errors; 1 gives about 0.2 % errors.
    public var errorScale = 1.0
    /// Appends `#contig_haplotype_start1_start2` to the read name: 0-based reference positions of the leftmost base of
    /// each mate, haplotypes 1 and 2. A contig's name may hold `_`, so split from the right.
    public var namesTruth = false
    public var seed: UInt64

    public init(seed: UInt64) { self.seed = seed }

    /// What was drawn, for the summary and for tests.
    public struct Totals: Sendable, Equatable, Codable {
        public var pairs = 0
        public var bases = 0
        /// Bases that differ from the haplotype, no-calls included.
        public var errors = 0
        public init() {}
    }

    /// Writes `pairs` pairs in FASTQ form, a few thousand pairs per call of `emit`.
    ///
    /// - Parameter emit: receives the text of the first and of the second mates; both hold the same number of records.
    public func run(
        sample: DiploidSample, genome: ReferenceGenome, pairs: Int,
        emit: (_ first: [UInt8], _ second: [UInt8]) throws -> Void
    ) rethrows -> Totals {
        let longest = max(readLength1, readLength2)
        let stretches = Self.callableStretches(of: sample, atLeast: longest + 1)
        var totals = Totals()
        guard let last = stretches.last else { return totals }
        var random = RandomStream(seed: seed, lane: 2)
        var first: [UInt8] = []
        var second: [UInt8] = []
        let flushAt = 1 << 20
        first.reserveCapacity(flushAt + 4_096)
        second.reserveCapacity(flushAt + 4_096)
        let profile = QualityProfile(scale: errorScale)
        while totals.pairs < pairs {
            let stretch = Self.stretch(holding: random.below(last.cumulative), in: stretches)
            let drawn = Int((insertMean + insertDeviation * random.standardNormal()).rounded())
            let insert = min(max(drawn, longest), stretch.length)
            let start = stretch.start + random.below(stretch.length - insert + 1)
            let haplotype = sample.haplotypes[stretch.contig][stretch.haplotype]
            let isSwapped = random.chance(0.5)
            let name = name(
                of: totals.pairs, stretch: stretch, start: start, insert: insert, isSwapped: isSwapped,
                haplotype: haplotype, contig: genome.contigs[stretch.contig].name)
            haplotype.bases.withUnsafeBufferPointer { bases in
                let lengths = isSwapped ? (readLength2, readLength1) : (readLength1, readLength2)
                let left = UnsafeBufferPointer(rebasing: bases[start..<start + lengths.0])
                let right = UnsafeBufferPointer(rebasing: bases[start + insert - lengths.1..<start + insert])
                let (one, two) = isSwapped ? (right, left) : (left, right)
                totals.errors += profile.append(
                    one, isReverse: isSwapped, mate: 1, name: name, to: &first, &random)
                totals.errors += profile.append(
                    two, isReverse: !isSwapped, mate: 2, name: name, to: &second, &random)
            }
            totals.pairs += 1
            totals.bases += readLength1 + readLength2
            if max(first.count, second.count) > flushAt {
                try emit(first, second)
                first.removeAll(keepingCapacity: true)
                second.removeAll(keepingCapacity: true)
            }
        }
        if !first.isEmpty { try emit(first, second) }
        return totals
    }

    // MARK: Where fragments come from

    private struct Stretch {
        var contig: Int
        var haplotype: Int
        var start: Int
        var length: Int
        /// The lengths of this stretch and all before it.
        var cumulative: Int
    }

    /// The runs without N of every haplotype: sampling by runs keeps references that are mostly N affordable.
    private static func callableStretches(of sample: DiploidSample, atLeast shortest: Int) -> [Stretch] {
        var stretches: [Stretch] = []
        var total = 0
        for (contig, pair) in sample.haplotypes.enumerated() {
            for (index, haplotype) in pair.enumerated() {
                for run in runsWithoutN(haplotype.bases) where run.count >= shortest {
                    total += run.count
                    stretches.append(
                        Stretch(
                            contig: contig, haplotype: index, start: run.lowerBound, length: run.count,
                            cumulative: total))
                }
            }
        }
        return stretches
    }

    private static func stretch(holding place: Int, in stretches: [Stretch]) -> Stretch {
        var low = 0
        var high = stretches.count - 1
        while low < high {
            let middle = (low + high) / 2
            if stretches[middle].cumulative > place { high = middle } else { low = middle + 1 }
        }
        return stretches[low]
    }

    private func name(
        of pair: Int, stretch: Stretch, start: Int, insert: Int, isSwapped: Bool, haplotype: Haplotype, contig: String
    ) -> String {
        let lane = pair / 40_000_000 % 4 + 1
        let tile = 1_101 + pair / 10_000 % 78 + 1_000 * (pair / 780_000 % 2)
        let name = "A00500:77:HDSGDSIMXX:\(lane):\(tile):\(1_000 + pair % 100 * 313):\(1_000 + pair / 100 % 100 * 347)"
        guard namesTruth else { return name }
        let lengths = isSwapped ? (readLength2, readLength1) : (readLength1, readLength2)
        let left = haplotype.referencePosition(of: start)
        let right = haplotype.referencePosition(of: start + insert - lengths.1)
        let (one, two) = isSwapped ? (right, left) : (left, right)
        return name + "#\(contig)_\(stretch.haplotype + 1)_\(one)_\(two)"
    }
}

/// Qualities by position and the errors that follow from them.
struct QualityProfile {
    let scale: Double

    /// Appends one FASTQ record and returns how many of its bases are wrong or N.
    func append(
        _ template: UnsafeBufferPointer<UInt8>, isReverse: Bool, mate: Int, name: String, to text: inout [UInt8],
        _ random: inout RandomStream
    ) -> Int {
        text.append(UInt8(ascii: "@"))
        text += name.utf8
        text += mate == 1 ? " 1:N:0:ACGTTGCA+TGCAACGT\n".utf8 : " 2:N:0:ACGTTGCA+TGCAACGT\n".utf8
        let length = template.count
        // Second mates are read later in the run, and a few clusters are poor throughout.
        let cluster = scale * (mate == 1 ? 0.9 : 1.2) * (random.chance(0.03) ? 4 : 0.9)
        let ascii: [UInt8] = BaseCode.ascii
        var errors = 0
        let sequenceStart = text.count
        text.append(contentsOf: repeatElement(UInt8(ascii: "\n"), count: 2 * length + 4))
        let separator = sequenceStart + length + 1
        let qualityStart = separator + 2
        text.withUnsafeMutableBufferPointer { out in
            out[separator] = UInt8(ascii: "+")
            for place in 0..<length {
                var base = isReverse ? template[length - 1 - place] : template[place]
                if isReverse && base < 4 { base = 3 - base }
                let draw = random.next()
                let kind = Double(draw >> 40) * 0x1p-24
                let x = Double(place) / Double(length)
                let decline = x * x
                let noCall = cluster * (0.0001 + 0.0006 * decline)
                let poor = noCall + cluster * (0.010 + 0.030 * decline)
                let fair = poor + cluster * (0.030 + 0.060 * decline)
                let quality: UInt8 = kind < noCall ? 2 : kind < poor ? 12 : kind < fair ? 23 : 37
                if quality == 2 {
                    base = BaseCode.n
                    errors += 1
                } else {
                    let error = Double(draw & 0xFFFF_FFFF) * 0x1p-32
                    let chance = quality == 12 ? 0.0630957 : quality == 23 ? 0.0050119 : 0.00019953
                    if error < chance {
                        // The bits between the two draws pick one of the three other bases.
                        base = (base + 1 + UInt8((draw >> 32) & 0xFF) % 3) & 3
                        errors += 1
                    }
                }
                out[sequenceStart + place] = ascii[Int(base)]
                out[qualityStart + place] = quality + 33
            }
        }
        return errors
    }
}

/// The maximal runs of A, C, G and T.
func runsWithoutN(_ bases: [UInt8]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var start: Int?
    for (place, base) in bases.enumerated() {
        if base < 4 {
            if start == nil { start = place }
        } else if let from = start {
            runs.append(from..<place)
            start = nil
        }
    }
    if let from = start { runs.append(from..<bases.count) }
    return runs
}
