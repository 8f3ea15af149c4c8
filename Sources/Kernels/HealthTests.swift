import CKernels

/// The continuous health tests of NIST SP 800-90B, section 4.4, on 8-bit samples: repetition count and adaptive
/// proportion in windows of 512. `Randomness.HealthTestedSource` is the door for callers.
public struct HealthTests: Sendable {
    public static let window = Int(CK_HEALTH_WINDOW)

    public enum Verdict: Sendable, Equatable {
        case good
        /// One value that many times in a row.
        case repetition(Int)
        /// The first value of a window that many times in it.
        case proportion(Int)
    }

    private var state = ck_health()
    private let repetitionCutoff: UInt32
    private let proportionCutoff: UInt32

    public init(repetitionCutoff: Int, proportionCutoff: Int) {
        self.repetitionCutoff = UInt32(repetitionCutoff)
        self.proportionCutoff = UInt32(proportionCutoff)
    }

    /// Adds samples in the order in which the source made them. After a verdict other than `good` the value is of no
    /// further use.
    public mutating func add(_ samples: UnsafeRawBufferPointer) -> Verdict {
        guard let base = samples.baseAddress else { return .good }
        let result = ck_health_add(&state, base, samples.count, repetitionCutoff, proportionCutoff)
        return result == 0 ? .good : result > 0 ? .repetition(Int(result)) : .proportion(-Int(result))
    }
}
