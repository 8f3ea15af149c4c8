import Evaluation
import Foundation
import KeyNetwork
import Metering
import Roles

/// A demonstration's outcome as text for the terminal and as one self-contained HTML page.
struct DemoReport {
    let outcome: DemoOutcome

    init(_ outcome: DemoOutcome) { self.outcome = outcome }

    /// The paper's figure for the whole path, in Mbit/s: "over 400 Mbps".
    static let paperMegabits = 400.0

    /// Rows of the throughput table: stage, what it does, Mbit/s for each user.
    var throughputRows: [(label: String, what: String, values: [Double])] {
        let stages: [(Stage, String)] = [
            (.genotyping, "FASTQ to VCF.gz, restore from shares included"), (.decompression, "VCF.gz to VCF"),
            (.filtering, "VCF to F_VCF"), (.compression, "F_VCF to F_VCF.gz"), (.delivery, "F_VCF.gz to the user"),
        ]
        var rows = stages.map { stage, what in
            (
                label: stage.label, what: what,
                values: outcome.answers.map { $0.receipt.measurement(stage)?.megabitsPerSecond ?? 0 }
            )
        }
        rows.append(("total", "size(FASTQ) / time of all", outcome.answers.map { $0.receipt.totalThroughput }))
        return rows
    }

    // MARK: Text

    func text() -> String {
        var lines = ["", "Throughput in Mbit/s (the paper: more than 400 in total, on an FPGA appliance)"]
        lines.append(column("", 44) + outcome.answers.map { column($0.user, 17, right: true) }.joined())
        for row in throughputRows {
            let cells = row.values.map { column(decimals($0, $0 < 10 ? 2 : 0), 17, right: true) }.joined()
            lines.append(column(row.label, 7) + column(row.what, 37) + cells)
        }
        lines.append("")
        lines.append("What each user received")
        for answer in outcome.answers {
            lines.append(
                column("  \(answer.user)", 19) + column(answer.right, 22)
                    + column("\(answer.note.recordsDelivered) records", 16, right: true)
                    + column("\(answer.receipt.recordsWithheld) withheld", 18, right: true)
                    + column("\(grouped(answer.note.vcfBytes)) bytes", 17, right: true))
        }
        if let receipt = outcome.answers.last?.receipt {
            lines.append("")
            lines.append(
                "Reads \(receipt.reads), mapped \(receipt.mappedReads), duplicates \(receipt.duplicates); "
                    + "shares joined from \(receipt.holders.joined(separator: " and ")); engine \(receipt.engine), "
                    + "profile \(receipt.hardwareProfile)")
        }
        lines.append("")
        lines.append("Key used on each QKD link")
        for link in linkUsage {
            lines.append(
                column("  \(link.name)", 34) + column("\(grouped(link.used)) bytes used", 24, right: true)
                    + column("\(grouped(link.generated)) generated", 24, right: true)
                    + column("\(grouped(link.onHand)) on hand", 22, right: true))
        }
        if let comparison = outcome.comparison {
            lines += ["", "Calls against the truth", comparison.table]
        }
        lines.append("")
        lines.append("Whole demonstration: \(decimals(outcome.seconds, 1)) s")
        return lines.joined(separator: "\n")
    }

    /// Each link once, as the end with the smaller name sees it.
    var linkUsage: [(name: String, generated: UInt64, used: UInt64, onHand: UInt64)] {
        outcome.nodes.flatMap { node in
            node.links.filter { node.node < $0.peer }.map {
                ("\(node.node) - \($0.peer)", $0.generated, $0.used, $0.stockOut + $0.stockIn)
            }
        }.sorted { $0.0 < $1.0 }
    }

    // MARK: HTML

