import TestSupport
import Testing

@Suite struct CommandTests {
    private static let reads = "-1 $D/s/reads_R1.fastq.gz -2 $D/s/reads_R2.fastq.gz"
    private static let reference = "-r $D/s/reference.fa.gz"

    private func check(_ cases: [Case], sourceLocation: SourceLocation = #_sourceLocation) throws {
        try Program.data.get().check(cases, sourceLocation: sourceLocation)
    }

    @Test func commandLinesThatAreWrong() throws {
        try check([
            Case("dsgd bogus", 64), Case("dsgd genotype", 64, "--reference"), Case("dsgd share bogus", 64),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o --bogus", 64, "--bogus"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o extra", 64, "extra"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o --threads=-3", 64, "0 to 1024"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o -@ 1000000000", 64, "0 to 1024"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o -@ 99999999999999999999", 64),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o --sample ''", 64, "--sample"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o --sample $'a\\tb'", 64, "--sample"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o --interleaved", 64, "--interleaved"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o - --json", 64, "--json"),
            Case("dsgd genotype \(Self.reference) -1 $D/1.fq -2 $D/../$(basename $D)/1.fq -o o", 64, "same file"),
            Case("dsgd genotype \(Self.reference) -1 - -2 - -o o", 64, "same file"),
            Case("dsgd genotype -r - -1 - -o o", 64, "standard input"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o --ploidy 3", 64, "1, 2 or a file"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o --region chr1:+1-5", 65, "FROM-TO"),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o -R /dev/null", 65, "no region"),
            Case("dsgd filter $D/t.vcf -R $D/s/panel.bed -T $D/s/variants.tsv -o o", 64, "-R, -r, -T and --ids"),
            Case("dsgd filter $D/t.vcf --overlap x -o o", 64, "--overlap"),
            Case("dsgd index -r - < $D/s/reference.fa.gz", 64, "--output"),
            Case("dsgd share split - < $D/secret", 64, "--output"),
            Case("dsgd share join $D/secret.a.share -o o", 64, "two"),
            Case("dsgd evaluate --truth $D/t.vcf --calls $D/t.vcf \(Self.reference) --minimum-quality nan", 64),
            Case("dsgd simulate -o o --length=-5", 64), Case("dsgd simulate -o o --depth nan", 64),
            Case("dsgd simulate -o o --repeats x", 64, "plain or hard"),
            Case("dsgd simulate -o o --qualities x", 64, "novaseq or unbinned"), Case("dsgd simulate", 64, "no file"),
            Case("dsgd simulate -o o --length 3X", 64), Case("dsgd simulate -o o --error-rate 1", 64, "0.05"),
            Case("dsgd simulate -o o --length 9G --contigs 2", 64, "2^31"),
            Case("dsgd simulate -1 o", 64, "second mates"), Case("dsgd simulate -1 o -2 o", 64, "two outputs"),
            Case("dsgd simulate --random -1 1.fq -2 2.fq", 64, "number of pairs"),
            Case("dsgd simulate -o o --truth t.vcf", 64, "-o names all files"),
            Case("dsgd evaluate mapping --bogus", 64, "--bogus"),
        ])
    }

