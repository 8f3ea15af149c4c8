import CKernels
internal import Diagnostics

/// Keeps this process's memory to itself: no core dumps, no tracing by processes of the same user, and no crash handler
/// that would print memory. Call it before the first secret is read.
///
/// - Throws: `.configuration` when the system refuses a step.
public func hardenProcess() throws {
    let code = ck_process_harden()
    guard code == 0 else {
        throw Failure(
            .configuration, at: "process", "the system refused to turn off core dumps and tracing (errno \(code))",
            remedy: "allow prctl and setrlimit in the service unit or sandbox")
    }
}

/// Tries to lock all pages of the process in memory; false under a small lock limit (`ulimit -l`).
public func lockAllMemory() -> Bool { ck_process_lock_all() == 0 }

/// Fills the buffer from the kernel's generator, getrandom(2). `Randomness.KernelRandomSource` is the door for callers.
///
/// - Throws: `.inputOutput` when the kernel refuses.
public func fillFromKernel(_ buffer: UnsafeMutableRawBufferPointer) throws {
    guard let base = buffer.baseAddress else { return }
    let code = ck_random_fill(base, buffer.count)
    guard code == 0 else {
        throw Failure(
            .inputOutput, at: "getrandom", "the kernel gave no random bytes (errno \(code))",
            remedy: "allow getrandom in the service unit or sandbox")
    }
}

/// Gives a stretch of an open file back to the file system, where it reads as zeros from then on; false where the file
/// system knows no holes.
public func punchHole(_ descriptor: Int32, at offset: Int, count: Int) -> Bool {
    ck_process_punch_hole(descriptor, Int64(offset), Int64(count)) == 0
}
