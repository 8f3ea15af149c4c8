internal import Channel
internal import Diagnostics
internal import Foundation
internal import Kernels
internal import Metering
internal import SecretSharing
internal import Synchronization

/// Restores one object from two of its shares as they arrive under one-time pad. Nothing touches a disk.
///
/// A connection that breaks is made again, and the share goes on where it was. When its holder cannot be reached any
/// more, or fails otherwise, the next one takes its place: the join starts again from the beginning, and what was
/// already delivered is left out. For use by one thread, but for ``deliveredBytes`` and ``stop()``.
final class RestoredObject {
    /// One share that is on its way.
    private final class Transfer {
        let source: ShareSource
        private let shareSet: String
        private(set) var conversation: Conversation
        let length: Int
        private(set) var rest: Int
        /// Bytes that arrived and that the joiner has not taken yet.
        var waiting: [UInt8] = []
        /// Connections in a row that broke, or were not to be had, before they brought anything.
        private var fruitless = 0
        /// Connections after the first; each costs pad for its proofs.
        private var connections = 0
        private static let mostConnections = 100
        /// A peer that is silent has been waited for long enough to be tried only once more.
        private static let mostFruitless: [FailureKind: Int] = [.peerUnavailable: 3, .inputOutput: 3, .transient: 1]

        init(_ source: ShareSource, shareSet: String, telephone: Telephone) throws {
            self.source = source
            self.shareSet = shareSet
            (conversation, length) = try Self.open(source, shareSet, from: 0, telephone)
            rest = length
        }

        private static func open(
            _ source: ShareSource, _ shareSet: String, from start: Int, _ telephone: Telephone
        ) throws -> (conversation: Conversation, length: Int) {
            let conversation = try telephone.call(source.holder)
            try conversation.say(.fetchShare(ticket: source.ticket, shareSet: shareSet, from: start))
            guard case .share(let bytes) = try conversation.hear(), bytes >= start else {
                throw conversation.unexpected("no share")
            }
            return (conversation, bytes)
        }

        /// Receives one more record.
        func receive() throws {
            let count = try conversation.receive { waiting.append(contentsOf: $0) }
            rest -= count
            guard rest >= 0 else { throw conversation.unexpected("more bytes than it announced") }
            if count > 0 { fruitless = 0 }
            if rest == 0 { conversation.close() }
        }

        /// A new connection for the bytes that are not here yet, after `failure` ended the last one.
        func resume(after failure: Failure, telephone: Telephone) throws {
            var failure = failure
            while let most = Self.mostFruitless[failure.kind], fruitless < most, connections < Self.mostConnections {
                Thread.sleep(forTimeInterval: 0.1 * Double(fruitless))
                fruitless += 1
                connections += 1
                do {
                    let opened = try Self.open(source, shareSet, from: length - rest, telephone)
                    conversation = opened.conversation
                    guard opened.length == length else { throw conversation.unexpected("a share of another length") }
                    return
                } catch {
                    failure = asFailure(error)
                }
            }
            throw failure
        }
    }

    let order: ObjectOrder
    private let telephone: Telephone
    private let tags: ShareTags
    private var candidates: [ShareSource]
    private var transfers: [Transfer] = []
    private var joiner: ShareJoiner?
    /// What was wrong with holders whose shares were given up, each with the holder's name.
    private(set) var faults: [String] = []
    private let delivery = Atomic<Int>(0)
    /// Channels of the transfers under way; nil when nothing more is wanted.
    private let channels = Mutex<[SecureChannel]?>([])
    private var skipped = 0
    private let plaintext = Plaintext()
    /// Seconds spent waiting for shares and joining them.
    private(set) var seconds = 0.0

    private final class Plaintext { var bytes: [UInt8] = [] }

    init(order: ObjectOrder, telephone: Telephone) throws {
        self.order = order
        self.telephone = telephone
        candidates = order.sources
        guard let blob = Data(base64Encoded: order.tags) else {
            throw Failure(
                .data, at: order.part, "its tags are not base64", remedy: "check the version of the data owner")
        }
        tags = try blob.withUnsafeBytes { try ShareTags(reading: $0, place: "tags of \(order.part)") }
    }

    /// Holders whose shares are being joined.
    var holders: [String] { transfers.map(\.source.holder) }
    /// Any thread may ask.
    var deliveredBytes: Int { delivery.load(ordering: .relaxed) }

    /// Takes one record from each share and hands `body` what it restores. False when the object is whole.
    func step(_ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        let started = monotonicSeconds()
        var isOver = false
        while plaintext.bytes.isEmpty && !isOver {
            try connect()
            isOver = try advanceBoth()
        }
        seconds += monotonicSeconds() - started
        let bytes = plaintext.bytes
        plaintext.bytes = []
        let delivered = deliveredBytes
        let old = min(delivered - skipped, bytes.count)
        skipped += old
        if bytes.count > old {
            skipped += bytes.count - old
            delivery.store(skipped, ordering: .relaxed)
            try bytes[old...].withUnsafeBytes(body)
        }
        guard !isOver else {
            channels.withLock { $0 = nil }
            guard deliveredBytes == order.length else {
                throw Failure(
                    .data, at: order.part, "\(deliveredBytes) bytes were restored, \(order.length) were deposited",
                    remedy: "run a share check (dsgd share verify) at the holders")
            }
            return false
        }
        return true
    }

