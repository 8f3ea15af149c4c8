public import Randomness
import Synchronization

/// A random source that repeats itself on purpose: for tests only.
public final class SeededRandomSource: RandomSource {
    public let name = "seeded test source"
    private let generator: Mutex<SplitMix64>

    public init(seed: UInt64) { generator = Mutex(SplitMix64(seed: seed)) }

    public func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        generator.withLock { buffer.copyBytes(from: $0.bytes(buffer.count)) }
    }
}
