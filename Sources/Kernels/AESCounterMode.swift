import CKernels

/// AES-256 in counter mode (FIPS 197, SP 800-38A): the expansion of K2 to K3 in the paper's Figure 5, and its fused forms,
/// which read no byte twice.
///
/// The guarantee is computational. The key schedule lies in secret memory and is wiped with the object. One object
/// serves one thread at a time.
///
/// - Leaks: lengths, through time; never key or data.
public final class AESCounterMode {
    public static let keySize = 32
    private let schedule: UnsafeMutablePointer<ck_aes256>
    private var counter: (UInt64, UInt64)

    /// - Parameters:
    ///   - key: 32 bytes.
    ///   - counter: the first counter block as a 128-bit big-endian number; zero for the expansion of a fresh K2.
    public init(key: UnsafeRawBufferPointer, counter: UnsafeRawBufferPointer? = nil) {
        precondition(key.count == Self.keySize && (counter?.count ?? 16) == 16, "AES-256 takes 32 and 16 bytes")
        guard let memory = ck_secret_alloc(MemoryLayout<ck_aes256>.size) else { fatalError("no secret memory") }
        schedule = memory.bindMemory(to: ck_aes256.self, capacity: 1)
        ck_aes256_init(schedule, key.baseAddress!.assumingMemoryBound(to: UInt8.self))
        self.counter = (0, 0)
        if let counter {
            withUnsafeMutableBytes(of: &self.counter) { $0.copyMemory(from: counter) }
        }
    }

    deinit { ck_secret_free(schedule, MemoryLayout<ck_aes256>.size) }

    /// Fills `out` with key stream: K3.
    public func expand(into out: UnsafeMutableRawBufferPointer) {
        withCounter { ck_aes256_ctr_expand(schedule, $0, bytes(out), out.count) }
    }

    /// `out` = `a` XOR key stream: K4 = K1 + K3.
    public func xor(_ out: UnsafeMutableRawBufferPointer, _ a: UnsafeRawBufferPointer) {
        precondition(a.count == out.count, "operands of different lengths")
        withCounter { ck_aes256_ctr_xor(schedule, $0, bytes(out), bytes(a), out.count) }
    }

    /// `out` = `a` XOR `b` XOR key stream: ciphertext = data + K1 + K3.
    public func xor(_ out: UnsafeMutableRawBufferPointer, _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) {
        precondition(a.count == out.count && b.count == out.count, "operands of different lengths")
        withCounter { ck_aes256_ctr_xor2(schedule, $0, bytes(out), bytes(a), bytes(b), out.count) }
    }

    private func withCounter(_ body: (UnsafeMutablePointer<UInt8>) -> Void) {
        withUnsafeMutableBytes(of: &counter) { body($0.baseAddress!.assumingMemoryBound(to: UInt8.self)) }
    }

    private func bytes(_ buffer: UnsafeMutableRawBufferPointer) -> UnsafeMutablePointer<UInt8>? {
        buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }

    private func bytes(_ buffer: UnsafeRawBufferPointer) -> UnsafePointer<UInt8>? {
        buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }
}
