internal import Diagnostics
internal import Foundation
internal import GRDB

/// One deposited object: a file of bytes that lies at the holders as three shares.
public struct DepositedObject: Sendable, Codable, Equatable {
    /// Random identifier, 32 hexadecimal digits.
    public var id: String
    public var dataSet: String
    /// What the object is to its data set: `reads-1`, `reads-2`, or the file's name for anything else.
    public var part: String
    /// Length of the secret in bytes.
    public var length: Int
    /// Identifier of the share set, hexadecimal.
    public var shareSet: String
    /// SHA-256 of the secret, hexadecimal: the owner's own record of what was deposited.
    public var digest: String

    public init(id: String, dataSet: String, part: String, length: Int, shareSet: String, digest: String) {
        self.id = id
        self.dataSet = dataSet
        self.part = part
        self.length = length
        self.shareSet = shareSet
        self.digest = digest
    }
}

/// What became of a job.
public enum JobState: String, Sendable, Codable {
    case running, delivered, failed, cancelled
}

/// One request and what became of it.
public struct JobLine: Sendable, Codable, Equatable {
    public var id: String
    public var user: String
    public var dataSet: String
    public var right: String
    public var state: JobState
    /// The receipt (JSON) of a delivered job, or the reason of a failed one.
    public var outcome: String
}

/// The data owner's catalogue: data sets, objects, rights, jobs and the audit log, in one SQLite file.
///
/// Every commit is durable when it returns (`synchronous=FULL`, read back on opening): a decision that was acted upon
/// is never lost. Safe from many threads.
public final class Catalogue: Sendable {
    private let database: DatabaseQueue

