import GenomicFormats
import Glibc

/// What is to be done with one record.
enum Decision {
    case withhold
    case pass
    /// Pieces of a reference block, 0-based, in order.
    case pieces([Range<Int>])
    /// Only these ALT alleles may go out (true at place `allele - 1`).
    case alleles([Bool])
}

/// Decides on records, one after the other. Cursors make sorted input cheap; unsorted input is only slower.
struct RecordDecider {
    private let selection: Selection
    private let rule: OverlapRule
    private let splitsAlleles: Bool
    private let regions: RegionSet?
    private var identifiers = ByteStringSet([])
    /// By contig of the scanner; nil inside when the right says nothing of the contig.
    private var intervals: [Intervals?] = []
    private var variants: [VariantTable?] = []
    private var cursor = 0
    private var lastContig = -1
    private var lastPosition = 0

    init(selection: Selection, rule: OverlapRule, splitsAlleles: Bool) {
        self.selection = selection
        self.rule = rule
        self.splitsAlleles = splitsAlleles
        switch selection {
        case .everything: regions = nil
        case .regions(let set): regions = set
        case .variants(let list): regions = list.hasAlleles ? nil : list.positions
        case .identifiers(let set):
            regions = nil
            identifiers = ByteStringSet(set)
        }
    }

    mutating func decide(_ record: VCFRecord, contigNames: [String]) -> Decision {
        switch selection {
        case .everything: return .pass
        case .identifiers: return hasIdentifier(record) ? .pass : .withhold
        case .variants(let list) where list.hasAlleles:
            guard let table = table(of: record.contig, contigNames: contigNames) else { return .withhold }
            return matchAlleles(record, table)
        case .regions, .variants:
            guard let here = intervals(of: record.contig, contigNames: contigNames) else { return .withhold }
            return meetRegions(record, here)
        }
    }

    /// How records of one contig can be decided by a kernel.
    enum Fast {
        case withholdAll
        case passAll
        case askAll
        case regions(Intervals)
        case variants(VariantTable)
    }

    mutating func fast(contig: Int, contigNames: [String]) -> Fast {
        switch selection {
        case .everything: .passAll
        case .identifiers: .askAll
        case .variants(let list) where list.hasAlleles:
            table(of: contig, contigNames: contigNames).map { .variants($0) } ?? .withholdAll
        case .regions, .variants: intervals(of: contig, contigNames: contigNames).map { .regions($0) } ?? .withholdAll
        }
    }

    private mutating func table(of contig: Int, contigNames: [String]) -> VariantTable? {
        guard case .variants(let list) = selection else { return nil }
        while variants.count <= contig {
            variants.append(list.alleles[contigNames[variants.count]].map { VariantTable($0) })
        }
        return variants[contig]
    }

    private mutating func intervals(of contig: Int, contigNames: [String]) -> Intervals? {
        while intervals.count <= contig { intervals.append(regions?.intervals(of: contigNames[intervals.count])) }
        return intervals[contig]
    }

    private func hasIdentifier(_ record: VCFRecord) -> Bool {
        let all = record.id
        var at = 0
        while at < all.count {
            let end = Bytes.find(UInt8(ascii: ";"), in: all, from: at) ?? all.count
            if identifiers.contains(UnsafeRawBufferPointer(rebasing: all[at..<end])) { return true }
            at = end + 1
        }
        return false
    }

    /// Moves the cursor to the first interval that ends behind POS.
    private mutating func advance(_ record: VCFRecord, count: Int, isBefore: (Int) -> Bool, search: () -> Int) {
        if record.contig != lastContig || record.position < lastPosition {
            cursor = search()
        } else {
            var steps = 0
            while cursor < count, isBefore(cursor) {
                cursor += 1
                steps += 1
                if steps == 16 {
                    cursor = search()
                    break
                }
            }
        }
        lastContig = record.contig
        lastPosition = record.position
    }

    private mutating func meetRegions(_ record: VCFRecord, _ here: Intervals) -> Decision {
        let start = record.position - 1
        // An insertion needs the base before POS + 1 only, so that no rule looks further left than POS - 1.
        let leftmost = max(0, start - 1)
        advance(record, count: here.count) {
            here.ends[$0] <= leftmost
        } search: {
            here.firstIndex(endingAfter: leftmost)
        }
        // Behind every region, and nothing can reach back.
        if cursor == here.count { return .withhold }
        switch rule {
        case .position: return overlaps(here, start, start) ? .pass : .withhold
        case .record:
            if overlaps(here, start, start) { return .pass }
            return overlaps(here, start, record.end() - 1) ? .pass : .withhold
        case .variant:
            let bounds = RecordExtent.variantBounds(record)
            return overlaps(here, bounds.first, bounds.last) ? .pass : .withhold
        case .within: return fitWithin(record, here)
        }
    }

    /// Whether the first interval that reaches to `first` begins at or before `last` (which may be `first - 1`).
    private func overlaps(_ here: Intervals, _ first: Int, _ last: Int) -> Bool {
        var index = cursor
        while index < here.count, here.ends[index] <= first { index += 1 }
        return index < here.count && here.starts[index] <= last
    }

