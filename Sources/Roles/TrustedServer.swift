internal import Bank
internal import Channel
internal import Diagnostics
internal import Engines
internal import Foundation
internal import GenomicFormats
internal import Kernels
internal import Metering

/// The trusted server: here reads and genotypes exist in the clear, in memory, for the time of one job.
final class TrustedServer: @unchecked Sendable {
    /// An answer that no user collects in this time, in seconds, is erased (Table 1, condition 4, allows a day).
    static let collectionSeconds = 600.0

    let telephone: Telephone
    let network: NetworkConfiguration
    let engine: any GenotypingEngine
    let genome: ReferenceGenome
    let hardwareProfile: String
    let threads: Int
    let log: @Sendable (String) -> Void
    private var listener: ChannelListener?
    /// Guards `jobs`.
    private let lock = NSLock()
    private var jobs: [String: ServerJob] = [:]
    /// One job at a time uses the engine.
    private let engineTurn = NSLock()

    init(
        telephone: Telephone, network: NetworkConfiguration, engine: any GenotypingEngine,
        genome: ReferenceGenome, hardwareProfile: String, threads: Int, log: @escaping @Sendable (String) -> Void
    ) {
        self.telephone = telephone
        self.network = network
        self.engine = engine
        self.genome = genome
        self.hardwareProfile = hardwareProfile
        self.threads = threads
        self.log = log
    }

    func start() throws {
        let owner = try network.only(.dataOwner).name
        listener = try telephone.listen(log: log) { [self] conversation in
            if conversation.peer == owner {
                try workForOwner(conversation)
            } else {
                try serveUser(conversation)
            }
        }
    }

    func stop() { listener?.stop() }

    // MARK: The owner's side

    private func workForOwner(_ conversation: Conversation) throws {
        guard let message = try conversation.hearOrEnd() else { return }
        guard case .openJob(let order) = message else {
            throw conversation.unexpected("a message that the trusted server does not answer")
        }
        let job = ServerJob(order: order)
        lock.withLock {
            jobs = jobs.filter { !$0.value.isOver(forSeconds: Self.collectionSeconds) }
            jobs[order.job] = job
        }
        try conversation.say(.proceed)
        do {
            // Every step asks the owner whether the job may go on.
            let report = { (progress: JobProgress) throws -> Void in
                job.post(progress)
                try conversation.say(.progress(progress))
                try Self.expectProceed(conversation)
            }
            try engineTurn.withLock {
                let run = JobRun(
                    order: order, telephone: telephone, engine: engine, genome: genome, threads: threads,
                    report: report)
                let answer = try run.execute(hardwareProfile: hardwareProfile)
                for fault in answer.receipt.faults ?? [] { log("job \(order.job): share given up: \(fault)") }
                job.finish(answer)
            }
            try conversation.say(.readyToDeliver)
            try Self.expectProceed(conversation)
            job.allowDelivery()
            try conversation.say(.jobFinished(try job.waitForDelivery(seconds: Self.collectionSeconds)))
            log("job \(order.job) done, its plaintext is freed")
            lock.withLock { jobs[order.job] = nil }
        } catch {
            // The job stays on the list for a while, so that its user, who may not have called yet, learns the reason.
            job.fail(asFailure(error))
            throw error
        }
    }

    private static func expectProceed(_ conversation: Conversation) throws {
        switch try conversation.hear() {
        case .proceed: return
        case .cancelJob(let reason):
            throw Failure(
                .notAuthorised, at: "job", "the data owner cancelled it: \(reason)", remedy: "ask for a new right")
        default: throw conversation.unexpected("no word on whether the job may go on")
        }
    }

    // MARK: The user's side

    private func serveUser(_ conversation: Conversation) throws {
        guard let message = try conversation.hearOrEnd() else { return }
        guard case .collect(let name, let ticket, let start) = message else {
            throw conversation.unexpected("a message that the trusted server does not answer")
        }
        guard let job = lock.withLock({ jobs[name] }), job.admits(user: conversation.peer, ticket: ticket) else {
            throw Failure(
                .notAuthorised, at: "job \(name)", "there is no such job for \(conversation.peer)",
                remedy: "make a new request to the data owner")
        }
        while let progress = try job.nextProgress() { try conversation.say(.progress(progress)) }
        let started = monotonicSeconds()
        var answer = try job.takeAnswer(for: conversation)
        do {
            try conversation.say(.delivery(answer.note))
            try answer.send(from: start, in: conversation)
            guard case .received = try conversation.hear() else {
                throw conversation.unexpected("no receipt of the delivery")
            }
        } catch {
            // The user may call again with the same ticket: what has not arrived goes out under new pad then.
            job.putBack(answer)
            throw error
        }
        answer.erase()
        let seconds = monotonicSeconds() - started
        answer.receipt.measurements.append(
            StageMeasurement(stage: .delivery, bytes: answer.note.vcfBytes, seconds: seconds))
        answer.receipt.totalSeconds += seconds
        job.confirmDelivery(answer.receipt)
    }
}

