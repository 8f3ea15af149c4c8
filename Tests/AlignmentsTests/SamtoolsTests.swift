import Alignments
import Foundation
import GenomicFormats
import Mapping
import TestSupport
import Testing

/// Files that samtools has to find right. Skipped, said aloud, where it is not installed.
@Suite struct SamtoolsTests {
    private let reads = try! SampleReads.shared.get()

    /// What a shell prints, in a directory that holds `a.bam`, its index and `a.fa`.
    private func shell(_ command: String) throws -> (output: String, status: Int32)? {
        guard run("samtools", ["--version"]) != nil else { return nil }
        let directory = try TemporaryDirectory()
        let bam = try reads.bam(threads: 2)
        try directory.write(bam.bytes, to: "a.bam")
        try directory.write(bam.index.bytes, to: "a.bam" + bam.index.suffix)
        var fasta = ""
        for contig in reads.genome.contigs {
            fasta += ">\(contig.name)\n" + String(decoding: contig.bases.map { Array("ACGTN".utf8)[Int($0)] }, as: UTF8.self) + "\n"
        }
        try directory.write(Array(fasta.utf8), to: "a.fa")
        let result = run("bash", ["-c", "set -o pipefail; cd '\(directory.path)'; \(command)"])
        return result.map { (String(decoding: $0.output, as: UTF8.self), $0.status) }
    }

    private func expectNothing(_ command: String) throws {
        guard let (output, status) = try shell(command) else { return }
        #expect(output.isEmpty && status == 0, "\(output.prefix(2000))")
    }

    @Test func countsAreThoseOfTheRun() throws {
        let metrics = try reads.map(threads: 2).metrics
        guard let (output, _) = try shell("samtools view -c -f 0x800 a.bam; samtools view -c -F 0x900 a.bam") else { return }
        #expect(output == "\(metrics.supplementary)\n\(metrics.reads)\n" && metrics.supplementary > 100)
    }

    @Test func fileIsWholeAndInOrder() throws {
        try expectNothing("samtools quickcheck -v a.bam && samtools index a.bam b.bai 2>&1")
    }

    @Test func differencesAreThoseOfCalmd() throws {
        try expectNothing("samtools calmd a.bam a.fa 2>&1 >/dev/null")
        try expectNothing(
            "diff <(samtools view a.bam | cut -f 1-19) <(samtools calmd a.bam a.fa 2>/dev/null | grep -v '^@' | cut -f 1-19) | head")
    }

    @Test func mateFieldsAreThoseOfFixmate() throws {
        let view = #"samtools view - | perl -pe 's/\t(AS|XS|NM|MD|SA|RG|PG):\S+//g; s/\tMC:Z:\*//; s/(\tMC:\S+)(\tMQ:\S+)/$2$1/' | sort"#
        try expectNothing(
            """
            samtools sort -n -o n.bam a.bam
            diff <(samtools view -b n.bam | \(view)) <(samtools fixmate -p n.bam - | \(view)) | head -20
            """)
    }

    @Test func indexFindsWhatSamtoolsIndexFinds() throws {
        try expectNothing(
            """
            mkdir b; ln -s ../a.bam b/a.bam; samtools index b/a.bam
            diff <(samtools idxstats a.bam) <(samtools idxstats b/a.bam)
            for region in $(samtools idxstats a.bam | awk '$2 { for (i = 1; i < $2; i += 7919) print $1 ":" i "-" i + i % 5000 }') '*'; do
            cmp <(samtools view a.bam $region) <(samtools view b/a.bam $region) || echo $region
            done
            """)
    }

    /// Names count up here, so that ties, which samtools breaks by name, go to the read that came first. With -S marks
    /// stand at supplementary alignments too, and at mates that map nowhere, which are passed over here.
    @Test func duplicatesAreThoseOfMarkdup() throws {
        try expectNothing(
            """
            samtools view -h --remove-flags 0x400 -b a.bam | samtools sort -n - | samtools fixmate -m - - \
            | samtools sort - | samtools markdup -S - m.bam
            marked() { samtools view -f 0x400 -F 0x4 $1 | awk '{ print $1, int($2 / 64) % 4 }' | sort; }
            diff <(marked a.bam) <(marked m.bam) | head -20
            test $(marked m.bam | wc -l) -gt 200 && test $(samtools view -c -f 0xc00 m.bam) -gt 5
            """)
    }
}
