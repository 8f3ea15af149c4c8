internal import Diagnostics
internal import Foundation
internal import Glibc
internal import Kernels
internal import OneTimePad

/// Equal pad for both ends of every stream, made before the clock starts: what a run measures is then the channel and
/// its durable marks, not a generator of key or a key network.
///
/// Both ends copy from one buffer, which a stream reads over and over: it stays in the processor's last cache, as does
/// what a key supply agent has just written to its socket, and a copy from there is what pad costs a role in service.
/// Nothing is erased here before the end of the run; that is the work of nodes, which this measurement leaves out.
/// Nothing that is carried is secret. The pad is the AES-256 expansion of a key from the kernel.
///
/// `@unchecked Sendable`: nothing changes after `init`.
final class PreparedPadSource: @unchecked Sendable {
    private static let period = 8 << 20
    private let buffer: UnsafeMutableRawBufferPointer

    init() throws {
        buffer = .allocate(byteCount: Self.period, alignment: 2 << 20)
        madvise(buffer.baseAddress, Self.period, Int32(MADV_HUGEPAGE))
        try withUnsafeTemporaryAllocation(byteCount: AESCounterMode.keySize, alignment: 8) { key in
            try fillFromKernel(key)
            AESCounterMode(key: UnsafeRawBufferPointer(key)).expand(into: buffer)
        }
    }

    deinit { buffer.deallocate() }

    /// The source as either role sees it.
    var end: any PadSource { End(source: self) }

    private struct End: PadSource {
        let source: PreparedPadSource

        func take(
            _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
        ) {
            var rest = destination
            var place = Int(offset % UInt64(PreparedPadSource.period))
            while !rest.isEmpty {
                let count = min(rest.count, PreparedPadSource.period - place)
                rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: source.buffer[place..<place + count]))
                rest = UnsafeMutableRawBufferPointer(rebasing: rest[count...])
                place = 0
            }
        }
    }
}
