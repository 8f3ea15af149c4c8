import CKernels
import Diagnostics
import GenomicFormats
import Glibc

/// Applies the filter to whole lines: records that are plainly well-formed by kernels, all others one by one. Not for use
/// by two threads at once.
final class PartFilter {
    private static let capacity = 1_024

    private let columns: Int
    private let requiresOrder: Bool
    private let makesIndex: Bool
    private let rule: OverlapRule
    private let leafShift = BinningScheme.smallestShift
    private var scanner: VCFRecordScanner
    private var decider: RecordDecider
    private var editor: RecordEditor
    private let copiesLines: Bool
    private let records: UnsafeMutablePointer<ck_vcf_record>
    private let verdicts: UnsafeMutablePointer<UInt8>
    private var contigNames: [String]
    private var contigLengths: [Int]
    private var contigByName: [String: Int]
    private let wantsEnd: Bool

    private var part = FilteredPart()
    private var text = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The present run.
    private var contig = -1
    private var contigBytes: [UInt8] = []

    init(_ filter: VCFFilter, input: VCFHeader, output: OutputHeader, makesIndex: Bool, label: String) {
        columns = input.columnCount
        requiresOrder = filter.requiresSortedInput
        self.makesIndex = makesIndex
        rule = filter.overlap
        scanner = VCFRecordScanner(header: input, label: label)
        decider = RecordDecider(selection: filter.selection, rule: filter.overlap, splitsAlleles: filter.discloses)
        editor = RecordEditor(input: input, output: output, fields: filter.fields)
        copiesLines = editor.isIdentity
        records = .allocate(capacity: Self.capacity)
        verdicts = .allocate(capacity: Self.capacity)
        verdicts.initialize(repeating: 0, count: Self.capacity)
        contigNames = input.contigs.map(\.name)
        contigLengths = input.contigs.map { $0.length ?? .max }
        contigByName = Dictionary(uniqueKeysWithValues: contigNames.enumerated().map { ($1, $0) })
        switch filter.selection {
        case .everything, .identifiers: wantsEnd = makesIndex
        case .regions, .variants: wantsEnd = makesIndex || filter.overlap != .position
        }
    }

    deinit {
        records.deallocate()
        verdicts.deallocate()
    }

    /// Filters lines that all end with LF.
    ///
    /// - Parameter waiting: pieces that earlier lines left.
    func filter(_ lines: UnsafeRawBufferPointer, waiting: WaitingLines = WaitingLines()) -> FilteredPart {
        part = FilteredPart()
        part.waiting = waiting
        text = lines
        contig = -1
        var at = 0
        while at < lines.count && part.failure == nil {
            let start = lines.baseAddress! + at
            var scanned = 0
            let count = ck_vcf_scan(
                start.assumingMemoryBound(to: UInt8.self), min(lines.count - at, 1 << 31), columns, wantsEnd, records,
                Self.capacity, &scanned)
            precondition(count > 0, "lines end with LF")
            var first = 0
            while first < count && part.failure == nil {
                if records[first].flags & UInt32(CK_VCF_CHECK) != 0 {
                    takeOdd(records[first], at)
                    first += 1
                } else {
                    first = takeRun(from: first, count: count, at: at)
                }
            }
            at += scanned
        }
        let result = part
        part = FilteredPart()
        return result
    }

    /// Takes neighbouring plain records of one contig; returns the first that is none of them.
    private func takeRun(from first: Int, count: Int, at: Int) -> Int {
        guard enterRun(records[first], at) else { return count }
        var end = first + 1
        var isBackwards = false
        while end < count {
            let flags = records[end].flags
            if flags & UInt32(CK_VCF_CHECK | CK_VCF_SAME_CONTIG | CK_VCF_BACKWARDS) != UInt32(CK_VCF_SAME_CONTIG) {
                if flags & UInt32(CK_VCF_CHECK) == 0 && flags & UInt32(CK_VCF_BACKWARDS) != 0 {
                    isBackwards = true
                    if requiresOrder { break }
                } else {
                    break
                }
            }
            end += 1
        }
        let length = contigLengths[contig]
        if length < 1 << 31 {
            var index = isBackwards ? first : end - 1
            while index < end {
                if Int(records[index].position) - 1 > length {
                    index = (first..<end).first { Int(records[$0].position) - 1 > length } ?? index
                    decide(first..<index, at)
                    if part.failure == nil { takeOdd(records[index], at) }
                    return index + 1
                }
                index += 1
            }
        }
        decide(first..<end, at)
        if part.failure == nil && end < count && requiresOrder {
            let flags = records[end].flags
            if flags & UInt32(CK_VCF_CHECK) == 0 && flags & UInt32(CK_VCF_BACKWARDS) != 0 { failUnsorted() }
        }
        return end
    }

