/// How well a mapper placed reads whose true places are known.
public struct MappingReport: Sendable, Codable, Equatable {
    /// Reads of one mapping quality that the mapper placed.
    public struct Quality: Sendable, Codable, Equatable {
        public var quality: Int
        public var mapped: Int
        public var wrong: Int

        public init(quality: Int, mapped: Int, wrong: Int) {
            self.quality = quality
            self.mapped = mapped
            self.wrong = wrong
        }
    }

    /// Primary records, one for each read.
    public var reads = 0
    public var mapped = 0
    /// On the true contig and strand, and at the true place within the tolerance.
    public var correct = 0
    public var correctAt20 = 0
    /// Placed elsewhere, or placed although they come from nowhere in the reference.
    public var wrongAt20 = 0
    public var correctAt60 = 0
    /// Reads that come from nowhere in the reference, and how many of them were placed all the same.
    public var foreign = 0
    public var foreignMapped = 0
    /// Secondary and supplementary records, which are not judged.
    public var passedOver = 0
    /// By falling mapping quality; qualities that do not occur are left out.
    public var qualities: [Quality] = []

    public init() {}

    /// The counts as shares of the reads, and the calibration of the mapping quality.
    public var table: String {
        var lines = [
            "reads               \(Self.right("\(reads)", 12))", "mapped              \(share(mapped))",
            "correct             \(share(correct))",
            "correct, MAPQ >= 20 \(share(correctAt20))", "wrong,   MAPQ >= 20 \(share(wrongAt20))",
            "correct, MAPQ >= 60 \(share(correctAt60))",
        ]
        if foreign > 0 { lines.append("foreign, and mapped \(foreign), \(foreignMapped)") }
        lines += ["", "MAPQ      mapped       wrong    wrong %    and above: mapped     wrong    wrong %"]
        var mappedAbove = 0
        var wrongAbove = 0
        for entry in qualities {
            mappedAbove += entry.mapped
            wrongAbove += entry.wrong
            lines.append(
                [
                    Self.right("\(entry.quality)", 4), Self.right("\(entry.mapped)", 12),
                    Self.right("\(entry.wrong)", 12),
                    Self.right(Self.percent(entry.wrong, of: entry.mapped), 11), Self.right("\(mappedAbove)", 21),
                    Self.right("\(wrongAbove)", 10), Self.right(Self.percent(wrongAbove, of: mappedAbove), 11),
                ].joined())
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func share(_ count: Int) -> String {
        Self.right("\(count)", 12) + Self.right(Self.percent(count, of: reads), 11) + " %"
    }

    /// Four decimals, rounded to nearest.
    private static func percent(_ count: Int, of all: Int) -> String {
        guard all > 0 else { return "n/a" }
        let scaled = Int((Double(count) / Double(all) * 1_000_000).rounded())
        let digits = String(scaled % 10_000)
        return "\(scaled / 10_000)." + String(repeating: "0", count: 4 - digits.count) + digits
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
