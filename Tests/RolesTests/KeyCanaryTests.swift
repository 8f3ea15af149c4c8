import Channel
import Diagnostics
import Foundation
import Glibc
import Kernels
import KeyNetwork
import Testing
import TestSupport

/// Looks for the keys of Figure 5 wherever they must not be. The test plays the link's driver, so it knows K0, and with
/// it K1 to K4 of every chunk; the nodes and roles are real processes that know nothing of it.
@Suite(.serialized) struct KeyCanaryTests {
    /// Short samples of secrets, looked for at every byte of what is searched.
    private struct Samples {
        private var first = [Bool](repeating: false, count: 65_536)
        private var words: Set<UInt64> = []

        mutating func add(_ bytes: [UInt8], every step: Int) {
            for start in stride(from: 0, to: bytes.count - 7, by: step) {
                let word = bytes[start..<start + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                words.insert(word)
                first[Int(word >> 48)] = true
            }
        }

        /// How many of the samples are somewhere in the bytes.
        func count(in bytes: [UInt8]) -> Int {
            guard bytes.count >= 8 else { return 0 }
            var found: Set<UInt64> = []
            bytes.withUnsafeBufferPointer { bytes in
                for start in 0..<bytes.count - 7 where first[Int(bytes[start]) << 8 | Int(bytes[start + 1])] {
                    var word: UInt64 = 0
                    for index in start..<start + 8 { word = word << 8 | UInt64(bytes[index]) }
                    if words.contains(word) { found.insert(word) }
                }
            }
            return found.count
        }
    }

    private static let chunk = 1 << 20

    /// Delivers chunks of known key to both ends of both directions.
    private func deliver(_ chunks: Int, to directory: TemporaryDirectory) throws -> [[UInt8]] {
        let ends = try ["a", "b"].map {
            try QuantumSocket.Client(path: directory.file("\($0)/quantum.sock"), link: "a|b")
        }
        var keys: [[UInt8]] = []
        for number in 0..<chunks * 2 {
            var key = [UInt8](repeating: 0, count: Self.chunk)
            try key.withUnsafeMutableBytes { try fillFromKernel($0) }
            let first = UInt64(number / 2 * Self.chunk / QuantumSocket.block) * 2 + UInt64(number % 2)
            for start in stride(from: 0, to: key.count, by: QuantumSocket.longestRun) {
                try key[start..<start + QuantumSocket.longestRun].withUnsafeBytes { run in
                    for end in ends {
                        let state = try end.deliver(first + UInt64(2 * start / QuantumSocket.block), run)
                        #expect(state.status == .stored)
                    }
                }
            }
            keys.append(key)
        }
        return keys
    }

    @Test func noSecretOfFigure5IsWhereItMustNotBe() throws {
        let directory = try TemporaryDirectory()
        try writeConfiguration(directory)
        var processes: [Process] = []
        defer { for process in processes where process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        for node in ["a", "b"] { processes.append(try start(["serve", "-c", directory.file("\(node).toml")])) }
        let keys = try deliver(4, to: directory)
        let (k1, secret) = samples(of: keys)

        // The search finds what is there: K1 lies on the disks of both nodes.
        for node in ["a", "b"] {
            let onDisk = try files(below: directory.file("\(node)/keys")).reduce(0) { $0 + k1.count(in: $1) }
            #expect(onDisk > 1000, "K1 of node \(node) is not on its disk: \(onDisk)")
        }
        // Roles spend pad while the search goes on.
        processes.append(try start(["keys", "exercise", "-c", directory.file("bob.toml")]))
        processes.append(
            try start(["keys", "exercise", "-c", directory.file("alice.toml"), "--to", "bob", "--size", "20000"]))
        // Until a whole chunk was used up.
        let receipts = directory.file("a/erasures.jsonl")
        for _ in 0..<600 where (try? String(contentsOfFile: receipts, encoding: .utf8))?.contains("used") != true {
            usleep(50_000)
        }
        for process in processes {
            let core = core(of: process.processIdentifier)
            if geteuid() == 0 { #expect(core.count > 1 << 20) }
            #expect(secret.count(in: core) == 0, "\(process.arguments ?? []): a core would hold secrets of Figure 5")
            // Nothing of these processes may have gone to swap either; where memory is secret or locked, nothing can.
            let status = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
            #expect(status.split(separator: "\n").first { $0.hasPrefix("VmSwap") }?.contains(" 0 kB") != false)
        }
        try expectNothing(secret, below: directory.file(""), "while the nodes ran")
        let lines = try String(contentsOfFile: receipts, encoding: .utf8)
        #expect(lines.contains("\"reason\":\"used\""))

        // A crash leaves K1 alone, and no core.
        kill(processes[0].processIdentifier, SIGSEGV)
        processes[0].waitUntilExit()
        try expectNothing(secret, below: directory.file(""), "after a crash")
        #expect(
            !(FileManager.default.enumerator(atPath: directory.file(""))?.allObjects as? [String] ?? []).contains {
                ($0 as NSString).lastPathComponent.hasPrefix("core")
            })
        for process in processes.dropFirst().reversed() {
            kill(process.processIdentifier, SIGTERM)
            process.waitUntilExit()
        }
        // After an orderly end not even K1 is there.
        try expectNothing(secret, below: directory.file(""), "after the end")
        #expect(try files(below: directory.file("b/keys")).allSatisfy { k1.count(in: $0) == 0 })
    }

    /// Samples of K1, and of K2, K3 and K4.
    private func samples(of keys: [[UInt8]]) -> (Samples, Samples) {
        var (open, secret) = (Samples(), Samples())
        for key in keys {
            let (k2, k1) = (Array(key[..<32]), Array(key[32...]))
            var k3 = [UInt8](repeating: 0, count: k1.count)
            k2.withUnsafeBytes { k2 in k3.withUnsafeMutableBytes { AESCounterMode(key: k2).expand(into: $0) } }
            open.add(k1, every: 4096)
            secret.add(k2, every: 8)
            secret.add(k3, every: 4096)
            secret.add(zip(k1, k3).map { $0 ^ $1 }, every: 4096)
        }
        return (open, secret)
    }

    private func expectNothing(_ secret: Samples, below path: String, _ when: String) throws {
        for file in try files(below: path) {
            #expect(secret.count(in: file) == 0, "\(when) a file holds secrets of Figure 5")
        }
    }

    private func files(below path: String) throws -> [[UInt8]] {
        let names = FileManager.default.enumerator(atPath: path)?.allObjects as? [String] ?? []
        return names.compactMap { name in
            let attributes = try? FileManager.default.attributesOfItem(atPath: path + "/" + name)
            guard attributes?[.type] as? FileAttributeType == .typeRegular else { return nil }
            return FileManager.default.contents(atPath: path + "/" + name).map { Array($0) }
        }
    }

    /// What a core file of a process would hold: its memory but for what is kept out of dumps.
    private func core(of process: Int32) -> [UInt8] {
        guard geteuid() == 0, let maps = try? String(contentsOfFile: "/proc/\(process)/smaps", encoding: .utf8) else {
            FileHandle.standardError.write(Data("SKIPPED the search of cores: it needs root\n".utf8))
            return []
        }
        let memory = open("/proc/\(process)/mem", O_RDONLY)
        defer { close(memory) }
        var bytes: [UInt8] = []
        var range: (Int, Int)?
        for line in maps.split(separator: "\n") {
            let words = line.split(separator: " ")
            let ends = words[0].split(separator: "-").compactMap { Int($0, radix: 16) }
            if ends.count == 2 {
                // Files that are mapped and not written to are no part of a core.
                range = words[1].hasPrefix("rw") ? (ends[0], ends[1]) : nil
            } else if words[0] == "VmFlags:", let (start, end) = range, !words.contains("dd") {
                var part = [UInt8](repeating: 0, count: end - start)
                let count = pread(memory, &part, part.count, start)
                if count > 0 { bytes += part[..<count] }
            }
        }
        return bytes
    }

    private func start(_ arguments: [String]) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: TestBank.program)
        process.arguments = arguments
        let ready = Pipe()
        process.standardOutput = ready
        process.standardError = FileHandle.nullDevice
        try process.run()
        #expect(String(decoding: ready.fileHandleForReading.availableData, as: UTF8.self) == "ready\n")
        return process
    }

