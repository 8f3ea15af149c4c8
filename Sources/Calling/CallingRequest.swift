public import GenomicFormats

/// The files that a run of the caller can write.
public enum CallOutput: Sendable, CaseIterable {
    /// Places where the sample differs from the reference.
    case variants
    /// The same, and blocks for all other places.
    case gvcf
    /// Listed sites, whatever the sample has there.
    case sites
}

/// What a run of the caller is to do.
public struct CallingRequest: Sendable {
    /// Where variants and blocks are written: zero-based half-open ranges by contig index; nil means everywhere.
    public var regions: [(contig: Int, range: Range<Int>)]?
    public var ploidy: PloidyMap
    public var outputs: Set<CallOutput>
    /// What ``CallOutput/sites`` has; not held to ``regions``.
    public var sites: SiteList?

    public init(
        regions: [(contig: Int, range: Range<Int>)]? = nil, ploidy: PloidyMap = PloidyMap(),
        outputs: Set<CallOutput> = [.variants], sites: SiteList? = nil
    ) {
        precondition(outputs.contains(.sites) == (sites != nil))
        self.regions = regions
        self.ploidy = ploidy
        self.outputs = outputs
        self.sites = sites
    }
}
