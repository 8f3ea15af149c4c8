import Diagnostics
import Glibc

/// Where a stream of reads stands among its likes.
public enum ReadLayout: Sendable {
    /// Two streams, first and second mates.
    case paired
    /// One stream, mates alternating.
    case interleaved
    /// One stream of reads without mates.
    case unpaired
}

/// Which of the streams a piece of FASTQ belongs to; layouts of one stream use `.first`.
public enum Mate: Int, Sendable { case first, second }

/// Gathers pushed FASTQ into ``ReadBatch`` values of 4,096 reads, in input order.
///
/// The two streams of pairs may be pushed in any interleaving; the surplus of one waits in memory. Mates are held
/// together by name. Not for use by two threads at once.
public final class ReadBatcher {
    public static let readsPerBatch = 4_096

    public struct Counts: Sendable, Equatable {
        public var reads = 0
        public var bases = 0
        /// Plain FASTQ bytes of all streams: the paper's size(FASTQ).
        public var fastqBytes = 0
    }

    public typealias Emit = (ReadBatch) throws -> Void

    public let layout: ReadLayout
    private var parsers: [FASTQParser]
    private var finished: [Bool]
    // Memory of its own: the compiler then need not guard every access to a class's properties, once for each read.
    private let queues: UnsafeMutableBufferPointer<ReadQueue>
    private let batch: UnsafeMutablePointer<ReadBatch>
    private var handedOut = Counts()

    private let keepsNames: Bool

    /// - Parameters:
    ///   - labels: the names of the streams in error messages: two for `.paired`, else one.
    ///   - keepsNames: batches hold the reads' names, and names that SAM cannot hold are refused.
    public init(layout: ReadLayout, labels: [String], keepsNames: Bool = false) {
        precondition(labels.count == (layout == .paired ? 2 : 1), "one label for each stream")
        self.layout = layout
        self.keepsNames = keepsNames
        parsers = labels.map { FASTQParser(label: $0) }
        finished = labels.map { _ in false }
        queues = .allocate(capacity: labels.count)
        queues.initialize(repeating: ReadQueue())
        batch = .allocate(capacity: 1)
        batch.initialize(to: ReadBatch(firstOrdinal: 0, isPaired: layout != .unpaired))
        if keepsNames { batch.pointee.names = .init() }
    }

    deinit {
        queues.deinitialize()
        queues.deallocate()
        batch.deinitialize(count: 1)
        batch.deallocate()
    }

    /// Reads and bases batched, and FASTQ bytes taken in, so far.
    public var counts: Counts {
        var counts = handedOut
        counts.reads += batch.pointee.readCount
        counts.bases += batch.pointee.bases.count
        counts.fastqBytes = parsers.reduce(0) { $0 + $1.byteCount }
        return counts
    }

    /// Reads that wait for their mates, and the memory they take, so that a caller can hold the faster stream back.
    public var waitingBytes: Int { queues.reduce(0) { $0 + $1.byteCount } }

    /// Takes the next plain FASTQ bytes of one stream.
    public func push(_ bytes: UnsafeRawBufferPointer, of mate: Mate = .first, emit: Emit) throws {
        let parser = parsers[mate.rawValue]
        let queue = queues.baseAddress! + mate.rawValue
        precondition(!finished[mate.rawValue], "push after finish")
        try parser.feed(bytes) { try queue.pointee.append($0, parser) }
        try drain(emit)
    }

    /// Says that one stream is over; the last batch goes out with the last stream.
    ///
    /// - Throws: ``Failure`` `.data` when a stream holds no reads, a record is not whole, or reads lack mates.
    public func finish(_ mate: Mate = .first, emit: Emit) throws {
        let parser = parsers[mate.rawValue]
        let queue = queues.baseAddress! + mate.rawValue
        try parser.finish { try queue.pointee.append($0, parser) }
        finished[mate.rawValue] = true
        try drain(emit)
        guard finished.allSatisfy({ $0 }) else { return }
        if let odd = queues.firstIndex(where: { $0.count > 0 }) {
            let numbers = parsers.map { "\($0.label) \($0.recordCount)" }.joined(separator: ", ")
            throw Failure(
                .data, at: "\(parsers[odd].label):record \(queues[odd].nextRecord)",
                "read has no mate (reads: \(numbers))", remedy: "give both files of the same run, whole")
        }
        if batch.pointee.readCount > 0 { try send(emit) }
    }

