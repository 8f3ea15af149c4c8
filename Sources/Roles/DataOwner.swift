internal import Bank
internal import Channel
internal import Diagnostics
internal import Foundation
internal import Kernels
internal import Metering
internal import OneTimePad
internal import Randomness

/// The data owner: deposits data as shares, decides who may see what, and puts the trusted server to work.
final class DataOwner: @unchecked Sendable {
    /// A share that was released for a job and not fetched in this time, in seconds, stays where it is.
    static let releaseSeconds = 600.0

    let telephone: Telephone
    let network: NetworkConfiguration
    let catalogue: Catalogue
    let stateDirectory: String
    let random: any RandomSource
    let log: @Sendable (String) -> Void
    /// The holder of share A, which the data owner's process plays itself (the paper's "function of the share holder").
    let ownHolder: (address: RoleAddress, service: ShareHolder)
    private var listener: ChannelListener?
    private var admin: AdminSocket?

    init(
        telephone: Telephone, network: NetworkConfiguration, stateDirectory: String, random: any RandomSource,
        ownHolder: (address: RoleAddress, service: ShareHolder), log: @escaping @Sendable (String) -> Void
    ) throws {
        self.telephone = telephone
        self.network = network
        self.stateDirectory = stateDirectory
        self.random = random
        self.ownHolder = ownHolder
        self.log = log
        catalogue = try Catalogue(path: Self.cataloguePath(stateDirectory: stateDirectory))
        try catalogue.failInterruptedJobs()
    }

    /// Path of the socket that `dsgd deposit`, `grant` and `revoke` use.
    static func adminSocketPath(stateDirectory: String) -> String { stateDirectory + "/owner.sock" }

    static func cataloguePath(stateDirectory: String) -> String { stateDirectory + "/catalogue.sqlite" }

    func start() throws {
        let pending = pendingDeposits()
        listener = try telephone.listen(log: log) { [self] in try answerUser($0) }
        let admin = try AdminSocket(path: Self.adminSocketPath(stateDirectory: stateDirectory))
        admin.start { [self] in try administer($0, reply: $1) }
        self.admin = admin
        Thread.detachNewThread { [pending] in self.forgetInterruptedDeposits(pending) }
    }

    func stop() {
        admin?.stop()
        listener?.stop()
    }

    // MARK: Requests

    private func answerUser(_ conversation: Conversation) throws {
        while let message = try conversation.hearOrEnd() {
            guard case .request(let dataSet, let purpose) = message else {
                throw conversation.unexpected("a message that the data owner does not answer")
            }
            let user = conversation.peer
            let job = hexadecimal(try randomBytes(8))
            do {
                let right = try catalogue.decide(
                    user: user, dataSet: dataSet, purpose: purpose, job: job, at: Date().timeIntervalSince1970)
                do {
                    let ticket = hexadecimal(try randomBytes(32))
                    let order = try orderJob(job, ticket: ticket, right: right)
                    let server = try network.only(.trustedServer)
                    let work = try telephone.call(server.name)
                    try work.say(.openJob(order))
                    guard case .proceed = try work.hear() else { throw work.unexpected("no acceptance of the job") }
                    let supervised = Unchecked(work)
                    Thread.detachNewThread { [self] in supervise(supervised.value, job: job, right: right) }
                    try conversation.say(.granted(job: job, ticket: ticket, server: server.name))
                } catch {
                    try catalogue.finish(job: job, state: .failed, outcome: asFailure(error).description)
                    throw error
                }
            } catch let failure as Failure {
                log("request of \(user): \(failure)")
                conversation.refuse(failure)
            }
        }
    }

    /// Releases the shares of a data set's reads and writes down what the trusted server is to do.
    private func orderJob(_ job: String, ticket: String, right: Right) throws -> JobOrder {
        let objects = try catalogue.objects(ofDataSet: right.dataSet).filter { $0.0.part.hasPrefix("reads-") }
        guard let sample = try catalogue.sample(ofDataSet: right.dataSet), !objects.isEmpty else {
            throw Failure(
                .noInput, at: "data set \(right.dataSet)", "it has no reads",
                remedy: "deposit FASTQ files under this name")
        }
        return JobOrder(
            job: job, ticket: ticket, user: right.user, sample: sample,
            objects: try objects.map { object, tags in
                ObjectOrder(
                    part: object.part, length: object.length, shareSet: object.shareSet,
                    tags: Data(tags).base64EncodedString(),
                    sources: try releaseShares(of: object.shareSet, to: network.only(.trustedServer).name))
            },
            coverage: right.coverage.rawValue, list: right.list, overlap: right.overlap,
            formatFields: right.formatFields)
    }

