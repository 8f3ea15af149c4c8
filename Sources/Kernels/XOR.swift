import CKernels

/// XOR of byte strings at memory speed. All buffers of a call have the same length, any alignment.
public enum XOR {
    /// `out = a + b`. `out` may be the very buffer `a` or `b`, otherwise it does not overlap them.
    public static func apply(
        _ out: UnsafeMutableRawBufferPointer, _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer
    ) {
        precondition(out.count == a.count && a.count == b.count, "XOR of buffers of unequal length")
        guard let o = out.baseAddress, let x = a.baseAddress, let y = b.baseAddress else { return }
        ck_xor(o, x, y, out.count)
    }

    /// `target = target + source`.
    public static func into(_ target: UnsafeMutableRawBufferPointer, _ source: UnsafeRawBufferPointer) {
        precondition(target.count == source.count, "XOR of buffers of unequal length")
        guard let t = target.baseAddress, let s = source.baseAddress else { return }
        ck_xor_into(t, s, target.count)
    }
}
