import Diagnostics
import Kernels

/// One direction's hash key, and the tags made with it. A tag is the polynomial hash XOR 16 bytes of fresh pad.
///
/// `@unchecked Sendable`: each direction of a channel is used by one thread at a time, under the channel's lock for it.
final class Tagger: @unchecked Sendable {
    static let size = PolynomialHash.size
    private var hash: PolynomialHash

    init(key: UnsafeRawBufferPointer) { hash = PolynomialHash(key: key) }

    /// Writes the tag of the two parts.
    func tag(
        _ context: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer, pad: UnsafeRawBufferPointer,
        into tag: UnsafeMutableRawBufferPointer
    ) {
        hash.update(context)
        hash.update(text)
        hash.finish(into: tag)
        XOR.into(tag, pad)
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
