import GenomicFormats

/// Text of one piece of a file in memory of fixed size, for the loops that write millions of records.
///
/// Used by one thread at a time.
final class TextPiece: @unchecked Sendable {
    private let base: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private(set) var count = 0

    /// - Parameter capacity: bytes that the piece may hold; more is a programmer's error.
    init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    func removeAll() { count = 0 }

    /// Room for `size` more bytes, which the caller fills.
    @inline(__always)
    func extend(by size: Int) -> UnsafeMutablePointer<UInt8> {
        precondition(size >= 0 && size <= capacity - count, "the piece is full")
        defer { count += size }
        return base + count
    }

    @inline(__always)
    func append(_ byte: UInt8) { extend(by: 1)[0] = byte }

    func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            extend(by: source.count).update(from: start, count: source.count)
        }
    }

    func append(_ text: StaticString) {
        extend(by: text.utf8CodeUnitCount).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    /// A number in decimal digits.
    func append(_ number: Int) {
        precondition(number >= 0)
        var digits = 1
        var bound = 10
        while number >= bound, digits < 19 {
            digits += 1
            bound &*= 10
        }
        let out = extend(by: digits)
        var rest = number
        for place in stride(from: digits - 1, through: 0, by: -1) {
            out[place] = UInt8(truncatingIfNeeded: 48 + rest % 10)
            rest /= 10
        }
    }
}