    private func failUnsorted() {
        fail(scanner.failure("records are not sorted", "sort the file with bcftools sort"))
    }

    private func fail(_ problem: any Error) {
        if part.failure == nil { part.failure = (part.counts.recordsIn, problem) }
    }

    /// Makes the record's contig the present one and notes a run where it is another; false when the record is refused.
    private func enterRun(_ record: ck_vcf_record, _ at: Int) -> Bool {
        let name = UnsafeRawBufferPointer(
            rebasing: text[at + Int(record.line)..<at + Int(record.chrom_end)])
        return enterRun(name, position: Int(record.position), line: at + Int(record.line)..<at + Int(record.end))
    }

    private func enterRun(_ name: UnsafeRawBufferPointer, position: Int, line: Range<Int>) -> Bool {
        if contig >= 0, contigBytes.count == name.count,
            contigBytes.withUnsafeBytes({ memcmp($0.baseAddress!, name.baseAddress!, name.count) == 0 })
        {
            if position < part.runs[part.runs.count - 1].lastPosition && requiresOrder {
                failUnsorted()
                return false
            }
            return true
        }
        let string = String(decoding: name, as: UTF8.self)
        if contigByName[string] == nil {
            // The scanner says what is wrong, or knows why a new contig is allowed.
            do { _ = try scanner.scan(UnsafeRawBufferPointer(rebasing: text[line])) } catch {
                fail(error)
                return false
            }
            contigByName[string] = contigNames.count
            contigNames.append(string)
            contigLengths.append(.max)
        }
        contig = contigByName[string] ?? 0
        contigBytes = Array(name)
        if requiresOrder && part.runs.contains(where: { $0.contig == contigBytes }) {
            failUnsorted()
            return false
        }
        part.runs.append(
            .init(
                contig: contigBytes, firstPosition: position, lastPosition: position,
                firstRecord: part.counts.recordsIn))
        return true
    }

    /// A record that a kernel would not judge.
    private func takeOdd(_ raw: ck_vcf_record, _ at: Int) {
        let line = at + Int(raw.line)..<at + Int(raw.end)
        do {
            let scanned = try scanner.scan(UnsafeRawBufferPointer(rebasing: text[line]))
            guard enterRun(scanned.chrom, position: scanned.position, line: line) else { return }
            let record = scanned.with(contig: contig)
            part.runs[part.runs.count - 1].lastPosition = record.position
            let isWhole = raw.flags & UInt32(CK_VCF_CR) == 0 && scanned.line.count == line.count
            try take(record, decider.decide(record, contigNames: contigNames), line: line, isWhole: isWhole)
        } catch {
            fail(error)
        }
    }

