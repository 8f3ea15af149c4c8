import Kernels
import TestSupport
import Testing

/// The scheme written once more, from the paper's formulas, byte by byte.
struct Reference {
    var a: [UInt8], b: [UInt8], c: [UInt8]

    init(secret s: [UInt8], random r: [UInt8]) {
        let h = s.count / 2
        a = (0..<h).map { s[$0] ^ r[$0] } + (0..<h).map { s[h + $0] ^ r[h + $0] ^ r[$0] }
        b = (0..<h).map { s[$0] ^ r[$0] ^ r[h + $0] } + (0..<h).map { s[h + $0] ^ r[h + $0] }
        c = r
    }
}

extension CapTests {
    @Suite struct ShareBlockTests {
        private static let lengths = Array(stride(from: 0, through: 600, by: 2)) + [1022, 4096]

        @Test(arguments: CPU.Cap.allCases) func splitAndJoinAtEveryLength(cap: CPU.Cap) {
            var random = SplitMix64(seed: 10)
            under(cap) {
                for length in Self.lengths {
                    let secret = GuardedBuffer(random.bytes(length)), c = GuardedBuffer(random.bytes(length))
                    let expected = Reference(secret: secret.array, random: c.array)
                    let a = GuardedBuffer(count: length), b = GuardedBuffer(count: length)
                    ShareBlock.split(a: a.bytes, b: b.bytes, secret: secret.readOnly, c: c.readOnly)
                    #expect(a.array == expected.a && b.array == expected.b && c.array == expected.c, "length \(length)")
                    let s = GuardedBuffer(count: length)
                    ShareBlock.join(s.bytes, a: a.readOnly, b: b.readOnly)
                    #expect(s.array == secret.array)
                    ShareBlock.join(s.bytes, a: a.readOnly, c: c.readOnly)
                    #expect(s.array == secret.array)
                    ShareBlock.join(s.bytes, b: b.readOnly, c: c.readOnly)
                    #expect(s.array == secret.array)
                }
            }
        }

        @Test(arguments: CPU.Cap.allCases) func worksInPlace(cap: CPU.Cap) {
            var random = SplitMix64(seed: 11)
            under(cap) {
                for length in Self.lengths {
                    let secret = random.bytes(length), r = random.bytes(length)
                    let expected = Reference(secret: secret, random: r)
                    let c = GuardedBuffer(r), inPlace = GuardedBuffer(secret), b = GuardedBuffer(count: length)
                    ShareBlock.split(a: inPlace.bytes, b: b.bytes, secret: inPlace.readOnly, c: c.readOnly)
                    #expect(inPlace.array == expected.a && b.array == expected.b)
                    for own in ["a", "b", "c"] {
                        let x = GuardedBuffer(own == "a" ? expected.a : own == "b" ? expected.b : expected.c)
                        let a = GuardedBuffer(expected.a), b = GuardedBuffer(expected.b)
                        switch own {
                        case "a": ShareBlock.join(x.bytes, a: x.readOnly, b: b.readOnly)
                        case "b": ShareBlock.join(x.bytes, a: a.readOnly, b: x.readOnly)
                        default: ShareBlock.join(x.bytes, a: a.readOnly, c: x.readOnly)
                        }
                        #expect(x.array == secret)
                    }
                }
            }
        }

        /// Results so large that the caches are passed by, on lines and off them, against XORs of smaller pieces.
        @Test(arguments: [0, 64, 34]) func largeBlocks(extra: Int) {
            let half = 2 << 20 + extra, length = 2 * half
            let secret = GuardedBuffer(count: length), c = GuardedBuffer(count: length)
            var random = SplitMix64(seed: 13)
            for place in stride(from: 0, to: length - 8, by: 8) {
                secret.bytes.storeBytes(of: random.next(), toByteOffset: place, as: UInt64.self)
                c.bytes.storeBytes(of: random.next(), toByteOffset: place, as: UInt64.self)
            }
            let a = GuardedBuffer(count: length), b = GuardedBuffer(count: length)
            ShareBlock.split(a: a.bytes, b: b.bytes, secret: secret.readOnly, c: c.readOnly)
            let expectedA = GuardedBuffer(count: length), expectedB = GuardedBuffer(count: length)
            for start in stride(from: 0, to: half, by: 1 << 20) {
                let first = start..<min(start + 1 << 20, half)
                let second = first.lowerBound + half..<first.upperBound + half
                func part(_ buffer: GuardedBuffer, _ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
                    UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[range])
                }
                typealias Part = UnsafeMutableRawBufferPointer
                func add(_ to: Part, _ x: Part, _ y: Part) {
                    XOR.apply(to, UnsafeRawBufferPointer(x), UnsafeRawBufferPointer(y))
                }
                add(part(expectedA, first), part(secret, first), part(c, first))
                add(part(expectedB, second), part(secret, second), part(c, second))
                add(part(expectedA, second), part(expectedB, second), part(c, first))
                add(part(expectedB, first), part(expectedA, first), part(c, second))
            }
            #expect(constantTimeEqual(a.readOnly, expectedA.readOnly))
            #expect(constantTimeEqual(b.readOnly, expectedB.readOnly))
            let s = GuardedBuffer(count: length)
            for pair in 0..<3 {
                wipe(s.bytes)
                switch pair {
                case 0: ShareBlock.join(s.bytes, a: a.readOnly, b: b.readOnly)
                case 1: ShareBlock.join(s.bytes, a: a.readOnly, c: c.readOnly)
                default: ShareBlock.join(s.bytes, b: b.readOnly, c: c.readOnly)
                }
                #expect(constantTimeEqual(s.readOnly, secret.readOnly), "pair \(pair)")
            }
            XOR.apply(s.bytes, a.readOnly, b.readOnly)
            XOR.into(s.bytes, b.readOnly)
            #expect(constantTimeEqual(s.readOnly, a.readOnly))
        }

