internal import Dispatch
internal import Synchronization

/// Read by many threads, written by none.
struct SharedBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }
}

/// Written by many threads, each in its own part.
struct SharedMutableBytes: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }
}

/// Threads that share pieces of work, each with a context of its own (a coder, a buffer) that is made once and not for
/// every piece.
package struct Workers<Context>: @unchecked Sendable {
    private let contexts: [Context]

    package init(_ count: Int, _ make: () -> Context) { contexts = (0..<max(1, count)).map { _ in make() } }

    var count: Int { contexts.count }

    /// Runs `body` once for each piece, on as many threads as there are contexts. The failure of the lowest piece is
    /// thrown with its number, so that messages do not depend on timing; every lower piece has been done then.
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
        let workers = min(count, pieces)
        if workers <= 1 { work(0) } else { DispatchQueue.concurrentPerform(iterations: workers) { work($0) } }
        return failures.withLock { $0.min { $0.piece < $1.piece } }
    }
}
