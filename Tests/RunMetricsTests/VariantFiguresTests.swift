import GenomicFormats
import RunMetrics
import Testing

@Suite struct VariantFiguresTests {
    private func figures(_ lines: [String]) -> RunFigures {
        let contigs = ["chr1", "chrX", "chrY"].map { ReferenceGenome.Contig(name: $0, bases: [0, 1, 2, 3]) }
        let counter = RunCounter(reference: ReferenceGenome(contigs: contigs), readGroups: ["1"])
        for line in lines { Array(line.utf8).withUnsafeBytes { counter.count(line: $0) } }
        return counter.figures
    }

    private func line(
        _ reference: String, _ alternates: String, _ genotype: String, _ filter: String = "PASS",
        on contig: String = "chr1"
    ) -> String {
        "\(contig)\t2\t.\t\(reference)\t\(alternates)\t30\t\(filter)\tDP=3\tGT:AD\t\(genotype):1,2\n"
    }

    @Test func everyKindIsCounted() {
        let counts = figures([
            line("A", "G", "0/1"), line("A", "C", "1|1"), line("C", "T", "1", on: "chrX"),
            line("G", "C", "0|1", on: "chrY"), line("A", "G,T", "1/2"),
            line("A", "AT", "0/1"), line("A", "AT", "1/1"), line("A", "AT,ATT", "1/2"),
            line("AT", "A", "1/0"), line("AT", "A", "1/1"),
            line("CA", "C,TA", "1/2"), line("AT", "ATT,A", "2/1"),
            line("AC", "GT", "0/1"),
        ]).variants.written
        #expect(counts.total == 13 && counts.biallelic == 9 && counts.multiallelic == 4)
        #expect(counts.snps == 5 && counts.snpsOnX == 1 && counts.snpsOnY == 1)
        // A>G, C>T and A>G of the two alleles; A>C, G>C and A>T.
        #expect(counts.transitions == 3 && counts.transversions == 3)
        #expect(counts.homozygousInsertions == 1 && counts.heterozygousInsertions == 2)
        #expect(counts.homozygousDeletions == 1 && counts.heterozygousDeletions == 1)
        #expect(counts.mixedIndels == 2 && counts.mnps == 1)
        #expect(counts.homozygous == 4 && counts.heterozygous == 9)
    }

    /// An allele that is written with a base it shares with the reference is what is left without it.
    @Test func paddedAllelesAreTrimmed() {
        let lines = [line("CAG", "TAG", "0/1"), line("CA", "CC,C", "0/1"), line("aC", "gC", "1/1")]
        let counts = figures(lines).variants.written
        #expect(counts.snps == 3 && counts.transitions == 2 && counts.transversions == 1)
    }

    @Test func filteredRecordsAreInTheWrittenOnly() {
        let variants = figures(["PASS", "LowQual", "."].map { line("A", "G", "0/1", $0) }).variants
        #expect(variants.written.total == 3 && variants.passed.total == 1)
    }

    @Test func whatCallsNoAlleleIsNoVariant() {
        let none = [
            line("A", ".", "0/0"), line("A", "<NON_REF>", "0/0"), line("A", "G", "./."), line("A", "G", "0"),
            line("A", "*", "1/1"), line("A", "G", "7/9"), line("A", "G", "-1/x"), line("A", "A[2:5[", "0/1"),
            line("A", "A", "0/1"),
            "##x\n", "\n", "", "chr1\t2\t.\tA\tG\t30\tPASS\tDP=3\n", "chr1\t2\t.\tA\tG\t30\tPASS\tDP=3\tDP\t3\n",
            line("A", "", "0/1"),
        ]
        #expect(figures(none).variants == figures([]).variants)
        let called = figures([line("A", "G,<NON_REF>", "0/1"), line("AT", "A,*", "1/2")]).variants.written
        #expect(called.total == 2 && called.biallelic == 2 && called.heterozygous == 2)
    }

    @Test func linesAreDragens() throws {
        let figures = figures([
            line("A", "G", "0/1"), line("A", "G", "1/1"), line("A", "AT", "0/1", "LowQual"),
            line("A", "C", "0/1", on: "chrX"),
        ])
        let files = figures.files(sample: "S,1", isRestricted: true)
        let file = try #require(files.first { $0.suffix == ".vc_metrics.csv" })
        let lines = file.text.split(separator: "\n")
        #expect(lines.count == 1 + 2 * 18)
        #expect(lines[0] == "VARIANT CALLER SUMMARY,,Number of samples,1")
        #expect(lines[1] == "VARIANT CALLER PREFILTER,S_1,Total,4,100.00")
        #expect(lines.contains("VARIANT CALLER PREFILTER,S_1,SNPs,3,75.00"))
        #expect(lines.contains("VARIANT CALLER PREFILTER,S_1,Insertions (Het),1,25.00"))
        #expect(lines.contains("VARIANT CALLER POSTFILTER,S_1,Insertions (Het),0,0.00"))
        #expect(lines.contains("VARIANT CALLER POSTFILTER,S_1,Chr X number of SNPs over genome,1"))
        #expect(lines.contains("VARIANT CALLER POSTFILTER,S_1,Ti/Tv ratio,2.00"))
        #expect(lines.contains("VARIANT CALLER POSTFILTER,S_1,Het/Hom ratio,2.00"))
        // Nothing was called on chrY, so there is no ratio to it.
        #expect(!lines.contains { $0.contains("ratio over genome") || $0.contains("NA") || $0.contains("nan") })
    }
}
