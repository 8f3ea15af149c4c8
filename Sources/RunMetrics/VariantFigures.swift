/// Counts of variant records by kind and genotype of their called alleles.
public struct VariantCounts: Sendable, Equatable {
    /// Records in which an alternate allele is called.
    public var total = 0
    /// Of these, records that list one alternate allele, and more.
    public var biallelic = 0
    public var multiallelic = 0
    /// Records whose called alternate alleles are all substitutions of one base.
    public var snps = 0
    /// Records with a called substitution of more bases, and no insertion or deletion.
    public var mnps = 0
    /// Records whose called alternate alleles are all insertions, or all deletions.
    public var homozygousInsertions = 0
    public var heterozygousInsertions = 0
    public var homozygousDeletions = 0
    public var heterozygousDeletions = 0
    /// Records that call alleles of two kinds, one an insertion or deletion.
    public var mixedIndels = 0
    public var snpsOnX = 0
    public var snpsOnY = 0
    /// Called alternate alleles of `snps`.
    public var transitions = 0
    public var transversions = 0
    /// Records that call one allele only, haploid ones among them, and the others.
    public var homozygous = 0
    public var heterozygous = 0
}

/// Variants as their records say: all that were written, and those that passed every filter.
public struct VariantFigures: Sendable, Equatable {
    public private(set) var written = VariantCounts()
    public private(set) var passed = VariantCounts()
    private let roles: [[UInt8]: ContigRole]

    init(contigs: [ContigFigures]) {
        roles = Dictionary(contigs.map { (Array($0.name.utf8), $0.role) }) { first, _ in first }
    }

    public var hasX: Bool { roles.values.contains(.x) }
    public var hasY: Bool { roles.values.contains(.y) }

    /// Counts a line of a VCF with one sample. Lines that call no alternate allele are no variants: reference calls and
    /// blocks, missing genotypes, and symbolic alleles (`<...>`, `*`, breakends).
    mutating func count(_ line: UnsafeRawBufferPointer) {
        guard let record = CalledRecord(line) else { return }
        let role = roles[Array(record.contig)] ?? .other
        written.count(record, role)
        if record.hasPassed { passed.count(record, role) }
    }
}

extension VariantCounts {
    fileprivate mutating func count(_ record: CalledRecord, _ role: ContigRole) {
        total += 1
        if record.alternateCount == 1 { biallelic += 1 } else { multiallelic += 1 }
        if record.isHomozygous { homozygous += 1 } else { heterozygous += 1 }
        let kinds = Set(record.called.map(\.kind))
        if kinds == [.snp] {
            snps += 1
            if role == .x { snpsOnX += 1 }
            if role == .y { snpsOnY += 1 }
            for allele in record.called {
                if allele.isTransition { transitions += 1 } else { transversions += 1 }
            }
        } else if kinds == [.insertion] {
            if record.isHomozygous { homozygousInsertions += 1 } else { heterozygousInsertions += 1 }
        } else if kinds == [.deletion] {
            if record.isHomozygous { homozygousDeletions += 1 } else { heterozygousDeletions += 1 }
        } else if kinds.contains(.insertion) || kinds.contains(.deletion) {
            mixedIndels += 1
        } else {
            mnps += 1
        }
    }
}

/// What counting needs of one record: nil for one that calls no alternate allele of known sequence.
private struct CalledRecord {
    struct Allele {
        enum Kind { case snp, mnp, insertion, deletion }
        var kind: Kind
        var isTransition: Bool
    }

    private(set) var contig: Slice<UnsafeRawBufferPointer>
    private(set) var hasPassed: Bool
    private(set) var alternateCount: Int
    /// Every allele once, however often it is called.
    private(set) var called: [Allele] = []
    private(set) var isHomozygous: Bool

    init?(_ line: UnsafeRawBufferPointer) {
        // CHROM POS ID REF ALT QUAL FILTER INFO FORMAT and the sample.
        let end = line.last == UInt8(ascii: "\n") ? line.count - 1 : line.count
        let columns = line[..<end].split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false)
        guard columns.count >= 10, columns[8].starts(with: "GT".utf8) else { return nil }
        contig = columns[0]
        hasPassed = columns[6].elementsEqual("PASS".utf8)
        let alternates = columns[4].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        alternateCount = alternates.lazy.filter { !Self.isSymbolic($0) }.count
        let genotype = columns[9].prefix { $0 != UInt8(ascii: ":") }
            .split(omittingEmptySubsequences: false) { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "|") }
            .map { Int(String(decoding: $0, as: UTF8.self)) }
        let numbers = Set(genotype)
        isHomozygous = numbers.count == 1
        for number in numbers.compactMap(\.self).sorted() where (1...alternates.count).contains(number) {
            if let allele = Self.allele(columns[3], alternates[number - 1]) { called.append(allele) }
        }
        if called.isEmpty { return nil }
    }

    private static func isSymbolic(_ allele: Slice<UnsafeRawBufferPointer>) -> Bool {
        allele.isEmpty || allele.contains { !"ACGTNacgtn".utf8.contains($0) }
    }

    /// What is left of both alleles without the bases that they share at their ends decides.
    private static func allele(
        _ reference: Slice<UnsafeRawBufferPointer>, _ alternate: Slice<UnsafeRawBufferPointer>
    ) -> Allele? {
        if isSymbolic(alternate) { return nil }
        if reference.count < alternate.count { return Allele(kind: .insertion, isTransition: false) }
        if reference.count > alternate.count { return Allele(kind: .deletion, isTransition: false) }
        let different = zip(reference, alternate).enumerated().filter { $0.element.0 & 0xDF != $0.element.1 & 0xDF }
        guard let first = different.first, let last = different.last else { return nil }
        guard first.offset == last.offset else { return Allele(kind: .mnp, isTransition: false) }
        let pair = Set([first.element.0 & 0xDF, first.element.1 & 0xDF])
        return Allele(kind: .snp, isTransition: pair == Set("AG".utf8) || pair == Set("CT".utf8))
    }
}
