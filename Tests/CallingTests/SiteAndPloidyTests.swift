import Calling
import Diagnostics
import GenomicFormats
import TestSupport
import Testing

@Suite struct SiteTests {
    private let bases = genome(6000, pieces: [(2499, "GTTTTTTTTC")])

    /// 20-fold up to 4000, then 2-fold up to 4500, then nothing; heterozygous at 2000, homozygous for a lost T of eight.
    private func reads() -> SyntheticReads {
        var reads = SyntheticReads(bases)
        let lost = Change(place: 2500, removed: 1, inserted: [])
        reads.add([lost], range: 1003..<3950, step: 10)
        reads.add([Change(place: 2000, removed: 1, inserted: [other(bases[2000])]), lost], range: 1003..<3950, step: 10)
        reads.add(range: 4100..<4400, step: 50)
        return reads
    }

    private func line(_ site: String, _ reads: SyntheticReads, ploidy: PloidyMap = PloidyMap()) throws -> [Line] {
        let request = CallingRequest(ploidy: ploidy, outputs: [.sites], sites: try reads.sites(site + "\n"))
        return try reads.outputs(request)[.sites]!
    }

    private func base(_ place: Int, _ shift: UInt8 = 0) -> String {
        String(decoding: [BaseCode.ascii[Int((bases[place] + shift) % 4)]], as: UTF8.self)
    }

    @Test func referenceIsToldFromNothingKnown() throws {
        let reads = reads()
        let deep = try line("one\t1501\trs1\t\(base(1500))\t\(base(1500, 1))", reads)[0]
        #expect(deep["GT"] == "0/0" && deep["DP"] == "20" && deep["AD"] == "20,0" && deep.fields[2] == "rs1")
        #expect(deep.fields[6] == "PASS" && deep.numbers("GQ")[0] > 50)
        let shallow = try line("one\t4301\t.\t\(base(4300))\t\(base(4300, 1))", reads)[0]
        #expect(shallow["GT"] == "./." && shallow["DP"] == "2" && shallow.fields[6] == "LowGQ")
        #expect(shallow.numbers("PL")[0] == 0 && shallow.numbers("PL")[1] == 6)
        let none = try line("one\t5001\t.\t\(base(5000))\t\(base(5000, 1))", reads)[0]
        #expect(none["GT"] == "./." && none["DP"] == "0" && none.fields[6] == "NoCoverage" && none["PL"] == "0,0,0")
    }

