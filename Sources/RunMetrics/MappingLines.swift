extension RunFigures {
    private var referenceLength: Int { contigs.reduce(0) { $0 + $1.length } }

    /// The summary of the sample, then the same of every read group.
    func mappingLines() -> [String] {
        var summary = MetricsLines("MAPPING/ALIGNING SUMMARY")
        summary.add("Total input reads", reads.all.reads, of: reads.all.reads)
        summary.addReads(reads, referenceLength: referenceLength)
        summary.add("Bases in reference genome", referenceLength)
        return readGroups.reduce(into: summary.lines) { lines, group in
            var section = MetricsLines("MAPPING/ALIGNING PER RG", of: group.id)
            section.add("Total reads in RG", group.figures.all.reads, of: group.figures.all.reads)
            section.addReads(group.figures, referenceLength: referenceLength)
            lines += section.lines
        }
    }

    /// Every length from the least to the greatest.
    func fragmentLengthLines(sample: String) -> [String] {
        let lengths = reads.fragmentLengths
        let seen = lengths.entries
        guard let least = seen.first?.value, let greatest = seen.last?.value else { return [] }
        return ["#Sample: \(field(sample))", "FragmentLength,Count"]
            + (least...greatest).map { "\($0),\(lengths[$0])" }
    }
}

extension MetricsLines {
    fileprivate mutating func addReads(_ figures: ReadFigures, referenceLength: Int) {
        let (all, first, second) = (figures.all, figures.first, figures.second)
        add("Number of duplicate marked reads", figures.duplicates, of: all.reads)
        add("Number of unique reads (excl. duplicate marked reads)", all.reads - figures.duplicates, of: all.reads)
        add("Reads with mate sequenced", figures.pairedReads, of: all.reads)
        add("Reads without mate sequenced", all.reads - figures.pairedReads, of: all.reads)
        add("Mapped reads", all.mapped, of: all.reads)
        add("Mapped reads R1", first.mapped, of: first.reads)
        add("Mapped reads R2", second.mapped, of: second.reads)
        add(
            "Number of unique & mapped reads (excl. duplicate marked reads)", all.mapped - figures.duplicates,
            of: all.reads)
        add("Unmapped reads", all.reads - all.mapped, of: all.reads)
        add("Singleton reads (itself mapped; mate unmapped)", figures.singletons, of: all.reads)
        add("Paired reads (itself & mate mapped)", figures.bothMapped, of: all.reads)
        add("Properly paired reads", figures.properlyPaired, of: all.reads)
        add("Not properly paired reads (discordant)", figures.bothMapped - figures.properlyPaired, of: all.reads)
        add("Paired reads mapped to different chromosomes", figures.onDifferentContigs, of: figures.bothMapped)
        add(
            "Paired reads mapped to different chromosomes (MAPQ>=10)", figures.onDifferentContigsConfident,
            of: figures.bothMapped)
        for (name, range) in [
            ("[40:inf)", 40..<256), ("[30:40)", 30..<40), ("[20:30)", 20..<30), ("[10:20)", 10..<20),
            ("[ 0:10)", 0..<10),
        ] {
            add("Reads with MAPQ \(name)", figures.mappingQualities.count(in: range), of: all.reads)
        }
        add("Reads with MAPQ NA (Unmapped reads)", all.reads - all.mapped, of: all.reads)
        add("Reads with indel R1", first.readsWithIndel, of: first.mapped)
        add("Reads with indel R2", second.readsWithIndel, of: second.mapped)
        addBases(figures)
        add("Total alignments", all.mapped + figures.secondaryAlignments + figures.supplementaryAlignments)
        add("Secondary alignments", figures.secondaryAlignments)
        add("Supplementary (chimeric) alignments", figures.supplementaryAlignments)
        add("Estimated read length", ratio(Double(all.bases), Double(all.reads)))
        add("Average sequenced coverage over genome", ratio(Double(all.bases), Double(referenceLength)))
        add("Insert length: mean", figures.fragmentLengths.mean)
        add("Insert length: median", figures.fragmentLengths.median)
        add("Insert length: standard deviation", figures.fragmentLengths.standardDeviation)
    }

    private mutating func addBases(_ figures: ReadFigures) {
        let (all, first, second) = (figures.all, figures.first, figures.second)
        add("Total bases", all.bases)
        add("Total bases R1", first.bases)
        add("Total bases R2", second.bases)
        add("Mapped bases R1", first.mappedBases)
        add("Mapped bases R2", second.mappedBases)
        for (name, mate) in [("R1", first), ("R2", second)] {
            add("Soft-clipped bases \(name)", mate.softClippedBases, of: mate.mappedBases)
        }
        for (name, mate) in [("R1", first), ("R2", second)] {
            add("Mismatched bases \(name)", mate.substitutions + mate.indelBases, of: mate.mappedBases)
        }
        for (name, mate) in [("R1", first), ("R2", second)] {
            add("Mismatched bases \(name) (excl. indels)", mate.substitutions, of: mate.mappedBases)
        }
        add("Q30 bases", all.q30Bases, of: all.bases)
        add("Q30 bases R1", first.q30Bases, of: first.bases)
        add("Q30 bases R2", second.q30Bases, of: second.bases)
        add("Q30 bases (excl. dups & clipped bases)", figures.uniqueQ30Bases)
    }
}
