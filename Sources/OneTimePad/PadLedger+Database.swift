import Diagnostics
import Foundation
import GRDB
import Glibc

/// Opening the database and reading its rows.
extension PadLedger {
    static func lock(_ path: String) throws -> Int32 {
        let lockPath = path + ".lock"
        let descriptor = Glibc.open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Failure(
                .cannotCreate, at: lockPath, "cannot be opened: \(String(cString: strerror(errno)))",
                remedy: "create the state directory and let this user write there")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            Glibc.close(descriptor)
            throw Failure(
                .configuration, at: path, "another process holds this pad ledger",
                remedy: "stop it first: two senders on one pad would use bytes twice")
        }
        return descriptor
    }

    /// Closing alone is not enough: a child that another thread has forked, and that has not come to its exec yet, still
    /// holds the open file and with it the lock.
    static func unlock(_ descriptor: Int32) {
        _ = flock(descriptor, LOCK_UN)
        Glibc.close(descriptor)
    }

    static func openDatabase(_ path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(5)
        configuration.label = "dsgd.pad-ledger"
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
        chmod(path, 0o600)
        return queue
    }

    /// Refuses a database whose commits could be lost in a power cut.
    static func requireDurability(_ queue: DatabaseQueue, path: String) throws {
        let (synchronous, journal) = try queue.read { db in
            (
                try Int.fetchOne(db, sql: "PRAGMA synchronous") ?? -1,
                try String.fetchOne(db, sql: "PRAGMA journal_mode") ?? ""
            )
        }
        guard synchronous >= 2, journal == "wal" else {
            throw Failure(
                .configuration, at: path,
                "the database runs with synchronous=\(synchronous), journal_mode=\(journal), not FULL and wal",
                remedy: "put the state directory on a local file system: a lost mark would be pad used twice")
        }
    }

    static func createTables(_ db: Database, owner: String, path: String) throws {
        try db.execute(
            sql: """
                CREATE TABLE IF NOT EXISTS owner (name TEXT NOT NULL, format INTEGER NOT NULL);
                CREATE TABLE IF NOT EXISTS pads (
                    pool TEXT NOT NULL, sender TEXT NOT NULL, receiver TEXT NOT NULL,
                    side TEXT NOT NULL CHECK (side IN ('sender', 'receiver')),
                    mark INTEGER NOT NULL DEFAULT 0, data INTEGER NOT NULL DEFAULT 0, tags INTEGER NOT NULL DEFAULT 0,
                    handshake INTEGER NOT NULL DEFAULT 0, lost INTEGER NOT NULL DEFAULT 0,
                    expired INTEGER NOT NULL DEFAULT 0,
                    PRIMARY KEY (pool, sender, receiver, side)
                ) WITHOUT ROWID;
                """)
        if let row = try Row.fetchOne(db, sql: "SELECT name, format FROM owner") {
            let name: String = row["name"]
            let format: Int = row["format"]
            guard name == owner, format == 1 else {
                throw Failure(
                    .configuration, at: path,
                    "this ledger belongs to \"\(name)\" (format \(format)), not to \"\(owner)\"",
                    remedy: "give each role a state directory of its own")
            }
        } else {
            try db.execute(sql: "INSERT INTO owner (name, format) VALUES (?, 1)", arguments: [owner])
        }
    }

    /// An orderly close leaves nothing on hand, so whatever is on hand at opening was outstanding at a crash.
    static func bookCrashLosses(_ db: Database, path: String) throws -> [LedgerLine] {
        let outstanding = try lines(db, path: path).filter { $0.onHand > 0 }
        try db.execute(
            sql: "UPDATE pads SET lost = mark - data - tags - handshake - expired WHERE mark > 0")
        return outstanding
    }

    static func lines(_ db: Database, path: String) throws -> [LedgerLine] {
        let owner = try String.fetchOne(db, sql: "SELECT name FROM owner") ?? ""
        return try Row.fetchAll(db, sql: "SELECT * FROM pads ORDER BY pool, sender, receiver, side").map { row in
            let stream = PadStream(pool: row["pool"], sender: row["sender"], receiver: row["receiver"])
            let side: LedgerLine.Side = (row["side"] as String) == "sender" ? .sender : .receiver
            return LedgerLine(
                owner: owner, stream: stream, side: side, counts: try counts(row, stream: stream, path: path))
        }
    }

    static func counts(_ db: Database, stream: PadStream, side: LedgerLine.Side, path: String) throws -> PadCounts {
        let row = try Row.fetchOne(
            db, sql: "SELECT * FROM pads WHERE pool = ? AND sender = ? AND receiver = ? AND side = ?",
            arguments: [stream.pool, stream.sender, stream.receiver, side.rawValue])
        guard let row else { return PadCounts() }
        return try counts(row, stream: stream, path: path)
    }

    private static func counts(_ row: Row, stream: PadStream, path: String) throws -> PadCounts {
        func read(_ column: String) throws -> UInt64 {
            guard let value = Int64.fromDatabaseValue(row[column] as DatabaseValue), value >= 0 else {
                throw Failure(
                    .data, at: "\(path): \(stream)", "the column \(column) holds no count of bytes",
                    remedy: "the ledger is damaged: retire this pad on both ends")
            }
            return UInt64(value)
        }
        let counts = PadCounts(
            mark: try read("mark"), data: try read("data"), tags: try read("tags"), handshake: try read("handshake"),
            lost: try read("lost"), expired: try read("expired"))
        let total = [counts.data, counts.tags, counts.handshake, counts.lost, counts.expired].reduce(
            (UInt64(0), false)
        ) { ($0.0 &+ $1, $0.1 || $0.0 > UInt64.max - $1) }
        guard !total.1, total.0 <= counts.mark else {
            throw Failure(
                .data, at: "\(path): \(stream)", "more pad was spent than supplied, the account does not add up",
                remedy: "the ledger is damaged: retire this pad on both ends")
        }
        return counts
    }

    static func translated(_ error: any Error, path: String) -> any Error {
        guard let error = error as? DatabaseError else { return error }
        return Failure(
            .inputOutput, at: path, "the pad ledger cannot be read or written: \(error.message ?? "SQLite error")",
            remedy: "check space and permissions; no pad is spent without a durable mark")
    }
}

extension LedgerLine {
    init(owner: String, stream: PadStream, side: Side, counts: PadCounts) {
        self.init(
            owner: owner, pool: stream.pool, sender: stream.sender, receiver: stream.receiver, side: side,
            supplied: counts.mark, data: counts.data, tags: counts.tags, handshake: counts.handshake, lost: counts.lost,
            expired: counts.expired, onHand: counts.onHand)
    }
}