    /// The lines that a right to sites discloses, whole: reference, a variant, what few reads do not settle, no reads.
    @Test func answersToTheByte() throws {
        let reads = reads()
        let sites = [(1500, 1), (2000, 1), (2502, 1), (4300, 1), (5000, 1)].map { place, shift in
            "one\t\(place + 1)\trs\(place)\t\(base(place))\t\(base(place, UInt8(shift)))"
        }
        let answers = try line(sites.joined(separator: "\n"), reads).map { String($0.text.dropLast()) }
        #expect(answers == [
            "one\t1501\trs1500\tA\tC\t.\tPASS\tDP=20\tGT:AD:DP:GQ:PL\t0/0:20,0:20:60:0,60,762",
            "one\t2001\trs2000\tC\tG\t44.43\tPASS\tDP=20\tGT:AD:DP:GQ:PL\t0/1:10,10:20:82:82,0,82",
            "one\t2503\trs2502\tT\tA\t.\tPASS\tDP=20\tGT:AD:DP:GQ:PL\t0/0:20,0:20:49:0,49,726",
            "one\t4301\trs4300\tT\tA\t.\tLowGQ\tDP=2\tGT:AD:DP:GQ:PL\t./.:2,0:2:6:0,6,76",
            "one\t5001\trs5000\tG\tT\t.\tNoCoverage\tDP=0\tGT:AD:DP:GQ:PL\t./.:0,0:0:0:0,0,0",
        ])
    }

    @Test func calledAllelesAndOthers() throws {
        let reads = reads()
        let listed = try line("one\t2001\t.\t\(base(2000))\t\(base(2000, 2)),\(base(2000, 1))", reads)[0]
        #expect(listed["GT"] == "0/2" && listed["AD"] == "10,0,10" && listed.numbers("PL").count == 6)
        #expect(listed.numbers("PL")[3] == 0)
        // The sample's allele is not on the list: it is said all the same.
        let unlisted = try line("one\t2001\t.\t\(base(2000))\t\(base(2000, 2))", reads)[0]
        #expect(unlisted["GT"] == "0/2" && unlisted.fields[4] == "\(base(2000, 2)),\(base(2000, 1))")
        let point = try line("one\t2001\t.\t\(base(2000))\t.", reads)[0]
        #expect(point["GT"] == "0/1" && point.fields[4] == base(2000, 1))
        let same = try line("one\t1501\t.\t\(base(1500))\t.", reads)[0]
        #expect(same["GT"] == "0/0" && same.fields[4] == "." && same["PL"] == "0" && same.numbers("GQ")[0] > 50)
    }

    @Test func insertionsAndDeletions() throws {
        let reads = reads()
        // The same deletion, spelled further to the right.
        for spelled in ["one\t2500\t.\tGT\tG", "one\t2504\t.\tTTT\tTT"] {
            let lost = try line(spelled, reads)[0]
            #expect(lost["GT"] == "1/1" && lost.fields[6] == "PASS", "\(lost.text)")
        }
        let absent = try line("one\t1501\t.\t\(reads.letters(1500..<1504))\t\(base(1500))", reads)[0]
        #expect(absent["GT"] == "0/0" && absent.numbers("DP")[0] > 15 && absent.numbers("AD")[1] == 0)
        let inserted = try line("one\t1501\t.\t\(base(1500))\t\(base(1500))ACGATTG", reads)[0]
        #expect(inserted["GT"] == "0/0" && inserted.numbers("GQ")[0] > 30)
        let unknown = try line("one\t5001\t.\t\(reads.letters(5000..<5004))\t\(base(5000))", reads)[0]
        #expect(unknown["GT"] == "./." && unknown["DP"] == "0")
        let mixed = try line("one\t2001\t.\t\(reads.letters(2000..<2002))\t\(base(2000)),\(base(2000, 1))\(base(2001))", reads)
        #expect(mixed.map { $0["GT"] } == ["0/0", "0/1"])
    }

    @Test func listsDoNotChangeCalls() throws {
        let reads = reads()
        let list = try reads.sites("one\t2500\t.\tGT\tG\none\t2001\t.\t\(base(2000))\t\(base(2000, 2))\n")
        let with = try reads.outputs(CallingRequest(outputs: [.variants, .sites], sites: list))
        let without = try reads.outputs(CallingRequest())
        #expect(with[.variants]!.map(\.text) == without[.variants]!.map(\.text))
        #expect(with[.sites]!.map(\.position) == [2001, 2500])
    }

    @Test func listsThatAreWrong() throws {
        let reads = SyntheticReads(bases)
        func problem(_ text: String) -> Failure? { failure { _ = try reads.sites("one\t5\t.\t\(base(4))\t.\n" + text + "\n") } }
        for (text, word) in [
            ("two\t5\t.\tA\tC", "contig 'two'"), ("one\t5\t.\t\(base(4, 1))\tC", "REF"), ("one\t7000\t.\tA\tC", "beyond"),
            ("one\tx\t.\tA\tC", "POS"), ("one\t5\t.\t\(base(4))\t<DEL>", "allele"), ("one\t5", "columns"),
            ("one\t5\t.\t\(base(4))\t\(base(4))", "twice"),
            ("one\t5\t.\t\(base(4))\t\(String(repeating: "A", count: 201))", "201"),
        ] {
            let found = problem(text)
            #expect(found?.place == "sites:line 4" && found?.problem.contains(word) == true, "\(text): \(String(describing: found))")
        }
        #expect(failure { _ = try reads.sites("") }?.kind == .data)
    }

    @Test func scoringFiles() throws {
        let reference = ReferenceGenome(contigs: [.init(name: "chr1", bases: codes("ACGTACGTTT"))])
        func list(_ text: String) throws -> SiteList {
            try Array(text.utf8).withUnsafeBytes { try SiteList(parsing: $0, label: "pgs", genome: reference) }
        }
        let head = "###PGS\n#x\nrsID\tchr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\thm_chr\thm_pos\n"
        let found = try list(head + "rs1\t1\t99\tC\tT\t1\t1\t2\nrs2\t1\t9\tG\tA\t1\t1\t1\nrs3\t1\t9\tG\tA\t1\t\t\nrs4\t1\t9\tTA\tT\t1\t1\t4\n")
        #expect(found.sites.map(\.identifier) == ["rs2", "rs1", "rs4"] && found.linesWithoutPlace == 1)
        #expect(found.sites.map(\.reference) == [codes("A"), codes("C"), codes("TA")])
        #expect(found.sites.map(\.alternates) == [[codes("G")], [codes("T")], [codes("T")]])
        let wrong = failure { _ = try list(head + "rs1\t1\t99\tC\tT\t1\t1\t1\n") }
        #expect(wrong?.place == "pgs:line 4" && wrong?.problem.contains("none of the alleles") == true)
        let points = try list("chr1\t2\t4\trs9\n")
        #expect(points.sites.map(\.position) == [2, 3] && points.sites.allSatisfy { $0.alternates.isEmpty })
    }
}

