import Foundation
import TestSupport
import Testing

/// What the program writes never depends on the instruction set: the same files by a process under each cap.
@Suite struct InstructionSetTests {
    private static let steps = #"""
        dsgd index -r $D/s/reference.fa.gz -o reference.idx
        dsgd share split $D/s/reads_R1.fastq.gz -o reads --random-device $D/random
        dsgd share join reads.a.share reads.b.share --tags reads.tags -o joined.ab
        dsgd share join reads.b.share reads.c.share --tags reads.tags -o joined.bc
        dsgd share repair reads.a.share reads.c.share --tags reads.tags -o repaired.b
        dsgd genotype -r $D/s/reference.fa.gz --index reference.idx -o all.vcf.gz \
            -1 $D/s/reads_R1.fastq.gz -2 $D/s/reads_R2.fastq.gz
        dsgd filter all.vcf.gz -R $D/s/panel.bed -o some.vcf.gz
        dsgd filter all.vcf.gz -T $D/s/variants.tsv -o listed.vcf.gz
        """#

    @Test func everyCapWritesTheSameBytes() throws {
        let program = try Program.data.get()
        var random = SplitMix64(seed: 60)
        try program.directory.write(random.bytes(8 << 20), to: "random")
        var first: [String: [UInt8]]?
        for cap in ["portable", "avx2", "avx512"] {
            let place = try TemporaryDirectory()
            let script = "set -e; export DSGD_CPU_CAP=\(cap)\n" + Self.steps
            let made = try program.shell(script, in: place.path)
            try #require(made.code == 0, "\(cap): \(made.errors)")
            let names = try place.entries()
            let files = try Dictionary(uniqueKeysWithValues: names.map { ($0, try place.read($0)) })
            #expect(files["joined.ab"] == files["joined.bc"] && files["repaired.b"] == files["reads.b.share"])
            #expect(files["joined.ab"] == (try program.directory.read("s/reads_R1.fastq.gz")))
            for name in ["all.vcf.gz", "all.vcf.gz.tbi", "some.vcf.gz", "listed.vcf.gz"] {
                #expect((files[name]?.count ?? 0) > 100, "\(name)")
            }
            guard let first else {
                first = files
                continue
            }
            #expect(files.keys.sorted() == first.keys.sorted())
            for name in names { #expect(files[name] == first[name], "\(name) differs under \(cap)") }
        }
    }
}
