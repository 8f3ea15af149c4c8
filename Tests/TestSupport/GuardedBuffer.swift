import Glibc

/// A buffer whose last byte is followed by a page that cannot be touched: a read or write past the end stops the test.
public final class GuardedBuffer {
    public let bytes: UnsafeMutableRawBufferPointer
    private let base: UnsafeMutableRawPointer
    private let length: Int

    public init(count: Int) {
        let page = sysconf(Int32(_SC_PAGESIZE))
        let data = (count + page - 1) / page * page
        length = data + page
        guard
            let base = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            base != MAP_FAILED, mprotect(base + data, page, PROT_NONE) == 0
        else { fatalError("no memory for a guarded buffer") }
        self.base = base
        bytes = UnsafeMutableRawBufferPointer(start: base + (data - count), count: count)
    }

    /// A guarded copy.
    public convenience init(_ contents: [UInt8]) {
        self.init(count: contents.count)
        bytes.copyBytes(from: contents)
    }

    deinit { munmap(base, length) }

    public var array: [UInt8] { Array(bytes) }
    public var readOnly: UnsafeRawBufferPointer { UnsafeRawBufferPointer(bytes) }
}