/// Sites whose reference bases the sample has changed in a way that the list does not say: no genotype, never `0/0`.
@Suite struct OtherAlleleTests {
    private let bases = genome(6000, pieces: [(3000, "GATCGTACGCTAGGTCATGC"), (2499, "GTTTTTTTTC")])

    /// 30-fold; homozygous or heterozygous for the changes.
    private func lines(_ changes: [Change], _ sites: String, heterozygous: Bool = false) throws -> [Line] {
        var reads = SyntheticReads(bases)
        reads.add(changes, range: 1003..<3950, step: 7)
        reads.add(heterozygous ? [] : changes, range: 1006..<3950, step: 7)
        let request = CallingRequest(outputs: [.sites, .variants], sites: try reads.sites(sites))
        let lines = try reads.outputs(request)
        #expect(!lines[.variants]!.isEmpty)
        for line in lines[.sites]! {
            let alternates = line.fields[4].split(separator: ",", omittingEmptySubsequences: false)
            #expect(Set(alternates).count == alternates.count && !alternates.contains("") && alternates[0] != line.fields[3][...])
        }
        return lines[.sites]!
    }

    private func isOther(_ line: Line) -> Bool {
        line["GT"] == "./." && line.fields[6] == "OtherAllele" && line["GQ"] == "0"
    }

    private func base(_ place: Int, _ shift: UInt8 = 0) -> String {
        String(decoding: [BaseCode.ascii[Int((bases[place] + shift) % 4)]], as: UTF8.self)
    }

    private func letters(_ range: Range<Int>) -> String { range.map { base($0) }.joined() }

    @Test func deletedBases() throws {
        let deletion = [Change(place: 3004, removed: 5, inserted: [])]
        let sites = (3002..<3013).map { "one\t\($0 + 1)\t.\t\(base($0))\t\(base($0, 1))\n" }.joined()
        for heterozygous in [false, true] {
            let found = try lines(deletion, sites, heterozygous: heterozygous)
            for line in found {
                let isDeleted = (3005...3009).contains(line.position)
                #expect(isDeleted ? isOther(line) : line["GT"] == "0/0", "\(line.text)")
            }
        }
        let points = try lines(deletion, (3002..<3013).map { "one\t\($0 + 1)\t.\t\(base($0))\t.\n" }.joined())
        #expect(points.map { $0["GT"] }.filter { $0 == "./." }.count == 5)
        #expect(points.first { $0.position == 3004 }?["GT"] == "1/1")
    }

    @Test func severalBasesAtOnce() throws {
        let one = [Change(place: 3004, removed: 1, inserted: [other(bases[3004])])]
        let both = one + [Change(place: 3005, removed: 1, inserted: [other(bases[3005])])]
        let asBoth = "one\t3005\t.\t\(letters(3004..<3006))\t\(base(3004, 1))\(base(3005, 1))\n"
        #expect(isOther(try lines(one, asBoth)[0]))
        #expect(isOther(try lines(one, asBoth, heterozygous: true)[0]))
        #expect(try lines(both, asBoth)[0]["GT"] == "1/1")
        #expect(try lines(both, asBoth, heterozygous: true)[0]["GT"] == "0/1")
        let padded = "one\t3004\t.\t\(letters(3003..<3006))\t\(base(3003))\(base(3004, 1))\(base(3005))\n"
        #expect(try lines(one, padded)[0]["GT"] == "1/1")
    }

