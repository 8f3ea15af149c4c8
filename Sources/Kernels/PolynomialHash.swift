import CKernels

/// The hash half of a Wegman-Carter tag: a polynomial over GF(2^128) in GHASH's field and bit order (NIST SP 800-38D).
///
/// `H_k(m) = m_1 k^(L+1) + ... + m_L k^2 + length k` over 16-byte blocks, the last one padded with zeros, `length` in
/// bits. For two different messages of at most L blocks the sum of the hashes takes any one value with probability at
/// most (L+1)/2^128. A tag is the hash XOR 16 fresh bytes of pad; the hash alone authenticates nothing and must not be
/// sent.
///
/// The key's powers lie in secret memory that is wiped with the last copy of the value. `finish` makes the value ready
/// for the next message under the same key; a copy hashes on its own.
public struct PolynomialHash: Sendable {
    /// Bytes of a key, of a hash and of a block.
    public static let size = 16

    private var state: State

    /// - Parameter key: 16 uniform secret bytes; all zeros would hash everything to zero and are a programmer's error.
    public init(key: UnsafeRawBufferPointer) {
        precondition(key.count == Self.size, "a polynomial hash key has 16 bytes")
        precondition(!key.allSatisfy { $0 == 0 }, "a polynomial hash key is not zero")
        state = State()
        if let base = key.baseAddress { ck_gf128_init(state.pointer, base) }
    }

    /// Adds bytes; how a message is cut into calls does not matter.
    public mutating func update(_ message: UnsafeRawBufferPointer) {
        guard let base = message.baseAddress else { return }
        makeUnique()
        ck_gf128_update(state.pointer, base, message.count)
    }

    /// `out = data + pad`, and `out`, the ciphertext, joins the message; in one pass where the processor allows. `out` may
    /// be the very buffer `data`, otherwise nothing overlaps.
    public mutating func seal(
        _ out: UnsafeMutableRawBufferPointer, _ data: UnsafeRawBufferPointer, pad: UnsafeRawBufferPointer
    ) {
        precondition(out.count == data.count && out.count == pad.count, "buffers of unequal length")
        guard let o = out.baseAddress, let d = data.baseAddress, let p = pad.baseAddress else { return }
        makeUnique()
        ck_gf128_seal(state.pointer, o, d, p, out.count)
    }

    /// The hash of a message in two parts, and the beginning of the next message: `update` twice and `finish`.
    public mutating func hash(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, into hash: UnsafeMutableRawBufferPointer
    ) {
        precondition(hash.count == Self.size, "a polynomial hash has 16 bytes")
        makeUnique()
        let state = state.pointer
        if let base = first.baseAddress { ck_gf128_update(state, base, first.count) }
        if let base = second.baseAddress { ck_gf128_update(state, base, second.count) }
        if let base = hash.baseAddress { ck_gf128_finish(state, base) }
    }

    /// `update` with the context, `seal` of two pieces one behind the other, and `finish`, whose hash goes behind them.
    ///
    /// - Parameters:
    ///   - pad: as long as both pieces.
    ///   - out: 16 bytes longer.
    public mutating func seal(
        _ out: UnsafeMutableRawBufferPointer, context: UnsafeRawBufferPointer, _ first: UnsafeRawBufferPointer,
        _ second: UnsafeRawBufferPointer, pad: UnsafeRawBufferPointer
    ) {
        let count = first.count + second.count
        precondition(pad.count == count && out.count == count + Self.size, "buffers of unequal length")
        guard let o = out.baseAddress, let p = pad.baseAddress else { return }
        makeUnique()
        let state = state.pointer
        if let base = context.baseAddress { ck_gf128_update(state, base, context.count) }
        if let base = first.baseAddress { ck_gf128_seal(state, o, base, p, first.count) }
        if let base = second.baseAddress {
            ck_gf128_seal(state, o + first.count, base, p + first.count, second.count)
        }
        ck_gf128_finish(state, o + count)
    }

    /// `update` with the context, then the text, which is ciphertext, joins the message and is decrypted in place, and
    /// `finish`. What comes out is not authentic before the hash was compared with what the tag says.
    ///
    /// - Parameter pad: as long as the text.
    public mutating func open(
        _ text: UnsafeMutableRawBufferPointer, context: UnsafeRawBufferPointer, pad: UnsafeRawBufferPointer,
        into hash: UnsafeMutableRawBufferPointer
    ) {
        precondition(pad.count == text.count && hash.count == Self.size, "buffers of unequal length")
        makeUnique()
        let state = state.pointer
        if let base = context.baseAddress { ck_gf128_update(state, base, context.count) }
        if let t = text.baseAddress, let p = pad.baseAddress { ck_gf128_open(state, t, p, text.count) }
        if let base = hash.baseAddress { ck_gf128_finish(state, base) }
    }

    /// Writes the 16 bytes of the hash and begins the next message.
    public mutating func finish(into hash: UnsafeMutableRawBufferPointer) {
        precondition(hash.count == Self.size, "a polynomial hash has 16 bytes")
        guard let base = hash.baseAddress else { return }
        makeUnique()
        ck_gf128_finish(state.pointer, base)
    }

    /// The bits of security against one forgery attempt on a message of that many bytes: 128 - log2(L + 1), rounded
    /// down.
    public static func forgeryBits(messageBytes: Int) -> Int {
        let blocks = (messageBytes + 15) / 16
        return 128 - (Int.bitWidth - blocks.leadingZeroBitCount)
    }

    private mutating func makeUnique() {
        if !isKnownUniquelyReferenced(&state) { state = State(copying: state) }
    }

    /// `@unchecked Sendable`: changed only by a value that holds the sole reference.
    private final class State: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<ck_gf128>

        init() {
            guard let memory = ck_secret_alloc(MemoryLayout<ck_gf128>.size) else {
                fatalError("no memory for a hash key")
            }
            pointer = memory.bindMemory(to: ck_gf128.self, capacity: 1)
        }

        convenience init(copying other: State) {
            self.init()
            pointer.update(from: other.pointer, count: 1)
        }

        deinit { ck_secret_free(pointer, MemoryLayout<ck_gf128>.size) }
    }
}