    public init(path: String) throws {
        var configuration = Configuration()
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA journal_mode = WAL")
            try database.execute(sql: "PRAGMA synchronous = FULL")
        }
        database = try DatabaseQueue(path: path, configuration: configuration)
        let level = try database.read { try Int.fetchOne($0, sql: "PRAGMA synchronous") }
        guard level == 2 else {
            throw Failure(
                .internalError, at: path, "SQLite did not take synchronous=FULL",
                remedy: "use a SQLite build that honours the pragma")
        }
        try database.write { try Self.createTables($0) }
    }

    private static func createTables(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE IF NOT EXISTS data_set(name TEXT PRIMARY KEY, sample TEXT NOT NULL);
                CREATE TABLE IF NOT EXISTS object(id TEXT PRIMARY KEY, data_set TEXT NOT NULL, part TEXT NOT NULL,
                    length INTEGER NOT NULL, share_set TEXT NOT NULL, digest TEXT NOT NULL, tags BLOB NOT NULL);
                CREATE TABLE IF NOT EXISTS access_right(id TEXT PRIMARY KEY, user TEXT NOT NULL, data_set TEXT NOT NULL,
                    body TEXT NOT NULL, uses INTEGER NOT NULL DEFAULT 0, revoked INTEGER NOT NULL DEFAULT 0);
                CREATE TABLE IF NOT EXISTS job(id TEXT PRIMARY KEY, user TEXT NOT NULL, data_set TEXT NOT NULL,
                    access_right TEXT NOT NULL, state TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '');
                CREATE TABLE IF NOT EXISTS audit(sequence INTEGER PRIMARY KEY, at REAL NOT NULL, event TEXT NOT NULL,
                    previous TEXT NOT NULL, hash TEXT NOT NULL);
                """)
    }

    // MARK: Deposits

    /// Records a complete deposit: all objects of a data set, or none. Replaces an earlier deposit of the same name.
    public func recordDeposit(dataSet: String, sample: String, objects: [(DepositedObject, tags: [UInt8])]) throws {
        try database.write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO data_set(name, sample) VALUES (?, ?)", arguments: [dataSet, sample])
            try database.execute(sql: "DELETE FROM object WHERE data_set = ?", arguments: [dataSet])
            for (object, tags) in objects {
                try database.execute(
                    sql: "INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?)",
                    arguments: [
                        object.id, object.dataSet, object.part, object.length, object.shareSet, object.digest,
                        Data(tags),
                    ])
            }
            try AuditLog.append(
                "deposit", ["dataSet": dataSet, "objects": objects.map(\.0.id).joined(separator: ",")], to: database)
        }
    }

    /// Name of the sample that a data set belongs to; nil when nothing was deposited under the name.
    public func sample(ofDataSet name: String) throws -> String? {
        try database.read {
            try String.fetchOne($0, sql: "SELECT sample FROM data_set WHERE name = ?", arguments: [name])
        }
    }

    /// Names of all data sets, in order of name.
    public func dataSets() throws -> [String] {
        try database.read { try String.fetchAll($0, sql: "SELECT name FROM data_set ORDER BY name") }
    }

    /// The objects of a data set in order of part, each with the owner's tags of its share set.
    public func objects(ofDataSet name: String) throws -> [(DepositedObject, tags: [UInt8])] {
        try database.read { database in
            try Row.fetchAll(database, sql: "SELECT * FROM object WHERE data_set = ? ORDER BY part", arguments: [name])
                .map { row in
                    let object = DepositedObject(
                        id: row["id"], dataSet: row["data_set"], part: row["part"], length: row["length"],
                        shareSet: row["share_set"], digest: row["digest"])
                    let tags: Data = row["tags"]
                    return (object, [UInt8](tags))
                }
        }
    }

    // MARK: Rights

    /// Writes a right down; it holds from then on.
    public func grant(_ right: Right) throws {
        try database.write { database in
            try database.execute(
                sql: "INSERT INTO access_right(id, user, data_set, body) VALUES (?, ?, ?, ?)",
                arguments: [right.id, right.user, right.dataSet, try encode(right)])
            try AuditLog.append(
                "grant",
                [
                    "right": right.id, "user": right.user, "dataSet": right.dataSet, "purpose": right.purpose,
                    "coverage": right.coverage.rawValue,
                ], to: database)
        }
    }

    /// Revokes a right from this moment on. Returns whether there was such a right.
    public func revoke(_ id: String) throws -> Bool {
        try database.write { database in
            try database.execute(sql: "UPDATE access_right SET revoked = 1 WHERE id = ?", arguments: [id])
            let found = database.changesCount > 0
            try AuditLog.append("revoke", ["right": id, "found": String(found)], to: database)
            return found
        }
    }

    /// Whether a right was revoked, or never existed; running jobs are asked about it at every step.
    public func isRevoked(_ id: String) throws -> Bool {
        try database.read {
            try Bool.fetchOne($0, sql: "SELECT revoked FROM access_right WHERE id = ?", arguments: [id]) ?? true
        }
    }

    /// Decides a request and writes the decision down. A granted request counts as one use of the right.
    ///
    /// - Throws: `Failure(.notAuthorised)` with the reason; the audit log has the refusal then.
    public func decide(user: String, dataSet: String, purpose: String?, job: String, at time: Double) throws -> Right {
        let decision: Result<Right, Failure> = try database.write { database in
            let rows = try Row.fetchAll(
                database, sql: "SELECT * FROM access_right WHERE user = ? AND data_set = ? ORDER BY rowid DESC",
                arguments: [user, dataSet])
            var reason = "no right of this user for this data set"
            for row in rows {
                let right: Right = try decode(row["body"])
                let objection = right.objection(
                    at: time, purpose: purpose, usesSoFar: row["uses"], isRevoked: row["revoked"])
                if let objection {
                    reason = objection
                    continue
                }
                try database.execute(
                    sql: "UPDATE access_right SET uses = uses + 1 WHERE id = ?", arguments: [right.id])
                try database.execute(
                    sql: "INSERT INTO job(id, user, data_set, access_right, state) VALUES (?, ?, ?, ?, 'running')",
                    arguments: [job, user, dataSet, right.id])
                try AuditLog.append(
                    "granted-request", ["user": user, "dataSet": dataSet, "right": right.id, "job": job], to: database)
                return .success(right)
            }
            try AuditLog.append(
                "refused-request", ["user": user, "dataSet": dataSet, "reason": reason], to: database)
            return .failure(
                Failure(
                    .notAuthorised, at: "request of \(user) for \(dataSet)", reason,
                    remedy: "ask the data owner for a right (dsgd grant)"))
        }
        return try decision.get()
    }

    // MARK: Jobs

    /// Ends a job; `outcome` is the receipt as JSON, or the reason.
    public func finish(job: String, state: JobState, outcome: String) throws {
        try database.write { database in
            try database.execute(
                sql: "UPDATE job SET state = ?, outcome = ? WHERE id = ?", arguments: [state.rawValue, outcome, job])
            try AuditLog.append("job-\(state.rawValue)", ["job": job, "outcome": outcome], to: database)
        }
    }

    /// Marks jobs that a crash left running as failed; called once when the owner starts.
    public func failInterruptedJobs() throws {
        let interrupted = try jobs().filter { $0.state == .running }
        for job in interrupted {
            try finish(job: job.id, state: .failed, outcome: "the data owner stopped while the job ran")
        }
    }

    /// All jobs, oldest first.
    public func jobs() throws -> [JobLine] {
        try database.read { database in
            try Row.fetchAll(database, sql: "SELECT * FROM job ORDER BY rowid").map { row in
                JobLine(
                    id: row["id"], user: row["user"], dataSet: row["data_set"], right: row["access_right"],
                    state: JobState(rawValue: row["state"]) ?? .failed, outcome: row["outcome"])
            }
        }
    }

    // MARK: Audit

    /// Adds a line to the audit log for something that changes no table.
    public func note(_ kind: String, _ details: [String: String]) throws {
        try database.write { try AuditLog.append(kind, details, to: $0) }
    }

    /// The whole audit log, first line first.
    public func auditLines() throws -> [AuditLine] {
        try database.read { try AuditLog.lines($0) }
    }

    /// The audit log of a catalogue that another process owns.
    public static func auditLines(path: String) throws -> [AuditLine] {
        var configuration = Configuration()
        configuration.readonly = true
        do {
            return try DatabaseQueue(path: path, configuration: configuration).read { try AuditLog.lines($0) }
        } catch let error as DatabaseError {
            throw Failure(
                .noInput, at: path, "the catalogue cannot be read: \(error.message ?? "SQLite error")",
                remedy: "name the configuration of the data owner's process")
        }
    }
}

private func encode(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}

private func decode<Value: Decodable>(_ text: String) throws -> Value {
    try JSONDecoder().decode(Value.self, from: Data(text.utf8))
}
