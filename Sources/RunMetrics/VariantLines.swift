extension RunFigures {
    func variantLines(sample: String, isRestricted: Bool) -> [String] {
        var summary = MetricsLines("VARIANT CALLER SUMMARY")
        summary.add("Number of samples", 1)
        // Reads inside regions are not counted apart.
        if !isRestricted { summary.add("Reads Processed", reads.all.mapped - reads.duplicates) }
        var lines = summary.lines
        for (stage, counts) in [("PREFILTER", variants.written), ("POSTFILTER", variants.passed)] {
            var section = MetricsLines("VARIANT CALLER \(stage)", of: sample)
            section.addVariants(counts, hasX: variants.hasX, hasY: variants.hasY)
            lines += section.lines
        }
        return lines
    }
}

extension MetricsLines {
    fileprivate mutating func addVariants(_ counts: VariantCounts, hasX: Bool, hasY: Bool) {
        for (name, value) in [
            ("Total", counts.total), ("Biallelic", counts.biallelic), ("Multiallelic", counts.multiallelic),
            ("SNPs", counts.snps), ("MNPs", counts.mnps), ("Insertions (Hom)", counts.homozygousInsertions),
            ("Insertions (Het)", counts.heterozygousInsertions), ("Deletions (Hom)", counts.homozygousDeletions),
            ("Deletions (Het)", counts.heterozygousDeletions), ("Indels (Het)", counts.mixedIndels),
        ] {
            add(name, value, of: counts.total)
        }
        if hasX { add("Chr X number of SNPs over genome", counts.snpsOnX) }
        if hasY { add("Chr Y number of SNPs over genome", counts.snpsOnY) }
        if hasX && hasY {
            add("(Chr X SNPs)/(chr Y SNPs) ratio over genome", ratio(Double(counts.snpsOnX), Double(counts.snpsOnY)))
        }
        add("SNP Transitions", counts.transitions)
        add("SNP Transversions", counts.transversions)
        add("Ti/Tv ratio", ratio(Double(counts.transitions), Double(counts.transversions)))
        add("Heterozygous", counts.heterozygous)
        add("Homozygous", counts.homozygous)
        add("Het/Hom ratio", ratio(Double(counts.heterozygous), Double(counts.homozygous)))
    }
}
