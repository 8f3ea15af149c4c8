/// Stretches of the reference by which the signatures of templates are gathered, so that no more of them than some
/// neighbouring ones need be in memory to mark duplicates.
struct SignaturePartitions: Sendable {
    private static let binsPerPartition = 16

    let contigLengths: [Int]
    let firstBinOfContig: [Int]
    let binCount: Int

    var count: Int { (binCount + Self.binsPerPartition - 1) / Self.binsPerPartition }

    func ofEnd(_ end: UInt64) -> Int {
        let (contig, position) = TemplateSignature.place(ofEnd: end)
        let inside = min(max(0, position), max(0, contigLengths[contig] - 1))
        return (firstBinOfContig[contig] + inside / ReadStore.binSpan) / Self.binsPerPartition
    }

    /// The partitions where a template has an end; twice the same when it has one end.
    func ofEnds(_ signature: TemplateSignature) -> (Int, Int) {
        let first = ofEnd(signature.first)
        return (first, signature.isPair ? ofEnd(signature.second) : first)
    }

    /// How many signatures lie before each partition; a pair counts in both of its partitions.
    func starts(_ chunks: [StoreChunk]) -> [Int] {
        var starts = [Int](repeating: 0, count: count + 1)
        for chunk in chunks {
            for i in 0..<chunk.signatureCount {
                let (first, second) = ofEnds(chunk.signatures.pointer[i])
                starts[first + 1] += 1
                if second != first { starts[second + 1] += 1 }
            }
        }
        for partition in 0..<count { starts[partition + 1] += starts[partition] }
        return starts
    }
}

/// The signatures of a store: those of chunks in memory, or of runs in the spill file.
struct SignatureSource: Sendable {
    private static let bytesEach = MemoryLayout<TemplateSignature>.stride

    private let chunks: [StoreChunk]
    private let partitions: SignaturePartitions
    private let file: SpillFile?
    /// By partition.
    private let pieces: [SpillFile.Piece]
    /// How many signatures lie before each partition, about.
    private let starts: [Int]

    init(chunks: [StoreChunk], runs: [SpilledRun], file: SpillFile?, partitions: SignaturePartitions) {
        self.chunks = chunks
        self.partitions = partitions
        self.file = file
        pieces = runs.flatMap(\.signatures).sorted { ($0.bin, $0.place) < ($1.bin, $1.place) }
        var starts = partitions.starts(chunks)
        var before = 0
        var next = 0
        for partition in 0..<partitions.count {
            starts[partition] += before
            while next < pieces.count && pieces[next].bin == partition {
                before += Int(pieces[next].byteCount) / Self.bytesEach
                next += 1
            }
        }
        starts[partitions.count] += before
        self.starts = starts
    }

    /// Neighbouring partitions that together have about as many signatures as others, at most `mostBytes` of them where
    /// a single partition has no more.
    func parts(atLeast count: Int, mostBytes: Int) -> [Range<Int>] {
        let bytes = starts[partitions.count] * Self.bytesEach
        let borders = evenBorders(starts, count: max(count, 2 * bytes / mostBytes + 1))
        return zip(borders, borders.dropFirst()).map { $0..<$1 }
    }

    /// Ordinals of the duplicates among templates whose first end lies in `part`.
    func duplicates(_ part: Range<Int>) throws -> [UInt64] {
        TemplateSignature.duplicates(try signatures(part)) { part.contains(partitions.ofEnd($0)) }
    }

    /// Templates with an end in `part`, each once.
    private func signatures(_ part: Range<Int>) throws -> [TemplateSignature] {
        var found: [TemplateSignature] = []
        for chunk in chunks {
            for i in 0..<chunk.signatureCount {
                let signature = chunk.signatures.pointer[i]
                let (first, second) = partitions.ofEnds(signature)
                if part.contains(first) || part.contains(second) { found.append(signature) }
            }
        }
        guard let file else { return found }
        var low = pieces.partitioningIndex { Int($0.bin) >= part.lowerBound }
        while low < pieces.count && Int(pieces[low].bin) < part.upperBound {
            let piece = pieces[low]
            low += 1
            let bytes = LargeBuffer<UInt8>(count: Int(piece.byteCount))
            try file.read([piece], into: UnsafeMutableRawBufferPointer(start: bytes.pointer, count: bytes.count))
            for i in 0..<bytes.count / Self.bytesEach {
                let signature = UnsafeRawPointer(bytes.pointer).load(
                    fromByteOffset: i * Self.bytesEach, as: TemplateSignature.self)
                // A pair with both ends in this part lies in two of its partitions; it is taken where its first end is.
                let first = partitions.ofEnd(signature.first)
                if first == Int(piece.bin) || !part.contains(first) { found.append(signature) }
            }
        }
        return found
    }
}

extension Array {
    /// The first index at which `isBehind` holds; it holds from there on.
    func partitioningIndex(_ isBehind: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
