import Diagnostics
import Foundation
import Kernels
import Randomness
import Synchronization
import TestSupport
import Testing

@Suite struct ReadAheadTests {
    /// Counts what it gives, which is bytes by position, and fails after `limit`.
    private final class CountingSource: RandomSource {
        struct Exhausted: Error {}

        let name = "counting"
        let given = Mutex(0)
        let limit: Int

        init(limit: Int = .max) { self.limit = limit }

        static func byte(_ place: Int) -> UInt8 { UInt8(truncatingIfNeeded: place &* 37 % 229 &+ place >> 16) }

        func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
            try given.withLock { given in
                guard given + buffer.count <= limit else { throw Exhausted() }
                for index in buffer.indices { buffer[index] = Self.byte(given + index) }
                given += buffer.count
            }
        }

        var count: Int { given.withLock { $0 } }
    }

    @Test(arguments: [0, 1, 1000, 2 << 20, 2 << 20 | 1, 19 << 20 | 5])
    func everyByteOnceAndInOrder(bytes: Int) throws {
        let source = CountingSource()
        let ahead = ReadAhead(source, bytes: bytes)
        var random = SplitMix64(seed: UInt64(bytes))
        var result = [UInt8](repeating: 0, count: bytes)
        try result.withUnsafeMutableBytes { result in
            var at = 0
            while at < bytes {
                let count = min(bytes - at, Int.random(in: 0...(5 << 20), using: &random))
                try ahead.fill(UnsafeMutableRawBufferPointer(rebasing: result[at..<at + count]))
                at += count
            }
        }
        #expect(result.indices.allSatisfy { result[$0] == CountingSource.byte($0) })
        #expect(source.count == bytes)
        #expect(ahead.use.bytes == bytes && ahead.use.source == "counting" && ahead.name == "counting")
    }

    /// Nobody has read yet, and the buffers are full; they stay the only ones.
    @Test func makesAFewBuffersAheadAndNoMore() throws {
        let source = CountingSource()
        let ahead = ReadAhead(source, bytes: 100 << 20)
        #expect(eventually { source.count == 8 << 20 })
        usleep(50_000)
        #expect(source.count == 8 << 20)
        var buffer = [UInt8](repeating: 0, count: 2 << 20)
        try buffer.withUnsafeMutableBytes { try ahead.fill($0) }
        #expect(eventually { source.count == 10 << 20 })
        #expect(ahead.use.waitedSeconds < 60)
    }

    @Test func errorsOfTheSourceReachTheReaderAndStay() throws {
        let source = CountingSource(limit: 3 << 20)
        let ahead = ReadAhead(source, bytes: 6 << 20)
        var buffer = [UInt8](repeating: 1, count: 6 << 20)
        for _ in 0..<3 {
            #expect(throws: CountingSource.Exhausted.self) { try buffer.withUnsafeMutableBytes { try ahead.fill($0) } }
            #expect(buffer.allSatisfy { $0 == 0 })
        }
    }

    /// What passed the test before the failure is not handed out after it.
    @Test func failedHealthTestStopsWhatWasMadeAhead() throws {
        let stuck = 5 << 20
        let source = try HealthTestedSource(wrapping: PatternSource { $0 > stuck ? 7 : UInt8($0 &* 37 % 229) })
        let ahead = ReadAhead(source, bytes: 20 << 20)
        var one = [UInt8](repeating: 0, count: 1)
        var failure: Failure?
        let failed = eventually {
            do { try one.withUnsafeMutableBytes { try ahead.fill($0) } } catch { failure = error as? Failure }
            return failure != nil
        }
        #expect(failed && failure?.kind == .inputOutput && failure?.problem.contains("health test") == true)
        #expect(throws: Failure.self) { try one.withUnsafeMutableBytes { try ahead.fill($0) } }
    }

    @Test func threadEndsWhenNobodyReadsAnyMore() throws {
        weak var source: CountingSource?
        do {
            let strong = CountingSource()
            source = strong
            let ahead = ReadAhead(strong, bytes: 100 << 20)
            var one = [UInt8](repeating: 0, count: 1)
            try one.withUnsafeMutableBytes { try ahead.fill($0) }
        }
        #expect(eventually { source == nil })
    }

    @Test func useAddsUpAndIsPrinted() {
        var use = RandomUse(source: "kernel")
        #expect(use.description == "0 random bytes from kernel, waited 0.00 s for them")
        use.add(RandomUse(source: "kernel", bytes: 3_000_000, sourceSeconds: 0.02, waitedSeconds: 0.5))
        use.add(RandomUse(source: "kernel", bytes: 1_000_000, sourceSeconds: 0.02, waitedSeconds: 0.25))
        #expect(use.description == "4000000 random bytes from kernel at 100.0 MB/s, waited 0.75 s for them")
    }
}
