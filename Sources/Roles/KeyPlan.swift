internal import Diagnostics
internal import Foundation
public import KeyNetwork
internal import OneTimePad
internal import SecretSharing

/// Work whose key is to be planned.
public struct PlannedWork: Sendable {
    /// Bytes of the files to deposit.
    public var deposits: [Int] = []
    /// Bytes of the deposited files of reads that a request needs; empty for no request.
    public var requested: [Int] = []
    public var user: String?
    /// Bytes of F_VCF.gz; nil for an estimate from the reads.
    public var deliveryBytes: Int?
    /// Bytes of the right's list of regions or variants.
    public var listBytes = 0
    /// Seconds that the job will take; nil for an estimate from the reads.
    public var jobSeconds: Double?

    public init() {}
}

/// What work will cost in pad: by stream, as the roles' ledgers will show it, and by hop of the key network.
///
/// The counts follow the very messages and records of the roles. What cannot be known before is estimated: the size of
/// the answer, and how long the job takes, which decides how many progress messages there are.
public struct KeyPlan: Codable, Sendable {
    public struct Stream: Codable, Sendable, Equatable {
        public var sender: String
        public var receiver: String
        /// Bytes of pad as in the sender's ledger.
        public var data: UInt64 = 0
        public var tags: UInt64 = 0
        public var handshake: UInt64 = 0
        public var total: UInt64 { data + tags + handshake }
    }

    public var streams: [Stream]
    public var hops: [HopNeed]
    /// 0 when the stock is enough, nil when some hop gets no key.
    public var secondsUntilAffordable: Double?

    /// - Parameter supplies: what the links have.
    /// - Throws: `Failure(.configuration)` when the network lacks a role that the work needs.
    public init(_ work: PlannedWork, network: NetworkConfiguration, supplies: [LinkSupply]) throws {
        var tally = Tally(network: network)
        for bytes in work.deposits { try tally.deposit(bytes) }
        if !work.requested.isEmpty { try tally.request(work) }
        streams = tally.streams.values.sorted { ($0.sender, $0.receiver) < ($1.sender, $1.receiver) }
        let chunk = UInt64(PadOptions().chunk)
        let needs = try streams.map { stream in
            // A user's process ends with its request, and what it has in hand with it; services keep theirs.
            let isShort = try network.role(stream.sender).kind == .user
            return StreamNeed(
                stream: PadStream(pool: network.pool, sender: stream.sender, receiver: stream.receiver),
                bytes: isShort ? (stream.total + chunk - 1) / chunk * chunk : stream.total,
                ways: try network.role(stream.sender).relayWays ?? 1)
        }
        hops = try KeyForecast.hops(of: needs, in: network.topology, with: supplies)
        let seconds = hops.map(\.secondsUntilAffordable)
        secondsUntilAffordable = seconds.contains { $0 == nil } ? nil : seconds.compactMap(\.self).max() ?? 0
    }

    private enum CodingKeys: String, CodingKey { case streams, hops, secondsUntilAffordable }
}

/// Counts the pad of conversations.
private struct Tally {
    let network: NetworkConfiguration
    var streams: [String: KeyPlan.Stream] = [:]

    private static let tag: UInt64 = 16
    /// Hash key and tag of a proof of identity.
    private static let proof: UInt64 = 32
    private static let identifier = String(repeating: "0", count: 32)
    private static let ticket = String(repeating: "0", count: 64)
    private static let job = String(repeating: "0", count: 16)
    /// Bytes of F_VCF.gz and its index for each byte of FASTQ.gz where everything is delivered.
    private static let deliveredShare = 0.004
    /// Bytes of FASTQ.gz that a trusted server works off in a second.
    private static let bytesPerSecond = 15e6
    private static let reportsPerSecond = 4.0
    /// Pieces in which a holder reads a share.
    private static let filePiece = 1 << 20

    init(network: NetworkConfiguration) { self.network = network }

    private mutating func record(_ from: String, _ to: String, _ count: Int) {
        let name = from + "|" + to
        streams[name, default: .init(sender: from, receiver: to)].data += UInt64(count + 1)
        streams[name]?.tags += Self.tag
    }

    /// Both proofs, and the last record of both sides.
    private mutating func connect(_ from: String, _ to: String) {
        for (from, to) in [(from, to), (to, from)] {
            record(from, to, 0)
            streams[from + "|" + to]?.handshake += Self.proof
        }
    }

    private mutating func send(_ from: String, _ to: String, _ count: Int) {
        var rest = count
        while rest > 0 {
            record(from, to, min(rest, Conversation.recordBytes))
            rest -= Conversation.recordBytes
        }
    }

    private mutating func say(_ from: String, _ to: String, _ message: Message) throws {
        send(from, to, try encodeJSON(message).count)
    }