    private func writeConfiguration(_ directory: TemporaryDirectory) throws {
        var ports = try Sockets.freePorts(4).makeIterator()
        var text = "pool = 'bank'\nkms = 'a'\n"
        for node in ["a", "b"] {
            text += "[[nodes]]\nname = '\(node)'\nhost = '127.0.0.1'\nkma_port = \(ports.next()!)\n"
            text += "directory = '\(directory.file(node))'\nkey_store = 'disk'\nkey_store_mib = 8.0\n"
        }
        text += "[[links]]\nends = ['a', 'b']\ndistance_km = 1.0\nrate_mbit_per_s = 0.0\nstock_mib = 8.0\n"
        for (role, node) in [("alice", "a"), ("bob", "b")] {
            text += "[[roles]]\nname = '\(role)'\nkind = 'user'\nnode = '\(node)'\nhost = '127.0.0.1'\n"
            text += "port = \(ports.next()!)\n"
        }
        try text.write(toFile: directory.file("network.toml"), atomically: true, encoding: .utf8)
        for name in ["a", "b", "alice", "bob"] {
            try "network = 'network.toml'\nstate = '\(directory.file(name))'\nplays = ['\(name)']\n"
                .write(toFile: directory.file(name + ".toml"), atomically: true, encoding: .utf8)
        }
    }
}

/// The campaign of `scripts/test-keys`, in short: the program's own script is what runs at length.
@Suite struct KeyCampaignTests {
    @Test func killsPowerCutsAndAFullDisk() throws {
        let script = TestBank.root.appending(path: "Tests/KeyCampaign/campaign.py").path
        let text = try output(of: [
            "python3", script, TestBank.program, "--kills", "12", "--power-cuts", "4", "--relay-kills", "3",
            "--parallel", "2",
        ])
        guard let text else { return }
        FileHandle.standardError.write(Data(text.utf8))
        #expect(text.components(separatedBy: "no byte twice").count == 4 && !text.contains("FAILED"), "\(text)")
        #expect(text.contains("disk full during burn: nothing was sent"))
        #expect(text.contains("random device: zeros are refused"))
    }

    /// `scripts/test-keys --canary` looks at swap too, which a test suite leaves alone.
    @Test func noKeyIsInCoresOrFiles() throws {
        let script = TestBank.root.appending(path: "Tests/KeyCampaign/canary.py").path
        guard let text = try output(of: ["python3", script, TestBank.program, "--swap-mib", "0"]) else { return }
        FileHandle.standardError.write(Data(text.utf8))
        #expect(text.contains("files: none holds K2, K3, K4 or pad") && text.contains("none of it is on a disk"), "\(text)")
        #expect(text.contains("SKIPPED the search of cores") || text.contains("core: 4 processes"), "\(text)")
    }
}
