internal import CKernels
internal import Glibc
internal import Synchronization

/// Where worker threads run. Results never depend on it.
public enum WorkerThreads {
    private static let list = Mutex<[Int]>([])

    /// The CPUs that workers are pinned to, the first worker to the first one and so on, over and over; none for no
    /// pinning. Holds for workers that start afterwards, in the whole process.
    public static var cpus: [Int] {
        get { list.withLock { $0 } }
        set { list.withLock { $0 = newValue } }
    }

    /// How many CPUs this process may use.
    package static var usableCPUs: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Whether the calling thread may run on this CPU.
    public static func mayUse(cpu: Int) -> Bool { ck_process_may_use_cpu(Int32(clamping: cpu)) == 1 }

    /// Pins the calling thread, which is worker `number` of its stage. A CPU that was taken from the process in the
    /// meantime leaves the thread where it is.
    public static func pin(worker number: Int) {
        let cpus = cpus
        if !cpus.isEmpty { pinThread(toCPU: cpus[number % cpus.count]) }
    }
}

/// Keeps the calling thread, and threads that it starts afterwards, on one CPU; a CPU that this process may not use
/// changes nothing.
public func pinThread(toCPU cpu: Int) { _ = ck_process_pin_thread(Int32(clamping: cpu)) }
