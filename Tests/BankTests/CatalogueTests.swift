import Bank
import Diagnostics
import Foundation
import Testing

private func withCatalogue(_ body: (Catalogue, String) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "bank-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let path = directory.appending(path: "catalogue.sqlite").path
    try body(try Catalogue(path: path), path)
}

private func object(_ part: String) -> (DepositedObject, tags: [UInt8]) {
    (DepositedObject(id: "id-\(part)", dataSet: "d", part: part, length: 5, shareSet: "ab", digest: "cd"), [1, 2, 3])
}

private func right(_ id: String, user: String = "u", usesMaximum: Int? = nil, notAfter: Double? = nil) -> Right {
    Right(
        id: id, user: user, dataSet: "d", purpose: "DUO:0000043", coverage: .regions, list: "1\t0\t10\n",
        notAfter: notAfter, usesMaximum: usesMaximum)
}

struct CatalogueTests {
    @Test func aDepositIsFoundAgain() throws {
        try withCatalogue { catalogue, path in
            try catalogue.recordDeposit(dataSet: "d", sample: "s", objects: [object("reads-2"), object("reads-1")])
            let reopened = try Catalogue(path: path)
            #expect(try reopened.sample(ofDataSet: "d") == "s")
            #expect(try reopened.objects(ofDataSet: "d").map(\.0.part) == ["reads-1", "reads-2"])
            #expect(try reopened.objects(ofDataSet: "d").map(\.tags) == [[1, 2, 3], [1, 2, 3]])
            #expect(try reopened.sample(ofDataSet: "other") == nil)
        }
    }

    @Test func withoutARightThereIsNoAnswer() throws {
        try withCatalogue { catalogue, _ in
            try catalogue.grant(right("r1"))
            for (user, dataSet) in [("stranger", "d"), ("u", "other")] {
                let failure = #expect(throws: Failure.self) {
                    try catalogue.decide(user: user, dataSet: dataSet, purpose: nil, job: "j", at: 0)
                }
                #expect(failure?.kind == .notAuthorised)
            }
            #expect(try catalogue.jobs().isEmpty)
            #expect(try catalogue.auditLines().filter { $0.event.contains("refused-request") }.count == 2)
        }
    }

    @Test func aRightEndsByUseByTimeByPurposeAndByRevocation() throws {
        try withCatalogue { catalogue, _ in
            try catalogue.grant(right("used", user: "a", usesMaximum: 1))
            try catalogue.grant(right("timed", user: "b", notAfter: 100))
            try catalogue.grant(right("revoked", user: "c"))
            func decide(_ user: String, _ job: String, purpose: String? = nil, at: Double = 0) throws -> Right {
                try catalogue.decide(user: user, dataSet: "d", purpose: purpose, job: job, at: at)
            }
            #expect(try decide("a", "1").id == "used")
            #expect(throws: Failure.self) { try decide("a", "2") }
            #expect(try decide("b", "3", at: 100).id == "timed")
            #expect(throws: Failure.self) { try decide("b", "4", at: 101) }
            #expect(throws: Failure.self) { try decide("b", "5", purpose: "DUO:0000006", at: 1) }
            #expect(try decide("c", "6").id == "revoked")
            #expect(try catalogue.revoke("revoked"))
            #expect(try catalogue.isRevoked("revoked"))
            #expect(throws: Failure.self) { try decide("c", "7") }
            #expect(try !catalogue.revoke("unknown"))
        }
    }

    @Test func anInterruptedJobIsFailedOnTheNextStart() throws {
        try withCatalogue { catalogue, path in
            try catalogue.grant(right("r"))
            _ = try catalogue.decide(user: "u", dataSet: "d", purpose: nil, job: "j", at: 0)
            let reopened = try Catalogue(path: path)
            try reopened.failInterruptedJobs()
            #expect(try reopened.jobs().map(\.state) == [.failed])
        }
    }

    @Test func anyChangeOfTheAuditLogIsFound() throws {
        try withCatalogue { catalogue, path in
            for number in 1...5 { try catalogue.note("event", ["number": String(number)]) }
            let lines = try catalogue.auditLines()
            #expect(lines.count == 5)
            try AuditLog.verify(lines)
            try AuditLog.verify(try Catalogue.auditLines(path: path))
            for index in lines.indices {
                var changed = lines
                changed[index].event = changed[index].event.replacing("event", with: "Event")
                #expect(throws: Failure.self) { try AuditLog.verify(changed) }
                var earlier = lines
                earlier[index].at -= 1
                #expect(throws: Failure.self) { try AuditLog.verify(earlier) }
                if index < lines.count - 1 {
                    var shorter = lines
                    shorter.remove(at: index)
                    #expect(throws: Failure.self) { try AuditLog.verify(shorter) }
                    var swapped = lines
                    swapped.swapAt(index, index + 1)
                    #expect(throws: Failure.self) { try AuditLog.verify(swapped) }
                }
            }
        }
    }

    @Test func knownDigest() {
        #expect(sha256Hex(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }
}
