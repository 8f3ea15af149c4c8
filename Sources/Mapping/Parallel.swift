import Foundation
import Kernels
import Synchronization

/// Calls `body(item, worker)` for every item of `0 ..< count` on `threads` threads; items are taken in order.
func inParallel(count: Int, threads: Int, _ body: @escaping @Sendable (_ item: Int, _ worker: Int) -> Void) {
    precondition(threads > 0)
    if threads == 1 || count <= 1 {
        for item in 0..<count { body(item, 0) }
        return
    }
    let next = SharedCounter()
    let group = DispatchGroup()
    for worker in 0..<min(threads, count) {
        group.enter()
        let thread = Thread {
            WorkerThreads.pin(worker: worker)
            while true {
                let item = next.take()
                if item >= count { break }
                body(item, worker)
            }
            group.leave()
        }
        thread.stackSize = 4 << 20
        thread.start()
    }
    group.wait()
}

/// As ``inParallel(count:threads:_:)``; throws one of the errors that `body` threw, after all items.
func inParallel(
    count: Int, threads: Int, throwing body: @escaping @Sendable (_ item: Int) throws -> Void
) throws {
    let failure = Mutex<(any Error)?>(nil)
    inParallel(count: count, threads: threads) { item, _ in
        do { try body(item) } catch { failure.withLock { $0 = $0 ?? error } }
    }
    if let error = failure.withLock({ $0 }) { throw error }
}

private final class SharedCounter: Sendable {
    private let value = Atomic<Int>(0)
    func take() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}
