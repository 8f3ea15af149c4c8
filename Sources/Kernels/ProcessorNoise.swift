import CKernels
internal import Diagnostics

/// RDSEED, the noise source inside x86-64 processors. `Randomness.ProcessorRandomSource` is the door for callers.
public enum ProcessorNoise {
    /// Whether this processor has it.
    public static var isAvailable: Bool { ck_rdseed_available() }

    /// Fills the whole buffer.
    ///
    /// - Throws: `.inputOutput` when the processor gives nothing for some milliseconds.
    public static func fill(_ buffer: UnsafeMutableRawBufferPointer) throws {
        guard let base = buffer.baseAddress else { return }
        guard ck_rdseed_fill(base, buffer.count) == buffer.count else {
            throw Failure(
                .inputOutput, at: "rdseed", "the processor's random source gives no more bytes",
                remedy: "use another source; a processor whose RDSEED stays silent is faulty")
        }
    }
}