    private func drain(_ emit: Emit) throws {
        let first = queues.baseAddress!
        let second = first + (layout == .paired ? 1 : 0)
        switch layout {
        case .unpaired:
            while first.pointee.count > 0 {
                if keepsNames { try keepName(first) }
                try move(first, emit)
            }
        case .interleaved:
            while first.pointee.count > 1 {
                try checkNames(first, second, 1, parsers[0])
                if keepsNames { try keepName(first) }
                try move(first, emit)
                try move(first, emit)
            }
        case .paired:
            while first.pointee.count > 0 && second.pointee.count > 0 {
                try checkNames(first, second, 0, parsers[1])
                if keepsNames { try keepName(first) }
                try move(first, emit)
                try move(second, emit)
            }
        }
        for place in queues.indices { queues[place].compact() }
    }

    /// Compares the name at the head of `a` with the `place`-th waiting name of `b`.
    private func checkNames(
        _ a: UnsafeMutablePointer<ReadQueue>, _ b: UnsafeMutablePointer<ReadQueue>, _ place: Int, _ parser: FASTQParser
    ) throws {
        if !a.pointee.hasSameName(as: b, place) {
            throw parser.failure(
                "mates are out of step (the names of a pair differ)",
                "give both files of the same run, in the same order", record: b.pointee.nextRecord + place)
        }
    }

    /// Gives the batch the name at the head of the first stream.
    private func keepName(_ queue: UnsafeMutablePointer<ReadQueue>) throws {
        if !queue.pointee.copyFirstName(to: batch) {
            throw parsers[0].failure(
                "name is longer than \(ReadBatch.Names.longest) bytes or holds a character that SAM does not allow in names",
                "rename the reads, or write no alignments", record: queue.pointee.nextRecord)
        }
    }

    @inline(__always)
    private func move(_ queue: UnsafeMutablePointer<ReadQueue>, _ emit: Emit) throws {
        queue.pointee.moveFirst(to: batch)
        if batch.pointee.readCount == Self.readsPerBatch { try send(emit) }
    }

    private func send(_ emit: Emit) throws {
        let whole = batch.pointee
        handedOut.reads += whole.readCount
        handedOut.bases += whole.bases.count
        var next = ReadBatch(firstOrdinal: UInt64(handedOut.reads), isPaired: layout != .unpaired)
        next.bases.reserveCapacity(whole.bases.count + 1_024)
        next.qualities.reserveCapacity(whole.bases.count + 1_024)
        next.offsets.reserveCapacity(Self.readsPerBatch + 1)
        if let names = whole.names {
            next.names = .init()
            next.names!.bytes.reserveCapacity(names.bytes.count + 1_024)
            next.names!.offsets.reserveCapacity(Self.readsPerBatch + 1)
        }
        batch.pointee = next
        try emit(whole)
    }
}

/// Reads of one stream that were parsed and not yet batched, end to end in a few flat arrays.
private struct ReadQueue {
    private var bases: [UInt8] = []
    private var qualities: [UInt8] = []
    private var names: [UInt8] = []
    private var lengths: [Int32] = []
    private var nameLengths: [Int32] = []
    private var firstRead = 0
    private var firstBase = 0
    private var firstName = 0
    private var moved = 0

    var count: Int { lengths.count - firstRead }
    /// The number, from one, of the record at the head of the queue.
    var nextRecord: Int { moved + 1 }
    var byteCount: Int { 2 * (bases.count - firstBase) + names.count - firstName + 8 * count }

    /// ``BaseCode`` by ASCII; 0x80 for what is no base.
    private static let codes: [UInt8] = {
        var table = [UInt8](repeating: 0x80, count: 256)
        for letter in "ACGTUNRYSWKMBDHVacgtunryswkmbdhv.".utf8 { table[Int(letter)] = BaseCode.ofASCII[Int(letter)] }
        return table
    }()

