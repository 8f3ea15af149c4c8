public import BenchmarkSupport
internal import CCrypto
internal import Foundation
internal import Kernels
internal import Randomness

/// GB/s of every kernel that touches each byte, under each instruction set, in cache and from DRAM, beside memcpy on the
/// same buffers and OpenSSL where it has the same operation; then compression beside the libraries.
public struct KernelBenchmarks {
    /// Bytes of one operand: well inside a core's own cache, and far larger than any cache.
    static let cacheBytes = 64 << 10
    static let memoryBytes = 192 << 20

    public var measure: Measure
    public var threads: Int

    public init(measure: Measure = Measure(), threads: Int) {
        self.measure = measure
        self.threads = threads
    }

    /// Runs everything; `progress` is told each figure as it comes.
    public func run(progress: (BenchmarkResult) -> Void) -> [BenchmarkResult] {
        var results: [BenchmarkResult] = []
        func add(_ result: BenchmarkResult) {
            results.append(result)
            progress(result)
        }
        let limit = CPU.cap
        defer { CPU.cap = limit }
        for (place, bytes) in [("cache", Self.cacheBytes), ("dram", Self.memoryBytes)] {
            for count in Set([1, threads]).sorted() {
                let operands = (0..<count).map { _ in Operands(bytes: bytes) }
                add(figure("memcpy", "libc", place, operands) { $0.copy() })
                for cap in CPU.Cap.ofThisArchitecture where cap.rawValue <= limit.rawValue {
                    CPU.cap = cap
                    for kernel in Self.kernels where cap != .portable || place == "cache" || !kernel.isSlowPortably {
                        add(figure(kernel.name, cap.name, place, operands, kernel.work))
                    }
                }
                CPU.cap = limit
                if count == 1 {
                    for peer in Self.peers { add(figure(peer.name, "openssl", place, operands, peer.work)) }
                }
            }
        }
        for result in randomSources() { add(result) }
        CompressionBenchmarks(measure: measure, threads: threads).run(add)
        return results
    }

    struct Kernel: Sendable {
        var name: String
        var isSlowPortably = false
        var work: @Sendable (Operands) -> Void
    }

    static let kernels: [Kernel] = [
        Kernel(name: "xor.pad") { XOR.apply($0.out, $0.a, $0.b) },
        Kernel(name: "share.split") { $0.split() },
        Kernel(name: "share.join.ab") { ShareBlock.join($0.out, a: $0.a, b: $0.b) },
        Kernel(name: "share.join.ac") { ShareBlock.join($0.out, a: $0.a, c: $0.c) },
        Kernel(name: "share.join.bc") { ShareBlock.join($0.out, b: $0.b, c: $0.c) },
        Kernel(name: "share.repair") { ShareBlock.repair(a: $0.out, b: $0.b, c: $0.c) },
        Kernel(name: "share.refresh") { ShareBlock.refresh(a: $0.out, zero: $0.a) },
        Kernel(name: "share.verify") { _ = ShareBlock.isConsistent(a: $0.a, b: $0.b, c: $0.c) },
        Kernel(name: "aes.expand", isSlowPortably: true) { $0.aes.expand(into: $0.out) },
        Kernel(name: "aes.xor", isSlowPortably: true) { $0.aes.xor($0.out, $0.a) },
        Kernel(name: "aes.xor2", isSlowPortably: true) { $0.aes.xor($0.out, $0.a, $0.b) },
        Kernel(name: "gf128.tag", isSlowPortably: true) { $0.tag() },
        Kernel(name: "pad.seal", isSlowPortably: true) { $0.seal() },
        Kernel(name: "pad.open", isSlowPortably: true) { $0.open() },
        Kernel(name: "random.health") { $0.testHealth() },
    ]

    static let peers: [Kernel] = [
        Kernel(name: "aes.xor") { $0.openSSL.encrypt($0.a, into: $0.out) },
        Kernel(name: "gf128.tag") { $0.openSSL.authenticate($0.a) },
    ]

    /// Runs `work` on every thread's own operands at once and adds the rates up.
    private func figure(
        _ name: String, _ variant: String, _ place: String, _ operands: [Operands],
        _ work: @escaping @Sendable (Operands) -> Void
    ) -> BenchmarkResult {
        let rates = Rates(count: operands.count)
        // Each thread has operands and a slot of its own.
        nonisolated(unsafe) let operands = operands
        let measure = measure
        DispatchQueue.concurrentPerform(iterations: operands.count) { thread in
            let mine = operands[thread]
            rates.values[thread] = measure.rate(bytes: mine.bytes) { work(mine) }
        }
        let value = (0..<operands.count).reduce(0) { $0 + rates.values[$1].value }
        return BenchmarkResult(
            name: name, variant: variant, threads: operands.count, place: place, value: value, unit: "GB/s",
            spread: (0..<operands.count).map { rates.values[$0].spread }.max() ?? 0)
    }

