import Channel
import Diagnostics
import Foundation
import Kernels
import KeyNetwork

/// ETSI GS QKD 014 V1.1.1 at a node: REST over mutual TLS, for applications (SAEs) with certificates.
///
/// The caller is the role of this node that its certificate names, as common name or alternative name. Codes are 200
/// and the standard's 400, 401 (without a body) and 503, and nothing else.
public final class ETSI014Server: Sendable {
    public let entity: KeyManagementEntity
    private let listener: TLSListener
    private var limits: DoorLimits { listener.limits }

    /// The actual port.
    public var port: UInt16 { listener.port }

    /// Answers after `start`.
    public init(entity: KeyManagementEntity, _ listener: TLSListener) {
        self.entity = entity
        self.listener = listener
    }

    public func start() { listener.start { [self] in try serve($0) } }

    public func stop() { listener.stop() }

    // MARK: - A connection

    private struct Answer {
        var status: Int
        var text: Data?
        var keys: KeyContainer?

        static func error(_ message: String, status: Int = 400) -> Answer {
            Answer(status: status, text: try? JSONEncoder().encode(ETSI014Error(message: message)))
        }
    }

    private func serve(_ connection: TLSConnection) throws {
        let caller = entity.application(named: connection.peerNames)
        let stream = HTTPStream(connection, entity.pool)
        // Secret, as the base64 of keys passes through it.
        let scratch = SecureBytes(count: 256 << 10)
        var goesOn = true
        while goesOn {
            var isHead = false
            let answer: Answer
            do {
                let deadline = Deadline(in: limits.request)
                guard let head = try stream.head(deadline) else { return }
                isHead = head.start[0] == "HEAD"
                let request = try check(head)
                goesOn = head.keepsAlive(version: request.version)
                if head.values("expect").contains(where: { $0.lowercased() == "100-continue" }) {
                    try send(connection, "HTTP/1.1 100 Continue\r\n\r\n")
                }
                let body = try stream.body(
                    stream.framing(head, otherwise: .length(0)), limit: limits.body, deadline)
                let text = body.bytes.withUnsafeBytes { Data($0.slice(0..<body.count)) }
                entity.pool.giveBack(body.bytes, used: body.count)
                answer = self.answer(request, type: head.values("content-type").first, text, caller)
            } catch let fault as HTTPFault {
                goesOn = false
                answer = .error(fault.problem)
            }
            try send(connection, answer, closes: !goesOn, isHead: isHead, scratch)
        }
    }

    private struct RequestLine {
        var method: String
        var target: String
        var version: String
    }

    private func check(_ head: HTTPHead) throws -> RequestLine {
        guard head.start.count == 3, ["HTTP/1.1", "HTTP/1.0"].contains(head.start[2]),
            !head.start[0].isEmpty, head.start[0].utf8.allSatisfy(HTTPStream.isToken),
            head.start[1].utf8.allSatisfy({ $0 > 32 && $0 < 127 })
        else {
            throw HTTPFault(problem: "the request line is not that of HTTP/1.1")
        }
        guard head.values("host").count == 1 || head.start[2] == "HTTP/1.0" && head.values("host").isEmpty else {
            throw HTTPFault(problem: "the header shall name the host once")
        }
        return RequestLine(method: head.start[0], target: head.start[1], version: head.start[2])
    }

    private func send(_ connection: TLSConnection, _ text: String) throws {
        try Array(text.utf8).withUnsafeBytes { try connection.write($0, Deadline(in: limits.response)) }
    }

    private func send(
        _ connection: TLSConnection, _ answer: Answer, closes: Bool, isHead: Bool, _ scratch: SecureBytes
    ) throws {
        defer { if let keys = answer.keys { entity.recycle(keys) } }
        let reasons = [200: "OK", 400: "Bad Request", 401: "Unauthorized", 503: "Service Unavailable"]
        let length = answer.keys.map(KeyContainerText.length) ?? answer.text?.count ?? 0
        var head = "HTTP/1.1 \(answer.status) \(reasons[answer.status] ?? "")\r\ncontent-length: \(length)\r\n"
        if length > 0 { head += "content-type: application/json\r\n" }
        head += "cache-control: no-store\r\n"
        if closes { head += "connection: close\r\n" }
        head += "\r\n"
        let deadline = Deadline(in: limits.response)
        if let keys = answer.keys, !isHead {
            return try KeyContainerText.write(keys, after: Array(head.utf8), through: scratch) {
                try connection.write($0, deadline)
            }
        }
        try send(connection, head)
        if let text = answer.text, !isHead { try text.withUnsafeBytes { try connection.write($0, deadline) } }
    }

