import Diagnostics
import Glibc
import Kernels
import Synchronization
import Threads

/// The kernel's generator, getrandom(2). Cryptographically strong but a deterministic expansion of its seed: it is not
/// the source without period that condition 10 of the trusted server asks for, so configurations have to allow it by
/// name.
public struct KernelRandomSource: RandomSource {
    public let name = "kernel"

    public init() {}

    /// Large buffers are filled by several threads: the kernel's generator is per processor and slower than the XOR
    /// that uses its bytes.
    public func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        let pieces = (buffer.count + Self.pieceSize - 1) / Self.pieceSize
        guard pieces > 1 else { return try fillFromKernel(buffer) }
        // Every iteration writes a part of the buffer of its own, and all end before this function does.
        nonisolated(unsafe) let buffer = buffer
        try inParallel(pieces, threads: WorkerThreads.usableCPUs, throwing: { index in
            let bounds = index * Self.pieceSize..<min((index + 1) * Self.pieceSize, buffer.count)
            try fillFromKernel(UnsafeMutableRawBufferPointer(rebasing: buffer[bounds]))
        })
    }

    /// Half a millisecond's work for a processor: enough to hand out, and few enough bytes that all finish together.
    private static let pieceSize = 256 << 10
}

/// RDSEED, the noise source inside x86-64 processors.
public struct ProcessorRandomSource: RandomSource {
    public let name = "rdseed"

    /// - Throws: `.noInput` when the processor has none.
    public init() throws {
        guard ProcessorNoise.isAvailable else {
            throw Failure(
                .noInput, at: name, "this processor has no RDSEED",
                remedy: "name a device, or use the kernel's generator")
        }
    }

    public func fill(_ buffer: UnsafeMutableRawBufferPointer) throws { try ProcessorNoise.fill(buffer) }
}

/// A character device or file that delivers random bytes: a hardware or quantum generator. A file is read once from
/// start to end and never again from the start.
///
/// `@unchecked Sendable`: the descriptor never changes and read(2) hands every byte to one caller only.
public final class DeviceRandomSource: RandomSource, @unchecked Sendable {
    public let name: String
    private let path: String
    private let descriptor: Int32

    /// - Throws: `.noInput` when the device cannot be opened.
    public init(path: String) throws {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw Failure(
                .noInput, at: path, "the random source cannot be opened (errno \(errno))",
                remedy: "name a device or file that this user may read")
        }
        self.path = path
        name = "device \(path)"
    }

    deinit { close(descriptor) }

    public func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        var done = 0
        while done < buffer.count {
            let got = read(descriptor, buffer.baseAddress! + done, buffer.count - done)
            if got > 0 {
                done += got
            } else if got == 0 {
                throw Failure(
                    .inputOutput, at: path, "the random source ended \(buffer.count - done) bytes too early",
                    remedy: "supply a source with enough random bytes; none may be used twice")
            } else if errno != EINTR {
                throw Failure(
                    .inputOutput, at: path, "the random source cannot be read (errno \(errno))",
                    remedy: "check the generator")
            }
        }
    }
}