    @Test func otherLengthsAndSpellings() throws {
        // Six bases lost, seven, five or others listed.
        let deletion = [Change(place: 3004, removed: 6, inserted: [])]
        for (first, count) in [(3004, 7), (3003, 7), (3005, 4), (3004, 5)] {
            let site = "one\t\(first)\t.\t\(letters(first - 1..<first + count))\t\(base(first - 1))\n"
            let line = try lines(deletion, site)[0]
            // The sample's own allele where it begins at the same place.
            #expect(isOther(line) || (line["GT"] == "2/2" && line.fields[4].contains(",")), "\(line.text)")
        }
        let same = "one\t3004\t.\t\(letters(3003..<3010))\t\(base(3003))\n"
        #expect(try lines(deletion, same)[0]["GT"] == "1/1")
        // One T of eight is lost; listed to the right are one, two, and one more.
        let lost = [Change(place: 2500, removed: 1, inserted: [])]
        for site in ["one\t2505\t.\tTTT\tT\n", "one\t2505\t.\tT\tTT\n", "one\t2506\t.\tTT\tTTTT\n"] {
            #expect(isOther(try lines(lost, site)[0]), "\(site)")
        }
        #expect(try lines(lost, "one\t2505\t.\tTT\tT\n")[0]["GT"] == "1/1")
    }

    @Test func pointsShowWhatIsCalled() throws {
        // Two reads of fifteen have another base: no call, and no reference that is sure.
        var reads = SyntheticReads(bases)
        reads.add(range: 1003..<3950, step: 12)
        reads.add([Change(place: 2000, removed: 1, inserted: [other(bases[2000])])], range: 1950..<1970, step: 12)
        let request = CallingRequest(
            outputs: [.sites, .variants, .gvcf], sites: try reads.sites("one\t2001\t.\t\(base(2000))\t.\n"))
        let found = try reads.outputs(request)
        let isCalled = !found[.variants]!.isEmpty
        let site = found[.sites]![0]
        #expect(isCalled || (site.fields[4] == "." && site["GT"] != "0/1"), "\(site.text)")
    }

    @Test func blocksDoNotSayWhatReadsDeny() throws {
        // Reads of low quality deny a base of the reference, too weakly for a record.
        var reads = SyntheticReads(bases)
        reads.quality = 12
        reads.add([Change(place: 2000, removed: 1, inserted: [other(bases[2000])])], range: 1950..<1951, step: 12)
        let lines = try reads.outputs(CallingRequest(outputs: [.gvcf, .variants]))
        let line = try #require(lines[.gvcf]!.first { $0.position <= 2001 && $0.end >= 2001 })
        #expect(lines[.variants]!.isEmpty && line.isBlock && line["GT"] == "./." && line["DP"] == "1")
        #expect(line["GQ"] == "0" && line["PL"] == "0,0,0" && line.position == 2001 && line.end == 2001)
    }

    @Test func placesAndNames() throws {
        let reads = SyntheticReads(bases)
        for place in ["9223372036854775807", "2147483648", "2147483647"] {
            let found = failure { _ = try reads.sites("one\t\(place)\t.\tA\tC\n") }
            #expect(found?.kind == .data && found?.place == "sites:line 3")
        }
        func list(_ text: String) throws -> SiteList {
            try Array(text.utf8).withUnsafeBytes { try SiteList(parsing: $0, label: "s", genome: reads.reference) }
        }
        let huge = failure { _ = try list("rsID\tchr_name\tchr_position\teffect_allele\nrs1\tone\t9223372036854775807\tA\n") }
        #expect(huge?.place == "s:line 2")
        let points = try list("browser position one:1-9\ntrack name=x\none 5  7 a\n\none 9 10\n")
        #expect(points.sites.map(\.position) == [5, 6, 9] && points.sites.map(\.identifier) == ["a", "a", "."])
        #expect(try list("one\t5\t6\ta b\n").sites[0].identifier == ".")
        #expect(try reads.sites("one\t6\tr\u{7}s\t\(base(5))\t.\n").sites[0].identifier == ".")
    }
}

@Suite struct PloidyTests {
    @Test func haploidTables() {
        let table = GenotypeTable(likelihoods: [-40, -20, -3], alternatePriors: [1e-3], ploidy: 2)
        let single = GenotypeTable(likelihoods: [-40, -3], alternatePriors: [1e-3], ploidy: 1)
        #expect(table.genotype == (1, 1) && single.genotype == (1, 1) && single.scaled == [370, 0])
        #expect(GenotypeTable(likelihoods: [-2, 0], alternatePriors: [1e-3], ploidy: 1).genotype == (0, 0))
    }

