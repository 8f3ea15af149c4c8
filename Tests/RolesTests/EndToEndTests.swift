import Bank
import Diagnostics
import Foundation
import Metering
import Roles
import Testing
import TestSupport

/// The whole path with real processes: deposit, request, genotype, filter, deliver.
@Suite(.serialized) struct EndToEndTests {
    @Test func everyUserGetsExactlyItsPart() throws {
        let test = try TestBank()
        try test.deposit()
        try test.grant("user-panel", coverage: "regions", list: try test.text("panel.bed"))
        try test.grant("user-variants", coverage: "variants", list: try test.text("variants.tsv"))
        try test.grant("user-everything")
        var notes: [DeliveryNote] = []
        for user in TestBank.users {
            let result = try test.request(user)
            #expect(result.exitCode == 0, "\(user): \(result.error)\(test.logs)")
            notes.append(try JSONDecoder().decode(DeliveryNote.self, from: Data(result.output.utf8)))
        }
        let receipts = try notes.map { try receipt(ofJob: $0.job, socket: test.bank.ownerSocket) }
        #expect(receipts[2].recordsWithheld == 0)
        #expect(notes[2].recordsDelivered > 30)
        #expect(notes[0].recordsDelivered + receipts[0].recordsWithheld == notes[2].recordsDelivered)
        for receipt in receipts {
            let labels = receipt.measurements.map(\.stage.label)
            #expect(Set(labels) == ["restore", "A", "B-1", "B-2", "B-3", "C"])
            #expect(receipt.measurements.allSatisfy { $0.bytes > 0 && $0.seconds > 0 })
            #expect(receipt.holders == ["holder-a", "holder-b"])
        }
        try expectEqualToBcftools(test)
        try expectHonestLedgers(test)
        let audit = try test.bank.run(["audit", "verify", "-c", test.bank.configurationPath(of: "data-owner")])
        #expect(audit.exitCode == 0, "\(audit.error)\(test.logs)")
    }

    /// What each user has equals what bcftools makes of the whole with the same list.
    private func expectEqualToBcftools(_ test: TestBank) throws {
        let whole = test.answer("user-everything")
        let panel = try output(of: ["bcftools", "view", "-H", "-T", test.sample + "/panel.bed", whole])
        if let panel {
            #expect(try records(test.answer("user-panel"))?.joined(separator: "\n") == panel.trimmingCharacters(in: .newlines))
            #expect(!panel.isEmpty)
        }
        // Alleles of the list decide, so the judge is exact matching of CHROM, POS, REF and ALT.
        let listed = Set(
            try test.text("variants.tsv").split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
                let fields = line.split(separator: "\t")
                return [fields[0], fields[1], fields[3], fields[4]].joined(separator: " ")
            })
        let expected = try records(whole)?.filter { record in
            let fields = record.split(separator: "\t")
            return listed.contains([fields[0], fields[1], fields[3], fields[4]].joined(separator: " "))
        }
        if let expected { #expect(try records(test.answer("user-variants")) == expected) }
        let tabix = try output(of: ["tabix", "-l", whole])
        if let tabix { #expect(!tabix.isEmpty) }
    }

    /// A right to sites is answered at every site, with 0/0 where the sample is like the reference, and tells of no other
    /// allele.
    @Test func sitesAreAllAnsweredAndNothingElse() throws {
        let test = try TestBank(genomeLength: 40_000)
        try test.deposit()
        try test.grant("user-everything")
        #expect(try test.request("user-everything").exitCode == 0)
        let called: [String]? = try records(test.answer("user-everything"))
        let whole: [[String]] = try #require(called).map { $0.split(separator: "\t").map(String.init) }
        // Every SNP under its own allele and, at the next site of the list, under an allele that the sample lacks.
        let bases = ["A", "C", "G", "T"]
        var expected: [String: String] = [:]
        var list = "#CHROM\tPOS\tID\tREF\tALT\n"
        let single = whole.filter { $0[3].count == 1 && $0[4].count == 1 && Double($0[5]) ?? 0 > 30 }
        try #require(single.count > 10)
        for (number, fields) in single.enumerated() {
            let other = try #require(bases.first { $0 != fields[3] && $0 != fields[4] })
            let listed = number % 2 == 0 ? fields[4] : other
            list += "\(fields[0])\t\(fields[1])\tsite\(number)\t\(fields[3])\t\(listed)\n"
            let genotype = String(fields[9].prefix { $0 != ":" }).replacing("|", with: "/")
            let sorted = genotype.split(separator: "/").sorted().joined(separator: "/")
            expected["site\(number)"] = "\(listed) \(number % 2 == 0 ? sorted : "./.")"
        }
        // A place where the reads show the reference: between two variants that are far from each other.
        let gap = try #require(
            zip(single, single.dropFirst()).first { $0[0] == $1[0] && Int($1[1])! - Int($0[1])! > 400 })
        let place = (Int(gap.0[1])! + Int(gap.1[1])!) / 2
        list += "\(gap.0[0])\t\(place)\tlike\t\(try test.referenceBase(gap.0[0], place))\t.\n"
        expected["like"] = ". 0/0"

        try test.grant("user-variants", coverage: "sites", list: list)
        let result = try test.request("user-variants")
        #expect(result.exitCode == 0, "\(result.error)\(test.logs)")
        let told: [String]? = try records(test.answer("user-variants"))
        let answer: [String] = try #require(told)
        var seen: [String: String] = [:]
        for record in answer {
            let fields = record.split(separator: "\t").map(String.init)
            seen[fields[2]] = "\(fields[4]) \(fields[9].prefix { $0 != ":" })"
        }
        #expect(seen == expected)
        #expect(answer.count == expected.count)

        try test.grant("user-panel", coverage: "sites", list: "chrUnknown\t1\t.\tA\tC\n")
        let refused = try test.request("user-panel")
        #expect(refused.exitCode == FailureKind.data.exitCode)
        #expect(refused.error.contains("chrUnknown"), "\(refused.error)")
    }

