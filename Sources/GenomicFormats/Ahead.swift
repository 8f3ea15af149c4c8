internal import CKernels
internal import Foundation

/// What a thread of its own makes ahead of its user, by a bounded number of bytes, in order.
final class Ahead<Element: Sendable>: @unchecked Sendable {
    /// What the thread's work throws through when nobody wants more.
    private struct Stopped: Error {}

    typealias Put = (Element) throws -> Void

    // Guards all that is below it.
    private let state = NSCondition()
    private var queue: [(element: Element, bytes: Int)] = []
    private var waitingBytes = 0
    private var failure: (any Error)?
    private var isStopped = false
    private var hasEnded = false

    private let bytesAhead: Int
    private let size: (Element) -> Int
    private let interrupt: () -> Void

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - name: the thread's, of at most 15 bytes.
    ///   - bytesAhead: elements wait for the user until they come to more than this.
    ///   - size: bytes of an element.
    ///   - interrupt: makes the work return or throw soon when it waits for input; called on another thread.
    ///   - work: hands on each element; what it throws, the user gets behind the last of them.
    init(
        name: String, bytesAhead: Int = 2 << 20, size: @escaping (Element) -> Int,
        interrupt: @escaping @Sendable () -> Void, work: @escaping @Sendable (@escaping Put) throws -> Void
    ) {
        self.bytesAhead = bytesAhead
        self.size = size
        self.interrupt = interrupt
        let thread = Thread { [self] in
            // Foundation's `Thread.name` reaches the system only when `start()` has returned already.
            ck_process_name_thread(name)
            var problem: (any Error)?
            do { try work { try self.put($0) } } catch { problem = error }
            state.lock()
            failure = problem
            hasEnded = true
            state.broadcast()
            state.unlock()
        }
        thread.stackSize = 1 << 20
        thread.start()
    }

    /// The next element, nil when there are no more.
    ///
    /// - Parameter waiting: called every time that so many seconds have passed without an element.
    func next(waiting: (seconds: Double, call: () throws -> Void)? = nil) throws -> Element? {
        state.lock()
        defer { state.unlock() }
        while queue.isEmpty && !hasEnded {
            guard let waiting else {
                state.wait()
                continue
            }
            if !state.wait(until: Date(timeIntervalSinceNow: waiting.seconds)) {
                state.unlock()
                defer { state.lock() }
                try waiting.call()
            }
        }
        if queue.isEmpty {
            if let failure { throw failure }
            return nil
        }
        let (element, bytes) = queue.removeFirst()
        waitingBytes -= bytes
        state.broadcast()
        return element
    }

    /// Ends the thread and waits until it has.
    func stop() {
        state.lock()
        isStopped = true
        state.broadcast()
        let isWorking = !hasEnded
        state.unlock()
        if isWorking { interrupt() }
        state.lock()
        while !hasEnded { state.wait() }
        state.unlock()
    }

    private func put(_ element: Element) throws {
        state.lock()
        defer { state.unlock() }
        while waitingBytes > bytesAhead && !isStopped { state.wait() }
        if isStopped { throw Stopped() }
        let bytes = size(element)
        waitingBytes += bytes
        queue.append((element, bytes))
        state.broadcast()
    }
}
