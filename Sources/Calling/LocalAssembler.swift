/// De Bruijn graph of a region's reads and reference: finds haplotypes that no single alignment shows.
///
/// Only counts and look-ups decide, never the order of a hash table, so the result is the same in every process.
struct LocalAssembler {
    static let wordLengths = [25, 41, 61]
    /// A path may pass a word this often: a tandem duplication is a loop that is passed twice.
    static let mostVisits: UInt8 = 2
    static let minimumCount: Int32 = 2
    static let mostPaths = 32
    static let mostSteps = 20_000
    static let longestGrowth = 400
    static let minimumQuality: UInt8 = 10

    private let wordLength: Int
    private let mask: UInt128
    private var graph = WordTable()

    private init(wordLength: Int) {
        self.wordLength = wordLength
        mask = (UInt128(1) << UInt128(2 * wordLength)) - 1
    }

    /// Haplotypes of the stretch, best supported first, the reference itself left out; nil when the reference repeats
    /// itself too much for all lengths of words.
    ///
    /// Longer words are tried when paths are cut off by a loop; what the shorter ones found is kept too.
    static func haplotypes(
        reference: [UInt8], reads: [(bases: UnsafeBufferPointer<UInt8>, qualities: UnsafeBufferPointer<UInt8>)],
        most: Int
    ) -> [[UInt8]]? {
        var kept: [[UInt8]]?
        for length in wordLengths where reference.count > length + 2 {
            var assembler = LocalAssembler(wordLength: length)
            guard assembler.add(reference: reference) else { continue }
            for read in reads { assembler.add(read.bases, read.qualities) }
            guard let (paths, hasLoop) = assembler.paths(reference: reference) else { continue }
            let found = paths.map(\.bases).filter { $0 != reference }.prefix(most)
            // Longer words say more: theirs come first.
            kept = found + (kept ?? []).filter { !found.contains($0) }
            if !hasLoop { break }
        }
        return kept.map { Array($0.prefix(most)) }
    }

    /// False when a word repeats more often than a path may pass it, or an end of the stretch is not unique.
    private mutating func add(reference: [UInt8]) -> Bool {
        guard reference.allSatisfy({ $0 < 4 }) else { return false }
        var word: UInt128 = 0
        for (index, base) in reference.enumerated() {
            if index >= wordLength { graph.edges[graph.insert(word)].reference |= 1 << base }
            word = (word << 2 | UInt128(base)) & mask
            guard index >= wordLength - 1 else { continue }
            let slot = graph.insert(word)
            guard graph.edges[slot].visits < Self.mostVisits else { return false }
            graph.edges[slot].visits += 1
        }
        let ends = [reference.prefix(wordLength), reference.suffix(wordLength)].map { graph.insert(self.word($0)) }
        guard ends.allSatisfy({ graph.edges[$0].visits == 1 }) else { return false }
        graph.clearVisits()
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
            if valid >= wordLength { graph.edges[graph.insert(word)].counts[Int(bases[index])] += 1 }
            word = (word << 2 | UInt128(bases[index])) & mask
            valid += 1
        }
    }

    private func word(_ bases: ArraySlice<UInt8>) -> UInt128 {
        bases.reduce(0) { ($0 << 2 | UInt128($1)) & mask }
    }

    /// The paths from the first to the last word of the reference, and whether a loop cut one off; nil when the graph
    /// is too tangled.
    private mutating func paths(
        reference: [UInt8]
    ) -> (paths: [(bases: [UInt8], support: Int32)], hasLoop: Bool)? {
        struct Step {
            var word: UInt128
            var slot: Int
            var support: Int32
            var branches: [(base: UInt8, count: Int32)]
            var next = 0
        }
        let last = word(reference.suffix(wordLength))
        let first = word(reference.prefix(wordLength))
        var found: [(bases: [UInt8], support: Int32)] = []
        var bases = Array(reference.prefix(wordLength))
        let start = graph.insert(first)
        graph.edges[start].visits = 1
        var hasLoop = false
        var stack = [Step(word: first, slot: start, support: .max, branches: branches(start))]
        var steps = 0
        while var top = stack.popLast() {
            if top.next == top.branches.count {
                graph.edges[top.slot].visits -= 1
                bases.removeLast()
                continue
            }
            let (base, count) = top.branches[top.next]
            top.next += 1
            let following = (top.word << 2 | UInt128(base)) & mask
            let support = min(top.support, count)
            stack.append(top)
            steps += 1
            guard steps < Self.mostSteps else { return nil }
            if following == last {
                found.append((bases + [base], support))
                guard found.count < Self.mostPaths else { return nil }
                continue
            }
            // The last base of a read leads to a word from which no read goes on.
            guard let slot = graph.find(following) else { continue }
            guard graph.edges[slot].visits < Self.mostVisits else {
                hasLoop = true
                continue
            }
            guard bases.count < reference.count + Self.longestGrowth else { continue }
            bases.append(base)
            graph.edges[slot].visits += 1
            stack.append(Step(word: following, slot: slot, support: support, branches: branches(slot)))
        }
        return (found.sorted { ($0.support, $1.bases.count) > ($1.support, $0.bases.count) }, hasLoop)
    }

    private func branches(_ slot: Int) -> [(base: UInt8, count: Int32)] {
        let edges = graph.edges[slot]
        let total = edges.counts.wrappedSum()
        return (0..<4).compactMap { base -> (base: UInt8, count: Int32)? in
            let count = edges.counts[base]
            let isReference = edges.reference >> UInt8(base) & 1 == 1
            guard isReference || (count >= Self.minimumCount && count * 12 >= total) else { return nil }
            return (UInt8(base), max(count, isReference ? 1 : 0))
        }.sorted { ($0.count, $1.base) > ($1.count, $0.base) }
    }
}

