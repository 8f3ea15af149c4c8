package import Calling
internal import Compression
internal import Diagnostics
package import Evaluation
internal import Foundation
internal import GenomicFormats
internal import Storage

/// The calls of one sample with their features, and which of them are wrong.
package struct LabelledCalls: Sendable {
    package struct Row: Sendable {
        package var features: CallFeatures
        /// Allele or genotype is not the truth's.
        package var isWrong: Bool
        /// What the caller's own filters say.
        package var isPassing: Bool

        package init(features: CallFeatures, isWrong: Bool, isPassing: Bool = true) {
            self.features = features
            self.isWrong = isWrong
            self.isPassing = isPassing
        }
    }

    /// Where a sample's files are, and what they are for.
    package struct Source: Sendable {
        package enum Use: String, Sendable {
            case train
            case heldOut = "held-out"
        }

        package var name: String
        package var use: Use
        package var calls: String
        package var truth: String
        package var reference: String
        package var regions: String?
    }

    package var source: Source
    package var rows: [Row]
    private var truth: [VariantRecord]
    private var calls: [VariantRecord]
    private var comparison: CallSetComparison
    /// The row of each of `calls`; nil outside the regions.
    private var rowOfCall: [Int?]

    /// Reads calls that `dsgd genotype --features --no-learned-filter` wrote, and compares them with the truth.
    ///
    /// - Throws: `Failure` for a file that cannot be read, or a record without features.
    package init(_ source: Source) throws {
        self.source = source
        let reference = try FASTAReader.read(source.reference)
        var regions: [String: [Range<Int>]]?
        if let path = source.regions {
            regions = try BEDReader.read(path).contigs.mapValues { zip($0.starts, $0.ends).map { $0..<$1 } }
        }
        comparison = CallSetComparison(reference: reference, regions: regions)
        truth = try VCFTextReader().read(source.truth)
        calls = try VCFTextReader().read(source.calls)
        let wrong = Set(
            try comparison.compare(truth: truth, calls: calls).all.differences.filter { $0.kind == .falsePositive }
                .map { Self.key($0.contig, $0.position - 1, $0.reference, $0.alternates) })
        let features = try Self.features(source.calls)
        rows = []
        rowOfCall = []
        for call in calls {
            let span = call.position..<call.position + call.reference.count
            guard regions.map({ $0[call.contig]?.contains { $0.overlaps(span) } ?? false }) ?? true else {
                rowOfCall.append(nil)
                continue
            }
            guard let known = features[call.line] else {
                throw Failure(
                    .data, at: "\(source.calls):line \(call.line)", "the record has no features of this version (CF)",
                    remedy: "write the calls by dsgd genotype --features --no-learned-filter")
            }
            let key = Self.key(
                call.contig, call.position, String(decoding: call.reference, as: UTF8.self),
                call.alternates.map { String(decoding: $0, as: UTF8.self) })
            rowOfCall.append(rows.count)
            rows.append(Row(features: known, isWrong: wrong.contains(key), isPassing: call.isPassing))
        }
    }

    /// Accuracy of the records that pass, when those that `filter` thinks wrong do not; of all that pass without it.
    package func accuracy(_ filter: LearnedFilter?) throws -> Comparison {
        var judged = calls
        if let filter {
            for index in judged.indices {
                guard let row = rowOfCall[index] else { continue }
                if filter.quality(rows[row].features) < LearnedFilter.passQuality { judged[index].isPassing = false }
            }
        }
        return try comparison.compare(truth: truth, calls: judged).passing
    }

    private static func key(_ contig: String, _ position: Int, _ reference: String, _ alternates: [String]) -> String {
        "\(contig):\(position):\(reference):\(alternates.joined(separator: ","))"
    }

    /// Features by the number of the line.
    private static func features(_ path: String) throws -> [Int: CallFeatures] {
        var text: [UInt8] = []
        let inflater = GzipInflater(label: path)
        try FileReader.forEachPiece(of: path) { piece in try inflater.feed(piece) { text.append(contentsOf: $0) } }
        try inflater.finish { text.append(contentsOf: $0) }
        var found: [Int: CallFeatures] = [:]
        let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (number, line) in lines.enumerated() where line.first != UInt8(ascii: "#") {
            let fields = line.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false)
            guard fields.count > 7 else { continue }
            for item in fields[7].split(separator: UInt8(ascii: ";")) where item.starts(with: "CF=".utf8) {
                let text = String(decoding: item.dropFirst(3), as: UTF8.self)
                let values = text.split(separator: ",").compactMap { Double($0) }
                guard values.count == CallFeatures.names.count else { continue }
                found[number + 1] = CallFeatures(values: values)
            }
        }
        return found
    }

    /// Reads a list of sources: tab-separated lines of name, `train` or `held-out`, calls, truth, reference, regions; a
    /// dot where there are no regions. Lines that begin with # are passed over.
    package static func sources(_ path: String) throws -> [Source] {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        return try lines.enumerated().compactMap { number, line in
            if line.isEmpty || line.hasPrefix("#") { return nil }
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 6, let use = Source.Use(rawValue: fields[1]) else {
                throw Failure(
                    .data, at: "\(path):line \(number + 1)", "is no source of calls",
                    remedy: "write name, train or held-out, calls, truth, reference, regions or a dot, between tabs")
            }
            return Source(
                name: fields[0], use: use, calls: fields[2], truth: fields[3], reference: fields[4],
                regions: fields[5] == "." ? nil : fields[5])
        }
    }
}
