import Diagnostics
import Dispatch
import Foundation

/// The bins of a store whose reads were spilled: read back when they are asked for, the next one ahead of its time, and
/// kept while memory allows.
final class SpilledBins: @unchecked Sendable {
    // `state` guards `loaded`, `loading`, `bytes` and `clock`; the rest never changes.

    /// One bin in memory. Only read after its initialiser.
    private final class Loaded: @unchecked Sendable {
        let records: LargeBuffer<UInt8>
        let notes: LargeBuffer<ReadNote>
        let longestSpan: Int

        init(_ pieces: ArraySlice<SpillFile.Piece>, _ file: SpillFile, _ isDuplicate: (UInt64) -> Bool) throws {
            let bytes = pieces.reduce(0) { $0 + Int($1.byteCount) }
            records = LargeBuffer(count: bytes)
            try file.read(pieces, into: UnsafeMutableRawBufferPointer(start: records.pointer, count: bytes))
            var count = 0
            Self.forEachRecord(pieces, UnsafeRawPointer(records.pointer)) { _, _ in count += 1 }
            let notes = LargeBuffer<ReadNote>(count: count)
            var rank = 0
            var longest = 0
            Self.forEachRecord(pieces, UnsafeRawPointer(records.pointer)) { stored, record in
                let span = stored.span(at: record)
                notes.pointer[rank] = ReadNote(
                    place: Int(stored.position) % ReadStore.binSpan, ordinal: stored.ordinal, record: record,
                    span: span, isDuplicate: isDuplicate(stored.ordinal))
                rank += 1
                longest = max(longest, span)
            }
            longestSpan = longest
            self.notes = notes
            ReadBin.sort(notes.pointer, count: count)
        }

        private static func forEachRecord(
            _ pieces: ArraySlice<SpillFile.Piece>, _ records: UnsafeRawPointer,
            _ body: (StoredRead, UnsafeRawPointer) -> Void
        ) {
            var next = records
            for piece in pieces {
                let end = next + Int(piece.byteCount)
                // What is left at the end of a piece fills the cipher's block.
                while end - next >= StoredRead.headerBytes {
                    let stored = next.load(as: StoredRead.self)
                    body(stored, next)
                    next += stored.byteCount(at: next)
                }
                next = end
            }
        }

        var byteCount: Int { records.byteCount + notes.byteCount }

        var bin: ReadBin {
            ReadBin(notes: UnsafePointer(notes.pointer), count: notes.count, longestSpan: longestSpan, owner: self)
        }
    }

    private let file: SpillFile
    private let isDuplicate: @Sendable (UInt64) -> Bool
    private let memory: Int
    private let leastBins: Int
    /// By bin.
    private let pieces: [SpillFile.Piece]
    /// Where each bin's pieces begin; one more than there are bins.
    private let starts: [Int]
    private let state = NSCondition()
    private var loaded: [Int: (bin: Loaded, used: Int)] = [:]
    private var loading: Set<Int> = []
    private var bytes = 0
    private var clock = 0
    private let ahead = DispatchQueue(label: "dsgd-read-ahead")

    /// - Parameters:
    ///   - memory: bytes of bins that are kept, as long as `leastBins` are.
    init(
        file: SpillFile, runs: [SpilledRun], binCount: Int, memory: Int, leastBins: Int,
        isDuplicate: @escaping @Sendable (UInt64) -> Bool
    ) {
        self.file = file
        self.memory = memory
        self.leastBins = leastBins
        self.isDuplicate = isDuplicate
        var starts = [Int](repeating: 0, count: binCount + 1)
        for run in runs { for piece in run.reads { starts[Int(piece.bin) + 1] += 1 } }
        for bin in 0..<binCount { starts[bin + 1] += starts[bin] }
        self.starts = starts
        pieces = runs.flatMap(\.reads).sorted { ($0.bin, $0.place) < ($1.bin, $1.place) }
    }

    /// - Throws: `Failure` when the bin cannot be read back.
    func bin(_ bin: Int) throws -> ReadBin {
        let found = try load(bin)
        let next = bin + 1
        guard next + 1 < starts.count, starts[next] < starts[next + 1] else { return found.bin }
        state.lock()
        let isKnown = loaded[next] != nil || loading.contains(next)
        state.unlock()
        // Whoever asks for the next bin meets the failure that is passed over here.
        if !isKnown { ahead.async { [weak self] in _ = try? self?.load(next) } }
        return found.bin
    }

    private func load(_ bin: Int) throws -> Loaded {
        state.lock()
        while true {
            if let known = loaded[bin] {
                clock += 1
                loaded[bin] = (known.bin, clock)
                state.unlock()
                return known.bin
            }
            if !loading.contains(bin) { break }
            state.wait()
        }
        loading.insert(bin)
        state.unlock()
        let result = Swift.Result { try Loaded(pieces[starts[bin]..<starts[bin + 1]], file, isDuplicate) }
        state.lock()
        defer {
            state.broadcast()
            state.unlock()
        }
        loading.remove(bin)
        let fresh = try result.get()
        clock += 1
        loaded[bin] = (fresh, clock)
        bytes += fresh.byteCount
        while bytes > memory, loaded.count > leastBins, let oldest = loaded.min(by: { $0.value.used < $1.value.used }) {
            bytes -= oldest.value.bin.byteCount
            loaded[oldest.key] = nil
        }
        return fresh
    }
}
