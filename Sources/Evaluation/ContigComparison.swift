import GenomicFormats

/// The comparison on one contig: groups, matches, counts, the list of differences.
struct ContigComparison {
    let truthRecords: [VariantRecord]
    let callRecords: [VariantRecord]
    let reference: UnsafeBufferPointer<UInt8>
    let regions: [Range<Int>]?
    let groupingDistance: Int

    /// - Parameters: both lists sorted by start.
    func run(truth: [DecodedCall], calls: [DecodedCall], into result: inout Comparison) {
        let matcher = ClusterMatcher(reference: reference)
        var t = 0
        var c = 0
        while t < truth.count || c < calls.count {
            let firstTruth = t
            let firstCall = c
            var reach = Int.min
            while true {
                let nextTruth = t < truth.count ? truth[t].start : Int.max
                let nextCall = c < calls.count ? calls[c].start : Int.max
                let next = min(nextTruth, nextCall)
                if next == Int.max || (reach != Int.min && next > reach + groupingDistance) { break }
                if nextTruth <= nextCall {
                    reach = max(reach, truth[t].end)
                    t += 1
                } else {
                    reach = max(reach, calls[c].end)
                    c += 1
                }
            }
            let groupTruth = Array(truth[firstTruth..<t])
            let groupCalls = Array(calls[firstCall..<c])
            let matched = matcher.match(truth: groupTruth, query: groupCalls)
            count(groupTruth, groupCalls, matched, &result)
        }
    }

    private func count(
        _ truth: [DecodedCall], _ calls: [DecodedCall], _ matched: ClusterMatcher.Matched, _ result: inout Comparison
    ) {
        var missed: [DecodedCall] = []
        var anyTruthInside = false
        for call in truth {
            let isInside = isInside(call)
            let isMatched = matched.truth.contains(call.index)
            if isInside && isMatched {
                result.count(strata(call), call.variantClass) { $0.truthMatched += 1 }
                anyTruthInside = true
            }
            if !isMatched { missed.append(call) }
        }
        var wrong: [DecodedCall] = []
        for call in calls {
            if matched.query.contains(call.index) {
                // A match inside the regions may be written as a record outside them.
                if isInside(call) || anyTruthInside {
                    result.count(strata(call), call.variantClass) { $0.callsMatched += 1 }
                    result.count(quality: callRecords[call.index].quality, isWrong: false)
                }
            } else if isInside(call) {
                wrong.append(call)
            }
        }
        for call in wrong {
            let isGenotype = missed.contains { !Set($0.key).isDisjoint(with: call.key) }
            result.count(strata(call), call.variantClass) {
                $0.falsePositives += 1
                if isGenotype { $0.genotypeMismatches += 1 }
            }
            result.count(quality: callRecords[call.index].quality, isWrong: true)
            result.differences.append(difference(.falsePositive, call, callRecords[call.index], isGenotype))
        }
        for call in missed where isInside(call) {
            let isGenotype = wrong.contains { !Set($0.key).isDisjoint(with: call.key) }
            result.count(strata(call), call.variantClass) { $0.falseNegatives += 1 }
            result.differences.append(difference(.falseNegative, call, truthRecords[call.index], isGenotype))
        }
    }

    private func isInside(_ call: DecodedCall) -> Bool {
        guard let regions else { return true }
        return call.key.contains { edit in
            let span = edit.start == edit.end ? max(0, edit.start - 1)..<max(1, edit.start) : edit.start..<edit.end
            return overlaps(regions, span)
        }
    }

    private func difference(
        _ kind: Difference.Kind, _ call: DecodedCall, _ record: VariantRecord, _ isGenotype: Bool
    ) -> Difference {
        Difference(
            kind: kind, variantClass: call.variantClass, contig: record.contig, position: record.position + 1,
            reference: String(decoding: record.reference, as: UTF8.self),
            alternates: record.alternates.map { String(decoding: $0, as: UTF8.self) },
            genotype: record.genotype.map { $0.map(String.init) ?? "." }.joined(separator: "/"),
            quality: record.quality, depth: record.depth, isPassing: record.isPassing,
            isGenotypeMismatch: isGenotype,
            homopolymerLength: longestHomopolymer(call), tandemRepeatUnit: tandemUnit(at: call.start))
    }

    private func strata(_ call: DecodedCall) -> [Stratum] {
        Stratum.of(call, homopolymer: longestHomopolymer(call), tandemUnit: tandemUnit(at: call.start))
    }

    /// The longest run of one base that the call touches.
    private func longestHomopolymer(_ call: DecodedCall) -> Int {
        max(homopolymer(at: call.start), homopolymer(at: call.start - 1))
    }

    private func homopolymer(at place: Int) -> Int {
        guard reference.indices.contains(place) else { return 0 }
        return periodicRun(at: place, period: 1)
    }

    /// The shortest unit whose repetition covers `place` with at least three units and ten bases.
    private func tandemUnit(at place: Int) -> Int? {
        guard reference.indices.contains(place) else { return nil }
        return (1...6).first { period in
            periodicRun(at: place, period: period) >= max(10, 3 * period)
        }
    }

    /// The length of the stretch around `place` in which every base equals the base one period on; looks at most 200
    /// bases off. One period means no repetition.
    private func periodicRun(at place: Int, period: Int) -> Int {
        var first = place
        while first > 0, place - first < 200, first - 1 + period < reference.count,
            reference[first - 1] == reference[first - 1 + period]
        {
            first -= 1
        }
        var last = place
        while last + period < reference.count, last - place < 200, reference[last] == reference[last + period] {
            last += 1
        }
        return last - first + period
    }
}
