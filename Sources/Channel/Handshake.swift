import Diagnostics
import Kernels
import OneTimePad

/// How two roles prove to each other that they hold the same pad, when they connect.
///
/// Four messages, all of fixed size. Names never appear; a pool identifier stands for them.
/// 1. client hello: magic, version, which of the two names the client is, whether headers are encrypted, pool
///    identifier, nonce; of the pad that comes towards the client the lowest usable offset, and how far it was accepted
/// 2. server hello: status, nonce, the same two offsets of the pad that comes towards the server
/// 3. client proof: offset of its hash key, tag over messages 1 and 2
/// 4. server proof: status, offset of its hash key, tag over all before
///
/// Each proof costs its sender 32 bytes of pad: 16 for the hash key of the session's direction, 16 for the tag. The
/// client proves itself first, so a stranger cannot make a server spend its sending pad; what a failed proof burns at
/// the server is the 32 bytes that it names, and failures are rate-limited. A stranger who plays the server gets one proof of 32
/// bytes out of a client, and can make it give up no more than `SendingPad.follow` lets an unproven peer have. Both ends
/// compare what the other accepted with their own mark: a state directory restored from an old copy is refused.
enum Handshake {
    static let magic: UInt32 = 0x4453_4744  // "DSGD"
    static let version: UInt16 = 3
    static let clientHelloSize = 48
    static let serverHelloSize = 40
    static let clientProofSize = 24
    static let serverProofSize = 32
    static let nonceSize = 16
    static let keySize = PolynomialHash.size

    /// Why a server refuses, in clear: it tells nothing that the refused party did not know.
    enum Status: UInt8 {
        case accepted = 0
        case unknownPool, rateLimited, wrongVersion, proofWrong, rolledBack, insufficientKey, stopping, serverRolledBack

        func failure(at place: String, peer: String) -> Failure {
            switch self {
            case .accepted, .unknownPool:
                Failure(
                    .notAuthorised, at: place, "the server knows no pad shared with this role",
                    remedy: "configure the two roles as peers, with the same pool name")
            case .rateLimited:
                Failure(
                    .transient, at: place, "the server makes this address wait after failed proofs of identity",
                    remedy: "try again in half a minute; find out why the proofs fail")
            case .wrongVersion:
                Failure(
                    .configuration, at: place, "the server speaks another version of the channel",
                    remedy: "run the same release of dsgd on both ends")
            case .proofWrong:
                Failure(
                    .notAuthorised, at: place,
                    "the server refused our proof of identity: the pads of the two ends differ",
                    remedy: "check that both ends use the same key network and pool")
            case .rolledBack:
                Failure(
                    .data, at: place,
                    "the server refused our pad offset as used before: this side's state was rolled back, or this is a replay",
                    remedy: "do not send with this state directory; retire its pads on both ends")
            case .insufficientKey:
                Failure(
                    .transient, at: place, "insufficient key at \(peer)'s end",
                    remedy: "wait for the key network, or look at `dsgd keys status`")
            case .stopping:
                Failure(.transient, at: place, "the server is stopping", remedy: "try again")
            case .serverRolledBack:
                Failure(
                    .data, at: place,
                    "\(peer) refuses to send: its state directory was rolled back to an old copy, or our marks are wrong",
                    remedy: "let the operator of \(peer) read its log, which names the stream and the way out")
            }
        }
    }

    /// What both ends hold after it.
    struct Session {
        var peer: String
        var pads: PadPair
        /// Both nonces.
        var identifier: [UInt8]
        var sendTagger: Tagger
        var receiveTagger: Tagger
        var clientSide: Bool
        /// The client asked for it in its hello, which the proofs cover.
        var encryptsHeaders: Bool
    }

    /// Draws a hash key and a tag pad and writes offset and tag of a proof; the tag covers `transcript` up to the tag.
    static func prove(
        _ pad: SendingPad, transcript: UnsafeMutableRawBufferPointer, offsetAt: Int, tagAt: Int, timeout: Double
    ) throws -> Tagger {
        while true {
            let tagger = try pad.spend(.handshake, data: keySize, tag: Tagger.size, timeout: timeout) { offset, bytes in
                let key = bytes.slice(0..<keySize)
                // A key of zeros would hash everything to zero; it comes once in 2^128.
                guard key.contains(where: { $0 != 0 }) else { return nil as Tagger? }
                transcript.store(bigEndian: offset, at: offsetAt)
                let tagger = Tagger(key: key)
                tagger.tag(
                    UnsafeRawBufferPointer(transcript).slice(0..<tagAt), UnsafeRawBufferPointer(start: nil, count: 0),
                    pad: bytes.slice(keySize..<keySize + Tagger.size),
                    into: transcript.slice(tagAt..<tagAt + Tagger.size))
                return tagger
            }
            if let tagger { return tagger }
        }
    }

