import Synchronization

/// The live counters of one end of a stream, and the way to make them durable.
package final class PadAccount: Sendable {
    package let stream: PadStream
    package let side: LedgerLine.Side
    private let ledger: PadLedger

    private struct State {
        var counts: PadCounts
        var durable: PadCounts
    }
    private let state: Mutex<State>

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

    package func release() { ledger.release(self) }
}
