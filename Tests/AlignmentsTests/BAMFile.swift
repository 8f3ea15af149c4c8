import Compression
import GenomicFormats

/// One record of a BAM file, parsed by what the format's specification says.
struct BAMRecord: Equatable {
    var name = ""
    var flags = 0
    var contig = -1
    var position = -1
    var mappingQuality = 0
    var bin = 0
    var cigar: [(length: Int, operation: Character)] = []
    var mateContig = -1
    var matePosition = -1
    var templateLength = 0
    var bases = ""
    var qualities: [UInt8] = []
    var tags: [String: String] = [:]
    /// Virtual offset of the record, had every block 65,280 plain bytes.
    var offset = 0

    var isUnmapped: Bool { flags & 0x4 != 0 }
    var isSupplementary: Bool { flags & 0x800 != 0 }
    /// The record as another one of the read names it in SA.
    var asPart: String { "\(contig) \(position + 1) \(isReverse ? "-" : "+") \(cigarText) \(mappingQuality) \(tags["NM"] ?? "")" }
    var isReverse: Bool { flags & 0x10 != 0 }
    var cigarText: String { cigar.map { "\($0.length)\($0.operation)" }.joined() }
    var end: Int { position + cigar.reduce(0) { "MDN=X".contains($1.operation) ? $0 + $1.length : $0 } }

    /// Bases and qualities in the order of sequencing.
    var sequenced: [UInt8] {
        guard isReverse else { return Array(bases.utf8) + qualities }
        let partner: [Character: Character] = ["A": "T", "C": "G", "G": "C", "T": "A"]
        return Array(String(bases.reversed().map { partner[$0] ?? $0 }).utf8) + qualities.reversed()
    }

    static func == (a: BAMRecord, b: BAMRecord) -> Bool {
        a.name == b.name && a.flags == b.flags && a.contig == b.contig && a.position == b.position
            && a.cigarText == b.cigarText && a.bases == b.bases && a.qualities == b.qualities && a.tags == b.tags
    }
}

struct BAMFile {
    var text = ""
    var contigs: [(name: String, length: Int)] = []
    var records: [BAMRecord] = []

    init(_ compressed: [UInt8]) throws {
        let plain = try compressed.withUnsafeBytes { try GzipInflater.inflate($0, label: "bam") }
        var at = 0
        func int32() -> Int {
            defer { at += 4 }
            return plain.withUnsafeBytes { Int(Int32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: Int32.self))) }
        }
        func string(_ count: Int) -> String {
            defer { at += count }
            return String(decoding: plain[at..<at + count], as: UTF8.self)
        }
        precondition(string(4) == "BAM\u{1}")
        text = string(int32())
        for _ in 0..<int32() {
            let name = String(string(int32()).dropLast())
            contigs.append((name, int32()))
        }
        while at < plain.count {
            let start = at
            let end = int32() + at
            var record = BAMRecord()
            record.offset = start
            record.contig = int32()
            record.position = int32()
            let nameLength = Int(plain[at])
            record.mappingQuality = Int(plain[at + 1])
            record.bin = Int(plain[at + 2]) | Int(plain[at + 3]) << 8
            let operations = Int(plain[at + 4]) | Int(plain[at + 5]) << 8
            record.flags = Int(plain[at + 6]) | Int(plain[at + 7]) << 8
            at += 8
            let count = int32()
            record.mateContig = int32()
            record.matePosition = int32()
            record.templateLength = int32()
            record.name = String(string(nameLength).dropLast())
            for _ in 0..<operations {
                let raw = int32()
                record.cigar.append((raw >> 4, Array("MIDNSHP=X")[raw & 15]))
            }
            let codes = Array("=ACMGRSVTWYHKDBN")
            record.bases = String((0..<count).map { codes[Int(plain[at + $0 / 2] >> ($0 % 2 == 0 ? 4 : 0)) & 15] })
            at += (count + 1) / 2
            record.qualities = Array(plain[at..<at + count])
            at += count
            while at < end {
                let tag = string(2)
                let type = string(1)
                switch type {
                case "C":
                    record.tags[tag] = "\(plain[at])"
                    at += 1
                case "S":
                    record.tags[tag] = "\(Int(plain[at]) | Int(plain[at + 1]) << 8)"
                    at += 2
                case "i": record.tags[tag] = "\(int32())"
                case "Z":
                    let zero = plain[at...].firstIndex(of: 0)!
                    record.tags[tag] = string(zero - at)
                    at += 1
                default: preconditionFailure("tag \(tag) of type \(type)")
                }
            }
            precondition(at == end, "a record's tags do not end where it does")
            records.append(record)
        }
    }
}

