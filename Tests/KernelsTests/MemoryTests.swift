import Kernels
import TestSupport
import Testing

/// Tests that change the processor cap of the whole process take turns.
@Suite(.serialized) struct CapTests {}

/// Runs the body under a cap and puts the old one back.
func under<Result>(_ cap: CPU.Cap, _ body: () throws -> Result) rethrows -> Result {
    let before = CPU.cap
    CPU.cap = cap
    defer { CPU.cap = before }
    return try body()
}

extension CapTests {
    @Suite struct XORTests {
        @Test func variantsAgreeAtEveryLengthAndAlignment() {
            var random = SplitMix64(seed: 4)
            for cap in CPU.Cap.allCases {
                under(cap) {
                    for length in Array(0...700) + [1023, 1024, 4095, 4096] {
                        let offset = Int.random(in: 0..<64, using: &random)
                        let x = random.bytes(length), y = random.bytes(length)
                        let expected = zip(x, y).map { $0 ^ $1 }
                        let a = GuardedBuffer(x), b = GuardedBuffer(y), out = GuardedBuffer(count: length)
                        XOR.apply(out.bytes, a.readOnly, b.readOnly)
                        #expect(out.array == expected)
                        let wide = GuardedBuffer(count: length + offset)
                        let shifted = UnsafeMutableRawBufferPointer(rebasing: wide.bytes[..<length])
                        XOR.apply(shifted, a.readOnly, b.readOnly)
                        #expect(Array(shifted) == expected)
                        #expect(wide.bytes[length...].allSatisfy { $0 == 0 }, "wrote past the end")
                        XOR.into(a.bytes, b.readOnly)
                        #expect(a.array == expected)
                    }
                }
            }
        }
    }

    @Suite struct CPUTests {
        @Test func capsNest() {
            let features = CPU.Cap.allCases.map { cap in under(cap) { CPU.features } }
            #expect(features[0] == [])
            #expect(features[1].isSubset(of: features[2]))
            #expect(features[1].isDisjoint(with: [.avx512, .vpclmulqdq, .vaes]))
            #expect(features[2] == CPU.detected)
            #expect(features[3] == CPU.detected)
        }

        @Test func names() {
            #expect(CPU.Cap(name: "avx2") == .avx2)
            #expect(CPU.Cap(name: "AVX2") == nil)
            #expect(CPU.Features([.avx2, .vaes]).description == "avx2 vaes")
        }
    }
}

@Suite struct SecureBytesTests {
    @Test(arguments: [0, 1, 63, 64, 65, 2048, 2049, 4096, 100_000]) func holdsAndWipes(count: Int) {
        var random = SplitMix64(seed: UInt64(count))
        let contents = random.bytes(count)
        let secret = contents.withUnsafeBytes { SecureBytes(copying: $0) }
        #expect(secret.count == count)
        #expect(secret.withUnsafeBytes { Array($0) } == contents)
        secret.wipe()
        #expect(secret.withUnsafeBytes { $0.allSatisfy { $0 == 0 } })
    }

    /// A block that is used again was wiped by its last owner.
    @Test func nothingIsLeftForTheNextOwner() {
        for count in [16, 64, 1000, 2048, 5000] {
            for _ in 0..<100 {
                let secret = SecureBytes(count: count)
                #expect(secret.withUnsafeBytes { $0.allSatisfy { $0 == 0 } })
                secret.withUnsafeMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0xa5) }
            }
        }
    }

    @Test func manyAtOnceDoNotOverlap() {
        let all = (0..<600).map { SecureBytes(count: 1 + $0 * 7) }
        for (index, secret) in all.enumerated() {
            secret.withUnsafeMutableBytes {
                _ = $0.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: index))
            }
        }
        for (index, secret) in all.enumerated() {
            #expect(secret.withUnsafeBytes { $0.allSatisfy { $0 == UInt8(truncatingIfNeeded: index) } })
        }
    }

    @Test func constantTimeCompare() {
        var random = SplitMix64(seed: 5)
        for count in [0, 1, 16, 33] {
            let a = random.bytes(count)
            #expect(a.withUnsafeBytes { x in a.withUnsafeBytes { y in constantTimeEqual(x, y) } })
            for bit in 0..<count * 8 {
                var b = a
                b[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(!a.withUnsafeBytes { x in b.withUnsafeBytes { y in constantTimeEqual(x, y) } })
            }
            let longer = a + [0]
            #expect(!a.withUnsafeBytes { x in longer.withUnsafeBytes { y in constantTimeEqual(x, y) } })
        }
    }
}