    /// Asks each holder to release its share; two of three are enough.
    func releaseShares(of shareSet: String, to role: String) throws -> [ShareSource] {
        var sources: [ShareSource] = []
        var silent: [String] = []
        for letter in ["a", "b", "c"] {
            let holder = try network.holder(ofShare: letter)
            let ticket = hexadecimal(try randomBytes(32))
            do {
                if holder.name == ownHolder.address.name {
                    try ownHolder.service.release(
                        ticket: ticket, shareSet: shareSet, to: role, validSeconds: Self.releaseSeconds)
                } else {
                    let conversation = try telephone.call(holder.name)
                    defer { conversation.close() }
                    try conversation.say(
                        .release(ticket: ticket, shareSet: shareSet, to: role, validSeconds: Self.releaseSeconds))
                    guard case .released = try conversation.hear() else {
                        throw conversation.unexpected("no release of the share")
                    }
                }
                sources.append(ShareSource(holder: holder.name, share: letter, ticket: ticket))
            } catch {
                silent.append(holder.name)
                log("\(holder.name) does not release its share: \(asFailure(error))")
            }
        }
        guard sources.count >= 2 else {
            throw Failure(
                .peerUnavailable, at: silent.joined(separator: ", "),
                "only \(sources.count) of 3 share holders answer, and 2 are needed to restore the data",
                remedy: "start \(silent.joined(separator: " or ")) and make the request again; nothing was lost")
        }
        return sources
    }

    /// Follows a job at the trusted server to its end. Each progress line asks whether the job may go on, so that a
    /// right that is revoked stops a running job.
    private func supervise(_ work: Conversation, job: String, right: Right) {
        defer { work.close() }
        do {
            while true {
                switch try work.hear(timeout: 3600) {
                case .progress, .readyToDeliver:
                    if try catalogue.isRevoked(right.id) {
                        try work.say(.cancelJob(reason: "the right was revoked"))
                        try catalogue.finish(job: job, state: .cancelled, outcome: "the right was revoked")
                        return
                    }
                    try work.say(.proceed)
                case .jobFinished(let receipt):
                    try catalogue.finish(
                        job: job, state: .delivered, outcome: String(decoding: try encodeJSON(receipt), as: UTF8.self))
                    log("job \(job) delivered to \(right.user)")
                    return
                default: throw work.unexpected("a message that does not belong to a job")
                }
            }
        } catch {
            log("job \(job): \(asFailure(error))")
            try? catalogue.finish(job: job, state: .failed, outcome: asFailure(error).description)
        }
    }

    // MARK: Administration

    private func administer(_ command: AdminCommand, reply: @escaping (AdminReply) -> Void) throws -> String {
        switch command {
        case .deposit(let dataSet, let sample, let files):
            return try deposit(dataSet: dataSet, sample: sample, files: files, reply: reply)
        case .retrieve(let dataSet, let part, let output):
            return try retrieve(dataSet: dataSet, part: part, output: output)
        case .grant(let grant):
            return try self.grant(grant)
        case .revoke(let right):
            guard try catalogue.revoke(right) else {
                throw Failure(.noInput, at: "right \(right)", "there is no such right", remedy: "see `dsgd audit show`")
            }
            return right
        case .jobs:
            return String(decoding: try encodeJSON(try catalogue.jobs()), as: UTF8.self)
        case .ledger:
            return String(decoding: try encodeJSON(try telephone.ledger.balance()), as: UTF8.self)
        }
    }

    private func grant(_ grant: Grant) throws -> String {
        guard try network.role(grant.user).kind == .user else {
            throw Failure(.usage, at: grant.user, "it is not a user", remedy: "name a role of kind user")
        }
        guard try catalogue.sample(ofDataSet: grant.dataSet) != nil else {
            throw Failure(
                .noInput, at: "data set \(grant.dataSet)", "nothing was deposited under this name",
                remedy: "deposit it first; there are \(try catalogue.dataSets().joined(separator: ", "))")
        }
        guard let coverage = Right.Coverage(rawValue: grant.coverage) else {
            throw Failure(
                .usage, at: grant.coverage, "unknown coverage",
                remedy: "use \(Right.Coverage.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let right = Right(
            id: hexadecimal(try randomBytes(8)), user: grant.user, dataSet: grant.dataSet, purpose: grant.purpose,
            coverage: coverage, list: grant.list, overlap: grant.overlap, formatFields: grant.formatFields,
            notAfter: grant.notAfter, usesMaximum: grant.usesMaximum)
        // A right that cannot be applied is refused when it is granted, not when a patient waits for it.
        _ = try RightFilter(
            coverage: grant.coverage, list: grant.list, overlap: grant.overlap, fields: grant.formatFields)
        try catalogue.grant(right)
        return right.id
    }

    func randomBytes(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try random.fill($0) }
        return bytes
    }
}

/// Carries a value into a thread that becomes its only user.
struct Unchecked<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
