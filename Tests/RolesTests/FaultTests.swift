import Bank
import Diagnostics
import Foundation
import Roles
import Testing
import TestSupport

/// What survives `kill -9`, a power cut and a state directory restored from a copy: real processes, random moments.
@Suite(.serialized) struct FaultTests {
    /// Exit codes that a person may see when a part of the bank dies; 70, an internal error, is none of them.
    private static let cleanExitCodes: Set<Int32> = [0, 65, 69, 74, 77, 175]
    /// No command may take longer than this, in seconds, whatever dies.
    private static let bound = 60.0

    /// Rounds of the random campaigns; DSGD_FAULT_ROUNDS makes them long.
    private static var rounds: Int {
        ProcessInfo.processInfo.environment["DSGD_FAULT_ROUNDS"].flatMap { Int($0) } ?? 8
    }

    /// DSGD_FAULT_VICTIMS: names of other processes to kill, with commas.
    private static var victims: [String]? {
        ProcessInfo.processInfo.environment["DSGD_FAULT_VICTIMS"].map { $0.split(separator: ",").map(String.init) }
    }

    // MARK: kill -9

    @Test func killsAtRandomMoments() throws {
        let test = try TestBank()
        try test.deposit()
        try test.grant("user-everything")
        let started = Date()
        #expect(try test.request("user-everything").exitCode == 0)
        let duration = Date().timeIntervalSince(started)
        let expected = try answer(test)
        var random = SplitMix64(seed: UInt64(Date().timeIntervalSince1970))
        var codes: [String: Int] = [:]
        let victims = Self.victims ?? ["holder-b", "data-owner", "trusted-server", "koganei-1", "link-model", "koganei-2"]
        for round in 0..<Self.rounds {
            let victim = victims[round % victims.count]
            let isDeposit = round / victims.count % 2 == 1
            let delay = duration * Double(random.next() % 1000) / 3000
            let label = "round \(round): \(victim), \(isDeposit ? "deposit" : "request"), after \(Int(delay * 1000)) ms"
            let name = "round-\(round)"
            let result = try during(test, after: delay, kill: victim) { bank in
                isDeposit
                    ? try bank.run(Self.depositArguments(test, name)) : try test.request("user-everything")
            }
            codes["\(victim) \(result.exitCode)", default: 0] += 1
            #expect(Self.cleanExitCodes.contains(result.exitCode), "\(label): \(result.exitCode) \(result.error)")
            #expect(result.seconds < Self.bound, "\(label): \(result.seconds) s")
            if result.exitCode == 0, !isDeposit { #expect(try answer(test) == expected, "\(label)") }
            try test.bank.start(victim)
            try expectWorks(test, expected, label)
            if isDeposit, !(try catalogue(test).dataSets().contains(name)) {
                #expect(result.exitCode != 0, "\(label): acknowledged and not in the catalogue")
                #expect(try succeeds { try test.bank.run(Self.depositArguments(test, name)).exitCode }, "\(label)")
            }
        }
        try killUser(test, expected, random: &random, duration: duration)
        test.bank.stop("data-owner", signal: 9)
        try test.bank.start("data-owner")
        try expectConsistent(test)
        try expectNoPadTwice(test, atLeast: 100)
        say("kills: \(codes.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", "))")
    }

    /// The user dies in the middle: nothing under the final name, and the next request works.
    private func killUser(_ test: TestBank, _ expected: Data, random: inout SplitMix64, duration: Double) throws {
        for _ in 0..<max(2, Self.rounds / 10) {
            try? FileManager.default.removeItem(atPath: test.answer("user-everything"))
            let process = Process()
            process.executableURL = URL(fileURLWithPath: TestBank.program)
            process.arguments = [
                "request", "-c", test.bank.configurationPath(of: "user-everything"), "--data-set", "set", "-o",
                test.answer("user-everything"),
            ]
            process.environment = ProcessInfo.processInfo.environment.merging(test.bank.options.environment) { $1 }
            process.standardError = FileHandle.nullDevice
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            usleep(UInt32(duration * Double(random.next() % 1000) * 1000))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            if FileManager.default.fileExists(atPath: test.answer("user-everything")) {
                #expect(try answer(test) == expected)
            }
            try expectWorks(test, expected, "after the user was killed")
        }
    }

    // MARK: Power cuts

    @Test func powerCutsAtRandomOperations() throws {
        let tool = TestBank.root.appending(path: "Tests/PowerCut/powercut").path
        guard let library = try output(of: [tool, "build"])?.trimmingCharacters(in: .whitespacesAndNewlines),
            FileManager.default.fileExists(atPath: library)
        else {
            say("SKIPPED powerCutsAtRandomOperations: the preload library was not built (is there a C compiler?)")
            return
        }
        let test = try TestBank(genomeLength: 20_000, coverage: 10)
        try test.deposit()
        try test.grant("user-everything")
        #expect(try test.request("user-everything").exitCode == 0)
        let expected = try answer(test)
        var random = SplitMix64(seed: UInt64(Date().timeIntervalSince1970))
        let victims = Self.victims ?? ["holder-b", "data-owner", "trusted-server", "koganei-1"]
        for round in 0..<max(3, Self.rounds / 2) {
            let victim = victims[round % victims.count]
            let root = test.bank.statePath(of: victim)
            let shadow = test.directory.file("shadow-\(victim)")
            let operation = Int(random.next() % (victim == "data-owner" ? 400 : 120)) + 30
            let label = "round \(round): \(victim), operation \(operation)"
            try FileManager.default.createDirectory(atPath: shadow, withIntermediateDirectories: true)
            test.bank.stop(victim)
            do {
                try test.bank.start(
                    victim,
                    environment: [
                        "LD_PRELOAD": library, "POWERCUT_ROOT": root, "POWERCUT_SHADOW": shadow,
                        "POWERCUT_AFTER": String(operation), "POWERCUT_STRICT": round % 2 == 0 ? "1" : "0",
                    ])
            } catch {
                // The power may fail while the process starts.
            }
            let name = "cut-\(round)"
            let deposit = try test.bank.run(Self.depositArguments(test, name))
            let request = try test.request("user-everything")
            for result in [deposit, request] {
                #expect(Self.cleanExitCodes.contains(result.exitCode), "\(label): \(result.exitCode) \(result.error)")
            }
            test.bank.stop(victim, signal: 9)
            #expect(try output(of: [tool, "restore", root, shadow]) != nil)
            try test.bank.start(victim)
            try expectWorks(test, expected, label)
            if deposit.exitCode == 0 {
                #expect(try catalogue(test).dataSets().contains(name), "\(label): an acknowledged deposit is lost")
            }
            try expectConsistent(test, orphans: false)
        }
        test.bank.stop("data-owner")
        try test.bank.start("data-owner")
        try expectConsistent(test)
        try expectNoPadTwice(test, atLeast: 100)
    }

    // MARK: Rollback

    @Test(arguments: ["data-owner", "holder-b"]) func rolledBackStateIsRefused(role: String) throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 10)
        try test.deposit()
        try test.grant("user-everything")
        #expect(try test.request("user-everything").exitCode == 0)
        let expected = try answer(test)
        let state = test.bank.statePath(of: role)
        let copy = test.directory.file("old-state")
        test.bank.stop(role)
        try FileManager.default.copyItem(atPath: state, toPath: copy)
        try test.bank.start(role)
        try expectWorks(test, expected, "before the rollback")
        test.bank.stop(role)
        try FileManager.default.removeItem(atPath: state)
        try FileManager.default.copyItem(atPath: copy, toPath: state)
        try test.bank.start(role)
        let refused = try test.request("user-everything")
        let log = try String(contentsOfFile: test.bank.options.directory + "/\(role).log", encoding: .utf8)
        let line = log.split(separator: "\n").last { $0.contains("rolled back to an old copy") }.map(String.init) ?? log
        #expect(line.contains("rolled back to an old copy") && line.contains("tokyo: \(role) -> "), "\(line)")
        #expect(line.contains("pool"), "the way out is not named: \(line)")
        // Two of three shares do without holder B; without the data owner nothing goes.
        if role == "data-owner" { #expect(refused.exitCode != 0, "\(refused.output)") }
        try expectNoPadTwice(test, atLeast: 50)

        // The way out: fresh pad for all.
        test.bank.stop()
        let network = test.bank.options.directory + "/network.toml"
        let text = try String(contentsOfFile: network, encoding: .utf8)
        let changed = text.replacing("pool = 'tokyo'", with: "pool = 'tokyo-2'")
            .replacing("pool = \"tokyo\"", with: "pool = \"tokyo-2\"")
        #expect(changed != text)
        try changed.write(toFile: network, atomically: true, encoding: .utf8)
        try test.bank.start()
        try expectWorks(test, expected, "with a new pool")
        try expectNoPadTwice(test, atLeast: 50)
    }