    func html() -> String {
        """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><title>DSGD: \(escaped(outcome.input.sample))</title>
        <style>
        body{font:16px/1.5 system-ui,sans-serif;color:#1c2733;max-width:60rem;margin:2rem auto;padding:0 1rem}
        h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #d5dde5}
        table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
        th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #e8edf2}
        th:first-child,td:first-child,td.l,th.l{text-align:left}
        th{font-weight:600;color:#48586a}small,.note{color:#5c6d7e}svg{width:100%;height:auto}
        </style></head><body>
        <h1>Reads to shares to answers: \(escaped(outcome.input.sample))</h1>
        <p class="note">\(outcome.input.isSimulated ? "A simulated diploid sample whose truth is known. " : "")\
        \(grouped(outcome.deposit.bytes)) bytes of FASTQ.gz, deposited in \(decimals(outcome.deposit.seconds, 2)) s; the whole
        demonstration took \(decimals(outcome.seconds, 1)) s on this machine.</p>
        \(pathPicture())
        <h2>Throughput</h2>\(throughputTable())\(throughputPlot())
        <p class="note">A to C and total by the formulas of Fujiwara et al. 2022, in Mbit/s (10<sup>6</sup> bit). A and total
        include the restore from two shares. The paper reports a total of more than 400 Mbit/s with an FPGA appliance on data
        of tens of gigabytes; small inputs as here are dominated by fixed times.</p>
        <h2>What each user received</h2>\(usersTable())
        <h2>Key used</h2>\(keysTable())
        \(accuracySection())
        <h2>Erased after use</h2>\(erasuresTable())
        </body></html>
        """
    }

    private func pathPicture() -> String {
        let boxes: [(Int, Int, String, String)] = [
            (10, 70, "data owner", "splits, keeps A"), (210, 10, "holder B", "share B"),
            (210, 130, "holder C", "share C"),
            (410, 70, "trusted server", "joins, genotypes, filters"), (640, 70, "users", "only their part"),
        ]
        let arrows: [(Int, Int, Int, Int)] = [
            (150, 85, 210, 45), (150, 95, 410, 95), (150, 105, 210, 150), (350, 45, 410, 80), (350, 150, 410, 110),
            (590, 95, 640, 95),
        ]
        let lines = arrows.map { x1, y1, x2, y2 in
            "<line x1=\"\(x1)\" y1=\"\(y1)\" x2=\"\(x2)\" y2=\"\(y2)\" stroke=\"#2f6f9f\" stroke-width=\"2\" marker-end=\"url(#a)\"/>"
        }.joined()
        let rects = boxes.map { x, y, title, note in
            let width = title == "trusted server" ? 180 : 140
            return
                "<rect x=\"\(x)\" y=\"\(y)\" width=\"\(width)\" height=\"50\" rx=\"6\" fill=\"#eef4f9\" stroke=\"#2f6f9f\"/>"
                + "<text x=\"\(x + width / 2)\" y=\"\(y + 21)\" text-anchor=\"middle\" font-weight=\"600\">\(title)</text>"
                + "<text x=\"\(x + width / 2)\" y=\"\(y + 40)\" text-anchor=\"middle\" font-size=\"12\" fill=\"#5c6d7e\">\(note)</text>"
        }.joined()
        return """
            <svg viewBox="0 0 790 200" role="img" aria-label="path of the data" font-family="system-ui,sans-serif" font-size="14">
            <defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0L10 5L0 10z" fill="#2f6f9f"/></marker></defs>\(lines)\(rects)
            <text x="395" y="196" text-anchor="middle" font-size="12" fill="#5c6d7e">every arrow: one-time pad with
            Wegman-Carter tags, key from five trusted nodes</text></svg>
            """
    }

    private func throughputTable() -> String {
        let head = outcome.answers.map { "<th>\(escaped($0.user))</th>" }.joined()
        let body = throughputRows.map { row in
            let cells = row.values.map { "<td>\(decimals($0, $0 < 10 ? 2 : 0))</td>" }.joined()
            return
                "<tr><td>\(row.label) <small>\(row.what)</small></td>\(cells)<td>\(row.label == "total" ? "&gt; 400" : "")</td></tr>"
        }.joined()
        return "<table><tr><th>Mbit/s</th>\(head)<th>paper</th></tr>\(body)</table>"
    }