    private func expectHonestLedgers(_ test: TestBank) throws {
        let text = try administer(.ledger, socket: test.bank.ownerSocket)
        let lines = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
        #expect(lines.count >= 8)
        for line in lines {
            func bytes(_ key: String) -> Int { line[key] as? Int ?? -1 }
            let accounted = ["data", "tags", "handshake", "lost", "expired", "onHand"].reduce(0) { $0 + bytes($1) }
            #expect(bytes("supplied") == accounted, "\(line)")
            #expect(bytes("supplied") > 0)
        }
    }

    @Test func oneHolderMayBeDownTwoMayNot() throws {
        let test = try TestBank()
        try test.deposit()
        try test.grant("user-everything")
        test.bank.stop("holder-b")
        let throughC = try test.request("user-everything")
        #expect(throughC.exitCode == 0, "\(throughC.error)\(test.logs)")
        let note = try JSONDecoder().decode(DeliveryNote.self, from: Data(throughC.output.utf8))
        let receipt = try receipt(ofJob: note.job, socket: test.bank.ownerSocket)
        #expect(receipt.holders == ["holder-a", "holder-c"])
        let first = try Data(contentsOf: URL(fileURLWithPath: test.answer("user-everything")))
        try FileManager.default.removeItem(atPath: test.answer("user-everything"))

        test.bank.stop("holder-c")
        let refused = try test.request("user-everything")
        #expect(refused.exitCode == FailureKind.peerUnavailable.exitCode)
        #expect(refused.error.contains("holder-b") && refused.error.contains("holder-c"), "\(refused.error)")
        #expect(refused.error.contains("hint:"))
        #expect(!FileManager.default.fileExists(atPath: test.answer("user-everything")))
        #expect(!FileManager.default.fileExists(atPath: test.answer("user-everything") + ".partial"))

        try test.bank.start("holder-b")
        let again = try test.request("user-everything")
        #expect(again.exitCode == 0, "\(again.error)\(test.logs)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: test.answer("user-everything"))) == first)
    }