    /// Checks a proof against the pad at the offset that it names.
    static func verify(
        _ pad: ReceivingPad, transcript: UnsafeRawBufferPointer, offsetAt: Int, tagAt: Int, timeout: Double,
        place: String
    ) throws -> Tagger {
        let scratch = SecureBytes(count: keySize + Tagger.size)
        return try scratch.withUnsafeMutableBytes { scratch in
            let offset = transcript.load(bigEndian: UInt64.self, at: offsetAt)
            return try pad.accept(
                .handshake, offset: offset, data: keySize, tag: Tagger.size, timeout: timeout, scratch: scratch
            ) { bytes in
                let key = bytes.slice(0..<keySize)
                let wrong = Failure(
                    .notAuthorised, at: place, "the peer's proof of identity is wrong",
                    remedy:
                        "check that both ends use the same key network and pool, or that nobody plays the peer's part")
                guard key.contains(where: { $0 != 0 }) else { throw wrong }
                let tagger = Tagger(key: key)
                guard
                    tagger.matches(
                        transcript.slice(tagAt..<tagAt + Tagger.size), transcript.slice(0..<tagAt),
                        UnsafeRawBufferPointer(start: nil, count: 0), pad: bytes.slice(keySize..<keySize + Tagger.size))
                else { throw wrong }
                return tagger
            }
        }
    }

    // Places of the fields, counted from the start of the transcript, which is the four messages in a row.
    static let serverHelloAt = clientHelloSize
    static let clientProofAt = serverHelloAt + serverHelloSize
    static let serverProofAt = clientProofAt + clientProofSize
    static let transcriptSize = serverProofAt + serverProofSize

    static func client(
        _ socket: Socket, identity: String, peer: String, provider: any PadProvider, encryptsHeaders: Bool,
        deadline: Deadline
    ) throws -> Session {
        let pads = try provider.pads(for: peer)
        return try withUnsafeTemporaryAllocation(byteCount: transcriptSize, alignment: 8) { transcript in
            wipe(transcript)
            transcript.store(bigEndian: magic, at: 0)
            transcript.store(bigEndian: version, at: 4)
            transcript[6] = identity < peer ? 1 : 2
            transcript[7] = encryptsHeaders ? 1 : 0
            transcript.store(bigEndian: poolIdentifier(pool: provider.pool, identity, peer), at: 8)
            try fillFromKernel(transcript.slice(16..<32))
            transcript.store(bigEndian: try pads.receiving.resumePoint(timeout: deadline.left), at: 32)
            transcript.store(bigEndian: pads.receiving.position, at: 40)
            try socket.write(UnsafeRawBufferPointer(transcript).slice(0..<clientHelloSize), deadline)

            try socket.readWhole(transcript.slice(serverHelloAt..<clientProofAt), deadline)
            try checkStatus(transcript[serverHelloAt], socket, peer)
            try followPeer(
                pads.sending, UnsafeRawBufferPointer(transcript), at: serverHelloAt + 24, socket.remote, peer,
                deadline)
            let send = try prove(
                pads.sending, transcript: transcript, offsetAt: clientProofAt, tagAt: clientProofAt + 8,
                timeout: deadline.left)
            try socket.write(UnsafeRawBufferPointer(transcript).slice(clientProofAt..<serverProofAt), deadline)

            try socket.readWhole(transcript.slice(serverProofAt..<transcriptSize), deadline)
            try checkStatus(transcript[serverProofAt], socket, peer)
            let receive = try verify(
                pads.receiving, transcript: UnsafeRawBufferPointer(transcript), offsetAt: serverProofAt + 8,
                tagAt: serverProofAt + 16, timeout: deadline.left, place: "\(peer) at \(socket.remote)")
            return Session(
                peer: peer, pads: pads, identifier: identifier(transcript), sendTagger: send, receiveTagger: receive,
                clientSide: true, encryptsHeaders: encryptsHeaders)
        }
    }

    private static func checkStatus(_ byte: UInt8, _ socket: Socket, _ peer: String) throws {
        if byte == Status.accepted.rawValue { return }
        throw (Status(rawValue: byte) ?? .wrongVersion).failure(at: "\(peer) at \(socket.remote)", peer: peer)
    }

    /// Both nonces: what makes a session's tags useless in another.
    private static func identifier(_ transcript: UnsafeMutableRawBufferPointer) -> [UInt8] {
        Array(transcript[16..<32]) + Array(transcript[serverHelloAt + 8..<serverHelloAt + 24])
    }

    /// Gives up the pad that the other end lost, and refuses to send below what it accepted.
    private static func followPeer(
        _ pad: SendingPad, _ transcript: UnsafeRawBufferPointer, at field: Int, _ place: String, _ peer: String,
        _ deadline: Deadline
    ) throws {
        let resume = transcript.load(bigEndian: UInt64.self, at: field)
        guard resume < UInt64.max else { throw Status.insufficientKey.failure(at: place, peer: peer) }
        let accepted = transcript.load(bigEndian: UInt64.self, at: field + 8)
        try pad.follow(resume: resume, accepted: accepted, timeout: deadline.left)
    }

