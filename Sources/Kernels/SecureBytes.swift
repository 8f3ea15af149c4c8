import CKernels

/// Bytes that nobody else may see: kept in memory of the C side that is locked, left out of core dumps and of forked
/// children, and wiped when the object goes away.
///
/// Up to 2,048 bytes share slabs; more gets pages of its own between guard pages, so that an overrun stops the process.
/// The object is a reference: two holders see the same bytes.
///
/// `@unchecked Sendable`: the address and the length never change. There is no lock over the contents; whoever shares
/// the object among threads orders their reads and writes, as with any buffer.
public final class SecureBytes: @unchecked Sendable {
    public let count: Int
    private let base: UnsafeMutableRawPointer

    /// Zeros.
    public init(count: Int) {
        precondition(count >= 0)
        guard let base = ck_secret_alloc(count) else { fatalError("no memory for \(count) secret bytes") }
        self.base = base
        self.count = count
    }

    /// A copy. The caller wipes the original.
    public convenience init(copying source: UnsafeRawBufferPointer) {
        self.init(count: source.count)
        withUnsafeMutableBytes { $0.copyMemory(from: source) }
    }

    deinit { ck_secret_free(base, count) }

    public func withUnsafeBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    public func withUnsafeMutableBytes<Result>(
        _ body: (UnsafeMutableRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeMutableRawBufferPointer(start: base, count: count))
    }

    /// Overwrites the contents with zeros.
    public func wipe() { ck_wipe(base, count) }
}

/// How well the secret memory of this process is protected.
public enum SecretMemoryProtection: UInt32, Sendable {
    /// memfd_secret(2): outside the kernel's own map of memory, never swapped, never dumped.
    case memfdSecret = 0
    /// Locked pages, never swapped, never dumped.
    case locked = 1
    /// The lock limit was too small for some block, whose pages could be swapped.
    case unlocked = 2

    /// The weakest protection that any block has had so far.
    public static var weakest: SecretMemoryProtection {
        SecretMemoryProtection(rawValue: ck_secret_weakest().rawValue) ?? .unlocked
    }
}

/// Whether the two have the same bytes, in time that depends on the lengths only.
public func constantTimeEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard a.count == b.count else { return false }
    guard let x = a.baseAddress, let y = b.baseAddress else { return true }
    return ck_equal(x, y, a.count) == 1
}

/// Overwrites the bytes with zeros; the compiler cannot leave it out.
public func wipe(_ buffer: UnsafeMutableRawBufferPointer) {
    guard let base = buffer.baseAddress else { return }
    ck_wipe(base, buffer.count)
}
