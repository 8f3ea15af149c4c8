internal import Glibc

/// Ends the program because memory that cannot be done without is refused, with the line and the exit code of a
/// ``FailureKind/transient`` failure: the same work may pass on a machine, or at a time, with more memory. Nothing of the
/// process can be relied on any more, so nothing is closed; files that were being written keep their partial names.
public func outOfMemory(bytes: Int, for purpose: String) -> Never {
    let line = """
        dsgd: memory: \(bytes) bytes for \(purpose) are refused by the system
        hint: use a machine with more memory, or raise the limit (ulimit -v, the batch system's memory)

        """
    _ = Array(line.utf8).withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    _exit(FailureKind.transient.exitCode)
}
