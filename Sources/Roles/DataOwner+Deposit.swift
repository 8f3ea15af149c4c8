internal import Bank
internal import CCrypto
internal import Diagnostics
internal import Foundation
internal import GenomicFormats
internal import Glibc
internal import Hardware
internal import Randomness
internal import SecretSharing
internal import Storage

/// Depositing and giving back: where an object becomes three shares, and an object again.
extension DataOwner {
    /// Splits files and brings share B and C to their holders, share A to the own one. The catalogue gets the data set
    /// when every share of every file is stored, or never.
    func deposit(
        dataSet: String, sample: String, files: [DepositFile], reply: (AdminReply) -> Void
    ) throws -> String {
        for (name, what) in [(dataSet, "data set"), (sample, "sample")] {
            let isPlain = name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) }
            guard isPlain, (1...64).contains(name.count) else {
                throw Failure(
                    .usage, at: "\(what) \(name)", "names are 1 to 64 letters, digits, dots, dashes and underscores",
                    remedy: "choose another name")
            }
        }
        let reads = files.filter { $0.part.hasPrefix("reads-") }
        if !reads.isEmpty {
            reply(.progress(step: "checking the reads", done: 0, total: 0))
            try checkReads(reads)
        }
        var stored: [(DepositedObject, tags: [UInt8])] = []
        var randomUse = RandomUse(source: random.name)
        do {
            for file in files { stored.append(try deposit(file, dataSet: dataSet, using: &randomUse, reply: reply)) }
            try catalogue.recordDeposit(dataSet: dataSet, sample: sample, objects: stored)
            for (object, _) in stored { unlink(pendingPath(object.shareSet)) }
        } catch {
            for (object, _) in stored { forget(shareSet: object.shareSet) }
            throw error
        }
        let bytes = stored.reduce(0) { $0 + $1.0.length }
        log("deposited \(dataSet): \(stored.count) objects, \(bytes) bytes; \(randomUse)")
        return "deposited \(stored.count) objects, \(bytes) bytes, as \(dataSet); \(randomUse)"
    }

    /// Reads every record once, so that damaged files are refused now and not when a patient waits for the answer.
    private func checkReads(_ files: [DepositFile]) throws {
        let reads = ReadFiles(
            paths: files.map(\.path), layout: files.count == 2 ? .paired : .unpaired,
            threads: HardwareProfile.availableCores)
        _ = try reads.forEachBatch { _ in }
    }

    private func deposit(
        _ file: DepositFile, dataSet: String, using randomUse: inout RandomUse, reply: (AdminReply) -> Void
    ) throws -> (DepositedObject, tags: [UInt8]) {
        let reader = try FileReader(path: file.path)
        guard reader.length > 0 else {
            throw Failure(.data, at: file.path, "it is empty", remedy: "deposit a file with content")
        }
        let destinations = Destinations()
        defer { destinations.close() }
        let objectID = try Identifier(from: random)
        let splitter = try ShareSplitter(objectID: objectID, length: reader.length, random: random) {
            share, bytes in try destinations.send(bytes, share)
        }
        let shareSet = splitter.description.set.description
        try writeWhole(Array(dataSet.utf8), to: pendingPath(shareSet))
        try openDestinations(destinations, shareSet: shareSet, bytes: splitter.description.fileSize)
        let digest = RunningDigest()
        var done = 0
        do {
            while try reader.next({ bytes in
                digest.update(bytes)
                try splitter.append(bytes)
                done += bytes.count
            }) {
                reply(.progress(step: "splitting \(file.part)", done: done, total: reader.length))
            }
            _ = try splitter.finish()
            randomUse.add(splitter.randomUse)
            try destinations.finish()
        } catch {
            forget(shareSet: shareSet)
            throw error
        }
        let object = DepositedObject(
            id: objectID.description, dataSet: dataSet, part: file.part, length: reader.length, shareSet: shareSet,
            digest: digest.finish())
        return (object, splitter.tags.withUnsafeBytes { Array($0) })
    }

    /// Where the three shares of one object go: one file here, two conversations.
    private final class Destinations {
        var file: PartialFile?
        var conversations: [ShareIndex: Conversation] = [:]

        func send(_ bytes: UnsafeRawBufferPointer, _ share: ShareIndex) throws {
            if let conversation = conversations[share] { try conversation.send(bytes) } else { try file?.write(bytes) }
        }

        /// Waits until both holders have their share on disk, then puts the own one in its place.
        func finish() throws {
            for conversation in conversations.values {
                guard case .stored = try conversation.hear() else {
                    throw conversation.unexpected("no receipt of the share")
                }
            }
            try file?.commit()
        }

        func close() { for conversation in conversations.values { conversation.close() } }
    }

    private func openDestinations(_ destinations: Destinations, shareSet: String, bytes: Int) throws {
        for (share, letter) in [(ShareIndex.b, "b"), (.c, "c")] {
            let conversation = try telephone.call(network.holder(ofShare: letter).name)
            destinations.conversations[share] = conversation
            try conversation.say(.storeShare(shareSet: shareSet, bytes: bytes))
        }
        destinations.file = try PartialFile(path: try ownHolder.service.path(ofShareSet: shareSet))
    }

    /// A note that shares of this set may lie at holders without being in the catalogue.
    private func pendingPath(_ shareSet: String) -> String { stateDirectory + "/pending-\(shareSet)" }

    func pendingDeposits() -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: stateDirectory)) ?? []).filter {
            $0.hasPrefix("pending-")
        }
    }

    /// Deletes the shares of deposits that a crash interrupted; what a holder does not confirm is tried at the next start.
    ///
    /// - Parameter names: the notes that were there before the owner took commands.
    func forgetInterruptedDeposits(_ names: [String]) {
        for name in names {
            let shareSet = String(name.dropFirst("pending-".count))
            if shareSet.hasSuffix(".partial") {
                unlink(stateDirectory + "/" + name)
                continue
            }
            let isKept =
                (try? catalogue.dataSets().contains { dataSet in
                    try catalogue.objects(ofDataSet: dataSet).contains { $0.0.shareSet == shareSet }
                }) ?? true
            if isKept { unlink(pendingPath(shareSet)) } else { forget(shareSet: shareSet) }
        }
    }

    /// Deletes what a failed deposit left at the holders, as far as they answer.
    private func forget(shareSet: String) {
        var isForgotten = true
        if let path = try? ownHolder.service.path(ofShareSet: shareSet) {
            try? FileManager.default.removeItem(atPath: path)
        }
        for letter in ["b", "c"] {
            guard let holder = try? network.holder(ofShare: letter), let conversation = try? telephone.call(holder.name)
            else {
                isForgotten = false
                continue
            }
            try? conversation.say(.deleteShare(shareSet: shareSet))
            if case .deleted? = try? conversation.hear(timeout: 5) {} else { isForgotten = false }
            conversation.close()
        }
        if isForgotten { unlink(pendingPath(shareSet)) }
    }

    /// Restores an object for its owner into a file.
    func retrieve(dataSet: String, part: String, output: String) throws -> String {
        guard let (object, tags) = try catalogue.objects(ofDataSet: dataSet).first(where: { $0.0.part == part }) else {
            throw Failure(
                .noInput, at: "\(dataSet)/\(part)", "it was not deposited",
                remedy: "there are \(try catalogue.objects(ofDataSet: dataSet).map(\.0.part).joined(separator: ", "))")
        }
        let order = ObjectOrder(
            part: part, length: object.length, shareSet: object.shareSet, tags: Data(tags).base64EncodedString(),
            sources: try releaseShares(of: object.shareSet, to: telephone.identity))
        let restored = try RestoredObject(order: order, telephone: telephone)
        defer { restored.close() }
        let file = try PartialFile(path: output)
        let digest = RunningDigest()
        let write = { (bytes: UnsafeRawBufferPointer) in
            digest.update(bytes)
            try file.write(bytes)
        }
        while try restored.step(write) {}
        guard digest.finish() == object.digest else {
            throw Failure(
                .data, at: "\(dataSet)/\(part)", "the restored bytes are not those that were deposited",
                remedy: "run a share check at the holders")
        }
        try file.commit()
        try catalogue.note(
            "retrieve", ["dataSet": dataSet, "part": part, "holders": restored.holders.joined(separator: ",")])
        return "restored \(object.length) bytes from \(restored.holders.joined(separator: " and "))"
    }
}

/// SHA-256 of bytes as they pass.
final class RunningDigest {
    private let context = EVP_MD_CTX_new()

    init() { EVP_DigestInit_ex(context, EVP_sha256(), nil) }

    func update(_ bytes: UnsafeRawBufferPointer) { EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) }

    /// 64 hexadecimal digits; the object is of no further use.
    func finish() -> String {
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        EVP_DigestFinal_ex(context, &digest, nil)
        return hexadecimal(digest)
    }

    deinit { EVP_MD_CTX_free(context) }
}
