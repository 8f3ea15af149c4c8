import Foundation

/// What the fuzz targets share. A target's whole face to libFuzzer is two C functions: `LLVMFuzzerInitialize`, which
/// writes its seeds, and `LLVMFuzzerTestOneInput`.

/// Writes valid inputs, from which the fuzzer starts, into the directory that `DSGD_FUZZ_SEEDS` names.
public func writeSeeds(_ seeds: [[UInt8]]) {
    guard let directory = ProcessInfo.processInfo.environment["DSGD_FUZZ_SEEDS"] else { return }
    for (number, seed) in seeds.enumerated() {
        try! Data(seed).write(to: URL(fileURLWithPath: "\(directory)/seed-\(number)"))
    }
}

/// A finding that is not a crash of its own: what came out is wrong.
public func require(_ condition: Bool, _ what: String) {
    if !condition { fatalError(what) }
}

/// Hands the bytes out in pieces of `size`.
public func inPieces(
    of size: Int, _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void
) rethrows {
    var at = 0
    while at < bytes.count {
        let end = min(at + max(1, size), bytes.count)
        try body(UnsafeRawBufferPointer(rebasing: bytes[at..<end]))
        at = end
    }
}

/// What a parser made of an input: nil when it refused.
public func outcome<Result>(_ body: () throws -> Result) -> Result? { try? body() }