    private func description(_ bytes: Int) throws -> ShareSetDescription {
        let identifier = Identifier(high: 0, low: 0)
        guard
            let description = ShareSetDescription(
                set: identifier, object: identifier, length: bytes, blockSize: ShareSetDescription.defaultBlockSize)
        else {
            throw Failure(
                .usage, at: "\(bytes) bytes", "no object may have this size", remedy: "plan for files as they are")
        }
        return description
    }

    mutating func deposit(_ bytes: Int) throws {
        let owner = try network.only(.dataOwner).name
        let share = try description(bytes)
        for letter in ["b", "c"] {
            let holder = try network.holder(ofShare: letter).name
            connect(owner, holder)
            try say(owner, holder, .storeShare(shareSet: Self.identifier, bytes: share.fileSize))
            // The header, then block by block.
            var at = share.fileOffset(block: 0)
            send(owner, holder, at)
            for block in 0..<share.blockCount {
                let end = share.fileOffset(block: block + 1)
                send(owner, holder, end - at)
                at = end
            }
            try say(holder, owner, .stored(bytes: share.fileSize))
        }
    }

    mutating func request(_ work: PlannedWork) throws {
        let owner = try network.only(.dataOwner).name
        let server = try network.only(.trustedServer).name
        guard let user = work.user ?? network.roles.first(where: { $0.kind == .user })?.name else {
            throw Failure(.configuration, at: "network file", "it lists no user", remedy: "add a role of kind user")
        }
        connect(user, owner)
        try say(user, owner, .request(dataSet: "data-set", purpose: nil))
        try say(owner, user, .granted(job: Self.job, ticket: Self.ticket, server: server))
        let letters = ["a", "b", "c"]
        let holders = try letters.map { try network.holder(ofShare: $0).name }
        for _ in work.requested {
            for holder in holders.dropFirst() {
                connect(owner, holder)
                try say(
                    owner, holder,
                    .release(
                        ticket: Self.ticket, shareSet: Self.identifier, to: server,
                        validSeconds: DataOwner.releaseSeconds))
                try say(holder, owner, .released)
            }
        }
        let objects = try work.requested.enumerated().map { index, bytes in
            ObjectOrder(
                part: "reads-\(index + 1)", length: bytes, shareSet: Self.identifier,
                tags: Data(count: ShareTags.blobSize(try description(bytes))).base64EncodedString(),
                sources: zip(holders, letters).map { ShareSource(holder: $0, share: $1, ticket: Self.ticket) })
        }
        let order = JobOrder(
            job: Self.job, ticket: Self.ticket, user: user, sample: "sample", objects: objects, coverage: "regions",
            list: String(repeating: "0", count: work.listBytes), overlap: "within", formatFields: nil)
        try supervise(work, order, owner, server)
        for bytes in work.requested {
            try fetch(try description(bytes).fileSize, from: Array(holders.prefix(2)), server)
        }
        try deliver(work, user, server)
    }

    private func reports(_ work: PlannedWork) -> Int {
        let total = work.requested.reduce(0, +)
        let seconds = work.jobSeconds ?? Double(total) / Self.bytesPerSecond
        // One when reads begin, one when they end, before calling and before filtering.
        return 4 + Int(seconds * Self.reportsPerSecond)
    }

    private func progress(_ work: PlannedWork) -> JobProgress {
        let total = work.requested.reduce(0, +)
        return JobProgress(step: "restoring and mapping", done: total / 2, total: total)
    }

    private mutating func supervise(_ work: PlannedWork, _ order: JobOrder, _ owner: String, _ server: String) throws {
        connect(owner, server)
        try say(owner, server, .openJob(order))
        try say(server, owner, .proceed)
        for _ in 0..<reports(work) {
            try say(server, owner, .progress(progress(work)))
            try say(owner, server, .proceed)
        }
        try say(server, owner, .readyToDeliver)
        try say(owner, server, .proceed)
        send(server, owner, Self.receiptBytes)
    }

    /// A receipt as JSON, about.
    private static let receiptBytes = 2200

    private mutating func fetch(_ bytes: Int, from holders: [String], _ server: String) throws {
        for holder in holders {
            connect(server, holder)
            try say(server, holder, .fetchShare(ticket: Self.ticket, shareSet: Self.identifier, from: 0))
            try say(holder, server, .share(bytes: bytes))
            send(holder, server, bytes)
        }
    }

    private mutating func deliver(_ work: PlannedWork, _ user: String, _ server: String) throws {
        connect(user, server)
        try say(user, server, .collect(job: Self.job, ticket: Self.ticket, from: 0))
        for _ in 0..<reports(work) { try say(server, user, .progress(progress(work))) }
        let total = work.requested.reduce(0, +)
        let vcf = work.deliveryBytes ?? Int(Double(total) * Self.deliveredShare)
        let index = 200 + vcf / 400
        try say(
            server, user,
            .delivery(DeliveryNote(job: Self.job, vcfBytes: vcf, indexBytes: index, recordsDelivered: vcf / 20)))
        send(server, user, vcf)
        send(server, user, index)
        try say(user, server, .received)
    }
}