extension BAMFile {
    /// Everything that is wrong with the file by the specification, as far as one file can tell; no bases are looked up.
    func faults(_ genome: ReferenceGenome) -> [String] {
        var faults: [String] = []
        var pairs: [String: [BAMRecord]] = [:]
        var last = (0, -1)
        for record in records {
            func fault(_ text: String) { faults.append("\(record.name)/\(record.flags): \(text)") }
            let key = record.contig < 0 ? (Int.max, -1) : (record.contig, record.position)
            if key < last { fault("out of order") }
            last = key
            if record.tags["RG"] != "1" { fault("read group") }
            if record.bases.count != record.qualities.count { fault("qualities") }
            let bin = record.contig < 0 ? 4680
                : Int(BinningScheme.standard.bin(record.position, max(record.position, record.end - 1)))
            if record.bin != bin { fault("bin \(record.bin), not \(bin)") }
            if record.flags & 0x1 != 0 { pairs[record.name, default: []].append(record) }
            if record.isUnmapped {
                if !record.cigar.isEmpty || record.mappingQuality != 0 || record.flags & 0x402 != 0
                    || record.templateLength != 0 || record.tags["NM"] != nil
                {
                    fault("an unmapped read has an alignment")
                }
                continue
            }
            if record.contig < 0 || record.end > contigs[record.contig].length { fault("past the contig's end") }
            let covered = record.cigar.reduce(0) { "MIS=X".contains($1.operation) ? $0 + $1.length : $0 }
            if covered != record.bases.count { fault("CIGAR and SEQ differ in length") }
            for (one, next) in zip(record.cigar, record.cigar.dropFirst()) where one.operation == next.operation {
                fault("CIGAR repeats an operation")
            }
            if record.cigar.contains(where: { $0.length == 0 }) { fault("CIGAR has an empty operation") }
            let inner = record.cigar.dropFirst().dropLast()
            if inner.contains(where: { $0.operation == "S" }) { fault("a clip inside the CIGAR") }
            let (difference, distance) = differences(record, genome.contigs[record.contig].bases)
            if record.tags["MD"] != difference { fault("MD \(record.tags["MD"] ?? "none"), not \(difference)") }
            if record.tags["NM"] != "\(distance)" { fault("NM \(record.tags["NM"] ?? "none"), not \(distance)") }
            if record.tags["AS"] == nil || record.tags["XS"] == nil { fault("no AS or XS") }
        }
        for (name, all) in pairs {
            let both = all.filter { !$0.isSupplementary }
            guard both.count == 2, Set(both.map { $0.flags & 0xc0 }) == [0x40, 0x80] else {
                faults.append("\(name): \(both.count) mates")
                continue
            }
            for (read, mate) in [(both[0], both[1]), (both[1], both[0])] {
                faults += mateFaults(read, mate)
                for part in all where part.isSupplementary && part.flags & 0xc0 == read.flags & 0xc0 {
                    faults += mateFaults(part, mate)
                }
            }
        }
        return faults + partFaults()
    }

