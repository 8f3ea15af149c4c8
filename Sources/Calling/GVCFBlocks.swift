import Foundation
import GenomicFormats

/// One line of a gVCF with the places that it covers, so that a line that reaches into the next unit of work can push
/// that unit's first blocks back.
struct GVCFLine {
    var start: Int
    var end: Int
    var bytes: [UInt8]
    /// Where the fields behind REF begin, for a block that may be cut; nil for a record, which is kept as it is.
    var tail: Int?
}

/// The reference between records: how sure the reads are, place by place, that nothing but the reference is there.
///
/// Neighbouring places whose GQ lies in the same band are one block. A place without a usable base has no genotype.
struct GVCFBlocks {
    /// GQ of a block's places.
    static let bands: [Range<Int>] = [0..<1, 1..<10, 10..<20, 20..<30, 30..<40, 40..<60, 60..<80, 80..<100]
    private static let bandOf: [UInt8] = (0..<100).map { quality in UInt8(bands.firstIndex { $0.contains(quality) }!) }
    /// A read that deletes a base, or inserts in front of it, outside of repeats.
    private static let gapQuality = 20

    /// Phred-scaled cost in 1/1000 of a heterozygote and of a homozygote of another allele, against the reference.
    private struct Cost {
        var heterozygote: Int32
        var homozygote: Int32
        var count: Int32
    }

    private let range: Range<Int>
    private var costs: [Cost]

    /// Adds up what the window's reads say of `range`.
    init(_ window: ReadWindow, range: Range<Int>, reference: UnsafeBufferPointer<UInt8>, tracts: RepeatTracts?,
        tractOrigin: Int, options: CallingOptions)
    {
        self.range = range
        costs = [Cost](repeating: Cost(heterozygote: 0, homozygote: 0, count: 0), count: range.count)
        var tables: [UInt8: [Cost]] = [:]
        for read in window.reads.indices where window.reads[read].end > range.lowerBound {
            let mappingQuality = window.reads[read].mappingQuality
            let table = tables[mappingQuality] ?? Self.table(mappingQuality, options)
            tables[mappingQuality] = table
            addBases(window, read, reference, table)
            if window.reads[read].cigarCount > 2 {
                for event in window.indels(of: read, reference: reference) {
                    addGap(event, table, tracts, tractOrigin)
                }
            }
        }
    }

    /// Costs by quality of a base: 0 to 63 for one that equals the reference, 64 to 127 for another. Bases that do not
    /// speak cost nothing.
    private static func table(_ mappingQuality: UInt8, _ options: CallingOptions) -> [Cost] {
        (0..<128).map { index in
            let quality = index % 64
            guard quality >= Int(options.minimumBaseQuality) else {
                return Cost(heterozygote: 0, homozygote: 0, count: 0)
            }
            let error = pow(10, -Double(quality) / 10)
            let foreign = max(ColumnGenotyper.leastForeign, pow(10, -Double(mappingQuality) / 10))
            let equal = (1 - foreign) * (1 - error) + foreign / 4
            let unequal = (1 - foreign) * error / 3 + foreign / 4
            let (own, other) = index < 64 ? (equal, unequal) : (unequal, equal)
            func cost(_ likelihood: Double) -> Int32 { Int32((-10_000 * log10(likelihood / own)).rounded()) }
            return Cost(heterozygote: cost((own + other) / 2), homozygote: cost(other), count: 1)
        }
    }

    private mutating func addBases(
        _ window: ReadWindow, _ read: Int, _ reference: UnsafeBufferPointer<UInt8>, _ table: [Cost]
    ) {
        let range = self.range
        window.bases.withUnsafeBufferPointer { bases in
            window.columnQualities.withUnsafeBufferPointer { qualities in
                table.withUnsafeBufferPointer { table in
                    costs.withUnsafeMutableBufferPointer { costs in
                        window.forEachMatch(read) { position, base, count in
                            let from = max(position, range.lowerBound)
                            let to = min(position + count, range.upperBound)
                            guard from < to else { return }
                            for place in from..<to {
                                let letter = bases[base + place - position]
                                var index = Int(min(63, qualities[base + place - position]))
                                if letter >= 4 { index = 0 }
                                if letter != reference[place] { index += 64 }
                                let cost = table[index]
                                costs[place - range.lowerBound].heterozygote &+= cost.heterozygote
                                costs[place - range.lowerBound].homozygote &+= cost.homozygote
                                costs[place - range.lowerBound].count &+= cost.count
                            }
                        }
                    }
                }
            }
        }
    }