    // MARK: Judges

    private struct Outcome {
        var exitCode: Int32
        var error: String
        var seconds: Double
    }

    /// Runs a command and kills a process in the middle of it.
    private func during(
        _ test: TestBank, after delay: Double, kill victim: String,
        _ command: @escaping (LocalBank) throws -> (exitCode: Int32, output: String, error: String)
    ) throws -> Outcome {
        let box = Box()
        nonisolated(unsafe) let bank = test.bank
        nonisolated(unsafe) let run = command
        let finished = DispatchSemaphore(value: 0)
        let started = Date()
        Thread.detachNewThread {
            box.result = Result { try run(bank) }
            box.seconds = Date().timeIntervalSince(started)
            finished.signal()
        }
        Thread.sleep(forTimeInterval: delay)
        test.bank.stop(victim, signal: 9)
        guard finished.wait(timeout: .now() + 180) == .success else {
            throw Failure(.internalError, at: victim, "the command hangs after the kill", remedy: "find out why")
        }
        let result = try box.result!.get()
        return Outcome(exitCode: result.exitCode, error: result.error, seconds: box.seconds)
    }

    /// Written by one thread, read by another after a semaphore.
    private final class Box: @unchecked Sendable {
        var result: Result<(exitCode: Int32, output: String, error: String), any Error>?
        var seconds = 0.0
    }

