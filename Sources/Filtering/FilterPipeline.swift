import Compression
import Diagnostics
import GenomicFormats
import Metering
import Threads

/// The one path that every use of the filter takes: groups of blocks are inflated and filtered on a crew of threads, put
/// together in order, and what is new is deflated by the same crew.
///
/// Memory holds a few groups for each thread, the longest line and the index, whatever the size of the file.
final class FilterPipeline {
    /// The longest header or line taken, in bytes.
    static let maximumLineBytes = 256 << 20

    private let filter: VCFFilter
    private let settings: FilterOutput
    private let label: String
    private let sink: ByteSink
    /// Plain output on its way to the sink.
    private let plain: PlainWriter?
    private let source: BGZFGroupReader.Source
    private let limits: GzipInflater.Limits
    private let reader: BGZFGroupReader
    private let crew: Crew
    private var inflaters: [BGZFBlockInflater] = []
    /// One for each worker, and one for lines that two groups share.
    private var filters: [PartFilter] = []
    private var own: PartFilter?
    private lazy var ownInflater = BGZFBlockInflater()
    private var assembler: BGZFAssembler?
    private var index: TabixIndexBuilder?
    private var indexSuffix = ".tbi"
    private var plainOut = 0
    private var makesIndex = false

    private var tail: [(group: BGZFGroup, range: Range<Int>)] = []
    private var tailBytes = 0
    private var waiting = WaitingLines()
    private var counts = FilterCounts()
    private var lastContig: [UInt8]?
    private var lastPosition = 0
    private var pastContigs: Set<[UInt8]> = []
    private var contigNumbers: [[UInt8]: Int] = [:]
    /// Blocks outside the regions are skipped by this.
    private var plan: SkipPlan?
    /// No record was seen since the last gap; its first line has not ended.
    private var gapIsOpen = false
    /// Where the blocks behind the last gap begin.
    private var gapEnd = 0
    private var isInsideLine = false
    /// Where the blocks end whose lines went out, and whether those are all up to the end of the file.
    private var end = 0
    private var isAtEnd = true
    /// Bytes of blocks that the plan did not foresee, and their plain bytes.
    private var more = (compressed: 0, plain: 0)
    private var inflateSeconds = 0.0
    private var filterSeconds = 0.0
    private var writeSeconds = 0.0

    init(
        _ filter: VCFFilter, settings: FilterOutput, label: String, maximumOutput: Int? = nil,
        plan: SkipPlan? = nil, source: @escaping BGZFGroupReader.Source, sink: @escaping ByteSink
    ) {
        self.plan = plan
        self.filter = filter
        self.settings = settings
        self.label = label
        self.sink = sink
        plain = settings.format == .vcf ? PlainWriter(sink) : nil
        self.source = source
        limits = .init(maximumOutput: maximumOutput)
        reader = BGZFGroupReader(label: label, limits: limits, source: source)
        if let plan { reader.skip(to: plan.stretches) }
        crew = Crew(settings.threads)
        inflaters = (0..<crew.count).map { _ in BGZFBlockInflater() }
    }

    func run() throws -> FilterReport {
        defer { crew.close() }
        let start = monotonicSeconds()
        let first = try readHeader()
        var slots: [FilterSlot] = []
        var blocks = 0
        // Enough for every thread to have work while the oldest group is waited for.
        let ahead = (crew.count == 1 ? 1 : crew.count * 3) * BGZFGroupReader.blocksPerGroup
        var next: FilterSlot? = first
        while true {
            while blocks < ahead {
                let batch = try nextBatch(&next)
                guard !batch.isEmpty else { break }
                blocks += batch.reduce(0) { $0 + $1.blocks }
                slots += batch
                let piece = crew.give { [self] worker in
                    for slot in batch { slot.work(inflaters[worker], filters[worker], label: label) }
                }
                for slot in batch { slot.piece = piece }
            }
            guard !slots.isEmpty else { break }
            let slot = slots.removeFirst()
            if let piece = slot.piece { crew.wait(for: piece) }
            slot.piece = nil
            blocks -= slot.blocks
            let began = threadSeconds()
            let before = (inflateSeconds, filterSeconds)
            try commit(slot)
            writeSeconds += threadSeconds() - began - (inflateSeconds - before.0) - (filterSeconds - before.1)
            if let part = slot.part { filterSeconds += part.seconds }
            inflateSeconds += slot.inflateSeconds
        }
        try readToLastGap()
        let began = threadSeconds()
        try commitLastLine()
        try release(waiting)
        let indexBytes = try finish()
        writeSeconds += threadSeconds() - began
        return report(seconds: monotonicSeconds() - start, index: indexBytes)
    }

    // MARK: Input