    /// Decides on plain records of the present contig, in order.
    private func decide(_ range: Range<Int>, _ at: Int) {
        guard !range.isEmpty else { return }
        let base = (text.baseAddress! + at).assumingMemoryBound(to: UInt8.self)
        let chosen = records + range.lowerBound
        let count = range.count
        judge(chosen, count, base)
        part.runs[part.runs.count - 1].lastPosition = Int(chosen[count - 1].position)
        var doubtful = ck_vcf_check_genotypes(base, chosen, verdicts, 0, count)
        var index = 0
        while index < count {
            if part.waiting.lines.isEmpty {
                index = takePlain(from: index, count, chosen, doubtful: doubtful, at)
                if index == count { return }
            }
            defer { index += 1 }
            let raw = chosen[index]
            if !part.waiting.lines.isEmpty { releaseWaiting(before: Int(raw.position) - 1) }
            let verdict = verdicts[index]
            if verdict == UInt8(CK_VCF_WITHHOLD) {
                part.counts.recordsIn += 1
                part.counts.withheld += 1
                continue
            }
            let line = at + Int(raw.line)..<at + Int(raw.end)
            if verdict == UInt8(CK_VCF_PASS) && copiesLines && index != doubtful
                && raw.flags & UInt32(CK_VCF_CR) == 0
            {
                part.counts.recordsIn += 1
                part.counts.recordsOut += 1
                copy(line.lowerBound..<line.upperBound + 1)
                if makesIndex {
                    note(first: Int(raw.position) - 1, last: Int(raw.last) - 1, bytes: line.count + 1, records: 1)
                }
                continue
            }
            let start = Int(raw.line)
            let record = VCFRecord(
                line: UnsafeRawBufferPointer(rebasing: text[line]), contig: contig, position: Int(raw.position),
                chromEnd: Int(raw.chrom_end) - start, posEnd: Int(raw.pos_end) - start, idEnd: Int(raw.id_end) - start,
                refEnd: Int(raw.ref_end) - start, altEnd: Int(raw.alt_end) - start)
            do {
                if index == doubtful {
                    let isOut = verdict == UInt8(CK_VCF_PASS) || isGranted(record)
                    if isOut { try scanner.checkGenotypes(of: record) }
                    doubtful = ck_vcf_check_genotypes(base, chosen, verdicts, index + 1, count)
                }
                try take(
                    record,
                    verdict == UInt8(CK_VCF_PASS) ? .pass : decider.decide(record, contigNames: contigNames),
                    line: line, isWhole: raw.flags & UInt32(CK_VCF_CR) == 0, genotypesAreChecked: true)
            } catch {
                return fail(error)
            }
        }
    }

    /// Takes records, from one on, of which nothing more is to be asked, as long as no line waits; returns the first other.
    private func takePlain(
        from first: Int, _ count: Int, _ chosen: UnsafeMutablePointer<ck_vcf_record>, doubtful: Int, _ at: Int
    ) -> Int {
        let verdicts = verdicts
        let copies = copiesLines && !makesIndex
        var index = first
        var passed = 0
        func isCopied(_ index: Int) -> Bool {
            verdicts[index] == UInt8(CK_VCF_PASS) && index != doubtful && chosen[index].flags & UInt32(CK_VCF_CR) == 0
        }
        while index < count {
            if verdicts[index] == UInt8(CK_VCF_WITHHOLD) {
                index += 1
                continue
            }
            guard copies, isCopied(index) else { break }
            let start = index
            repeat { index += 1 } while index < count && isCopied(index)
            passed += index - start
            copy(at + Int(chosen[start].line)..<at + Int(chosen[index - 1].end) + 1)
        }
        part.counts.recordsIn += index - first
        part.counts.recordsOut += passed
        part.counts.withheld += index - first - passed
        return index
    }

    private func isGranted(_ record: VCFRecord) -> Bool {
        if case .withhold = decider.decide(record, contigNames: contigNames) { return false }
        return true
    }

    private func judge(_ chosen: UnsafeMutablePointer<ck_vcf_record>, _ count: Int, _ base: UnsafePointer<UInt8>) {
        switch decider.fast(contig: contig, contigNames: contigNames) {
        case .withholdAll: verdicts.update(repeating: UInt8(CK_VCF_WITHHOLD), count: count)
        case .passAll: verdicts.update(repeating: UInt8(CK_VCF_PASS), count: count)
        case .askAll: verdicts.update(repeating: UInt8(CK_VCF_ASK), count: count)
        case .regions(let intervals):
            let number =
                switch rule {
                case .position: CK_VCF_BY_POSITION
                case .record: CK_VCF_BY_RECORD
                case .variant: CK_VCF_BY_VARIANT
                case .within: CK_VCF_WITHIN
                }
            intervals.starts.withUnsafeBytes { starts in
                intervals.ends.withUnsafeBytes { ends in
                    ck_vcf_select_regions(
                        base, chosen, count, starts.assumingMemoryBound(to: Int64.self).baseAddress,
                        ends.assumingMemoryBound(to: Int64.self).baseAddress, intervals.count, Int32(number), verdicts)
                }
            }
        case .variants(let table):
            table.positions.withUnsafeBytes { positions in
                table.offsets.withUnsafeBytes { offsets in
                    table.middles.withUnsafeBytes { middles in
                        ck_vcf_select_variants(
                            base, chosen, count, positions.assumingMemoryBound(to: Int64.self).baseAddress,
                            offsets.assumingMemoryBound(to: Int64.self).baseAddress,
                            middles.assumingMemoryBound(to: Int64.self).baseAddress, table.letters, table.count,
                            verdicts)
                    }
                }
            }
        }
    }