    /// The alignments of each read name each other, the primary one first, and show the same bases.
    private func partFaults() -> [String] {
        var faults: [String] = []
        let reads = Dictionary(grouping: records) { "\($0.name)/\($0.flags & 0xc0)" }
        for (name, parts) in reads {
            let primary = parts.filter { !$0.isSupplementary }
            guard primary.count == 1 else {
                faults.append("\(name): \(primary.count) primary records")
                continue
            }
            for part in parts {
                let named = otherParts(part)
                let others = parts.filter { $0 != part }.map(\.asPart)
                if named.sorted() != others.sorted() { faults.append("\(name): SA \(named), not \(others)") }
                if part.isSupplementary && named.first != primary[0].asPart { faults.append("\(name): SA begins elsewhere") }
                if part.isUnmapped && parts.count > 1 { faults.append("\(name): an unmapped read has parts") }
                if part.sequenced != primary[0].sequenced { faults.append("\(name): other bases") }
                if (part.flags ^ primary[0].flags) & ~0x810 != 0 { faults.append("\(name): other flags") }
                if part.mappingQuality > primary[0].mappingQuality { faults.append("\(name): MAPQ above the primary's") }
            }
        }
        return faults
    }

    /// The parts that a record names, with the numbers of contigs.
    func otherParts(_ record: BAMRecord) -> [String] {
        (record.tags["SA"] ?? "").split(separator: ";").map { text in
            var fields = text.split(separator: ",").map(String.init)
            fields[0] = "\(contigs.firstIndex { $0.name == fields[0] } ?? -9)"
            return fields.joined(separator: " ")
        }
    }

    private func mateFaults(_ read: BAMRecord, _ mate: BAMRecord) -> [String] {
        var faults: [String] = []
        func expect(_ isRight: Bool, _ text: String) {
            if !isRight { faults.append("\(read.name)/\(read.flags): \(text)") }
        }
        expect((read.flags & 0x8 != 0) == mate.isUnmapped, "mate unmapped")
        expect((read.flags & 0x20 != 0) == mate.isReverse, "mate's strand")
        expect(read.flags & 0x2 == mate.flags & 0x2, "proper pair")
        expect((read.mateContig, read.matePosition) == (mate.contig, mate.position), "mate's place")
        expect(read.isSupplementary || read.templateLength == -mate.templateLength, "TLEN")
        expect(read.tags["MC"] == (mate.isUnmapped ? nil : mate.cigarText), "MC")
        expect(read.tags["MQ"] == (mate.isUnmapped ? nil : "\(mate.mappingQuality)"), "MQ")
        if read.isUnmapped { expect((read.contig, read.position) == (mate.contig, mate.position), "place of the mate") }
        if !read.isUnmapped && !mate.isUnmapped {
            expect(read.flags & 0x400 == mate.flags & 0x400, "duplicate")
            let fivePrime = { (one: BAMRecord) in one.isReverse ? one.end : one.position }
            expect(read.templateLength == (read.contig == mate.contig ? fivePrime(mate) - fivePrime(read) : 0), "TLEN")
        }
        return faults
    }

    /// MD and NM, letter by letter.
    private func differences(_ record: BAMRecord, _ reference: [UInt8]) -> (String, Int) {
        let letters = Array("ACGTN")
        let bases = Array(record.bases)
        var (text, run, distance, at, base) = ("", 0, 0, record.position, 0)
        for (length, operation) in record.cigar {
            switch operation {
            case "S": base += length
            case "I":
                base += length
                distance += length
            case "D":
                text += "\(run)^" + String(reference[at..<at + length].map { letters[Int($0)] })
                run = 0
                at += length
                distance += length
            default:
                for _ in 0..<length {
                    let wanted = letters[Int(reference[at])]
                    if wanted == bases[base] && wanted != "N" {
                        run += 1
                    } else {
                        text += "\(run)\(wanted)"
                        run = 0
                        distance += 1
                    }
                    at += 1
                    base += 1
                }
            }
        }
        return (text + "\(run)", distance)
    }
}