    /// A gap speaks against the reference at its anchor and where bases are missing; in a repeat as much less as reads
    /// are misread there.
    private mutating func addGap(_ event: Event, _ table: [Cost], _ tracts: RepeatTracts?, _ tractOrigin: Int) {
        var quality = Self.gapQuality
        if let tracts, tracts.error.indices.contains(event.start - tractOrigin) {
            let error = Double(tracts.error[event.start - tractOrigin])
            if error > 0 { quality = min(quality, Int(-10 * log10(error))) }
        }
        let cost = table[64 + max(0, quality)]
        for place in max(range.lowerBound, event.anchor)..<max(
            max(range.lowerBound, event.anchor), min(range.upperBound, max(event.end, event.start)))
        {
            costs[place - range.lowerBound].heterozygote &+= cost.heterozygote
            costs[place - range.lowerBound].homozygote &+= cost.homozygote
            // The anchor's own base was counted.
            if place > event.anchor { costs[place - range.lowerBound].count &+= cost.count }
        }
    }

    private struct Block {
        var start: Int
        var ploidy: Int
        var band: Int
        var end = 0
        var depth = 0
        var leastDepth = Int.max
        var quality = Int.max
        var heterozygote = Int.max
        var homozygote = Int.max
    }

    /// Lines for the places of `wanted` (sorted, disjoint) that no record covers. Bases that the reference does not
    /// know are left out, and so are places that the genome does not have.
    func lines(
        wanted: [Range<Int>], records: [VariantRecord], reference: UnsafeBufferPointer<UInt8>, contig: String,
        ploidy: (Int) -> Int
    ) -> [GVCFLine] {
        var lines: [GVCFLine] = []
        var open: Block?
        func close() {
            if let block = open { lines.append(line(block, reference: reference, contig: contig)) }
            open = nil
        }
        var next = 0
        var covered = range.lowerBound
        for part in wanted {
            let part = part.clamped(to: range)
            for place in part {
                while next < records.count, records[next].place <= place {
                    covered = max(covered, records[next].end)
                    next += 1
                }
                guard place >= covered, reference[place] < 4 else {
                    close()
                    continue
                }
                let copies = ploidy(place)
                guard copies > 0 else {
                    close()
                    continue
                }
                let state = self.state(place, copies)
                if let block = open, block.ploidy != copies || block.band != state.band { close() }
                var block = open ?? Block(start: place, ploidy: copies, band: state.band)
                block.end = place + 1
                block.depth += state.depth
                block.leastDepth = min(block.leastDepth, state.depth)
                block.quality = min(block.quality, state.quality)
                block.heterozygote = min(block.heterozygote, state.heterozygote)
                block.homozygote = min(block.homozygote, state.homozygote)
                open = block
            }
            close()
        }
        return lines
    }

    /// GQ, PL and band of one place; band -1 is no coverage.
    @inline(__always)
    private func state(
        _ place: Int, _ ploidy: Int
    ) -> (depth: Int, quality: Int, heterozygote: Int, homozygote: Int, band: Int) {
        let cost = costs[place - range.lowerBound]
        if cost.count == 0 { return (0, 0, 0, 0, -1) }
        let heterozygote = max(0, (Int(cost.heterozygote) + 500) / 1000)
        let homozygote = max(0, (Int(cost.homozygote) + 500) / 1000)
        let quality = min(99, ploidy == 1 ? homozygote : min(heterozygote, homozygote))
        return (Int(cost.count), quality, heterozygote, homozygote, Int(Self.bandOf[quality]))
    }

    private func line(_ block: Block, reference: UnsafeBufferPointer<UInt8>, contig: String) -> GVCFLine {
        var line = VCFLine(contig: contig, place: block.start)
        line.field(".")
        line.field([reference[block.start]])
        let tail = line.bytes.count
        line.put("\t<NON_REF>\t.\t.\tEND=")
        line.put(block.end)
        line.put("\tGT:DP:GQ:MIN_DP:PL\t")
        let isCovered = block.leastDepth > 0
        line.put(block.ploidy == 1 ? (isCovered ? "0" : ".") : (isCovered ? "0/0" : "./."))
        line.put(":")
        line.put((block.depth + (block.end - block.start) / 2) / (block.end - block.start))
        line.put(":")
        line.put(block.quality)
        line.put(":")
        line.put(block.leastDepth)
        line.put(":0,")
        if block.ploidy == 2 {
            line.put(min(9999, block.heterozygote))
            line.put(",")
        }
        line.put(min(9999, block.homozygote))
        line.put("\n")
        return GVCFLine(start: block.start, end: block.end, bytes: line.bytes, tail: tail)
    }
}

/// Puts the lines of units together: what an earlier record covers is taken off the blocks behind it.
struct GVCFJoiner {
    private var contig = -1
    private var covered = 0

    /// The bytes to write of a line; nil when nothing of it is left.
    mutating func joined(_ line: GVCFLine, contig number: Int, _ contig: ReferenceGenome.Contig) -> [UInt8]? {
        if number != self.contig {
            self.contig = number
            covered = 0
        }
        defer { covered = max(covered, line.end) }
        guard let tail = line.tail, line.start < covered else { return line.bytes }
        guard line.end > covered else { return nil }
        var cut = VCFLine(contig: contig.name, place: covered)
        cut.field(".")
        cut.field([contig.bases[covered]])
        return cut.bytes + line.bytes[tail...]
    }
}
