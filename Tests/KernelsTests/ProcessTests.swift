import Glibc
import Kernels
import TestSupport
import Testing

/// What ends a process, seen from outside it.
@Suite struct ProcessTests {
    @Test func unknownCapIsAConfigurationError() async {
        await #expect(processExitsWith: .exitCode(78)) {
            setenv("DSGD_CPU_CAP", "sse9", 1)
            _ = CPU.features
        }
    }

    @Test(arguments: ["portable", "avx2", "avx512", "neon"]) func capComesFromTheEnvironment(name: String) async {
        await #expect(processExitsWith: .success) { [name] in
            setenv("DSGD_CPU_CAP", name, 1)
            guard CPU.cap.name == name, CPU.features.isSubset(of: CPU.detected) else { exit(1) }
        }
    }

    @Test func overrunOfASecretStopsTheProcess() async {
        await #expect(processExitsWith: .signal(SIGSEGV)) {
            try? hardenProcess()
            let secret = SecureBytes(count: 8192)
            secret.withUnsafeMutableBytes { $0.baseAddress!.storeBytes(of: 1, toByteOffset: 8192, as: UInt8.self) }
        }
    }

    @Test func hardenedProcessLeavesNoCore() async {
        await #expect(processExitsWith: .success) {
            signal(SIGSEGV) { _ in exit(2) }
            try hardenProcess()
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
            var action = sigaction()
            sigaction(SIGSEGV, nil, &action)
            guard limit.rlim_cur == 0, limit.rlim_max == 0, action.__sigaction_handler.sa_handler == nil else {
                exit(1)
            }
        }
    }
}
