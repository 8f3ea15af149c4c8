/// What a user may see of one data set, why, and for how long. Deny by default: without a right there is no answer.
public struct Right: Sendable, Codable, Equatable {
    /// The records that the right covers.
    public enum Coverage: String, Sendable, Codable, CaseIterable {
        /// All records.
        case everything
        /// Records at the regions of a BED file.
        case regions
        /// Records at the positions (and, where given, with the alleles) of a list of variants.
        case variants
        /// A genotype at each site of a list, whether the sample differs from the reference there or not.
        case sites
    }

    /// Random identifier, 16 hexadecimal digits.
    public var id: String
    public var user: String
    public var dataSet: String
    /// Purpose of use as a DUO code, such as `DUO:0000043` (clinical care).
    public var purpose: String
    public var coverage: Coverage
    /// The BED file, variant list or list of sites that `coverage` refers to; empty for everything.
    public var list: String
    /// When a record counts as inside a region: `position`, `record`, `variant` or `within` (docs/FILTER-RULES.md).
    public var overlap: String
    /// FORMAT keys that the user may see; nil for all.
    public var formatFields: [String]?
    /// Seconds since 1970-01-01; nil for no limit.
    public var notBefore: Double?
    public var notAfter: Double?
    /// How often the right may be used; nil for no limit.
    public var usesMaximum: Int?

    public init(
        id: String, user: String, dataSet: String, purpose: String, coverage: Coverage, list: String = "",
        overlap: String = "position", formatFields: [String]? = nil, notBefore: Double? = nil, notAfter: Double? = nil,
        usesMaximum: Int? = nil
    ) {
        self.id = id
        self.user = user
        self.dataSet = dataSet
        self.purpose = purpose
        self.coverage = coverage
        self.list = list
        self.overlap = overlap
        self.formatFields = formatFields
        self.notBefore = notBefore
        self.notAfter = notAfter
        self.usesMaximum = usesMaximum
    }

    /// Why the right does not hold at `time`, or nil when it does.
    public func objection(at time: Double, purpose asked: String?, usesSoFar: Int, isRevoked: Bool) -> String? {
        if isRevoked { return "the right was revoked" }
        if let notBefore, time < notBefore { return "the right does not hold yet" }
        if let notAfter, time > notAfter { return "the right has expired" }
        if let usesMaximum, usesSoFar >= usesMaximum { return "the right has been used up (\(usesMaximum) times)" }
        if let asked, asked != purpose { return "the right is for \(purpose), not for \(asked)" }
        return nil
    }
}
