internal import Compression
internal import Diagnostics
internal import Filtering
internal import Foundation
internal import GenomicFormats
internal import Simulation
internal import Storage

/// A call set of one sample with the fields that callers write, the same for the same number of records.
///
/// Records lie further apart than the longest deletion, so that every tool's rule of overlap chooses the same ones, and
/// numbers are in the form in which every tool writes them.
struct CallSet {
    /// Chromosomes 1 to 22 and X, in megabases.
    private static let megabases = [
        248, 242, 198, 190, 181, 170, 159, 145, 138, 133, 135, 133, 114, 107, 101, 90, 83, 80, 58, 64, 46, 50, 156,
    ]
    private static let longestDeletion = 12

    /// 1-based positions of all records by contig.
    private(set) var positions: [(contig: String, at: [Int32])] = []

    /// Writes the call set and its index.
    init(records: Int, to path: String) throws {
        var random = RandomStream(seed: 1)
        let total = Self.megabases.reduce(0, +)
        let raw = path + ".raw"
        let file = try PartialFile(path: raw, audience: .everyone)
        let writer = BGZFWriter(threads: 2) { try file.write($0) }
        try writer.write(Self.header)
        var text: [UInt8] = []
        var written = 0
        for (number, megabases) in Self.megabases.enumerated() {
            let isLast = number == Self.megabases.count - 1
            let count = isLast ? records - written : records * megabases / total
            let name = "chr" + (isLast ? "X" : "\(number + 1)")
            // Were all distances the longest, the records would still lie on the contig.
            let gap = max(2, megabases * 480_000 / max(1, count) - Self.longestDeletion)
            var places: [Int32] = []
            var position = 1_000
            for _ in 0..<count {
                position += Self.longestDeletion + 1 + random.below(2 * gap - 2)
                places.append(Int32(position))
                Self.append(name, position, &random, to: &text)
                if text.count > 1 << 16 {
                    try writer.write(text)
                    text.removeAll(keepingCapacity: true)
                }
            }
            written += count
            positions.append((name, places))
        }
        try writer.write(text)
        try writer.finish()
        try file.commit()
        // Whole blocks pass, so this only makes the index.
        try VCFFilter(selection: .everything).filterFile(raw, to: path)
        try FileManager.default.removeItem(atPath: raw)
    }

    private static var header: [UInt8] {
        var text = "##fileformat=VCFv4.2\n##FILTER=<ID=PASS,Description=\"All filters passed\">\n"
        text += "##FILTER=<ID=LowQual,Description=\"Low quality\">\n"
        for (id, number, type) in [
            ("AC", "A", "Integer"), ("AF", "A", "Float"), ("AN", "1", "Integer"), ("DP", "1", "Integer"),
            ("FS", "1", "Float"), ("MQ", "1", "Float"), ("QD", "1", "Float"), ("SOR", "1", "Float"),
        ] { text += "##INFO=<ID=\(id),Number=\(number),Type=\(type),Description=\"\(id)\">\n" }
        for (id, number, type) in [
            ("GT", "1", "String"), ("AD", "R", "Integer"), ("DP", "1", "Integer"), ("GQ", "1", "Integer"),
            ("PL", "G", "Integer"),
        ] { text += "##FORMAT=<ID=\(id),Number=\(number),Type=\(type),Description=\"\(id)\">\n" }
        for (number, megabases) in megabases.enumerated() {
            let name = number == Self.megabases.count - 1 ? "X" : "\(number + 1)"
            text += "##contig=<ID=chr\(name),length=\(megabases * 1_000_000 + 1_000_000)>\n"
        }
        return Array((text + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tsample\n").utf8)
    }

    private static func append(
        _ contig: String, _ position: Int, _ random: inout RandomStream, to text: inout [UInt8]
    ) {
        func put(_ part: StaticString) { part.withUTF8Buffer { text.append(contentsOf: $0) } }
        func put(_ number: Int) {
            var digits = number
            let start = text.count
            repeat {
                text.append(UInt8(48 + digits % 10))
                digits /= 10
            } while digits > 0
            text[start...].reverse()
        }
        // Two places behind the point and no zero at the end.
        func putFraction(_ whole: Int) {
            put(whole)
            text.append(UInt8(ascii: "."))
            put(random.below(9) + 1)
            put(random.below(9) + 1)
        }
        func putBases(_ count: Int) { for _ in 0..<count { text.append(Array("ACGT".utf8)[random.below(4)]) } }
        text.append(contentsOf: contig.utf8)
        put("\t")
        put(position)
        put("\t")
        if random.below(10) < 9 {
            put("rs")
            put(random.below(1 << 30))
        } else {
            put(".")
        }
        put("\t")
        let bases: [StaticString] = ["A", "C", "G", "T"]
        let reference = random.below(4)
        put(bases[reference])
        let kind = random.below(16)
        if kind == 0 { putBases(1 + random.below(longestDeletion - 2)) }
        put("\t")
        put(kind == 0 ? bases[reference] : bases[(reference + 1 + random.below(3)) & 3])
        if kind == 1 { putBases(1 + random.below(12)) }
        let depth = 12 + random.below(40)
        let isHomozygous = random.below(3) == 0
        let other = isHomozygous ? depth : depth / 3 + random.below(depth / 3)
        let quality = 20 + random.below(900)
        put("\t")
        putFraction(quality)
        put(quality < 30 ? "\tLowQual\t" : "\tPASS\t")
        put(isHomozygous ? "AC=2;AF=1;AN=2;DP=" : "AC=1;AF=0.5;AN=2;DP=")
        put(depth)
        put(";FS=")
        putFraction(random.below(12))
        put(";MQ=")
        putFraction(40 + random.below(20))
        put(";QD=")
        putFraction(random.below(35))
        put(";SOR=")
        putFraction(random.below(4))
        put(isHomozygous ? "\tGT:AD:DP:GQ:PL\t1/1:" : "\tGT:AD:DP:GQ:PL\t0/1:")
        put(depth - other)
        put(",")
        put(other)
        put(":")
        put(depth)
        put(":")
        put(min(99, quality))
        put(":")
        put(isHomozygous ? quality * 3 : quality)
        put(isHomozygous ? "," : ",0,")
        put(isHomozygous ? depth * 3 : quality * 2)
        put(isHomozygous ? ",0\n" : "\n")
    }

    /// A BED that holds exactly `count` records: as points of one base, or as regions of about a thousandth each.
    func bed(of count: Int, byPoints: Bool) -> [UInt8] {
        let all = positions.reduce(0) { $0 + $1.at.count }
        guard count > 0 else { return Array("chr1\t0\t500\n".utf8) }
        var text = ""
        var number = 0
        let groups = byPoints ? count : min(count, 1_000)
        // The record with this number is the first of a group, and those before the other number belong to it.
        func first(_ group: Int) -> Int { group * all / groups }
        func size(_ group: Int) -> Int { (group + 1) * count / groups - group * count / groups }
        var group = 0
        for (contig, at) in positions {
            var start: Int32?
            for (index, position) in at.enumerated() {
                while group + 1 < groups && first(group + 1) <= number { group += 1 }
                let isIn = number - first(group) < size(group)
                if isIn && start == nil { start = position - 1 }
                let isLast = index == at.count - 1 || number + 1 - first(group) >= size(group) || byPoints
                if isIn, isLast, let from = start {
                    text += "\(contig)\t\(from)\t\(position)\n"
                    start = nil
                }
                number += 1
            }
        }
        return Array(text.utf8)
    }
}
