import Diagnostics
import Glibc
import Storage

/// A list of variants on the genome: positions, or positions with alleles.
///
/// Alleles are held normalised: what REF and ALT share at the end is cut, then what they share at the beginning, so
/// that different spellings of one variant at one place are the same. Repeats are not shifted to the left.
public struct VariantList: Sendable {
    /// One variant in normal form, upper case.
    public struct Entry: Sendable, Hashable, Comparable {
        /// 0-based first base after trimming.
        public var position: Int
        public var reference: [UInt8]
        public var alternative: [UInt8]

        public static func < (a: Entry, b: Entry) -> Bool {
            if a.position != b.position { return a.position < b.position }
            if a.reference != b.reference { return a.reference.lexicographicallyPrecedes(b.reference) }
            return a.alternative.lexicographicallyPrecedes(b.alternative)
        }
    }

    /// One base for each listed POS (as written, not trimmed).
    public private(set) var positions: RegionSet
    /// By contig, sorted; empty when the list has no alleles.
    public private(set) var alleles: [String: [Entry]]
    /// IDs that the list names, in order.
    public private(set) var identifiers: [String]
    public private(set) var count: Int
    public var hasAlleles: Bool { !alleles.isEmpty }

    /// Reads TSV of CHROM, POS (1-based), and optionally ID, REF, ALT, or a VCF; plain or gzip. All lines of one list
    /// must have alleles, or none.
    public static func read(_ path: String) throws -> VariantList {
        let bytes = try readWhole(path)
        return try bytes.withUnsafeBytes { try VariantList(parsing: $0, label: path) }
    }

    public init(parsing bytes: UnsafeRawBufferPointer, label: String) throws {
        var ranges: [String: [Range<Int>]] = [:]
        var entries: [String: [Entry]] = [:]
        var names: [String] = []
        var lines = 0
        var withAlleles = 0
        try TableReader.forEachLine(of: bytes, label: label) { number, line in
            func failure(_ problem: String) -> Failure {
                Failure(
                    .data, at: "\(label):line \(number)", problem,
                    remedy: "write CHROM and POS (1-based), and optionally ID, REF and ALT, separated by tabs")
            }
            if line[0] == UInt8(ascii: "#") { return }
            let isTabbed = line.contains(9)
            let fields = line.split(separator: isTabbed ? 9 : 32, maxSplits: 5, omittingEmptySubsequences: !isTabbed)
            // The names of the columns may stand in the first line, as in scoring files.
            if lines == 0 && fields.count > 1 && fields[1].elementsEqual("POS".utf8) { return }
            guard fields.count >= 2 else { throw failure("has fewer than two columns") }
            let position = UnsafeRawBufferPointer(rebasing: fields[1])
            guard let base = position.baseAddress, let value = Bytes.decimal(base, 0, position.count),
                (1...Int(Int32.max)).contains(value)
            else { throw failure("POS is no number from 1 to 2^31 - 1") }
            let contig = String(decoding: fields[0], as: UTF8.self)
            guard !contig.isEmpty else { throw failure("CHROM is empty") }
            lines += 1
            ranges[contig, default: []].append(value - 1..<value)
            if fields.count > 2, !fields[2].elementsEqual(".".utf8) {
                let identifiers = String(decoding: fields[2], as: UTF8.self).split(separator: ";")
                names.append(contentsOf: identifiers.map(String.init))
            }
            guard fields.count >= 5 else { return }
            withAlleles += 1
            let reference = Self.upper(UnsafeRawBufferPointer(rebasing: fields[3]))
            for alternative in fields[4].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
                let allele = Self.upper(UnsafeRawBufferPointer(rebasing: alternative))
                guard !reference.isEmpty, !allele.isEmpty else { throw failure("an allele is empty") }
                entries[contig, default: []].append(Self.normalised(value - 1, reference, allele))
            }
        }
        guard withAlleles == 0 || withAlleles == lines else {
            throw Failure(
                .data, at: label, "some lines have alleles and some have none",
                remedy: "give alleles in every line, or in none")
        }
        positions = RegionSet(ranges)
        alleles = entries.mapValues { Array(Set($0)).sorted() }
        identifiers = names
        count = lines
    }

    public init(positions: [String: [Int]]) {
        self.positions = RegionSet(positions.mapValues { $0.map { $0 - 1..<$0 } })
        alleles = [:]
        identifiers = []
        count = positions.values.reduce(0) { $0 + $1.count }
    }

    private static func upper(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        bytes.map { $0 >= 97 && $0 <= 122 ? $0 - 32 : $0 }
    }

    /// The normal form of one variant; symbolic alleles, `*` and breakends stay as they are.
    public static func normalised(_ position: Int, _ reference: [UInt8], _ alternative: [UInt8]) -> Entry {
        let trim = reference.withUnsafeBytes { r in alternative.withUnsafeBytes { trimming(r, $0) } }
        return Entry(
            position: position + trim.prefix, reference: Array(reference[trim.prefix..<reference.count - trim.suffix]),
            alternative: Array(alternative[trim.prefix..<alternative.count - trim.suffix]))
    }

    /// How many bases an allele and the reference share at the end, and then at the beginning; upper and lower case are
    /// the same. Nothing is cut from alleles that are no sequence.
    public static func trimming(
        _ reference: UnsafeRawBufferPointer, _ alternative: UnsafeRawBufferPointer
    ) -> (prefix: Int, suffix: Int) {
        guard isSequence(alternative) else { return (0, 0) }
        let shorter = min(reference.count, alternative.count)
        var suffix = 0
        while suffix < shorter,
            reference[reference.count - 1 - suffix] | 32 == alternative[alternative.count - 1 - suffix] | 32
        {
            suffix += 1
        }
        var prefix = 0
        while prefix < shorter - suffix, reference[prefix] | 32 == alternative[prefix] | 32 { prefix += 1 }
        return (prefix, suffix)
    }

    /// Whether an allele is a plain sequence of bases.
    public static func isSequence(_ allele: UnsafeRawBufferPointer) -> Bool {
        for byte in allele {
            let letter = byte | 32
            if letter < 97 || letter > 122 { return false }
        }
        return !allele.isEmpty
    }
}
