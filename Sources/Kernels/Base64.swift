import CKernels

/// Base64 of RFC 4648 with padding, for key: takes the same time whatever the bytes are.
public enum Base64 {
    /// Characters of that many bytes.
    public static func length(ofBytes count: Int) -> Int { ck_base64_length(count) }

    /// Writes `length(ofBytes: source.count)` characters, which is what `out` has room for.
    public static func encode(_ source: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        precondition(out.count == length(ofBytes: source.count), "base64 into a buffer of another length")
        guard let from = source.baseAddress, let to = out.baseAddress else { return }
        ck_base64_encode(to.assumingMemoryBound(to: UInt8.self), from.assumingMemoryBound(to: UInt8.self), source.count)
    }

    /// Writes the bytes into `out`, which has room for `source.count / 4 * 3`, and returns how many there are; nil when
    /// the text is not base64. `out` may lie in the same memory where it does not begin behind `source`.
    public static func decode(_ source: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) -> Int? {
        precondition(out.count >= source.count / 4 * 3, "base64 into a buffer that is too small")
        guard let from = source.baseAddress, let to = out.baseAddress else { return source.isEmpty ? 0 : nil }
        let count = ck_base64_decode(
            to.assumingMemoryBound(to: UInt8.self), from.assumingMemoryBound(to: UInt8.self), source.count)
        return count < 0 ? nil : count
    }
}
