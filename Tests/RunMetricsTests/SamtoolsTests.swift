import Alignments
import Engines
import Foundation
import GenomicFormats
import Hardware
import RunMetrics
import Simulation
import TestSupport
import Testing

/// What the engine counts of a run is what samtools counts of the BAM file of that run.
@Suite struct SamtoolsTests {
    /// A simulated sample, and odd pairs as a second read group: copies, halves of which map nowhere, and strangers.
    private final class Sample: @unchecked Sendable {
        // Immutable after init.
        let directory: TemporaryDirectory
        let result: GenotypingResult
        var figures: RunFigures { result.figures! }

        init(threads: Int, memory: Int = 0) throws {
            let directory = try TemporaryDirectory()
            self.directory = directory
            var options = SimulationOptions()
            options.genomeLength = 160_000
            options.coverage = 12
            options.errorRate = 0.01
            options.indelRate = 1e-3
            _ = try SimulatedDataSet(options).run(into: directory.path)
            let genome = try FASTAReader.read(directory.file("reference.fa.gz"))
            let groups = ["1", "2"].map { ReadGroup(id: $0, sample: "S", library: "L", platformUnit: $0) }
            let header = AlignmentHeader(
                genome: genome, readGroups: groups, program: .init(version: "1", commandLine: "x"))
            var job = GenotypingJob(sample: "S", readGroups: groups, alignments: header)
            job.wantsFigures = true
            let engine = CPUEngine(profile: try HardwareProfile.choose("portable"), threads: threads, memory: memory)
            try engine.prepare(genome)
            let session = try engine.open(job)
            var next: UInt64 = 0
            var last: ReadBatch?
            let paths = ["reads_R1.fastq.gz", "reads_R2.fastq.gz"].map { directory.file($0) }
            let files = ReadFiles(lanes: [ReadLane(paths: paths)], layout: .paired, keepsNames: true)
            _ = try files.forEachBatch { batch in
                try session.submit(batch)
                next = batch.firstOrdinal + UInt64(batch.readCount)
                last = batch
            }
            try session.submit(Self.odd(last!, firstOrdinal: next))
            var bam: [UInt8] = []
            result = try session.finish(alignments: { bam += $0 }, gvcf: nil)
            try directory.write(bam, to: "a.bam")
            try directory.write(result.alignmentIndex!.bytes, to: "a.bam" + result.alignmentIndex!.suffix)
        }

        private static func odd(_ source: ReadBatch, firstOrdinal: UInt64) -> ReadBatch {
            var random = SplitMix64(seed: 3)
            var odd = ReadBatch(firstOrdinal: firstOrdinal, isPaired: true)
            odd.readGroup = 1
            var names = ReadBatch.Names()
            for pair in 0..<min(2000, source.readCount / 2) {
                // The mate of another pair makes a chimera.
                let other = pair % 5 == 1 ? (pair * 37) % (source.readCount / 2) : pair
                for (mate, from) in [2 * pair, 2 * other + 1].enumerated() {
                    let range = source.range(ofRead: from)
                    let isJunk = pair % 7 == 2 + mate || pair % 7 == 4
                    odd.bases += isJunk ? random.bytes(range.count).map { $0 & 3 } : Array(source.bases[range])
                    odd.qualities += source.qualities[range]
                    odd.offsets.append(Int32(odd.bases.count))
                }
                names.bytes += Array("odd\(pair)".utf8)
                names.offsets.append(Int32(names.bytes.count))
            }
            odd.names = names
            return odd
        }

        /// What a shell prints in the directory, by lines; nil, said aloud by `run`, where samtools is not installed.
        func shell(_ command: String) throws -> [[Substring]]? {
            guard run("samtools", ["--version"]) != nil else { return nil }
            let result = try #require(run("bash", ["-c", "set -eo pipefail; cd '\(directory.path)'; \(command)"]))
            try #require(result.status == 0, "\(command)")
            return String(decoding: result.output, as: UTF8.self).split(separator: "\n").map {
                $0.split(separator: "\t", omittingEmptySubsequences: false)
            }
        }
    }

    private static let sample = Result { try Sample(threads: 2) }

    @Test func readsAreThoseOfSamtoolsStats() throws {
        let sample = try Self.sample.get()
        for (filter, figures) in [
            ("", sample.figures.reads), ("-r 1", sample.figures.readGroups[0].figures),
            ("-r 2", sample.figures.readGroups[1].figures),
        ] {
            let command = "samtools view -h \(filter) a.bam | samtools stats - | grep ^SN | cut -f 2-3"
            guard let lines = try sample.shell(command) else { return }
            let stats = Dictionary(uniqueKeysWithValues: lines.map { ($0[0], Int($0[1]) ?? -1) })
            let all = figures.all
            #expect(stats["raw total sequences:"] == all.reads)
            #expect(stats["1st fragments:"] == figures.first.reads && stats["last fragments:"] == figures.second.reads)
            #expect(stats["reads mapped:"] == all.mapped && stats["reads unmapped:"] == all.reads - all.mapped)
            #expect(stats["reads mapped and paired:"] == figures.bothMapped)
            #expect(stats["reads properly paired:"] == figures.properlyPaired)
            #expect(stats["reads paired:"] == figures.pairedReads)
            #expect(stats["reads duplicated:"] == figures.duplicates && figures.duplicates >= 0)
            #expect(stats["reads MQ0:"] == figures.mappingQualities[0])
            #expect(stats["total length:"] == all.bases && stats["bases mapped:"] == all.mappedBases)
            #expect(stats["pairs on different chromosomes:"] == figures.onDifferentContigs / 2)
        }
        let odd = sample.figures.readGroups[1].figures
        #expect(odd.duplicates > 100 && odd.singletons > 100)
        #expect(odd.onDifferentContigs > 10 && odd.bothMapped > odd.properlyPaired)
        #expect(sample.figures.reads.all.indelBases > 100 && sample.figures.reads.first.softClippedBases > 100)
    }

