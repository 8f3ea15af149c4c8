internal import Glibc

/// Threads that do pieces of work in the order in which they were given, for one thread that gives them: it works too
/// while it waits.
///
/// `lock` guards the queue, what is done, and the end; the threads end with ``close()``.
package final class Crew: @unchecked Sendable {
    /// A piece of work; the number of the worker that does it, from 0 on, chooses what only one may use at once.
    package typealias Work = (_ worker: Int) -> Void

    /// A piece of work that was given. It lets go of the work when that is done or given up: who waits for a piece is
    /// often held by its work, and would otherwise never be freed.
    package final class Piece: @unchecked Sendable {
        fileprivate var work: Work?
        fileprivate var isDone = false
        fileprivate init(_ work: @escaping Work) { self.work = work }
    }

    /// Workers, with the thread that gives work.
    package let count: Int
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let change: UnsafeMutablePointer<pthread_cond_t>
    private var queue: [Piece] = []
    private var head = 0
    private var isClosed = false
    private var threads: [WorkerThread] = []

    package init(_ count: Int) {
        self.count = max(1, count)
        lock = .allocate(capacity: 1)
        change = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        pthread_cond_init(change, nil)
    }

    deinit {
        precondition(threads.isEmpty, "a crew is closed before it is given up")
        pthread_cond_destroy(change)
        pthread_mutex_destroy(lock)
        change.deallocate()
        lock.deallocate()
    }

    /// Gives a piece of work. A crew of one does it at once.
    package func give(_ work: @escaping Work) -> Piece {
        let piece = Piece(work)
        if count == 1 {
            work(0)
            piece.work = nil
            piece.isDone = true
            return piece
        }
        if threads.isEmpty { start() }
        pthread_mutex_lock(lock)
        queue.append(piece)
        pthread_cond_signal(change)
        pthread_mutex_unlock(lock)
        return piece
    }

    package func isDone(_ piece: Piece) -> Bool {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return piece.isDone
    }

    /// Returns when the piece is done; other pieces are done meanwhile.
    package func wait(for piece: Piece) {
        pthread_mutex_lock(lock)
        while !piece.isDone {
            if let next = take() { finish(next, worker: 0) } else { pthread_cond_wait(change, lock) }
        }
        pthread_mutex_unlock(lock)
    }

    /// Ends the threads; pieces that nobody began are given up.
    package func close() {
        pthread_mutex_lock(lock)
        isClosed = true
        let given = queue[head...]
        queue.removeAll()
        head = 0
        pthread_cond_broadcast(change)
        pthread_mutex_unlock(lock)
        for piece in given { piece.work = nil }
        for thread in threads { thread.join() }
        threads = []
    }

    private func start() {
        threads = (1..<count).compactMap { worker in WorkerThread(worker) { [self] in serve(worker) } }
    }

    private func serve(_ worker: Int) {
        pthread_mutex_lock(lock)
        while !isClosed {
            if let next = take() { finish(next, worker: worker) } else { pthread_cond_wait(change, lock) }
        }
        pthread_mutex_unlock(lock)
    }

    /// The lock is held.
    private func take() -> Piece? {
        guard head < queue.count else { return nil }
        let piece = queue[head]
        head += 1
        if head == queue.count || head > 256 {
            queue.removeSubrange(0..<head)
            head = 0
        }
        return piece
    }

    /// Called, and left, with the lock held.
    private func finish(_ piece: Piece, worker: Int) {
        pthread_mutex_unlock(lock)
        piece.work?(worker)
        piece.work = nil
        pthread_mutex_lock(lock)
        piece.isDone = true
        pthread_cond_broadcast(change)
    }
}

/// Processor time of the calling thread, in seconds.
package func threadSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
