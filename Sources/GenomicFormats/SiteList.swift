import Diagnostics
import Storage

/// Sites that are to be genotyped whatever the reads show: a VCF, its first five columns without a header, a scoring file
/// of the PGS Catalog, or a BED.
public struct SiteList: Sendable {
    public struct Site: Sendable, Equatable {
        public var contig: Int
        /// Zero-based place of the first reference base.
        public var position: Int
        /// ``BaseCode`` values.
        public var reference: [UInt8]
        /// Empty when the list does not name any: the four bases are alternatives then.
        public var alternates: [[UInt8]]
        public var identifier: String
        public var end: Int { position + reference.count }
    }

    /// Longest allele of a site.
    public static let longestAllele = 200

    /// Whether the answer tells of no allele but those that the list names: a sample that has another one gets no genotype
    /// there. A site without alleles names all.
    public var isClosed = false
    /// In the order of the reference; sites of one place in the order of the list.
    public private(set) var sites: [Site] = []
    /// Lines that name no place, and are left out: a scoring file has them for variants that could not be lifted over.
    public private(set) var linesWithoutPlace = 0

    /// - Throws: ``Failure`` with the line: no such contig, beyond its end, REF that is not the reference's, alleles that
    ///   are no bases, too long.
    public static func read(_ path: String, genome: ReferenceGenome) throws -> SiteList {
        let bytes = try readWhole(path)
        return try bytes.withUnsafeBytes { try SiteList(parsing: $0, label: path, genome: genome) }
    }

    public init(parsing bytes: UnsafeRawBufferPointer, label: String, genome: ReferenceGenome) throws {
        var kind: Kind?
        var parsed: [Site] = []
        let contigs = Dictionary(
            genome.contigs.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        var withoutPlace = 0
        try TableReader.forEachLine(of: bytes, label: label) { number, line in
            if line[0] == UInt8(ascii: "#") {
                if number == 1, line.starts(with: "##fileformat=VCF".utf8) { kind = .vcf }
                return
            }
            guard let fields = Self.fields(of: line, kind) else { return }
            let reader = Line(number: number, fields: fields, label: label, genome: genome, contigs: contigs)
            guard let known = kind else {
                if let columns = ScoreColumns(fields) {
                    kind = .scores(columns)
                } else if fields.count > 1, fields[1] == "POS" {
                    kind = .vcf
                } else if reader.hasAlleles {
                    kind = .vcf
                    parsed.append(try reader.vcf())
                } else {
                    kind = .bed
                    parsed += try reader.bed()
                }
                return
            }
            switch known {
            case .vcf: parsed.append(try reader.vcf())
            case .bed: parsed += try reader.bed()
            case .scores(let columns):
                if let site = try reader.score(columns) { parsed.append(site) } else { withoutPlace += 1 }
            }
        }
        linesWithoutPlace = withoutPlace
        // The sort is made stable by the order of the list.
        sites = parsed.enumerated().sorted {
            ($0.element.contig, $0.element.position, $0.offset) < ($1.element.contig, $1.element.position, $1.offset)
        }.map(\.element)
        guard !sites.isEmpty else {
            throw Failure(.data, at: label, "holds no sites", remedy: "give a VCF, a PGS scoring file, or a BED of points")
        }
    }

    /// The columns of a line; nil when it is one of a BED's that only browsers read. A BED may have blanks for tabs.
    private static func fields(of line: UnsafeRawBufferPointer, _ kind: Kind?) -> [String]? {
        func split(_ separator: UInt8, keepsEmpty: Bool) -> [String] {
            line.split(separator: separator, omittingEmptySubsequences: !keepsEmpty)
                .map { String(decoding: $0, as: UTF8.self) }
        }
        let tabbed = split(9, keepsEmpty: true)
        switch kind {
        case .vcf, .scores: return tabbed
        case .bed, nil: break
        }
        let first = tabbed[0].split(separator: " ").first.map(String.init) ?? ""
        if ["track", "browser"].contains(first), tabbed.count == 1 || Int(tabbed[1]) == nil { return nil }
        guard tabbed.count == 1 else { return tabbed }
        let blank = split(32, keepsEmpty: false)
        let isBED = blank.count >= 3 && Line.number(blank[1]) != nil && Line.number(blank[2]) != nil
        return isBED ? blank : tabbed
    }

    /// The sites of a range of places.
    public func sites(contig: Int, in range: Range<Int>) -> ArraySlice<Site> {
        func first(_ place: Int) -> Int {
            var low = 0
            var high = sites.count
            while low < high {
                let middle = (low + high) / 2
                let site = sites[middle]
                if (site.contig, site.position) < (contig, place) { low = middle + 1 } else { high = middle }
            }
            return low
        }
        return sites[first(range.lowerBound)..<first(range.upperBound)]
    }

    private enum Kind {
        case vcf
        case bed
        case scores(ScoreColumns)
    }
}

/// The columns of a scoring file (PGS Catalog format 2.0); harmonised places are preferred.
private struct ScoreColumns {
    let contig: Int
    let position: Int
    let effect: Int
    let other: Int?
    let inferred: Int?
    let identifier: Int?