    /// Opens transfers until there are two.
    private func connect() throws {
        while transfers.count < 2 {
            if channels.withLock({ $0 == nil }) {
                throw Failure(.transient, at: order.part, "restoring was given up", remedy: "make the request again")
            }
            guard !candidates.isEmpty else {
                throw Failure(
                    .peerUnavailable, at: order.part,
                    "fewer than 2 of its shares can be fetched (\(faults.joined(separator: "; ")))",
                    remedy: "start the share holders and make the request again; nothing was lost")
            }
            let source = candidates.removeFirst()
            do {
                let transfer = try Transfer(source, shareSet: order.shareSet, telephone: telephone)
                transfers.append(transfer)
                channels.withLock { $0?.append(transfer.conversation.channel) }
            } catch {
                faults.append("\(source.holder): \(asFailure(error).problem)")
                continue
            }
            if transfers.count == 2 {
                joiner = ShareJoiner(
                    first: transfers[0].source.holder, second: transfers[1].source.holder, tags: tags
                ) { [plaintext] in plaintext.bytes.append(contentsOf: $0) }
            }
        }
    }

    /// Moves both shares on. True when both have ended in good order; a holder that failed was replaced.
    private func advanceBoth() throws -> Bool {
        var hasMoved = false
        for index in transfers.indices {
            do {
                if try advance(index) { hasMoved = true }
            } catch let failure as Failure {
                replace(faulty(failure) ?? index, because: failure)
                return false
            }
        }
        if transfers.allSatisfy({ $0.rest == 0 && $0.waiting.isEmpty }) {
            do {
                try joiner?.finish()
                return true
            } catch let failure as Failure {
                // A whole share that waits for the other's bytes looks cut off too; the shorter one is to blame.
                let (first, second) = (transfers[0].length, transfers[1].length)
                if first == second {
                    replace(faulty(failure) ?? 1, because: failure)
                } else {
                    replace(first < second ? 0 : 1, because: truncated(first < second ? 0 : 1))
                }
                return false
            }
        }
        if !hasMoved, let index = transfers.firstIndex(where: { $0.rest == 0 && $0.waiting.isEmpty }) {
            // The other share waits for bytes that this one does not have.
            replace(index, because: truncated(index))
        }
        return false
    }

    private func truncated(_ index: Int) -> Failure {
        Failure(
            .data, at: transfers[index].source.holder, "the share is truncated after \(transfers[index].length) bytes",
            remedy: "repair it from the other two")
    }

    /// The transfer whose holder the failure names.
    private func faulty(_ failure: Failure) -> Int? {
        transfers.firstIndex { failure.place.hasPrefix($0.source.holder) }
    }

    /// Moves one share on: what waits goes to the joiner first, then one more record is received. False when nothing moved.
    private func advance(_ index: Int) throws -> Bool {
        let transfer = transfers[index]
        let side: ShareJoiner.Side = index == 0 ? .first : .second
        var hasMoved = false
        if transfer.waiting.isEmpty, transfer.rest > 0 {
            hasMoved = true
            do { try transfer.receive() } catch { try resume(transfer, after: asFailure(error)) }
        }
        let taken = try transfer.waiting.withUnsafeBytes { try joiner!.append($0, from: side) }
        transfer.waiting.removeFirst(taken)
        return hasMoved || taken > 0
    }

    /// Goes on with a share whose connection broke, unless nothing more is wanted.
    private func resume(_ transfer: Transfer, after failure: Failure) throws {
        let broken = transfer.conversation.channel
        guard channels.withLock({ $0 != nil }) else { throw failure }
        broken.abort()
        try transfer.resume(after: failure, telephone: telephone)
        let isWanted = channels.withLock { channels in
            channels?.removeAll { $0 === broken }
            channels?.append(transfer.conversation.channel)
            return channels != nil
        }
        if !isWanted { transfer.conversation.channel.abort() }
    }

    /// Drops a holder that failed and starts the join again with another one.
    private func replace(_ index: Int, because failure: Failure) {
        faults.append("\(transfers[index].source.holder): \(failure.problem)")
        plaintextWasGivenUp()
        let kept = transfers[1 - index].source
        close()
        transfers = []
        skipped = 0
        candidates.insert(kept, at: 0)
    }

    /// Overwrites what was joined and not handed on: it is restored again.
    private func plaintextWasGivenUp() {
        plaintext.bytes.withUnsafeMutableBytes { wipe($0) }
        plaintext.bytes = []
    }

    /// Ends a ``step(_:)`` that waits for a holder, and every later one, with a failure. Any thread may call it.
    func stop() {
        let open = channels.withLock { channels in
            defer { channels = nil }
            return channels ?? []
        }
        for channel in open { channel.abort() }
    }

    func close() {
        for transfer in transfers where transfer.rest > 0 { transfer.conversation.channel.abort() }
    }
}
