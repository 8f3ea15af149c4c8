import Diagnostics
import Kernels
import Randomness
import Synchronization
import TestSupport
import Testing

/// Gives bytes by position.
final class PatternSource: RandomSource {
    let name = "pattern"
    private let position = Mutex(0)
    private let pattern: @Sendable (Int) -> UInt8

    init(_ pattern: @escaping @Sendable (Int) -> UInt8) { self.pattern = pattern }

    func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        position.withLock { position in
            for index in buffer.indices { buffer[index] = pattern(position + index) }
            position += buffer.count
        }
    }
}

@Suite struct HealthTestTests {
    @Test func stuckSourcesAreRefusedAtStart() {
        #expect(throws: Failure.self) { try HealthTestedSource(wrapping: PatternSource { _ in 0 }) }
        #expect(throws: Failure.self) { try HealthTestedSource(wrapping: PatternSource { _ in 0x55 }) }
    }

    @Test func cyclingAndBiasedSourcesAreRefusedAtStart() {
        // A page of 16 different bytes, again and again: no repetition, but 32 of 512.
        #expect(throws: Failure.self) { try HealthTestedSource(wrapping: PatternSource { UInt8($0 % 16) }) }
        #expect(throws: Failure.self) { try HealthTestedSource(wrapping: PatternSource { UInt8(($0 & 1) * 255) }) }
    }

    @Test func cutoffsAreExact() throws {
        // Eight equal samples pass, nine do not; 1,024 good ones of the start-up test come first.
        func run(of length: Int) -> PatternSource {
            PatternSource { ($0 >= 1100 && $0 < 1100 + length) ? 0xee : UInt8(truncatingIfNeeded: $0 &* 37 % 229) }
        }
        var buffer = [UInt8](repeating: 0, count: 300)
        let passing = try HealthTestedSource(wrapping: run(of: 8))
        try buffer.withUnsafeMutableBytes { try passing.fill($0) }
        let failing = try HealthTestedSource(wrapping: run(of: 9))
        #expect(throws: Failure.self) { try buffer.withUnsafeMutableBytes { try failing.fill($0) } }

        // 24 samples equal to the first of a window of 512 pass, 25 do not.
        func matching(_ count: Int) -> PatternSource {
            PatternSource {
                let place = $0 - 1024
                if place >= 0, place < 512, place % 20 == 0, place / 20 < count { return 250 }
                return UInt8($0 % 229)
            }
        }
        buffer = [UInt8](repeating: 0, count: 512)
        let fine = try HealthTestedSource(wrapping: matching(24))
        try buffer.withUnsafeMutableBytes { try fine.fill($0) }
        let biased = try HealthTestedSource(wrapping: matching(25))
        #expect(throws: Failure.self) { try buffer.withUnsafeMutableBytes { try biased.fill($0) } }
    }

    /// The fast tests against the definition, on streams with many runs, cut into pieces at random.
    @Test func agreesWithTheDefinition() {
        var random = SplitMix64(seed: 9)
        var seen: [Bool: Int] = [:]
        for _ in 0..<600 {
            let alphabet = UInt8.random(in: 2...90, using: &random)
            var stream = (0..<Int.random(in: 1...1500, using: &random)).map { _ in
                UInt8.random(in: 0..<alphabet, using: &random)
            }
            if Bool.random(using: &random) {
                let start = Int.random(in: 0..<stream.count, using: &random)
                for place in start..<min(stream.count, start + Int.random(in: 5...10, using: &random)) {
                    stream[place] = 77
                }
            }
            var tests = HealthTests(repetitionCutoff: 9, proportionCutoff: 25)
            var verdict = HealthTests.Verdict.good
            var at = 0
            while at < stream.count, verdict == .good {
                let piece = min(Int.random(in: 1...700, using: &random), stream.count - at)
                verdict = stream[at..<at + piece].withUnsafeBytes { tests.add($0) }
                at += piece
            }
            let fails = definitionFails(stream[..<at])
            #expect(fails == (verdict != .good))
            seen[fails, default: 0] += 1
        }
        #expect(seen.values.allSatisfy { $0 > 100 } && seen.count == 2)
    }

    private func definitionFails(_ stream: ArraySlice<UInt8>) -> Bool {
        var run = 0, last: UInt8?
        for (place, sample) in stream.enumerated() {
            run = sample == last ? run + 1 : 1
            last = sample
            if run >= 9 { return true }
            let window = stream[place / 512 * 512...place]
            if window.count(where: { $0 == window.first }) >= 25 { return true }
        }
        return false
    }