    /// Carries out one decision.
    private func take(
        _ record: VCFRecord, _ decision: Decision, line: Range<Int>, isWhole: Bool, genotypesAreChecked: Bool = false
    ) throws {
        if !part.waiting.lines.isEmpty { releaseWaiting(before: record.position - 1) }
        if case .withhold = decision {
            part.counts.recordsIn += 1
            part.counts.withheld += 1
            return
        }
        if !genotypesAreChecked { try scanner.checkGenotypes(of: record) }
        part.counts.recordsIn += 1
        let before = part.edited.count
        switch decision {
        case .withhold: return
        case .pass:
            part.counts.recordsOut += 1
            if copiesLines {
                if isWhole {
                    copy(line.lowerBound..<line.upperBound + 1)
                } else {
                    part.edited.append(contentsOf: record.line)
                    part.edited.append(10)
                }
            } else {
                editor.write(record, allowed: nil, piece: nil, to: &part.edited)
            }
        case .alleles(let allowed):
            part.counts.recordsOut += 1
            part.counts.altered += 1
            editor.write(record, allowed: allowed, piece: nil, to: &part.edited)
        case .pieces(let pieces):
            part.counts.altered += 1
            for piece in pieces { keep(piece, of: record) }
            releaseWaiting(before: record.position - 1)
            return
        }
        let bytes = part.edited.count > before ? part.edited.count - before : line.count + 1
        if part.edited.count > before { noteEdited(from: before) }
        if makesIndex { note(first: record.position - 1, last: record.end() - 1, bytes: bytes, records: 1) }
    }

    private func keep(_ piece: Range<Int>, of record: VCFRecord) {
        var line: [UInt8] = []
        editor.write(record, allowed: nil, piece: piece, to: &line)
        let lines = part.waiting.lines
        let place = lines.lastIndex { $0.start <= piece.lowerBound }.map { $0 + 1 } ?? 0
        part.waiting.lines.insert(.init(start: piece.lowerBound, end: piece.upperBound, line: line), at: place)
        part.waiting.contig = contigBytes
    }

    /// Pieces of a block wait until no record can come before them.
    private func releaseWaiting(before start: Int) {
        let isSame = part.waiting.contig == contigBytes
        var released = 0
        while released < part.waiting.lines.count, !isSame || part.waiting.lines[released].start <= start {
            let waiting = part.waiting.lines[released]
            let before = part.edited.count
            part.edited.append(contentsOf: waiting.line)
            noteEdited(from: before)
            if makesIndex {
                note(
                    first: waiting.start, last: waiting.end - 1, bytes: waiting.line.count, records: 1,
                    contig: part.waiting.contig)
            }
            released += 1
        }
        part.counts.recordsOut += released
        part.waiting.lines.removeFirst(released)
    }

    @inline(__always)
    private func copy(_ range: Range<Int>) {
        part.outputBytes += range.count
        let last = part.segments.count - 1
        if last >= 0 && !part.segments[last].isEdited && part.segments[last].to == range.lowerBound {
            part.segments[last].to = range.upperBound
        } else {
            part.segments.append(.init(from: range.lowerBound, to: range.upperBound, isEdited: false))
        }
    }

    private func noteEdited(from before: Int) {
        part.outputBytes += part.edited.count - before
        let last = part.segments.count - 1
        if last >= 0 && part.segments[last].isEdited && part.segments[last].to == before {
            part.segments[last].to = part.edited.count
        } else {
            part.segments.append(.init(from: before, to: part.edited.count, isEdited: true))
        }
    }

    /// Notes the record whose last `bytes` bytes were put out, for the index.
    @inline(__always)
    private func note(first: Int, last: Int, bytes: Int, records: Int, contig: [UInt8]? = nil) {
        let last = max(first, last)
        let window = first >> leafShift
        let end = part.outputBytes
        let place = part.index.count - 1
        if contig == nil, place >= 0, window == last >> leafShift, part.index[place].first >> leafShift == window,
            part.index[place].last >> leafShift == window, part.index[place].end == end - bytes,
            part.index[place].contig == contigBytes
        {
            part.index[place].end = end
            part.index[place].last = last
            part.index[place].records += records
            return
        }
        part.index.append(
            .init(
                contig: contig ?? contigBytes, first: first, last: last, start: end - bytes, end: end, records: records)
        )
    }
}
