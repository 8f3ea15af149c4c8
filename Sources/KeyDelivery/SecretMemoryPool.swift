import Foundation
import Kernels

/// Secret memory that is used again: fresh pages of it cost more than the key that passes through them.
///
/// `@unchecked Sendable`: `lock` guards `spares`.
final class SecretMemoryPool: @unchecked Sendable {
    private let lock = NSLock()
    /// Wiped, the smallest first.
    private var spares: [SecureBytes] = []
    private static let mostSpares = 4
    /// Less than this is not worth keeping.
    private static let leastKept = 1 << 16

    /// Zeros, that many bytes or more.
    func borrow(_ count: Int) -> SecureBytes {
        guard count >= Self.leastKept else { return SecureBytes(count: count) }
        let spare = lock.withLock { () -> SecureBytes? in
            guard let index = spares.firstIndex(where: { $0.count >= count }) else { return nil }
            return spares.remove(at: index)
        }
        return spare ?? SecureBytes(count: (count + 0xF_FFFF) & ~0xF_FFFF)
    }

    /// Wipes memory that nobody else uses any more, and keeps it.
    ///
    /// - Parameter used: bytes from its beginning that may be other than zero; nil for all.
    func giveBack(_ memory: SecureBytes, used: Int? = nil) {
        memory.withUnsafeMutableBytes { wipe(UnsafeMutableRawBufferPointer(rebasing: $0[..<(used ?? memory.count)])) }
        guard memory.count >= Self.leastKept else { return }
        lock.withLock {
            spares.append(memory)
            spares.sort { $0.count < $1.count }
            if spares.count > Self.mostSpares { spares.removeFirst() }
        }
    }
}
