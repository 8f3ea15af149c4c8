import CKernels
import Kernels
import Testing
import TestSupport

private func unhex(_ text: String) -> [UInt8] {
    let digits = Array(text.filter { $0 != " " })
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16)! }
}

/// AES-256-CTR against the standards' vectors and every variant against the portable one.
struct AESTests {
    static let names = ["vaes", "vaes256", "aesni", "neon", "portable"]

    static func run(
        _ variant: ck_aes256_ctr_fn, key: [UInt8], counter: [UInt8], a: UnsafePointer<UInt8>?, b: UnsafePointer<UInt8>?,
        out: UnsafeMutablePointer<UInt8>?, count: Int
    ) -> [UInt8] {
        var schedule = ck_aes256()
        ck_aes256_init(&schedule, key)
        var counter = counter
        variant(&schedule, &counter, out, a, b, count)
        return counter
    }

    /// FIPS 197 appendix C.3: the block 00112233...ff under the key 00..1f, as a counter block.
    @Test(arguments: names) func fips197(name: String) {
        guard let variant = ck_aes256_ctr_variant(name) else { return }
        var out = [UInt8](repeating: 0, count: 16)
        _ = Self.run(
            variant, key: (0..<32).map { $0 }, counter: (0..<16).map { $0 * 17 }, a: nil, b: nil, out: &out, count: 16)
        #expect(out == unhex("8ea2b7ca516745bfeafc49904b496089"))
    }

    /// SP 800-38A F.5.5, CTR-AES256.Encrypt.
    @Test(arguments: names) func sp80038a(name: String) {
        guard let variant = ck_aes256_ctr_variant(name) else { return }
        let plain = unhex(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                + "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
        let expected = unhex(
            "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
                + "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6")
        var out = [UInt8](repeating: 0, count: 64)
        let after = Self.run(
            variant, key: unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
            counter: unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"), a: plain, b: nil, out: &out, count: 64)
        #expect(out == expected)
        #expect(after == unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdff03"))
    }

    /// Random lengths and alignments, counters about to wrap, one and two operands, in place, guarded on both sides.
    @Test(arguments: names.dropLast()) func everyVariantEqualsThePortable(name: String) {
        guard let variant = ck_aes256_ctr_variant(name) else { return }
        var random = SplitMix64(seed: 2_026)
        for round in 0..<400 {
            let count = Int(random.next() % 4_097)
            let key = random.bytes(32)
            var counter = random.bytes(16)
            if round % 3 == 0 { for index in 8..<15 { counter[index] = 0xFF } }
            if round % 9 == 0 { for index in 0..<16 { counter[index] = 0xFF } }
            let offset = Int(random.next() % 64)
            let a = random.bytes(count + offset)
            let b = random.bytes(count + offset)
            var expected = [UInt8](repeating: 0, count: count)
            var got = [UInt8](repeating: 0, count: count + offset + 1)
            let operands = round % 4
            a.withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { b in
                    let first = operands == 0 ? nil : a.baseAddress! + offset
                    let second = operands < 2 ? nil : b.baseAddress! + offset
                    let after = Self.run(
                        ck_aes256_ctr_portable, key: key, counter: counter, a: first, b: second, out: &expected,
                        count: count)
                    got.withUnsafeMutableBufferPointer { got in
                        let out = got.baseAddress! + offset
                        if operands == 3, count > 0 { out.update(from: first!, count: count) }
                        got[offset + count] = 0x5A
                        let also = Self.run(
                            variant, key: key, counter: counter, a: operands == 3 ? UnsafePointer(out) : first,
                            b: second, out: out, count: count)
                        #expect(after == also, "counter, \(count) bytes")
                    }
                }
            }
            #expect(Array(got[offset..<offset + count]) == expected, "\(count) bytes, \(operands) operands")
            #expect(got[offset + count] == 0x5A)
        }
    }

    /// Long enough for the rounds that counters share, across the borders where a counter's byte, word or half carries
    /// and where the shared table ends, at 2^40.
    @Test(arguments: names.dropLast()) func countersCarryAcrossEveryByte(name: String) {
        guard let variant = ck_aes256_ctr_variant(name) else { return }
        var random = SplitMix64(seed: 40)
        for carries in 0...15 {
            let count = 40_000 + Int(random.next() % 2_000)
            let key = random.bytes(32)
            var counter = random.bytes(16)
            for index in (15 - carries)..<16 { counter[index] = 0xFF }
            // Between 1 and 1,792 blocks before the carry.
            if carries > 0 { counter[14] = UInt8(249 + random.next() % 7) }
            counter[15] = UInt8(truncatingIfNeeded: random.next())
            let a = random.bytes(count)
            var expected = [UInt8](repeating: 0, count: count), got = expected
            let after = Self.run(
                ck_aes256_ctr_portable, key: key, counter: counter, a: a, b: nil, out: &expected, count: count)
            let also = Self.run(variant, key: key, counter: counter, a: a, b: nil, out: &got, count: count)
            #expect(after == also && expected == got, "\(carries) bytes carry")
        }
    }

    @Test func piecesGiveTheSameStreamOnBlockBorders() {
        var random = SplitMix64(seed: 5)
        let key = random.bytes(32)
        var whole = [UInt8](repeating: 0, count: 10_000)
        var pieces = whole
        let a = random.bytes(10_000)
        key.withUnsafeBytes { key in
            let one = AESCounterMode(key: key)
            a.withUnsafeBytes { a in whole.withUnsafeMutableBytes { one.xor($0, a) } }
            let two = AESCounterMode(key: key)
            var at = 0
            while at < pieces.count {
                let end = min(pieces.count, at + 16 * Int(1 + random.next() % 90))
                a.withUnsafeBytes { a in
                    pieces.withUnsafeMutableBytes {
                        two.xor(
                            UnsafeMutableRawBufferPointer(rebasing: $0[at..<end]),
                            UnsafeRawBufferPointer(rebasing: a[at..<end]))
                    }
                }
                at = end
            }
        }
        #expect(whole == pieces)
    }
}