    @Test func copiesDecideWhatIsWritten() throws {
        let bases = genome(4000)
        var reads = SyntheticReads(bases)
        let both = [Change(place: 1500, removed: 1, inserted: [other(bases[1500])])]
        reads.add(both, range: 1003..<3000, step: 10)
        reads.add(both + [Change(place: 2000, removed: 1, inserted: [other(bases[2000])])], range: 1003..<3000, step: 10)
        func lines(_ rules: String) throws -> [CallOutput: [Line]] {
            let list = try Array(rules.utf8).withUnsafeBytes { try PloidyList(parsing: $0, label: "p") }
            let map = try PloidyMap(list, sex: .male, reference: reads.reference)
            let sites = try reads.sites("one\t1501\t.\t\(reads.letters(1500..<1501))\t.\n")
            return try reads.outputs(
                CallingRequest(ploidy: map, outputs: [.variants, .gvcf, .sites], sites: sites))
        }
        let single = try lines("one 1 1600 M 1\n* * * M 2\n")
        #expect(single[.variants]!.map { $0["GT"] } == ["1", "0/1"])
        #expect(single[.variants]![0].numbers("PL").count == 2 && single[.sites]![0]["GT"] == "1")
        let blocks = single[.gvcf]!.filter(\.isBlock)
        #expect(blocks.allSatisfy { $0.numbers("PL").count == ($0.end <= 1600 ? 2 : 3) && ($0.end <= 1600 || $0.position > 1600) })
        #expect(single[.gvcf]!.first { $0.position == 1501 }?.numbers("PL").count == 3)
        let none = try lines("one 1 4000 M 0\n")
        #expect(none[.variants]!.isEmpty && none[.gvcf]!.isEmpty && none[.sites]![0]["GT"] == "./.")
        #expect(try lines("one 1 4000 F 0\n")[.variants]!.map { $0["GT"] } == ["1/1", "0/1"])
        // Half of the reads are no haplotype of one copy: the place is no clear variant.
        let all = try lines("* * * * 1\n")
        #expect(all[.variants]!.first?["GT"] == "1" && all[.variants]!.allSatisfy { !$0["GT"].contains("/") })
    }

    @Test func humanAssemblies() throws {
        let contigs = [("chr1", 248_956_422), ("chrX", 156_040_895), ("chrY", 57_227_415), ("chrM", 16_569)]
        let list = try #require(PloidyList.human(contigs: contigs.map { (name: $0.0, length: $0.1) }))
        let male = try list.rules(of: .male, contigs: contigs.map { (name: $0.0, length: $0.1) }).ranges
        func ploidy(_ contig: Int, _ place: Int) -> Int { male[contig].first { $0.range.contains(place) }?.ploidy ?? 2 }
        #expect(ploidy(0, 5) == 2 && ploidy(1, 100_000) == 2 && ploidy(1, 2_781_478) == 2 && ploidy(1, 2_781_479) == 1)
        #expect(ploidy(1, 155_701_381) == 1 && ploidy(1, 155_701_382) == 2 && ploidy(2, 20_000_000) == 1 && ploidy(3, 9) == 1)
        let female = try list.rules(of: .female, contigs: contigs.map { (name: $0.0, length: $0.1) }).ranges
        #expect(female[1].isEmpty && female[2].map(\.ploidy) == [0] && female[3].map(\.ploidy) == [1])
        #expect(PloidyList.human(contigs: [(name: "chrX", length: 5000)]) == nil)
    }

    @Test func listsThatAreWrong() {
        for (text, word) in [
            ("one 1 5 M", "five"), ("one 1 5 M 3", "PLOIDY"), ("one 1 5 Q 1", "SEX"), ("one 5 1 M 1", "FROM"),
            ("* * * M 0", "everywhere else"), ("two 1 5 M 1", "contig 'two'"),
        ] {
            let found = failure {
                let list = try Array(text.utf8).withUnsafeBytes { try PloidyList(parsing: $0, label: "p") }
                _ = try PloidyMap(list, sex: .male, reference: ReferenceGenome(contigs: [.init(name: "one", bases: codes("ACGT"))]))
            }
            #expect(found?.place == "p:line 1" && found?.problem.contains(word) == true, "\(text)")
        }
        let empty = failure { try Array("# none\n".utf8).withUnsafeBytes { _ = try PloidyList(parsing: $0, label: "p") } }
        #expect(empty?.problem.contains("no rule") == true)
    }
}
