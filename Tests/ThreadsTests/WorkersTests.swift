import Synchronization
import Testing
import Threads

/// Pieces of work on several threads: each once, failures by number and not by time.
struct WorkersTests {
    private struct Broken: Error, Equatable { let piece: Int }

    @Test(arguments: [1, 2, 3, 8], [0, 1, 2, 7, 1_000])
    func everyPieceIsDoneOnce(threads: Int, pieces: Int) {
        let done = Mutex([Int](repeating: 0, count: pieces))
        inParallel(pieces, threads: threads) { piece in done.withLock { $0[piece] += 1 } }
        #expect(done.withLock { $0.allSatisfy { $0 == 1 } })
    }

    @Test func aContextBelongsToOneThreadAtATime() {
        final class Context: @unchecked Sendable {
            let isInUse = Atomic<Bool>(false)
            var sum = 0
        }
        let workers = Workers(4) { Context() }
        for _ in 0..<20 {
            let failed = workers.forEach(500) { context, piece in
                guard !context.isInUse.exchange(true, ordering: .acquiring) else { throw Broken(piece: piece) }
                context.sum += piece
                context.isInUse.store(false, ordering: .releasing)
            }
            #expect(failed == nil)
        }
        #expect(workers.contexts.reduce(0) { $0 + $1.sum } == 20 * 500 * 499 / 2)
    }

    @Test(arguments: [1, 2, 5])
    func theLowestFailureIsNamedAndWhatIsBelowItWasDone(threads: Int) {
        for first in [0, 1, 37, 199] {
            let done = Mutex(Set<Int>())
            let failed = Workers(threads) {}.forEach(200) { _, piece in
                if piece >= first && piece % 2 == first % 2 { throw Broken(piece: piece) }
                done.withLock { _ = $0.insert(piece) }
            }
            #expect(failed?.piece == first)
            #expect(failed?.error as? Broken == Broken(piece: first))
            #expect(done.withLock { $0.isSuperset(of: 0..<first) })
            #expect(throws: Broken(piece: first)) {
                try inParallel(200, threads: threads, throwing: { if $0 >= first { throw Broken(piece: $0) } })
            }
        }
    }

    @Test(arguments: [1, 2, 4])
    func aCrewWorksWhileItWaitsAndGivesUpWhatNobodyBegan(count: Int) {
        let crew = Crew(count)
        let order = Mutex([Int]())
        let pieces = (0..<100).map { number in crew.give { _ in order.withLock { $0.append(number) } } }
        for piece in pieces { crew.wait(for: piece) }
        #expect(pieces.allSatisfy { crew.isDone($0) })
        #expect(order.withLock { $0.sorted() == Array(0..<100) })
        // Pieces given to a crew that is closed at once are either done or never begun.
        let begun = Atomic<Int>(0)
        let ended = Atomic<Int>(0)
        for _ in 0..<50 {
            _ = crew.give { _ in
                begun.add(1, ordering: .relaxed)
                ended.add(1, ordering: .relaxed)
            }
        }
        crew.close()
        #expect(begun.load(ordering: .relaxed) == ended.load(ordering: .relaxed))
        crew.close()
    }
}
