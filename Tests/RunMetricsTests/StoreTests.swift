import GenomicFormats
import Mapping
import RunMetrics
import Testing

/// Alignments that are written down here, and what has to come of them.
@Suite struct StoreTests {
    private let genome: ReferenceGenome
    private let store: ReadStore
    private let counter: RunCounter

    private struct Alignment {
        var contig: Int32 = 0
        var position: Int32
        var cigar: [CigarOperation]
        var quality: UInt8 = 60
        var flags: AlignmentFlags = [.paired, .properPair, .firstInPair]
        var bases: [UInt8]? = nil
        var qualities: [UInt8]? = nil
        var mateContig: Int32 = 0
        var templateLength: Int32 = 0
    }

    private static let far = Int32(ReadStore.binSpan)

    /// Ten bases each, numbered in this order; the even ones belong to the first read group.
    private static let alignments: [Alignment] = [
        Alignment(position: 0, cigar: [.init(.match, 10)], templateLength: 30),
        Alignment(
            position: 20, cigar: [.init(.match, 10)], flags: [.paired, .properPair, .secondInPair],
            templateLength: -30),
        // Two clipped, one inserted, two deleted; one base differs; half of the qualities are good.
        Alignment(
            position: 5,
            cigar: [
                .init(.softClip, 2), .init(.match, 3), .init(.insertion, 1), .init(.match, 2), .init(.deletion, 2),
                .init(.match, 2),
            ],
            quality: 35, flags: [.paired, .firstInPair], bases: [3, 3, 0, 0, 0, 3, 0, 1, 0, 0],
            qualities: [40, 40, 30, 29, 30, 29, 30, 29, 30, 29], mateContig: 1),
        Alignment(
            contig: 1, position: 5, cigar: [.init(.match, 10)], quality: 9, flags: [.paired, .secondInPair],
            mateContig: 0),
        // A duplicate, one without mapping quality, a mate that maps nowhere.
        Alignment(
            position: 0, cigar: [.init(.match, 10)], flags: [.paired, .properPair, .firstInPair], templateLength: 30),
        Alignment(
            position: 0, cigar: [.init(.match, 10)], quality: 0, flags: [.paired, .properPair, .secondInPair],
            templateLength: -30),
        Alignment(
            position: 40, cigar: [.init(.match, 10)], quality: 20, flags: [.paired, .firstInPair, .mateUnmapped]),
        // Across the border of two bins, and N in read and reference; unpaired.
        Alignment(position: far - 4, cigar: [.init(.match, 10)], flags: [], bases: [4, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        // Supplementary and secondary alignments are not reads.
        Alignment(position: 60, cigar: [.init(.match, 10)], flags: AlignmentFlags(rawValue: 0x800)),
        Alignment(position: 70, cigar: [.init(.match, 10)], flags: AlignmentFlags(rawValue: 0x100)),
    ]

    init() throws {
        // Contig 1 is A, its last ten bases N; X is A.
        let length = ReadStore.binSpan + 10
        genome = ReferenceGenome(contigs: [
            .init(
                name: "1", bases: [UInt8](repeating: 0, count: length - 10) + [UInt8](repeating: 4, count: 10)),
            .init(name: "X", bases: [UInt8](repeating: 0, count: 20)),
            .init(name: "Y", bases: [UInt8](repeating: 4, count: 20)),
        ])
        let store = ReadStore(contigLengths: genome.contigs.map(\.length))
        for (number, alignment) in Self.alignments.enumerated() {
            let span = alignment.cigar.reduce(0) { $0 + ([.match, .deletion].contains($1.kind) ? $1.length : 0) }
            let header = AlignedReadHeader(
                ordinal: UInt64(number), contig: alignment.contig, position: alignment.position,
                end: alignment.position + Int32(span), mateContig: alignment.mateContig, matePosition: 0,
                templateLength: alignment.templateLength, flags: alignment.flags, mappingQuality: alignment.quality,
                cigarCount: UInt16(alignment.cigar.count), baseCount: 10, editDistance: 0)
            try alignment.cigar.map(\.rawValue).withUnsafeBufferPointer { cigar in
                try (alignment.bases ?? [UInt8](repeating: 0, count: 10)).withUnsafeBufferPointer { bases in
                    try (alignment.qualities ?? [UInt8](repeating: 37, count: 10)).withUnsafeBufferPointer {
                        try store.append(header, cigar: cigar, bases: bases, qualities: $0)
                    }
                }
            }
        }
        try store.seal { $0 == 4 }
        self.store = store
        counter = RunCounter(reference: genome, readGroups: ["a", "b"])
        for number in 0..<12 {
            var batch = ReadBatch(firstOrdinal: UInt64(number), isPaired: false)
            batch.readGroup = number % 2
            batch.bases = [UInt8](repeating: 0, count: 10)
            batch.qualities = [UInt8](repeating: 29, count: 4) + [UInt8](repeating: 30, count: 6)
            batch.offsets.append(10)
            counter.count(batch)
        }
        try counter.count(store, threads: 2)
    }

    @Test func readsAreCounted() {
        let figures = counter.figures.reads
        #expect(figures.all.reads == 12 && figures.all.bases == 120 && figures.all.q30Bases == 72)
        #expect(figures.first.mapped == 5 && figures.second.mapped == 3)
        #expect(figures.duplicates == 1 && figures.singletons == 1)
        #expect(figures.bothMapped == 6 && figures.properlyPaired == 4)
        #expect(figures.onDifferentContigs == 2 && figures.onDifferentContigsConfident == 1)
        #expect(figures.supplementaryAlignments == 1 && figures.secondaryAlignments == 1)
        #expect(figures.mappingQualities.entries.map(\.value) == [0, 9, 20, 35, 60])
        #expect(figures.mappingQualities[60] == 4)
        #expect(figures.first.softClippedBases == 2 && figures.second.softClippedBases == 0)
        #expect(figures.first.indelBases == 3 && figures.first.readsWithIndel == 1)
        // The inserted T is no substitution, and neither are N in the read and in the reference.
        #expect(figures.first.substitutions == 1 && figures.second.substitutions == 0)
        // Six whole reads that are no duplicates, and four of the eight bases of the clipped one.
        #expect(figures.uniqueQ30Bases == 64)
        #expect(figures.fragmentLengths.entries.map(\.value) == [30] && figures.fragmentLengths[30] == 1)
    }

    @Test func readGroupsAreToldApart() {
        let groups = counter.figures.readGroups
        #expect(groups.map(\.id) == ["a", "b"] && groups.map(\.figures.all.reads) == [6, 6])
        #expect(groups.map(\.figures.duplicates) == [1, 0])
        #expect(groups[0].figures.first.mapped == 4 && groups[0].figures.second.mapped == 0)
        #expect(groups[1].figures.first.mapped == 1 && groups[1].figures.second.mapped == 3)
        #expect(groups[0].figures.supplementaryAlignments == 1 && groups[1].figures.secondaryAlignments == 1)
    }

    @Test func depthsAreCounted() {
        let figures = counter.figures
        let (one, x, y) = (figures.contigs[0], figures.contigs[1], figures.contigs[2])
        // Depth 2 where the read at 0 and the one at 5 meet; the deletion of the latter covers nothing.
        #expect(one.depths[2] == 5)
        #expect(one.depths.sum == 10 + 7 + 10 + 10 + 10 + 10)
        #expect(one.depths.total == one.length && one.knownDepths.total == one.length - 10)
        // Six of the ten bases across the border lie on N.
        #expect(one.knownDepths.sum == one.depths.sum - 6)
        #expect(x.depths[1] == 10 && x.depths[0] == 10 && x.depths.median == 0.5)
        #expect(y.depths[0] == 20 && y.knownDepths.total == 0)
        #expect(figures.coveringReads == 6)
    }

    @Test func figuresDoNotDependOnThreads() throws {
        let alone = RunCounter(reference: genome, readGroups: ["a", "b"])
        let many = RunCounter(reference: genome, readGroups: ["a", "b"])
        try alone.count(store, threads: 1)
        try many.count(store, threads: 5)
        #expect(alone.figures == many.figures)
        #expect(alone.figures.coveringReads == 6)
    }

    @Test func linesAreDragens() throws {
        let files = Dictionary(
            uniqueKeysWithValues: counter.figures.files(sample: "S", isRestricted: false).map { ($0.suffix, $0.text) })
        let mapping = try #require(files[".mapping_metrics.csv"]).split(separator: "\n")
        #expect(mapping.contains("MAPPING/ALIGNING SUMMARY,,Total input reads,12,100.00"))
        #expect(mapping.contains("MAPPING/ALIGNING SUMMARY,,Mapped reads,8,66.67"))
        #expect(mapping.contains("MAPPING/ALIGNING SUMMARY,,Total alignments,10"))
        #expect(mapping.contains("MAPPING/ALIGNING SUMMARY,,Reads with MAPQ [ 0:10),2,16.67"))
        #expect(mapping.contains("MAPPING/ALIGNING SUMMARY,,Mismatched bases R1,4,8.00"))
        #expect(mapping.contains("MAPPING/ALIGNING PER RG,b,Total reads in RG,6,100.00"))
        #expect(mapping.contains("MAPPING/ALIGNING PER RG,a,Insert length: median,30.00"))
        // Group a has no second mates, so there is nothing to take a percentage of.
        #expect(mapping.contains("MAPPING/ALIGNING PER RG,a,Soft-clipped bases R2,0"))
        let coverage = try #require(files[".wgs_coverage_metrics.csv"]).split(separator: "\n")
        #expect(coverage.contains("COVERAGE SUMMARY,,Aligned bases in genome,67,100.00"))
        #expect(coverage.contains("COVERAGE SUMMARY,,Average chr X coverage over genome,0.50"))
        #expect(coverage.contains("COVERAGE SUMMARY,,PCT of genome with coverage [  0x: inf),100.00"))
        #expect(coverage.contains("COVERAGE SUMMARY,,PCT of genome with coverage [  0x:  1x),99.91"))
        #expect(!coverage.contains { $0.contains("mitochondrial") || $0.contains("XAvgCov/YAvgCov") })
        let contigs = try #require(files[".wgs_contig_mean_cov.csv"])
        #expect(contigs == "1,57,0.0009\nX,10,0.5000\nY,0,0.0000\nAutosomal regions,57,0.0009\n")
        let fine = try #require(files[".wgs_fine_hist.csv"]).split(separator: "\n")
        #expect(fine.count == 1002 && fine[3] == "2,5" && fine[1001] == "1000+,0")
        #expect(files[".fragment_length_hist.csv"] == "#Sample: S\nFragmentLength,Count\n30,1\n")
        let ploidy = try #require(files[".ploidy_estimation_metrics.csv"])
        #expect(ploidy.hasPrefix("PLOIDY ESTIMATION,,Autosomal median coverage,0.00\n"))
        #expect(!ploidy.contains("Ploidy estimation,") && !ploidy.contains("Y median"))
    }

    /// Every length of read, and every quality at every place of a word.
    @Test func goodBasesAreCountedWhateverTheLength() {
        let counter = RunCounter(reference: genome, readGroups: ["a"])
        var batch = ReadBatch(firstOrdinal: 0, isPaired: false)
        for length in Array(0..<64) + Array(2024..<2060) {
            batch.qualities += (0..<length).map { UInt8(($0 * 7 + length) % 94) }
            batch.offsets.append(Int32(batch.qualities.count))
        }
        batch.bases = [UInt8](repeating: 0, count: batch.qualities.count)
        counter.count(batch)
        #expect(counter.figures.reads.first.q30Bases == batch.qualities.count { $0 >= 30 })
        #expect(counter.figures.reads.all.bases == batch.bases.count)
    }

    @Test func timesHaveHoursAndSeconds() {
        let file = MetricsFile.times([(.aligning, 3725.0416), (.total, 4000)])
        #expect(file.suffix == ".time_metrics.csv")
        #expect(
            file.text == "RUN TIME,,Time aligning reads,01:02:05.042,3725.04\n"
                + "RUN TIME,,Total runtime,01:06:40.000,4000.00\n")
    }

    @Test func contigsHaveTheirRoles() {
        let names = ["chr1", "22", "chr23", "0", "chrX", "Y", "chrM", "MT", "chr1_alt", "chr01", "HLA-A"]
        #expect(
            names.map(ContigRole.init(name:)) == [
                .autosome, .autosome, .other, .other, .x, .y, .mitochondrion, .mitochondrion, .other, .other, .other,
            ])
    }
}
