import Diagnostics
import Foundation
import Roles
import Testing

/// The plan against what a real deposit and a real request cost, by the ledgers of all roles.
@Suite(.serialized) struct KeyPlanTests {
    private struct Line: Decodable {
        var owner: String
        var sender: String
        var receiver: String
        var side: String
        var supplied: UInt64
        var data: UInt64
        var tags: UInt64
        var handshake: UInt64
        var lost: UInt64
        var expired: UInt64
        var onHand: UInt64
    }
    private struct Plan: Decodable {
        struct Stream: Decodable {
            var sender: String
            var receiver: String
            var data: UInt64
            var tags: UInt64
            var handshake: UInt64
            var total: UInt64 { data + tags + handshake }
        }
        struct Hop: Decodable {
            struct Supply: Decodable {
                var from: String
                var to: String
                var stock: UInt64
            }
            var supply: Supply
            var bytes: UInt64
        }
        var streams: [Stream]
        var hops: [Hop]
        var secondsUntilAffordable: Double?
    }

    @Test func aPlanIsWhatTheJobUses() throws {
        let test = try TestBank(genomeLength: 200_000, coverage: 40)
        let owner = test.bank.configurationPath(of: "data-owner")
        let status = try test.bank.run(["keys", "status", "-c", owner])
        #expect(status.exitCode == 0 && status.output.contains("koganei-1 (KMS)") && status.output.contains("never"))
        let page = try test.bank.run(["keys", "status", "-c", owner, "--prometheus"])
        #expect(page.output.components(separatedBy: "# TYPE dsgd_link_stock_bytes gauge").count == 2)
        try test.deposit()
        try test.grant("user-everything")
        let answer = try test.request("user-everything")
        #expect(answer.exitCode == 0, "\(answer.error)\(test.logs)")
        let note = try JSONDecoder().decode(DeliveryNote.self, from: Data(answer.output.utf8))
        let receipt = try receipt(ofJob: note.job, socket: test.bank.ownerSocket)
        let text = try test.bank.run(
            [
                "keys", "plan", "-c", owner, "--deposit", "--request", "--user", "user-everything", "--delivery-bytes",
                String(note.vcfBytes), "--job-seconds", String(receipt.totalSeconds), "--json",
            ] + test.reads)
        #expect(text.exitCode == 0, "\(text.error)\(test.logs)")
        let plan = try JSONDecoder().decode(Plan.self, from: Data(text.output.utf8))
        // Orderly closing makes the last counts durable.
        test.bank.stop()
        var lines: [Line] = []
        for process in ["data-owner", "holder-b", "holder-c", "trusted-server", "user-everything"] {
            let ledger = try test.bank.run(
                ["keys", "ledger", "-c", test.bank.configurationPath(of: process), "--json"])
            #expect(ledger.exitCode == 0, "\(ledger.error)\(test.logs)")
            lines += try JSONDecoder().decode([Line].self, from: Data(ledger.output.utf8))
        }
        var used: [String: UInt64] = [:]
        for line in lines {
            #expect(line.supplied == line.data + line.tags + line.handshake + line.lost + line.expired + line.onHand)
            if line.side == "sender" {
                used[line.sender + "|" + line.receiver] = line.data + line.tags + line.handshake
            }
        }
        var large = 0
        for stream in plan.streams {
            let actual = try #require(used[stream.sender + "|" + stream.receiver], "\(stream)")
            let off = Double(stream.total) / Double(actual) - 1
            if actual > 1 << 20 {
                large += 1
                #expect(abs(off) < 0.001, "\(stream): \(actual) were used, \(off)")
            } else {
                // Messages: a few hundred bytes, and progress that depends on time.
                #expect(abs(Int(stream.total) - Int(actual)) < max(8192, Int(actual) / 4), "\(stream): \(actual)")
            }
        }
        // Shares B and C to their holders, and two shares to the trusted server.
        #expect(large == 4)
        let (planned, actual) = (plan.streams.reduce(0) { $0 + $1.total }, used.values.reduce(0, +))
        FileHandle.standardError.write(Data("KeyPlanTests: planned \(planned) bytes of pad, used \(actual)\n".utf8))
        #expect(abs(Double(planned) / Double(actual) - 1) < 0.001)
        #expect(plan.hops.contains { $0.supply.from == "koganei-1" && $0.bytes > 1 << 20 })
    }

    @Test func aPlanWithoutABank() throws {
        let program = TestBank.program
        func plan(_ arguments: [String]) throws -> String? { try output(of: [program, "keys", "plan"] + arguments) }
        let text = try #require(try plan(["--deposit", "60000000000", "--link-rate", "10", "--link-stock", "64"]))
        // 60 GB for each of two holders. Links give 5 Mbit/s each way: one pays for B, on its hop or the way round, and
        // both ways round for C, so between one file's time (26 h 40 min) and two files' on one hop.
        let line = try #require(text.split(separator: "\n").last { $0.hasPrefix("affordable in ") })
        let hours = try #require(Int(line.dropFirst("affordable in ".count).prefix { $0 != ":" }))
        #expect((26...45).contains(hours), "\(text)")
        let now = try #require(try plan(["--request", "1000000", "1000000", "--json"]))
        let decoded = try JSONDecoder().decode(Plan.self, from: Data(now.utf8))
        #expect(decoded.secondsUntilAffordable == 0 && decoded.streams.contains { $0.total > 2_000_000 })
        let never = try #require(try plan(["--deposit", "1000000000", "--link-rate", "0"]))
        #expect(never.contains("affordable never"))
    }
}
