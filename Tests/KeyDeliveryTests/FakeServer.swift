import Channel
import Foundation
import Glibc
import KeyDelivery
import Synchronization
import TestSupport

/// A key server that answers as a test says, on a thread for each connection.
final class FakeServer: Sendable {
    /// The answer to a request line and a body, as it goes over the wire.
    typealias Answer = @Sendable (_ line: String, _ body: String) -> String

    let port: UInt16
    private let descriptor: Int32

    init(_ authority: Authority, _ answer: @escaping Answer) throws {
        let context = try TLSContext.server(
            certificate: authority.path("a.pem"), privateKey: authority.path("a.key"),
            authority: authority.path("authority.pem"))
        (descriptor, port) = try Sockets.listen(host: "127.0.0.1", port: 0)
        let listening = descriptor
        Thread.detachNewThread {
            while let socket = Sockets.accept(listening) {
                Thread.detachNewThread { try? Self.serve(socket, context, answer) }
            }
        }
    }

    func client(_ authority: Authority, _ name: String, timeout: Double = 60) throws -> ETSI014Client {
        try ETSI014Client(url: "https://127.0.0.1:\(port)", context: authority.client(name), timeout: timeout)
    }

    private static func serve(_ socket: Socket, _ context: TLSContext, _ answer: Answer) throws {
        let connection = try TLSConnection(context, over: socket, Deadline(in: 60))
        while let request = try request(connection) {
            let text = answer(String(request.head.prefix { $0 != "\r\n" }), request.body)
            try Array(text.utf8).withUnsafeBytes { try connection.write($0, Deadline(in: 60)) }
        }
    }

    private static func request(_ connection: TLSConnection) throws -> (head: String, body: String)? {
        var text = ""
        var part = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = try part.withUnsafeMutableBytes { try connection.read($0, Deadline(in: 600)) }
            if count == 0 { return nil }
            text += String(decoding: part[..<count], as: UTF8.self)
            let parts = text.components(separatedBy: "\r\n\r\n")
            let length = parts[0].components(separatedBy: "content-length: ").dropFirst().first
                .flatMap { Int($0.prefix { $0.isNumber }) }
            if parts.count == 2, parts[1].utf8.count >= length ?? 0 { return (parts[0], parts[1]) }
        }
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }
}

/// What a fake server gives: new keys of 32 bytes to masters, and to slaves what they ask for, as often as they ask.
final class FakeKeys: Sendable {
    private struct State {
        var keys: [String: [UInt8]] = [:]
        var asked: [String] = []
        var repeated: [String] = []
    }
    private let state = Mutex(State())
    private let perRequest: Int

    init(perRequest: Int = 1) { self.perRequest = perRequest }

    /// Names of the requests so far, such as `enc_keys`.
    var asked: [String] { state.withLock { $0.asked } }

    /// Identifiers that masters are given next, in place of new ones.
    func giveAgain(_ identifiers: [String]) { state.withLock { $0.repeated = identifiers } }

    static func http(_ body: String, code: String = "200 OK") -> String {
        "HTTP/1.1 \(code)\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    func answer(_ line: String, _ body: String) -> String {
        let name = line.split(separator: " ")[1].split(separator: "/").last.map(String.init) ?? ""
        let request = (try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any] ?? [:]
        return state.withLock { state in
            state.asked.append(name)
            var identifiers: [String] = []
            switch name {
            case "status":
                return Self.http(
                    "{\"source_KME_ID\":\"x\",\"target_KME_ID\":\"y\",\"master_SAE_ID\":\"m\",\"slave_SAE_ID\":\"s\","
                        + "\"key_size\":256,\"stored_key_count\":9,\"max_key_count\":9,"
                        + "\"max_key_per_request\":\(perRequest),"
                        + "\"max_key_size\":256,\"min_key_size\":256,\"max_SAE_ID_count\":0}")
            case "enc_keys":
                for _ in 0..<(request["number"] as? Int ?? 1) {
                    let again = state.repeated.isEmpty ? nil : state.repeated.removeFirst()
                    identifiers.append(again ?? UUID().uuidString.lowercased())
                }
            default:
                identifiers = (request["key_IDs"] as? [[String: String]] ?? []).compactMap { $0["key_ID"] }
            }
            let entries = identifiers.map { identifier in
                let key = state.keys[identifier.lowercased()] ?? (0..<32).map { _ in UInt8.random(in: 0...255) }
                state.keys[identifier.lowercased()] = key
                return "{\"key_ID\":\"\(identifier)\",\"key\":\"\(Data(key).base64EncodedString())\"}"
            }
            return Self.http("{\"keys\":[\(entries.joined(separator: ","))]}")
        }
    }
}
