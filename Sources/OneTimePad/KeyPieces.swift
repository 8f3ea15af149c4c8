package import Kernels

/// Key in secret memory, addressed by offset, each byte handed out once. Not synchronised: the holder has a lock.
package struct KeyPieces: Sendable {
    private var held = HeldPieces<SecureBytes>()
    /// Wiped buffers for new pieces: fresh secret pages cost more than the copy into them.
    private var spare: [SecureBytes] = []
    private static let maximumSpare = 32

    package init() {}

    /// Zeros to fill and `append`.
    package mutating func buffer(count: Int) -> SecureBytes {
        if let index = spare.lastIndex(where: { $0.count == count }) { return spare.remove(at: index) }
        return SecureBytes(count: count)
    }

    /// Bytes not handed out.
    package var onHand: UInt64 { held.onHand }

    /// One past the newest byte held, or nil.
    package var end: UInt64? { held.end }

    /// Adds key at an offset that is not below any key held.
    package mutating func append(_ bytes: SecureBytes, at offset: UInt64) { held.append(bytes, at: offset) }

    /// The first byte at or above `offset` that can still be handed out.
    package func firstAvailable(from offset: UInt64) -> UInt64? { held.firstAvailable(from: offset) }

    /// Copies the key at `offset` and erases it here; false, and nothing happens, when part of it is not there.
    package mutating func take(at offset: UInt64, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        guard let used = held.take(at: offset, into: destination) else { return false }
        for bytes in used where bytes.count > 2048 {
            if spare.count >= Self.maximumSpare { spare.removeFirst() }
            spare.append(bytes)
        }
        return true
    }

    /// Erases everything below `offset` and returns how many bytes that were.
    package mutating func discard(below offset: UInt64) -> UInt64 { held.discard(below: offset) }
}

extension SecureBytes: HeldKey {
    package func take(_ range: Range<Int>, into destination: UnsafeMutableRawBufferPointer) {
        withUnsafeMutableBytes { bytes in
            destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range]))
            Kernels.wipe(UnsafeMutableRawBufferPointer(rebasing: bytes[range]))
        }
    }

    package func erase(_ range: Range<Int>) {
        withUnsafeMutableBytes { Kernels.wipe(UnsafeMutableRawBufferPointer(rebasing: $0[range])) }
    }
}
