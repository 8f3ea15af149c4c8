import Channel
import Diagnostics
import Foundation
import Glibc
import KeyDelivery
import KeyNetwork
import Kernels
import OneTimePad
import TestSupport
import Testing

@Suite(.serialized) struct ETSI004Tests {
    static let shared = Result<TestDoors, any Error> { try TestDoors() }
    let doors: TestDoors

    init() throws { doors = try Self.shared.get() }

    private func quality(_ chunk: Int, _ change: (inout ETSI004QoS) -> Void = { _ in }) -> ETSI004QoS {
        var quality = ETSI004QoS()
        quality.keyChunkSize = chunk
        quality.timeout = 3000
        change(&quality)
        return quality
    }

    private func pad(_ chunk: ETSI004Client.Chunk) throws -> [UInt8] {
        #expect(chunk.status == .successful)
        return try #require(chunk.key).withUnsafeBytes { Array($0) }
    }

    @Test func bothEndsReadTheSameStreamByIndex() throws {
        let (alice, bob) = (try doors.streamClient("alice", at: "a"), try doors.streamClient("bob", at: "b"))
        let wanted = quality(50_000)
        let opened = try alice.openConnect(source: "sae://alice", destination: "sae://bob", quality: wanted)
        // A fresh stream cannot have its peer yet.
        #expect(opened.status == .peerNotConnected && opened.quality == wanted)
        let stream = try #require(opened.stream)
        let joined = try bob.openConnect(
            source: "sae://bob:1234/x", destination: "sae://alice", quality: wanted, stream: stream)
        #expect(joined.status == .successful && joined.stream == stream)
        var sent: [[UInt8]] = []
        for index in 0..<20 as Range<UInt32> {
            sent.append(try pad(alice.getKey(stream, index: index)))
            if index == 0 { #expect(try pad(bob.getKey(stream, index: 0)) == sent[0]) }
        }
        #expect(Set(sent).count == 20 && sent.allSatisfy { $0.count == 50_000 })
        // The receiver's order is its own; each end has a chunk once, and the opener's indices ascend.
        for index in (1..<20 as Range<UInt32>).reversed() {
            #expect(try pad(bob.getKey(stream, index: index)) == sent[Int(index)])
        }
        #expect(try bob.getKey(stream, index: 3).status == .insufficientKey)
        #expect(try alice.getKey(stream, index: 19).status == .insufficientKey)
        // Indices may be passed over.
        let later = try pad(alice.getKey(stream, index: 25))
        #expect(try pad(bob.getKey(stream, index: 25)) == later)
        #expect(try bob.getKey(stream, index: 22).status == .insufficientKey)
        #expect(try alice.getKey(stream, index: 4_000_000_000).status == .insufficientKey)
        #expect(try bob.close(stream) == .successful && alice.close(stream) == .successful)
        #expect(try alice.close(stream) == .streamNotConnected)
        #expect(try alice.getKey(stream, index: 30).status == .streamNotConnected)
        let account = try #require(
            try doors.nodes[1].status().ledger.first {
                $0.pool == "bank|004" && $0.sender == "alice" && $0.side == .receiver
            })
        #expect(account.data == 21 * 50_000 && account.balanced)
    }

