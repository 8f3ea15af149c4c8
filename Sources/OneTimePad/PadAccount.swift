import Diagnostics
import Dispatch
import Metering
import Synchronization

/// The live counters of one end of a stream, and the way to make them durable.
package final class PadAccount: Sendable {
    package let stream: PadStream
    package let side: LedgerLine.Side
    private let ledger: PadLedger

    private struct State {
        var counts: PadCounts
        var durable: PadCounts
        var isSaving = false
    }
    private let state: Mutex<State>
    /// Held while the ledger is written, and taken before `state`; true once the account was released.
    private let writing = Mutex(false)
    private let scribe = DispatchQueue(label: "dsgd.pad-marks")

    init(stream: PadStream, side: LedgerLine.Side, ledger: PadLedger, counts: PadCounts) {
        self.stream = stream
        self.side = side
        self.ledger = ledger
        state = Mutex(State(counts: counts, durable: counts))
    }

    package var snapshot: PadCounts { state.withLock { $0.counts } }

    var durableMark: UInt64 { state.withLock { $0.durable.mark } }

    /// Changes the counters in memory.
    package func update(_ change: (inout PadCounts) -> Void) {
        state.withLock { change(&$0.counts) }
    }

    /// Changes the counters and makes them durable; when that fails the change is undone and nothing may be spent on
    /// it.
    package func commit(_ change: (inout PadCounts) -> Void = { _ in }) throws {
        try writing.withLock { _ in try write(change) }
    }

    /// The last commit: nothing that waits to be saved is written behind it.
    package func close(_ change: (inout PadCounts) -> Void) throws {
        try writing.withLock { isReleased in
            try write(change)
            isReleased = true
        }
        ledger.release(self)
    }

    /// Under `writing`.
    private func write(_ change: (inout PadCounts) -> Void) throws {
        try state.withLock { state in
            let before = state.counts
            change(&state.counts)
            if state.counts == state.durable { return }
            do {
                try ledger.write(state.counts, of: self, previous: state.durable.mark)
                state.durable = state.counts
            } catch {
                state.counts = before
                throw error
            }
        }
    }

    /// Makes the counters durable on another thread, with a mark of at least `mark`, while spending goes on. False, and
    /// nothing happens, while one such write is under way. When it fails the durable mark stays, so that whoever needs
    /// a higher one commits and meets the failure.
    package func saveSoon(mark: UInt64 = 0) -> Bool {
        let isFirst = state.withLock { state in
            defer { state.isSaving = true }
            return !state.isSaving
        }
        if isFirst { scribe.async { self.saveAside(mark: mark) } }
        return isFirst
    }

    private func saveAside(mark: UInt64) {
        writing.withLock { isReleased in
            defer { state.withLock { $0.isSaving = false } }
            if !isReleased { try? writeAside(mark: mark) }
        }
    }

    /// Makes the counters durable as they stand, with a mark of at least `mark`, while others go on changing them.
    /// Nothing is left to do when the account was closed with these very counters.
    package func save(mark: UInt64 = 0) throws {
        try writing.withLock { isReleased in
            guard !isReleased else {
                if state.withLock({ $0.counts == $0.durable && mark <= $0.durable.mark }) { return }
                throw Failure(
                    .transient, at: "\(stream)", "the account of this pad is closed", remedy: "open it again")
            }
            try writeAside(mark: mark)
        }
    }

    /// Under `writing`: makes the counters durable with a mark of at least `mark`.
    private func writeAside(mark: UInt64) throws {
        var (counts, previous) = state.withLock { ($0.counts, $0.durable.mark) }
        counts.mark = max(counts.mark, mark)
        try ledger.write(counts, of: self, previous: previous)
        state.withLock { [counts] in
            $0.durable = counts
            $0.counts.mark = max($0.counts.mark, counts.mark)
        }
    }

    /// Waits for a write that is under way.
    func settle() { writing.withLock { _ in } }

    package func release() {
        writing.withLock { $0 = true }
        ledger.release(self)
    }
}

/// Calls `body` on another thread when `monotonicSeconds` will be `time`, or a little after.
func call(at time: Double, _ body: @escaping @Sendable () -> Void) {
    let wait = max(0.001, time - monotonicSeconds())
    DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + wait, execute: body)
}
