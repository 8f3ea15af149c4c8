import Calling
import GenomicFormats
import Mapping
import Testing

extension SyntheticReads {
    /// The lines of each output.
    func outputs(_ request: CallingRequest, threads: Int = 1) throws -> [CallOutput: [Line]] {
        if !store.isSealed { try store.seal() }
        var lines: [CallOutput: [Line]] = [:]
        for output in request.outputs { lines[output] = [] }
        _ = try VariantCaller(reference: reference).call(store: store, threads: threads, request: request) {
            lines[$0, default: []].append(Line(String(decoding: $1, as: UTF8.self)))
        }
        return lines
    }

    func sites(_ vcf: String) throws -> SiteList {
        try Array(("##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\n" + vcf).utf8).withUnsafeBytes {
            try SiteList(parsing: $0, label: "sites", genome: reference)
        }
    }

    func letters(_ range: Range<Int>) -> String {
        String(decoding: reference.contigs[0].bases[range].map { BaseCode.ascii[Int($0)] }, as: UTF8.self)
    }
}

/// A VCF line in parts.
struct Line {
    let text: String
    let fields: [String]

    init(_ text: String) {
        self.text = text
        fields = text.dropLast().split(separator: "\t").map(String.init)
    }

    var position: Int { Int(fields[1])! }
    var isBlock: Bool { fields[4] == "<NON_REF>" }
    var end: Int {
        fields[7].split(separator: ";").first { $0.hasPrefix("END=") }.map { Int($0.dropFirst(4))! }
            ?? position + fields[3].count - 1
    }

    subscript(key: String) -> String {
        let place = fields[8].split(separator: ":").firstIndex { $0 == key }
        return place.map { String(fields[9].split(separator: ":")[$0]) } ?? ""
    }

    func numbers(_ key: String) -> [Int] { self[key].split(separator: ",").map { Int($0)! } }
}

func other(_ base: UInt8) -> UInt8 { (base + 1) % 4 }

@Suite struct GVCFTests {
    /// Two units of work: variants, a deletion over the border of the units, no reads from 12,000 to 13,000, N from 500
    /// to 520, and a place that is covered by reads of no mapping quality alone.
    static func reads() -> SyntheticReads {
        var bases = genome(20_000, pieces: [(500, String(repeating: "N", count: 20))])
        // Nothing may shift the deletion over the border.
        bases.replaceSubrange(16_379..<16_395, with: codes("ACGTCATGCATCGACT"))
        var reads = SyntheticReads(bases)
        let changes = [
            Change(place: 2000, removed: 1, inserted: [other(bases[2000])]),
            Change(place: 5000, removed: 0, inserted: codes("ACGTT")),
            Change(place: 16_381, removed: 8, inserted: []),
        ]
        for range in [0..<12_000, 13_000..<19_900] {
            reads.add(range: range, step: 8)
            reads.add(changes, range: range, step: 8)
        }
        reads.mappingQuality = 0
        reads.add(range: 12_400..<12_500, step: 20)
        return reads
    }

    @Test func everyBaseIsCoveredOnce() throws {
        let reads = Self.reads()
        let lines = try reads.outputs(CallingRequest(outputs: [.variants, .gvcf]))
        let gvcf = lines[.gvcf]!
        var count = [Int](repeating: 0, count: 20_000)
        for line in gvcf { for place in line.position - 1..<line.end { count[place] += 1 } }
        for place in 0..<20_000 { #expect(count[place] == ((500..<520).contains(place) ? 0 : 1), "\(place)") }
        let records = gvcf.filter { !$0.isBlock }
        #expect(records.map { [$0.fields[1], $0.fields[3], $0.fields[4].replacing(",<NON_REF>", with: ""), $0["GT"]] }
            == lines[.variants]!.map { [$0.fields[1], $0.fields[3], $0.fields[4], $0["GT"]] })
        #expect(records.count == 3 && records[2].position == 16_381 && records[2].fields[3].count == 9)
    }

    @Test func noCoverageIsNoGenotype() throws {
        let gvcf = try Self.reads().outputs(CallingRequest(outputs: [.gvcf]))[.gvcf]!
        for line in gvcf where line.isBlock {
            #expect(line.fields[5...6] == [".", "."])
            #expect((line["GT"] == "./.") == (line["MIN_DP"] == "0"))
            #expect(line.numbers("PL")[0] == 0 && line.numbers("PL").count == 3)
            let quality = line.numbers("GQ")[0]
            #expect(quality == min(99, line.numbers("PL").dropFirst().min()!))
        }
        let gap = gvcf.filter { $0.position > 12_100 && $0.end < 13_001 }
        #expect(gap.allSatisfy { $0["GT"] == "./." && $0["DP"] == "0" && $0["GQ"] == "0" && $0["PL"] == "0,0,0" })
        #expect(gvcf.contains { $0["GT"] == "./." && $0.position <= 12_450 && $0.end >= 12_450 })
    }

    @Test func recordsHaveLikelihoodsOfUnseenAlleles() throws {
        let gvcf = try Self.reads().outputs(CallingRequest(outputs: [.gvcf]))[.gvcf]!
        for line in gvcf where !line.isBlock {
            let likelihoods = line.numbers("PL")
            #expect(line.fields[4].hasSuffix(",<NON_REF>") && likelihoods.count == 6 && line["GT"] == "0/1")
            #expect(likelihoods[1] == 0 && likelihoods[3] > likelihoods[0] && likelihoods[5] > likelihoods[4])
            #expect(line.numbers("AD").count == 3 && line.numbers("AD")[2] == 0)
            #expect(line.numbers("ADF").count == 3 && line["AF"].split(separator: ",").count == 2)
        }
    }

