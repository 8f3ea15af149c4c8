/// Bytes that grow at the end. Room is made once for a record, and what is put does not look at it.
final class ByteBuffer: @unchecked Sendable {
    // Belongs to one thread at a time; whoever hands it over says when.

    private(set) var base: UnsafeMutablePointer<UInt8>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int = 1 << 16) {
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    func removeAll() { count = 0 }

    /// Makes room for `more` bytes.
    func reserve(_ more: Int) {
        guard count + more > capacity else { return }
        capacity = max(2 * capacity, count + more)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        larger.update(from: base, count: count)
        base.deallocate()
        base = larger
    }

    @inline(__always)
    func put(_ byte: UInt8) {
        base[count] = byte
        count += 1
    }

    func put(_ text: StaticString) {
        (base + count).update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    func put(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        UnsafeMutableRawPointer(base + count).copyMemory(from: start, byteCount: bytes.count)
        count += bytes.count
    }

    func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0) } }

    @inline(__always)
    func putLittleEndian<Value: FixedWidthInteger>(_ value: Value) {
        UnsafeMutableRawPointer(base + count).storeBytes(of: value.littleEndian, as: Value.self)
        count += MemoryLayout<Value>.size
    }

    func putLittleEndian(_ value: Int32, at place: Int) {
        UnsafeMutableRawPointer(base + place).storeBytes(of: value.littleEndian, as: Int32.self)
    }

    func putDecimal(_ value: Int) {
        var rest = value.magnitude
        if value < 0 { put(UInt8(ascii: "-")) }
        var digits = 1
        var bound: UInt = 10
        while rest >= bound && digits < 19 {
            digits += 1
            bound *= 10
        }
        for place in stride(from: digits - 1, through: 0, by: -1) {
            base[count + place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        count += digits
    }

    /// Takes back the last `count` bytes.
    func drop(to count: Int) { self.count = count }

    /// Where `length` bytes are to be written by the caller.
    @inline(__always)
    func take(_ length: Int) -> UnsafeMutablePointer<UInt8> {
        let place = base + count
        count += length
        return place
    }
}
