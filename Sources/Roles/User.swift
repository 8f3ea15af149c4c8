internal import Diagnostics
internal import Foundation
internal import Storage

/// What a user asks for.
public struct UserRequest: Sendable {
    public var dataSet: String
    /// DUO code of the purpose; nil to use whatever the right says.
    public var purpose: String?
    /// Path of the VCF.gz to write; its index is written beside it with `.tbi`.
    public var output: String

    public init(dataSet: String, purpose: String? = nil, output: String) {
        self.dataSet = dataSet
        self.purpose = purpose
        self.output = output
    }
}

/// A user (the paper's doctor): asks the data owner and collects the answer from the trusted server.
public struct User: Sendable {
    let name: String
    let telephone: Telephone

    /// - Throws: `Failure(.configuration)` when the process does not play exactly one user.
    public init(configuration: LoadedConfiguration) throws {
        let users = try configuration.process.plays.map { try configuration.network.role($0) }.filter {
            $0.kind == .user
        }
        guard users.count == 1 else {
            throw Failure(
                .configuration, at: "plays", "it names \(users.count) users",
                remedy: "name exactly one role of kind user")
        }
        name = users[0].name
        try createPrivateDirectory(configuration.process.state)
        telephone = try Telephone(role: users[0], configuration: configuration)
    }

    /// Makes the request and writes the answer, all or nothing.
    ///
    /// - Throws: the data owner's refusal as `Failure(.notAuthorised)`; `Failure(.peerUnavailable)` when too few
    ///   holders answer; nothing is written then.
    public func fetch(_ request: UserRequest, progress: (JobProgress) -> Void = { _ in }) throws -> DeliveryNote {
        defer { telephone.close() }
        let owner = try telephone.call(telephone.network.only(.dataOwner).name)
        try owner.say(.request(dataSet: request.dataSet, purpose: request.purpose))
        guard case .granted(let job, let ticket, let server) = try owner.hear() else {
            throw owner.unexpected("no decision on the request")
        }
        owner.close()
        var attempt = 1
        let arrival = Arrival(output: request.output)
        while true {
            let before = arrival.byteCount
            do {
                return try collect(job: job, ticket: ticket, from: server, into: arrival, progress: progress)
            } catch let failure as Failure where arrival.isWorthAnotherTry(after: failure) && attempt < 3 {
                attempt = arrival.byteCount > before ? 1 : attempt + 1
                Thread.sleep(forTimeInterval: 0.5)
            }
        }
    }

    /// The answer and its index as they arrive, over as many connections as it takes.
    private final class Arrival {
        private let output: String
        private var note: DeliveryNote?
        private var files: [PartialFile] = []
        private var isWhole = false

        init(output: String) { self.output = output }

        /// Bytes that are here.
        var byteCount: Int { files.reduce(0) { $0 + $1.byteCount } }

        /// A delivery that has begun goes on when its connection breaks.
        func isWorthAnotherTry(after failure: Failure) -> Bool {
            let kinds: [FailureKind] = note == nil ? [.transient, .inputOutput] : [.transient, .peerUnavailable]
            return kinds.contains(failure.kind)
        }

        /// Receives what is not here yet; the files get their names when both are whole.
        func receive(_ note: DeliveryNote, from conversation: Conversation) throws {
            if files.isEmpty {
                files = [try PartialFile(path: output), try PartialFile(path: output + ".tbi")]
                self.note = note
            }
            guard let first = self.note, [first.vcfBytes, first.indexBytes] == [note.vcfBytes, note.indexBytes] else {
                throw conversation.unexpected("another answer than before")
            }
            if isWhole { return }
            for (file, size) in zip(files, [note.vcfBytes, note.indexBytes]) {
                try conversation.receive(count: size - file.byteCount) { try file.write($0) }
            }
            for file in files { try file.commit() }
            isWhole = true
        }
    }

    private func collect(
        job: String, ticket: String, from server: String, into arrival: Arrival, progress: (JobProgress) -> Void
    ) throws -> DeliveryNote {
        let conversation = try telephone.call(server)
        defer { conversation.close() }
        try conversation.say(.collect(job: job, ticket: ticket, from: arrival.byteCount))
        while true {
            switch try conversation.hear(timeout: 3600) {
            case .progress(let step): progress(step)
            case .delivery(let note):
                try arrival.receive(note, from: conversation)
                try conversation.say(.received)
                return note
            default: throw conversation.unexpected("a message that does not belong to a job")
            }
        }
    }
}
