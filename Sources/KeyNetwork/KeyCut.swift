import Kernels

/// How the key K0 of a link is cut into K1 and K2 (Figure 5 of the paper), where one of its nodes keeps K1 on a disk.
///
/// K0 comes in chunks of 1 MiB. The first 32 bytes of a chunk are its K2, all that follows is its K1. K3 is the
/// AES-256-CTR expansion of K2, as long as K1, and the pad is K4 = K1 + K3. Both ends of the link cut alike, so their
/// pads are equal. Pad offsets count K4 only: chunk n has those from n (2^20 - 32) on.
enum KeyCut {
    static let chunk: UInt64 = 1 << 20
    static let secret: UInt64 = UInt64(AESCounterMode.keySize)
    /// Bytes of pad that a chunk gives.
    static let pad = chunk - secret

    /// The pad offset at which a byte of K0 comes to lie; that of a K2 is where its chunk's pad begins.
    static func padOffset(ofKey offset: UInt64) -> UInt64 {
        offset / chunk * pad + max(offset % chunk, secret) - secret
    }

    /// The first chunk no byte of which lies below a pad offset.
    static func chunk(from padOffset: UInt64) -> UInt64 { (padOffset + pad - 1) / pad }
}

/// The K2 of one chunk and what it expands to.
///
/// `@unchecked Sendable`: nothing but the contents of the secret memory changes, and its holder has a lock.
final class KeyExpansion: @unchecked Sendable {
    private let secret: SecureBytes

    /// - Parameter secret: K2; the caller wipes the original.
    init(_ secret: UnsafeRawBufferPointer) { self.secret = SecureBytes(copying: secret) }

    /// Turns K1 into K4 in place, or K4 into K1.
    ///
    /// - Parameter position: place in the chunk's K1, a multiple of 16.
    func apply(_ bytes: UnsafeMutableRawBufferPointer, at position: UInt64) {
        precondition(position % 16 == 0)
        withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { counter in
            Kernels.wipe(counter)
            counter.storeBytes(of: (position / 16).bigEndian, toByteOffset: 8, as: UInt64.self)
            secret.withUnsafeBytes {
                AESCounterMode(key: $0, counter: UnsafeRawBufferPointer(counter)).xor(
                    bytes, UnsafeRawBufferPointer(bytes))
            }
        }
    }

    func wipe() { secret.wipe() }
}

/// A stretch of delivered key on its way to the shelf.
struct DeliveredKey {
    /// Pad offset of the first byte.
    var offset: UInt64
    /// K1 where there is an expansion, the pad itself where there is none.
    var bytes: UnsafeRawBufferPointer
    var expansion: KeyExpansion?
    var end: UInt64 { offset + UInt64(bytes.count) }
}

/// Cuts the key of one direction as it comes.
struct KeyCutter {
    private var chunk: UInt64?
    private var expansion: KeyExpansion?

    /// Whether key at an offset of K0 can be taken: a chunk's K1 is of no use without its K2.
    func accepts(_ offset: UInt64) -> Bool { offset % KeyCut.chunk == 0 || chunk == offset / KeyCut.chunk }

    /// Hands on the K1 parts of a stretch of K0.
    mutating func cut(_ key: UnsafeRawBufferPointer, at offset: UInt64, _ body: (DeliveredKey) throws -> Void) rethrows
    {
        var at = offset
        let end = offset + UInt64(key.count)
        while at < end {
            if at % KeyCut.chunk == 0 {
                let start = Int(at - offset)
                expansion = KeyExpansion(UnsafeRawBufferPointer(rebasing: key[start..<start + Int(KeyCut.secret)]))
                chunk = at / KeyCut.chunk
                at += KeyCut.secret
            }
            let next = min(end, (at / KeyCut.chunk + 1) * KeyCut.chunk)
            let range = Int(at - offset)..<Int(next - offset)
            try body(
                DeliveredKey(
                    offset: KeyCut.padOffset(ofKey: at), bytes: UnsafeRawBufferPointer(rebasing: key[range]),
                    expansion: expansion))
            at = next
        }
        // The shelf holds what it needs of the chunk.
        if at % KeyCut.chunk == 0 { (chunk, expansion) = (nil, nil) }
    }
}
