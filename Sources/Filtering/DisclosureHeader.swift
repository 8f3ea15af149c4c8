import Diagnostics
import GenomicFormats

/// The header that goes out, and which sample columns go with it.
struct OutputHeader {
    var header: VCFHeader
    /// Columns of the input's samples, in output order; nil when all stay as they are.
    var sampleColumns: [Int]?

    init(_ input: VCFHeader, fields: FieldProjection, policy: HeaderPolicy, label: String) throws {
        // A key that is spelled wrong would go out.
        for (kind, keys) in [("INFO", fields.droppedInfo), ("FORMAT", fields.droppedFormat)] {
            let known = Set(input.definitions.filter { $0.kind == kind }.map(\.id))
            if let unknown = keys.subtracting(known).min() {
                throw Failure(
                    .data, at: label, "its header defines no \(kind) key '\(unknown)' to drop",
                    remedy: "see bcftools view -h for its keys")
            }
        }
        switch policy {
        case .keep(let commandLine, let samples):
            header = input
            if let samples {
                sampleColumns = try samples.map { sample in
                    guard let column = input.samples.firstIndex(of: sample) else {
                        throw Failure(
                            .data, at: label, "has no sample '\(sample)'", remedy: "see bcftools query -l for its samples")
                    }
                    return column
                }
                guard Set(samples).count == samples.count else {
                    throw Failure(.usage, at: label, "a sample is named twice", remedy: "name every sample once")
                }
                header.samples = samples
                header.hasFormat = !samples.isEmpty
            }
            if let commandLine {
                let oneLine = commandLine.unicodeScalars.map { $0.value < 32 ? " " : String($0) }.joined()
                header.append(metaLine: "##dsgdCommand=\(oneLine)")
            }
            header.metaLines = header.metaLines.filter { Self.isKept($0, fields) }
            if fields.format?.isEmpty == true && input.hasFormat {
                header.samples = []
                header.hasFormat = false
                sampleColumns = []
            }
        case .disclose(let samples, let source):
            let columns = try samples.map { sample in
                guard let column = input.samples.firstIndex(of: sample.original) else {
                    throw Failure(
                        .data, at: label, "a sample of the right is not in the file", remedy: "check the right")
                }
                guard !sample.disclosed.isEmpty, !sample.disclosed.unicodeScalars.contains(where: { $0.value < 32 })
                else {
                    throw Failure(
                        .usage, at: label, "the disclosed name of a sample is empty or holds control characters",
                        remedy: "give a plain name")
                }
                return column
            }
            guard Set(samples.map(\.disclosed)).count == samples.count, Set(columns).count == columns.count else {
                throw Failure(.usage, at: label, "a sample is named twice", remedy: "name every sample once")
            }
            header = Self.fresh(input, fields: fields, source: source)
            if samples.isEmpty || fields.format?.isEmpty == true {
                sampleColumns = input.hasFormat ? [] : nil
            } else {
                header.samples = samples.map(\.disclosed)
                header.hasFormat = true
                sampleColumns = columns == Array(input.samples.indices) ? nil : columns
            }
        }
    }

    private static func isKept(_ line: String, _ fields: FieldProjection) -> Bool {
        guard let id = VCFHeader.value(of: "ID", in: line) else { return true }
        if line.hasPrefix("##INFO=<") { return fields.keepsInfo(id) }
        if line.hasPrefix("##FORMAT=<") { return fields.keepsFormat(id) }
        if line.hasPrefix("##FILTER=<") { return fields.keepsFilter }
        return true
    }

    /// Only what a reader needs to understand the records: no commands, paths, dates, references or free lines.
    private static func fresh(_ input: VCFHeader, fields: FieldProjection, source: String) -> VCFHeader {
        let version = input.metaLines.first?.prefix("##fileformat=VCFvN.N".count)
        var lines = [version.map(String.init) ?? "##fileformat=VCFv4.3"]
        lines.append("##source=" + source.unicodeScalars.map { $0.value < 32 ? " " : String($0) }.joined())
        for kind in ["FILTER", "ALT", "INFO", "FORMAT"] {
            for line in input.metaLines where line.hasPrefix("##\(kind)=<") && isKept(line, fields) {
                guard let id = VCFHeader.value(of: "ID", in: line) else { continue }
                var parts = ["ID=\(id)"]
                for key in ["Number", "Type"] {
                    if let value = VCFHeader.value(of: key, in: line) { parts.append("\(key)=\(value)") }
                }
                // A description is free text: one that could be a path or a command does not go out.
                let text = VCFHeader.value(of: "Description", in: line) ?? "\"\""
                let isPlain = text.utf8.count < 300 && !["/", "\\", "--"].contains { text.contains($0) }
                parts.append("Description=" + (isPlain ? text : "\"Description withheld\""))
                lines.append("##\(kind)=<\(parts.joined(separator: ","))>")
            }
        }
        return VCFHeader(metaLines: lines, contigs: input.contigs, samples: [])
    }
}
