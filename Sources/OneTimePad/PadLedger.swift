import Diagnostics
import Foundation
import Glibc
import GRDB
import Synchronization

/// The durable account of a role's pads: high-water marks, and what every byte below them was spent on.
///
/// The marks are what makes "never a byte twice" survive `kill -9` and power loss, so a commit must be on the medium
/// before pad is spent. SQLite in WAL mode gives that only with `synchronous=FULL`; GRDB sets NORMAL when it turns WAL
/// on, so FULL is set after opening and read back. One process at a time may hold a ledger for writing.
public final class PadLedger: Sendable {
    public let path: String
    public let owner: String

    /// What was on hand of each stream when the ledger's last process ended without closing it, and is booked as lost.
    public let lostAtOpening: [LedgerLine]

    private let queue: DatabaseQueue
    private let lockDescriptor: Int32
    private struct Key: Hashable {
        var stream: PadStream
        var side: LedgerLine.Side
    }
    /// Live counters of the streams that are open in this process; the table holds the others.
    private let open = Mutex<[Key: PadAccount]>([:])
    private let closed = Mutex(false)

    /// Opens or creates the ledger of `owner`; whatever was on hand at a crash is booked as lost.
    /// - Throws: `Failure(.configuration)` when another process holds it, when it is another owner's, or when the
    ///   database would not keep a commit through a power cut; `Failure(.data)` when an account does not add up.
    public init(path: String, owner: String) throws {
        self.path = path
        self.owner = owner
        lockDescriptor = try PadLedger.lock(path)
        do {
            queue = try PadLedger.openDatabase(path)
            try PadLedger.requireDurability(queue, path: path)
            lostAtOpening = try queue.write { db in
                try PadLedger.createTables(db, owner: owner, path: path)
                return try PadLedger.bookCrashLosses(db, path: path)
            }
        } catch {
            PadLedger.unlock(lockDescriptor)
            throw PadLedger.translated(error, path: path)
        }
    }

    deinit {
        if !closed.withLock({ $0 }) { PadLedger.unlock(lockDescriptor) }
    }

    /// The statement of a ledger that another process may be holding: its last durable state.
    public static func read(path: String) throws -> [LedgerLine] {
        guard FileManager.default.fileExists(atPath: path) else {
            throw Failure(.noInput, at: path, "there is no pad ledger", remedy: "name the state directory of a role")
        }
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            return try queue.read { try lines($0, path: path) }
        } catch {
            throw translated(error, path: path)
        }
    }

    /// The statement, streams in order of name, with the counters of open pads as they stand.
    public func balance() throws -> [LedgerLine] {
        let live = open.withLock { $0.mapValues { $0.snapshot } }
        do {
            return try queue.read { try PadLedger.lines($0, path: path) }.map { line in
                let stream = PadStream(pool: line.pool, sender: line.sender, receiver: line.receiver)
                guard let counts = live[Key(stream: stream, side: line.side)] else { return line }
                return LedgerLine(owner: owner, stream: stream, side: line.side, counts: counts)
            }
        } catch {
            throw PadLedger.translated(error, path: path)
        }
    }

    /// Closes the database and gives the ledger free for another process. Pads are closed before.
    public func close() throws {
        let wasClosed = closed.withLock { state in
            defer { state = true }
            return state
        }
        if wasClosed { return }
        defer { PadLedger.unlock(lockDescriptor) }
        do { try queue.close() } catch { throw PadLedger.translated(error, path: path) }
    }

    /// The value of `PRAGMA synchronous` of the writing connection: 2 is FULL.
    package func synchronousMode() throws -> Int {
        try queue.read { try Int.fetchOne($0, sql: "PRAGMA synchronous") ?? -1 }
    }

    // MARK: - Accounts

    /// The account of one end of a stream; a process holds it once.
    package func account(_ stream: PadStream, side: LedgerLine.Side) throws -> PadAccount {
        let key = Key(stream: stream, side: side)
        return try open.withLock { accounts in
            guard accounts[key] == nil else {
                throw Failure(
                    .configuration, at: "\(path): \(stream)", "the \(side.rawValue) of this pad is open already",
                    remedy: "share one pad between all connections of the process")
            }
            do {
                let counts = try queue.write { db in
                    try db.execute(
                        sql: "INSERT OR IGNORE INTO pads (pool, sender, receiver, side) VALUES (?, ?, ?, ?)",
                        arguments: [stream.pool, stream.sender, stream.receiver, side.rawValue])
                    return try PadLedger.counts(db, stream: stream, side: side, path: path)
                }
                let account = PadAccount(stream: stream, side: side, ledger: self, counts: counts)
                accounts[key] = account
                return account
            } catch {
                throw PadLedger.translated(error, path: path)
            }
        }
    }

    func release(_ account: PadAccount) {
        let key = Key(stream: account.stream, side: account.side)
        // A late release must not drop the account that was opened since.
        open.withLock { if $0[key] === account { $0[key] = nil } }
    }

    /// Makes the counters durable before it returns. `previous` is the mark that this process wrote last.
    func write(_ counts: PadCounts, of account: PadAccount, previous: UInt64) throws {
        let values = [counts.mark, counts.data, counts.tags, counts.handshake, counts.lost, counts.expired]
        guard values.allSatisfy({ $0 <= UInt64(Int64.max) }), counts.spent <= counts.mark else {
            throw Failure(
                .internalError, at: "\(path): \(account.stream)", "the account would not add up",
                remedy: "stop using this pad and report the fault")
        }
        let stream = account.stream
        var arguments = StatementArguments(values.map { Int64($0) })
        arguments += [stream.pool, stream.sender, stream.receiver, account.side.rawValue, Int64(previous)]
        do {
            try queue.write { [arguments] db in
                let statement = try db.cachedStatement(
                    sql: """
                        UPDATE pads SET mark = ?, data = ?, tags = ?, handshake = ?, lost = ?, expired = ?
                        WHERE pool = ? AND sender = ? AND receiver = ? AND side = ? AND mark = ?
                        """)
                try statement.execute(arguments: arguments)
                guard db.changesCount == 1 else {
                    throw Failure(
                        .data, at: "\(path): \(stream)", "the durable mark is not the one this process wrote",
                        remedy: "something else wrote this ledger: stop it, and never restore a ledger from a copy")
                }
            }
        } catch {
            throw PadLedger.translated(error, path: path)
        }
    }
}
