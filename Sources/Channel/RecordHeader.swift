import Diagnostics
import Kernels

/// The header of a record, 24 bytes, the same over TCP and UDP: pad offset, which always travels in the clear, and
/// behind it the inner header: length of the ciphertext, flags, sequence. With header encryption the inner header
/// travels under the first 16 bytes of the record's pad.
package struct RecordHeader: Equatable, Sendable {
    package static let size = 24
    static let outerSize = 8
    static let innerSize = size - outerSize
    /// The bit of `flags` that marks the last record of a direction.
    package static let last: UInt8 = 1

    package var offset: UInt64
    package var length: UInt32
    package var flags: UInt8
    package var sequence: UInt64

    package init(offset: UInt64, length: UInt32, flags: UInt8, sequence: UInt64) {
        self.offset = offset
        self.length = length
        self.flags = flags
        self.sequence = sequence
    }

    /// What is wrong with a header that nobody made.
    package enum Fault: Error, Equatable {
        case length(UInt32)
        case flags
    }

    static func offset(in header: UnsafeRawBufferPointer) -> UInt64 { header.load(bigEndian: UInt64.self, at: 0) }

    /// Reads a header in the clear.
    ///
    /// - Parameter longest: the greatest length that is allowed.
    /// - Throws: ``Fault``. Nothing of it is authenticated yet.
    package init(reading bytes: UnsafeRawBufferPointer, longest: Int) throws {
        offset = Self.offset(in: bytes)
        length = bytes.load(bigEndian: UInt32.self, at: 8)
        flags = bytes[12]
        sequence = bytes.load(bigEndian: UInt64.self, at: 16)
        guard length >= 1, length <= longest else { throw Fault.length(length) }
        guard flags & ~Self.last == 0, bytes[13] | bytes[14] | bytes[15] == 0 else { throw Fault.flags }
    }

    package func write(to bytes: UnsafeMutableRawBufferPointer) {
        bytes.store(bigEndian: offset, at: 0)
        bytes.store(bigEndian: length, at: 8)
        bytes.store(bigEndian: UInt32(flags) << 24, at: 12)
        bytes.store(bigEndian: sequence, at: 16)
    }
}

/// What makes and opens the records of one direction of a session: hash key, context and the choice of header
/// encryption.
///
/// A record is header, ciphertext, tag. The tag covers direction, transport, session, the header as it travels, and the
/// ciphertext. Not synchronised: its holder uses it from one thread at a time.
struct RecordSealer {
    /// Bytes of a record beside its ciphertext.
    static let overhead = RecordHeader.size + Tagger.size
    static let prefixSize = 40
    static let contextSize = prefixSize + RecordHeader.size

    private let tagger: Tagger
    private let context: ContextBuffer
    let encryptsHeader: Bool

    private final class ContextBuffer {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: RecordSealer.contextSize, alignment: 16)

        deinit { bytes.deallocate() }
    }

    /// - Parameters:
    ///   - identifier: both nonces.
    ///   - isDatagram: keeps the records of the two transports of one session apart.
    init(tagger: Tagger, identifier: [UInt8], fromClient: Bool, isDatagram: Bool, encryptsHeader: Bool) {
        self.tagger = tagger
        self.encryptsHeader = encryptsHeader
        context = ContextBuffer()
        wipe(context.bytes)
        context.bytes[0] = (fromClient ? 1 : 2) + (isDatagram ? 2 : 0)
        context.bytes.slice(8..<Self.prefixSize).copyBytes(from: identifier)
    }

    /// Pad that lies over the header.
    var headerPad: Int { encryptsHeader ? RecordHeader.innerSize : 0 }
    /// Pad that a record of `length` bytes of ciphertext takes, less its tag's.
    func pad(ofLength length: Int) -> Int { headerPad + length }

    /// Writes the record: header, `head` and `payload` under the pad, tag.
    ///
    /// - Parameters:
    ///   - head: the plaintext's first bytes, its kind among them.
    ///   - pad: for inner header (when it is encrypted), plaintext and tag.
    ///   - record: `overhead` bytes more than the plaintext.
    func seal(
        _ header: RecordHeader, head: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer,
        pad: UnsafeRawBufferPointer, into record: UnsafeMutableRawBufferPointer
    ) {
        let front = record.slice(0..<RecordHeader.size)
        header.write(to: front)
        if encryptsHeader {
            XOR.into(front.slice(RecordHeader.outerSize..<RecordHeader.size), pad.slice(0..<RecordHeader.innerSize))
        }
        context.bytes.slice(Self.prefixSize..<Self.contextSize).copyMemory(from: UnsafeRawBufferPointer(front))
        tagger.seal(
            UnsafeRawBufferPointer(context.bytes), head: head, payload, pad: pad.slice(headerPad..<pad.count),
            into: record.slice(RecordHeader.size..<record.count))
    }

    /// Takes the encryption off a header, whose copy goes to `clear`.
    func openHeader(
        _ header: UnsafeRawBufferPointer, pad: UnsafeRawBufferPointer, into clear: UnsafeMutableRawBufferPointer
    ) {
        clear.copyMemory(from: header)
        if encryptsHeader {
            XOR.into(clear.slice(RecordHeader.outerSize..<RecordHeader.size), pad.slice(0..<RecordHeader.innerSize))
        }
    }

    /// Checks the tag and decrypts in place; false, and the text is wiped, when it is wrong.
    ///
    /// - Parameters:
    ///   - record: header as it travelled, ciphertext, tag.
    ///   - pad: all that lies over the record.
    func open(_ record: UnsafeMutableRawBufferPointer, pad: UnsafeRawBufferPointer) -> Bool {
        let end = record.count - Tagger.size
        context.bytes.slice(Self.prefixSize..<Self.contextSize).copyMemory(
            from: UnsafeRawBufferPointer(record).slice(0..<RecordHeader.size))
        return tagger.open(
            record.slice(RecordHeader.size..<end), UnsafeRawBufferPointer(context.bytes),
            tag: UnsafeRawBufferPointer(record).slice(end..<record.count), pad: pad.slice(headerPad..<pad.count))
    }
}
