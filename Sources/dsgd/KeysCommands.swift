import ArgumentParser
import Diagnostics
import Foundation
import KeyNetwork
import OneTimePad
import Roles

struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Key in store, what work will cost in key, and the ledger of every pad byte.",
        subcommands: [Status.self, Plan.self, Ledger.self, KeyFetchCommand.self, Exercise.self])

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "status",
            abstract: "Stock, rates and forecasts of every link, as the nodes see them.")
        @Option(name: [.short, .customLong("config")], help: "Configuration of any process of the bank.") var config:
            String
        @Flag(help: "Print JSON: an object for each node that answers.") var json = false
        @Flag(help: "Print Prometheus' text format.") var prometheus = false

        func run() throws {
            let network = try LoadedConfiguration(path: config).network
            let (nodes, silent) = statuses(of: network)
            if json {
                try printJSON(nodes)
            } else if prometheus {
                print(KeyNodeStatus.prometheus(nodes), terminator: "")
            } else {
                for node in nodes { print(Self.text(node)) }
            }
            for failure in silent { Terminal.say("\(failure)") }
            if nodes.isEmpty, let failure = silent.first { throw failure }
        }

        private static func text(_ node: KeyNodeStatus) -> String {
            var lines = [
                "\(node.node)\(node.isKms ? " (KMS)" : ""): link key in \(node.store == .disk ? "files (K1)" : "memory"), "
                    + "secret memory: \(node.secretMemory)",
                row("  link to", "", "direction", "stock MiB", "of", "use KiB/s", "refill KiB/s", "empty in"),
            ]
            for link in node.links {
                for (name, direction) in [("out", link.out), ("in", link.in)] {
                    lines.append(
                        row(
                            "  " + link.peer, link.up ? "up" : "DOWN", name, mebibytes(direction.stock),
                            mebibytes(link.capacity), decimals(direction.usePerSecond / 1024, 1),
                            decimals(direction.refillPerSecond / 1024, 1),
                            direction.secondsToEmpty.map(hoursAndMinutes) ?? "never"))
                }
                if let problem = link.problem { lines.append("    takes no key: \(problem)") }
            }
            let relay = node.relay
            lines.append(
                "  relayed MiB: sent \(mebibytes(relay.sent)), passed on \(mebibytes(relay.passedOn)), arrived "
                    + "\(mebibytes(relay.arrived)); \(relay.failures) failures")
            let lost = node.lostAtStart.reduce(UInt64(0)) { $0 + $1.onHand }
            if lost > 0 { lines.append("  the last run did not end in order: \(lost) bytes were lost") }
            return lines.joined(separator: "\n")
        }

        private static func row(_ cells: String...) -> String {
            let widths = [22, 6, 10, 11, 11, 12, 13, 10]
            return zip(cells, widths).enumerated().map { column($1.0, $1.1, right: $0 > 2) }.joined()
        }
    }

    struct Plan: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "plan",
            abstract: "What a deposit or a request will cost in pad, by stream and hop, and when it is affordable.",
            discussion: """
                Give the files of reads, or their sizes in bytes. The plan takes the stock of the bank's nodes; without \
                --config it is for the paper's network of five nodes. Streams are as the roles' ledgers show them; hops add \
                the messages between nodes. The size of the answer and the time of the job are estimates unless given.
                """)
        @Option(name: [.short, .customLong("config")], help: "Configuration of any process of the bank.") var config:
            String?
        @Flag(help: "Plan a deposit of the files.") var deposit = false
        @Flag(help: "Plan a request that needs the files.") var request = false
        @Option(help: "Name of the user who asks.") var user: String?
        @Option(help: "Bytes of the answer, F_VCF.gz.") var deliveryBytes: Int?
        @Option(help: "Bytes of the right's list of regions or variants.") var listBytes = 0
        @Option(help: "Seconds that the job takes.") var jobSeconds: Double?
        @Option(help: "Without --config: key rate of each link in Mbit/s; left out: what its fibre gives.")
        var linkRate: Double?
        @Option(help: "Without --config: key of each link in MiB.") var linkStock = 64.0
        @Flag(help: "Print one JSON object.") var json = false
        @Argument(help: "Files, or sizes in bytes.", completion: .file()) var files: [String]

        func validate() throws {
            guard deposit || request else { throw ValidationError("give --deposit, --request or both") }
            guard !files.isEmpty else { throw ValidationError("name at least one file or size") }
            guard (jobSeconds ?? 0) >= 0, jobSeconds ?? 0 <= 1e7, listBytes >= 0, listBytes <= 256 << 20,
                (0...1 << 50).contains(deliveryBytes ?? 0), (0...1e6).contains(linkRate ?? 0),
                (0...4096).contains(linkStock)
            else { throw ValidationError("an option is out of range") }
        }

        func run() throws {
            let sizes = try files.map(Self.size)
            var work = PlannedWork()
            if deposit { work.deposits = sizes }
            if request { work.requested = sizes }
            work.user = user
            work.deliveryBytes = deliveryBytes
            work.listBytes = listBytes
            work.jobSeconds = jobSeconds
            let network: NetworkConfiguration
            let supplies: [LinkSupply]
            if let config {
                network = try LoadedConfiguration(path: config).network
                supplies = KeyForecast.supplies(statuses(of: network).nodes)
            } else {
                network = LocalBank.paperNetwork(linkRate: linkRate, linkStock: linkStock)
                supplies = KeyForecast.supplies(network.topology)
            }
            let plan = try KeyPlan(work, network: network, supplies: supplies)
            if json { try printJSON(plan) } else { print(Self.text(plan)) }
        }

        private static func size(_ argument: String) throws -> Int {
            if let bytes = Int(argument), bytes > 0, !FileManager.default.fileExists(atPath: argument) { return bytes }
            guard let bytes = try? FileManager.default.attributesOfItem(atPath: argument)[.size] as? Int, bytes > 0
            else {
                throw Failure(
                    .noInput, at: argument, "is no file with content", remedy: "name a file, or a size in bytes")
            }
            return bytes
        }

        private static func text(_ plan: KeyPlan) -> String {
            func row(_ cells: String...) -> String {
                zip(cells, [20, 20, 16, 16, 16, 12]).enumerated().map { column($1.0, $1.1, right: $0 > 1) }.joined()
            }
            var lines = [row("stream from", "to", "data", "tags", "proofs", "MiB")]
            for stream in plan.streams {
                lines.append(
                    row(
                        stream.sender, stream.receiver, String(stream.data), String(stream.tags),
                        String(stream.handshake),
                        mebibytes(stream.total)))
            }
            lines += ["", row("hop from", "to", "bytes", "stock", "refill KiB/s", "in h:mm")]
            for hop in plan.hops {
                lines.append(
                    row(
                        hop.supply.from, hop.supply.to, String(hop.bytes), String(hop.supply.stock),
                        decimals(hop.supply.refillPerSecond / 1024, 1),
                        hop.secondsUntilAffordable.map { $0 == 0 ? "now" : hoursAndMinutes($0) } ?? "never"))
            }
            let when =
                plan.secondsUntilAffordable.map { $0 == 0 ? "now" : "in \(hoursAndMinutes($0)) (h:mm)" } ?? "never"
            return (lines + ["", "affordable \(when)"]).joined(separator: "\n")
        }
    }

    struct Ledger: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ledger",
            abstract:
                "Every pad byte of what a process plays: supplied, used, lost, expired and on hand, by stream and hop.",
            discussion: """
                Key nodes and the data owner answer themselves. Of other roles the last durable state is shown, in which \
                pad spent since then still counts as on hand.
                """)
        @Option(name: [.short, .customLong("config")], help: "Configuration of a process of the bank.") var config:
            String
        @Flag(help: "Ledgers of all nodes of the network too.") var nodes = false
        @Flag(help: "Print a JSON array.") var json = false

        func run() throws {
            let configuration = try LoadedConfiguration(path: config)
            var lines = try configuration.roleLedgers()
            let network = configuration.network
            for node in network.nodes where nodes || configuration.process.plays.contains(node.name) {
                lines += try ledger(of: node)
            }
            if json { return try printJSON(lines) }
            print(
                Self.row(
                    "owner", "pool", "from", "to", "supplied", "data", "tags", "proofs", "lost", "expired", "on hand"))
            for line in lines {
                let counts = [
                    line.supplied, line.data, line.tags, line.handshake, line.lost, line.expired, line.onHand,
                ]
                print(
                    Self.row([line.owner, line.pool, line.sender, line.receiver] + counts.map { String($0) })
                        + (line.balanced ? "" : "  DOES NOT ADD UP"))
            }
            guard lines.allSatisfy(\.balanced) else {
                throw Failure(
                    .data, at: "ledger", "an account does not add up", remedy: "retire this pad on both ends")
            }
        }

        private func ledger(of node: NetworkTopology.Node) throws -> [LedgerLine] {
            do {
                return try KeySupplyClient(socketPath: node.supplySocket, role: "").status().ledger
            } catch let failure as Failure where failure.kind == .peerUnavailable {
                let path = node.directory + "/node.sqlite"
                guard FileManager.default.fileExists(atPath: path) else { throw failure }
                return try PadLedger.read(path: path)
            }
        }

        private static func row(_ cells: String...) -> String { row(cells) }

        private static func row(_ cells: [String]) -> String {
            let widths = [16, 8, 16, 16, 15, 15, 12, 9, 13, 13, 13]
            return zip(cells, widths).enumerated().map { column($1.0, $1.1, right: $0 > 3) }.joined()
        }
    }

    /// For the campaigns that kill processes, and for measurements: a role of the network that sends and receives
    /// records of a known pattern and nothing else.
    struct Exercise: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "exercise",
            abstract: "Send or receive records of a known pattern as a role of the network.", shouldDisplay: false)
        @Option(name: [.short, .customLong("config")]) var config: String
        @Option(help: "Role at the other end; left out: answer whoever calls.") var to: String?
        @Option(help: "Bytes of a record.") var size = 65_536
        @Option(help: "Records to send; 0 for no end.") var count = 0
        @Option(help: "Records on one connection.") var perConnection = 64

        func run() throws {
            guard (1...262_144).contains(size), count >= 0, perConnection > 0 else {
                throw ValidationError("out of range")
            }
            var signals = blockedEndSignals()
            let exercise = try PadExercise(configuration: try LoadedConfiguration(path: config))
            print("ready")
            fflush(nil)
            let (to, size, count, perConnection) = (to, size, count, perConnection)
            let finished = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                do {
                    if let to {
                        let outcome = exercise.send(to: to, size: size, count: count, perConnection: perConnection)
                        try printJSON(outcome)
                    } else {
                        try exercise.answer { Terminal.say("pads are not equal: \($0)") }
                    }
                } catch {
                    Terminal.say("\(error)")
                }
                finished.signal()
                kill(getpid(), SIGTERM)
            }
            var received: Int32 = 0
            sigwait(&signals, &received)
            exercise.stop()
            _ = finished.wait(timeout: .now() + 10)
            exercise.close()
        }
    }
}

/// What the nodes of a network tell, and why the others tell nothing.
private func statuses(of network: NetworkConfiguration) -> (nodes: [KeyNodeStatus], silent: [Failure]) {
    var nodes: [KeyNodeStatus] = []
    var silent: [Failure] = []
    for node in network.nodes {
        do {
            nodes.append(try KeySupplyClient(socketPath: node.supplySocket, role: "").status())
        } catch {
            silent.append(asFailure(error))
        }
    }
    return (nodes, silent)
}

private func mebibytes(_ bytes: UInt64) -> String { decimals(Double(bytes) / 1_048_576, 2) }

private func hoursAndMinutes(_ seconds: Double) -> String {
    let minutes = Int(min(seconds / 60, 1e9).rounded(.up))
    return "\(minutes / 60):" + (minutes % 60 < 10 ? "0" : "") + String(minutes % 60)
}
