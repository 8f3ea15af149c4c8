import Channel
import Diagnostics
import Foundation
import Glibc
import OneTimePad

extension KeyNodeStatus {
    /// The status in Prometheus' text format, version 0.0.4.
    public func prometheus() -> String { Self.prometheus([self]) }

    /// The status of several nodes: each family of metrics once.
    public static func prometheus(_ nodes: [KeyNodeStatus]) -> String {
        var page = MetricsPage()
        for node in nodes {
            for link in node.links { page.add(link, of: node.node) }
            page.add(node)
        }
        return page.text
    }
}

/// Families of metrics in the order of their first sample.
private struct MetricsPage {
    private var order: [String] = []
    private var lines: [String: [String]] = [:]

    var text: String { order.flatMap { lines[$0] ?? [] }.joined(separator: "\n") + "\n" }

    /// - Parameter type: `gauge` or `counter`.
    mutating func add(_ name: String, _ type: String, _ help: String, _ labels: [(String, String)], _ value: Double) {
        if lines[name] == nil {
            order.append(name)
            lines[name] = ["# HELP \(name) \(help)", "# TYPE \(name) \(type)"]
        }
        let text = labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",")
        let number = value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
        lines[name]?.append("\(name){\(text)} \(number)")
    }

    private static func escaped(_ label: String) -> String {
        label.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    mutating func add(_ link: KeyNodeStatus.Link, of node: String) {
        let labels = [("node", node), ("peer", link.peer)]
        add("dsgd_link_up", "gauge", "Whether the channel to the neighbour stands.", labels, link.up ? 1 : 0)
        add(
            "dsgd_link_rate_bits_per_second", "gauge", "Key rate of the link, both directions together.", labels,
            link.rateMbitPerS * 1e6)
        add(
            "dsgd_link_generated_bytes_total", "counter", "Key that the link delivered since the ledger began.", labels,
            Double(link.generated))
        add(
            "dsgd_link_used_bytes_total", "counter", "Link key that was used since the ledger began.", labels,
            Double(link.used))
        for (name, direction) in [("out", link.out), ("in", link.in)] {
            let labels = labels + [("direction", name)]
            add("dsgd_link_stock_bytes", "gauge", "Link key on hand.", labels, Double(direction.stock))
            add(
                "dsgd_link_capacity_bytes", "gauge", "Link key that the node stores of a direction.", labels,
                Double(link.capacity))
            add(
                "dsgd_link_use_bytes_per_second", "gauge", "Use of link key in the last minute.", labels,
                direction.usePerSecond)
            add(
                "dsgd_link_supply_bytes_per_second", "gauge", "Link key that came in the last minute.", labels,
                direction.supplyPerSecond)
            if let seconds = direction.secondsToEmpty {
                add(
                    "dsgd_link_empty_seconds", "gauge", "Seconds until the stock is used up at the present rate.",
                    labels,
                    seconds)
            }
        }
    }

    mutating func add(_ node: KeyNodeStatus) {
        let relayed = [
            ("sent", node.relay.sent), ("passed-on", node.relay.passedOn), ("arrived", node.relay.arrived),
        ]
        for (kind, bytes) in relayed {
            add(
                "dsgd_relayed_bytes_total", "counter", "Key for roles that went through the node since it started.",
                [("node", node.node), ("kind", kind)], Double(bytes))
        }
        add(
            "dsgd_relay_failures_total", "counter", "Relayed messages that a hop refused or lost.",
            [("node", node.node)],
            Double(node.relay.failures))
        for (reason, bytes) in node.erased.sorted(by: { $0.key < $1.key }) {
            add(
                "dsgd_erased_bytes_total", "counter", "Key erased on a disk since the node started.",
                [("node", node.node), ("reason", reason)], Double(bytes))
        }
        for line in node.ledger {
            let labels = [
                ("node", node.node), ("pool", line.pool), ("sender", line.sender), ("receiver", line.receiver),
                ("side", line.side.rawValue),
            ]
            let counts = [
                ("supplied", line.supplied), ("data", line.data), ("tags", line.tags), ("handshake", line.handshake),
                ("lost", line.lost), ("expired", line.expired),
            ]
            for (state, bytes) in counts {
                add(
                    "dsgd_pad_bytes_total", "counter",
                    "Pad of a stream by what became of it; lost and expired are waste.",
                    labels + [("state", state)], Double(bytes))
            }
            add("dsgd_pad_on_hand_bytes", "gauge", "Pad of a stream that was not spent.", labels, Double(line.onHand))
        }
    }
}

/// Serves one page over HTTP on the loopback interface, a request at a time: for a scraper on the same machine.
///
/// `@unchecked Sendable`: nothing changes after `init`.
final class MetricsServer: @unchecked Sendable {
    private let descriptor: Int32
    private let page: @Sendable () throws -> String
    private static let longestRequest = 4096

    init(port: UInt16, page: @escaping @Sendable () throws -> String) throws {
        descriptor = try Sockets.listen(host: "127.0.0.1", port: port).descriptor
        self.page = page
        detachThread("dsgd-metrics") { [descriptor, page] in
            while let socket = Sockets.accept(descriptor) { try? Self.answer(socket, page) }
            close(descriptor)
        }
    }

    func stop() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private static func answer(_ socket: Socket, _ page: () throws -> String) throws {
        let deadline = Deadline(in: 2)
        var request: [UInt8] = []
        var byte: UInt8 = 0
        while !request.suffix(4).elementsEqual([13, 10, 13, 10]) {
            guard request.count < longestRequest,
                try withUnsafeMutableBytes(of: &byte, { try socket.read($0, deadline) })
            else { return }
            request.append(byte)
        }
        let words = String(decoding: request, as: UTF8.self).split(separator: "\r\n").first?.split(separator: " ") ?? []
        let (status, body): (String, String)
        if words.count < 2 || words[0] != "GET" {
            (status, body) = ("405 Method Not Allowed", "only GET is served\n")
        } else if words[1] != "/metrics" {
            (status, body) = ("404 Not Found", "the metrics are at /metrics\n")
        } else {
            (status, body) = ("200 OK", try page())
        }
        let bytes = Array(body.utf8)
        let head =
            "HTTP/1.1 \(status)\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: \(bytes.count)\r\n"
            + "Connection: close\r\n\r\n"
        try (Array(head.utf8) + bytes).withUnsafeBytes { try socket.write($0, deadline) }
        socket.finishSending()
    }
}
