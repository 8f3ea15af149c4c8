import Compression
import GenomicFormats
import Threads

/// One group of blocks and what the crew makes of it. The pipeline has it before and after, one worker meanwhile.
final class FilterSlot: @unchecked Sendable {
    let group: BGZFGroup
    /// Where the first line begins, when that is known; otherwise it begins behind the first LF.
    let lineStart: Int?
    /// The bytes of whole lines.
    private(set) var lines = 0..<0
    private(set) var hasLines = false
    private(set) var part: FilteredPart?
    private(set) var inflateSeconds = 0.0
    var piece: Crew.Piece?

    init(_ group: BGZFGroup, lineStart: Int?) {
        self.group = group
        self.lineStart = lineStart
    }

    /// What it counts for among the work that waits.
    var blocks: Int { max(1, group.blockCount) }

    /// Inflates the group and filters its lines. On any thread.
    func work(_ inflater: BGZFBlockInflater, _ filter: PartFilter, label: String) {
        let began = threadSeconds()
        group.inflate(with: inflater, label: label)
        let inflated = threadSeconds()
        inflateSeconds = inflated - began
        let plain = group.plain
        let start = lineStart ?? Bytes.find(10, in: plain, from: 0).map { $0 + 1 } ?? plain.count + 1
        var end = plain.count
        while end > 0 && plain[end - 1] != 10 { end -= 1 }
        guard start <= end else { return }
        hasLines = true
        lines = start..<end
        guard start < end else { return }
        let part = filter.filter(UnsafeRawBufferPointer(rebasing: plain[start..<end]))
        part.gather(from: UnsafeRawBufferPointer(rebasing: plain[start..<end])) { [group] segment in
            group.holdsWholeBlock(start + segment.lowerBound..<start + segment.upperBound)
        }
        part.seconds = threadSeconds() - inflated
        self.part = part
    }
}

/// Gathers small pieces of plain output.
final class PlainWriter {
    private static let capacity = 1 << 18

    private let sink: ByteSink
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: PlainWriter.capacity, alignment: 64)
    private var fill = 0

    init(_ sink: @escaping ByteSink) { self.sink = sink }

    deinit { buffer.deallocate() }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        if fill + bytes.count > buffer.count { try flush() }
        guard bytes.count < buffer.count / 4 else {
            try flush()
            return try sink(bytes)
        }
        UnsafeMutableRawBufferPointer(rebasing: buffer[fill...]).copyMemory(from: bytes)
        fill += bytes.count
    }

    func flush() throws {
        guard fill > 0 else { return }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[0..<fill])
        fill = 0
        try sink(bytes)
    }
}
