import Calling
import CKernels
import Diagnostics
import Foundation
import GenomicFormats
import Mapping
import Testing

@Suite struct VariantCallerTests {
    private let bases = genome(1200)
    private let everywhere = 300..<700

    private func letter(_ code: UInt8) -> String { String(decoding: [BaseCode.ascii[Int(code)]], as: UTF8.self) }
    private func text(_ codes: ArraySlice<UInt8>) -> String { codes.map(letter).joined() }
    private func other(_ place: Int, by step: UInt8 = 1) -> [UInt8] { [(bases[place] + step) & 3] }

    private func substitution(_ place: Int, by step: UInt8 = 1) -> Change {
        Change(place: place, removed: 1, inserted: other(place, by: step))
    }

    /// The last base that equals none of its neighbours' run: a deletion from here cannot be moved left.
    private func fixedPlace(_ from: Int, length: Int) -> Int {
        var place = from
        while bases[place - 1] == bases[place + length - 1] { place += 1 }
        return place
    }

    @Test func heterozygousAndHomozygousSubstitutions() throws {
        var reads = SyntheticReads(bases)
        reads.add([substitution(450), substitution(550)], range: everywhere, step: 7)
        reads.add([substitution(550)], range: everywhere, step: 7)
        let calls = try reads.call()
        #expect(calls.map(\.summary) == [
            "451 \(letter(bases[450])) \(letter(other(450)[0])) 0/1",
            "551 \(letter(bases[550])) \(letter(other(550)[0])) 1/1",
        ])
        #expect(calls.allSatisfy { $0.filter == "PASS" })
        #expect(calls[0].values[4].hasSuffix(",0,\(calls[0].values[4].split(separator: ",")[2])"))
        #expect(calls[1].values[4].hasSuffix(",0"))
    }

    @Test func noReadsNoCallsAndReferenceReadsNoCalls() throws {
        #expect(try SyntheticReads(bases).call().isEmpty)
        var reads = SyntheticReads(bases)
        reads.add(range: everywhere, step: 4)
        #expect(try reads.call().isEmpty)
    }

    @Test func oneErrorIsNotAVariant() throws {
        var reads = SyntheticReads(bases)
        reads.add(range: everywhere, step: 5)
        reads.addRead([substitution(500)], start: 450, isReverse: false)
        reads.addRead([substitution(520)], start: 470, isReverse: true)
        #expect(try reads.call().isEmpty)
    }

    @Test func heterozygousDeletion() throws {
        let place = fixedPlace(500, length: 4)
        var reads = SyntheticReads(bases)
        reads.add([Change(place: place, removed: 4, inserted: [])], range: everywhere, step: 7)
        reads.add(range: everywhere, step: 7)
        let calls = try reads.call()
        let expected = "\(place) \(text(bases[place - 1..<place + 4])) \(letter(bases[place - 1])) 0/1"
        #expect(calls.map(\.summary) == [expected])
    }

    @Test func insertionInHomopolymerIsLeftAligned() throws {
        let genome = genome(1200, pieces: [(500, "GCAAAAAAAAGC")])
        var reads = SyntheticReads(genome)
        // The reads show the extra base at the right end of the run.
        reads.add([Change(place: 510, removed: 0, inserted: [BaseCode.a])], range: everywhere, step: 4)
        #expect(try reads.call().map(\.summary) == ["502 C CA 1/1"])
    }

    @Test func stutterInALongHomopolymerIsNotCalled() throws {
        let genome = genome(1200, pieces: [(500, "GC" + String(repeating: "A", count: 16) + "GC")])
        var reads = SyntheticReads(genome)
        reads.add(range: everywhere, step: 4)
        for start in [430, 445, 460] {
            reads.addRead([Change(place: 502, removed: 1, inserted: [])], start: start, isReverse: start == 445)
        }
        #expect(try reads.call().filter { $0.filter == "PASS" }.isEmpty)
    }

    @Test func adjacentSubstitutions() throws {
        var reads = SyntheticReads(bases)
        reads.add([substitution(500), substitution(501), substitution(506)], range: everywhere, step: 7)
        reads.add(range: everywhere, step: 7)
        let calls = try reads.call()
        #expect(calls.map { $0.summary.split(separator: " ")[0] } == ["501", "502", "507"])
        #expect(calls.allSatisfy { $0.summary.hasSuffix("0|1") && $0.filter == "PASS" })
    }

    @Test func twoDifferentInsertionsAreOneRecord() throws {
        let genome = genome(1200, pieces: [(500, "GCAAAAAAAGC")])
        var reads = SyntheticReads(genome)
        reads.add([Change(place: 502, removed: 0, inserted: codes("A"))], range: everywhere, step: 7)
        reads.add([Change(place: 502, removed: 0, inserted: codes("AAA"))], range: everywhere, step: 7)
        let calls = try reads.call()
        #expect(calls.map(\.summary) == ["502 C CA,CAAA 1/2"])
        #expect(calls[0].values[4].split(separator: ",").count == 6)
    }

    @Test func twoDifferentSubstitutionsAreOneRecord() throws {
        var reads = SyntheticReads(bases)
        reads.add([substitution(500, by: 1)], range: everywhere, step: 8)
        reads.add([substitution(500, by: 2)], range: everywhere, step: 7)
        let calls = try reads.call()
        #expect(calls.count == 1)
        #expect(calls[0].summary.hasSuffix("1/2"))
    }

    @Test func longInsertionIsAssembledFromClips() throws {
        let inserted = genome(60, seed: 99)
        let sample = Array(bases[..<500]) + inserted + Array(bases[500...])
        var reads = SyntheticReads(bases)
        for (rank, start) in stride(from: 350, to: 610, by: 5).enumerated() {
            let letters = Array(sample[start..<start + 100])
            if start + 100 <= 500 {
                reads.append(letters, [.init(.match, 100)], start: start, end: start + 100, isReverse: rank % 2 == 0)
            } else if start < 480 {
                let cigar: [CigarOperation] = [.init(.match, 500 - start), .init(.softClip, start - 400)]
                reads.append(letters, cigar, start: start, end: 500, isReverse: rank % 2 == 0)
            } else if start > 480, start < 560 {
                let cigar: [CigarOperation] = [.init(.softClip, 560 - start), .init(.match, start - 460)]
                reads.append(letters, cigar, start: 500, end: start + 40, isReverse: rank % 2 == 0)
            } else if start >= 560 {
                let cigar = [CigarOperation(.match, 100)]
                reads.append(letters, cigar, start: start - 60, end: start + 40, isReverse: rank % 2 == 0)
            }
        }
        let calls = try reads.call()
        #expect(calls.count == 1)
        let fields = calls.first?.summary.split(separator: " ") ?? []
        #expect(fields.count == 4 && fields[2].count == fields[1].count + 60 && fields[3] == "1/1")
    }

    @Test func overlappingMatesAreOneWitness() throws {
        var reads = SyntheticReads(bases)
        reads.flags = [.paired]
        for start in stride(from: 410, to: 490, by: 10) {
            for isChanged in [false, true] {
                var letters = Array(bases[start..<start + 100])
                if isChanged { letters[500 - start] = other(500)[0] }
                let cigar = [CigarOperation(.match, 100)]
                let first = reads.append(letters, cigar, start: start, end: start + 100, isReverse: false)
                reads.append(letters, cigar, start: start, end: start + 100, isReverse: true, mateOf: first)
            }
        }
        let calls = try reads.call()
        #expect(calls.map { $0.values[1] } == ["8,8"])
    }

    @Test func unreliableReadsDoNotSpeak() throws {
        for (quality, flags) in [(UInt8(0), AlignmentFlags()), (60, .duplicate), (60, .unmapped)] {
            var reads = SyntheticReads(bases)
            reads.add(range: everywhere, step: 10)
            reads.mappingQuality = quality
            reads.flags = flags
            reads.add([substitution(500)], range: everywhere, step: 3)
            #expect(try reads.call().isEmpty)
        }
    }

    @Test func linesDoNotDependOnThreadsOrProcessor() throws {
        let long = genome(60_000, seed: 5)
        var reads = SyntheticReads(long)
        var changes: [Change] = []
        for place in stride(from: 400, to: 59_000, by: 610) {
            changes.append(Change(place: place, removed: 1, inserted: [(long[place] + 1) & 3]))
            changes.append(Change(place: place + 300, removed: 3, inserted: []))
        }
        reads.add(changes, range: 0..<59_800, step: 11)
        reads.add([], range: 0..<59_800, step: 12)
        let expected = try reads.call(threads: 1).map(\.line)
        #expect(expected.count > 150)
        for threads in [2, 3, 8] { #expect(try reads.call(threads: threads).map(\.line) == expected) }
        let cap = ck_cpu_get_cap()
        defer { ck_cpu_set_cap(cap) }
        for other in [CK_CPU_CAP_PORTABLE, CK_CPU_CAP_AVX2] {
            ck_cpu_set_cap(other)
            #expect(try reads.call(threads: 2).map(\.line) == expected)
        }
    }

    @Test func regionsRestrictWhatIsWritten() throws {
        var reads = SyntheticReads(bases)
        reads.add([substitution(450), substitution(550)], range: everywhere, step: 4)
        try reads.store.seal()
        var lines = 0
        let metrics = try VariantCaller(reference: reads.reference).call(
            store: reads.store, threads: 1, regions: [(0, 500..<600)]
        ) { line in
            lines += 1
            #expect(String(decoding: line, as: UTF8.self).hasPrefix("one\t551\t"))
        }
        #expect(lines == 1 && metrics.records == 1)
    }

    @Test func depthIsBounded() throws {
        var reads = SyntheticReads(bases)
        for repeatCount in 0..<8_000 {
            let start = 410 + repeatCount % 80
            let change = repeatCount % 2 == 0 ? [Change(place: 500, removed: 2, inserted: [])] : []
            reads.addRead(change, start: start, isReverse: repeatCount % 3 == 0)
        }
        try reads.store.seal()
        var lines: [String] = []
        let metrics = try VariantCaller(reference: reads.reference).call(store: reads.store, threads: 1) {
            lines.append(String(decoding: $0, as: UTF8.self))
        }
        #expect(lines.count == 1 && lines[0].contains("0/1"))
        #expect(metrics.sampledOutReads > 6_000)
        #expect(metrics.cells < 100_000_000)
    }

    @Test func errorsOfTheReceiverStopTheRun() throws {
        struct Full: Error {}
        var reads = SyntheticReads(bases)
        reads.add([substitution(450)], range: everywhere, step: 4)
        try reads.store.seal()
        #expect(throws: Full.self) {
            _ = try VariantCaller(reference: reads.reference).call(store: reads.store, threads: 2) { _ in throw Full() }
        }
    }

    @Test func headerDeclaresEveryField() {
        let reference = ReferenceGenome(contigs: [.init(name: "one", bases: bases)])
        let bytes = VariantCaller.header(reference: reference, sample: "NA1", command: "a\nb")
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.hasPrefix("##fileformat=VCFv4.3\n") && text.hasSuffix("\tFORMAT\tNA1\n"))
        for id in ["LowQual", "StrandBias", "ReadEnd", "LowMapQ", "DP", "MQ", "FS", "GT", "AD", "GQ", "PL", "one"] {
            #expect(text.contains("<ID=\(id),"))
        }
        #expect(text.contains("##dsgdCommand=a b\n"))
    }
}

