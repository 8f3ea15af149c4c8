public import Compression
public import GenomicFormats
public import Mapping
import Foundation

/// Writes alignments as SAM text in input order while reads are being mapped: the observer of a ``MappingRun``.
public final class SAMStream: @unchecked Sendable {
    // `state` guards the sink, the texts that wait and the formatters that rest; a formatter and its text belong to one
    // thread while they are out.

    private struct State {
        var nextOrdinal: UInt64 = 0
        var waiting: [UInt64: (text: ByteBuffer, end: UInt64)] = [:]
        var formatters: [SAMFormatter] = []
        var buffers: [ByteBuffer] = []
        let sink: ByteSink
    }

    private let header: AlignmentHeader
    private let genome: ReferenceGenome
    private let lock = NSLock()
    private var state: State

    /// Writes the header.
    public init(header: AlignmentHeader, genome: ReferenceGenome, sink: @escaping ByteSink) throws {
        self.header = header
        self.genome = genome
        state = State(sink: sink)
        try header.text(.input).withUnsafeBytes { try sink($0) }
    }

    /// Takes the reads of one batch, which has names. Safe from many threads, in any order of batches.
    ///
    /// - Throws: what the sink throws.
    public func write(_ batch: ReadBatch, _ mapped: MappedBatch) throws {
        let (formatter, text) = lock.withLock {
            (
                state.formatters.popLast() ?? SAMFormatter(header: header, genome: genome),
                state.buffers.popLast() ?? ByteBuffer(capacity: 1 << 20)
            )
        }
        text.removeAll()
        mapped.forEachAlignment(of: batch) { formatter.append($0, to: text) }
        try lock.withLock {
            state.formatters.append(formatter)
            state.waiting[batch.firstOrdinal] = (text, batch.firstOrdinal + UInt64(batch.readCount))
            while let (text, end) = state.waiting.removeValue(forKey: state.nextOrdinal) {
                try state.sink(text.bytes)
                state.buffers.append(text)
                state.nextOrdinal = end
            }
        }
    }
}
