/// What one thread stores until the chunk is full: records end to end, a note of each, the signatures of templates.
final class StoreChunk: @unchecked Sendable {
    // Belongs to one writer until it is full; only read afterwards, `dropNotes` and `dropSignatures` apart, which
    // sealing calls when nobody reads them any more.

    struct Note: BitwiseCopyable {
        /// As ``ReadNote/key``.
        var key: UInt64
        /// The record's offset in the chunk, in units of 8 bytes.
        var offset: UInt32
        var bin: UInt32
        var span: UInt32
    }

    let records: LargeBuffer<UInt8>
    private(set) var usedBytes = 0
    private(set) var notes: LargeBuffer<Note>
    private(set) var count = 0
    private(set) var signatures: LargeBuffer<TemplateSignature>
    private(set) var signatureCount = 0

    /// Bytes of records for which there is one note and one signature: those of a read of about 100 bases. With shorter
    /// reads a chunk is full before its records are. A process that locks its memory pays for room that is not used.
    private static let bytesPerNote = 128

    /// Room for records of `bytes`.
    init(bytes: Int) {
        let count = bytes / Self.bytesPerNote + 1
        records = LargeBuffer(count: bytes)
        notes = LargeBuffer(count: count)
        signatures = LargeBuffer(count: count)
    }

    /// Bytes that the chunk takes while it waits, and again what ordering its notes will take.
    var heldBytes: Int {
        usedBytes + count * (MemoryLayout<Note>.stride + MemoryLayout<ReadNote>.stride)
            + signatureCount * MemoryLayout<TemplateSignature>.stride
    }

    func hasRoom(for bytes: Int) -> Bool { usedBytes + bytes <= records.count && count < notes.count }
    var hasRoomForSignature: Bool { signatureCount < signatures.count }

    /// Appends a record that `write` writes; it returns the record's bytes.
    @inline(__always)
    func append(key: UInt64, bin: UInt32, span: Int, write: (UnsafeMutableRawPointer) -> Int) {
        let bytes = write(UnsafeMutableRawPointer(records.pointer + usedBytes))
        notes.pointer[count] = Note(key: key, offset: UInt32(usedBytes / 8), bin: bin, span: UInt32(span))
        usedBytes += bytes
        count += 1
    }

    func append(_ signature: TemplateSignature) {
        signatures.pointer[signatureCount] = signature
        signatureCount += 1
    }

    @inline(__always)
    func record(_ note: Note) -> UnsafeRawPointer { UnsafeRawPointer(records.pointer + 8 * Int(note.offset)) }

    func dropNotes() { notes = LargeBuffer(count: 0) }

    func dropSignatures() {
        signatures = LargeBuffer(count: 0)
        signatureCount = 0
    }
}