/// The answer of a job, in memory.
struct ServerAnswer {
    var vcfGz: [UInt8]
    var index: [UInt8]
    /// For the user.
    var note: DeliveryNote
    /// For the data owner.
    var receipt: Receipt

    /// Sends answer and index, one behind the other, from a byte on.
    func send(from start: Int, in conversation: Conversation) throws {
        guard (0...vcfGz.count + index.count).contains(start) else {
            throw conversation.unexpected("a place behind the answer's end")
        }
        let there = min(start, vcfGz.count)
        try vcfGz.withUnsafeBytes { try conversation.send(UnsafeRawBufferPointer(rebasing: $0[there...])) }
        try index.withUnsafeBytes { try conversation.send(UnsafeRawBufferPointer(rebasing: $0[(start - there)...])) }
    }

    /// Overwrites the bytes. Best effort: Swift arrays may have been copied by the runtime before.
    mutating func erase() {
        vcfGz.withUnsafeMutableBytes { wipe($0) }
        index.withUnsafeMutableBytes { wipe($0) }
        vcfGz = []
        index = []
    }
}

/// One job between the owner's thread, which works, and the user's thread, which waits for the answer.
final class ServerJob: @unchecked Sendable {
    private let order: JobOrder
    /// Guards everything below.
    private let condition = NSCondition()
    private var progress: [JobProgress] = []
    private var answer: ServerAnswer?
    private var mayDeliver = false
    private var failure: Failure?
    private var failedAt = 0.0
    private var receipt: Receipt?
    /// The conversation that has taken the answer.
    private var delivering: Conversation?
    private static let takeOverSeconds = 10.0

    init(order: JobOrder) { self.order = order }

    func admits(user: String, ticket: String) -> Bool {
        let same = Array(ticket.utf8).withUnsafeBytes { left in
            Array(order.ticket.utf8).withUnsafeBytes { right in
                left.count == right.count && constantTimeEqual(left, right)
            }
        }
        return same && user == order.user
    }

    func post(_ step: JobProgress) {
        condition.withLock {
            progress.append(step)
            condition.broadcast()
        }
    }

    func finish(_ result: ServerAnswer) {
        condition.withLock { answer = result }
    }

    func allowDelivery() {
        condition.withLock {
            mayDeliver = true
            condition.broadcast()
        }
    }

    func fail(_ failure: Failure) {
        condition.withLock {
            self.failure = failure
            failedAt = monotonicSeconds()
            answer?.erase()
            answer = nil
            condition.broadcast()
        }
    }

    /// Whether the job failed longer ago than that.
    func isOver(forSeconds seconds: Double) -> Bool {
        condition.withLock { failure != nil && monotonicSeconds() - failedAt > seconds }
    }

    func confirmDelivery(_ receipt: Receipt) {
        condition.withLock {
            self.receipt = receipt
            condition.broadcast()
        }
    }

    /// The next progress step, or nil when the answer may be taken.
    func nextProgress() throws -> JobProgress? {
        try condition.withLock {
            while true {
                if let failure { throw failure }
                if !progress.isEmpty { return progress.removeFirst() }
                if mayDeliver { return nil }
                condition.wait()
            }
        }
    }

    /// The answer, for one conversation at a time: the user who calls again has given up the earlier one, which may not
    /// have noticed yet.
    func takeAnswer(for conversation: Conversation) throws -> ServerAnswer {
        try condition.withLock {
            delivering?.channel.abort()
            let deadline = Date(timeIntervalSinceNow: Self.takeOverSeconds)
            while delivering != nil, receipt == nil, failure == nil, condition.wait(until: deadline) {}
            guard let taken = answer, delivering == nil else {
                throw failure
                    ?? Failure(
                        .notAuthorised, at: "job \(order.job)", "its answer was already taken",
                        remedy: "make a new request to the data owner")
            }
            delivering = conversation
            answer = nil
            return taken
        }
    }

    func putBack(_ untaken: ServerAnswer) {
        condition.withLock {
            delivering = nil
            answer = untaken
            condition.broadcast()
        }
    }

    /// Waits until the user has the answer. Erases it when nobody comes in time.
    func waitForDelivery(seconds: Double) throws -> Receipt {
        try condition.withLock {
            let deadline = Date(timeIntervalSinceNow: seconds)
            while receipt == nil {
                if let failure { throw failure }
                guard condition.wait(until: deadline) else {
                    answer?.erase()
                    answer = nil
                    throw Failure(
                        .transient, at: "job \(order.job)", "the user did not collect the answer in \(Int(seconds)) s",
                        remedy: "make the request again")
                }
            }
            return receipt!
        }
    }
}