    private static func depositArguments(_ test: TestBank, _ name: String) -> [String] {
        ["deposit", "-c", test.bank.configurationPath(of: "data-owner"), "--data-set", name, "--sample", "SIM1"] + test.reads
    }

    private func answer(_ test: TestBank) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: test.answer("user-everything")))
    }

    /// A command that is safe to try again succeeds within the bound.
    private func succeeds(_ command: () throws -> Int32) throws -> Bool {
        let limit = Date(timeIntervalSinceNow: Self.bound)
        while Date() < limit {
            let code = try command()
            if code == 0 { return true }
            guard [69, 175].contains(code) else { return false }
            usleep(200_000)
        }
        return false
    }

    private func expectWorks(_ test: TestBank, _ expected: Data, _ label: String) throws {
        try? FileManager.default.removeItem(atPath: test.answer("user-everything"))
        var said: [String] = []
        let isDone = try succeeds {
            let result = try test.request("user-everything")
            if result.exitCode != 0 { said.append("\(result.exitCode) \(result.error)") }
            return result.exitCode
        }
        #expect(isDone, "\(label): no new request succeeds: \(said.suffix(2))")
        if isDone { #expect(try answer(test) == expected, "\(label): another answer") }
        if said.count > 0 { say("\(label): \(said.count) tries failed before, the last: \(said.last ?? "")") }
    }

    private func catalogue(_ test: TestBank) throws -> Catalogue {
        try Catalogue(path: test.bank.statePath(of: "data-owner") + "/catalogue.sqlite")
    }

    /// Every data set has all its shares, whole; no others lie about; no job is left running; the audit log holds.
    private func expectConsistent(_ test: TestBank, orphans: Bool = true) throws {
        let catalogue = try catalogue(test)
        let objects = try catalogue.dataSets().flatMap { try catalogue.objects(ofDataSet: $0).map(\.0) }
        let folders = [
            test.bank.statePath(of: "data-owner") + "/shares-a", test.bank.statePath(of: "holder-b") + "/shares-b",
            test.bank.statePath(of: "holder-c") + "/shares-c",
        ]
        for object in objects {
            let sizes = folders.map { folder -> Int in
                let path = folder + "/\(object.shareSet).share"
                return (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int ?? -1
            }
            #expect(Set(sizes).count == 1 && sizes[0] > object.length, "\(object.dataSet)/\(object.part): \(sizes)")
        }
        if orphans {
            let known = Set(objects.map { $0.shareSet + ".share" })
            var strange: [String] = []
            let limit = Date(timeIntervalSinceNow: 15)
            repeat {
                strange = try folders.flatMap { try FileManager.default.contentsOfDirectory(atPath: $0) }
                    .filter { !known.contains($0) }
                if !strange.isEmpty { usleep(200_000) }
            } while !strange.isEmpty && Date() < limit
            #expect(strange.isEmpty, "shares of no data set: \(strange)")
            #expect(try catalogue.jobs().allSatisfy { $0.state != .running })
        }
        try AuditLog.verify(try catalogue.auditLines())
    }

    private func say(_ line: String) { FileHandle.standardError.write(Data("FaultTests: \(line)\n".utf8)) }
}

/// Joins the pad traces of all processes of a bank and demands that no byte of any stream was spent twice, or
/// accepted twice.
func expectNoPadTwice(_ test: TestBank, atLeast count: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let text = try String(contentsOfFile: test.directory.file("pad-trace"), encoding: .utf8)
    var streams: [String: [(from: UInt64, to: UInt64)]] = [:]
    var lines = 0
    for line in text.split(separator: "\n") {
        let fields = line.split(separator: "\t")
        guard fields.count == 7, let offset = UInt64(fields[3]), let length = UInt64(fields[4]) else {
            Issue.record("not a line of a pad trace: \(line)", sourceLocation: sourceLocation)
            continue
        }
        streams[(fields[0...2] + [fields[6]]).joined(separator: " "), default: []].append((offset, offset + length))
        lines += 1
    }
    #expect(lines >= count, sourceLocation: sourceLocation)
    for (stream, ranges) in streams {
        var end: UInt64 = 0
        for range in ranges.sorted(by: { $0.from < $1.from }) {
            #expect(range.from >= end, "\(stream): pad at \(range.from) was used twice", sourceLocation: sourceLocation)
            end = max(end, range.to)
        }
    }
}
