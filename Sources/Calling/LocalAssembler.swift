/// De Bruijn graph of a region's reads and reference: finds haplotypes that no single alignment shows.
///
/// Only counts and look-ups decide, never the order of a hash table, so the result is the same in every process.
struct LocalAssembler {
    static let wordLengths = [25, 41, 61]
    /// A path may pass a word of the longest length this often: a duplication longer than the word is a loop.
    static let mostVisits = 2
    static let minimumCount: Int32 = 2
    static let mostPaths = 32
    static let mostSteps = 20_000
    static let longestGrowth = 400
    static let minimumQuality: UInt8 = 10

    private struct Edges {
        var counts: SIMD4<Int32> = .zero
        var reference: UInt8 = 0
    }

    private let wordLength: Int
    private let mask: UInt128
    private var graph: [UInt128: Edges] = [:]

    private init(wordLength: Int) {
        self.wordLength = wordLength
        mask = (UInt128(1) << UInt128(2 * wordLength)) - 1
    }

    /// Haplotypes of the stretch, best supported first, the reference itself left out.
    ///
    /// A tandem duplication is a loop in a graph of shorter words, so longer words are tried when paths are cut off by
    /// one; what the shorter ones found is kept too.
    static func haplotypes(
        reference: [UInt8], reads: [(bases: UnsafeBufferPointer<UInt8>, qualities: UnsafeBufferPointer<UInt8>)],
        most: Int
    ) -> [[UInt8]] {
        var kept: [[UInt8]] = []
        for length in wordLengths where reference.count > length + 2 {
            var assembler = LocalAssembler(wordLength: length)
            guard assembler.add(reference: reference) else { continue }
            for read in reads { assembler.add(read.bases, read.qualities) }
            guard let (paths, hasLoop) = assembler.paths(reference: reference) else { continue }
            let found = paths.map(\.bases).filter { $0 != reference }.prefix(most)
            // Longer words say more: theirs come first.
            kept = found + kept.filter { !found.contains($0) }
            if !hasLoop { break }
        }
        return Array(kept.prefix(most))
    }

    /// False when a word repeats: the graph would have a loop on the reference already.
    private mutating func add(reference: [UInt8]) -> Bool {
        guard reference.allSatisfy({ $0 < 4 }) else { return false }
        var word: UInt128 = 0
        var seen = Set<UInt128>()
        for (index, base) in reference.enumerated() {
            if index >= wordLength { graph[word, default: Edges()].reference |= 1 << base }
            word = (word << 2 | UInt128(base)) & mask
            if index >= wordLength - 1, !seen.insert(word).inserted { return false }
        }
        return true
    }

    private mutating func add(_ bases: UnsafeBufferPointer<UInt8>, _ qualities: UnsafeBufferPointer<UInt8>) {
        var word: UInt128 = 0
        var valid = 0
        for index in bases.indices {
            guard bases[index] < 4, qualities[index] >= Self.minimumQuality else {
                valid = 0
                continue
            }
            if valid >= wordLength { graph[word, default: Edges()].counts[Int(bases[index])] += 1 }
            word = (word << 2 | UInt128(bases[index])) & mask
            valid += 1
        }
    }

    private func word(_ bases: ArraySlice<UInt8>) -> UInt128 {
        bases.reduce(0) { ($0 << 2 | UInt128($1)) & mask }
    }

    /// The paths from the first to the last word of the reference, and whether a loop cut one off; nil when the graph
    /// is too tangled.
    private func paths(reference: [UInt8]) -> (paths: [(bases: [UInt8], support: Int32)], hasLoop: Bool)? {
        struct Step {
            var word: UInt128
            var support: Int32
            var branches: [(base: UInt8, count: Int32)]
            var next = 0
        }
        let last = word(reference.suffix(wordLength))
        let first = word(reference.prefix(wordLength))
        var found: [(bases: [UInt8], support: Int32)] = []
        var bases = Array(reference.prefix(wordLength))
        let mostVisits = wordLength == Self.wordLengths.last ? Self.mostVisits : 1
        var visits: [UInt128: Int] = [first: 1]
        var hasLoop = false
        var stack = [Step(word: first, support: .max, branches: branches(first))]
        var steps = 0
        while var top = stack.popLast() {
            if top.next == top.branches.count {
                visits[top.word, default: 1] -= 1
                bases.removeLast()
                continue
            }
            let (base, count) = top.branches[top.next]
            top.next += 1
            stack.append(top)
            let following = (top.word << 2 | UInt128(base)) & mask
            steps += 1
            guard steps < Self.mostSteps else { return nil }
            guard visits[following, default: 0] < mostVisits else {
                hasLoop = true
                continue
            }
            guard bases.count < reference.count + Self.longestGrowth else { continue }
            let support = min(top.support, count)
            if following == last {
                found.append((bases + [base], support))
                guard found.count < Self.mostPaths else { return nil }
                continue
            }
            bases.append(base)
            visits[following, default: 0] += 1
            stack.append(Step(word: following, support: support, branches: branches(following)))
        }
        return (found.sorted { ($0.support, $1.bases.count) > ($1.support, $0.bases.count) }, hasLoop)
    }

    private func branches(_ word: UInt128) -> [(base: UInt8, count: Int32)] {
        guard let edges = graph[word] else { return [] }
        let total = edges.counts.wrappedSum()
        return (0..<4).compactMap { base -> (base: UInt8, count: Int32)? in
            let count = edges.counts[base]
            let isReference = edges.reference >> UInt8(base) & 1 == 1
            guard isReference || (count >= Self.minimumCount && count * 12 >= total) else { return nil }
            return (UInt8(base), max(count, isReference ? 1 : 0))
        }.sorted { ($0.count, $1.base) > ($1.count, $0.base) }
    }
}
