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

    private let text: UnsafeMutableRawPointer
    let records: [Record]
    /// Plain FASTQ bytes that were taken in for this block.
    public let byteCount: Int
    public var recordCount: Int { records.count }

    /// Takes over `text`.
    init(text: UnsafeMutableRawPointer, records: [Record], byteCount: Int) {
        self.text = text
        self.records = records
        self.byteCount = byteCount
    }

    deinit { text.deallocate() }
}