    init?(_ names: [String]) {
        func column(_ choices: String...) -> Int? { choices.lazy.compactMap { names.firstIndex(of: $0) }.first }
        guard let contig = column("hm_chr", "chr_name"), let effect = column("effect_allele"),
            let position = names.firstIndex(of: names[contig] == "hm_chr" ? "hm_pos" : "chr_position")
        else { return nil }
        self.contig = contig
        self.position = position
        self.effect = effect
        other = column("other_allele", "reference_allele")
        inferred = column("hm_inferOtherAllele")
        identifier = column("hm_rsID", "rsID")
    }
}

/// One line of a list of sites.
private struct Line {
    let number: Int
    let fields: [String]
    let label: String
    let genome: ReferenceGenome
    let contigs: [String: Int]

    func failure(_ problem: String, _ remedy: String) -> Failure {
        Failure(.data, at: "\(label):line \(number)", problem, remedy: remedy)
    }

    /// Whether columns four and five are alleles, as in a VCF.
    var hasAlleles: Bool {
        fields.count >= 5 && [fields[3], fields[4]].allSatisfy { text in
            !text.isEmpty && text.utf8.allSatisfy { $0 == UInt8(ascii: ",") || BaseCode.ofASCII[Int($0)] < 4 }
        }
    }

    /// A place as a list may give it, at most as large as a BAM's.
    static func number(_ text: String) -> Int? {
        guard let value = Int(text), value >= 0, value <= Int(Int32.max) else { return nil }
        return value
    }

    /// An ID that a VCF can hold: blanks, control characters and bytes that are no text are no part of one.
    private static func identifier(_ text: String) -> String {
        let isFit = text.unicodeScalars.allSatisfy {
            $0.value > 0x20 && !(0x7F...0x9F).contains($0.value) && $0.value != 0xFFFD && !$0.properties.isWhitespace
        }
        return text.isEmpty || !isFit ? "." : text
    }

    private func contig(_ name: String) throws -> Int {
        guard let found = contigs[name] else {
            throw failure("contig '\(name)' is not in the reference", "check that the names agree (chr20 is not 20)")
        }
        return found
    }

    private func codes(_ text: String) throws -> [UInt8] {
        let codes = text.utf8.map { BaseCode.ofASCII[Int($0)] }
        guard !codes.isEmpty, codes.allSatisfy({ $0 < 4 }) else {
            throw failure("an allele is no sequence of A, C, G and T", "leave out symbolic alleles, or remove the line")
        }
        guard codes.count <= SiteList.longestAllele else {
            throw failure(
                "an allele has \(codes.count) bases, over \(SiteList.longestAllele)",
                "remove the line: it is too long for short reads")
        }
        return codes
    }

