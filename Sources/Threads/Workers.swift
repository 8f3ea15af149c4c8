internal import Glibc
internal import Synchronization

/// Threads that share pieces of work, each with a context of its own (a coder, a buffer) that is made once and not for
/// every piece. The thread that asks is one of them.
package struct Workers<Context>: @unchecked Sendable {
    // Each context belongs to one thread of a run, one run after the other.
    package let contexts: [Context]

    package init(_ count: Int, _ make: () -> Context) { contexts = (0..<max(1, count)).map { _ in make() } }

    /// Runs `body` once for each piece, on as many threads as there are contexts; pieces are begun in order. The failure
    /// of the lowest piece is returned with its number, so that messages do not depend on timing; every lower piece has
    /// been done then.
    package func forEach(
        _ pieces: Int, _ body: @Sendable (Context, Int) throws -> Void
    ) -> (piece: Int, error: any Error)? {
        let next = Atomic<Int>(0)
        let failures = Mutex<[(piece: Int, error: any Error)]>([])
        @Sendable func work(_ worker: Int) {
            while true {
                let piece = next.add(1, ordering: .relaxed).oldValue
                guard piece < pieces else { return }
                do { try body(contexts[worker], piece) } catch {
                    failures.withLock { $0.append((piece, error)) }
                    return
                }
            }
        }
        withoutActuallyEscaping(work) { work in
            let others = (1..<max(1, min(contexts.count, pieces))).compactMap { worker in
                WorkerThread(worker) { work(worker) }
            }
            work(0)
            for thread in others { thread.join() }
        }
        return failures.withLock { $0.min { $0.piece < $1.piece } }
    }
}

/// Calls `body` for each of `pieces` pieces on `threads` threads; it writes to places of its own only.
package func inParallel(_ pieces: Int, threads: Int, _ body: @Sendable (_ piece: Int) -> Void) {
    let failed = Workers(threads) {}.forEach(pieces) { _, piece in body(piece) }
    precondition(failed == nil, "the body throws nothing")
}

/// As ``inParallel(_:threads:_:)``; throws the error of the lowest piece that failed.
package func inParallel(_ pieces: Int, threads: Int, throwing body: @Sendable (_ piece: Int) throws -> Void) throws {
    if let failed = (Workers(threads) {}.forEach(pieces) { _, piece in try body(piece) }) { throw failed.error }
}

/// A thread of a stage, pinned as ``WorkerThreads`` says.
struct WorkerThread {
    private let handle: pthread_t

    /// Nil when the system gives no more threads: with fewer the work takes longer, and gives the same.
    init?(_ worker: Int, _ body: @escaping () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 4 << 20)
        defer { pthread_attr_destroy(&attributes) }
        var handle = pthread_t()
        let start = Unmanaged.passRetained(Start(worker, body))
        let status = pthread_create(&handle, &attributes, { raw in
            let start = Unmanaged<Start>.fromOpaque(raw!).takeRetainedValue()
            WorkerThreads.pin(worker: start.worker)
            start.body()
            return nil
        }, start.toOpaque())
        guard status == 0 else {
            start.release()
            return nil
        }
        self.handle = handle
    }

    func join() { pthread_join(handle, nil) }

    private final class Start {
        let worker: Int
        let body: () -> Void
        init(_ worker: Int, _ body: @escaping () -> Void) {
            self.worker = worker
            self.body = body
        }
    }
}
