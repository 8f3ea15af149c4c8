import GenomicFormats

/// Genotypes listed sites, whatever the reads show there.
///
/// Where the caller found a record of the same kind, that record's evidence counts. Else a substitution is
/// genotyped by its column, and what lies in an active region, insertions and deletions above all, by haplotypes with
/// the listed alleles among the events. A genotype needs ``leastQuality`` by the likelihoods alone, because a listed
/// site is no random one; without it there is none.
struct SiteGenotyper {
    static let leastQuality = 10
    /// QUAL of the caller's record that is the answer at a place without alleles.
    static let leastPointQuality = 10.0

    let columns: ColumnGenotyper
    let regions: RegionGenotyper
    let pileup: Pileup
    let active: [ActiveRegion]
    /// Columns with mismatches.
    let positions: [Int]
    /// What the caller found in the unit, of any quality.
    let called: [VariantRecord]
    /// The changes that these say the sample has.
    let present: [Event]
    let reference: UnsafeBufferPointer<UInt8>
    let options: CallingOptions
    /// Whether alleles beyond the list's stay untold (``SiteList/isClosed``).
    let isClosed: Bool

    /// The lines of a site: one, or one for each kind of its alleles, substitutions and others.
    func lines(_ site: SiteList.Site, contig: String, ploidy: Int, metrics: inout CallingMetrics) -> [[UInt8]] {
        guard ploidy > 0 else {
            return [SiteCall(site, alternates: site.alternates).line(contig: contig, ploidy: 2)]
        }
        guard !site.alternates.isEmpty else { return [point(site, ploidy: ploidy).line(contig: contig, ploidy: ploidy)] }
        var groups: [(alternates: [[UInt8]], events: [Event])] = []
        for alternate in site.alternates {
            let event = Event(place: site.position, from: site.reference, to: alternate).leftAligned(reference: reference)
            let same = groups.firstIndex {
                $0.events[0].isSubstitution == event.isSubstitution && $0.events[0].anchor == event.anchor
            }
            if let same {
                groups[same].alternates.append(alternate)
                groups[same].events.append(event)
            } else {
                groups.append(([alternate], [event]))
            }
        }
        return groups.map { group in
            var call = SiteCall(site, alternates: group.alternates)
            if let record = record(group.events, metrics: &metrics) {
                call.add(
                    record, events: group.events, addsOthers: !isClosed, ploidy: ploidy, reference: reference)
            } else {
                call.depth = depth(site.position)
            }
            // What the caller found to be known, the sample's own allele included, is not put in doubt.
            if !isKnown(group.events), isChangedOtherwise(group.events) { call.isOther = true }
            return call.line(contig: contig, ploidy: ploidy)
        }
    }

    private func depth(_ place: Int) -> Int { Int(pileup.depth[place - pileup.range.lowerBound]) }

    private func unmappableShare(_ place: Int) -> Double {
        let unmapped = Double(pileup.unmappableDepth[place - pileup.range.lowerBound])
        return unmapped / max(1, unmapped + Double(depth(place)))
    }

    /// The caller's record of the place and kind of these alleles.
    private func known(_ events: [Event]) -> VariantRecord? {
        called.first {
            $0.place == events[0].anchor && $0.events(reference)[0].isSubstitution == events[0].isSubstitution
        }
    }

    private func isKnown(_ events: [Event]) -> Bool { known(events) != nil }

    /// Whether the caller found a change of the same reference bases that is none of these alleles, nor a part of one.
    private func isChangedOtherwise(_ events: [Event]) -> Bool {
        present.contains { found in
            events.contains { $0.collides(with: found, reference: reference) }
                && !events.contains { event in
                    if event == found || event.parts(reference).contains(found) { return true }
                    // Haplotypes decide whether an allele of another length and other bases is made of what was found.
                    return event.referenceLength > 0 && !event.alternate.isEmpty
                        && event.referenceLength != event.alternate.count
                        && found.start >= event.start && found.end <= event.end
                }
        }
    }

