import CKernels

/// What the processor can do under the cap that `DSGD_CPU_CAP` or a hardware profile puts on it.
public enum CPU {
    public struct Features: OptionSet, Sendable, CustomStringConvertible {
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        public static let avx2 = Features(rawValue: 1 << 0)
        /// AVX-512 F, BW, CD, DQ and VL.
        public static let avx512 = Features(rawValue: 1 << 1)
        public static let avx512vbmi = Features(rawValue: 1 << 2)
        public static let avx512vbmi2 = Features(rawValue: 1 << 3)
        public static let avx512vpopcntdq = Features(rawValue: 1 << 4)
        public static let pclmulqdq = Features(rawValue: 1 << 5)
        public static let vpclmulqdq = Features(rawValue: 1 << 6)
        public static let aes = Features(rawValue: 1 << 7)
        public static let vaes = Features(rawValue: 1 << 8)
        public static let gfni = Features(rawValue: 1 << 9)
        public static let neon = Features(rawValue: 1 << 10)
        public static let pmull = Features(rawValue: 1 << 11)

        private static let names = [
            "avx2", "avx512", "avx512vbmi", "avx512vbmi2", "avx512vpopcntdq", "pclmulqdq", "vpclmulqdq", "aes", "vaes",
            "gfni", "neon", "pmull",
        ]

        /// The names of the features, in order of their bits, separated by blanks.
        public var description: String {
            Self.names.enumerated().filter { rawValue >> UInt32($0.offset) & 1 == 1 }.map(\.element)
                .joined(separator: " ")
        }
    }

    /// The upper limit on the instruction sets that kernels may use. `avx512` and `neon` are no limit, each the most that
    /// its architecture has; what another architecture has is limited by `portable` only.
    public enum Cap: UInt32, Sendable, CaseIterable {
        case portable = 0
        case avx2 = 1
        case avx512 = 2
        case neon = 3

        /// The caps that differ on this architecture, least first.
        public static var ofThisArchitecture: [Cap] {
            #if arch(arm64)
                [.portable, .neon]
            #else
                [.portable, .avx2, .avx512]
            #endif
        }

        /// The name that `DSGD_CPU_CAP` and hardware profiles use.
        public var name: String { "\(self)" }

        /// The cap of that name, or nil.
        public init?(name: String) {
            guard let cap = Self.allCases.first(where: { $0.name == name }) else { return nil }
            self = cap
        }
    }

    /// Features that kernels may use.
    public static var features: Features { Features(rawValue: ck_cpu_features()) }

    /// Features of the processor whatever the cap.
    public static var detected: Features { Features(rawValue: ck_cpu_detected()) }

    /// The cap in force. Setting it takes effect for kernels that start afterwards, in the whole process; results never
    /// depend on it.
    public static var cap: Cap {
        get { Cap(rawValue: ck_cpu_get_cap().rawValue) ?? .portable }
        set { ck_cpu_set_cap(ck_cpu_cap(rawValue: newValue.rawValue)) }
    }
}
