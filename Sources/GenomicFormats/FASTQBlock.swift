internal import Synchronization

/// Whole FASTQ records as text, with the place of every line: what a parser hands to ``ReadBatcher``.
///
/// Nothing in it changes after it was made.
public final class FASTQBlock: @unchecked Sendable {
    /// One record, as pointers into the block's text.
    struct Record {
        /// The word after '@', without a trailing `/1` or `/2`.
        var name: UnsafePointer<UInt8>
        var sequence: UnsafePointer<UInt8>
        var quality: UnsafePointer<UInt8>
        var nameCount: Int32
        /// Bases, and quality characters.
        var count: Int32
    }

    private let text: Text
    let records: [Record]
    /// Plain FASTQ bytes that were taken in for this block.
    public let byteCount: Int
    public var recordCount: Int { records.count }

    init(text: Text, records: [Record], byteCount: Int) {
        self.text = text
        self.records = records
        self.byteCount = byteCount
    }

    /// Memory for a block's text, which goes back to where it came from.
    final class Text: @unchecked Sendable {
        let bytes: UnsafeMutablePointer<UInt8>
        private let pool: Pool

        init(from pool: Pool) {
            self.pool = pool
            bytes = pool.take()
        }

        deinit { pool.give(bytes) }
    }

    /// Rooms of one size for text. The system clears memory that is new to a process page by page, which takes as long
    /// as parsing does.
    final class Pool: Sendable {
        private struct Room: @unchecked Sendable {
            let bytes: UnsafeMutablePointer<UInt8>
        }

        let capacity: Int
        private let rooms = Mutex<[Room]>([])

        init(capacity: Int) { self.capacity = capacity }

        deinit { rooms.withLock { for room in $0 { room.bytes.deallocate() } } }

        func take() -> UnsafeMutablePointer<UInt8> {
            rooms.withLock { $0.popLast() }?.bytes ?? .allocate(capacity: capacity)
        }

        func give(_ bytes: UnsafeMutablePointer<UInt8>) {
            let room = Room(bytes: bytes)
            rooms.withLock { $0.append(room) }
        }
    }
}