    private func record(_ events: [Event], metrics: inout CallingMetrics) -> VariantRecord? {
        // What the sample has there counts for alleles of the same kind, those that no read shows too.
        if let known = known(events) { return known }
        let first = events.map { $0.start - ($0.isSubstitution ? 0 : 1) }.min()!
        let last = events.map { max($0.end, $0.start + 1) }.max()!
        let near = active.first {
            $0.core.lowerBound < last + ActiveRegionFinder.joinDistance
                && $0.core.upperBound > first - ActiveRegionFinder.joinDistance
        }
        if events[0].isSubstitution, near == nil {
            let place = events[0].start
            let alleles = [Int(reference[place])] + events.map { Int($0.alternate[0]) }
            return columns.record(at: place, alleles: alleles, unmappableShare: unmappableShare(place))
        }
        var core = first..<regions.tractEnd(last)
        if let near {
            let joined = min(core.lowerBound, near.core.lowerBound)..<max(core.upperBound, near.core.upperBound)
            if joined.count <= options.maximumRegionLength { core = joined }
        }
        // Neither the first base of a contig nor a repeat longer than a region can be settled by haplotypes.
        guard core.lowerBound >= 0, core.count <= max(options.maximumRegionLength, 2 * SiteList.longestAllele) else {
            return nil
        }
        let region = ActiveRegion(core: core, owned: 0..<reference.count, needsAssembly: near?.needsAssembly ?? false)
        return regions.records(region, columns: positions, forced: events, metrics: &metrics).first {
            $0.place == events[0].anchor && !Set($0.events(reference)).isDisjoint(with: events)
        }
    }

    /// A place without alleles: the caller's record there, or the reference where neither that nor the column speaks
    /// against it.
    private func point(_ site: SiteList.Site, ploidy: Int) -> SiteCall {
        let written = called.filter {
            $0.place == site.position
                && ($0.converted(toPloidy: ploidy)?.table.quality ?? 0) >= max(options.emitQuality, Self.leastPointQuality)
        }
        if let known = written.max(by: { $0.table.quality < $1.table.quality }) {
            var found = site
            found.reference = known.reference
            found.alternates = known.alternates
            var call = SiteCall(found, alternates: known.alternates)
            call.add(
                known, events: known.events(reference), addsOthers: true, ploidy: ploidy, reference: reference)
            return call
        }
        var call = SiteCall(site, alternates: [])
        let letter = Int(reference[site.position])
        guard letter < 4 else { return call }
        let share = unmappableShare(site.position)
        let record =
            columns.record(at: site.position, unmappableShare: share)
            ?? columns.record(at: site.position, alleles: [letter, (letter + 1) % 4], unmappableShare: share)
        let over = present.filter { $0.start <= site.position && site.position < $0.end }
        call.addReference(record, ploidy: ploidy, isDoubtful: !over.isEmpty)
        call.isOther = over.contains { !$0.isSubstitution }
        return call
    }
}

extension Event {
    /// What turns one allele into another at a place, without what they share at the end and then at the beginning.
    init(place: Int, from reference: [UInt8], to alternate: [UInt8]) {
        var suffix = 0
        let shorter = min(reference.count, alternate.count)
        while suffix < shorter,
            reference[reference.count - 1 - suffix] == alternate[alternate.count - 1 - suffix]
        {
            suffix += 1
        }
        var prefix = 0
        while prefix < shorter - suffix, reference[prefix] == alternate[prefix] { prefix += 1 }
        self.init(
            start: place + prefix, referenceLength: reference.count - suffix - prefix,
            alternate: Array(alternate[prefix..<alternate.count - suffix]))
    }
}

extension VariantRecord {
    /// The changes that the sample has by the genotype, left-aligned.
    func presentEvents(_ reference: UnsafeBufferPointer<UInt8>) -> [Event] {
        let all = events(reference)
        return Set([table.genotype.0, table.genotype.1]).subtracting([0]).sorted().map { all[$0 - 1] }
    }

    /// The changes that the alternates are, left-aligned.
    func events(_ reference: UnsafeBufferPointer<UInt8>) -> [Event] {
        alternates.map {
            Event(place: place, from: self.reference, to: $0).leftAligned(reference: reference)
        }
    }
}

/// What is known of one site.
struct SiteCall {
    private let site: SiteList.Site
    private var reference: [UInt8]
    private var alternates: [[UInt8]]
    private var alleleDepths: [Int]
    private var scaled: [Int] = []
    /// GQ is at most this.
    private var mostQuality = 99
    private var quality: Double?
    var depth = 0
    /// The sample has something there that the site's alleles do not describe.
    var isOther = false

    init(_ site: SiteList.Site, alternates: [[UInt8]]) {
        self.site = site
        self.alternates = alternates
        reference = site.reference
        alleleDepths = [Int](repeating: 0, count: alternates.count + 1)
    }