    @Test func genotypeTakesGoodInputOfEveryKind() throws {
        let both = ["o.gz", "o.gz.tbi"]
        try check([
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o o.gz --index $D/good.idx", files: both),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o - -@ 1 > o.gz", files: ["o.gz"]),
            // The bytes do not tell how many threads there were, however the option is written.
            Case(
                "for t in -@1 '-@ 2' --threads=2 '--threads 1'; do dsgd genotype \(Self.reference) \(Self.reads) -o - $t; done "
                    + "> o.gz && [ $(zcat o.gz | grep dsgdCommand | sort -u | wc -l) = 1 ]", files: ["o.gz"]),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o >(cat > o.gz) && wait $!", files: ["o.gz"]),
            Case("dsgd genotype \(Self.reference) -1 - -2 $D/s/reads_R2.fastq.gz -o o.gz < $D/1.fq", files: both),
            Case("dsgd genotype \(Self.reference) -1 <(cat $D/1.fq) -o o.gz", files: both),
            Case("dsgd genotype \(Self.reference) -1 $D/crlf1.fq -2 $D/crlf2.fq -o o.gz", files: both),
            Case("dsgd genotype \(Self.reference) -1 $D/iupac.fq -o o.gz", files: both),
            Case("dsgd genotype \(Self.reference) -1 $D/one.fq -o o.gz", files: both),
            Case("dsgd genotype \(Self.reference) -1 $D/same.fq -o o.gz -@ 1000", files: both),
            Case("dsgd genotype \(Self.reference) \(Self.reads) -o /dev/null && test -c /dev/null"),
            Case(
                """
                dsgd genotype \(Self.reference) \(Self.reads) -o all.gz && dsgd filter all.gz -R $D/unsorted.bed -o some.gz
                dsgd genotype \(Self.reference) \(Self.reads) -R $D/unsorted.bed -o o.gz || exit 1
                lines() { zcat $1 | grep -v '^#'; }
                lines o.gz | cmp - <(lines some.gz) && test $(lines o.gz | wc -l) -gt 3 && rm all.gz* some.gz*
                """, files: both),
        ])
    }

    @Test func blocksSitesAndPloidies() throws {
        let genotype = "dsgd genotype \(Self.reference) \(Self.reads)"
        let three = ["o.gz", "o.gz.tbi", "g.gz", "g.gz.tbi", "s.gz", "s.gz.tbi"]
        try check([
            Case("\(genotype) -o o.gz --gvcf g.gz --sites $D/t.vcf --sites-output s.gz", files: three),
            Case("\(genotype) --gvcf g.gz && zcat g.gz | grep -q NON_REF", files: ["g.gz", "g.gz.tbi"]),
            Case(
                """
                \(genotype) --sites $D/s/variants.tsv --sites-output s.gz || exit 1
                \(genotype) --sites $D/s/truth.vcf.gz --sites-output s.gz || exit 1
                test $(zcat s.gz | grep -vc '^#') -ge $(grep -vc '^#' $D/t.vcf)
                """, 0, files: ["s.gz", "s.gz.tbi"]),
            Case(
                """
                \(genotype) -o o.gz -@ 1 && \(genotype) -o p.gz --gvcf g.gz -@ 3 --json || exit 1
                cmp o.gz p.gz && zcat o.gz | grep '^##dsgdCommand=dsgd genotype -r' | grep -v '@' && rm p.gz* g.gz*
                """, files: ["o.gz", "o.gz.tbi"]),
            Case(
                """
                \(genotype) -o o.gz --region chr1:5,001-15000 && printf 'chr1\\t5000\\t15000\\n' > r.bed || exit 1
                \(genotype) -o p.gz -R r.bed && lines() { zcat $1 | grep -v '^##'; } || exit 1
                cmp <(lines o.gz) <(lines p.gz) && test $(lines o.gz | wc -l) -gt 3 && rm p.gz* r.bed
                """, files: ["o.gz", "o.gz.tbi"]),
            Case("\(genotype) -o o.gz --ploidy 1 && ! zcat o.gz | grep -v '^#' | cut -f 10 | grep -q '^[^:]*/'", files: ["o.gz", "o.gz.tbi"]),
            Case("\(genotype)", 64, "name an output"), Case("\(genotype) -o o.gz --sites $D/t.vcf", 64, "go together"),
            Case("\(genotype) --sites-output o.gz", 64, "go together"), Case("\(genotype) --gvcf -", 64, "--gvcf"),
            Case("\(genotype) -o o.gz --gvcf o.gz", 64, "two outputs"), Case("\(genotype) -o o.gz --sex x", 64, "--sex"),
            Case("\(genotype) -o o.gz --sex male", 64, "no X"), Case("\(genotype) -o o.gz --ploidy none", 66, "none"),
            Case("\(genotype) -o o.gz --ploidy 2 --sex male", 64, "--sex adds nothing"),
            Case("echo chrZ 1 5 M 1 > p; \(genotype) -o o.gz --ploidy p --sex male", 65, "p:line 1", "chrZ", files: ["p"]),
            Case("echo chr1 1 5 M 1 > p; \(genotype) -o o.gz --ploidy p", 64, "depend on the sex", files: ["p"]),
            Case("\(genotype) -o o.gz --region chrZ", 65, "no such contig"),
            Case("\(genotype) -o o.gz --region chr1:5-99999999", 65, "no range"),
            Case("\(genotype) --sites $D/contig.vcf --sites-output s.gz", 65, "contig.vcf:line", "chrZ"),
            Case("\(genotype) --sites $D/beyond.vcf --sites-output s.gz", 65, "beyond.vcf:line", "beyond the end"),
            Case("\(genotype) --sites $D/none.vcf --sites-output s.gz", 66, "none.vcf"),
            Case("\(genotype) --gvcf /dev/full", 74, "No space left"),
        ])
    }

    @Test func alignmentsBesideTheCallsOrAlone() throws {
        let genotype = "dsgd genotype \(Self.reference) \(Self.reads)"
        let map = "dsgd map \(Self.reference) \(Self.reads)"
        let both = ["o.gz", "o.gz.tbi"], alignments = ["a.bam", "a.bam.bai"]
        try check([
            Case("\(genotype) -o o.gz --bam a.bam", files: alignments + both),
            Case("\(genotype) -o o.gz --bam /dev/null", files: both),
            Case(
                """
                \(genotype) -o o.gz && \(genotype) -o p.gz --bam a.bam && cmp o.gz p.gz || exit 1
                \(map) -o b.bam --index $D/good.idx -@ 3 || exit 1
                # The heads differ by the command line.
                cmp <(zcat a.bam | tail -c 500000) <(zcat b.bam | tail -c 500000) && rm p.gz* b.bam*
                """, files: alignments + both),
            Case("\(map) -o a.bam --interleaved", 64, "--interleaved"),
            Case("\(map) | dsgd evaluate mapping --foreign | grep -q mapped"),
            Case(
                """
                \(map) | grep -v '^@' | cut -f 1 | uniq | cmp - <(awk 'NR % 4 == 1' $D/1.fq | sed 's/^@//; s/[ /].*//')
                """),
            Case("dsgd map \(Self.reference) -1 $D/s/reads_R1.fastq.gz -o a.bam", files: alignments),
            Case("\(map) > /dev/full", 74, "No space left"), Case("\(map) >&-", 74, "standard output"),
            Case("\(map) -o none/a.bam", 73, "none/a.bam"), Case("\(map) -o .", 73, "directory"),
            Case("mkdir a.bam.bai; \(map) -o a.bam", 73, "a.bam.bai", files: ["a.bam.bai"]),
            Case("\(genotype) -o o.gz --bam none/a.bam", 73, "none/a.bam"),
            Case("\(genotype) -o o.gz --bam /dev/full", 74, "No space left"),
            Case("\(genotype) -o o.gz --bam o.gz", 64, "two outputs"),
            Case("\(genotype) -o a.bam.bai --bam a.bam", 64, "two outputs"),
            Case("\(genotype) -o o.gz --bam -", 64, "--bam"), Case("\(genotype) -o o.gz --bam ''", 73, "empty"),
            Case("\(genotype) -o o.gz --bam $D/s/reads_R2.fastq.gz", 64, "input"),
            Case("\(map) -o $D/s/reference.fa.gz", 64, "input"),
            Case("dsgd map \(Self.reference) -1 $D/cut.fq -o a.bam", 65, "cut.fq"),
            Case("sed '1s/.*/@a@b/' $D/one.fq | dsgd map \(Self.reference) -1 - -o a.bam", 65, "record 1"),
            Case("sed '1s/.*/@a@b/' $D/one.fq | dsgd genotype \(Self.reference) -1 - -o o.gz", files: both),
            Case("ulimit -f 0; \(map) -o a.bam", 74, "too large"),
        ])
    }

    @Test func mappingIsJudgedByTheNamesOfSimulatedReads() throws {
        let simulate = "dsgd simulate --reference $D/s/reference.fa.gz --pairs 1k --truth-in-names -1 1.fq -2 2.fq.gz"
        // A mapper that knows the truth: every first mate lies where its name says.
        let oracle = """
            awk 'NR % 4 == 1 { split(substr($1, 2), n, "#"); k = split(n[2], f, "_"); p = f[k - 1] + 0
            print n[1] "#" n[2], (p < 0 ? 16 : 0), f[1], (p < 0 ? -p : p), "60\t150M\t*\t0\t0\t*\t*" }' OFS='\t' 1.fq
            """
        let wanted = #"grep -q '"correct" : 1000' && test -s 2.fq.gz"#
        try check([
            Case(
                "\(simulate) && \(oracle) | dsgd evaluate mapping - --json | \(wanted)",
                files: ["1.fq", "2.fq.gz"]),
            Case(
                "\(simulate) && \(oracle) | gzip | dsgd evaluate mapping --foreign | grep -q 'correct  *0'",
                files: ["1.fq", "2.fq.gz"]),
            Case("dsgd evaluate mapping none.sam", 66, "none.sam"),
            Case("dsgd evaluate mapping < /dev/null", 65, "no primary"),
            Case("echo x | dsgd evaluate mapping", 65, "standard input:line 1"),
            Case("dsgd evaluate mapping $D/t.vcf", 65, "t.vcf:line"),
        ])
    }

    /// The same reads, however they are laid out, give the same calls.
    @Test func genotypeTakesLanes() throws {
        let both = ["o.gz", "o.gz.tbi"]
        func same(_ reads: String) -> Case {
            let expected = "dsgd genotype \(Self.reference) \(Self.reads) -o - > all.gz"
            let got = "dsgd genotype \(Self.reference) \(reads) -o - --sample sample > some.gz"
            // The heads differ by the command line.
            let lines = "lines() { zcat $1 | grep -v '^##dsgdCommand'; }"
            return Case(
                "\(lines); \(expected) && \(got) && cmp <(lines all.gz) <(lines some.gz)", files: ["all.gz", "some.gz"])
        }
        try check([
            same("-1 $D/l1a.fq -1 $D/l1b.fq.gz -2 $D/l2a.fq -2 $D/l2b.fq"), same("--fastq-list $D/lanes.csv"),
            same("--fastq-list $D/samples.csv --fastq-list-sample-id S1"), same("--interleaved -1 $D/mixed.fq"),
            same("--interleaved -1 - < $D/mixed.fq"), same("-1 $D/1.fq.members.gz -2 $D/s/reads_R2.fastq.gz"),
            same("--quality-offset 64 -1 $D/old1.fq -2 $D/old2.fq"),
            Case(
                "dsgd genotype \(Self.reference) --fastq-list $D/lanes.csv -o o.gz && zcat o.gz | grep -q 'FORMAT.S1$'",
                files: both),
            Case("dsgd genotype \(Self.reference) -1 $D/short.fq -o o.gz", files: both),
            Case("dsgd genotype \(Self.reference) -1 $D/old1.fq -2 $D/old2.fq -o o.gz", 65, "old1.fq:record 1", "Phred+64"),
            Case("dsgd genotype \(Self.reference) --quality-offset 64 \(Self.reads) -o o.gz", 65, "record", "'@'"),
            Case("dsgd genotype \(Self.reference) --fastq-list $D/samples.csv -o o.gz", 65, "2 samples", "'S1', 'S2'"),
            Case("dsgd genotype \(Self.reference) --fastq-list $D/1.fq -o o.gz", 65, "1.fq:line 1"),
            Case("dsgd genotype \(Self.reference) --fastq-list $D/badlane.csv -o o.gz", 65, "badlane.csv:line 3"),
            Case("dsgd genotype \(Self.reference) --fastq-list $D/none.csv -o o.gz", 66, "none.csv"),
            Case("dsgd genotype \(Self.reference) --fastq-list $D/lanes.csv \(Self.reads) -o o.gz", 64, "instead of"),
            Case("dsgd genotype \(Self.reference) --fastq-list-sample-id S1 \(Self.reads) -o o.gz", 64, "needs --fastq-list"),
            Case("dsgd genotype \(Self.reference) -1 $D/1.fq -1 $D/one.fq -2 $D/crlf2.fq -o o.gz", 64, "2 files", "1 of"),
            Case("dsgd genotype \(Self.reference) -1 $D/1.fq -1 $D/1.fq -o o.gz", 64, "twice"),
            Case("dsgd genotype \(Self.reference) --quality-offset 59 \(Self.reads) -o o.gz", 64, "33 or 64"),
            Case("dsgd genotype \(Self.reference) -o o.gz", 64, "-1 and -2"),
        ])
    }

    @Test func genotypeRefusesBadReads() throws {
        func one(_ file: String, _ words: String) -> Case {
            Case("dsgd genotype \(Self.reference) -1 $D/\(file) -o o.gz", 65, file, words)
        }
        func two(_ file: String, _ words: String) -> Case {
            Case("dsgd genotype \(Self.reference) -1 $D/\(file) -2 $D/s/reads_R2.fastq.gz -o o.gz", 65, words)
        }
        try check([
            one("empty", "no reads"), one("cut.fq", "record 3"), one("lengths.fq", "record 1"),
            one("quality.fq", "quality"), one("quality2.fq", "quality"), one("base.fq", "record 2"),
            one("plus.fq", "'+'"), one("at.fq", "record 2"), one("long.fq", "500"), one("name.fq", "8192"),
            one("noise", "'@'"), one("cut.fq.gz", "truncated"), one("noend.fq.gz", "end marker"),
            one("trailing.fq.gz", "follow"), one("flipped.fq.gz", "byte"),
            two("step.fq", "out of step"), two("fewer.fq", "no mate"), two("cut.fq.gz", "truncated"),
            Case("dsgd genotype \(Self.reference) -1 $D/foreign.fq -o o.gz", 65, "species"),
            Case("dsgd genotype \(Self.reference) -1 - -o o.gz < /dev/null", 65, "standard input: holds no reads"),
            Case("dsgd genotype \(Self.reference) -1 $D/none -o o.gz", 66, "none"),
            Case("dsgd genotype \(Self.reference) -1 $D/s -o o.gz", 66, "directory"),
            Case("dsgd genotype \(Self.reference) -1 - -o o.gz <&-", 74, "standard input"),
        ])
    }

    @Test func referencesAndIndexesThatAreWrong() throws {
        func both(_ file: String, _ code: Int32, _ words: String) -> [Case] {
            [
                Case("dsgd index -r $D/\(file) -o o.idx", code, words),
                Case("dsgd genotype -r $D/\(file) \(Self.reads) -o o.gz", code, words),
            ]
        }
        func index(_ file: String, _ code: Int32, _ words: String) -> Case {
            Case("dsgd genotype \(Self.reference) \(Self.reads) --index \(file) -o o.gz", code, words)
        }
        try check(
            both("none", 66, "none") + both("s", 66, "directory") + both("empty", 65, "no sequence")
                + both("noise", 65, "FASTA") + both("1.fq", 65, "FASTA") + both("noseq.fa", 65, "'b'")
                + both("twice.fa", 65, "twice") + both("onlyn.fa", 65, "N") + both("name.fa", 65, "SAM")
                + both("protein.fa", 65, "no base") + both("cut.fa.gz", 65, "truncated"))
        try check([
            index("$D/none", 66, "none"), index("$D/s", 66, "directory"), index("/dev/zero", 66, "regular"),
            index("$D/empty", 65, "cut short"), index("$D/cut.idx", 65, "cut short"),
            index("$D/flipped.idx", 65, "damaged"), index("$D/noise", 65, "not a DSGD index"),
            index("$D/strange.idx", 65, "another reference"),
            Case("dsgd index -r $D/joined.fa -o o 2> e; grep -q ACGTACGT e && exit 1; cat e >&2; rm e; exit 65", 65, "SAM"),
        ])
    }

    @Test func filterRefusesBadInput() throws {
        func vcf(_ file: String, _ words: String) -> Case { Case("dsgd filter $D/\(file) -o o.gz", 65, file, words) }
        func regions(_ file: String, _ words: String, _ option: String = "-R") -> Case {
            Case("dsgd filter $D/t.vcf \(option) $D/\(file) -o o.gz", 65, words)
        }
        let good = ["o.gz", "o.gz.tbi"]
        try check([
            vcf("empty", "empty"), vcf("noise", "no VCF"), vcf("headless.vcf", "fileformat"), vcf("cut.vcf", "columns"),
            vcf("two.vcf", "has 1 columns"), vcf("unsorted.vcf", "sorted"), vcf("contig.vcf", "contig"),
            vcf("zero.vcf", "POS"), vcf("beyond.vcf", "beyond"), vcf("word.vcf", "POS"), vcf("reference.vcf", "REF"),
            vcf("alternative.vcf", "ALT"), vcf("allele.vcf", "allele"), vcf("nul.vcf", "NUL"), vcf("columns.vcf", "11"),
            vcf("noend.vcf.gz", "end marker"), vcf("cut.vcf.gz", "truncated"), vcf("trailing.vcf.gz", "follow"),
            regions("contig.bed", "chrZ"), regions("beyond.bed", "beyond"), regions("reverse.bed", "line 1"),
            regions("negative.bed", "line 1"), regions("columns.bed", "three"), regions("noise", "noise"),
            regions("zero.tsv", "POS", "-T"), regions("mixed.tsv", "alleles", "-T"),
            Case("dsgd filter $D/none -o o.gz", 66), Case("dsgd filter $D/t.vcf -R $D/none -o o.gz", 66, "none"),
            Case("dsgd filter $D/s -o o.gz", 66, "directory"),
            Case("dsgd filter $D/t.vcf -R $D/unsorted.bed -o o.gz", files: good),
            Case("dsgd filter $D/crlf.vcf -R $D/crlf.bed -o o.gz", files: good),
            Case("dsgd filter -o o.gz < $D/t.vcf", files: good),
            Case("dsgd filter < $D/t.vcf | grep -v '^##dsgd' | cmp - $D/t.vcf"),
            Case("dsgd filter -O z < $D/t.vcf | zcat | grep -v '^##dsgd' | cmp - $D/t.vcf"),
            Case("dsgd filter -O u < $D/t.vcf | dsgd filter -Ob | dsgd filter | grep -v '^##' | cmp - <(grep -v '^##' $D/t.vcf)"),
            Case(
                "dsgd filter $D/t.vcf -o o.bcf && dsgd filter o.bcf -o o.vcf.gz",
                files: ["o.bcf", "o.bcf.csi", "o.vcf.gz", "o.vcf.gz.tbi"]),
            Case(
                "dsgd simulate --calls o.vcf.gz --records 1k --seed 5 && dsgd simulate --calls - --records 1k --seed 5 "
                    + "| cmp - <(zcat o.vcf.gz)", files: ["o.vcf.gz", "o.vcf.gz.tbi"]),
            Case("dsgd simulate --calls o -o s", 64, "--calls"), Case("dsgd simulate --calls o --records 1G", 64, "records"),
            Case(
                "dsgd filter $D/t.vcf -Oz -r chr1:5000- | zcat | grep -v '^#' "
                    + "| cmp - <(grep -v '^#' $D/t.vcf | awk '$1 == \"chr1\" && $2 >= 5000')"),
            Case("dsgd filter $D/t.vcf -x FORMAT/XX -o o", 65, "'XX'"), Case("dsgd filter $D/t.vcf -x XX -o o", 64, "-x XX"),
            Case("dsgd filter $D/t.vcf --ids $D/none -o o", 66), Case("dsgd filter $D/t.vcf --ids $D/empty -o o", 65, "no ID"),
            Case("cut -f -9 $D/t.vcf | dsgd filter -O b -o o", 65, "FORMAT column"),
            Case("dsgd filter $D/t.vcf -O b --pad 1000 -o o", 64, "--pad"), Case("dsgd filter $D/t.vcf -O x", 64, "-O"),
            Case("dsgd filter $D/t.vcf -o o.bcf 2> e; head -c 400 o.bcf | dsgd filter -o x; rm o.* e; exit 65", 65, "truncated"),
        ])
    }

    @Test func evaluateRefusesBadInput() throws {
        func calls(_ file: String, _ code: Int32, _ words: String) -> Case {
            Case("dsgd evaluate --truth $D/t.vcf --calls $D/\(file) \(Self.reference)", code, words)
        }
        let good = "dsgd evaluate --truth $D/t.vcf --calls $D/t.vcf \(Self.reference)"
        try check([
            Case(good), Case(good + " -T $D/unsorted.bed --json"), Case(good + " -T $D/contig.bed", 65, "chrZ"),
            Case(good + " -T $D/beyond.bed", 65, "beyond"), Case(good + " > /dev/full", 74, "standard output"),
            Case(good + " --json > /dev/full", 74, "standard output"), Case(good + " >&-", 74, "standard output"),
            calls("none", 66, "none"), calls("s", 66, "directory"), calls("empty", 65, "#CHROM"),
            calls("headless.vcf", 65, "#CHROM"), calls("two.vcf", 65, "second"), calls("contig.vcf", 65, "chrZ"),
            calls("allele.vcf", 65, "allele"), calls("reference.vcf", 65, "REF"), calls("cut.vcf.gz", 65, "truncated"),
            calls("beyond.vcf", 65, "beyond"),
        ])
    }

    @Test func sharesThatDoNotFit() throws {
        func join(_ with: String, _ words: String, tags: Bool = true) -> Case {
            Case("dsgd share join $D/other.a.share $D/\(with) \(tags ? "--tags $D/other.tags" : "") -o o", 65, words)
        }
        try check([
            Case("dsgd share join $D/other.b.share $D/other.c.share -o o && cmp o $D/other && stat -c %a o | grep -qx 600", files: ["o"]),
            Case("dsgd share join $D/secret.a.share $D/secret.c.share -o - | cmp - $D/secret"),
            Case("dsgd share split - -o o < $D/secret", files: ["o.a.share", "o.b.share", "o.c.share", "o.tags"]),
            join("other.a.share", "two different", tags: false), join("secret.b.share", "different objects", tags: false),
            join("secret.b.share", "tags are for"), join("other", "not a share"), join("empty", "header"),
            join("cut.share", "bytes instead of"), join("flipped.share", "block 0"), join("future.share", "format"),
            Case("dsgd share join $D/other.a.share $D/none -o o", 66), Case("dsgd share join $D/other.a.share $D/s -o o", 66),
            Case("dsgd share join $D/other.a.share $D/other.b.share --tags $D/secret.tags -o o", 65, "tags are for"),
            Case("dsgd share join $D/other.a.share $D/other.b.share --tags $D/noise -o o", 65, "tag file"),
            Case("dsgd share repair $D/other.a.share $D/flipped.share --tags $D/other.tags -o o", 65, "block 0"),
            Case("dsgd share repair $D/other.a.share $D/other.b.share --tags $D/other.tags -o o && cmp o $D/other.c.share", files: ["o"]),
            Case("dsgd share verify $D/other.a.share $D/flipped.share --tags $D/other.tags", 65, "faults"),
            Case("dsgd share refresh $D/other -o $D/other", 64, "input"), Case("dsgd share refresh $D/none -o o", 66),
            Case("dsgd share split $D/other -o o --random-device /dev/zero", 74, "health"),
        ])
    }

    /// A pipeline whose end has seen enough is no error: the program goes by SIGPIPE, without a word.
    @Test func nobodyReadsStandardOutput() throws {
        for command in ["dsgd filter $D/t.vcf -o -", "dsgd share join $D/other.b.share $D/other.c.share -o -"] {
            let place = try TemporaryDirectory()
            // A pipe whose only reader has gone.
            let result = try Program.data.get().shell(
                "mkfifo p; exec 4<>p 5>p 4<&-; rm p; \(command) >&5", in: place.path)
            #expect(result.code == 141 && result.errors.isEmpty, "\(command): \(result.errors)")
            #expect(try place.entries().isEmpty)
        }
    }

    @Test func outputsThatCannotBeWritten() throws {
        let genotype = "dsgd genotype \(Self.reference) \(Self.reads) -o"
        let join = "dsgd share join $D/other.b.share $D/other.c.share -o"
        var cases: [Case] = []
        for command in [genotype, "dsgd filter $D/t.vcf -o", join, "dsgd index \(Self.reference) -o"] {
            cases += [
                Case("\(command) none/o", 73, "none/o"), Case("\(command) .", 73, "directory"),
                Case("\(command) ''", 73, "empty"), Case("ln -s x o; \(command) o", 73, "symbolic link", files: ["o"]),
                Case("mkdir o.partial; \(command) o", 73, "o.partial", files: ["o.partial"]),
                Case("\(command) /dev/full", 74, "No space left"), Case("\(command) - > /dev/full", 74, "No space left"),
                Case("\(command) - >&-", 74, "standard output"),
                Case("ulimit -f 0; \(command) o", 74, "too large"),
            ]
        }
        try check(cases)
        try check([
            Case("\(genotype) $D/s/reads_R2.fastq.gz", 64, "input"), Case("\(genotype) $D/s/reference.fa.gz", 64, "input"),
            Case("dsgd filter $D/t.vcf -o $D/t.vcf", 64, "input"),
            Case("ln $D/t.vcf o; dsgd filter $D/t.vcf -o o", 64, "input", files: ["o"]),
            Case("\(join) $D/other.b.share", 64, "input"),
            Case("dsgd index \(Self.reference) -o $D/s/reference.fa.gz", 64, "input"),
            Case("dsgd simulate -o none/o", 73, "none/o"), Case("echo x > o; dsgd simulate -o o", 73, files: ["o"]),
            Case("\(genotype) o.gz 2>&-", files: ["o.gz", "o.gz.tbi"]),
            Case("echo x > o; dsgd filter $D/cut.vcf -o o; test $(cat o) = x && exit 65", 65, files: ["o"]),
        ])
    }
}