    @Test func largeChunksAndMetadata() throws {
        let (dan, carol) = (try doors.streamClient("dan", at: "a"), try doors.streamClient("carol", at: "b"))
        let wanted = quality(1 << 20) { $0.metadataMimetype = "application/json" }
        let stream = try #require(
            try dan.openConnect(source: "sae://dan", destination: "sae://carol", quality: wanted).stream)
        _ = try carol.openConnect(source: "sae://carol", destination: "sae://dan", quality: wanted, stream: stream)
        let short = try dan.getKey(stream, index: 0, metadataSize: 4)
        #expect(short.status == .metadataSizeInsufficient && short.key == nil)
        let needed = try #require(short.metadataSize)
        // No key was spent by the call that failed.
        let chunk = try dan.getKey(stream, index: 0, metadataSize: UInt32(needed))
        #expect(chunk.metadata.count == needed)
        let object = try JSONSerialization.jsonObject(with: Data(chunk.metadata)) as? [String: Any]
        #expect(object?["applications"] as? [String] == ["dan", "carol"])
        #expect(try pad(chunk).count == 1 << 20 && pad(carol.getKey(stream, index: 0)) == pad(chunk))
    }

    @Test func everyStatusHasItsCause() throws {
        let (alice, other) = (try doors.streamClient("alice", at: "a"), try doors.streamClient("alice", at: "a"))
        let bob = try doors.streamClient("bob", at: "b")
        func open(
            _ source: String, _ destination: String, _ quality: ETSI004QoS, _ stream: UUID? = nil
        ) throws -> ETSI004Client.Opened {
            try alice.openConnect(source: source, destination: destination, quality: quality, stream: stream)
        }
        // 4: addresses that are none, not the caller's, unknown, or the caller's own; an identifier from elsewhere.
        for (source, destination) in [
            ("alice", "sae://bob"), ("sae://bob", "sae://alice"), ("sae://alice", "bob"),
            ("sae://alice", "sae://nobody"),
            ("sae://alice", "sae://alice"), ("", ""),
        ] {
            #expect(try open(source, destination, quality(32)).status == .noConnection)
        }
        #expect(try open("sae://alice", "sae://bob", quality(32), UUID()).status == .noConnection)
        #expect(
            try doors.streamClient("eve", at: "a").openConnect(
                source: "sae://eve", destination: "sae://bob", quality: quality(32)
            ).status == .noConnection)
        // 6: no time at all.
        #expect(try open("sae://alice", "sae://bob", quality(32) { $0.timeout = 0 }).status == .timeout)
        // 7: what cannot be given, with what can; the proposal is then accepted.
        let greedy = quality(1 << 30) {
            $0.minBps = 4_000_000_000
            $0.ttl = 1_000_000
            $0.metadataMimetype = "text/xml"
        }
        let refused = try open("sae://alice", "sae://bob", greedy)
        #expect(refused.status == .qualityNotMet && refused.stream == nil)
        var proposal = try #require(refused.quality)
        #expect(proposal.keyChunkSize == 8 << 20 && proposal.minBps == 100_000_000 && proposal.ttl == 600)
        #expect(proposal.metadataMimetype == "application/json" && proposal.timeout == 3000)
        proposal.keyChunkSize = 1000
        let opened = try open("sae://alice", "sae://bob", proposal)
        #expect(opened.status == .peerNotConnected)
        let stream = try #require(opened.stream)
        // 5: the same stream again, and a second one of the same two.
        for given in [stream, nil] {
            #expect(
                try other.openConnect(
                    source: "sae://alice", destination: "sae://bob", quality: proposal, stream: given
                ).status == .streamInUse)
        }
        // 7: the peer must read in the same chunks.
        var wrong = proposal
        wrong.keyChunkSize = 999
        let unequal = try bob.openConnect(
            source: "sae://bob", destination: "sae://alice", quality: wrong, stream: stream)
        #expect(unequal.status == .qualityNotMet && unequal.quality == proposal)
        // 3: not open here.
        #expect(try bob.getKey(stream, index: 0).status == .streamNotConnected)
        #expect(try other.getKey(stream, index: 0).status == .streamNotConnected)
        #expect(try bob.close(UUID()) == .streamNotConnected)
        // 6: key that the opener has not taken does not come in time.
        var brief = proposal
        brief.timeout = 100
        #expect(
            try bob.openConnect(source: "sae://bob", destination: "sae://alice", quality: brief, stream: stream).status
                == .successful)
        #expect(try bob.getKey(stream, index: 0).status == .timeout)
        #expect(try pad(alice.getKey(stream, index: 0)) == pad(bob.getKey(stream, index: 0)))
    }

    /// The digest in an identifier is not keyed, so an application can write one for its own pair with any offset.
    @Test func joiningAtAForgedOffsetIsRefused() throws {
        let (dan, bob) = (try doors.streamClient("dan", at: "a"), try doors.streamClient("bob", at: "b"))
        func forged(_ sender: String, _ receiver: String, _ offset: UInt64) throws -> UUID {
            let identifier = KeyIdentifier(
                pool: "bank|004", master: sender, slave: receiver, offset: offset, length: 1000)
            return try #require(UUID(uuidString: identifier.text))
        }
        let wanted = quality(1000)
        func made() throws -> UInt64 {
            let agent = try KeySupplyClient(socketPath: doors.topology.node("a").supplySocket, role: "dan")
            return try agent.made(PadStream(pool: "bank|004", sender: "dan", receiver: "bob")) ?? 0
        }
        let before = try made()
        for offset in [before + 1, before + 1 << 20, 1 << 40, 1 << 48 - 1] as [UInt64] {
            let opened = try dan.openConnect(
                source: "sae://dan", destination: "sae://bob", quality: wanted, stream: forged("dan", "bob", offset))
            #expect(opened.status == .noConnection && opened.stream == nil)
        }
        for offset in [before + 1 << 40, 1 << 48 - 1] as [UInt64] {
            let joined = try bob.openConnect(
                source: "sae://bob", destination: "sae://dan", quality: wanted, stream: forged("dan", "bob", offset))
            #expect(joined.status == .noConnection && joined.stream == nil)
        }
        #expect(try made() == before)
        // Nothing was given up: a genuine stream begins where the last one ended, and can be joined twice by its opener.
        let stream = try #require(
            try dan.openConnect(source: "sae://dan", destination: "sae://bob", quality: wanted).stream)
        #expect(stream.uuidString.lowercased() == (try forged("dan", "bob", before)).uuidString.lowercased())
        #expect(
            try bob.openConnect(source: "sae://bob", destination: "sae://dan", quality: wanted, stream: stream).status
                == .successful)
        #expect(try pad(dan.getKey(stream, index: 0)) == pad(bob.getKey(stream, index: 0)))
        #expect(try dan.close(stream) == .successful)
        #expect(
            try dan.openConnect(source: "sae://dan", destination: "sae://bob", quality: wanted, stream: stream).status
                == .successful)
        #expect(try pad(dan.getKey(stream, index: 1)) == pad(bob.getKey(stream, index: 1)))
        _ = try (dan.close(stream), bob.close(stream))
    }

    @Test func aConnectionThatEndsClosesItsStreams() throws {
        let bob = try doors.streamClient("bob", at: "b")
        var first: UUID?
        do {
            let carol = try doors.streamClient("carol", at: "b")
            first = try carol.openConnect(source: "sae://carol", destination: "sae://bob", quality: quality(100)).stream
            _ = try pad(carol.getKey(#require(first), index: 0))
        }
        var second: ETSI004Client.Opened?
        let carol = try doors.streamClient("carol", at: "b")
        _ = try eventually {
            second = try carol.openConnect(source: "sae://carol", destination: "sae://bob", quality: quality(100))
            return second?.status != .streamInUse
        }
        let stream = try #require(second?.stream)
        #expect(stream != first)
        _ = try bob.openConnect(source: "sae://bob", destination: "sae://carol", quality: quality(100), stream: stream)
        #expect(try pad(carol.getKey(stream, index: 0)) == pad(bob.getKey(stream, index: 0)))
        // Not the first stream's key: it lies before.
        #expect(try carol.getKey(#require(first), index: 0).status == .streamNotConnected)
    }

    @Test(
        arguments: [
            [1, 0, 1, 2, 0, 0, 0, 4, 1, 2, 3, 4], [1, 0, 1, 4, 0, 0, 0, 3, 1, 2, 3], [1, 0, 1, 8, 0, 0, 0, 0],
        ] as [[UInt8]])
    func shortPayloadsGetAStatus(bytes: [UInt8]) throws {
        let connection = try connect()
        try bytes.withUnsafeBytes { try connection.write($0, Deadline(in: 60)) }
        var answer = [UInt8](repeating: 0, count: 12)
        var done = 0
        while done < 12 {
            let count = try answer.withUnsafeMutableBytes { try connection.read($0.slice(done..<12), Deadline(in: 60)) }
            if count == 0 { break }
            done += count
        }
        #expect(done == 12 && answer[3] == bytes[3] + 1 && answer[11] == (bytes[3] == 2 ? 4 : 3))
    }

    @Test(
        arguments: [
            [9, 0, 1, 2, 0, 0, 0, 0], [1, 0, 1, 77, 0, 0, 0, 0], [1, 0, 1, 2, 255, 255, 255, 255],
            Array("GET / HT".utf8),
        ] as [[UInt8]])
    func whatIsNoMessageEndsTheConnection(bytes: [UInt8]) throws {
        let connection = try connect()
        try bytes.withUnsafeBytes { try connection.write($0, Deadline(in: 60)) }
        var answer = [UInt8](repeating: 0, count: 8)
        #expect(try answer.withUnsafeMutableBytes { try connection.read($0, Deadline(in: 60)) } == 0)
    }

    private func connect() throws -> TLSConnection {
        try TLSConnection(
            doors.authority.client("alice"),
            over: Sockets.connect(host: "127.0.0.1", port: doors.streams[0].port, Deadline(in: 60)), host: "127.0.0.1",
            Deadline(in: 60))
    }

    @Test func withoutKeyTheStatusSaysSo() throws {
        let doors = try TestDoors(stockMib: 0.25, rate: 0.001)
        let alice = try doors.streamClient("alice", at: "a")
        let stream = try #require(
            try alice.openConnect(source: "sae://alice", destination: "sae://bob", quality: quality(1 << 20)).stream)
        #expect(try alice.getKey(stream, index: 0).status == .insufficientKey)
        try doors.nodes[0].stop()
        #expect(try alice.getKey(stream, index: 1).status == .noConnection)
    }
}