    /// Takes the evidence of a record; `events` are the site's alternates. An allele that the sample has beside those
    /// of the list is added behind them, or, when it is not to be told, leaves the site without a genotype.
    mutating func add(
        _ record: VariantRecord, events: [Event], addsOthers: Bool, ploidy: Int,
        reference bases: UnsafeBufferPointer<UInt8>
    ) {
        let own = record.events(bases)
        let table = ploidy == 1 ? record.table.haploid() : record.table
        // The allele of the record for each of the site; the one behind the last is one that no read shows.
        var source = [0] + events.map { event in own.firstIndex(of: event).map { $0 + 1 } ?? own.count + 1 }
        for allele in Set([table.genotype.0, table.genotype.1]).sorted() where !source.contains(allele) {
            if addsOthers, add(own[allele - 1], bases) { source.append(allele) } else { isOther = true }
        }
        if let lead = record.lead {
            let ahead = 10 * (ploidy == 1 ? lead.haploid : lead.diploid)
            if ahead < 0 { isOther = true } else { mostQuality = Int(min(99, ahead.rounded())) }
        }
        let wide = table.scaledWithUnseenAllele(depths: record.alleleDepths)
        scaled = ploidy == 1 ? source.map { wide[$0] } : []
        if ploidy == 2 {
            for k in source.indices { for j in 0...k { scaled.append(wide[GenotypeTable.index(source[j], source[k])]) } }
        }
        let least = scaled.min() ?? 0
        scaled = scaled.map { $0 - least }
        alleleDepths = source.map { $0 < record.alleleDepths.count ? record.alleleDepths[$0] : 0 }
        depth = record.depth
        quality = table.quality
    }

    /// Spells a change on the site's REF, which grows when the change reaches beyond it; false when it begins in front
    /// of the site, or what comes out is no allele of its own.
    private mutating func add(_ event: Event, _ bases: UnsafeBufferPointer<UInt8>) -> Bool {
        guard event.start >= site.position else { return false }
        let end = max(event.end, site.position + reference.count)
        let growth = Array(bases[site.position + reference.count..<end])
        let spelled =
            Array(bases[site.position..<event.start]) + event.alternate + Array(bases[event.end..<end])
        let grown = alternates.map { $0 + growth }
        guard !spelled.isEmpty, spelled != reference + growth, !grown.contains(spelled) else { return false }
        reference += growth
        alternates = grown + [spelled]
        return true
    }

    /// Takes a column's evidence for a site without alternates.
    mutating func addReference(_ record: VariantRecord, ploidy: Int, isDoubtful: Bool) {
        depth = record.depth
        alleleDepths = [record.alleleDepths[0]]
        let table = ploidy == 1 ? record.table.haploid() : record.table
        // Bases that speak for what the caller does not have are no variant, but no reference either.
        guard !isDoubtful, table.scaled[0] == 0 else { return }
        // Only how sure the reference is outlasts the allele that it was compared with.
        referenceQuality = table.scaled.dropFirst().min()
    }

    private var referenceQuality: Int?

    func line(contig: String, ploidy: Int) -> [UInt8] {
        let best = scaled.firstIndex(of: 0) ?? 0
        let others = scaled.indices.filter { $0 != best }.map { scaled[$0] }.min()
        let genotypeQuality = isOther ? 0 : min(mostQuality, referenceQuality ?? others ?? 0)
        let isCalled = !isOther && depth > 0 && genotypeQuality >= SiteGenotyper.leastQuality
        var line = VCFLine(contig: contig, place: site.position)
        line.field(site.identifier)
        line.field(reference)
        line.tab()
        line.put(alternates.isEmpty ? "." : "")
        for (rank, alternate) in alternates.enumerated() {
            if rank > 0 { line.put(",") }
            line.put(alternate)
        }
        line.tab()
        if isCalled, best > 0, let quality { line.put(quality, 2) } else { line.put(".") }
        line.field(isCalled ? "PASS" : isOther ? "OtherAllele" : depth > 0 ? "LowGQ" : "NoCoverage")
        line.field("DP=")
        line.put(depth)
        line.field("GT:AD:DP:GQ:PL")
        line.tab()
        if isCalled {
            let (a, b) = ploidy == 1 ? (best, best) : GenotypeTable.alleles(best)
            line.put(ploidy == 1 ? "\(b)" : "\(a)/\(b)")
        } else {
            line.put(ploidy == 1 ? "." : "./.")
        }
        line.put(":")
        line.put(list: alleleDepths)
        line.put(":\(depth):\(genotypeQuality):")
        let genotypes = ploidy == 1 ? alternates.count + 1 : (alternates.count + 1) * (alternates.count + 2) / 2
        line.put(list: scaled.isEmpty || isOther ? [Int](repeating: 0, count: genotypes) : scaled)
        line.put("\n")
        return line.bytes
    }
}
