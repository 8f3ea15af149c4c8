internal import Foundation
public import KeyNetwork
public import Metering

/// Everything that roles say to each other, as JSON inside sealed records; bulk bytes follow in data records.
enum Message: Codable, Sendable {
    // Data owner to share holder.
    case storeShare(shareSet: String, bytes: Int)
    case stored(bytes: Int)
    case release(ticket: String, shareSet: String, to: String, validSeconds: Double)
    case released
    case deleteShare(shareSet: String)
    case deleted

    // Trusted server to share holder: the share from a byte on, which is not 0 where an earlier connection broke; the
    // answer is its whole length.
    case fetchShare(ticket: String, shareSet: String, from: Int)
    case share(bytes: Int)

    // Data owner to trusted server, and back.
    case openJob(JobOrder)
    case progress(JobProgress)
    case readyToDeliver
    case proceed
    case cancelJob(reason: String)
    case jobFinished(Receipt)

    // User to data owner.
    case request(dataSet: String, purpose: String?)
    case granted(job: String, ticket: String, server: String)

    // User to trusted server; `from` counts the bytes of answer and index that an earlier connection brought.
    case collect(job: String, ticket: String, from: Int)
    case delivery(DeliveryNote)
    case received

    // Anyone, instead of the answer.
    case refused(kind: Int32, place: String, problem: String, remedy: String)
}

/// Where one share of an object can be fetched, and the word that releases it.
struct ShareSource: Codable, Sendable {
    var holder: String
    var share: String
    var ticket: String
}

/// One object that a job needs.
struct ObjectOrder: Codable, Sendable {
    var part: String
    var length: Int
    var shareSet: String
    /// The owner's tags of the share set, base64.
    var tags: String
    /// In order of preference; the first two that answer are used.
    var sources: [ShareSource]
}

/// What the trusted server is to do for one request.
struct JobOrder: Codable, Sendable {
    var job: String
    var ticket: String
    var user: String
    var sample: String
    var objects: [ObjectOrder]
    var coverage: String
    var list: String
    var overlap: String
    var formatFields: [String]?
}

/// How far a job is, for a progress line.
public struct JobProgress: Codable, Sendable, Equatable {
    public var step: String
    public var done: Int
    public var total: Int
}

/// What comes with a delivery. It tells the user nothing of what was withheld: that is in the owner's receipt.
public struct DeliveryNote: Codable, Sendable, Equatable {
    public var job: String
    /// Bytes of F_VCF.gz and of its index, which follow in this order.
    public var vcfBytes: Int
    public var indexBytes: Int
    public var recordsDelivered: Int
}

/// One step of erasure and what it guarantees.
public struct Erasure: Codable, Sendable, Equatable {
    public var what: String
    public var guarantee: ErasureGuarantee
}

/// The record of one job: sizes, times, sources and erasures. It holds no bases and no genotypes.
public struct Receipt: Codable, Sendable, Equatable {
    public var job: String
    /// Holders whose shares were joined.
    public var holders: [String]
    /// Holders that failed while shares were fetched, each with what was wrong; nil when all did well.
    public var faults: [String]?
    public var engine: String
    public var hardwareProfile: String
    public var reads: Int
    public var mappedReads: Int
    public var duplicates: Int
    public var recordsCalled: Int
    public var recordsDelivered: Int
    public var recordsWithheld: Int
    /// Bytes: FASTQ as parsed, FASTQ.gz as deposited, VCF, VCF.gz, F_VCF, F_VCF.gz.
    public var fastqBytes: Int
    public var depositedBytes: Int
    public var vcfBytes: Int
    public var vcfGzBytes: Int
    public var filteredBytes: Int
    public var filteredGzBytes: Int
    public var measurements: [StageMeasurement]
    /// Seconds from the first share request to the filtered answer, and of the delivery; how long the user let the
    /// answer wait is left out.
    public var totalSeconds: Double
    /// Parts of the engine's time.
    public var engineSeconds: [String: Double]
    public var erasures: [Erasure]

    public func measurement(_ stage: Stage) -> StageMeasurement? { measurements.first { $0.stage == stage } }

    /// size(FASTQ) / total time, Mbit/s.
    public var totalThroughput: Double {
        totalSeconds > 0 ? Double(fastqBytes) * 8 / 1e6 / totalSeconds : 0
    }
}

func encodeJSON(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return [UInt8](try encoder.encode(value))
}