    /// Reads up to the first record and begins the output. Returns the rest of the group that holds it.
    private func readHeader() throws -> FilterSlot? {
        var bytes: [UInt8] = []
        var lineStart = 0
        while let group = reader.next() {
            // The index names a record inside the header.
            if group.isBehindGap { throw IndexDoesNotFit() }
            let began = threadSeconds()
            group.inflate(with: inflaters[0], label: label)
            inflateSeconds += threadSeconds() - began
            let before = bytes.count
            bytes.append(contentsOf: group.plain)
            guard bytes.count <= Self.maximumLineBytes else { throw tooLong }
            let end = bytes.withUnsafeBytes { all in
                VCFHeader.byteCount(in: UnsafeRawBufferPointer(rebasing: all[lineStart...])).map { $0 + lineStart }
            }
            if let end {
                try begin(bytes[..<end])
                return FilterSlot(group, lineStart: end - before)
            }
            if let failure = group.failure { throw failure }
            lineStart = bytes.lastIndex(of: 10).map { $0 + 1 } ?? 0
        }
        guard !bytes.isEmpty else {
            throw Failure(.data, at: label, "is empty", remedy: "check that the right file was given")
        }
        try begin(bytes[...])
        return nil
    }

    private func begin(_ text: ArraySlice<UInt8>) throws {
        let input = try text.withUnsafeBytes { try VCFHeader(parsing: $0, label: label) }
        let output = try filter.prepare(input, label: label)
        makesIndex = settings.makesIndex && settings.format == .vcfGz && filter.requiresSortedInput
        func part() -> PartFilter {
            PartFilter(filter, input: input, output: output, makesIndex: makesIndex, label: label)
        }
        filters = (0..<crew.count).map { _ in part() }
        own = part()
        if settings.format == .vcfGz {
            let assembler = BGZFAssembler(
                level: settings.level, passesBlocks: !filter.discloses, crew: crew, sink: sink)
            self.assembler = assembler
            if makesIndex {
                let kind = settings.indexKind(longestContig: input.contigs.compactMap(\.length).max() ?? 0)
                if case .csi = kind { indexSuffix = ".csi" }
                index = TabixIndexBuilder(
                    label: label, kind: kind,
                    block: { UInt64(assembler.block(ofPlainByte: Int($0))) })
            }
        }
        try output.header.text.withUnsafeBytes { try put($0) }
        try assembler?.endBlock()
    }

    /// Groups that together are worth a piece of work, `first` at their head: short ones lie between gaps.
    private func nextBatch(_ first: inout FilterSlot?) throws -> [FilterSlot] {
        let began = threadSeconds()
        defer { inflateSeconds += threadSeconds() - began }
        var batch: [FilterSlot] = []
        var blocks = 0
        while blocks < BGZFGroupReader.blocksPerGroup {
            guard let slot = first ?? reader.next().map({ FilterSlot($0, lineStart: nil) }) else { break }
            first = nil
            batch.append(slot)
            blocks += slot.blocks
        }
        return batch
    }

    // MARK: Output, in order

    private func commit(_ slot: FilterSlot) throws {
        let group = slot.group
        guard group.isBehindGap else { return try commit(slot, isBehindGap: false) }
        try closeGap(before: slot)
        guard end <= group.offset else { throw IndexDoesNotFit() }
        try commit(slot, isBehindGap: end < group.offset)
    }

    /// Reads on into a gap until it is proven: what the plan knows, then all of it. Where records reach far over others, no
    /// place of the index need lie behind a region.
    ///
    /// - Parameter slot: what was read behind the gap; nil for the gap at the end of the file.
    private func closeGap(before slot: FilterSlot?) throws {
        guard let plan, !isProven(before: slot) else { return }
        let next = slot?.group.offset
        try readMore(plan.stretches(from: end, before: next))
        // Without a record behind it nothing tells yet whether the gap is proven; its first record will.
        guard slot == nil ? !isAtEnd : slot?.part?.runs.first != nil, !isProven(before: slot) else { return }
        try readMore([.init(start: end, last: next.map { $0 - 1 } ?? .max)])
    }

    /// Whether what was read on both sides of a gap proves it; behind it there may be no record, or a wrong one.
    private func isProven(before slot: FilterSlot?) -> Bool {
        guard let slot else { return provesGap(before: nil, gapEnd: .max) }
        guard let run = slot.part?.runs.first else { return false }
        let place = (String(decoding: run.contig, as: UTF8.self), run.firstPosition)
        return end == slot.group.offset || provesGap(before: place, gapEnd: slot.group.offset)
    }