    /// Small buffers are filled by the thread that asks, large ones of the kernel's by all cores.
    private func randomSources() -> [BenchmarkResult] {
        let small = 64 << 10, large = 4 << 20
        let cores = ProcessInfo.processInfo.activeProcessorCount
        var results = [
            random(KernelRandomSource(), "random.kernel", bytes: small, threads: 1),
            random(KernelRandomSource(), "random.kernel", bytes: large, threads: cores),
        ]
        if let tested = try? HealthTestedSource(wrapping: KernelRandomSource()) {
            results.append(random(tested, "random.tested", bytes: small, threads: 1))
            results.append(random(tested, "random.tested", bytes: large, threads: cores))
        }
        if let processor = try? ProcessorRandomSource() {
            results.append(random(processor, "random.rdseed", bytes: small, threads: 1))
        }
        return results
    }

    private func random(_ source: some RandomSource, _ name: String, bytes: Int, threads: Int) -> BenchmarkResult {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 64)
        defer { buffer.deallocate() }
        let rate = measure.rate(bytes: bytes) {
            do { try source.fill(buffer) } catch { preconditionFailure("\(error)") }
        }
        return BenchmarkResult(
            name: name, variant: source.name, threads: threads, place: bytes > Self.cacheBytes ? "dram" : "cache",
            value: rate.value, unit: "GB/s", spread: rate.spread)
    }
}

/// One slot for each thread; no two threads write the same one.
private final class Rates: @unchecked Sendable {
    let values: UnsafeMutableBufferPointer<(value: Double, spread: Double)>
    init(count: Int) {
        values = .allocate(capacity: count)
        values.initialize(repeating: (0, 0))
    }
    deinit { values.deallocate() }
}

/// The buffers that the kernels work on, all written once so that every page is there.
final class Operands {
    let bytes: Int
    private let memory: [UnsafeMutableRawBufferPointer]
    let aes: AESCounterMode
    let openSSL: OpenSSLPeer
    private let key: [UInt8]

    init(bytes: Int) {
        self.bytes = bytes
        memory = (0..<5).map { number in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 4096)
            for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: index &* (2 * number + 1)) }
            return buffer
        }
        key = (1...32).map { UInt8($0) }
        aes = key.withUnsafeBytes { AESCounterMode(key: $0) }
        openSSL = OpenSSLPeer(key: key)
    }

    deinit { for buffer in memory { buffer.deallocate() } }

    var out: UnsafeMutableRawBufferPointer { memory[0] }
    var a: UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory[1]) }
    var b: UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory[2]) }
    var c: UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory[3]) }

    func copy() { out.copyMemory(from: a) }

    func split() {
        // C is the random numbers themselves, so it is not written again.
        ShareBlock.split(a: memory[0], b: memory[4], secret: a, c: c)
    }

    func testHealth() {
        var tests = HealthTests(
            repetitionCutoff: HealthTestedSource.repetitionCutoff,
            proportionCutoff: HealthTestedSource.proportionCutoff)
        let verdict = tests.add(a)
        precondition(verdict == .good, "every value comes twice in a window")
    }

    func tag() { hashing { $0.update(a) } }

    /// A record's way out: pad and hash in one pass.
    func seal() { hashing { $0.seal(out, a, pad: b) } }

    /// A record's way in: the tag is right before anything is decrypted.
    func open() {
        hashing { $0.update(a) }
        XOR.apply(out, a, b)
    }

    private func hashing(_ body: (inout PolynomialHash) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: 16, alignment: 16) { tag in
            var hash = key.withUnsafeBytes { PolynomialHash(key: UnsafeRawBufferPointer(rebasing: $0[..<16])) }
            body(&hash)
            hash.finish(into: tag)
        }
    }
}

/// OpenSSL's AES-256-CTR, and its GHASH by way of GCM's additional data.
final class OpenSSLPeer {
    private let stream = EVP_CIPHER_CTX_new()
    private let mac = EVP_CIPHER_CTX_new()

    init(key: [UInt8]) {
        let nonce = [UInt8](repeating: 0, count: 16)
        EVP_EncryptInit_ex(stream, EVP_aes_256_ctr(), nil, key, nonce)
        EVP_EncryptInit_ex(mac, EVP_aes_256_gcm(), nil, key, nonce)
    }

    deinit {
        EVP_CIPHER_CTX_free(stream)
        EVP_CIPHER_CTX_free(mac)
    }

    func encrypt(_ input: UnsafeRawBufferPointer, into out: UnsafeMutableRawBufferPointer) {
        var length: Int32 = 0
        EVP_EncryptUpdate(
            stream, out.baseAddress!.assumingMemoryBound(to: UInt8.self), &length,
            input.baseAddress!.assumingMemoryBound(to: UInt8.self), Int32(input.count))
    }

    func authenticate(_ input: UnsafeRawBufferPointer) {
        var length: Int32 = 0
        EVP_EncryptInit_ex(mac, nil, nil, nil, [UInt8](repeating: 0, count: 12))
        EVP_EncryptUpdate(mac, nil, &length, input.baseAddress!.assumingMemoryBound(to: UInt8.self), Int32(input.count))
    }
}
