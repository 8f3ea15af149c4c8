import Kernels
import TestSupport
import Testing

func bytes(hex: String) -> [UInt8] {
    var digits = hex.filter { !$0.isWhitespace }[...]
    var result: [UInt8] = []
    while let byte = UInt8(digits.prefix(2), radix: 16), digits.count >= 2 {
        result.append(byte)
        digits = digits.dropFirst(2)
    }
    return result
}

func hash(_ message: [UInt8], key: [UInt8], pieces: [Int] = []) -> [UInt8] {
    var hash = key.withUnsafeBytes { PolynomialHash(key: $0) }
    var rest = message[...]
    for piece in pieces {
        Array(rest.prefix(piece)).withUnsafeBytes { hash.update($0) }
        rest = rest.dropFirst(piece)
    }
    Array(rest).withUnsafeBytes { hash.update($0) }
    var result = [UInt8](repeating: 0, count: 16)
    result.withUnsafeMutableBytes { hash.finish(into: $0) }
    return result
}

extension CapTests {
    @Suite struct PolynomialHashTests {
        /// The GCM specification (McGrew, Viega), appendix B: test cases 2 and 3, whose additional data is empty, so
        /// that the GHASH is this hash of the ciphertext.
        static let vectors = [
            (
                "66e94bd4ef8a2c3b884cfa59ca342b2e", "0388dace60b6a392f328c2b971b2fe78",
                "f38cbb1ad69223dcc3457ae5b6b0f885"
            ),
            (
                "b83b533708bf535d0aa6e52980d53b78",
                """
                42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
                21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985
                """,
                "7f1b32b81b820d02614f8895ac1d4eac"
            ),
        ]

        @Test(arguments: CPU.Cap.allCases) func knownAnswers(cap: CPU.Cap) {
            under(cap) {
                for (key, message, expected) in Self.vectors {
                    #expect(hash(bytes(hex: message), key: bytes(hex: key)) == bytes(hex: expected))
                }
            }
        }

        @Test func variantsAgree() {
            var random = SplitMix64(seed: 1)
            var lengths = Array(0...1100)
            lengths += (0..<100).map { _ in Int.random(in: 0...4096, using: &random) }
            for length in lengths {
                let key = random.bytes(16)
                let message = GuardedBuffer(random.bytes(length))
                let results = CPU.Cap.allCases.map { cap in
                    under(cap) {
                        var hash = key.withUnsafeBytes { PolynomialHash(key: $0) }
                        hash.update(message.readOnly)
                        var result = [UInt8](repeating: 0, count: 16)
                        result.withUnsafeMutableBytes { hash.finish(into: $0) }
                        return result
                    }
                }
                #expect(Set(results).count == 1, "length \(length)")
            }
        }

        @Test func piecesDoNotMatter() {
            var random = SplitMix64(seed: 2)
            for cap in CPU.Cap.allCases {
                under(cap) {
                    for _ in 0..<200 {
                        let message = random.bytes(Int.random(in: 0...2000, using: &random))
                        let key = random.bytes(16)
                        let pieces = (0..<8).map { _ in Int.random(in: 0...300, using: &random) }
                        #expect(hash(message, key: key, pieces: pieces) == hash(message, key: key))
                    }
                }
            }
        }

        /// One pass against two: every cut, alignment and start within a block, in place and not, guarded on both sides.
        @Test func sealEqualsPadThenHash() {
            var random = SplitMix64(seed: 4)
            for cap in CPU.Cap.allCases {
                under(cap) {
                    for round in 0..<300 {
                        let count = Int.random(in: 0...(round % 10 == 0 ? 9000 : 1300), using: &random)
                        let data = random.bytes(count), pad = random.bytes(count), key = random.bytes(16)
                        let before = random.bytes(Int.random(in: 0...40, using: &random))
                        let ciphertext = zip(data, pad).map { $0 ^ $1 }
                        let cut = Int.random(in: 0...count, using: &random)
                        let inPlace = round % 2 == 0
                        let guardedPad = GuardedBuffer(pad), input = GuardedBuffer(data)
                        let output = inPlace ? input : GuardedBuffer(count: count)
                        var one = key.withUnsafeBytes { PolynomialHash(key: $0) }
                        before.withUnsafeBytes { one.update($0) }
                        for piece in [0..<cut, cut..<count] {
                            one.seal(
                                UnsafeMutableRawBufferPointer(rebasing: output.bytes[piece]),
                                UnsafeRawBufferPointer(rebasing: input.readOnly[piece]),
                                pad: UnsafeRawBufferPointer(rebasing: guardedPad.readOnly[piece]))
                        }
                        var got = [UInt8](repeating: 0, count: 16)
                        got.withUnsafeMutableBytes { one.finish(into: $0) }
                        #expect(Array(output.readOnly) == ciphertext, "\(cap), \(count) bytes")
                        #expect(got == hash(before + ciphertext, key: key), "\(cap), \(count) bytes cut at \(cut)")
                    }
                }
            }
        }

        @Test func stateIsReadyAfterFinish() {
            var random = SplitMix64(seed: 3)
            let key = random.bytes(16)
            var twice = key.withUnsafeBytes { PolynomialHash(key: $0) }
            for length in [0, 1, 15, 16, 17, 700] {
                let message = random.bytes(length)
                var result = [UInt8](repeating: 0, count: 16)
                message.withUnsafeBytes { twice.update($0) }
                result.withUnsafeMutableBytes { twice.finish(into: $0) }
                #expect(result == hash(message, key: key))
            }
        }

        /// Zero padding must not make messages of different lengths equal, and every bit must count.
        @Test func everyBitAndTheLengthCount() {
            let key = bytes(hex: "b83b533708bf535d0aa6e52980d53b78")
            let message = [UInt8](repeating: 7, count: 47)
            let whole = hash(message, key: key)
            #expect(hash(message + [0], key: key) != whole)
            for bit in 0..<47 * 8 {
                var changed = message
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(hash(changed, key: key) != whole)
            }
        }

        @Test func copiesHashOnTheirOwn() {
            var random = SplitMix64(seed: 6)
            let key = random.bytes(16), start = random.bytes(40), end = random.bytes(25)
            var first = key.withUnsafeBytes { PolynomialHash(key: $0) }
            start.withUnsafeBytes { first.update($0) }
            var second = first
            end.withUnsafeBytes { second.update($0) }
            var one = [UInt8](repeating: 0, count: 16), two = one
            one.withUnsafeMutableBytes { first.finish(into: $0) }
            two.withUnsafeMutableBytes { second.finish(into: $0) }
            #expect(one == hash(start, key: key))
            #expect(two == hash(start + end, key: key))
        }

        @Test func boundOfTheTag() {
            #expect(PolynomialHash.forgeryBits(messageBytes: 0) == 128)
            #expect(PolynomialHash.forgeryBits(messageBytes: 16) == 127)
            #expect(PolynomialHash.forgeryBits(messageBytes: 17) == 126)
            #expect(PolynomialHash.forgeryBits(messageBytes: 1 << 20) == 111)
        }
    }
}