    /// Reads parts of a gap, on this thread: they are small, and seldom needed.
    private func readMore(_ stretches: [BGZFGroupReader.Stretch]) throws {
        guard let own else { return }
        let reader = BGZFGroupReader(label: label, limits: limits, from: end, source: source)
        reader.skip(to: stretches)
        while let group = reader.next() {
            let slot = FilterSlot(group, lineStart: nil)
            slot.work(ownInflater, own, label: label)
            inflateSeconds += slot.inflateSeconds
            filterSeconds += slot.part?.seconds ?? 0
            try commit(slot)
        }
        more = (more.compressed + reader.compressedBytes, more.plain + reader.plainBytes)
        if stretches.last?.last == .max, !reader.endsBehindGap { isAtEnd = true }
    }

    /// The gap behind the last stretch, or behind the last that lies in the file.
    private func readToLastGap() throws {
        guard let plan, plan.stretches.last?.last != .max || reader.endsBehindGap else { return }
        isAtEnd = false
        try closeGap(before: nil)
    }

    private func commit(_ slot: FilterSlot, isBehindGap: Bool) throws {
        let group = slot.group
        end = group.end
        if isBehindGap {
            // A line that was begun before the gap, and what is left of one that was begun inside it.
            tail = []
            tailBytes = 0
            gapIsOpen = true
            gapEnd = group.offset
            isInsideLine = true
        }
        if slot.hasLines {
            if slot.lineStart == nil {
                if slot.lines.lowerBound > 0 { extendTail(group, 0..<slot.lines.lowerBound) }
                try commitLine()
            }
            if var part = slot.part {
                if !waiting.lines.isEmpty, let own {
                    // Pieces of earlier blocks come between these records.
                    let began = threadSeconds()
                    part = own.filter(
                        UnsafeRawBufferPointer(rebasing: group.plain[slot.lines]), waiting: waiting)
                    filterSeconds += threadSeconds() - began
                }
                try commit(part, place: { group.fileOffset(ofPlainByte: slot.lines.lowerBound) }) {
                    try self.put(slot.lines.lowerBound + $0.from..<slot.lines.lowerBound + $0.to, of: group)
                }
            }
            if slot.lines.upperBound < group.plainCount {
                extendTail(group, slot.lines.upperBound..<group.plainCount)
            }
        } else {
            extendTail(group, (slot.lineStart ?? 0)..<group.plainCount)
        }
        if let failure = group.failure { throw failure }
        guard tailBytes <= Self.maximumLineBytes else { throw tooLong }
    }

    private func extendTail(_ group: BGZFGroup, _ range: Range<Int>) {
        guard !range.isEmpty, !isInsideLine else { return }
        tail.append((group, range))
        tailBytes += range.count
    }

    /// The line that groups share.
    private func commitLine(endsWithLF: Bool = true) throws {
        if isInsideLine {
            isInsideLine = false
            return
        }
        guard let own, let first = tail.first else { return }
        let began = threadSeconds()
        var line: [UInt8] = []
        line.reserveCapacity(tailBytes + 1)
        for piece in tail { line.append(contentsOf: UnsafeRawBufferPointer(rebasing: piece.group.plain[piece.range])) }
        let pieces = tail
        tail = []
        tailBytes = 0
        if !endsWithLF { line.append(10) }
        try line.withUnsafeBytes { line in
            let part = own.filter(line, waiting: waiting)
            filterSeconds += threadSeconds() - began
            try commit(part, place: { first.group.fileOffset(ofPlainByte: first.range.lowerBound) }) { segment in
                precondition(segment.from == 0 && segment.to == line.count, "a line goes out whole")
                if endsWithLF {
                    for piece in pieces { try put(piece.range, of: piece.group) }
                } else {
                    try put(line)
                }
            }
        }
    }

    private func commitLastLine() throws {
        if plan != nil, !isAtEnd {
            // The last line goes on in blocks that were not read.
            tail = []
            guard provesGap(before: nil, gapEnd: .max) else { throw IndexDoesNotFit() }
        } else {
            try commitLine(endsWithLF: false)
            guard !gapIsOpen || provesGap(before: nil, gapEnd: .max) else { throw IndexDoesNotFit() }
        }
        guard plan?.isComplete != false else { throw IndexDoesNotFit() }
    }

    /// Whether the last record and one behind a gap prove it; nil is the end of the file.
    private func provesGap(before next: (contig: String, position: Int)?, gapEnd: Int) -> Bool {
        let last = lastContig.map { (contig: String(decoding: $0, as: UTF8.self), position: lastPosition) }
        return plan?.provesGap(after: last, before: next, gapEnd: gapEnd) == true
    }

    private func checkGap(before run: FilteredPart.Run) throws {
        let contig = String(decoding: run.contig, as: UTF8.self)
        if gapIsOpen {
            guard provesGap(before: (contig, run.firstPosition), gapEnd: gapEnd) else { throw IndexDoesNotFit() }
            gapIsOpen = false
        }
        plan?.see(contig)
    }

