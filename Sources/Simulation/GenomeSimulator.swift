public import GenomicFormats

/// How much and how young the repeated sequence of a simulated genome is.
public enum RepeatContent: String, Sendable, Codable, CaseIterable {
    /// 45 % interspersed repeats (copies 3.5-26 % from the consensus), 5 % segmental duplications (1-5 %), 3 % tandem.
    case plain
    /// As `plain`, with a tenth of the families young (0.4-5 %), duplications of 0.2-5 % and 2 % satellite arrays.
    case hard
}

/// Makes a reference genome with the features that make mapping and calling hard: interspersed repeat families,
/// segmental duplications, microsatellites and minisatellites, GC isochores and runs of N.
public struct GenomeSimulator: Sendable {
    public var length: Int
    public var repeatContent: RepeatContent
    public var contigs: Int
    public var seed: UInt64

    /// - Parameters:
    ///   - length: bases in all, shared by the contigs as 3:2:2:... so that they differ; at least 1,000 each.
    public init(length: Int, repeatContent: RepeatContent = .plain, contigs: Int = 2, seed: UInt64) {
        precondition(contigs >= 1 && length / 4 / contigs >= 500, "a contig has at least 1,000 bases")
        self.length = length
        self.repeatContent = repeatContent
        self.contigs = contigs
        self.seed = seed
    }

    public func run() -> ReferenceGenome {
        var random = RandomStream(seed: seed, lane: 1)
        var bases = background(&random)
        interspersedRepeats(&bases, &random)
        segmentalDuplications(&bases, &random)
        tandemRepeats(&bases, &random)
        if repeatContent == .hard { satelliteArrays(&bases, &random) }
        return cut(bases, &random)
    }

    // MARK: Stages

    private func background(_ random: inout RandomStream) -> [UInt8] {
        var bases: [UInt8] = []
        bases.reserveCapacity(length)
        while bases.count < length {
            let block = min(random.uniform(20_000...200_000), length - bases.count)
            let strong = random.uniform(0.35...0.58)
            for _ in 0..<block {
                let bits = random.next()
                let isStrong = Double(bits >> 11) * 0x1p-53 < strong
                let second = UInt8(truncatingIfNeeded: bits & 1)
                bases.append(isStrong ? BaseCode.c + second : (second == 0 ? BaseCode.a : BaseCode.t))
            }
        }
        return bases
    }

    private func interspersedRepeats(_ bases: inout [UInt8], _ random: inout RandomStream) {
        struct Family {
            var consensus: [UInt8]
            var divergence: ClosedRange<Double>
        }
        func families(count: Int, length: Int) -> [Family] {
            (0..<count).map { _ in
                let isYoung = repeatContent == .hard && random.chance(0.1)
                let centre = isYoung ? random.uniform(0.004...0.05) : random.uniform(0.05...0.20)
                let range = isYoung ? 0.8 * centre...1.2 * centre : 0.7 * centre...1.3 * centre
                return Family(consensus: randomSequence(length, &random), divergence: range)
            }
        }
        // Fewer families in a small genome, so that every family still has several copies.
        let short = families(count: min(1_000, max(8, length / 20_000)), length: 300)
        let long = families(count: min(500, max(2, length / 60_000)), length: 6_000)
        let budget = Int(0.45 * Double(length))
        var placed = 0
        while placed < budget {
            let isLong = random.chance(0.2)
            let family = isLong ? long[random.below(long.count)] : short[random.below(short.count)]
            var copy = family.consensus[...]
            if isLong {
                // Copies of long elements lack their 5' end: most are a few hundred to two thousand bases.
                copy = copy.suffix(300 + Int(5_700 * random.unit() * random.unit() * random.unit()))
            }
            var sequence = mutated(copy, rate: random.uniform(family.divergence), &random)
            if random.chance(0.5) { sequence = reverseComplement(sequence) }
            placed += overwrite(&bases, with: sequence, &random)
        }
    }

    private func segmentalDuplications(_ bases: inout [UInt8], _ random: inout RandomStream) {
        let longest = min(100_000, length / 20)
        guard longest >= 1_000 else { return }
        let shortest = min(10_000, longest / 2)
        let budget = length / 20
        var placed = 0
        while placed < budget {
            let size = random.uniform(shortest...longest)
            let source = random.below(length - size)
            let divergence: Double
            if repeatContent == .hard {
                // Log-uniform between 0.2 and 5 %: halve 5 % up to 4.64 times.
                divergence = 0.05 * halved(random.unit() * 4.64)
            } else {
                divergence = random.uniform(0.01...0.05)
            }
            var sequence = mutated(bases[source..<source + size], rate: divergence, &random)
            if random.chance(0.5) { sequence = reverseComplement(sequence) }
            placed += overwrite(&bases, with: sequence, &random)
        }
    }

