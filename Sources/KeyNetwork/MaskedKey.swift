import Channel
import Diagnostics
import Kernels
import OneTimePad

/// Key that waits, stored as figure 5 of the paper has it: `K1 = K4 + K3`, where K3 is the AES-256-CTR expansion of a
/// fresh K2. K1 may lie in ordinary memory, K2 is in secret memory; without K2 the rest tells nothing.
///
/// A node's links hold hundreds of MiB. Pages of secret memory for all of it would exceed an ordinary user's lock limit,
/// and each costs tens of microseconds in the kernel.
/// `@unchecked Sendable`: `take` and `erase` alone change anything, and the holder has a lock.
final class MaskedKey: HeldKey, @unchecked Sendable {
    let offset: UInt64
    package let count: Int
    private let masked: UnsafeMutableRawBufferPointer
    /// K2, used for this key only, hence the counter may begin at zero.
    private let secret = SecureBytes(count: AESCounterMode.keySize)

    var end: UInt64 { offset + UInt64(count) }

    init(_ key: UnsafeRawBufferPointer, offset: UInt64) throws {
        self.offset = offset
        count = key.count
        masked = .allocate(byteCount: key.count, alignment: 64)
        try secret.withUnsafeMutableBytes { try fillFromKernel($0) }
        apply(key, masked, at: 0)
    }

    /// K2 goes first, with `secret`; wiping K1 as well costs little.
    deinit {
        secret.wipe()
        wipe(masked)
        masked.deallocate()
    }

    /// Writes the key into secret memory.
    func reveal(into key: UnsafeMutableRawBufferPointer) {
        precondition(key.count == count)
        apply(UnsafeRawBufferPointer(masked), key, at: 0)
    }

    /// Writes a part of the key into secret memory and erases it here.
    package func take(_ range: Range<Int>, into key: UnsafeMutableRawBufferPointer) {
        precondition(key.count == range.count)
        // A part that begins within a block of the cipher has the block's end unmasked apart.
        let skipped = range.lowerBound % 16
        let head = skipped == 0 ? 0 : min(16 - skipped, range.count)
        if head > 0 {
            withUnsafeTemporaryAllocation(byteCount: 16, alignment: 16) { block in
                let held = block.slice(0..<skipped + head)
                apply(UnsafeRawBufferPointer(masked.slice(range.lowerBound - skipped..<range.lowerBound + head)), held,
                    at: range.lowerBound - skipped)
                key.slice(0..<head).copyMemory(from: UnsafeRawBufferPointer(held.slice(skipped..<skipped + head)))
                wipe(block)
            }
        }
        if head < range.count {
            apply(
                UnsafeRawBufferPointer(masked.slice(range.lowerBound + head..<range.upperBound)),
                key.slice(head..<range.count), at: range.lowerBound + head)
        }
        erase(range)
    }

    package func erase(_ range: Range<Int>) { wipe(masked.slice(range)) }

    /// - Parameter position: of the first byte in the key, a multiple of 16.
    private func apply(_ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, at position: Int) {
        withUnsafeTemporaryAllocation(byteCount: 16, alignment: 16) { counter in
            wipe(counter)
            counter.storeBytes(of: UInt64(position / 16).bigEndian, toByteOffset: 8, as: UInt64.self)
            secret.withUnsafeBytes {
                AESCounterMode(key: $0, counter: UnsafeRawBufferPointer(counter)).xor(output, input)
            }
        }
    }
}