    static func server(
        _ socket: Socket, identity: String, provider: any PadProvider, limiter: RateLimiter, deadline: Deadline
    ) throws -> Session {
        try withUnsafeTemporaryAllocation(byteCount: transcriptSize, alignment: 8) { transcript in
            wipe(transcript)
            try socket.readWhole(transcript.slice(0..<clientHelloSize), deadline)
            let text = UnsafeRawBufferPointer(transcript)
            let place = "connection from \(socket.remote)"
            guard text.load(bigEndian: UInt32.self, at: 0) == magic,
                text.load(bigEndian: UInt16.self, at: 4) == version, text[7] <= 1
            else {
                throw refuse(
                    socket, .wrongVersion, deadline, at: place,
                    "the first bytes are no hello of this channel's version",
                    "run the same release of dsgd on both ends")
            }
            let identifierOfPool = text.load(bigEndian: UInt64.self, at: 8)
            let side: UInt8 = transcript[6]
            let known = provider.peers.first {
                poolIdentifier(pool: provider.pool, identity, $0) == identifierOfPool && ($0 < identity ? 1 : 2) == side
            }
            guard let peer = known else {
                throw refuse(
                    socket, .unknownPool, deadline, at: place, "no peer of this role has that pool identifier",
                    "name the peer in the configuration, with the same pool name")
            }
            let key = "\(socket.remote)|\(identifierOfPool)"
            guard limiter.wait(key) <= 0 else {
                throw refuse(
                    socket, .rateLimited, deadline, at: place, "\(peer) has to wait after failed proofs of identity",
                    "find out why the proofs fail")
            }
            let pads = try provider.pads(for: peer)
            try fillFromKernel(transcript.slice(serverHelloAt + 8..<serverHelloAt + 24))
            do {
                transcript.store(bigEndian: try pads.receiving.resumePoint(timeout: keyWait(deadline)), at: serverHelloAt + 24)
            } catch {
                sendStatus(socket, .insufficientKey, size: serverHelloSize, deadline)
                throw error
            }
            transcript.store(bigEndian: pads.receiving.position, at: serverHelloAt + 32)
            try socket.write(text.slice(serverHelloAt..<clientProofAt), deadline)

            try socket.readWhole(transcript.slice(clientProofAt..<serverProofAt), deadline)
            // Many hellos may have come before the first proof failed.
            guard limiter.wait(key) <= 0 else {
                sendStatus(socket, .rateLimited, size: serverProofSize, deadline)
                throw Failure(
                    .notAuthorised, at: place, "\(peer) has to wait after failed proofs of identity",
                    remedy: "find out why the proofs fail")
            }
            let receive: Tagger
            do {
                receive = try verify(
                    pads.receiving, transcript: text, offsetAt: clientProofAt, tagAt: clientProofAt + 8,
                    timeout: keyWait(deadline), place: "\(peer) at \(socket.remote)")
            } catch {
                limiter.failed(key)
                sendStatus(socket, status(of: error), size: serverProofSize, deadline)
                throw error
            }
            limiter.succeeded(key)
            return try answer(socket, transcript, peer: peer, pads: pads, receive: receive, deadline: deadline)
        }
    }

    /// The server's own proof, once the client's was right.
    private static func answer(
        _ socket: Socket, _ transcript: UnsafeMutableRawBufferPointer, peer: String, pads: PadPair, receive: Tagger,
        deadline: Deadline
    ) throws -> Session {
        let text = UnsafeRawBufferPointer(transcript)
        let send: Tagger
        do {
            try followPeer(pads.sending, text, at: 32, socket.remote, peer, deadline)
            send = try prove(
                pads.sending, transcript: transcript, offsetAt: serverProofAt + 8, tagAt: serverProofAt + 16,
                timeout: keyWait(deadline))
        } catch {
            let isRolledBack = (error as? Failure)?.kind == .data
            sendStatus(socket, isRolledBack ? .serverRolledBack : .insufficientKey, size: serverProofSize, deadline)
            throw error
        }
        try socket.write(text.slice(serverProofAt..<transcriptSize), deadline)
        return Session(
            peer: peer, pads: pads, identifier: identifier(transcript), sendTagger: send, receiveTagger: receive,
            clientSide: false, encryptsHeaders: text[7] == 1)
    }

    /// Seconds that key may take: they leave time to tell the client that it did not come.
    private static func keyWait(_ deadline: Deadline) -> Double { deadline.left / 2 }

    private static func status(of error: any Error) -> Status {
        switch (error as? Failure)?.kind {
        case .notAuthorised: .proofWrong
        case .data: .rolledBack
        case .transient: .insufficientKey
        default: .stopping
        }
    }

    private static func refuse(
        _ socket: Socket, _ status: Status, _ deadline: Deadline, at place: String, _ problem: String, _ remedy: String
    ) -> Failure {
        sendStatus(socket, status, size: serverHelloSize, deadline)
        return Failure(.notAuthorised, at: place, problem, remedy: remedy)
    }

    /// A refusal has the size of the message that would have come.
    private static func sendStatus(_ socket: Socket, _ status: Status, size: Int, _ deadline: Deadline) {
        withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { message in
            wipe(message)
            message[0] = status.rawValue
            // The peer may be gone already; it is refused either way.
            try? socket.write(UnsafeRawBufferPointer(message), deadline)
        }
    }
}
