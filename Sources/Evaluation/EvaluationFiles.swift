import Diagnostics
import GenomicFormats

extension CallSetComparison {
    /// What `dsgd evaluate` compares; paths of VCF (plain, gzip or BGZF), FASTA and BED files.
    public struct Files: Sendable {
        public var truth: String
        public var calls: String
        public var reference: String
        /// Nil compares everywhere.
        public var regions: String?
        /// Samples to read; nil takes the first of each file.
        public var truthSample: String?
        public var callsSample: String?
        public var minimumQuality: Double?

        public init(truth: String, calls: String, reference: String, regions: String? = nil) {
            self.truth = truth
            self.calls = calls
            self.reference = reference
            self.regions = regions
        }
    }

    /// Reads the files and compares them.
    ///
    /// - Throws: `Failure` for a file that cannot be read, is malformed, or does not belong to the reference. Contigs
    ///   of the regions that the reference lacks are such a mismatch too.
    public static func run(_ files: Files) throws -> ComparisonReport {
        let reference = try FASTAReader.read(files.reference)
        let regions = try files.regions.map { path in
            let set = try BEDReader.read(path)
            try set.check(
                against: reference.contigs.map { VCFHeader.Contig(name: $0.name, length: $0.length) }, label: path)
            return set.contigs.mapValues { zip($0.starts, $0.ends).map { $0..<$1 } }
        }
        var comparison = CallSetComparison(reference: reference, regions: regions)
        comparison.minimumQuality = files.minimumQuality
        return try comparison.compare(
            truth: try VCFTextReader(sample: files.truthSample).read(files.truth),
            calls: try VCFTextReader(sample: files.callsSample).read(files.calls))
    }
}
