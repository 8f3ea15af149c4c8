import Foundation
import KeyNetwork
import Roles
import TestSupport
import Testing

/// Connections between processes of a bank that break in the middle of what they carry.
@Suite(.serialized) struct BrokenConnectionTests {
    /// Gives one process a network file of its own, in which a cutter stands before some roles.
    private func put(_ cutters: [String: Cutter], before process: String, of test: TestBank) throws {
        let path = test.bank.configurationPath(of: process)
        var network = try String(contentsOfFile: test.bank.options.directory + "/network.toml", encoding: .utf8)
        for (role, cutter) in cutters {
            let port = try #require(test.bank.network.roles.first { $0.name == role }?.port)
            let changed = network.replacing("port = \(port)\n", with: "port = \(cutter.port)\n")
            #expect(changed != network)
            network = changed
        }
        try network.write(
            toFile: test.bank.options.directory + "/network-\(process).toml", atomically: true, encoding: .utf8)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let changed = text.replacing("network.toml", with: "network-\(process).toml")
        #expect(changed != text)
        try changed.write(toFile: path, atomically: true, encoding: .utf8)
    }

    private func cutter(before role: String, of test: TestBank, cuts: [Int]) throws -> Cutter {
        let port = try #require(test.bank.network.roles.first { $0.name == role }?.port)
        return try Cutter(target: UInt16(port), cuts: cuts, counting: .listener)
    }

    private func answer(_ test: TestBank) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: test.answer("user-everything")))
    }

    /// Bytes of data that a role accepted from another, by the trace of pads.
    private func accepted(_ test: TestBank, from sender: String, by receiver: String) throws -> Int {
        let text = try String(contentsOfFile: test.directory.file("pad-trace"), encoding: .utf8)
        var sum = 0
        for line in text.split(separator: "\n") {
            let fields: [Substring] = line.split(separator: "\t")
            guard fields.count == 7, fields[1] == sender, fields[2] == receiver else { continue }
            if fields[5] == "data", fields[6] == "receiver" { sum += Int(fields[4]) ?? 0 }
        }
        return sum
    }

    @Test func aShareGoesOnWhereItsConnectionBroke() throws {
        let test = try TestBank(genomeLength: 120_000, coverage: 30, start: false)
        var cutters: [String: Cutter] = [:]
        for name in ["holder-a", "holder-b", "holder-c"] {
            // In the second record, in the answer to the fetch, and in the second record of what is left.
            cutters[name] = try cutter(before: name, of: test, cuts: [200_000, 180, 220_000])
        }
        try put(cutters, before: "trusted-server", of: test)
        try test.bank.start()
        try test.deposit([test.reads[0]])
        try test.grant("user-everything")
        let result = try test.request("user-everything")
        #expect(result.exitCode == 0, "\(result.error)\(test.logs)")
        let first = try answer(test)
        let folder = test.bank.statePath(of: "holder-b") + "/shares-b/"
        let shares = try FileManager.default.contentsOfDirectory(atPath: folder)
        let share = try #require(FileManager.default.attributesOfItem(atPath: folder + shares[0])[.size] as? Int)
        #expect(shares.count == 1 && share > 600_000)
        let used = cutters.filter { $0.value.connections.all > 0 }
        #expect(used.count == 2, "another holder took over")
        for (name, cutter) in used {
            #expect(cutter.connections.all == 4 && cutter.connections.cut == 3, "\(name): \(cutter.connections)")
            // Every byte of the share was accepted once. Beside it: kinds, tags, and the answers to four fetches.
            let count = try accepted(test, from: name, by: "trusted-server")
            #expect(count > share && count < share + 2000, "\(name): \(count) of \(share)")
        }
        try expectNoPadTwice(test, atLeast: 20)

        #expect(try test.request("user-everything").exitCode == 0)
        #expect(try answer(test) == first)
        let log = try String(contentsOfFile: test.bank.options.directory + "/trusted-server.log", encoding: .utf8)
        #expect(!log.contains("share given up"), "\(log)")
        for cutter in cutters.values { cutter.stop() }
    }

    @Test func anAnswerGoesOnWhereItsConnectionBroke() throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 10, start: false)
        // Progress reports vary in number, so that the cuts come somewhere in the answer, its index and the end.
        let cuts = Array(stride(from: 300, to: 3600, by: 300))
        let server = try cutter(before: "trusted-server", of: test, cuts: cuts)
        try put(["trusted-server": server], before: "user-everything", of: test)
        try test.bank.start()
        try test.deposit()
        try test.grant("user-everything")
        var answers: Set<Data> = []
        for _ in 0..<30 where server.connections.all <= cuts.count {
            let result = try test.request("user-everything")
            #expect(result.exitCode == 0 || result.exitCode == 69, "\(result.exitCode) \(result.error)")
            if result.exitCode == 0 { answers.insert(try answer(test)) }
        }
        #expect(answers.count == 1 && server.connections.cut >= 5, "\(server.connections)")
        try expectNoPadTwice(test, atLeast: 20)
        server.stop()
    }
}
