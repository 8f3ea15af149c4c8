internal import Channel
internal import Diagnostics
internal import Foundation
internal import Glibc
internal import Kernels
internal import Metering
internal import Storage

/// A share holder: keeps one share of each object as a file of bytes that mean nothing alone, and gives it out only on
/// the data owner's word.
final class ShareHolder: @unchecked Sendable {
    private struct Release {
        var shareSet: String
        var to: String
        var until: Double
    }

    private let directory: String
    private let owner: String
    private let log: @Sendable (String) -> Void
    /// Guards `releases`.
    private let lock = NSLock()
    private var releases: [String: Release] = [:]

    /// - Parameter owner: name of the data owner, the only role that may store, release and delete.
    init(directory: String, owner: String, log: @escaping @Sendable (String) -> Void) throws {
        self.directory = directory
        self.owner = owner
        self.log = log
        try createPrivateDirectory(directory)
        // What a crash left half written was never acknowledged to anyone.
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasSuffix(".partial") {
            unlink(directory + "/" + name)
        }
    }

    /// Path of a share's file.
    func path(ofShareSet shareSet: String) throws -> String {
        guard !shareSet.isEmpty, shareSet.count <= 64, shareSet.allSatisfy({ $0.isHexDigit }) else {
            throw Failure(
                .data, at: "share set", "its identifier is not hexadecimal", remedy: "check the version of the peer")
        }
        return directory + "/\(shareSet).share"
    }

    /// Serves one conversation until the peer ends it.
    func serve(_ conversation: Conversation) throws {
        while let message = try conversation.hearOrEnd() {
            do {
                try answer(message, in: conversation)
            } catch let failure as Failure where failure.kind == .notAuthorised || failure.kind == .noInput {
                conversation.refuse(failure)
            }
        }
    }

    private func answer(_ message: Message, in conversation: Conversation) throws {
        switch message {
        case .storeShare(let shareSet, let bytes):
            try demandOwner(conversation.peer, "store a share")
            try store(shareSet, bytes: bytes, from: conversation)
            log("stored share \(shareSet.prefix(8)), \(bytes) bytes")
            try conversation.say(.stored(bytes: bytes))
        case .release(let ticket, let shareSet, let to, let seconds):
            try demandOwner(conversation.peer, "release a share")
            try release(ticket: ticket, shareSet: shareSet, to: to, validSeconds: seconds)
            try conversation.say(.released)
        case .deleteShare(let shareSet):
            try demandOwner(conversation.peer, "delete a share")
            unlink(try path(ofShareSet: shareSet))
            try conversation.say(.deleted)
        case .fetchShare(let ticket, let shareSet, let start):
            try redeem(ticket: ticket, shareSet: shareSet, by: conversation.peer)
            try send(try path(ofShareSet: shareSet), from: start, in: conversation)
        default:
            throw conversation.unexpected("a message that a share holder does not answer")
        }
    }

    private func send(_ path: String, from start: Int, in conversation: Conversation) throws {
        let file = try PositionedFile(path: path, remedy: "repair the share from the other two")
        guard (0...file.size).contains(start) else { throw conversation.unexpected("a place behind the share's end") }
        try conversation.say(.share(bytes: file.size))
        try withUnsafeTemporaryAllocation(byteCount: Conversation.recordBytes, alignment: 64) { buffer in
            var position = start
            while position < file.size {
                let piece = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[0..<min(buffer.count, file.size - position)])
                try file.read(piece, at: position)
                try conversation.send(UnsafeRawBufferPointer(piece))
                position += piece.count
            }
        }
    }

    /// Writes a share as it arrives. When the disk fails, the rest is received and thrown away, because an owner that is
    /// still sending would see a broken connection and not the reason.
    private func store(_ shareSet: String, bytes: Int, from conversation: Conversation) throws {
        guard bytes > 0 else { throw conversation.unexpected("a share without bytes") }
        var problem: (any Error)?
        var file: PartialFile?
        let path = try path(ofShareSet: shareSet)
        do { file = try PartialFile(path: path) } catch { problem = error }
        try conversation.receive(count: bytes) { piece in
            guard problem == nil else { return }
            do {
                try file?.write(piece)
            } catch {
                problem = error
                file = nil
            }
        }
        do { if problem == nil { try file?.commit() } } catch { problem = error }
        if let problem { throw problem }
    }

    /// Lets `to` fetch a share with the ticket, as often as it needs (a transfer may break), until the time is over.
    func release(ticket: String, shareSet: String, to: String, validSeconds: Double) throws {
        guard access(try path(ofShareSet: shareSet), R_OK) == 0 else {
            throw Failure(
                .noInput, at: "share set \(shareSet.prefix(8))", "this holder has no such share",
                remedy: "repair it from the other two holders or deposit the data again")
        }
        lock.withLock {
            releases = releases.filter { $0.value.until > monotonicSeconds() }
            releases[ticket] = Release(shareSet: shareSet, to: to, until: monotonicSeconds() + validSeconds)
        }
    }

    private func redeem(ticket: String, shareSet: String, by peer: String) throws {
        let isReleased = lock.withLock { () -> Bool in
            var found = false
            // Every release is compared in constant time, so that timing says nothing about tickets.
            for (candidate, release) in releases {
                let same = Array(candidate.utf8).withUnsafeBytes { left in
                    Array(ticket.utf8).withUnsafeBytes { right in
                        left.count == right.count && constantTimeEqual(left, right)
                    }
                }
                let holds = release.shareSet == shareSet && release.to == peer && release.until > monotonicSeconds()
                found = found || (same && holds)
            }
            return found
        }
        guard isReleased else {
            throw Failure(
                .notAuthorised, at: "share set \(shareSet.prefix(8))", "the data owner has not released it to \(peer)",
                remedy: "make a new request; releases end after minutes and when the holder restarts")
        }
    }

    private func demandOwner(_ peer: String, _ what: String) throws {
        guard peer == owner else {
            throw Failure(
                .notAuthorised, at: peer, "only \(owner) may \(what)", remedy: "use the data owner's process")
        }
    }
}
