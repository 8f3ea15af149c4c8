import Compression
import Foundation
import GenomicFormats
import Storage
import Threads

/// Files that are made in pieces on several threads and written in order: plain text, or BGZF when the name ends in
/// `.gz`. The bytes depend on the pieces alone, not on the threads.
final class PieceFiles {
    private let files: [PartialFile]
    private let isCompressed: [Bool]
    private let level: CompressionLevel
    private let threads: Int

    init(paths: [String], level: CompressionLevel, threads: Int) throws {
        files = try paths.map { try PartialFile(path: $0, audience: .everyone) }
        isCompressed = paths.map { $0.hasSuffix(".gz") }
        self.level = level
        self.threads = threads
    }

    /// Fills and writes pieces `0 ..< count`.
    ///
    /// - Parameters:
    ///   - capacity: bytes that no piece of any file exceeds.
    ///   - fill: writes the text of one piece of every file; called by several threads.
    func write(
        pieces count: Int, capacity: Int, fill: @Sendable (_ piece: Int, _ texts: [TextPiece]) -> Void
    ) throws {
        let turn = Turn()
        let sinks = files.map { SharedFile($0) }
        let isCompressed = isCompressed
        let level = level
        let workers = Workers(threads) { sinks.map { _ in TextPiece(capacity: capacity) } }
        let failed = workers.forEach(count) { texts, piece in
            for text in texts { text.removeAll() }
            fill(piece, texts)
            let packed = try zip(texts, isCompressed).map { $1 ? try Self.deflated($0.bytes, level) : [] }
            try turn.take(piece) {
                for place in sinks.indices {
                    if isCompressed[place] {
                        try sinks[place].file.write(packed[place])
                    } else {
                        try sinks[place].file.write(texts[place].bytes)
                    }
                }
            }
        }
        if let failed { throw failed.error }
    }

    /// Ends the files and gives them their names.
    func commit() throws {
        for (file, isCompressed) in zip(files, isCompressed) where isCompressed { try file.write(BGZF.endMarker) }
        for file in files { try file.commit() }
    }

    /// Whole BGZF blocks without the end marker.
    private static func deflated(_ bytes: UnsafeRawBufferPointer, _ level: CompressionLevel) throws -> [UInt8] {
        var blocks: [UInt8] = []
        blocks.reserveCapacity(bytes.count / 3)
        let writer = BGZFWriter(level: level) { blocks.append(contentsOf: $0) }
        try writer.write(bytes)
        try writer.flushBlock()
        return blocks
    }
}

/// Written to by whichever thread has the turn.
private struct SharedFile: @unchecked Sendable {
    let file: PartialFile
    init(_ file: PartialFile) { self.file = file }
}

/// Lets threads in by the number of their piece.
private final class Turn: @unchecked Sendable {
    // The condition's lock guards both.
    private let condition = NSCondition()
    private var next = 0
    private var failure: (any Error)?

    /// Waits until all pieces before this one are done. When one of them failed, its error is thrown here too, so that
    /// no thread goes on with pieces that nobody will write.
    func take(_ piece: Int, _ body: () throws -> Void) throws {
        condition.lock()
        defer { condition.unlock() }
        while next != piece, failure == nil { condition.wait() }
        if let failure { throw failure }
        // The others wait for this piece in any case: the lock is kept.
        do { try body() } catch {
            failure = error
            condition.broadcast()
            throw error
        }
        next += 1
        condition.broadcast()
    }
}
