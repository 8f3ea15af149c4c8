import Glibc

/// Searches in bytes, by the C library's vector code.
public enum Bytes {
    @inline(__always)
    public static func find(_ byte: UInt8, in bytes: UnsafeRawBufferPointer, from: Int) -> Int? {
        guard from < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + from, Int32(byte), bytes.count - from)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    /// How often `byte` occurs, and whether a NUL does.
    static func count(_ byte: UInt8, in base: UnsafeRawPointer, count: Int) -> (count: Int, hasNUL: Bool) {
        // Eight bytes at a time: a byte's high bit tells that the byte is not zero, exactly, without carries.
        let low7: UInt64 = 0x7f7f_7f7f_7f7f_7f7f
        let wanted = UInt64(byte) &* 0x0101_0101_0101_0101
        var others = 0
        var nonZero = low7
        var at = 0
        while at + 8 <= count {
            let word = base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            let difference = word ^ wanted
            others &+= (((difference & low7) &+ low7 | difference) & ~low7).nonzeroBitCount
            nonZero |= ~(((word & low7) &+ low7 | word) | low7)
            at += 8
        }
        var total = at - others
        var hasNUL = nonZero != low7
        while at < count {
            let value = base.load(fromByteOffset: at, as: UInt8.self)
            if value == byte { total += 1 }
            if value == 0 { hasNUL = true }
            at += 1
        }
        return (total, hasNUL)
    }

    /// A non-negative decimal number that fills the whole range, or nil (also beyond 2^40).
    public static func decimal(_ base: UnsafeRawPointer, _ from: Int, _ end: Int) -> Int? {
        guard from < end else { return nil }
        var value = 0
        for at in from..<end {
            let digit = Int(base.load(fromByteOffset: at, as: UInt8.self)) - 48
            guard (0...9).contains(digit), value < 1 << 40 else { return nil }
            value = value * 10 + digit
        }
        return value
    }
}