    /// Puts out what the filter made of some lines.
    private func commit(
        _ part: FilteredPart, place: () -> Int, copy: (FilteredPart.Segment) throws -> Void
    ) throws {
        try checkOrder(part, place)
        if let failure = part.failure { throw located(failure.problem, record: failure.record, place) }
        let start = plainOut
        for segment in part.segments {
            if segment.isEdited {
                try part.edited.withUnsafeBytes {
                    try put(UnsafeRawBufferPointer(rebasing: $0[segment.from..<segment.to]))
                }
            } else {
                try copy(segment)
            }
        }
        for entry in part.index {
            try index?.add(
                contig: number(of: entry.contig), name: entry.contig, position: entry.first + 1, end: entry.last + 1,
                startOffset: UInt64(start + entry.start), endOffset: UInt64(start + entry.end), records: entry.records)
        }
        waiting = part.waiting
        counts.add(part.counts)
    }

    private func number(of contig: [UInt8]) -> Int {
        if let known = contigNumbers[contig] { return known }
        contigNumbers[contig] = contigNumbers.count
        return contigNumbers.count - 1
    }

    private func checkOrder(_ part: FilteredPart, _ place: () -> Int) throws {
        guard filter.requiresSortedInput || plan != nil else { return }
        for run in part.runs {
            if plan != nil { try checkGap(before: run) }
            var isSorted = true
            if run.contig == lastContig {
                isSorted = run.firstPosition >= lastPosition
            } else {
                if let lastContig { pastContigs.insert(lastContig) }
                isSorted = !pastContigs.contains(run.contig)
            }
            guard isSorted else {
                let failure = Failure(
                    .data, at: label, "records are not sorted", remedy: "sort the file with bcftools sort")
                throw located(failure, record: run.firstRecord, place)
            }
            lastContig = run.contig
            lastPosition = run.lastPosition
        }
    }

    /// The same failure with the record's number in the file.
    private func located(_ problem: any Error, record: Int, _ place: () -> Int) -> any Error {
        guard var failure = problem as? Failure else { return problem }
        failure.place =
            plan == nil ? "\(label):record \(counts.recordsIn + record + 1)" : "\(label):byte \(place()) or behind it"
        return failure
    }

    /// Pieces behind which no record comes.
    private func release(_ waiting: WaitingLines) throws {
        for line in waiting.lines {
            let start = plainOut
            try line.line.withUnsafeBytes { try put($0) }
            try index?.add(
                contig: number(of: waiting.contig), name: waiting.contig, position: line.start + 1, end: line.end,
                startOffset: UInt64(start), endOffset: UInt64(plainOut))
        }
        counts.recordsOut += waiting.lines.count
    }

    private func put(_ bytes: UnsafeRawBufferPointer) throws {
        plainOut += bytes.count
        if let assembler { try assembler.append(bytes) } else { try plain?.write(bytes) }
    }

    private func put(_ range: Range<Int>, of group: BGZFGroup) throws {
        plainOut += range.count
        if let assembler {
            try assembler.append(range, of: group)
        } else {
            try plain?.write(UnsafeRawBufferPointer(rebasing: group.plain[range]))
        }
    }

    private func finish() throws -> [UInt8]? {
        try plain?.flush()
        guard let assembler else { return nil }
        try assembler.finish(multipleOf: settings.lengthMultiple)
        return index?.finish { assembler.virtualOffset(ofPlainByte: Int($0)) }
    }

    private var tooLong: Failure {
        Failure(.data, at: label, "header or line is longer than 256 MiB", remedy: "check that this is VCF")
    }

    // MARK: Measuring

    /// The stages run side by side, so each is given the share of the whole time that its processor time has.
    private func report(seconds: Double, index: [UInt8]?) -> FilterReport {
        let deflateSeconds = assembler?.seconds ?? 0
        // A crew of one deflates on the thread that writes.
        let output = crew.count == 1 ? max(writeSeconds, deflateSeconds) : writeSeconds + deflateSeconds
        let total = max(inflateSeconds + filterSeconds + output, 1e-9)
        let fileOut = assembler?.fileBytes ?? plainOut
        func measured(_ stage: Stage, _ bytes: Int, _ part: Double) -> StageMeasurement {
            StageMeasurement(stage: stage, bytes: bytes, seconds: seconds * part / total)
        }
        return FilterReport(
            counts: counts, index: index, indexSuffix: indexSuffix, passedBytes: assembler?.passedBytes ?? 0,
            skipped: plan != nil,
            measurements: [
                measured(
                    .decompression, reader.compressedBytes + reader.plainBytes + more.compressed + more.plain,
                    inflateSeconds),
                measured(.filtering, reader.plainBytes + more.plain + plainOut, filterSeconds),
                measured(.compression, plainOut + fileOut, output),
            ])
    }
}
