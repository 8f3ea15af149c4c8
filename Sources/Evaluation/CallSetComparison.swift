internal import Diagnostics
public import GenomicFormats

/// Calls against truth within confident regions, by haplotype.
///
/// Records are decoded to what they do to two haplotypes and left-aligned; neighbours are grouped, and within a group
/// the largest sets of truth and query calls that produce the same pair of haplotypes, over all phasings, are the
/// matches. Different spellings of one haplotype (shifted indels, MNPs, split multi-allelic records) therefore match,
/// and a matching call must have the right genotype. The result depends on nothing but the input.
///
/// A truth record counts when it changes a base inside the regions (an insertion: when the base before it lies inside).
/// All calls take part in the matching; one outside the regions counts only if it matches a truth record inside, so
/// that a call shifted over a border is neither a false positive nor a miss.
public struct CallSetComparison: Sendable {
    public let reference: ReferenceGenome
    /// 0-based half-open, by contig name; nil means everywhere.
    public let regions: [String: [Range<Int>]]?
    /// Calls with a lower QUAL are left aside and counted; calls without QUAL stay.
    public var minimumQuality: Double?
    /// Calls further apart than this are compared in separate groups.
    public var groupingDistance = 50

    /// - Parameter regions: need not be sorted or disjoint.
    public init(reference: ReferenceGenome, regions: [String: [Range<Int>]]?) {
        self.reference = reference
        self.regions = regions?.mapValues(Self.merged)
    }

    /// With regions, records on contigs that the reference lacks lie outside and are left aside, as long as the side
    /// has a record on a contig that it has; without, they are refused.
    ///
    /// - Throws: `Failure(.data)` when a record's contig is not in the reference, its REF does not agree with it, or
    ///   its genotype names an allele that the record does not have.
    public func compare(truth: [VariantRecord], calls: [VariantRecord]) throws -> ComparisonReport {
        let all = try compare(truth: truth, calls: calls, passingOnly: false)
        if calls.allSatisfy(\.isPassing) { return ComparisonReport(passing: all, all: all) }
        return ComparisonReport(passing: try compare(truth: truth, calls: calls, passingOnly: true), all: all)
    }

    // MARK: One comparison

    private func compare(
        truth: [VariantRecord], calls: [VariantRecord], passingOnly: Bool
    ) throws -> Comparison {
        var result = Comparison()
        let truthByContig = try byContig(truth, "truth")
        let callsByContig = try byContig(calls, "calls")
        for (number, contig) in reference.contigs.enumerated() {
            let truthHere = truthByContig[number]
            let callsHere = callsByContig[number]
            if truthHere.isEmpty && callsHere.isEmpty { continue }
            let bases = contig.bases.map { BaseCode.ascii[Int($0)] }
            let here = regions.map { $0[contig.name] ?? [] }
            var failure: (any Error)?
            bases.withUnsafeBufferPointer { bases in
                do {
                    let decodedTruth = try decode(truth, truthHere, "truth", bases) { outcome, record in
                        guard isInside(record, here) else { return }
                        if outcome == .missingGenotype { result.truthWithoutGenotype += 1 }
                        if outcome == .symbolicAllele { result.truthSymbolic += 1 }
                    }
                    let admitted = callsHere.filter { index in
                        let record = calls[index]
                        if passingOnly && !record.isPassing {
                            if isInside(record, here) { result.callsFiltered += 1 }
                            return false
                        }
                        if let minimumQuality, let quality = record.quality, quality < minimumQuality {
                            if isInside(record, here) { result.callsBelowQuality += 1 }
                            return false
                        }
                        return true
                    }
                    let decodedCalls = try decode(calls, admitted, "calls", bases) { outcome, record in
                        guard isInside(record, here) else { return }
                        if outcome == .missingGenotype { result.callsWithoutGenotype += 1 }
                        if outcome == .symbolicAllele { result.callsSymbolic += 1 }
                    }
                    let side = ContigComparison(
                        truthRecords: truth, callRecords: calls, reference: bases, regions: here,
                        groupingDistance: groupingDistance)
                    side.run(truth: decodedTruth, calls: decodedCalls, into: &result)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
        }
        result.order()
        return result
    }

    private func byContig(_ records: [VariantRecord], _ side: String) throws -> [[Int]] {
        var lists = [[Int]](repeating: [], count: reference.contigs.count)
        var numbers: [String: Int] = [:]
        for (number, contig) in reference.contigs.enumerated() { numbers[contig.name] = number }
        let mayLieOutside = regions != nil && records.contains { numbers[$0.contig] != nil }
        for (index, record) in records.enumerated() {
            guard let number = numbers[record.contig] else {
                if mayLieOutside { continue }
                throw Failure(
                    .data, at: Self.place(record, side), "contig \(record.contig) is not in the reference",
                    remedy: "give the reference that the records were made with")
            }
            lists[number].append(index)
        }
        return lists
    }

    private func decode(
        _ records: [VariantRecord], _ indices: [Int], _ side: String, _ bases: UnsafeBufferPointer<UInt8>,
        note: (RecordOutcome, VariantRecord) -> Void
    ) throws -> [DecodedCall] {
        var decoded: [DecodedCall] = []
        for index in indices {
            let record = records[index]
            guard record.position >= 0, record.position + record.reference.count <= bases.count else {
                throw Failure(
                    .data, at: Self.place(record, side), "the record reaches beyond its contig",
                    remedy: "give the reference that the records were made with")
            }
            for (offset, base) in record.reference.enumerated() {
                let expected = bases[record.position + offset]
                // Ambiguity codes are N in memory, so N on either side agrees with anything.
                guard expected == base || expected == UInt8(ascii: "N") || base == UInt8(ascii: "N") else {
                    throw Failure(
                        .data, at: Self.place(record, side), "REF does not agree with the reference",
                        remedy: "give the reference that the records were made with")
                }
            }
            guard record.genotype.allSatisfy({ ($0 ?? 0) <= record.alternates.count && ($0 ?? 0) >= 0 }) else {
                throw Failure(
                    .data, at: Self.place(record, side), "the genotype names an allele that the record lacks",
                    remedy: "repair the file that holds the record")
            }
            let (call, outcome) = record.decode(index: index, reference: bases)
            if let call { decoded.append(call) } else { note(outcome, record) }
        }
        return decoded.sorted { ($0.start, $0.end, $0.index) < ($1.start, $1.end, $1.index) }
    }

    private func isInside(_ record: VariantRecord, _ regions: [Range<Int>]?) -> Bool {
        regions.map { overlaps($0, record.position..<record.position + max(1, record.reference.count)) } ?? true
    }

    private static func place(_ record: VariantRecord, _ side: String) -> String {
        record.line > 0 ? "\(side):line \(record.line)" : "\(side):\(record.contig):\(record.position + 1)"
    }

    private static func merged(_ ranges: [Range<Int>]) -> [Range<Int>] {
        var merged: [Range<Int>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            if let last = merged.last, last.upperBound >= range.lowerBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        return merged
    }
}

/// Whether any of the sorted, disjoint ranges shares a base with `span`.
func overlaps(_ ranges: [Range<Int>], _ span: Range<Int>) -> Bool {
    var low = 0
    var high = ranges.count
    while low < high {
        let middle = (low + high) / 2
        if ranges[middle].upperBound <= span.lowerBound { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].lowerBound < span.upperBound
}