        @Test(arguments: CPU.Cap.allCases) func repairRefreshAndIdentity(cap: CPU.Cap) {
            var random = SplitMix64(seed: 12)
            under(cap) {
                for length in Self.lengths {
                    let secret = random.bytes(length)
                    let shares = Reference(secret: secret, random: random.bytes(length))
                    let a = GuardedBuffer(shares.a), b = GuardedBuffer(shares.b), c = GuardedBuffer(shares.c)
                    let out = GuardedBuffer(count: length)
                    ShareBlock.repair(a: out.bytes, b: b.readOnly, c: c.readOnly)
                    #expect(out.array == shares.a)
                    ShareBlock.repair(b: out.bytes, a: a.readOnly, c: c.readOnly)
                    #expect(out.array == shares.b)
                    ShareBlock.repair(c: out.bytes, a: a.readOnly, b: b.readOnly)
                    #expect(out.array == shares.c)
                    #expect(ShareBlock.isConsistent(a: a.readOnly, b: b.readOnly, c: c.readOnly))
                    for share in [a, b, c] where length > 0 {
                        let place = Int.random(in: 0..<length, using: &random)
                        share.bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                        #expect(!ShareBlock.isConsistent(a: a.readOnly, b: b.readOnly, c: c.readOnly))
                        share.bytes.copyBytes(from: share === a ? shares.a : share === b ? shares.b : shares.c)
                    }
                    let zero = GuardedBuffer(random.bytes(length))
                    ShareBlock.refresh(a: a.bytes, zero: zero.readOnly)
                    ShareBlock.refresh(b: b.bytes, zero: zero.readOnly)
                    ShareBlock.refresh(c: c.bytes, zero: zero.readOnly)
                    // Refreshing is the same as having split with R + z.
                    let again = Reference(secret: secret, random: zip(shares.c, zero.array).map { $0 ^ $1 })
                    #expect(a.array == again.a && b.array == again.b && c.array == again.c)
                }
            }
        }

        /// Every secret and every randomness of w bits per half, w = 1, 2, 3: any two shares give the secret, and each
        /// single share takes every value exactly once, whatever the secret.
        @Test(arguments: 1...3) func exhaustively(w: Int) {
            let values = 0..<(1 << (2 * w))
            func halves(_ value: Int) -> [UInt8] { [UInt8(value >> w), UInt8(value & ((1 << w) - 1))] }
            for s in values {
                var seen = [[Int]](repeating: [Int](repeating: 0, count: values.count), count: 3)
                for r in values {
                    let secret = halves(s), c = halves(r)
                    var a: [UInt8] = [0, 0], b: [UInt8] = [0, 0]
                    run(secret, c, &a, &b)
                    for (index, share) in [a, b, c].enumerated() {
                        seen[index][Int(share[0]) << w | Int(share[1])] += 1
                    }
                    for pair in 0..<3 { #expect(joined(pair, a, b, c) == secret) }
                }
                #expect(seen.allSatisfy { $0.allSatisfy { $0 == 1 } }, "a share is not uniform for secret \(s)")
            }
        }

        private func run(_ secret: [UInt8], _ c: [UInt8], _ a: inout [UInt8], _ b: inout [UInt8]) {
            a.withUnsafeMutableBytes { a in
                b.withUnsafeMutableBytes { b in
                    secret.withUnsafeBytes { s in
                        c.withUnsafeBytes { c in ShareBlock.split(a: a, b: b, secret: s, c: c) }
                    }
                }
            }
        }

        private func joined(_ pair: Int, _ a: [UInt8], _ b: [UInt8], _ c: [UInt8]) -> [UInt8] {
            var s: [UInt8] = [0, 0]
            s.withUnsafeMutableBytes { s in
                a.withUnsafeBytes { a in
                    b.withUnsafeBytes { b in
                        c.withUnsafeBytes { c in
                            switch pair {
                            case 0: ShareBlock.join(s, a: a, b: b)
                            case 1: ShareBlock.join(s, a: a, c: c)
                            default: ShareBlock.join(s, b: b, c: c)
                            }
                        }
                    }
                }
            }
            return s
        }
    }
}
