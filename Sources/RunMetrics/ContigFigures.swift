/// What a contig is, by the names that human references give: with or without `chr`.
public enum ContigRole: Sendable, Equatable {
    case autosome, x, y, mitochondrion, other

    public init(name: String) {
        let short = name.hasPrefix("chr") ? String(name.dropFirst(3)) : name
        switch short {
        case "X": self = .x
        case "Y": self = .y
        case "M", "MT": self = .mitochondrion
        default:
            // The digits are compared as text: `01` and `+1` are no autosomes.
            self = (1...22).contains { String($0) == short } ? .autosome : .other
        }
    }
}

/// How deep one contig is covered. Duplicates, alignments of mapping quality 0, secondary alignments, clipped bases and
/// deleted bases do not cover; where mates overlap, both do.
public struct ContigFigures: Sendable, Equatable {
    public let name: String
    public let length: Int
    public let role: ContigRole
    /// Depths of all positions.
    public var depths = Histogram()
    /// Depths of the positions where the reference has no N.
    public var knownDepths = Histogram()

    init(name: String, length: Int) {
        self.name = name
        self.length = length
        role = ContigRole(name: name)
    }
}
