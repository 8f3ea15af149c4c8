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
        typealias Lanes = SIMD32<UInt8>
        var total = 0
        var at = 0
        var least = Lanes(repeating: 255)
        let wanted = Lanes(repeating: byte)
        let one = Lanes(repeating: 1)
        while at + 32 <= count {
            var sums = Lanes()
            let stop = min(count - 31, at + 32 * 255)
            while at < stop {
                let lanes = base.loadUnaligned(fromByteOffset: at, as: Lanes.self)
                sums &+= Lanes().replacing(with: one, where: lanes .== wanted)
                least = least.replacing(with: lanes, where: lanes .< least)
                at += 32
            }
            for lane in 0..<32 { total += Int(sums[lane]) }
        }
        var hasNUL = least.min() == 0
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