/// Calling from a store whose reads were spilled.
struct SpilledReadsTests {
    private func reads(_ limits: ReadStore.Limits) -> SyntheticReads {
        let bases = genome(200_000, seed: 3)
        var reads = SyntheticReads(bases, limits: limits)
        let changes = stride(from: 500, to: 199_000, by: 997).map { place in
            Change(place: place, removed: 1, inserted: [(bases[place] + 1) % 4])
        }
        reads.add(changes, range: 0..<199_000, step: 8)
        reads.add(range: 0..<199_000, step: 9)
        return reads
    }

    @Test func callsDoNotDependOnMemory() throws {
        let inMemory = reads(.init())
        let expected = try inMemory.call().map(\.line)
        #expect(expected.count > 150 && inMemory.store.spilledBytes == 0)
        for (memory, threads) in [(1, 1), (1, 3), (1_000_000, 2)] {
            let spilled = reads(.init(memory: memory))
            #expect(try spilled.call(threads: threads).map(\.line) == expected)
            #expect(spilled.store.spilledBytes > 4_000_000)
        }
    }

    @Test func aDamagedSpillFileStopsCalling() throws {
        let spilled = reads(.init(memory: 1))
        try spilled.store.seal()
        _ = spilled.store.withSpillFile { ftruncate($0, off_t(spilled.store.spilledBytes / 3)) }
        let failure = #expect(throws: Failure.self) { try spilled.call(threads: 2) }
        #expect(failure?.kind == .inputOutput)
    }
}