    mutating func append(_ record: FASTQRecord, _ parser: FASTQParser) throws {
        let length = record.sequence.count
        var isRefused = false
        var isOutOfRange = false
        if length > 0 {
            let sequence = record.sequence.baseAddress!.assumingMemoryBound(to: UInt8.self)
            let quality = record.quality.baseAddress!.assumingMemoryBound(to: UInt8.self)
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: length) { scratch in
                let target = scratch.baseAddress!
                if !Self.convert(sequence, to: target, length) {
                    isRefused = !Self.convertAny(sequence, to: target, length)
                }
                bases.append(contentsOf: scratch)
                isOutOfRange = !Self.takeOffset(quality, to: target, length)
                qualities.append(contentsOf: scratch)
            }
        }
        if isRefused { throw parser.failure("sequence holds a character that is no base", "bases are IUPAC letters") }
        if isOutOfRange { throw parser.failure("quality is outside '!' to '~'", "give Phred+33 qualities") }
        names.append(contentsOf: record.name)
        lengths.append(Int32(length))
        nameLengths.append(Int32(record.name.count))
    }

    /// Plain A, C, G, T and N; false when there is anything else. Written so that the compiler makes vectors of it:
    /// the codes of the four letters lie in bits 1 and 2 of their ASCII values.
    private static func convert(_ from: UnsafePointer<UInt8>, to: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
        var others: UInt8 = 0
        for i in 0..<count {
            let letter = from[i] & 0xdf
            let code = ((letter >> 1) ^ (letter >> 2)) & 3
            let isBase: UInt8 = letter == 65 || letter == 67 || letter == 71 || letter == 84 ? 0xff : 0
            let isN: UInt8 = letter == 78 ? 0xff : 0
            to[i] = (code & isBase) | (BaseCode.n & ~isBase)
            others |= ~(isBase | isN)
        }
        return others == 0
    }

    /// All IUPAC letters; false when there is a character that is none.
    private static func convertAny(
        _ from: UnsafePointer<UInt8>, to: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Bool {
        codes.withUnsafeBufferPointer { codes in
            var invalid: UInt8 = 0
            for i in 0..<count {
                to[i] = codes[Int(from[i])]
                invalid |= to[i]
            }
            return invalid & 0x80 == 0
        }
    }

    /// Phred scores from Phred+33; false when one lies outside 0 to 93.
    private static func takeOffset(
        _ from: UnsafePointer<UInt8>, to: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Bool {
        var highest: UInt8 = 0
        for i in 0..<count {
            let value = from[i] &- 33
            to[i] = value
            highest = max(highest, value)
        }
        return highest <= 93
    }

    /// Whether the name at the head is the same as the `place`-th (0 or 1) waiting name of another queue.
    func hasSameName(as other: UnsafeMutablePointer<ReadQueue>, _ place: Int) -> Bool {
        let length = nameLengths[firstRead]
        let otherRead = other.pointee.firstRead
        guard length == other.pointee.nameLengths[otherRead + place] else { return false }
        let start = other.pointee.firstName + (place == 0 ? 0 : Int(other.pointee.nameLengths[otherRead]))
        return names.withUnsafeBufferPointer { a in
            other.pointee.names.withUnsafeBufferPointer { b in
                memcmp(a.baseAddress! + firstName, b.baseAddress! + start, Int(length)) == 0
            }
        }
    }

    /// False when SAM does not allow the name at the head: one to 254 characters from '!' to '~' except '@'.
    func copyFirstName(to batch: UnsafeMutablePointer<ReadBatch>) -> Bool {
        let length = Int(nameLengths[firstRead])
        guard length <= ReadBatch.Names.longest else { return false }
        return names.withUnsafeBufferPointer {
            let name = UnsafeBufferPointer(rebasing: $0[firstName..<firstName + length])
            var isAllowed = true
            for letter in name { isAllowed = isAllowed && letter > 32 && letter < 127 && letter != UInt8(ascii: "@") }
            batch.pointee.names!.append(name)
            return isAllowed
        }
    }

    mutating func moveFirst(to batch: UnsafeMutablePointer<ReadBatch>) {
        let length = Int(lengths[firstRead])
        let range = firstBase..<firstBase + length
        bases.withUnsafeBufferPointer {
            batch.pointee.bases.append(contentsOf: UnsafeBufferPointer(rebasing: $0[range]))
        }
        qualities.withUnsafeBufferPointer {
            batch.pointee.qualities.append(contentsOf: UnsafeBufferPointer(rebasing: $0[range]))
        }
        batch.pointee.offsets.append(Int32(batch.pointee.bases.count))
        firstName += Int(nameLengths[firstRead])
        firstBase += length
        firstRead += 1
        moved += 1
    }

    /// Gives back the room of reads that have gone, once it outweighs what stays.
    mutating func compact() {
        guard firstRead > count else { return }
        bases.removeSubrange(0..<firstBase)
        qualities.removeSubrange(0..<firstBase)
        names.removeSubrange(0..<firstName)
        lengths.removeSubrange(0..<firstRead)
        nameLengths.removeSubrange(0..<firstRead)
        firstRead = 0
        firstBase = 0
        firstName = 0
    }
}
