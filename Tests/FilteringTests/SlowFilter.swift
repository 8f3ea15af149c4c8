import Foundation

/// The tables of docs/FILTER-RULES.md once more, base by base on strings, with nothing of the filter's own code.
struct SlowFilter {
    enum Rule: String { case position, record, variant, within }

    struct Record {
        var contig: String
        var position: Int
        var reference: String
        var alternatives: [String]
        /// Keys and values in order.
        var info: [(String, String)]

        var end: Int {
            if let text = info.first(where: { $0.0 == "END" })?.1, let end = Int(text), end >= position { return end }
            return position + reference.count - 1
        }

        var line: String { text(position: position, reference: reference, end: nil) }

        /// The record's line, or that of a piece of a reference block.
        func text(position: Int, reference: String, end: Int?) -> String {
            let pairs = info.map { $0.0 == "END" ? "END=\(end.map(String.init) ?? $0.1)" : "\($0.0)=\($0.1)" }
            let identifier = end == nil ? "rs\(self.position)" : "."
            return [
                contig, "\(position)", identifier, reference, alternatives.joined(separator: ","), "50", "PASS",
                pairs.isEmpty ? "." : pairs.joined(separator: ";"), "GT:DP", "0/0:7",
            ].joined(separator: "\t")
        }
    }

    /// 1-based bases of each contig that the right names.
    private var granted: [String: Set<Int>] = [:]

    /// - Parameter regions: 0-based, half-open.
    init(_ regions: [String: [Range<Int>]]) {
        for (contig, ranges) in regions { granted[contig] = Set(ranges.flatMap { $0.map { $0 + 1 } }) }
    }

    /// The lines that go out, in order.
    func filter(_ records: [Record], _ rule: Rule) -> [String] {
        var lines: [(contig: Int, position: Int, line: String)] = []
        var contigs: [String] = []
        for record in records {
            if contigs.last != record.contig { contigs.append(record.contig) }
            for (position, line) in decide(record, rule) { lines.append((contigs.count, position, line)) }
        }
        // Lines of the same place keep the order of the records that they come from.
        let order = lines.indices.sorted {
            (lines[$0].contig, lines[$0].position, $0) < (lines[$1].contig, lines[$1].position, $1)
        }
        return order.map { lines[$0].line }
    }

    private func decide(_ record: Record, _ rule: Rule) -> [(Int, String)] {
        let here = granted[record.contig] ?? []
        let whole = [(record.position, record.line)]
        switch rule {
        case .position: return here.contains(record.position) ? whole : []
        case .record: return (record.position...record.end).contains(where: here.contains) ? whole : []
        case .variant:
            let alleles = record.alternatives.filter { $0 != "." }
            let shared = alleles.map { $0.commonPrefix(with: record.reference).count }.min()
            let first = record.position + (shared ?? record.end - record.position + 1)
            if first > record.end { return here.contains(first - 1) && here.contains(first) ? whole : [] }
            return (first...record.end).contains(where: here.contains) ? whole : []
        case .within:
            if record.alternatives.allSatisfy({ [".", "<NON_REF>", "<*>"].contains($0) }) { return cut(record, here) }
            guard let told = told(record) else { return [] }
            // Bases without a gap that are all granted lie in one region, as touching regions are one.
            return (told.min()!...told.max()!).allSatisfy(here.contains) ? whole : []
        }
    }

    /// The bases of which a record tells something; nil when that cannot be known, or a far end is not granted.
    private func told(_ record: Record) -> [Int]? {
        var bases: [Int] = []
        let spelled = Array(record.position..<record.position + record.reference.count)
        for allele in record.alternatives {
            if allele == "*" {
                bases.append(record.position)
            } else if ["<NON_REF>", "<*>", "."].contains(allele) {
                continue
            } else if allele.hasPrefix("<") {
                let lengths = record.info.first { $0.0 == "SVLEN" }?.1.split(separator: ",") ?? []
                let longest = lengths.compactMap { Int($0).map(abs) }.max() ?? 0
                bases += record.position...max(record.end, record.position + longest)
            } else if allele.contains("[") {
                let parts = allele.split(separator: "[")[1].split(separator: ":")
                guard granted[String(parts[0])]?.contains(Int(parts[1])!) == true else { return nil }
                bases += spelled
            } else if allele == "?" {
                return nil
            } else {
                var (old, new, from) = (Substring(record.reference), Substring(allele), record.position)
                while let last = old.last, last == new.last { (old, new) = (old.dropLast(), new.dropLast()) }
                while let first = old.first, first == new.first {
                    (old, new, from) = (old.dropFirst(), new.dropFirst(), from + 1)
                }
                if !old.isEmpty {
                    bases += from..<from + old.count
                } else {
                    bases += new.isEmpty ? spelled : [from - 1, from]
                }
            }
        }
        return bases
    }

    private func cut(_ record: Record, _ here: Set<Int>) -> [(Int, String)] {
        let last = max(record.end, record.position + record.reference.count - 1)
        let block = record.position...last
        if block.allSatisfy(here.contains) { return [(record.position, record.line)] }
        guard record.info.contains(where: { $0.0 == "END" }) else { return [] }
        var pieces: [(Int, String)] = []
        for first in block where here.contains(first) && (first == record.position || !here.contains(first - 1)) {
            var end = first
            while end < last && here.contains(end + 1) { end += 1 }
            let base = first == record.position ? String(record.reference.prefix(1)) : "N"
            pieces.append((first, record.text(position: first, reference: base, end: end)))
        }
        return pieces
    }
}
