internal import Diagnostics
internal import Foundation
internal import HardwareProfiles
internal import Kernels
internal import Threads

/// How DSGD uses a class of machine (hardware-profiles/README.md). A profile changes speed, never an answer.
public struct HardwareProfile: Codable, Sendable, Equatable {
    /// What a machine must have for the profile to hold.
    public struct Matches: Codable, Sendable, Equatable {
        public var architecture: String
        public var isa: String
    }

    /// How DSGD uses such a machine.
    public struct Uses: Codable, Sendable, Equatable {
        public var isa: String
        public var threads: Int
        public var queuedBatches: Int
        /// Memory for a genotyping process in MiB; left out, three quarters of what the process may have.
        public var memoryMiB: Int?
        /// CPUs that the mapper's workers are pinned to, one after the other, over and over; left out, the system
        /// places them.
        public var pinThreads: [Int]?
        /// Where reads are spilled when memory is full; left out, `TMPDIR`, or `/var/tmp` when that is not set.
        public var spillDirectory: String?

        enum CodingKeys: String, CodingKey {
            case isa, threads
            case queuedBatches = "queued_batches"
            case memoryMiB = "memory_mib"
            case pinThreads = "pin_threads"
            case spillDirectory = "spill_directory"
        }
    }

    public var name: String
    public var matches: Matches
    public var uses: Uses

    /// Worker threads to start: the profile's number, or one for each core that this process may use.
    public var threads: Int { uses.threads > 0 ? uses.threads : Self.availableCores }

    /// Bytes of memory that a genotyping process is to stay under.
    public var memory: Int { uses.memoryMiB.map { $0 << 20 } ?? Self.availableMemory / 4 * 3 }

    /// Bytes of memory that the process may have: the machine's, or the limit of its control group if that is less.
    public static var availableMemory: Int {
        let machine = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        let limit = FileManager.default.contents(atPath: "/sys/fs/cgroup/memory.max")
            .flatMap { Int(String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)) }
        return min(machine, limit ?? machine)
    }

    /// Cores that the process may run on.
    public static var availableCores: Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }

    /// The profiles that are built in, most demanding first.
    public static func embedded() throws -> [HardwareProfile] {
        try HardwareProfiles.embedded.map { try decode($0, name: "embedded profile") }
    }

    /// Chooses a profile: a file (a path with a slash or `.json`), a built-in one by name, or the first that matches.
    public static func choose(_ wanted: String? = nil) throws -> HardwareProfile {
        let embedded = try embedded()
        guard let wanted else { return embedded.first { $0.holdsHere } ?? embedded[embedded.count - 1] }
        let profile: HardwareProfile
        if wanted.contains("/") || wanted.hasSuffix(".json") {
            guard let bytes = FileManager.default.contents(atPath: wanted) else {
                throw Failure(.noInput, at: wanted, "cannot be read", remedy: "check the path of the hardware profile")
            }
            profile = try decode([UInt8](bytes), name: wanted)
        } else if let found = embedded.first(where: { $0.name == wanted }) {
            profile = found
        } else {
            throw Failure(
                .usage, at: "hardware profile \(wanted)", "there is no such profile",
                remedy: "use a file or one of \(embedded.map(\.name).joined(separator: ", "))")
        }
        guard profile.holdsHere else {
            throw Failure(
                .configuration, at: "hardware profile \(profile.name)",
                "it is for \(profile.matches.architecture) with \(profile.matches.isa), which this machine is not",
                remedy: "leave the profile out, or use `portable`")
        }
        try profile.checkPinning()
        return profile
    }

    private func checkPinning() throws {
        guard let cpus = uses.pinThreads else { return }
        guard !cpus.isEmpty, Set(cpus).count == cpus.count else {
            throw Failure(
                .configuration, at: "hardware profile \(name)", "pin_threads is empty or names a CPU twice",
                remedy: "list each CPU once, or leave pin_threads out")
        }
        if let cpu = cpus.first(where: { !WorkerThreads.mayUse(cpu: $0) }) {
            throw Failure(
                .configuration, at: "hardware profile \(name)",
                "pin_threads names CPU \(cpu), which this process may not use",
                remedy: "`taskset -cp $$` lists the CPUs that it may use")
        }
    }

    /// Caps the kernels' dispatch and says where workers run; call once before any work.
    public func apply() {
        WorkerThreads.cpus = uses.pinThreads ?? []
        guard let wanted = CPU.Cap(name: uses.isa) else { return }
        if wanted.rawValue < CPU.cap.rawValue { CPU.cap = wanted }
    }

    var holdsHere: Bool {
        guard ["any", Self.architecture].contains(matches.architecture) else { return false }
        switch matches.isa {
        case "portable": return true
        case "avx2": return CPU.features.contains(.avx2)
        case "avx512": return CPU.features.contains(.avx512)
        case "neon": return CPU.features.contains(.neon)
        default: return false
        }
    }

    static var architecture: String {
        #if arch(x86_64)
            "x86_64"
        #else
            "arm64"
        #endif
    }

    private static func decode(_ bytes: [UInt8], name: String) throws -> HardwareProfile {
        do {
            let profile = try JSONDecoder().decode(HardwareProfile.self, from: Data(bytes))
            guard CPU.Cap(name: profile.uses.isa) != nil, (0...1024).contains(profile.uses.threads),
                (1...4096).contains(profile.uses.queuedBatches), (1...1 << 30).contains(profile.uses.memoryMiB ?? 1)
            else {
                throw Failure(
                    .configuration, at: name, "isa, threads, queued_batches or memory_mib is out of range",
                    remedy: "see hardware-profiles/README.md")
            }
            return profile
        } catch let error as DecodingError {
            throw Failure(.configuration, at: name, problem(of: error), remedy: "see hardware-profiles/README.md")
        }
    }

    private static func problem(of error: DecodingError) -> String {
        func key(_ path: [any CodingKey]) -> String { path.map(\.stringValue).joined(separator: ".") }
        switch error {
        case .keyNotFound(let missing, let context): return "\(key(context.codingPath + [missing])) is missing"
        case .typeMismatch(_, let context) where !context.codingPath.isEmpty,
            .valueNotFound(_, let context) where !context.codingPath.isEmpty:
            return "\(key(context.codingPath)) is of the wrong type"
        default: return "it is no hardware profile in JSON"
        }
    }
}
