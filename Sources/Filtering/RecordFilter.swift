import Compression
import Diagnostics
import GenomicFormats

/// Applies decisions to a stream of whole VCF lines: the one path that every use of the filter goes through.
final class RecordFilter {
    let label: String
    private(set) var counts = FilterCounts()
    // Memory of their own: the compiler then need not guard every access to a class's properties, once for each record.
    private let scannerMemory: UnsafeMutablePointer<VCFRecordScanner>
    private let deciderMemory: UnsafeMutablePointer<RecordDecider>
    private let editorMemory: UnsafeMutablePointer<RecordEditor>
    private let requiresOrder: Bool
    /// Edited lines that wait to be written, and the part of the input that goes out as it is.
    private var scratch: [UInt8] = []
    private var waiting: [(start: Int, line: [UInt8])] = []
    private var waitingContig = -1

    init(_ filter: VCFFilter, input: VCFHeader, output: OutputHeader, label: String) {
        self.label = label
        scannerMemory = .allocate(capacity: 1)
        scannerMemory.initialize(to: VCFRecordScanner(header: input, label: label))
        deciderMemory = .allocate(capacity: 1)
        deciderMemory.initialize(
            to: RecordDecider(selection: filter.selection, rule: filter.overlap, splitsAlleles: filter.discloses))
        editorMemory = .allocate(capacity: 1)
        editorMemory.initialize(to: RecordEditor(input: input, output: output, fields: filter.fields))
        requiresOrder = filter.requiresSortedInput
    }

    deinit {
        scannerMemory.deinitialize(count: 1)
        scannerMemory.deallocate()
        deciderMemory.deinitialize(count: 1)
        deciderMemory.deallocate()
        editorMemory.deinitialize(count: 1)
        editorMemory.deallocate()
    }

    /// Filters whole lines; a last line without line end counts only when `isLast`. Returns the bytes used.
    func process(_ bytes: UnsafeRawBufferPointer, isLast: Bool, emit: ByteSink) throws -> Int {
        var at = 0
        // Neighbouring records that pass whole go out in one piece.
        var runStart = 0
        var runEnd = 0
        func flushRun() throws {
            if runEnd > runStart { try emit(UnsafeRawBufferPointer(rebasing: bytes[runStart..<runEnd])) }
            runStart = runEnd
        }
        func flushScratch() throws {
            if !scratch.isEmpty { try scratch.withUnsafeBytes { try emit($0) } }
            scratch.removeAll(keepingCapacity: true)
        }
        while at < bytes.count {
            guard let end = Bytes.find(10, in: bytes, from: at) ?? (isLast ? bytes.count : nil) else { break }
            let record = try scannerMemory.pointee.scan(UnsafeRawBufferPointer(rebasing: bytes[at..<end]))
            if !scannerMemory.pointee.isSorted && requiresOrder {
                throw scannerMemory.pointee.failure("records are not sorted", "sort the file with bcftools sort")
            }
            counts.recordsIn += 1
            let decision = deciderMemory.pointee.decide(record, contigNames: scannerMemory.pointee.contigNames)
            if !waiting.isEmpty { releasePieces(before: record) }
            let isWhole = end < bytes.count && record.line.count == end - at
            switch decision {
            case .withhold: counts.withheld += 1
            case .pass:
                try scannerMemory.pointee.checkGenotypes(of: record)
                counts.recordsOut += 1
                if editorMemory.pointee.isIdentity && isWhole && scratch.isEmpty {
                    if runEnd != at {
                        try flushRun()
                        runStart = at
                    }
                    runEnd = end + 1
                } else {
                    try flushRun()
                    if editorMemory.pointee.isIdentity {
                        scratch.append(contentsOf: record.line)
                        scratch.append(10)
                    } else {
                        editorMemory.pointee.write(record, allowed: nil, piece: nil, to: &scratch)
                    }
                }
            case .alleles(let allowed):
                try scannerMemory.pointee.checkGenotypes(of: record)
                try flushRun()
                counts.recordsOut += 1
                counts.altered += 1
                editorMemory.pointee.write(record, allowed: allowed, piece: nil, to: &scratch)
            case .pieces(let pieces):
                try scannerMemory.pointee.checkGenotypes(of: record)
                try flushRun()
                counts.altered += 1
                try keep(pieces, of: record)
                releasePieces(before: record)
            }
            // Runs are copied as they are, edited lines in groups; neither may overtake the other.
            if scratch.count > 1 << 16 || (editorMemory.pointee.isIdentity && !scratch.isEmpty) {
                try flushRun()
                try flushScratch()
            }
            at = end + 1
        }
        try flushRun()
        if isLast { releaseAllPieces() }
        try flushScratch()
        return min(at, bytes.count)
    }

    private func keep(_ pieces: [Range<Int>], of record: VCFRecord) throws {
        for piece in pieces {
            var line: [UInt8] = []
            editorMemory.pointee.write(record, allowed: nil, piece: piece, to: &line)
            let place = waiting.lastIndex { $0.start <= piece.lowerBound }.map { $0 + 1 } ?? 0
            waiting.insert((piece.lowerBound, line), at: place)
        }
        waitingContig = record.contig
    }

    /// Pieces of a block wait until no record can come before them.
    private func releasePieces(before record: VCFRecord) {
        if record.contig != waitingContig { return releaseAllPieces() }
        var released = 0
        while released < waiting.count, waiting[released].start <= record.position - 1 {
            scratch.append(contentsOf: waiting[released].line)
            released += 1
        }
        counts.recordsOut += released
        waiting.removeFirst(released)
    }

    private func releaseAllPieces() {
        for piece in waiting { scratch.append(contentsOf: piece.line) }
        counts.recordsOut += waiting.count
        waiting.removeAll()
    }
}