    private func fitWithin(_ record: VCFRecord, _ here: Intervals) -> Decision {
        if RecordExtent.isReferenceBlock(record) { return fitBlock(record, here) }
        var matesAreGranted = true
        let affected = RecordExtent.affected(record) { contig, position in
            if !(regions?.overlaps(contig, position..<position + 1) ?? false) { matesAreGranted = false }
        }
        guard let affected, matesAreGranted else { return .withhold }
        return here.contains(affected) ? .pass : .withhold
    }

    private func fitBlock(_ record: VCFRecord, _ here: Intervals) -> Decision {
        if Self.hasFormatLength(record) { return .withhold }
        let start = record.position - 1
        let block = start..<max(record.end(), start + record.reference.count)
        if here.contains(block) { return .pass }
        // Without END the extent is REF itself, and REF cannot be cut without telling where it was cut.
        guard record.infoValue("END") != nil else { return .withhold }
        var pieces: [Range<Int>] = []
        var index = cursor
        while index < here.count, here.starts[index] < block.upperBound {
            let piece = block.clamped(to: here.starts[index]..<here.ends[index])
            if !piece.isEmpty { pieces.append(piece) }
            index += 1
        }
        return pieces.isEmpty ? .withhold : .pieces(pieces)
    }

    /// VCF 4.5 writes the length of a block into FORMAT/LEN, for each sample its own: such blocks are not cut.
    private static func hasFormatLength(_ record: VCFRecord) -> Bool {
        let line = record.line
        let infoEnd = record.tailEnds().info
        guard infoEnd < line.count else { return false }
        let end = Bytes.find(9, in: line, from: infoEnd + 1) ?? line.count
        return line[infoEnd + 1..<end].split(separator: UInt8(ascii: ":")).contains { $0.elementsEqual("LEN".utf8) }
    }

    private mutating func matchAlleles(_ record: VCFRecord, _ table: VariantTable) -> Decision {
        let start = record.position - 1
        advance(record, count: table.count) {
            table.positions[$0] < start
        } search: {
            table.firstIndex(from: start)
        }
        let reference = record.reference
        // Trimming moves a variant to the right, never beyond REF.
        guard cursor < table.count, table.positions[cursor] <= start + reference.count else { return .withhold }
        var allowed: [Bool] = []
        RecordExtent.forEachAlternative(record) { _, allele in
            let trim = VariantList.trimming(reference, allele)
            allowed.append(
                table.contains(
                    start + trim.prefix,
                    UnsafeRawBufferPointer(rebasing: reference[trim.prefix..<reference.count - trim.suffix]),
                    UnsafeRawBufferPointer(rebasing: allele[trim.prefix..<allele.count - trim.suffix]), from: cursor))
        }
        if !allowed.contains(true) { return .withhold }
        return splitsAlleles && allowed.contains(false) ? .alleles(allowed) : .pass
    }
}

/// One contig's variants in flat memory.
struct VariantTable: Sendable {
    let positions: [Int]
    private(set) var offsets: [Int] = [0]
    private(set) var middles: [Int] = []
    private(set) var letters: [UInt8] = []
    var count: Int { positions.count }

    init(_ entries: [VariantList.Entry]) {
        positions = entries.map(\.position)
        for entry in entries {
            letters.append(contentsOf: entry.reference)
            middles.append(letters.count)
            letters.append(contentsOf: entry.alternative)
            offsets.append(letters.count)
        }
    }

    func firstIndex(from position: Int) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if positions[middle] >= position { high = middle } else { low = middle + 1 }
        }
        return low
    }

    func contains(
        _ position: Int, _ reference: UnsafeRawBufferPointer, _ alternative: UnsafeRawBufferPointer, from: Int
    ) -> Bool {
        var index = from
        while index < count, positions[index] <= position {
            if positions[index] == position, isSame(offsets[index]..<middles[index], reference),
                isSame(middles[index]..<offsets[index + 1], alternative)
            {
                return true
            }
            index += 1
        }
        return false
    }

    private func isSame(_ range: Range<Int>, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard range.count == bytes.count else { return false }
        for (own, byte) in zip(range, bytes) {
            let upper = byte >= 97 && byte <= 122 ? byte - 32 : byte
            if letters[own] != upper { return false }
        }
        return true
    }
}

/// A set of byte strings that is asked without making strings.
struct ByteStringSet: Sendable {
    private var slots: [Int32]
    private var offsets: [Int] = [0]
    private var letters: [UInt8] = []

    init(_ strings: Set<String>) {
        var size = 16
        while size < strings.count * 2 { size *= 2 }
        slots = [Int32](repeating: -1, count: size)
        for (number, string) in strings.enumerated() {
            let bytes = Array(string.utf8)
            letters.append(contentsOf: bytes)
            offsets.append(letters.count)
            var slot = bytes.withUnsafeBytes { Self.hash($0) } & (size - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = Int32(number)
        }
    }

    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var state: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x0100_0000_01b3 }
        return Int(truncatingIfNeeded: (state ^ state >> 32) & 0x7fff_ffff)
    }

    func contains(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return false }
        var slot = Self.hash(bytes) & (slots.count - 1)
        while slots[slot] >= 0 {
            let from = offsets[Int(slots[slot])]
            let length = offsets[Int(slots[slot]) + 1] - from
            if length == bytes.count,
                letters.withUnsafeBytes({ memcmp($0.baseAddress! + from, base, length) == 0 })
            {
                return true
            }
            slot = (slot + 1) & (slots.count - 1)
        }
        return false
    }
}
