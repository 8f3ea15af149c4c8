import Diagnostics
import Kernels
import Synchronization

/// A source under the continuous health tests of NIST SP 800-90B, section 4.4, on 8-bit samples.
///
/// Cutoffs for a claimed 8 bits of entropy per sample: repetition count 9 equal samples in a row (alpha 2^-64),
/// adaptive proportion 25 equal to the first in a window of 512 (alpha below 2^-60). A good source is refused once in
/// 10^18 samples or so; a stuck, cycling or strongly biased one at once. The start-up test runs the same tests over
/// 1,024 samples that are discarded. A failure latches: the object never gives another byte.
public final class HealthTestedSource: RandomSource {
    public static let repetitionCutoff = 9
    public static let proportionCutoff = 25
    public static let startUpSamples = 1024
    /// The name by which configurations ask for the kernel's generator stretched by AES-256.
    public static let expandedKernel = "kernel-aes256"

    public let name: String
    private let source: any RandomSource
    private let tests = Mutex(Tests())

    /// Runs the start-up test.
    ///
    /// - Throws: what the source throws, or `.inputOutput` when the samples fail.
    public init(wrapping source: some RandomSource) throws {
        self.source = source
        name = source.name
        let samples = SecureBytes(count: Self.startUpSamples)
        try samples.withUnsafeMutableBytes { try fill($0) }
    }

    /// A device or file by its path, the processor's own source by the name `rdseed`, or the kernel's generator
    /// stretched by AES-256 by the name `kernel-aes256`, under test.
    ///
    /// - Throws: as the source's initialiser and `init(wrapping:)`.
    public convenience init(device: String) throws {
        if device == "rdseed" {
            try self.init(wrapping: ProcessorRandomSource())
        } else if device == Self.expandedKernel {
            try self.init(wrapping: ExpandedSource(of: KernelRandomSource()))
        } else {
            try self.init(wrapping: DeviceRandomSource(path: device))
        }
    }

    public func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        // The source is read under the lock, so that the tests see the samples in the order in which they were made.
        try tests.withLock { tests in
            try check(tests)
            do {
                try source.fill(buffer)
            } catch {
                wipe(buffer)
                throw error
            }
            tests.add(UnsafeRawBufferPointer(buffer))
            if tests.failure != nil { wipe(buffer) }
            try check(tests)
        }
    }

    private func check(_ tests: borrowing Tests) throws {
        guard let failure = tests.failure else { return }
        throw Failure(
            .inputOutput, at: name, "the random source failed its health test: \(failure)",
            remedy: "take the generator out of service; nothing made with its last bytes should be kept")
    }

    private struct Tests {
        var failure: String?
        private var tests = HealthTests(
            repetitionCutoff: HealthTestedSource.repetitionCutoff, proportionCutoff: HealthTestedSource.proportionCutoff
        )

        mutating func add(_ samples: UnsafeRawBufferPointer) {
            switch tests.add(samples) {
            case .good: break
            case .repetition(let count): failure = "one value \(count) times in a row"
            case .proportion(let count): failure = "one value \(count) times in \(HealthTests.window)"
            }
        }
    }
}
