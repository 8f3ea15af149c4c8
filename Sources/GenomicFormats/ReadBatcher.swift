internal import CKernels
internal import Diagnostics
internal import Glibc

/// Where a stream of reads stands among its likes.
public enum ReadLayout: Sendable {
    /// Two streams, first and second mates.
    case paired
    /// One stream, mates alternating.
    case interleaved
    /// One stream of reads without mates.
    case unpaired

    var streams: Int { self == .paired ? 2 : 1 }
}

/// How quality characters stand for Phred scores.
public enum QualityEncoding: Sendable, CaseIterable {
    /// Phred+33; refused when the first batch of a lane can only be Phred+64.
    case detected
    case phred33
    /// What Illumina wrote before 2011.
    case phred64

    var offset: UInt8 { self == .phred64 ? 64 : 33 }
}

/// Makes ``ReadBatch`` values of 4,096 reads, in input order, of one lane's FASTQ. Mates are held together by name.
///
/// Batches, and the failure of bad input, depend on the streams' bytes alone: not on the blocks in which they come.
public final class ReadBatcher {
    public static let readsPerBatch = 4_096
    /// Phred+33 has no instrument that writes only scores from 26 on and some above 50; Phred+64 read as Phred+33 has.
    private static let leastOfPhred64: UInt8 = 26
    private static let suspicious: UInt8 = 51

    public struct Counts: Sendable, Equatable {
        public var reads = 0
        public var bases = 0
        /// Plain FASTQ bytes of all streams: the paper's size(FASTQ).
        public var fastqBytes = 0

        public init() {}
    }

    public typealias Emit = (ReadBatch) throws -> Void
    /// The next block of a stream, nil at its end.
    public typealias Source = () throws -> FASTQBlock?

    /// One stream and how far it was read.
    private struct Stream {
        let label: String
        let source: Source
        var block: FASTQBlock?
        /// The block's first record that was not taken.
        var next = 0
        /// Records that came.
        var records = 0
        var bytes = 0
        var isOver = false
        var problem: (any Error)?

        var available: Int { (block?.recordCount ?? 0) - next }

        /// Reads on until there is a record, or none will come.
        mutating func fill() {
            while available == 0 && !isOver {
                next = 0
                do {
                    block = try source()
                    records += block?.recordCount ?? 0
                    bytes += block?.byteCount ?? 0
                    isOver = block == nil
                } catch {
                    block = nil
                    problem = error
                    isOver = true
                }
            }
        }
    }

    private let layout: ReadLayout
    private let readGroup: Int
    private let qualities: QualityEncoding
    private let firstOrdinal: UInt64
    private let keepsNames: Bool
    private var streams: [Stream]
    private var counts = Counts()
    /// The records of the batch under way, in its order, and the blocks that they lie in.
    private let records = UnsafeMutablePointer<FASTQBlock.Record>.allocate(capacity: readsPerBatch)
    private var recordCount = 0
    private var blocks: [FASTQBlock] = []

    /// - Parameters:
    ///   - streams: two for `.paired`, else one, each with its name in error messages.
    ///   - firstOrdinal: of the lane's first read in the whole input.
    ///   - keepsNames: batches hold the reads' names, and names that SAM cannot hold are refused.
    public init(
        layout: ReadLayout, streams: [(label: String, source: Source)], readGroup: Int = 0, firstOrdinal: UInt64 = 0,
        qualities: QualityEncoding = .detected, keepsNames: Bool = false
    ) {
        precondition(streams.count == layout.streams, "one source for each stream")
        self.keepsNames = keepsNames
        self.layout = layout
        self.readGroup = readGroup
        self.firstOrdinal = firstOrdinal
        self.qualities = qualities
        self.streams = streams.map { Stream(label: $0.label, source: $0.source) }
    }

    deinit { records.deallocate() }

    /// Reads the streams to their ends.
    ///
    /// - Throws: what a source throws, once all reads before it have gone out; ``Failure`` `.data` when reads lack mates
    ///   or hold what is no base or quality.
    public func run(_ emit: Emit) throws -> Counts {
        while try gather() { if recordCount == Self.readsPerBatch { try send(emit) } }
        // An odd read of interleaved mates is told after all pairs before it.
        let isOdd = layout == .interleaved && recordCount % 2 == 1
        if isOdd { recordCount -= 1 }
        if recordCount > 0 { try send(emit) }
        if let problem = streams.lazy.compactMap(\.problem).first { throw problem }
        if isOdd || streams.contains(where: { $0.available > 0 }) { throw lackOfMate(isOdd: isOdd) }
        counts.fastqBytes = streams.reduce(0) { $0 + $1.bytes }
        return counts
    }

    /// Takes records of one block of each stream; false when no more reads, or pairs of them, will come.
    private func gather() throws -> Bool {
        for place in streams.indices { streams[place].fill() }
        let room = (Self.readsPerBatch - recordCount) / streams.count
        let taken = streams.reduce(room) { min($0, $1.available) }
        guard taken > 0 else { return false }
        for place in streams.indices {
            guard let block = streams[place].block else { return false }
            if blocks.last !== block { blocks.append(block) }
            let next = streams[place].next
            var target = records + recordCount + place
            block.records.withUnsafeBufferPointer { from in
                for record in next..<next + taken {
                    target.initialize(to: from[record])
                    target += streams.count
                }
            }
            streams[place].next = next + taken
        }
        recordCount += taken * streams.count
        return true
    }

