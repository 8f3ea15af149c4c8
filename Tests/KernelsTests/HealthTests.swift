import Kernels
import TestSupport
import Testing

extension CapTests {
    @Suite struct HealthTestTests {
        /// Every variant gives the portable verdict at the same sample, on streams with many runs, cut into pieces at
        /// random that end at a guard page.
        @Test func variantsAgree() {
            var random = SplitMix64(seed: 30)
            var verdicts: Set<String> = []
            for _ in 0..<2000 {
                let alphabet = UInt64.random(in: 2...255, using: &random)
                var stream = random.bytes(Int.random(in: 1...6000, using: &random)).map { UInt8(UInt64($0) % alphabet) }
                for _ in 0..<Int.random(in: 0...4, using: &random) {
                    let start = Int.random(in: 0..<stream.count, using: &random)
                    for place in start..<min(stream.count, start + Int.random(in: 2...9, using: &random)) {
                        stream[place] = stream[start]
                    }
                }
                let repetition = Int.random(in: 4...10, using: &random)
                let proportion = Int.random(in: 10...80, using: &random)
                var pieces: [GuardedBuffer] = []
                var at = 0
                while at < stream.count {
                    let end = min(stream.count, at + Int.random(in: 1...3000, using: &random))
                    pieces.append(GuardedBuffer(Array(stream[at..<end])))
                    at = end
                }
                let outcomes = CPU.Cap.allCases.map { cap in
                    under(cap) {
                        var tests = HealthTests(repetitionCutoff: repetition, proportionCutoff: proportion)
                        for (number, piece) in pieces.enumerated() {
                            let verdict = tests.add(piece.readOnly)
                            if verdict != .good { return "\(verdict) in piece \(number)" }
                        }
                        return "good"
                    }
                }
                #expect(Set(outcomes).count == 1, "\(outcomes)")
                verdicts.insert(String(outcomes[0].prefix(4)))
            }
            #expect(verdicts == ["good", "repe", "prop"])
        }
    }
}
