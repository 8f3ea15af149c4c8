import Synchronization

/// The lanes of the random streams of one seed.
enum Lane {
    static let genome: UInt64 = 1
    static let reads: UInt64 = 3 << 40
    static let panel: UInt64 = 3
    static let variantList: UInt64 = 4
    static let variants: UInt64 = 1 << 40
    static let segments: UInt64 = 1 << 41
}

/// What the pieces of a parallel loop give, in the order of the pieces.
final class ResultTable<Value: Sendable>: Sendable {
    private let table: Mutex<[Value]>

    init(repeating value: Value, count: Int) { table = Mutex(Array(repeating: value, count: count)) }

    func set(_ piece: Int, _ value: Value) { table.withLock { $0[piece] = value } }

    var values: [Value] { table.withLock { $0 } }
}
