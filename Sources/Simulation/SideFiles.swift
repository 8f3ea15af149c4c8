import Compression
import GenomicFormats
import Storage

/// The files beside the reads: reference, truth, regions, panel and list of variants.
struct SideFiles {
    let genome: ReferenceGenome
    let sample: DiploidSample
    let seed: UInt64
    let threads: Int

    /// Writes the variants: with an index when the name ends in `.gz`, as plain text otherwise.
    func writeTruth(to path: String, sampleName: String) throws {
        let header = VCFHeader(
            metaLines: [
                "##fileformat=VCFv4.3", "##source=dsgd simulate",
                "##FILTER=<ID=PASS,Description=\"All filters passed\">",
                "##FORMAT=<ID=GT,Number=1,Type=String,Description=\"True genotype, phased along the whole contig\">",
            ],
            contigs: genome.contigs.map { VCFHeader.Contig(name: $0.name, length: $0.length) }, samples: [sampleName])
        guard path.hasSuffix(".gz") else {
            let file = try PartialFile(path: path, audience: .everyone)
            try file.write(header.text)
            try forEachRecord { try file.write($0) }
            return try file.commit()
        }
        // A tabix index ends at base 2^29.
        let file = try VCFFileWriter(
            path: path, header: header, makesIndex: genome.contigs.allSatisfy { $0.length < 1 << 29 })
        try forEachRecord { text in try text.withUnsafeBytes { try file.writer.write(lines: $0) } }
        try file.commit()
    }

    /// The lines of the truth file, some thousands at a time.
    private func forEachRecord(_ body: ([UInt8]) throws -> Void) throws {
        let names = genome.contigs.map { Array($0.name.utf8) }
        var text: [UInt8] = []
        for variant in sample.variants {
            text += names[variant.contig]
            text += "\t\(variant.position + 1)\t.\t".utf8
            for base in variant.reference { text.append(BaseCode.letter(base)) }
            text.append(UInt8(ascii: "\t"))
            for base in variant.alternate { text.append(BaseCode.letter(base)) }
            text += "\t.\tPASS\t.\tGT\t\(variant.genotype)\n".utf8
            guard text.count > 1 << 20 else { continue }
            try body(text)
            text.removeAll(keepingCapacity: true)
        }
        try body(text)
    }

    /// The runs without N, less 100 bases at each of their ends, where reads are few.
    func confidentRegions() -> [[Range<Int>]] {
        genome.runsWithoutN(threads: threads).map { runs in
            runs.compactMap { run in
                run.count > 200 ? run.lowerBound + 100..<run.upperBound - 100 : nil
            }
        }
    }

    func writeConfident(to path: String) throws {
        var text = ""
        for (contig, runs) in zip(genome.contigs, confidentRegions()) {
            for run in runs { text += "\(contig.name)\t\(run.lowerBound)\t\(run.upperBound)\n" }
        }
        try write(text, to: path)
    }

    /// Made-up genes of 2 to 20 exons; exons cover about 5 % of the confident regions.
    func writePanel(to path: String) throws {
        var random = RandomStream(seed: seed, lane: Lane.panel)
        var text = ""
        var gene = 0
        for (contig, runs) in zip(genome.contigs, confidentRegions()) {
            for run in runs {
                var position = run.lowerBound + random.uniform(0...min(10_000, run.count / 4))
                while position < run.upperBound {
                    gene += 1
                    var exonBases = 0
                    let geneStart = position
                    for _ in 0..<random.uniform(2...20) {
                        let end = position + random.uniform(80...300)
                        guard end <= run.upperBound else { break }
                        text += "\(contig.name)\t\(position)\t\(end)\tSIMG\(gene)\n"
                        exonBases += end - position
                        position = end + random.uniform(200...3_000)
                    }
                    guard exonBases > 0 else { break }
                    // The gap to the next gene brings the share of exons to 5 % on average.
                    let gap = max(500, 20 * exonBases - (position - geneStart))
                    position += random.uniform(gap / 2...gap + gap / 2)
                }
            }
        }
        try write(text, to: path)
    }

    /// Up to 15 variants that the sample has and 5 that it has not, in order, as CHROM, POS, ID, REF and ALT.
    func writeVariantList(to path: String) throws {
        var random = RandomStream(seed: seed, lane: Lane.variantList)
        struct Entry: Comparable {
            var contig: Int
            var position: Int
            var text: String
            static func < (one: Entry, two: Entry) -> Bool {
                (one.contig, one.position) < (two.contig, two.position)
            }
        }
        var entries: [Entry] = []
        var taken: Set<[Int]> = []
        for number in 0..<min(15, sample.variants.count) {
            let share = sample.variants.count / min(15, sample.variants.count)
            let variant = sample.variants[number * share + random.below(share)]
            let alleles = "\(letters(variant.reference))\t\(letters(variant.alternate))"
            entries.append(
                Entry(
                    contig: variant.contig, position: variant.position,
                    text: "\(name(variant))\t\(variant.position + 1)\t.\t\(alleles)\n"))
        }
        for variant in sample.variants { taken.insert([variant.contig, variant.position]) }
        let regions = confidentRegions().enumerated().flatMap { contig, runs in runs.map { (contig, $0) } }
        var absent = 0
        while absent < 5, !regions.isEmpty {
            let (contig, run) = regions[random.below(regions.count)]
            let position = run.lowerBound + random.below(run.count)
            absent += 1
            guard taken.insert([contig, position]).inserted else { continue }
            let base = genome.contigs[contig].bases[position]
            let other = base ^ 2
            entries.append(
                Entry(
                    contig: contig, position: position,
                    text: "\(genome.contigs[contig].name)\t\(position + 1)\t.\t\(letters([base]))\t"
                        + "\(letters([other]))\n"))
        }
        try write("#CHROM\tPOS\tID\tREF\tALT\n" + entries.sorted().map(\.text).joined(), to: path)
    }

    private func write(_ text: String, to path: String) throws {
        let file = try PartialFile(path: path, audience: .everyone)
        try file.write(Array(text.utf8))
        try file.commit()
    }

    private func name(_ variant: TruthVariant) -> String { genome.contigs[variant.contig].name }

    private func letters(_ codes: [UInt8]) -> String {
        String(decoding: codes.map { BaseCode.ascii[Int($0)] }, as: UTF8.self)
    }
}