    @Test func blocksEndWithTheRegions() throws {
        let reads = Self.reads()
        let regions = [(contig: 0, range: 1990..<2010), (contig: 0, range: 16_300..<16_500)]
        let gvcf = try reads.outputs(CallingRequest(regions: regions, outputs: [.gvcf]))[.gvcf]!
        #expect(gvcf.reduce(0) { $0 + $1.end - $1.position + 1 } == 220)
        #expect(gvcf.first?.position == 1991 && gvcf.last?.end == 16_500)
    }

    @Test func linesDoNotDependOnThreads() throws {
        let reads = Self.reads()
        let list = try reads.sites("one\t2001\t.\t\(reads.letters(2000..<2001))\t.\n")
        let request = CallingRequest(outputs: [.variants, .gvcf, .sites], sites: list)
        let one = try reads.outputs(request).mapValues { $0.map(\.text) }
        let two = try reads.outputs(request, threads: 3).mapValues { $0.map(\.text) }
        #expect(one == two)
    }
}

@Suite struct AnnotationTests {
    @Test func annotationsSayWhatTheReadsShow() throws {
        let bases = genome(3000, pieces: [(1490, "CACACACACACACACACACA")])
        var reads = SyntheticReads(bases)
        reads.add(range: 1003..<2000, step: 10)
        reads.mappingQuality = 40
        reads.quality = 25
        reads.add([Change(place: 1600, removed: 1, inserted: [other(bases[1600])])], range: 1003..<2000, step: 10)
        let line = try #require(try reads.outputs(CallingRequest())[.variants]?.first { $0.position == 1601 })
        let info = Dictionary(
            uniqueKeysWithValues: line.fields[7].split(separator: ";").map { field in
                let parts = field.split(separator: "=")
                return (String(parts[0]), Double(parts[1]) ?? 0)
            })
        #expect(info["MQRankSum"]! < -3 && info["BaseQRankSum"]! < -3 && abs(info["ReadPosRankSum"]!) < 1)
        #expect(info["SOR"]! < 1.5 && info["QD"]! > 1 && info["MPOS"]! > 15 && info["MPOS"]! < 35)
        let depths = zip(line.numbers("ADF"), line.numbers("ADR")).map { $0 + $1 }
        #expect(depths == line.numbers("AD") && depths == [10, 10] && line["AF"] == "0.5")
    }

    @Test func repeatsAreNamed() throws {
        let bases = genome(3000, pieces: [(1489, "GCACACACACACACACACACAT")])
        var reads = SyntheticReads(bases)
        reads.add(range: 1000..<2000, step: 6)
        reads.add([Change(place: 1490, removed: 2, inserted: [])], range: 1000..<2000, step: 6)
        let lines = try reads.outputs(CallingRequest())[.variants]!
        #expect(lines.count == 1 && lines[0].fields[7].hasSuffix(";RU=CA;REFREP=10"))
    }

    @Test func headersDefineWhatLinesHave() throws {
        let reads = GVCFTests.reads()
        let list = try reads.sites("one\t2001\t.\t\(reads.letters(2000..<2001))\t.\n")
        let lines = try reads.outputs(CallingRequest(outputs: Set(CallOutput.allCases), sites: list))
        for (output, lines) in lines {
            let header = String(
                decoding: VariantCaller.header(output, reference: reads.reference, sample: "s", command: "dsgd x"), as: UTF8.self)
            #expect(header.contains("##dsgdCommand=dsgd x\n") && header.contains("##source=dsgd ") && !lines.isEmpty)
            for line in lines {
                let info = line.fields[7].split(separator: ";").map { $0.split(separator: "=")[0] }
                for key in info { #expect(header.contains("##INFO=<ID=\(key),")) }
                for key in line.fields[8].split(separator: ":") { #expect(header.contains("##FORMAT=<ID=\(key),")) }
                for key in line.fields[6].split(separator: ";") where key != "." {
                    #expect(header.contains("##FILTER=<ID=\(key),"))
                }
            }
        }
    }
}

@Suite struct PhasingTests {
    private func called(_ first: [Change], _ second: [Change], step: Int = 8) throws -> [Line] {
        var reads = SyntheticReads(genome(4000))
        reads.add(first, range: 1000..<3000, step: step)
        reads.add(second, range: 1000..<3000, step: step)
        return try reads.outputs(CallingRequest())[.variants]!
    }

    private let bases = genome(4000)
    private func substitution(_ place: Int) -> Change { Change(place: place, removed: 1, inserted: [other(bases[place])]) }

    @Test func neighboursOnOneHaplotype() throws {
        let lines = try called([substitution(2000), substitution(2040), substitution(2080)], [])
        #expect(lines.map { $0["GT"] } == ["0|1", "0|1", "0|1"] && lines.allSatisfy { $0["PS"] == "2001" })
    }

    @Test func neighboursOnTwoHaplotypes() throws {
        let lines = try called([substitution(2000), Change(place: 2040, removed: 3, inserted: [])], [substitution(2080)])
        #expect(lines.map { $0["GT"] } == ["0|1", "0|1", "1|0"] && lines.allSatisfy { $0["PS"] == "2001" })
    }

    @Test func farNeighboursAndHomozygotesHaveNoPhase() throws {
        let far = try called([substitution(2000), substitution(2400)], [])
        #expect(far.map { $0["GT"] } == ["0/1", "0/1"] && far.allSatisfy { $0["PS"].isEmpty })
        let same = try called([substitution(2000), substitution(2040)], [substitution(2040)])
        #expect(same.map { $0["GT"] } == ["0/1", "1/1"])
    }
}
