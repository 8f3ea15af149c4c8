internal import Diagnostics
internal import Foundation
internal import Glibc
internal import Kernels
internal import OneTimePad

/// Equal pad for both ends of every stream, made before the clock starts: what a run measures is then the channel and
/// its durable marks, not a generator of key or a key network.
///
/// Each stream has a region of one buffer, which both ends read. Nothing is erased here before the end of the run: that
/// is the work of nodes, which this measurement leaves out. The pad is the AES-256 expansion of a key from the kernel.
///
/// `@unchecked Sendable`: nothing changes after `init`.
final class PreparedPadSource: @unchecked Sendable {
    private let buffer: UnsafeMutableRawBufferPointer
    /// Where each stream's pad lies in the buffer.
    private let regions: [PadStream: Range<Int>]

    /// - Parameters:
    ///   - forward: the stream that carries data; it has `bytes` of pad.
    ///   - backward: the stream of answers; it has `answers`.
    init(forward: PadStream, bytes: Int, backward: PadStream, answers: Int) throws {
        let total = bytes + answers
        let base = mmap(nil, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let base, base != MAP_FAILED else {
            throw Failure(
                .transient, at: "pad for the measurement", "there is no memory for \(total >> 20) MiB",
                remedy: "measure less at a time")
        }
        madvise(base, total, Int32(MADV_HUGEPAGE))
        buffer = UnsafeMutableRawBufferPointer(start: base, count: total)
        regions = [forward: 0..<bytes, backward: bytes..<total]
        try withUnsafeTemporaryAllocation(byteCount: AESCounterMode.keySize, alignment: 8) { key in
            try fillFromKernel(key)
            AESCounterMode(key: UnsafeRawBufferPointer(key)).expand(into: buffer)
        }
    }

    deinit { munmap(buffer.baseAddress, buffer.count) }

    /// The source as either role sees it.
    var end: any PadSource { End(source: self) }

    private struct End: PadSource {
        let source: PreparedPadSource

        func take(
            _ stream: PadStream, offset: UInt64, into destination: UnsafeMutableRawBufferPointer, timeout: Double
        ) throws {
            guard let region = source.regions[stream], offset <= UInt64(region.count),
                destination.count <= region.count - Int(offset)
            else {
                throw Failure(
                    .transient, at: "\(stream)", "insufficient key: the pad of this measurement is used up",
                    remedy: "measure less at a time")
            }
            let start = region.lowerBound + Int(offset)
            destination.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: source.buffer[start..<start + destination.count]))
        }
    }
}
