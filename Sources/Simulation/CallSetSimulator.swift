import Compression
import Diagnostics
import GenomicFormats
import Storage

/// Makes a call set of one sample with the fields that callers write, the same bytes for the same numbers.
///
/// Records lie further apart than the longest deletion, so that every tool's rule of overlap chooses the same ones, and
/// numbers are in the form in which every tool writes them.
public struct CallSetSimulator: Sendable {
    /// Chromosomes 1 to 22 and X, in megabases.
    private static let megabases = [
        248, 242, 198, 190, 181, 170, 159, 145, 138, 133, 135, 133, 114, 107, 101, 90, 83, 80, 58, 64, 46, 50, 156,
    ]
    private static let longestDeletion = 12
    /// What the genome has room for.
    public static let largestCount = 200_000_000

    /// Variants of the call set.
    public var records: Int
    public var seed: UInt64
    /// Whether a reference block (`<NON_REF>`, INFO/END) lies between each two variants, as in a gVCF.
    public var hasBlocks = false
    /// The bytes do not depend on it.
    public var threads = 1

    public init(records: Int, seed: UInt64 = 1) {
        self.records = records
        self.seed = seed
    }

    /// Writes the call set: BGZF with its index beside it where the name ends in `.gz`, plain text otherwise; `-` is
    /// standard output. Both files appear only when whole.
    ///
    /// - Parameter variant: is told each variant's contig and 1-based position, in order.
    /// - Throws: `Failure` `.usage` for a number of records out of range, `.cannotCreate`, `.inputOutput`.
    public func write(to path: String, variant: (_ contig: String, _ position: Int) -> Void = { _, _ in }) throws {
        guard (0...Self.largestCount).contains(records) else {
            throw Failure(
                .usage, at: "simulate", "there must be 0 to \(Self.largestCount) records", remedy: "ask for fewer")
        }
        let file = try PartialFile(path: path, audience: .everyone)
        guard path.hasSuffix(".gz") else {
            var text = header
            try forEachRecord(variant) { line, _, _, _ in
                text.append(contentsOf: line)
                guard text.count > 1 << 20 else { return }
                try file.write(text)
                text.removeAll(keepingCapacity: true)
            }
            try file.write(text)
            return try file.commit()
        }
        let indexFile = try PartialFile(path: path + ".tbi", audience: .everyone)
        let writer = BGZFWriter(threads: threads) { try file.write($0) }
        var index = TabixIndexBuilder(label: path) { $0 / UInt64(BGZF.blockPayload) }
        try writer.write(header)
        try forEachRecord(variant) { line, contig, position, end in
            let start = writer.inputBytes
            try writer.write(line)
            try index.add(
                contig: contig, name: Array(Self.name(contig).utf8), position: position, end: end,
                startOffset: UInt64(start), endOffset: UInt64(writer.inputBytes))
        }
        try writer.finish()
        try indexFile.write(index.finish { writer.virtualOffset(ofPlainByte: Int($0)) })
        try file.commit()
        try indexFile.commit()
    }

    private static func name(_ contig: Int) -> String {
        "chr" + (contig == megabases.count - 1 ? "X" : "\(contig + 1)")
    }

    /// Every line in order, with its contig's number, first and last base.
    private func forEachRecord(
        _ variant: (String, Int) -> Void, _ body: ([UInt8], Int, Int, Int) throws -> Void
    ) throws {
        var random = RandomStream(seed: seed)
        var blockRandom = RandomStream(seed: seed, lane: 1)
        let total = Self.megabases.reduce(0, +)
        var line: [UInt8] = []
        var written = 0
        for (number, megabases) in Self.megabases.enumerated() {
            let isLast = number == Self.megabases.count - 1
            let count = isLast ? records - written : records * megabases / total
            let name = Self.name(number)
            // Were all distances the longest, the records would still lie on the contig.
            let gap = max(2, megabases * 480_000 / max(1, count) - Self.longestDeletion)
            var position = 1_000
            var next = 1
            for _ in 0..<count {
                position += Self.longestDeletion + 1 + random.below(2 * gap - 2)
                if hasBlocks {
                    line.removeAll(keepingCapacity: true)
                    Self.append(blockOn: name, next..<position, &blockRandom, to: &line)
                    try body(line, number, next, position - 1)
                }
                line.removeAll(keepingCapacity: true)
                let bases = Self.append(name, position, &random, to: &line)
                next = position + bases
                variant(name, position)
                try body(line, number, position, next - 1)
            }
            written += count
        }
    }

    private var header: [UInt8] {
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
        if hasBlocks {
            text += "##ALT=<ID=NON_REF,Description=\"Any other allele\">\n"
            text += "##INFO=<ID=END,Number=1,Type=Integer,Description=\"Last base of the block\">\n"
            text += "##FORMAT=<ID=MIN_DP,Number=1,Type=Integer,Description=\"Least depth of the block\">\n"
        }
        for (number, megabases) in Self.megabases.enumerated() {
            text += "##contig=<ID=\(Self.name(number)),length=\(megabases * 1_000_000 + 1_000_000)>\n"
        }
        return Array((text + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tsample\n").utf8)
    }

    private static func append(
        blockOn contig: String, _ range: Range<Int>, _ random: inout RandomStream, to text: inout [UInt8]
    ) {
        let depth = 12 + random.below(40)
        let base = ["A", "C", "G", "T"][random.below(4)]
        text += "\(contig)\t\(range.lowerBound)\t.\t\(base)\t<NON_REF>\t.\tPASS\tEND=\(range.upperBound - 1)\t".utf8
        text += "GT:DP:GQ:MIN_DP\t0/0:\(depth):\(min(99, 3 * depth)):\(depth - random.below(depth / 2))\n".utf8
    }

    /// Appends a record; returns how many bases its REF has.
    private static func append(
        _ contig: String, _ position: Int, _ random: inout RandomStream, to text: inout [UInt8]
    ) -> Int {
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
        let referenceStart = text.count - 1
        if kind == 0 { putBases(1 + random.below(longestDeletion - 2)) }
        let referenceBases = text.count - referenceStart
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
        return referenceBases
    }
}