    @Test func denyByDefaultAndRevocation() throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 10)
        try test.deposit()
        let stranger = try test.request("user-panel")
        #expect(stranger.exitCode == FailureKind.notAuthorised.exitCode)
        let right = try test.grant("user-panel")
        #expect(try test.request("user-panel").exitCode == 0)
        _ = try administer(.revoke(right: right), socket: test.bank.ownerSocket)
        #expect(try test.request("user-panel").exitCode == FailureKind.notAuthorised.exitCode)
        try test.grant("user-variants", uses: 1)
        #expect(try test.request("user-variants").exitCode == 0)
        #expect(try test.request("user-variants").exitCode == FailureKind.notAuthorised.exitCode)
        let lines = try Catalogue.auditLines(path: test.bank.statePath(of: "data-owner") + "/catalogue.sqlite")
        #expect(lines.filter { $0.event.contains("refused-request") }.count == 3)
        try AuditLog.verify(lines)
    }

    @Test func anyObjectComesBackAsItWas() throws {
        let test = try TestBank(genomeLength: 20_000, coverage: 5)
        var random = SplitMix64(seed: 7)
        let path = test.directory.file("object.bam")
        try Data(random.bytes(5_000_001)).write(to: URL(fileURLWithPath: path))
        let owner = test.bank.configurationPath(of: "data-owner")
        let deposited = try test.bank.run([
            "deposit", "-c", owner, "--data-set", "bam", "--sample", "S", "--object", path,
        ])
        #expect(deposited.exitCode == 0, "\(deposited.error)\(test.logs)")
        let restored = test.directory.file("restored.bam")
        for stopped in ["holder-c", "holder-b"] {
            test.bank.stop(stopped)
            let result = try test.bank.run([
                "retrieve", "-c", owner, "--data-set", "bam", "--part", "object.bam", "-o", restored,
            ])
            #expect(result.exitCode == 0, "\(result.error)\(test.logs)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: restored)) == Data(contentsOf: URL(fileURLWithPath: path)))
            try FileManager.default.removeItem(atPath: restored)
            try test.bank.start(stopped)
        }
    }

    /// Nothing that says something about the person lies on any role's disk, or went over any wire.
    @Test func nothingIsInTheClear() throws {
        let test = try TestBank(start: false)
        let capture = test.directory.file("loopback.pcap")
        let sniffer = try startCapture(to: capture)
        try test.bank.start()
        try test.deposit()
        try test.grant("user-everything")
        #expect(try test.request("user-everything").exitCode == 0)
        test.bank.stop()
        usleep(300_000)
        // Every packet is written as it comes, and SIGTERM would wait for one more packet.
        if let sniffer { kill(sniffer.processIdentifier, SIGKILL) }
        sniffer?.waitUntilExit()

        let canaries = try self.canaries(test)
        #expect(canaries.count >= 6)
        var searched = 0
        for file in test.files(below: test.directory.file("bank")) {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: test.directory.file("bank") + "/" + file))
            searched += bytes.count
            for (what, canary) in canaries {
                #expect(bytes.range(of: canary) == nil, "\(what) is in \(file)")
            }
        }
        let reads = try Data(contentsOf: URL(fileURLWithPath: test.reads[0]))
        #expect(searched > 3 * reads.count, "the shares were not among the files that were searched")
        if sniffer != nil {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: capture))
            #expect(bytes.count > 4 * reads.count, "the capture is too small to be of this run")
            let names = TestBank.users.map { ("a user's name", Data($0.utf8)) } + [("a sample's name", Data("SIM1".utf8))]
            for (what, canary) in canaries + names { #expect(bytes.range(of: canary) == nil, "\(what) is on the wire") }
        }
    }

    /// Bytes that only plaintext has: of the reads, their names, the compressed files and VCF headers.
    private func canaries(_ test: TestBank) throws -> [(String, Data)] {
        var canaries: [(String, Data)] = [
            ("a VCF header", Data("##fileformat=VCF".utf8)), ("a VCF header", Data("#CHROM\tPOS\tID".utf8)),
            ("a VCF header", Data("##contig=<ID=".utf8)),
        ]
        for path in test.reads + [test.answer("user-everything")] {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            for part in 1...3 {
                let from = bytes.count * part / 4
                canaries.append(("a compressed file", bytes[from..<from + 24]))
            }
        }
        if let plain = try output(of: ["gzip", "-dc", test.reads[0]]) {
            let lines = plain.split(separator: "\n")
            for record in [0, lines.count / 8, lines.count / 4 - 1] {
                canaries.append(("a read's name", Data(lines[record * 4].utf8)))
                canaries.append(("a read", Data(lines[record * 4 + 1].prefix(40).utf8)))
            }
        }
        return canaries
    }

    /// tcpdump on loopback, where it is installed and allowed.
    private func startCapture(to path: String) throws -> Process? {
        guard geteuid() == 0, FileManager.default.fileExists(atPath: "/usr/bin/tcpdump") else {
            FileHandle.standardError.write(Data("SKIPPED capture: tcpdump needs to be installed and root\n".utf8))
            return nil
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/tcpdump")
        process.arguments = ["-i", "lo", "-s", "0", "-U", "-B", "65536", "-Z", "root", "-w", path, "tcp"]
        process.standardError = FileHandle.nullDevice
        try process.run()
        let deadline = Date(timeIntervalSinceNow: 10)
        while !FileManager.default.fileExists(atPath: path), Date() < deadline { usleep(20_000) }
        usleep(300_000)
        return process
    }
}