    private func lackOfMate(isOdd: Bool) -> Failure {
        let odd = isOdd ? 0 : streams.firstIndex { $0.available > 0 } ?? 0
        let record = isOdd ? streams[odd].records : streams[odd].records - streams[odd].available + 1
        // The reads that are left are counted: how far apart the files are helps to find out why.
        for place in streams.indices {
            while !streams[place].isOver {
                streams[place].next = streams[place].block?.recordCount ?? 0
                streams[place].fill()
            }
        }
        let numbers = streams.map { "\($0.label) \($0.records)" }.joined(separator: ", ")
        return Failure(
            .data, at: "\(streams[odd].label):record \(record)", "read has no mate (reads: \(numbers))",
            remedy: "give both files of the same run, whole")
    }

    /// What is wrong with one read of the batch under way.
    private struct Fault {
        var read = Int.max
        var problem = ""
        var remedy = ""

        mutating func note(_ read: Int, _ problem: String, _ remedy: String) {
            if read < self.read { self = Fault(read: read, problem: problem, remedy: remedy) }
        }
    }

    private func send(_ emit: Emit) throws {
        var fault = Fault()
        let count = recordCount
        if layout != .unpaired {
            for read in stride(from: 0, to: count, by: 2) where !Self.areMates(records[read], records[read + 1]) {
                fault.note(
                    read + 1, "mates are out of step (the names of a pair differ)",
                    "give both files of the same run, in the same order")
                break
            }
        }
        var batch = ReadBatch(firstOrdinal: firstOrdinal + UInt64(counts.reads), isPaired: layout != .unpaired)
        batch.readGroup = readGroup
        batch.offsets = [Int32](unsafeUninitializedCapacity: count + 1) { offsets, made in
            var total: Int32 = 0
            for read in 0..<count {
                offsets.initializeElement(at: read, to: total)
                total += records[read].count
            }
            offsets.initializeElement(at: count, to: total)
            made = count + 1
        }
        if keepsNames { keepNames(&batch, &fault) }
        encode(&batch, &fault)
        if fault.read < count {
            let record = (counts.reads + fault.read) / streams.count + 1
            throw Failure(
                .data, at: "\(streams[fault.read % streams.count].label):record \(record)", fault.problem,
                remedy: fault.remedy)
        }
        try checkEncoding(batch)
        counts.reads += count
        counts.bases += batch.bases.count
        recordCount = 0
        blocks = streams.compactMap { $0.available > 0 ? $0.block : nil }
        try emit(batch)
    }

    /// Gives the batch the names of its templates.
    private func keepNames(_ batch: inout ReadBatch, _ fault: inout Fault) {
        var names = ReadBatch.Names()
        let step = layout == .unpaired ? 1 : 2
        names.offsets.reserveCapacity(recordCount / step + 1)
        for read in stride(from: 0, to: recordCount, by: step) {
            let record = records[read]
            var count = Int(record.nameCount)
            // The numbers of mates, as in `.1` and `.2`, are no part of the template's name.
            if step == 2, memcmp(record.name, records[read + 1].name, count) != 0 { count -= 2 }
            let name = UnsafeBufferPointer(start: record.name, count: count)
            if !names.append(name) {
                fault.note(
                    read,
                    "name is longer than \(ReadBatch.Names.longest) bytes or holds a character that SAM does not allow in names",
                    "rename the reads, or write no alignments")
                return
            }
        }
        batch.names = names
    }

    private func encode(_ batch: inout ReadBatch, _ fault: inout Fault) {
        let total = Int(batch.offsets[recordCount])
        batch.bases = [UInt8](unsafeUninitializedCapacity: total) { bases, made in
            guard var target = bases.baseAddress else { return }
            for read in 0..<recordCount {
                let length = Int(records[read].count)
                if !ck_encode_bases(records[read].sequence, length, false, target) {
                    fault.note(read, "sequence holds a character that is no base", "bases are IUPAC letters")
                    return
                }
                target += length
            }
            made = total
        }
        let offset = qualities.offset
        batch.qualities = [UInt8](unsafeUninitializedCapacity: total) { scores, made in
            guard var target = scores.baseAddress else { return }
            for read in 0..<recordCount {
                let length = Int(records[read].count)
                if ck_encode_qualities(records[read].quality, length, offset, target) > 126 - offset {
                    let (least, remedy) =
                        offset == 33 ? ("!", "give Phred+33 qualities") : ("@", "leave the option for Phred+64 out")
                    fault.note(read, "quality is outside '\(least)' to '~'", remedy)
                    return
                }
                target += length
            }
            made = total
        }
    }

    private func checkEncoding(_ batch: ReadBatch) throws {
        guard qualities == .detected, counts.reads == 0,
            let least = batch.qualities.min(), least >= Self.leastOfPhred64,
            let greatest = batch.qualities.max(), greatest >= Self.suspicious
        else { return }
        throw Failure(
            .data, at: "\(streams[0].label):record 1", "qualities look like Phred+64, as Illumina wrote before 2011",
            remedy: "say which they are: --quality-offset 64, or 33")
    }

    /// Whether two names are those of mates: the same, or the same with `.1` and `.2` behind the number of the spot, as
    /// fastq-dump writes them on request.
    private static func areMates(_ first: FASTQBlock.Record, _ second: FASTQBlock.Record) -> Bool {
        guard first.nameCount == second.nameCount else { return false }
        let count = Int(first.nameCount)
        if memcmp(first.name, second.name, count) == 0 { return true }
        let numbers = UInt8(ascii: "1")...UInt8(ascii: "2")
        guard count > 4, numbers.contains(first.name[count - 1]), numbers.contains(second.name[count - 1]),
            first.name[count - 2] == UInt8(ascii: "."), memcmp(first.name, second.name, count - 1) == 0
        else { return false }
        var at = count - 3
        while at > 0, (48...57).contains(first.name[at]) { at -= 1 }
        return at > 0 && at < count - 3 && first.name[at] == UInt8(ascii: ".")
    }
}
