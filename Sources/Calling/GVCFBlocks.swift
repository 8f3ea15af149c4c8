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
    static let bands: [Range<Int>] = [0..<1, 1..<10, 10..<20, 20..<30, 30..<40, 40..<60, 60..<100]
    private static let bandOf: [UInt8] = (0..<100).map { quality in UInt8(bands.firstIndex { $0.contains(quality) }!) }
    /// A read that deletes a base, or inserts in front of it, outside of repeats.
    private static let gapQuality = 20

    /// What the reads cost, phred-scaled, when the place is a heterozygote or a homozygote of the likeliest other base
    /// instead of the reference.
    private struct Cost {
        var heterozygote: Float = 0
        var homozygote: Float = 0
        var depth: Int32 = 0
    }

    private let range: Range<Int>
    private var costs: [Cost]

    /// Looks at every place of `range`.
    init(
        _ window: ReadWindow, range: Range<Int>, reference: UnsafeBufferPointer<UInt8>, columns: ColumnGenotyper,
        tracts: RepeatTracts, tractOrigin: Int
    ) {
        self.range = range
        costs = [Cost](repeating: Cost(), count: range.count)
        costs.withUnsafeMutableBufferPointer { costs in
            columns.forEachColumn(in: range) { place, column in
                let depth = column.depth
                guard depth > 0, reference[place] < 4 else { return }
                costs[place - range.lowerBound] = Self.cost(column, letter: Int(reference[place]), depth: depth)
            }
        }
        for read in window.aligned(over: range) where window.reads[read].cigarCount > 2 {
            for event in window.indels(of: read, reference: reference) {
                addGap(event, window.reads[read].mappingQuality, tracts, tractOrigin)
            }
        }
    }

    private static func cost(_ column: ColumnLikelihoods, letter: Int, depth: Int) -> Cost {
        let own = column.likelihood(letter, letter)
        // Without another base all others are alike.
        let others = column.depth(letter) == depth ? [(letter + 1) % 4] : (1..<4).map { (letter + $0) % 4 }
        var cost = Cost(heterozygote: .infinity, homozygote: .infinity, depth: Int32(depth))
        for other in others {
            cost.heterozygote = min(cost.heterozygote, Float(10 * (own - column.likelihood(letter, other))))
            cost.homozygote = min(cost.homozygote, Float(10 * (own - column.likelihood(other, other))))
        }
        return cost
    }

    /// A gap speaks against the reference at its anchor and where bases are missing; in a repeat as much less as reads
    /// are misread there.
    private mutating func addGap(
        _ event: Event, _ mappingQuality: UInt8, _ tracts: RepeatTracts, _ tractOrigin: Int
    ) {
        var quality = Self.gapQuality
        let index = event.start - tractOrigin
        if tracts.error.indices.contains(index), tracts.error[index] > 0 {
            quality = min(quality, Int(-10 * log10(Double(tracts.error[index]))))
        }
        let evidence = BaseEvidence.probabilities(mappingQuality: mappingQuality, quality: UInt8(max(1, quality)))
        let first = max(range.lowerBound, event.anchor)
        for place in first..<max(first, min(range.upperBound, event.end)) {
            // A read with the gap is no read of the reference.
            costs[place - range.lowerBound].heterozygote += Float(10 * log10(2 * evidence.y / (evidence.x + evidence.y)))
            costs[place - range.lowerBound].homozygote += Float(10 * log10(evidence.y / evidence.x))
            // The anchor's own base was counted.
            if place > event.anchor { costs[place - range.lowerBound].depth += 1 }
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

    /// GQ, PL and band of one place; band -1 is no coverage, band -2 a place where the reference
    /// is not what the reads say.
    @inline(__always)
    private func state(
        _ place: Int, _ ploidy: Int
    ) -> (depth: Int, quality: Int, heterozygote: Int, homozygote: Int, band: Int) {
        let cost = costs[place - range.lowerBound]
        if cost.depth == 0 { return (0, 0, 0, 0, -1) }
        let heterozygote = Int(cost.heterozygote.rounded())
        let homozygote = Int(cost.homozygote.rounded())
        if homozygote < 0 || (ploidy == 2 && heterozygote < 0) { return (Int(cost.depth), 0, 0, 0, -2) }
        let quality = min(99, ploidy == 1 ? homozygote : min(heterozygote, homozygote))
        return (Int(cost.depth), quality, heterozygote, homozygote, Int(Self.bandOf[quality]))
    }

    private func line(_ block: Block, reference: UnsafeBufferPointer<UInt8>, contig: String) -> GVCFLine {
        var line = VCFLine(contig: contig, place: block.start)
        line.field(".")
        line.field([reference[block.start]])
        let tail = line.bytes.count
        line.put("\t<NON_REF>\t.\t.\tEND=")
        line.put(block.end)
        line.put("\tGT:DP:GQ:MIN_DP:PL\t")
        let isReference = block.band >= 0
        line.put(block.ploidy == 1 ? (isReference ? "0" : ".") : (isReference ? "0/0" : "./."))
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
