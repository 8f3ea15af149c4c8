/// One VCF record reduced to what a comparison needs: where, which alleles, which genotype, how sure.
public struct VariantRecord: Sendable, Equatable {
    public var contig: String
    /// 0-based position of the first base of `reference`.
    public var position: Int
    /// Upper-case ASCII.
    public var reference: [UInt8]
    /// Upper-case ASCII; symbolic alleles and `*` stand as written.
    public var alternates: [[UInt8]]
    /// Allele numbers of the genotype, nil for a missing one; two, or one for a haploid call, or none without GT.
    public var genotype: [Int?]
    /// Nil when the column holds a dot.
    public var quality: Double?
    /// `PASS` or `.`.
    public var isPassing: Bool
    /// The sample's DP, else that of INFO.
    public var depth: Int?
    /// Line in the file, from 1; 0 for a record that was not read from a file.
    public var line: Int

    public init(
        contig: String, position: Int, reference: String, alternates: [String], genotype: [Int?],
        quality: Double? = nil, isPassing: Bool = true, depth: Int? = nil, line: Int = 0
    ) {
        self.contig = contig
        self.position = position
        self.reference = Array(reference.uppercased().utf8)
        self.alternates = alternates.map { Array($0.uppercased().utf8) }
        self.genotype = genotype
        self.quality = quality
        self.isPassing = isPassing
        self.depth = depth
        self.line = line
    }
}

/// A replacement of `reference[start ..< end]` by `bases` (upper-case ASCII) on one haplotype, trimmed of shared bases.
struct Edit: Hashable, Comparable {
    var start: Int
    var end: Int
    var bases: [UInt8]

    /// Moves the edit to the left as far as the haplotype stays the same; N stops it.
    mutating func leftAlign(_ reference: UnsafeBufferPointer<UInt8>) {
        guard (end == start) != bases.isEmpty else { return }
        while start > 0 {
            let before = reference[start - 1]
            guard before != UInt8(ascii: "N") else { return }
            if bases.isEmpty {
                guard before == reference[end - 1] else { return }
            } else {
                guard before == bases[bases.count - 1] else { return }
                bases.removeLast()
                bases.insert(before, at: 0)
            }
            start -= 1
            end -= 1
        }
    }

    static func trimmed(position: Int, reference: [UInt8], alternate: [UInt8]) -> Edit? {
        var suffix = 0
        let shorter = min(reference.count, alternate.count)
        while suffix < shorter, reference[reference.count - 1 - suffix] == alternate[alternate.count - 1 - suffix] {
            suffix += 1
        }
        var prefix = 0
        while prefix < shorter - suffix, reference[prefix] == alternate[prefix] { prefix += 1 }
        let edit = Edit(
            start: position + prefix, end: position + reference.count - suffix,
            bases: Array(alternate[prefix..<alternate.count - suffix]))
        return edit.start == edit.end && edit.bases.isEmpty ? nil : edit
    }

    static func < (one: Edit, two: Edit) -> Bool {
        if one.start != two.start { return one.start < two.start }
        if one.end != two.end { return one.end < two.end }
        return one.bases.lexicographicallyPrecedes(two.bases)
    }
}

/// Whether a record counts as SNP or as indel. Substitutions of several bases of equal length count as SNP.
public enum VariantClass: String, Sendable, Codable, CaseIterable {
    case snp
    case indel
}

/// A record as the comparison sees it: what it does to each of the two haplotypes.
struct DecodedCall {
    /// Position in the list of records it came from.
    var index: Int
    /// Left-aligned edit of each haplotype in no particular phase, nil where the haplotype is as the reference.
    var edits: [Edit?]
    /// The same, unordered and without nil: equal keys mean the same alleles with the same genotype.
    var key: [Edit]
    var variantClass: VariantClass
    var start: Int
    var end: Int

    var isHomozygous: Bool { edits[0] == edits[1] }
}

/// Why a record takes no part in the comparison.
public enum RecordOutcome: Sendable, Equatable {
    case compared
    case referenceGenotype
    case missingGenotype
    case symbolicAllele
}

extension VariantRecord {
    /// What the record does to two haplotypes, or why it does nothing.
    ///
    /// A haploid genotype counts as homozygous. A missing allele and `*` leave their haplotype as the reference, `*`
    /// because the record of the deletion itself changes it.
    func decode(index: Int, reference contig: UnsafeBufferPointer<UInt8>) -> (DecodedCall?, RecordOutcome) {
        var numbers = genotype
        if numbers.count == 1 { numbers.append(numbers[0]) }
        guard numbers.count == 2, numbers.contains(where: { $0 != nil }) else { return (nil, .missingGenotype) }
        var edits: [Edit?] = []
        var variantClass = VariantClass.snp
        for number in numbers {
            guard let number, number > 0 else {
                edits.append(nil)
                continue
            }
            let allele = alternates[number - 1]
            if allele == [UInt8(ascii: "*")] {
                edits.append(nil)
                continue
            }
            guard allele.allSatisfy({ Self.isBase[Int($0)] }) else { return (nil, .symbolicAllele) }
            if var edit = Edit.trimmed(position: position, reference: reference, alternate: allele) {
                if allele.count != reference.count { variantClass = .indel }
                edit.leftAlign(contig)
                edits.append(edit)
            } else {
                edits.append(nil)
            }
        }
        let key = edits.compactMap { $0 }.sorted()
        guard let first = key.first else { return (nil, .referenceGenotype) }
        let call = DecodedCall(
            index: index, edits: edits, key: key, variantClass: variantClass, start: first.start,
            end: key.map(\.end).max() ?? first.end)
        return (call, .compared)
    }

    private static let isBase: [Bool] = (0..<256).map { "ACGTN".utf8.contains(UInt8($0)) }
}
