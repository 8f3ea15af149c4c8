import Diagnostics
import Kernels

/// Key that waits, stored as figure 5 of the paper has it: `K1 = K4 + K3`, where K3 is the AES-256-CTR expansion of a
/// fresh K2. K1 may lie in ordinary memory, K2 is in secret memory; without K2 the rest tells nothing.
///
/// A node's links hold hundreds of MiB. Pages of secret memory for all of it would exceed an ordinary user's lock limit,
/// and each costs tens of microseconds in the kernel.
/// `@unchecked Sendable`: nothing changes after `init`.
final class MaskedKey: @unchecked Sendable {
    let offset: UInt64
    let count: Int
    private let masked: UnsafeMutableRawPointer
    /// K2, used for this key only, hence the counter may begin at zero.
    private let secret = SecureBytes(count: 32)

    var end: UInt64 { offset + UInt64(count) }

    init(_ key: UnsafeRawBufferPointer, offset: UInt64) throws {
        self.offset = offset
        count = key.count
        masked = .allocate(byteCount: key.count, alignment: 64)
        try secret.withUnsafeMutableBytes { try fillFromKernel($0) }
        apply(key, UnsafeMutableRawBufferPointer(start: masked, count: count))
    }

    /// K2 goes first, with `secret`; wiping K1 as well costs little.
    deinit {
        secret.wipe()
        wipe(UnsafeMutableRawBufferPointer(start: masked, count: count))
        masked.deallocate()
    }

    /// Writes the key into secret memory.
    func reveal(into key: UnsafeMutableRawBufferPointer) {
        precondition(key.count == count)
        apply(UnsafeRawBufferPointer(start: masked, count: count), key)
    }

    private func apply(_ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer) {
        secret.withUnsafeBytes { AESCounterMode(key: $0).xor(output, input) }
    }
}
