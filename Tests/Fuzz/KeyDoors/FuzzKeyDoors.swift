import Channel
import Diagnostics
import Foundation
import FuzzSupport
import KeyDelivery
import KeyNetwork
import Kernels

/// Both doors of a key node over real TLS, as an application with a certificate may use them, and the clients of both
/// before a server that answers anything. The first byte of an input says what its rest is.
private enum Kind: UInt8, CaseIterable {
    /// Bytes to the door of ETSI GS QKD 014: HTTP messages.
    case request
    /// Bodies of its two POST requests.
    case newKeys, keyIDs
    /// Bytes to the door of ETSI GS QKD 004: its messages.
    case stream
    /// Answers to the clients.
    case answer014, answer004
}

/// A node with two applications of its own, which need no link.
private final class Rig {
    let directory = NSTemporaryDirectory() + "dsgd-fuzz-doors-\(getpid())"
    let node: KeyNode
    let door: ETSI014Server
    let streams: ETSI004Server
    let client: TLSContext
    let server: TLSContext
    let liar: (descriptor: Int32, port: UInt16)

    init() throws {
        let directory = directory
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let script = """
            set -e; cd '\(directory)'
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
                -keyout authority.key -out authority.pem
            printf 'subjectAltName=IP:127.0.0.1\\n' >ext
            for name in a alice; do
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name -keyout $name.key -out csr
                openssl x509 -req -in csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile ext \
                    -out $name.pem
            done
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", script]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        require(process.terminationStatus == 0, "openssl makes no certificates")
        func file(_ name: String) -> String { directory + "/" + name }
        client = try .client(
            certificate: file("alice.pem"), privateKey: file("alice.key"), authority: file("authority.pem"))
        server = try .server(certificate: file("a.pem"), privateKey: file("a.key"), authority: file("authority.pem"))
        let topology = NetworkTopology(
            pool: "bank", kms: "a",
            nodes: [.init(name: "a", host: "127.0.0.1", kmaPort: 0, directory: directory + "/a")], links: [],
            roles: [.init(name: "alice", node: "a"), .init(name: "dan", node: "a")])
        node = try KeyNode(name: "a", topology: topology)
        try node.start()
        let entity = try KeyManagementEntity(node: "a", topology: topology, keyLifetime: 1)
        entity.start()
        door = ETSI014Server(entity: entity, try TLSListener(host: "127.0.0.1", port: 0, context: server))
        door.start()
        streams = ETSI004Server(entity: entity, try TLSListener(host: "127.0.0.1", port: 0, context: server))
        streams.start()
        liar = try Sockets.listen(host: "127.0.0.1", port: 0)
    }

    /// Sends these bytes and an end; returns all that came back.
    func ask(_ port: UInt16, _ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var answer: [UInt8] = []
        _ = outcome {
            let connection = try TLSConnection(
                client, over: Sockets.connect(host: "127.0.0.1", port: port, Deadline(in: 5)), host: "127.0.0.1",
                Deadline(in: 5))
            try connection.write(bytes, Deadline(in: 5))
            connection.close()
            var part = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = try part.withUnsafeMutableBytes { try connection.read($0, Deadline(in: 10)) }
                if count == 0 { break }
                answer += part[..<count]
            }
        }
        return answer
    }

    /// Answers whatever a client asks with these bytes, as often as it connects.
    func lie(_ bytes: [UInt8], _ body: () -> Void) {
        let (descriptor, context) = (liar.descriptor, server)
        let isDone = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            while let socket = Sockets.accept(descriptor) {
                // A plain connection without a handshake says that it is over.
                let accepted = outcome { try TLSConnection(context, over: socket, Deadline(in: 5)) }
                guard let connection = accepted else { break }
                var part = [UInt8](repeating: 0, count: 16_384)
                _ = outcome {
                    _ = try part.withUnsafeMutableBytes { try connection.read($0, Deadline(in: 5)) }
                    try bytes.withUnsafeBytes { try connection.write($0, Deadline(in: 5)) }
                }
                connection.close()
            }
            isDone.signal()
        }
        body()
        _ = outcome { try Sockets.connect(host: "127.0.0.1", port: liar.port, Deadline(in: 5)).finishSending() }
        isDone.wait()
    }
}

// LLVM calls from one thread; the doors have threads of their own.
nonisolated(unsafe) private let rig = try! Rig()
nonisolated(unsafe) private var inputs = 0

private func post(_ method: String, _ body: UnsafeRawBufferPointer) -> [UInt8] {
    let head =
        "POST /api/v1/keys/dan/\(method) HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        + "Content-Length: \(body.count)\r\n\r\n"
    return (Array(head.utf8) + Array(body)).withUnsafeBytes { rig.ask(rig.door.port, $0) }
}

/// What the door of 014 says, if anything: one of the standard's codes.
private func requireHTTP(_ answer: [UInt8]) {
    let codes = ["200", "400", "401", "503", "100"].map { Array("HTTP/1.1 \($0) ".utf8) }
    require(answer.isEmpty || codes.contains { answer.starts(with: $0) }, "an answer that is none of the standard's")
}

/// What the door of 004 says: whole frames, each an answer to one of the three calls.
private func requireFrames(_ answer: [UInt8]) {
    var at = 0
    while at < answer.count {
        require(answer.count - at >= 12 && [3, 5, 9].contains(answer[at + 3]), "an answer that is no frame")
        let length = answer[at + 4..<at + 8].reduce(0) { $0 << 8 | Int($1) }
        require(length >= 4 && length <= answer.count - at - 8, "a frame of another length than it says")
        at += 8 + length
    }
}

@_cdecl("LLVMFuzzerInitialize") public func initialize(
    _ count: UnsafeMutablePointer<Int32>, _ arguments: UnsafeMutableRawPointer
) -> Int32 {
    let texts: [(Kind, String)] = [
        (.request, "GET /api/v1/keys/dan/status HTTP/1.1\r\nHost: x\r\n\r\n"),
        (.request, "GET /api/v1/keys/dan/enc_keys?number=2&size=64 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        (
            .request,
            "POST /api/v1/keys/dan/enc_keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "c\r\n{\"number\":2}\r\n0\r\n\r\n"
        ),
        (.newKeys, #"{"number":2,"size":128,"extension_optional":[{"a":1}]}"#),
        (.newKeys, #"{"extension_mandatory":[{"x":"y"}],"additional_slave_SAE_IDs":["bob"]}"#),
        (.keyIDs, #"{"key_IDs":[{"key_ID":"00000000-0000-8000-8200-000000000000"}]}"#),
        (.answer014, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}"),
        (.answer014, "HTTP/1.0 200 OK\r\n\r\n{\"keys\":[{\"key\":\"AAAA\",\"key_ID\":\"x\"}]}"),
        (.answer014, "HTTP/1.1 503 x\r\nContent-Length: 15\r\n\r\n{\"message\":\"a\"}"),
    ]
    // OPEN_CONNECT of a new stream of 32 bytes a chunk, GET_KEY of an unknown one, CLOSE.
    let quality =
        [0, 0, 0, 32] + [UInt8](repeating: 0, count: 16) + [0, 0, 1, 0, 0, 0, 0, 1] + [UInt8](repeating: 0, count: 256)
    let open = Array("sae://alice\0sae://dan\0".utf8) + quality + [UInt8](repeating: 0, count: 16)
    func frame(_ service: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [1, 0, 1, service] + withUnsafeBytes(of: UInt32(payload.count).bigEndian) { Array($0) } + payload
    }
    let ones = [UInt8](repeating: 1, count: 24)
    let frames = frame(2, open) + frame(4, ones) + frame(8, Array(ones.prefix(16)))
    let key = frame(5, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 7, 7, 0, 0, 0, 0])
    writeSeeds(
        texts.map { [$0.rawValue] + Array($1.utf8) } + [
            [Kind.stream.rawValue] + frames, [Kind.answer004.rawValue] + key,
            [Kind.answer004.rawValue] + frame(3, [0, 0, 0, 1] + quality + [UInt8](repeating: 9, count: 16)),
        ])
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput") public func test(_ start: UnsafeRawPointer, _ count: Int) -> Int32 {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 1, let kind = Kind(rawValue: input[0] % UInt8(Kind.allCases.count)) else { return -1 }
    let rest = UnsafeRawBufferPointer(rebasing: input[1...])
    switch kind {
    case .request: requireHTTP(rig.ask(rig.door.port, rest))
    case .newKeys: requireHTTP(post("enc_keys", rest))
    case .keyIDs: requireHTTP(post("dec_keys", rest))
    case .stream: requireFrames(rig.ask(rig.streams.port, rest))
    case .answer014:
        rig.lie(Array(rest)) {
            let client = outcome {
                try ETSI014Client(url: "https://127.0.0.1:\(rig.liar.port)", context: rig.client, timeout: 5)
            }
            _ = outcome { try client?.status(slave: "dan") }
            let keys = outcome { try client?.newKeys(slave: "dan", number: 1, bits: 24) } ?? nil
            require(keys == nil || keys?.lengths == [3], "keys of another size than was asked for")
            client?.close()
        }
    case .answer004:
        rig.lie(Array(rest)) {
            let client = outcome {
                try ETSI004Client(host: "127.0.0.1", port: rig.liar.port, context: rig.client, timeout: 5)
            }
            _ = outcome { try client?.getKey(UUID(), index: 0) }
            _ = outcome {
                try client?.openConnect(source: "sae://alice", destination: "sae://dan", quality: ETSI004QoS())
            }
        }
    }
    inputs += 1
    if inputs % 500 == 0 {
        let answer = Array("{}".utf8).withUnsafeBytes { post("enc_keys", $0) }
        requireHTTP(answer)
        require(!answer.isEmpty, "the door does not serve any more")
    }
    return 0
}
