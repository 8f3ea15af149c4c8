import Calling
import Foundation
import GenomicFormats
import Mapping
import Testing

/// The genotypes of single columns, and the reads that they are made of.
struct ColumnTests {
    private let bases = genome(1_200)
    private let place = 600

    private var change: Change { Change(place: place, removed: 1, inserted: [(bases[place] + 1) % 4]) }

    /// Reads over the place: `count` with the change or without, of one strand or alternating ones.
    private func add(_ count: Int, isChanged: Bool, isReverse: Bool? = nil, to reads: inout SyntheticReads) {
        for rank in 0..<count {
            reads.addRead(
                isChanged ? [change] : [], start: place - 80 + rank * 7 % 60, isReverse: isReverse ?? (rank % 2 == 0))
        }
    }

    private func window(_ reads: SyntheticReads, options: CallingOptions = CallingOptions()) throws -> ReadWindow {
        if !reads.store.isSealed { try reads.store.seal() }
        return try ReadWindow(store: reads.store, contig: 0, range: 0..<bases.count, options: options)
    }

    private func quality(_ calls: [Called]) throws -> Double {
        let call = try #require(calls.first)
        return try #require(Double(call.line.split(separator: "\t")[5]))
    }

    @Test func likelihoodsAreThoseOfTheFormula() throws {
        var reads = SyntheticReads(bases)
        reads.quality = 20
        reads.mappingQuality = 20
        add(7, isChanged: false, to: &reads)
        add(3, isChanged: true, to: &reads)
        let window = try window(reads)
        bases.withUnsafeBufferPointer { reference in
            let genotyper = ColumnGenotyper(window: window, reference: reference, options: CallingOptions())
            let column = genotyper.likelihoods(at: place)
            let (old, new) = (Int(bases[place]), Int(change.inserted[0]))
            #expect(column.depth == 10 && column.depth(old) == 7 && column.depth(new) == 3)
            // Errors of 1 % in sequencing and mapping: P = 0.99 * 0.99 + 0.01 / 4 and 0.99 * 0.01 / 3 + 0.01 / 4.
            let (match, mismatch) = (0.9826, 0.0058)
            let half = (match + mismatch) / 2
            #expect(abs(column.likelihood(old, old) - 7 * log10(match) - 3 * log10(mismatch)) < 1e-4)
            #expect(abs(column.likelihood(old, new) - 10 * log10(half)) < 1e-4)
            #expect(column.likelihood(old, new) == column.likelihood(new, old))
            let third = (0..<4).first { $0 != old && $0 != new }!
            #expect(abs(column.likelihood(third, new) - 3 * log10(half) - 7 * log10(mismatch)) < 1e-4)
        }
    }