    private func site(
        _ contig: Int, _ position: Int, _ reference: [UInt8], _ alternates: [[UInt8]], _ identifier: String
    ) throws -> SiteList.Site {
        let bases = genome.contigs[contig].bases
        guard position >= 0, position + reference.count <= bases.count else {
            throw failure("the site lies beyond the end of its contig", "list and reference must be of one build")
        }
        guard bases[position..<position + reference.count].elementsEqual(reference) else {
            throw failure(
                "REF is not what the reference has there", "list and reference must be of one build and strand")
        }
        guard Set(alternates).count == alternates.count, !alternates.contains(reference) else {
            throw failure("an allele is given twice", "list each allele once")
        }
        return SiteList.Site(
            contig: contig, position: position, reference: reference, alternates: alternates,
            identifier: Self.identifier(identifier))
    }

    func vcf() throws -> SiteList.Site {
        guard fields.count >= 5 else { throw failure("has fewer than five columns", "give a VCF") }
        guard let position = Self.number(fields[1]), position >= 1 else {
            throw failure("POS is no number from 1 to 2^31 - 1", "give a VCF")
        }
        let alternates = try fields[4].split(separator: ",").filter { !["*", ".", "<NON_REF>", "<*>"].contains($0) }
            .map { try codes(String($0)) }
        return try site(try contig(fields[0]), position - 1, try codes(fields[3]), alternates, fields[2])
    }

    /// The points of an interval.
    func bed() throws -> [SiteList.Site] {
        guard fields.count >= 3, let start = Self.number(fields[1]), let end = Self.number(fields[2]), start < end
        else {
            throw failure(
                "is no line of a VCF with its header, of a PGS scoring file with its column names, or of a BED",
                "give one of these, separated by tabs")
        }
        let contig = try contig(fields[0])
        guard end <= genome.contigs[contig].length else {
            throw failure("the site lies beyond the end of its contig", "list and reference must be of one build")
        }
        guard end - start <= 1000 else { throw failure("an interval of sites has over 1000 places", "use -R for regions") }
        let name = Self.identifier(fields.count > 3 ? fields[3] : "")
        return (start..<end).map {
            SiteList.Site(
                contig: contig, position: $0, reference: [genome.contigs[contig].bases[$0]], alternates: [],
                identifier: name)
        }
    }

    /// One variant of a score: which of its alleles the reference has is found out. nil when the line names no place.
    func score(_ columns: ScoreColumns) throws -> SiteList.Site? {
        func field(_ column: Int?) -> String { column.flatMap { $0 < fields.count ? fields[$0] : nil } ?? "" }
        guard !field(columns.position).isEmpty, !field(columns.contig).isEmpty else { return nil }
        guard let position = Self.number(field(columns.position)), position >= 1 else {
            throw failure("the position is no number from 1 to 2^31 - 1", "give a scoring file of the PGS Catalog")
        }
        let name = field(columns.contig)
        let spelled = [name, "chr" + name, name.hasPrefix("chr") ? String(name.dropFirst(3)) : name]
        let contig = try contig(spelled.first { contigs[$0] != nil } ?? name)
        let effect = try codes(field(columns.effect))
        let given = field(columns.other).isEmpty ? field(columns.inferred) : field(columns.other)
        let others = try given.split(separator: "/").map { try codes(String($0)) }
        let bases = genome.contigs[contig].bases
        func isReference(_ allele: [UInt8]) -> Bool {
            position - 1 + allele.count <= bases.count
                && bases[(position - 1)..<(position - 1 + allele.count)].elementsEqual(allele)
        }
        // A shorter allele may begin like a longer one: the longest that fits is the reference's.
        let alleles = ([effect] + others).reduce(into: [[UInt8]]()) { if !$0.contains($1) { $0.append($1) } }
        let identifier = field(columns.identifier)
        if let reference = alleles.filter(isReference).max(by: { $0.count < $1.count }) {
            return try site(contig, position - 1, reference, alleles.filter { $0 != reference }, identifier)
        }
        guard others.isEmpty, effect.count == 1, position <= bases.count else {
            throw failure(
                "none of the alleles is what the reference has there",
                "check that list and reference are of the same build and strand, or remove the line")
        }
        return try site(contig, position - 1, [bases[position - 1]], [effect], identifier)
    }
}