    /// What samtools has no figure for is counted from the text of the alignments.
    @Test func basesAreThoseOfTheAlignments() throws {
        let sample = try Self.sample.get()
        let program = #"""
            next if $F[1] & 2304;
            my $second = ($F[1] & 128) ? 1 : 0;
            my $q = () = $F[10] =~ /[?-~]/g; $q30[$second] += $q;
            next if $F[1] & 4;
            $single++ if $F[1] & 8;
            $q10++ if !($F[1] & 8) && $F[6] ne "=" && $F[4] >= 10;
            $indel[$second]++ if $F[5] =~ /[ID]/;
            my $from = 0; my $matched = "";
            while ($F[5] =~ /(\d+)([MIDS])/g) {
                my ($length, $step) = ($1, $2);
                $matched .= substr($F[9], $from, $length) if $step eq "M";
                $gaps[$second] += $length if $step eq "I" || $step eq "D";
                $from += $length if $step ne "D";
            }
            my ($md) = /\tMD:Z:(\S+)/; my $at = 0;
            while ($md =~ /(\d+)|\^[A-Z]+|([A-Z])/g) {
                $at += $1 if defined $1;
                next if !defined $2;
                $different[$second]++ if $2 ne "N" && substr($matched, $at, 1) ne "N";
                $at++;
            }
            while ($F[5] =~ /(\d+)S/g) { $soft[$second] += $1 }
            next if $F[1] & 1024;
            my ($left) = $F[5] =~ /^(\d+)S/; my ($right) = $F[5] =~ /(\d+)S$/;
            my $inner = substr($F[10], $left // 0, length($F[10]) - ($left // 0) - ($right // 0));
            my $u = () = $inner =~ /[?-~]/g; $unique += $u;
            if (($F[1] & 66) == 66) { $n++; $fragments += abs $F[8]; }
            END {
                print join("\n", @q30[0, 1], $single, $q10, @indel[0, 1], @soft[0, 1], @gaps[0, 1], @different[0, 1],
                    $unique, $n, $fragments)
            }
            """#.split(separator: "\n").joined(separator: " ")
        guard let lines = try sample.shell("samtools view a.bam | perl -F'\\t' -lane '\(program)'") else { return }
        let figures = sample.figures.reads
        #expect(
            lines.map { Int($0[0]) } == [
                figures.first.q30Bases, figures.second.q30Bases, figures.singletons,
                figures.onDifferentContigsConfident,
                figures.first.readsWithIndel, figures.second.readsWithIndel, figures.first.softClippedBases,
                figures.second.softClippedBases, figures.first.indelBases, figures.second.indelBases,
                figures.first.substitutions, figures.second.substitutions, figures.uniqueQ30Bases,
                figures.fragmentLengths.total, figures.fragmentLengths.sum,
            ])
    }

    @Test func depthsAreThoseOfSamtoolsDepth() throws {
        let sample = try Self.sample.get()
        let command = "samtools depth -aa -Q 1 a.bam | cut -f 1,3 | sort | uniq -c | sed 's/^ *//; s/ /\\t/'"
        guard let lines = try sample.shell(command) else { return }
        for contig in sample.figures.contigs {
            var expected = Histogram()
            for line in lines where line[1] == contig.name {
                expected.add(try #require(Int(line[2])), times: try #require(Int(line[0])))
            }
            #expect(contig.depths == expected && expected.total == contig.length && contig.depths.sum > 0)
        }
        guard let reads = try sample.shell("samtools view -c -q 1 -F 0xF04 a.bam") else { return }
        #expect(Int(reads[0][0]) == sample.figures.coveringReads)
    }

    @Test func variantsAreThoseOfTheFile() throws {
        let sample = try Self.sample.get()
        let written = sample.figures.variants.written
        #expect(written.total == sample.result.metrics.records && written.total > 100)
        #expect(written.snps > 50 && written.heterozygous + written.homozygous == written.total)
        #expect(sample.figures.reads.duplicates == sample.result.metrics.duplicates)
    }

    /// Two jobs that differ in threads and in what is spilled give the same files.
    @Test func figuresDoNotDependOnThreadsOrMemory() throws {
        let one = try Sample(threads: 1, memory: 1)
        let other = try Self.sample.get()
        #expect(one.figures == other.figures)
        let texts = [one, other].map { $0.figures.files(sample: "S", isRestricted: false) }
        #expect(texts[0] == texts[1])
    }

    @Test func nothingIsCountedWhenNobodyAsks() throws {
        let genome = ReferenceGenome(contigs: [.init(name: "c", bases: [UInt8](repeating: 0, count: 5000))])
        let engine = CPUEngine(profile: try HardwareProfile.choose("portable"), threads: 1)
        try engine.prepare(genome)
        #expect(try engine.open(GenotypingJob(sample: "S")).finish().figures == nil)
        var job = GenotypingJob(sample: "S")
        job.wantsFigures = true
        let figures = try #require(try engine.open(job).finish().figures)
        #expect(figures.reads.all.reads == 0 && figures.coveringReads == 0 && figures.contigs[0].depths[0] == 5000)
        // A run without reads has no figure that is none.
        let text = figures.files(sample: "S", isRestricted: false).map(\.text).joined().lowercased()
        #expect(!text.contains("nan") && !text.contains(",inf") && !text.contains("insert length"))
    }
}