    @Test func aSweepIsEveryPositionInTurn() throws {
        var reads = SyntheticReads(bases)
        reads.add([change, Change(place: 640, removed: 3, inserted: [])], range: 300..<900, step: 11)
        let window = try window(reads)
        bases.withUnsafeBufferPointer { reference in
            let genotyper = ColumnGenotyper(window: window, reference: reference, options: CallingOptions())
            var positions: [Int] = []
            genotyper.forEachColumn(in: 280..<1_010) { position, column in
                positions.append(position)
                let alone = genotyper.likelihoods(at: position)
                #expect(column.depth == alone.depth)
                for k in 0..<4 {
                    for j in 0...k { #expect(column.likelihood(j, k) == alone.likelihood(j, k)) }
                }
            }
            #expect(positions == Array(280..<1_010))
            #expect(genotyper.likelihoods(at: 290).depth == 0 && genotyper.likelihoods(at: 290).likelihood(0, 3) == 0)
            // A deleted base is no base.
            #expect(genotyper.likelihoods(at: 641).depth < genotyper.likelihoods(at: 650).depth)
        }
    }

    @Test func matesAreOneWitness() throws {
        var reads = SyntheticReads(bases)
        reads.flags = .paired
        reads.quality = 15
        for rank in 0..<6 {
            let start = 540 + rank
            let ordinal = reads.append(
                Array(bases[start..<start + 100]), [CigarOperation(.match, 100)], start: start, end: start + 100,
                isReverse: false)
            var mate = Array(bases[start..<start + 100])
            // Half of the pairs disagree at the place: with equal qualities they say nothing.
            if rank % 2 == 0 { mate[place - start] = change.inserted[0] }
            reads.append(
                mate, [CigarOperation(.match, 100)], start: start, end: start + 100, isReverse: true, mateOf: ordinal)
        }
        let window = try window(reads)
        bases.withUnsafeBufferPointer { reference in
            let genotyper = ColumnGenotyper(window: window, reference: reference, options: CallingOptions())
            #expect(genotyper.likelihoods(at: place).depth == 3)
            let beside = genotyper.likelihoods(at: place + 1)
            #expect(beside.depth == 6)
            // Two mates of quality 15 that agree are one base of quality 30.
            let error = 2e-4 / 4 + (1 - 2e-4) * 1e-3 / 3
            let other = (Int(bases[place + 1]) + 1) % 4
            #expect(abs(beside.likelihood(other, other) - 6 * log10(error)) < 1e-3)
        }
    }

    @Test func errorsOfOneStrandAreNoAllele() throws {
        // Eight of thirty reads, from one strand alone or from both.
        var biased = SyntheticReads(bases)
        add(16, isChanged: false, isReverse: false, to: &biased)
        add(6, isChanged: false, isReverse: true, to: &biased)
        add(8, isChanged: true, isReverse: true, to: &biased)
        var balanced = SyntheticReads(bases)
        add(22, isChanged: false, to: &balanced)
        add(8, isChanged: true, to: &balanced)
        let expected = try quality(try balanced.call())
        let found = try biased.call()
        #expect(expected > 10)
        #expect(try found.isEmpty || quality(found) < expected - 6)
    }

    @Test func mappingQualityBoundsQuality() throws {
        func quality(mappingQuality: UInt8) throws -> Double {
            var reads = SyntheticReads(bases)
            add(12, isChanged: false, to: &reads)
            reads.mappingQuality = mappingQuality
            add(12, isChanged: true, to: &reads)
            let calls = try reads.call()
            return calls.isEmpty ? 0 : try self.quality(calls)
        }
        let (low, middle, high) = (
            try quality(mappingQuality: 4), try quality(mappingQuality: 20), try quality(mappingQuality: 60)
        )
        // However many they are, reads that may all be misplaced are no proof.
        #expect(low < 10 && low < middle && middle < 30 && middle < high)
    }

    @Test func twoAlternates() throws {
        var reads = SyntheticReads(bases)
        let second = Change(place: place, removed: 1, inserted: [(bases[place] + 2) % 4])
        for rank in 0..<24 {
            reads.addRead([rank % 2 == 0 ? change : second], start: 520 + rank * 3, isReverse: rank % 4 < 2)
        }
        let calls = try reads.call()
        #expect(calls.count == 1 && calls[0].summary.hasSuffix("1/2") && calls[0].filter == "PASS")
    }

    @Test func aLoneBaseIsEvidenceOnlyAmongFew() throws {
        let transition = Change(place: place, removed: 1, inserted: [(bases[place] + 2) % 4])
        var shallow = SyntheticReads(bases)
        shallow.quality = 40
        shallow.add(range: 0..<1_100, step: 50)
        shallow.addRead([transition], start: 560, isReverse: true)
        #expect(try shallow.call().count == 1)
        // The same three reads at the place, where depth is 30 elsewhere.
        var deep = SyntheticReads(bases)
        deep.quality = 40
        deep.add(range: 0..<500, step: 3)
        deep.add(range: 500..<600, step: 50)
        deep.addRead([transition], start: 560, isReverse: true)
        deep.add(range: 601..<1_100, step: 3)
        #expect(try deep.call().isEmpty)
    }
}

/// Which reads of a place are looked at.
struct ReadSelectionTests {
    private let bases = genome(2_000)

    @Test func exactlyTheCapIsKept() throws {
        var options = CallingOptions()
        options.maximumDepth = 300
        var reads = SyntheticReads(bases)
        // All start in the 64 bases from 960 on: 300 reads deep over 100 bases are 192 of them.
        for rank in 0..<30_000 { reads.addRead([], start: 960 + rank % 64, isReverse: rank % 2 == 0) }
        try reads.store.seal()
        let window = try ReadWindow(store: reads.store, contig: 0, range: 0..<2_000, options: options)
        #expect(window.count == 300 * 64 / 100)
        #expect(window.sampledOut == 30_000 - window.count)
    }

    @Test func unmappableReadsCrowdNobodyOut() throws {
        var reads = SyntheticReads(bases)
        reads.mappingQuality = 0
        for rank in 0..<20_000 { reads.addRead([], start: 960 + rank % 64, isReverse: rank % 2 == 0) }
        reads.mappingQuality = 60
        for rank in 0..<40 { reads.addRead([], start: 960 + rank, isReverse: rank % 2 == 0) }
        try reads.store.seal()
        let window = try ReadWindow(store: reads.store, contig: 0, range: 0..<2_000, options: CallingOptions())
        #expect(window.count == 40 && window.sampledOut == 0)
    }
}
