import Diagnostics
import Foundation
import GenomicFormats

/// One line of the VCF before it is written: alleles as base codes, zero-based place.
struct VariantRecord {
    /// What one fragment says: the read of it that was looked at, and the allele.
    struct Witness {
        var read: Int
        var allele: UInt8
    }

    var place: Int
    var reference: [UInt8]
    var alternates: [[UInt8]]
    var table: GenotypeTable
    /// Fragments that speak for each allele, reference first.
    var alleleDepths: [Int]
    /// Fragments at the place that could be used.
    var depth: Int
    var mappingQuality: Double
    var strandBias: Double
    /// Share of the alternate evidence that lies within 8 bases of the end of its alignment.
    var endShare: Double
    var unmappableShare: Double
    /// The fragments that ``alleleDepths`` counts.
    var witnesses: [Witness] = []
    var features: CallFeatures?
    /// ``LearnedFilter/quality(_:)``; nil without the filter.
    var learnedQuality: Double?
    var phase: Phase?
    /// Only where alleles were asked for.
    var lead: Lead?

    /// log10 by which the best genotype of the record's alleles is likelier than the best one with another change of
    /// the same reference bases; below 0 when that is likelier.
    struct Lead {
        var diploid: Double
        var haploid: Double
    }

    /// The alleles of a heterozygote in the order of the two haplotypes of a phase set.
    struct Phase: Equatable {
        /// Zero-based place of the set's first record.
        var set: Int
        var first: Int
        var second: Int
    }

    static let strandBiasLimit = 60.0
    static let endShareLimit = 0.9
    /// Fewer alternate bases lie near the ends of their reads by chance: of three, once in a thousand sites or so.
    static let leastEndDepth = 4
    static let unmappableLimit = 0.9

    var end: Int { place + reference.count }

    private var alternateDepth: Int { alleleDepths.dropFirst().reduce(0, +) }

    func filters(_ options: CallingOptions) -> [String] {
        var failed: [String] = []
        if table.quality < options.passQuality { failed.append("LowQual") }
        if strandBias > Self.strandBiasLimit { failed.append("StrandBias") }
        if endShare > Self.endShareLimit, alternateDepth >= Self.leastEndDepth { failed.append("ReadEnd") }
        if unmappableShare > Self.unmappableLimit { failed.append("LowMapQ") }
        if let learnedQuality, learnedQuality < LearnedFilter.passQuality { failed.append("LowVQ") }
        return failed
    }

    /// The line's bytes, newline included. With `hasUnseenAllele`, `<NON_REF>` is the last alternate (gVCF).
    func line(contig: String, options: CallingOptions, hasUnseenAllele: Bool = false) -> [UInt8] {
        var line = VCFLine(contig: contig, place: place)
        line.field(".")
        line.field(reference)
        line.tab()
        for (rank, alternate) in alternates.enumerated() {
            if rank > 0 { line.put(",") }
            line.put(alternate)
        }
        if hasUnseenAllele { line.put(",<NON_REF>") }
        line.tab()
        line.put(table.quality, 2)
        let failed = filters(options)
        line.field(failed.isEmpty ? "PASS" : failed.joined(separator: ";"))
        line.tab()
        putInfo(&line, writesFeatures: options.writesFeatures)
        line.field(features == nil ? "GT:AD:DP:GQ:PL" : "GT:AD:DP:GQ:PL:AF:ADF:ADR")
        if phase != nil { line.put(":PS") }
        line.tab()
        putSample(&line, hasUnseenAllele: hasUnseenAllele)
        line.put("\n")
        return line.bytes
    }

    private func putInfo(_ line: inout VCFLine, writesFeatures: Bool) {
        line.put("DP=")
        line.put(depth)
        for (name, value, places) in [("MQ", mappingQuality, 1), ("FS", strandBias, 1)] {
            line.put(";\(name)=")
            line.put(value, places)
        }
        guard let features else { return }
        for (name, feature) in Self.annotations {
            // Rank sums compare two groups.
            if name.hasSuffix("RankSum"), alleleDepths[0] == 0 || alleleDepths.dropFirst().allSatisfy({ $0 == 0 }) {
                continue
            }
            line.put(";\(name)=")
            line.put(features[feature], 3)
        }
        if let learnedQuality {
            line.put(";VQ=")
            line.put(learnedQuality, 1)
        }
        if !features.repeatUnit.isEmpty {
            line.put(";RU=")
            line.put(features.repeatUnit)
            line.put(";REFREP=")
            line.put(Int(features[.repeatUnits]))
        }
        guard writesFeatures else { return }
        for (rank, value) in features.values.enumerated() {
            line.put(rank == 0 ? ";CF=" : ",")
            line.put(value, 4)
        }
    }

