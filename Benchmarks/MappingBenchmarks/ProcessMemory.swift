import Glibc

/// Memory of this process.
enum ProcessMemory {
    /// The most bytes that were resident at once.
    static var peak: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }
}