    private func tandemRepeats(_ bases: inout [UInt8], _ random: inout RandomStream) {
        let budget = Int(0.03 * Double(length))
        var placed = 0
        while placed < budget {
            let isMicrosatellite = random.chance(0.95)
            let unitLength = isMicrosatellite ? random.uniform(1...6) : random.uniform(10...60)
            let copies = isMicrosatellite ? random.uniform(5...40) : random.uniform(4...20)
            let unit = randomSequence(unitLength, &random)
            let purity = isMicrosatellite ? random.uniform(0.0...0.03) : random.uniform(0.01...0.13)
            let array = Array((0..<copies).map { _ in unit }.joined())
            placed += overwrite(&bases, with: mutated(array[...], rate: purity, &random), &random)
        }
    }

    /// Arrays of a 171-base monomer in higher-order repeats, the structure of human alpha satellite.
    private func satelliteArrays(_ bases: inout [UInt8], _ random: inout RandomStream) {
        let monomer = randomSequence(171, &random)
        let budget = length / 50
        let longest = min(500_000, max(2_000, length / 50))
        var placed = 0
        while placed < budget {
            let order = random.uniform(4...16)
            let unit = (0..<order).flatMap { _ in mutated(monomer[...], rate: 0.25, &random) }
            let size = random.uniform(longest / 5...longest)
            var array: [UInt8] = []
            while array.count < size {
                array += mutated(unit[...], rate: random.uniform(0.005...0.02), &random)
            }
            placed += overwrite(&bases, with: array, &random)
        }
    }

    /// Cuts the sequence into contigs and lays runs of N over their ends and, in long contigs, over a gap inside.
    private func cut(_ bases: [UInt8], _ random: inout RandomStream) -> ReferenceGenome {
        let parts = 2 * contigs + 1
        var cuts: [ReferenceGenome.Contig] = []
        var start = 0
        for index in 0..<contigs {
            let end = index == contigs - 1 ? length : start + length * (index == 0 ? 3 : 2) / parts
            var piece = Array(bases[start..<end])
            let telomere = min(1_000, piece.count / 20)
            for place in 0..<telomere {
                piece[place] = BaseCode.n
                piece[piece.count - 1 - place] = BaseCode.n
            }
            if piece.count >= 50_000 {
                let size = random.uniform(200...2_000)
                let at = random.uniform(piece.count / 4...3 * piece.count / 4)
                for place in at..<at + size { piece[place] = BaseCode.n }
            }
            cuts.append(.init(name: "chr\(index + 1)", bases: piece))
            start = end
        }
        return ReferenceGenome(contigs: cuts)
    }

    // MARK: Tools

    private func randomSequence(_ count: Int, _ random: inout RandomStream) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 62) }
    }

    /// A copy with substitutions at `rate` and, one for every ten of them, short insertions or deletions.
    private func mutated(_ sequence: ArraySlice<UInt8>, rate: Double, _ random: inout RandomStream) -> [UInt8] {
        var copy: [UInt8] = []
        copy.reserveCapacity(sequence.count + 16)
        var skip = 0
        for base in sequence {
            if skip > 0 {
                skip -= 1
                continue
            }
            let draw = random.unit()
            if draw < rate * 0.9 {
                copy.append((base + 1 + UInt8(random.below(3))) & 3)
            } else if draw < rate * 0.95 {
                skip = random.uniform(0...4)
            } else if draw < rate {
                copy.append(base)
                copy += randomSequence(random.uniform(1...5), &random)
            } else {
                copy.append(base)
            }
        }
        return copy
    }

    private func overwrite(_ bases: inout [UInt8], with sequence: [UInt8], _ random: inout RandomStream) -> Int {
        guard !sequence.isEmpty, sequence.count < bases.count else { return sequence.count }
        let start = random.below(bases.count - sequence.count)
        bases.replaceSubrange(start..<start + sequence.count, with: sequence)
        return sequence.count
    }

    private func halved(_ times: Double) -> Double {
        var value = 1.0
        var left = times
        while left >= 1 {
            value *= 0.5
            left -= 1
        }
        return value * (1 - 0.5 * left)
    }
}

/// The other strand, read in its own direction; N stays N.
func reverseComplement(_ sequence: some BidirectionalCollection<UInt8>) -> [UInt8] {
    sequence.reversed().map { $0 < 4 ? 3 - $0 : $0 }
}