    private static let annotations: [(String, CallFeatures.Feature)] = [
        ("SOR", .strandOddsRatio), ("QD", .qualityByDepth), ("MQRankSum", .mappingQualityRankSum),
        ("ReadPosRankSum", .readPositionRankSum), ("BaseQRankSum", .baseQualityRankSum),
        ("MPOS", .alternateReadPosition),
    ]

    private func putSample(_ line: inout VCFLine, hasUnseenAllele: Bool) {
        let unseen = hasUnseenAllele ? [0] : []
        if let phase {
            line.put("\(phase.first)|\(phase.second)")
        } else {
            line.put(genotypeText)
        }
        line.put(":")
        line.put(list: alleleDepths + unseen)
        line.put(":\(depth):\(table.genotypeQuality):")
        line.put(list: hasUnseenAllele ? table.scaledWithUnseenAllele(depths: alleleDepths) : table.scaled)
        if let features {
            let total = Double(max(1, alleleDepths.reduce(0, +)))
            for (rank, count) in (alleleDepths.dropFirst() + unseen).enumerated() {
                line.put(rank == 0 ? ":" : ",")
                line.put(Double(count) / total, 3)
            }
            line.put(":")
            line.put(list: features.forward + unseen)
            line.put(":")
            line.put(list: features.reverse + unseen)
        }
        if let phase { line.put(":\(phase.set + 1)") }
    }

    private var genotypeText: String {
        let (a, b) = table.genotype
        return table.ploidy == 1 ? "\(b)" : "\(a)/\(b)"
    }

    /// The record with some of its alternates, in their order, for a table that was made for these.
    func keeping(_ alleles: [Int], table: GenotypeTable) -> VariantRecord {
        var kept = self
        kept.table = table
        kept.alternates = alleles.map { alternates[$0 - 1] }
        kept.alleleDepths = [alleleDepths[0]] + alleles.map { alleleDepths[$0] }
        kept.witnesses = witnesses.compactMap { witness in
            if witness.allele == 0 { return witness }
            guard let rank = alleles.firstIndex(of: Int(witness.allele)) else { return nil }
            return Witness(read: witness.read, allele: UInt8(rank + 1))
        }
        // What all alleles share at the end is cut, the first base stays.
        let shared = ([reference] + kept.alternates).map { $0.count }.min()! - 1
        var cut = 0
        while cut < shared, kept.alternates.allSatisfy({ $0[$0.count - 1 - cut] == reference[reference.count - 1 - cut] }) {
            cut += 1
        }
        kept.reference = Array(reference.dropLast(cut))
        kept.alternates = kept.alternates.map { Array($0.dropLast(cut)) }
        return kept
    }
}

/// Builds one line of a VCF.
struct VCFLine {
    private(set) var bytes: [UInt8] = []

    init(contig: String, place: Int) {
        bytes.reserveCapacity(256)
        put(contig)
        tab()
        put(place + 1)
    }

    mutating func tab() { bytes.append(9) }
    mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }
    mutating func put(_ bases: [UInt8]) { for base in bases { bytes.append(BaseCode.ascii[Int(base)]) } }

    mutating func field(_ text: String) {
        tab()
        put(text)
    }

    mutating func field(_ bases: [UInt8]) {
        tab()
        put(bases)
    }

    mutating func put(_ value: Int) {
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        var rest = value.magnitude
        let first = bytes.count
        repeat {
            bytes.append(48 + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        bytes[first...].reverse()
    }

    mutating func put(list: [Int]) {
        for (rank, value) in list.enumerated() {
            if rank > 0 { put(",") }
            put(value)
        }
    }

    mutating func put(_ value: Double, _ places: Int) { put(Self.decimal(value, places)) }

    /// A number with at most `places` decimals and at most six significant digits, without zeros at its end: what
    /// htslib writes for the same value, so that a pass through bcftools changes no byte. Integer arithmetic gives the
    /// same bytes in every locale.
    static func decimal(_ value: Double, _ places: Int) -> String {
        if value < 0 {
            let text = decimal(-value, places)
            return text == "0" ? text : "-" + text
        }
        var places = places
        while places > 0, value >= 1e6 / Double(power(places)) { places -= 1 }
        let scale = power(places)
        let scaled = Int((value * Double(scale)).rounded())
        guard scaled % scale != 0 else { return String(scaled / scale) }
        var fraction = String(scaled % scale)
        fraction = String(repeating: "0", count: places - fraction.count) + fraction
        while fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(scaled / scale).\(fraction)"
    }

    private static func power(_ places: Int) -> Int { (0..<places).reduce(1) { scale, _ in scale * 10 } }
}
