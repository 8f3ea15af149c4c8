import Bank
import Diagnostics
import Foundation
import Roles
import Simulation
import Testing
import TestSupport

/// Bad input through the whole bank: the exit code, a message with place and remedy, and nothing left behind.
@Suite(.serialized) struct BadInputTests {
    // MARK: Deposits

    @Test func badReadsAreRefusedAndLeaveNothing() throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 5)
        let one = try Data(contentsOf: URL(fileURLWithPath: test.reads[0]))
        func write(_ name: String, _ bytes: Data) throws -> String {
            let path = test.directory.file(name)
            try bytes.write(to: URL(fileURLWithPath: path))
            return path
        }
        var corrupt = one
        corrupt[one.count / 2] ^= 0x10
        let plain = try #require(try output(of: ["gzip", "-dc", test.reads[1]]))
        let lines = plain.split(separator: "\n", omittingEmptySubsequences: false)
        let short = Data(lines.prefix(400).joined(separator: "\n").utf8) + Data("\n".utf8)
        // The second mates without their first: every pair is out of step from there on.
        let shifted = Data(lines.dropFirst(4).joined(separator: "\n").utf8)
        let cases: [(String, [String], FailureKind, String)] = [
            ("truncated gzip", [try write("cut.fq.gz", one.prefix(one.count / 2)), test.reads[1]], .data, "cut.fq.gz"),
            ("corrupt gzip", [try write("flip.fq.gz", corrupt), test.reads[1]], .data, "flip.fq.gz"),
            ("unequal pairs", [test.reads[0], try write("short.fq", short)], .data, ""),
            ("mates out of step", [test.reads[0], try write("shifted.fq", shifted)], .data, ""),
            ("empty file", [try write("empty.fq", Data())], .data, "empty.fq"),
            ("missing file", [test.directory.file("none.fq.gz")], .noInput, "none.fq.gz"),
        ]
        for (name, files, kind, place) in cases {
            let result = try test.bank.run(
                ["deposit", "-c", test.bank.configurationPath(of: "data-owner"), "--data-set", "bad", "--sample", "S"] + files)
            expectRefusal(result, kind, name)
            #expect(place.isEmpty || result.error.contains(place), "\(name): \(result.error)")
        }
        try expectNothingStored(test)
        // The bank still works.
        try test.deposit()
    }

    /// Disk full at a holder: the reason reaches the owner, and nothing of the data set stays anywhere.
    @Test func fullDiskAtAHolderRefusesTheDeposit() throws {
        let test = try TestBank(genomeLength: 60_000, coverage: 20)
        let folder = test.bank.statePath(of: "holder-b") + "/shares-b"
        let mounted = try output(of: ["sh", "-c", "mount -t tmpfs -o size=64k tmpfs '\(folder)' 2>&1 && echo mounted"])
        guard mounted?.hasSuffix("mounted\n") == true else {
            FileHandle.standardError.write(Data("SKIPPED disk full: a tmpfs cannot be mounted here\n".utf8))
            return
        }
        defer { _ = try? output(of: ["umount", folder]) }
        let result = try test.bank.run(
            ["deposit", "-c", test.bank.configurationPath(of: "data-owner"), "--data-set", "bad", "--sample", "S"]
                + test.reads)
        expectRefusal(result, .inputOutput, "disk full")
        #expect(result.error.contains("No space left"), "\(result.error)")
        try expectNothingStored(test)
        _ = try output(of: ["umount", folder])
        try test.deposit()
    }

    // MARK: Damaged shares

    @Test func damagedSharesAtOneHolderGoThroughTheThird() throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 10)
        try test.deposit()
        try test.grant("user-everything")
        #expect(try test.request("user-everything").exitCode == 0)
        let expected = try Data(contentsOf: URL(fileURLWithPath: test.answer("user-everything")))
        let shares = try shareFiles(test, "b")
        #expect(shares.count == 2)
        let whole = try shares.map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
        var flipped = whole[0]
        flipped[flipped.count / 2] ^= 1
        let cases = [
            ("a flipped byte", flipped), ("truncated", whole[0].prefix(whole[0].count / 2)),
            ("cut inside the header", whole[0].prefix(20)), ("another set's share", whole[1]),
            ("a byte too many", whole[0] + Data([0])),
        ]
        for (name, bytes) in cases {
            try bytes.write(to: URL(fileURLWithPath: shares[0]))
            let started = Date()
            let result = try test.request("user-everything")
            #expect(result.exitCode == 0, "\(name): \(result.error)")
            #expect(Date().timeIntervalSince(started) < 30, "\(name)")
            guard result.exitCode == 0 else { continue }
            #expect(try Data(contentsOf: URL(fileURLWithPath: test.answer("user-everything"))) == expected, "\(name)")
            let note = try JSONDecoder().decode(DeliveryNote.self, from: Data(result.output.utf8))
            let faults = try receipt(ofJob: note.job, socket: test.bank.ownerSocket).faults ?? []
            #expect(faults.count == 1 && faults[0].hasPrefix("holder-b: "), "\(name): \(faults)")
        }
        let log = try String(contentsOfFile: test.bank.options.directory + "/trusted-server.log", encoding: .utf8)
        #expect(log.contains("share given up: holder-b"))
        // Damaged at B and at C: no two good shares are left.
        try flipped.write(to: URL(fileURLWithPath: shares[0]))
        for path in try shareFiles(test, "c") {
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: URL(fileURLWithPath: path))
        }
        for suffix in ["", ".tbi"] { try? FileManager.default.removeItem(atPath: test.answer("user-everything") + suffix) }
        let refused = try test.request("user-everything")
        #expect([69, 65].contains(refused.exitCode), "\(refused.exitCode)")
        #expect(refused.error.contains("holder-b") && refused.error.contains("holder-c"), "\(refused.error)")
        #expect(refused.error.contains("hint:"))
        #expect(test.files(below: test.directory.path).filter { $0.hasPrefix("user-everything.vcf") }.isEmpty)
    }

    // MARK: Requests

    @Test func wrongReferenceIsRefused() throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 10)
        let other = test.directory.file("other")
        var options = SimulationOptions()
        options.genomeLength = 20_000
        options.coverage = 10
        options.contigs = 2
        options.seed = 4711
        _ = try SimulatedDataSet(options).run(into: other)
        try test.deposit(["/reads_R1.fastq.gz", "/reads_R2.fastq.gz"].map { other + $0 })
        try test.grant("user-everything")
        let result = try test.request("user-everything")
        expectRefusal(result, .data, "another genome")
        #expect(result.error.contains("reference"), "\(result.error)")
        #expect(!FileManager.default.fileExists(atPath: test.answer("user-everything")))
    }

    @Test func badRightsAndRequestsAreRefused() throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 5)
        try test.deposit()
        let owner = test.bank.configurationPath(of: "data-owner")
        let unknown = try test.bank.run([
            "request", "-c", test.bank.configurationPath(of: "user-panel"), "--data-set", "nothing", "-o",
            test.answer("user-panel"),
        ])
        expectRefusal(unknown, .notAuthorised, "unknown data set")
        let noSet = try test.bank.run(["grant", "-c", owner, "--user", "user-panel", "--data-set", "nothing", "--everything"])
        expectRefusal(noSet, .noInput, "right for an unknown data set")
        let badBED = test.directory.file("bad.bed")
        try "chrUnknown\t20\t10\n".write(toFile: badBED, atomically: true, encoding: .utf8)
        let malformed = try test.bank.run([
            "grant", "-c", owner, "--user", "user-panel", "--data-set", "set", "--regions", badBED,
        ])
        expectRefusal(malformed, .data, "BED with end before start")
        // The owner has no reference, so the contig is judged where the calls are.
        try test.grant("user-panel", coverage: "regions", list: "chrUnknown\t10\t20\n")
        let contig = try test.request("user-panel")
        expectRefusal(contig, .data, "BED with an unknown contig")
        #expect(contig.error.contains("chrUnknown"), "\(contig.error)")
        #expect(!FileManager.default.fileExists(atPath: test.answer("user-panel")))
        try AuditLog.verify(try Catalogue.auditLines(path: test.bank.statePath(of: "data-owner") + "/catalogue.sqlite"))
    }

    // MARK: Configuration

    @Test func badConfigurationIsRefused() throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 5, start: false)
        let path = test.bank.configurationPath(of: "holder-c")
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try ("colour = \"red\"\n" + text).write(toFile: path, atomically: true, encoding: .utf8)
        let key = try test.bank.run(["serve", "-c", path])
        expectRefusal(key, .configuration, "wrong key")
        #expect(key.error.contains("colour") && key.error.contains("holder-c.toml"), "\(key.error)")
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        // Somebody else has the port.
        let port = test.bank.network.roles.first { $0.name == "holder-c" }.map(\.port)
        let sitting = Process()
        sitting.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        sitting.arguments = [
            "python3", "-c",
            "import socket,time;s=socket.socket();s.bind(('127.0.0.1',\(port ?? 0)));s.listen();print('x',flush=True);time.sleep(60)",
        ]
        let ready = Pipe()
        sitting.standardOutput = ready
        try sitting.run()
        defer { sitting.terminate() }
        _ = ready.fileHandleForReading.readData(ofLength: 1)
        let busy = try test.bank.run(["serve", "-c", path])
        expectRefusal(busy, .configuration, "port in use")
        #expect(busy.error.contains("\(port ?? 0)") && busy.error.contains("in use"), "\(busy.error)")
    }

    // MARK: Judges

    private func expectRefusal(
        _ result: (exitCode: Int32, output: String, error: String), _ kind: FailureKind, _ name: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(result.exitCode == kind.exitCode, "\(name): \(result.error)", sourceLocation: sourceLocation)
        let lines = result.error.split(separator: "\n")
        #expect(
            lines.contains { $0.hasPrefix("dsgd: ") } && lines.contains { $0.hasPrefix("hint: ") }, "\(name): \(result.error)",
            sourceLocation: sourceLocation)
    }

    private func shareFiles(_ test: TestBank, _ letter: String) throws -> [String] {
        let folder = test.bank.statePath(of: letter == "a" ? "data-owner" : "holder-\(letter)") + "/shares-\(letter)"
        return try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map { folder + "/" + $0 }
    }

    private func expectNothingStored(_ test: TestBank) throws {
        let catalogue = try Catalogue(path: test.bank.statePath(of: "data-owner") + "/catalogue.sqlite")
        #expect(try catalogue.dataSets().isEmpty)
        for letter in ["a", "b", "c"] { #expect(try shareFiles(test, letter).isEmpty, "left at holder \(letter)") }
        #expect(test.files(below: test.bank.statePath(of: "data-owner")).filter { $0.hasPrefix("pending-") }.isEmpty)
    }
}
