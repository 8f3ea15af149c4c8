import Diagnostics
import Kernels

/// One direction's hash key, and the tags made with it. A tag is the polynomial hash XOR 16 bytes of fresh pad.
///
/// `@unchecked Sendable`: each direction of a channel is used by one thread at a time, under the channel's lock for it.
final class Tagger: @unchecked Sendable {
    static let size = PolynomialHash.size
    private var hash: PolynomialHash

    init(key: UnsafeRawBufferPointer) { hash = PolynomialHash(key: key) }

    /// A tagger with the same key for another thread.
    init(copying other: Tagger) { hash = other.hash }

    /// Writes the tag of the two parts.
    func tag(
        _ context: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer, pad: UnsafeRawBufferPointer,
        into tag: UnsafeMutableRawBufferPointer
    ) {
        hash.hash(context, text, into: tag)
        XOR.into(tag, pad)
    }

    /// Writes a record's text and tag: `head` and `payload` under the pad's first bytes, hashed in the same pass, and
    /// the tag under its last 16.
    func seal(
        _ context: UnsafeRawBufferPointer, head: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer,
        pad: UnsafeRawBufferPointer, into record: UnsafeMutableRawBufferPointer
    ) {
        let end = head.count + payload.count
        precondition(pad.count == end + Self.size, "a record as long as its pad")
        hash.seal(record, context: context, head, payload, pad: pad.slice(0..<end))
        XOR.into(record.slice(end..<record.count), pad.slice(end..<pad.count))
    }

    /// Whether `tag` is right, in constant time.
    func matches(
        _ tag: UnsafeRawBufferPointer, _ context: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer,
        pad: UnsafeRawBufferPointer
    ) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: Self.size, alignment: 16) { expected in
            self.tag(context, text, pad: pad, into: expected)
            return constantTimeEqual(UnsafeRawBufferPointer(expected), tag)
        }
    }
}