    /// Bars on a logarithmic axis, the last user's figures, with the paper's 400 Mbit/s as a line.
    private func throughputPlot() -> String {
        let decades = 5.0
        func x(_ value: Double) -> Double { 120 + 600 * min(1, max(0, log10(max(value, 1)) / decades)) }
        var parts: [String] = []
        for power in 0...Int(decades) {
            let at = x(pow(10, Double(power)))
            parts.append("<line x1=\"\(at)\" y1=\"10\" x2=\"\(at)\" y2=\"200\" stroke=\"#e3e9ef\"/>")
            let label = ["1", "10", "100", "1,000", "10,000", "100,000"][power]
            parts.append(
                "<text x=\"\(at)\" y=\"216\" text-anchor=\"middle\" fill=\"#5c6d7e\" font-size=\"12\">\(label)</text>")
        }
        for (index, row) in throughputRows.enumerated() {
            let value = row.values.last ?? 0
            let y = 16 + index * 31
            parts.append("<text x=\"110\" y=\"\(y + 15)\" text-anchor=\"end\">\(row.label)</text>")
            parts.append(
                "<rect x=\"120\" y=\"\(y)\" width=\"\(x(value) - 120)\" height=\"20\" rx=\"3\" fill=\"#3d85b8\"/>"
                    + "<text x=\"\(x(value) + 6)\" y=\"\(y + 15)\" font-size=\"12\">\(decimals(value, value < 10 ? 2 : 0))</text>"
            )
        }
        let paper = x(Self.paperMegabits)
        parts.append(
            "<line x1=\"\(paper)\" y1=\"4\" x2=\"\(paper)\" y2=\"200\" stroke=\"#b5452c\" stroke-width=\"2\" stroke-dasharray=\"5 4\"/>"
                + "<text x=\"\(paper + 5)\" y=\"12\" font-size=\"12\" fill=\"#b5452c\">paper: &gt; 400 in total</text>")
        return
            "<svg viewBox=\"0 0 790 236\" role=\"img\" aria-label=\"throughput by stage\" font-family=\"system-ui,sans-serif\" font-size=\"14\">"
            + parts.joined()
            + "<text x=\"420\" y=\"233\" text-anchor=\"middle\" font-size=\"12\" fill=\"#5c6d7e\">Mbit/s, logarithmic; \(escaped(outcome.answers.last?.user ?? ""))</text></svg>"
    }

    private func usersTable() -> String {
        let rows = outcome.answers.map { answer in
            "<tr><td>\(escaped(answer.user))</td><td class=\"l\">\(escaped(answer.right))</td>"
                + "<td>\(grouped(answer.note.recordsDelivered))</td><td>\(grouped(answer.receipt.recordsWithheld))</td>"
                + "<td>\(grouped(answer.note.vcfBytes))</td></tr>"
        }.joined()
        return
            "<table><tr><th>user</th><th class=\"l\">right</th><th>records received</th><th>withheld</th><th>bytes of VCF.gz</th></tr>\(rows)</table>"
    }

    private func keysTable() -> String {
        let rows = linkUsage.map {
            "<tr><td>\(escaped($0.name))</td><td>\(grouped($0.generated))</td><td>\(grouped($0.used))</td><td>\(grouped($0.onHand))</td></tr>"
        }.joined()
        return
            "<table><tr><th>QKD link</th><th>bytes of key generated</th><th>used</th><th>on hand</th></tr>\(rows)</table>"
    }

    private func accuracySection() -> String {
        guard let comparison = outcome.comparison else { return "" }
        func figure(_ value: Double?) -> String { value.map { decimals($0, 4) } ?? "-" }
        let rows = [("SNP", comparison.passing.snp), ("indel", comparison.passing.indel)].map { name, counts in
            "<tr><td>\(name)</td><td>\(counts.truthMatched)</td><td>\(counts.falsePositives)</td><td>\(counts.falseNegatives)</td>"
                + "<td>\(figure(counts.precision))</td><td>\(figure(counts.recall))</td><td>\(figure(counts.f1))</td></tr>"
        }.joined()
        return """
            <h2>Calls against the truth</h2><table><tr><th></th><th>found</th><th>false positive</th><th>missed</th>
            <th>precision</th><th>recall</th><th>F1</th></tr>\(rows)</table>
            <details><summary>Every difference</summary><pre>\(escaped(ComparisonReport.list(comparison.passing.differences)))</pre></details>
            """
    }

    private func erasuresTable() -> String {
        let rows = (outcome.answers.last?.receipt.erasures ?? []).map {
            "<tr><td>\(escaped($0.what))</td><td class=\"l\">\($0.guarantee.rawValue)</td></tr>"
        }.joined()
        return "<table><tr><th>what</th><th class=\"l\">guarantee</th></tr>\(rows)</table>"
    }
}

/// A whole number with commas between its thousands.
func grouped(_ number: some BinaryInteger) -> String {
    var text = ""
    for (index, digit) in String(number).reversed().enumerated() {
        if index > 0, index % 3 == 0 { text.append(",") }
        text.append(digit)
    }
    return String(text.reversed())
}

func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing(
        "\"", with: "&quot;")
}
