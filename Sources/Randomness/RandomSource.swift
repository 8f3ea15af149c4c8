/// Where random bytes come from. Implementations may be called from several threads.
public protocol RandomSource: Sendable {
    /// For receipts: what the source is, for example `kernel` or `device /dev/qrng0`.
    var name: String { get }

    /// Fills the whole buffer or throws; after an error nothing in the buffer may be used.
    func fill(_ buffer: UnsafeMutableRawBufferPointer) throws
}
