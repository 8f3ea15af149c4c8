public import GenomicFormats

/// Which records a right names.
public enum Selection: Sendable {
    case everything
    /// Records that meet the regions by the overlap rule.
    case regions(RegionSet)
    /// With alleles in the list: exactly those variants, in normal form. Without: their positions, by the overlap rule.
    case variants(VariantList)
    /// Records of which one ID is in the set.
    case identifiers(Set<String>)

    /// The regions outside of which no record is named; nil when there are none.
    var regions: RegionSet? {
        switch self {
        case .regions(let set): set
        case .variants(let list) where list.hasAlleles:
            // A record whose alleles are spelled longer may begin further left, but reaches to the base before.
            RegionSet(list.alleles.mapValues { $0.map { max(0, $0.position - 1)..<$0.position + 1 } })
        case .variants(let list): list.positions
        case .everything, .identifiers: nil
        }
    }
}

/// When a record belongs to a region. The first three equal bcftools' `--targets-overlap` 0, 1 and 2.
public enum OverlapRule: String, Sendable, CaseIterable, Codable {
    /// POS lies in a region.
    case position
    /// Any base from POS to the end of REF or INFO/END lies in a region.
    case record
    /// Any base behind what REF and all ALT share at their beginning lies in a region.
    case variant
    /// All that the record tells lies in one region; reference blocks are cut at the border. The rule for disclosure.
    case within
}

/// The columns and keys that go out. END, SVTYPE and SVLEN always stay: without them a record has no extent.
public struct FieldProjection: Sendable, Equatable {
    /// INFO keys; nil for all.
    public var info: Set<String>?
    /// FORMAT keys; nil for all, empty for a file without samples.
    public var format: Set<String>?
    /// Keys that do not go out although ``info`` and ``format`` keep them. The header must define them.
    public var droppedInfo: Set<String> = []
    public var droppedFormat: Set<String> = []
    public var keepsIdentifier: Bool
    public var keepsQuality: Bool
    public var keepsFilter: Bool

    public init(
        info: Set<String>? = nil, format: Set<String>? = nil, keepsIdentifier: Bool = true, keepsQuality: Bool = true,
        keepsFilter: Bool = true
    ) {
        self.info = info
        self.format = format
        self.keepsIdentifier = keepsIdentifier
        self.keepsQuality = keepsQuality
        self.keepsFilter = keepsFilter
    }

    public static let all = FieldProjection()
    /// Variants and GT, nothing of how they were seen.
    public static let genotypeOnly = FieldProjection(info: [], format: ["GT"], keepsQuality: false)
    /// GT with depths and qualities.
    public static let genotypeDepthAndQuality = FieldProjection(info: [], format: ["GT", "DP", "AD", "GQ"])

    /// INFO keys that always stay.
    public static let structural: Set<String> = ["END", "SVTYPE", "SVLEN"]

    func keepsInfo(_ key: String) -> Bool {
        Self.structural.contains(key) || info?.contains(key) != false && !droppedInfo.contains(key)
    }

    func keepsFormat(_ key: String) -> Bool { format?.contains(key) != false && !droppedFormat.contains(key) }
}

/// A sample of the input and the name under which it goes out.
public struct SampleName: Sendable, Equatable {
    public var original: String
    public var disclosed: String
    public init(original: String, disclosed: String) {
        self.original = original
        self.disclosed = disclosed
    }
}

/// What becomes of the header.
public enum HeaderPolicy: Sendable {
    /// The input's header, with a `##dsgdCommand` line when one is given; samples as they are, or these in this order.
    case keep(commandLine: String?, samples: [String]? = nil)
    /// A fresh header from an allow-list; only the named samples' columns go out, under their new names.
    case disclose(samples: [SampleName], source: String)
}

/// What happened to the records.
public struct FilterCounts: Sendable, Equatable, Codable {
    public var recordsIn = 0
    /// Lines written: a reference block cut by several regions counts once for each piece.
    public var recordsOut = 0
    /// Input records of which nothing went out.
    public var withheld = 0
    /// Reference blocks cut at a border, and records from which alleles were taken.
    public var altered = 0

    public init(recordsIn: Int = 0, recordsOut: Int = 0, withheld: Int = 0, altered: Int = 0) {
        self.recordsIn = recordsIn
        self.recordsOut = recordsOut
        self.withheld = withheld
        self.altered = altered
    }

    mutating func add(_ other: FilterCounts) {
        recordsIn += other.recordsIn
        recordsOut += other.recordsOut
        withheld += other.withheld
        altered += other.altered
    }
}