    @Test func failureLatchesAndNothingIsHandedOut() throws {
        let source = try HealthTestedSource(
            wrapping: PatternSource { $0 >= 2000 && $0 < 2020 ? 7 : UInt8($0 % 229) })
        var buffer = [UInt8](repeating: 0, count: 2000)
        #expect(throws: Failure.self) { try buffer.withUnsafeMutableBytes { try source.fill($0) } }
        #expect(buffer.allSatisfy { $0 == 0 })
        // The pattern is good from here on; the source stays out of service.
        for _ in 0..<3 {
            #expect(throws: Failure.self) { try buffer.withUnsafeMutableBytes { try source.fill($0) } }
        }
    }

    @Test func goodSourcePasses() throws {
        let source = try HealthTestedSource(wrapping: KernelRandomSource())
        #expect(source.name == "kernel")
        var buffer = [UInt8](repeating: 0, count: 4 << 20)
        try buffer.withUnsafeMutableBytes { try source.fill($0) }
        var counts = [Int](repeating: 0, count: 256)
        for byte in buffer { counts[Int(byte)] += 1 }
        // 16,384 expected, standard deviation 128: eight of them either side.
        #expect(counts.allSatisfy { abs($0 - 16384) < 1024 })
    }
}

@Suite struct ProcessorRandomSourceTests {
    @Test func passesTheHealthTestsOrIsAbsent() throws {
        guard ProcessorNoise.isAvailable else {
            let failure = #expect(throws: Failure.self) { try HealthTestedSource(device: "rdseed") }
            #expect(failure?.kind == .noInput)
            return
        }
        let source = try HealthTestedSource(device: "rdseed")
        #expect(source.name == "rdseed")
        var first = [UInt8](repeating: 0, count: 1003), second = first
        try first.withUnsafeMutableBytes { try source.fill($0) }
        try second.withUnsafeMutableBytes { try source.fill($0) }
        #expect(first != second)
        #expect(first.suffix(3) != [0, 0, 0] || second.suffix(3) != [0, 0, 0])
    }
}

@Suite struct ExpandedSourceTests {
    /// The same bytes as AES-256 in counter mode under each seed, a fresh seed for each stretch.
    @Test func stretchesEachSeedOnce() throws {
        let directory = try TemporaryDirectory()
        let seeds = (0..<96).map { UInt8(truncatingIfNeeded: $0 * 41 + 3) }
        try directory.write(seeds, to: "seeds")
        let source = ExpandedSource(of: try DeviceRandomSource(path: directory.file("seeds")))
        var bytes = [UInt8](repeating: 0, count: 2 * ExpandedSource.stretch + 5)
        try bytes.withUnsafeMutableBytes { try source.fill($0) }
        for (index, start) in stride(from: 0, to: bytes.count, by: ExpandedSource.stretch).enumerated() {
            var expected = [UInt8](repeating: 0, count: min(ExpandedSource.stretch, bytes.count - start))
            seeds[index * 32..<index * 32 + 32].withUnsafeBytes { seed in
                expected.withUnsafeMutableBytes { AESCounterMode(key: seed).expand(into: $0) }
            }
            #expect(Array(bytes[start..<start + expected.count]) == expected)
        }
        // Three seeds went, and there is no fourth.
        #expect(throws: Failure.self) { try bytes.withUnsafeMutableBytes { try source.fill($0) } }
        #expect(try HealthTestedSource(device: HealthTestedSource.expandedKernel).name.contains("AES-256-CTR"))
    }
}

@Suite struct DeviceRandomSourceTests {
    @Test func readsOnceAndEndsLoudly() throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array(0..<100), to: "random")
        let source = try DeviceRandomSource(path: directory.file("random"))
        var buffer = [UInt8](repeating: 0, count: 60)
        try buffer.withUnsafeMutableBytes { try source.fill($0) }
        #expect(buffer == Array(0..<60))
        #expect(throws: Failure.self) { try buffer.withUnsafeMutableBytes { try source.fill($0) } }
    }

    @Test func missingDevice() {
        let failure = #expect(throws: Failure.self) { try DeviceRandomSource(path: "/nowhere/qrng") }
        #expect(failure?.kind == .noInput)
    }
}