    // MARK: - A request

    private func answer(_ request: RequestLine, type: String?, _ body: Data, _ caller: String?) -> Answer {
        do {
            guard let caller else { throw KeyRefusal.unauthorised }
            let target = try ETSI014Target(request.target)
            switch (target.method, request.method) {
            case (.status, "GET"):
                guard target.query.isEmpty else { throw KeyRefusal.badRequest("status takes no parameters") }
                let status = try entity.status(master: caller, slave: target.application)
                return Answer(status: 200, text: try JSONEncoder().encode(status))
            case (.newKeys, "GET"):
                return try newKeys(master: caller, slave: target.application, target.keyRequest())
            case (.newKeys, "POST"):
                let request = try decode(ETSI014KeyRequest.self, body, type, target)
                return try newKeys(master: caller, slave: target.application, request)
            case (.keys, "GET"):
                let keys = try entity.keys([target.keyID()], master: target.application, slave: caller)
                return Answer(status: 200, keys: keys)
            case (.keys, "POST"):
                let request = try decode(ETSI014KeyIDs.self, body, type, target)
                let keys = try entity.keys(
                    request.key_IDs.map(\.key_ID), master: target.application, slave: caller)
                return Answer(status: 200, keys: keys)
            default:
                throw KeyRefusal.badRequest("\(request.method) is not a method of this URL")
            }
        } catch let refusal as KeyRefusal {
            switch refusal {
            case .badRequest(let message): return .error(message)
            case .unauthorised: return Answer(status: 401)
            case .unavailable(let message): return .error(message, status: 503)
            }
        } catch {
            return .error("key cannot be supplied", status: 503)
        }
    }

    private func newKeys(master: String, slave: String, _ request: ETSI014KeyRequest) throws -> Answer {
        guard (request.extension_mandatory ?? []).isEmpty else {
            throw KeyRefusal.badRequest(ETSI014Message.mandatoryUnsupported)
        }
        if let additional = request.additional_slave_SAE_IDs {
            throw KeyRefusal.badRequest(
                additional.isEmpty
                    ? "additional_slave_SAE_IDs shall name at least one SAE"
                    : "additional_slave_SAE_IDs: this KME has no key multicast, max_SAE_ID_count is 0")
        }
        let keys = try entity.newKeys(
            master: master, slave: slave, number: request.number ?? 1,
            bits: request.size ?? KeyManagementEntity.defaultKeySize)
        return Answer(status: 200, keys: keys)
    }

    private func decode<Value: Decodable>(
        _ kind: Value.Type, _ body: Data, _ type: String?, _ target: ETSI014Target
    ) throws -> Value {
        guard target.query.isEmpty else {
            throw KeyRefusal.badRequest("parameters of a POST request belong into its body")
        }
        guard type.map({ $0.lowercased().hasPrefix("application/json") }) ?? true else {
            throw KeyRefusal.badRequest("content-type shall be application/json")
        }
        do {
            return try JSONDecoder().decode(kind, from: body)
        } catch DecodingError.typeMismatch(_, let context) {
            throw KeyRefusal.badRequest("\(Self.path(context)) is of the wrong type")
        } catch DecodingError.keyNotFound(let key, _) {
            throw KeyRefusal.badRequest("\(key.stringValue) is missing")
        } catch DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty {
            throw KeyRefusal.badRequest("\(Self.path(context)) is out of range")
        } catch {
            throw KeyRefusal.badRequest("the body is not JSON of the standard's form")
        }
    }

    private static func path(_ context: DecodingError.Context) -> String {
        let names = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
        return names.isEmpty ? "the body" : names.joined(separator: ".").replacingOccurrences(of: ".[", with: "[")
    }
}
