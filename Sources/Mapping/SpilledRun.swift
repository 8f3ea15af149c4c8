import CKernels

/// Chunks, written to a spill file in the order of bins, and their signatures in the order of partitions.
struct SpilledRun: Sendable {
    private(set) var reads: [SpillFile.Piece] = []
    private(set) var signatures: [SpillFile.Piece] = []

    /// - Throws: `Failure` when they cannot be written.
    init(
        _ chunks: [StoreChunk], binCount: Int, partitions: SignaturePartitions, file: SpillFile
    ) throws {
        var staging = Staging(file)
        try Self.writeReads(chunks, binCount, &staging)
        reads = try staging.finish()
        try Self.writeSignatures(chunks, partitions, &staging)
        signatures = try staging.finish()
    }

    private static let recordsAhead = 8

    private static func writeReads(_ chunks: [StoreChunk], _ binCount: Int, _ staging: inout Staging) throws {
        var starts = [Int](repeating: 0, count: binCount + 1)
        for chunk in chunks {
            for i in 0..<chunk.count { starts[Int(chunk.notes.pointer[i].bin) + 1] += 1 }
        }
        for bin in 0..<binCount { starts[bin + 1] += starts[bin] }
        let records = LargeBuffer<UInt>(count: starts[binCount])
        var next = starts
        for chunk in chunks {
            for i in 0..<chunk.count {
                let note = chunk.notes.pointer[i]
                records.pointer[next[Int(note.bin)]] = UInt(bitPattern: chunk.record(note))
                next[Int(note.bin)] += 1
            }
        }
        func record(_ rank: Int) -> UnsafeRawPointer {
            UnsafeRawPointer(bitPattern: records.pointer[rank]).unsafelyUnwrapped
        }
        for bin in 0..<binCount where starts[bin] < starts[bin + 1] {
            staging.begin(bin)
            for rank in starts[bin]..<starts[bin + 1] {
                if rank + recordsAhead < records.count { ck_prefetch_bytes(record(rank + recordsAhead), 256) }
                let source = record(rank)
                let bytes = source.load(as: StoredRead.self).byteCount(at: source)
                try staging.append(UnsafeRawBufferPointer(start: source, count: bytes))
            }
        }
    }

    /// A pair whose ends lie in two partitions is written to both.
    private static func writeSignatures(
        _ chunks: [StoreChunk], _ partitions: SignaturePartitions, _ staging: inout Staging
    ) throws {
        let starts = partitions.starts(chunks)
        let sorted = LargeBuffer<TemplateSignature>(count: starts[partitions.count])
        var next = starts
        for chunk in chunks {
            for i in 0..<chunk.signatureCount {
                let signature = chunk.signatures.pointer[i]
                let (first, second) = partitions.ofEnds(signature)
                sorted.pointer[next[first]] = signature
                next[first] += 1
                guard second != first else { continue }
                sorted.pointer[next[second]] = signature
                next[second] += 1
            }
        }
        for partition in 0..<partitions.count where starts[partition] < starts[partition + 1] {
            staging.begin(partition)
            for rank in starts[partition]..<starts[partition + 1] {
                try staging.append(
                    UnsafeRawBufferPointer(
                        start: sorted.pointer + rank, count: MemoryLayout<TemplateSignature>.stride))
            }
        }
    }

    /// Gathers what belongs to one bin after the other, and writes when there is much of it. A piece ends with zeros up
    /// to the cipher's block.
    private struct Staging {
        private let file: SpillFile
        private let buffer = LargeBuffer<UInt8>(count: 4 << 20)
        private var used = 0
        private var pieces: [(bin: UInt32, bytes: Int)] = []
        private var written: [SpillFile.Piece] = []

        init(_ file: SpillFile) { self.file = file }

        mutating func begin(_ bin: Int) {
            pad()
            pieces.append((UInt32(bin), 0))
        }

        mutating func append(_ bytes: UnsafeRawBufferPointer) throws {
            if used + bytes.count + SpillFile.alignment > buffer.count {
                let bin = pieces[pieces.count - 1].bin
                try flush()
                pieces.append((bin, 0))
            }
            UnsafeMutableRawPointer(buffer.pointer + used).copyMemory(
                from: bytes.baseAddress.unsafelyUnwrapped, byteCount: bytes.count)
            used += bytes.count
            pieces[pieces.count - 1].bytes += bytes.count
        }

        private mutating func pad() {
            guard let last = pieces.last else { return }
            let missing = SpillFile.aligned(last.bytes) - last.bytes
            (buffer.pointer + used).update(repeating: 0, count: missing)
            used += missing
            pieces[pieces.count - 1].bytes += missing
        }

        private mutating func flush() throws {
            pad()
            pieces.removeAll { $0.bytes == 0 }
            written += try file.append(UnsafeMutableRawBufferPointer(start: buffer.pointer, count: used), pieces)
            used = 0
            pieces = []
        }

        mutating func finish() throws -> [SpillFile.Piece] {
            if used > 0 { try flush() }
            defer { written = [] }
            return written
        }
    }
}
