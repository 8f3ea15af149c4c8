import Diagnostics
import Kernels
import Synchronization

/// A source's bytes stretched by AES-256 in counter mode: 32 bytes of the source for each stretch of up to 1 MiB.
///
/// For key that is needed faster than the kernel's generator makes it. What it gives is **computationally** random, as
/// the kernel's own generator is, whatever the source: no break of AES-256, no telling. Each stretch has a key of its
/// own, which is wiped with its schedule when the stretch is done, so what was given cannot be computed again from
/// memory.
public final class ExpandedSource: RandomSource {
    /// Bytes that one seed makes at most.
    public static let stretch = 1 << 20

    public let name: String
    private let source: any RandomSource

    public init(of source: some RandomSource) {
        self.source = source
        name = source.name + " expanded by AES-256-CTR"
    }

    public func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        let count = (buffer.count + Self.stretch - 1) / Self.stretch
        guard count > 0 else { return }
        let seeds = SecureBytes(count: count * AESCounterMode.keySize)
        try seeds.withUnsafeMutableBytes { seeds in
            try source.fill(seeds)
            for index in 0..<count {
                let seed = UnsafeRawBufferPointer(
                    rebasing: seeds[index * AESCounterMode.keySize..<(index + 1) * AESCounterMode.keySize])
                let end = min((index + 1) * Self.stretch, buffer.count)
                AESCounterMode(key: seed).expand(
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[index * Self.stretch..<end]))
            }
        }
    }
}
