/// The binning scheme of BAI, tabix and CSI (SAMv1 section 5, CSIv1): bins of 2^14 bases, each level above eight times
/// as wide.
public struct BinningScheme: Sendable, Equatable {
    public static let smallestShift = 14

    /// Levels above the smallest bins.
    public let depth: Int

    public init(depth: Int) { self.depth = depth }

    /// Contigs up to 2^29 bases: what BAI and tabix have.
    public static let standard = BinningScheme(depth: 5)

    /// The fewest levels, at least those of ``standard``, that hold a contig of `length` bases.
    public init(holding length: Int) {
        var depth = BinningScheme.standard.depth
        while length > 1 << (Self.smallestShift + 3 * depth) { depth += 1 }
        self.depth = depth
    }

    /// One past the last base that has a bin.
    public var limit: Int { 1 << (Self.smallestShift + 3 * depth) }

    /// The bin that holds what no read or record has: contents by contig, for `samtools idxstats` and its like.
    public var metadataBin: UInt32 { firstBin(ofLevel: depth + 1) + 1 }

    private func firstBin(ofLevel level: Int) -> UInt32 { UInt32(((1 << (3 * level)) - 1) / 7) }

    /// The smallest bin that holds the zero-based bases `from` to `last`.
    public func bin(_ from: Int, _ last: Int) -> UInt32 {
        var shift = Self.smallestShift
        for level in stride(from: depth, to: 0, by: -1) {
            if from >> shift == last >> shift { return firstBin(ofLevel: level) + UInt32(from >> shift) }
            shift += 3
        }
        return 0
    }

    /// The first base of a bin.
    func start(ofBin bin: UInt32) -> Int {
        var level = 0
        while level < depth, bin >= firstBin(ofLevel: level + 1) { level += 1 }
        return Int(bin - firstBin(ofLevel: level)) << (Self.smallestShift + 3 * (depth - level))
    }
}

/// The bins, chunks and windows of one contig, filled with records in the order of their positions.
///
/// Offsets may be any numbers that grow through the file; `block` says which BGZF block one lies in, and offsets become
/// virtual offsets when the index is written.
public struct ContigBins: Sendable {
    struct Chunk {
        var start: UInt64
        var end: UInt64
    }

    private let scheme: BinningScheme
    private(set) var bins: [UInt32: [Chunk]] = [:]
    /// The first offset of a record that touches each 2^14 bases; `.max` where there is none.
    private(set) var windows: [UInt64] = []
    private(set) var firstOffset: UInt64 = 0
    private(set) var lastOffset: UInt64 = 0
    private var openBin: UInt32 = .max
    private var openChunk = Chunk(start: 0, end: 0)

    public init(scheme: BinningScheme, firstOffset: UInt64) {
        self.scheme = scheme
        self.firstOffset = firstOffset
    }

    /// Adds a record that covers the zero-based bases `from` to `last` and lies at `startOffset ..< endOffset`.
    public mutating func add(
        from: Int, last: Int, startOffset: UInt64, endOffset: UInt64, block: (UInt64) -> UInt64
    ) {
        let bin = scheme.bin(from, last)
        if bin != openBin {
            close(block: block)
            openBin = bin
            openChunk = Chunk(start: startOffset, end: endOffset)
        } else {
            openChunk.end = endOffset
        }
        let window = last >> BinningScheme.smallestShift
        if windows.count <= window {
            windows.append(contentsOf: repeatElement(.max, count: window + 1 - windows.count))
        }
        for touched in from >> BinningScheme.smallestShift...window where windows[touched] == .max {
            windows[touched] = startOffset
        }
        lastOffset = endOffset
    }

    /// Ends the last chunk. Chunks of a bin that meet in one block are one.
    public mutating func close(block: (UInt64) -> UInt64) {
        guard openBin != .max else { return }
        var chunks = bins[openBin] ?? []
        if let last = chunks.indices.last, block(chunks[last].end) >= block(openChunk.start) {
            chunks[last].end = openChunk.end
        } else {
            chunks.append(openChunk)
        }
        bins[openBin] = chunks
        openBin = .max
    }

    /// Appends the contig's part of an index: bins with their chunks, the bin of contents, and the windows (in CSI, each
    /// bin's own first offset instead).
    ///
    /// - Parameters:
    ///   - counts: what the bin of contents says: mapped and unmapped records.
    ///   - virtualOffset: the virtual offset of an offset that was added.
    public func write(
        to out: inout IndexBytes, isCSI: Bool, counts: (mapped: UInt64, unmapped: UInt64),
        virtualOffset: (UInt64) -> UInt64
    ) {
        // A window without records takes the offset of the one before.
        var offsets = windows
        var before = firstOffset
        for window in offsets.indices {
            if offsets[window] != .max { before = offsets[window] }
            offsets[window] = before
        }
        func offset(ofBin bin: UInt32) -> UInt64 {
            let window = scheme.start(ofBin: bin) >> BinningScheme.smallestShift
            return window < offsets.count ? virtualOffset(offsets[window]) : 0
        }
        out.put(bins.count + 1)
        for (bin, chunks) in bins.sorted(by: { $0.key < $1.key }) {
            out.put(Int(bin))
            if isCSI { out.put(offset(ofBin: bin)) }
            out.put(chunks.count)
            for chunk in chunks {
                out.put(virtualOffset(chunk.start))
                out.put(virtualOffset(chunk.end))
            }
        }
        out.put(Int(scheme.metadataBin))
        if isCSI { out.put(UInt64(0)) }
        out.put(2)
        out.put(virtualOffset(firstOffset))
        out.put(virtualOffset(lastOffset))
        out.put(counts.mapped)
        out.put(counts.unmapped)
        guard !isCSI else { return }
        out.put(offsets.count)
        for offset in offsets { out.put(virtualOffset(offset)) }
    }
}

/// The little-endian numbers of an index file.
public struct IndexBytes: Sendable {
    public private(set) var bytes: [UInt8]

    public init(magic: String) { bytes = Array(magic.utf8) }

    /// As 32 bits.
    public mutating func put(_ value: Int) {
        withUnsafeBytes(of: Int32(value).littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func put(_ value: UInt64) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func put(_ text: [UInt8]) { bytes.append(contentsOf: text) }
}