/// The words of a graph with what follows them, in a table with open addressing.
private struct WordTable {
    struct Edges {
        /// Reads that go on from the word, by the next base.
        var counts: SIMD4<Int32> = .zero
        /// Bit by next base of the reference.
        var reference: UInt8 = 0
        /// How often the path at hand passes the word.
        var visits: UInt8 = 0
    }

    /// No word has this value: the longest one has 122 bits.
    private static let empty = UInt128.max

    private var words = [UInt128](repeating: empty, count: 2048)
    /// By slot; slots move when words are inserted.
    var edges = [Edges](repeating: Edges(), count: 2048)
    private var count = 0

    private func slot(_ word: UInt128) -> Int {
        let (low, high) = (UInt64(truncatingIfNeeded: word), UInt64(truncatingIfNeeded: word >> 64))
        let mixed = (low ^ (high &* 0x9E37_79B9_7F4A_7C15)) &* 0xBF58_476D_1CE4_E5B9
        var place = Int(truncatingIfNeeded: mixed >> 32) & (words.count - 1)
        while words[place] != word, words[place] != Self.empty { place = (place + 1) & (words.count - 1) }
        return place
    }

    func find(_ word: UInt128) -> Int? {
        let place = slot(word)
        return words[place] == Self.empty ? nil : place
    }

    /// The slot of a word, which is added when it is not there.
    mutating func insert(_ word: UInt128) -> Int {
        let place = slot(word)
        guard words[place] == Self.empty else { return place }
        if 2 * count >= words.count {
            grow()
            return insert(word)
        }
        words[place] = word
        count += 1
        return place
    }

    mutating func clearVisits() {
        for place in edges.indices { edges[place].visits = 0 }
    }

    private mutating func grow() {
        let (oldWords, oldEdges) = (words, edges)
        words = [UInt128](repeating: Self.empty, count: 2 * oldWords.count)
        edges = [Edges](repeating: Edges(), count: 2 * oldWords.count)
        for (word, edge) in zip(oldWords, oldEdges) where word != Self.empty {
            let place = slot(word)
            words[place] = word
            edges[place] = edge
        }
    }
}
