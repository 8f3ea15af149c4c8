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

    /// Decrypts a record's text in place, hashed in the same pass, and says whether `tag` is right, in constant time;
    /// when it is wrong, the text is wiped.
    ///
    /// - Parameter pad: the text's, and the tag's 16 bytes.
    func open(
        _ text: UnsafeMutableRawBufferPointer, _ context: UnsafeRawBufferPointer, tag: UnsafeRawBufferPointer,
        pad: UnsafeRawBufferPointer
    ) -> Bool {
        precondition(pad.count == text.count + Self.size, "a text as long as its pad")
        return withUnsafeTemporaryAllocation(byteCount: Self.size, alignment: 16) { expected in
            hash.open(text, context: context, pad: pad.slice(0..<text.count), into: expected)
            XOR.into(expected, pad.slice(text.count..<pad.count))
            let isRight = constantTimeEqual(UnsafeRawBufferPointer(expected), tag)
            if !isRight { wipe(text) }
            return isRight
        }
    }
}
