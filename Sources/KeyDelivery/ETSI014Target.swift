import Foundation

/// `/api/v1/keys/{SAE ID}/{method}` with its query, taken apart.
struct ETSI014Target {
    enum Method: String {
        case status
        case newKeys = "enc_keys"
        case keys = "dec_keys"
    }

    var application: String
    var method: Method
    var query: [(name: String, value: String)] = []

    init(_ target: String) throws {
        // A proxy's absolute form names the host first.
        var rest = Substring(target)
        if let scheme = rest.range(of: "://") {
            rest = rest[scheme.upperBound...]
            rest = rest[(rest.firstIndex(of: "/") ?? rest.endIndex)...]
        }
        let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = (parts.first ?? "").split(separator: "/", omittingEmptySubsequences: false)
        guard path.count == 6, path[0].isEmpty, path[1] == "api", path[2] == "v1", path[3] == "keys",
            let method = Method(rawValue: String(path[5]))
        else {
            throw KeyRefusal.badRequest("the URL is not /api/v1/keys/{SAE ID}/status, enc_keys or dec_keys")
        }
        guard let application = path[4].removingPercentEncoding, application.contains(where: { !$0.isWhitespace })
        else {
            throw KeyRefusal.badRequest("the SAE ID in the URL is blank or cannot be read")
        }
        self.application = application
        self.method = method
        guard parts.count == 2, !parts[1].isEmpty else { return }
        for item in parts[1].split(separator: "&", omittingEmptySubsequences: false) {
            let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, let name = pair[0].removingPercentEncoding,
                let value = pair[1].removingPercentEncoding, !query.contains(where: { $0.name == name })
            else {
                throw KeyRefusal.badRequest("the parameters in the URL cannot be read, or one is there twice")
            }
            query.append((name, value))
        }
    }

    /// The GET form of "get key": `number` and `size` alone.
    func keyRequest() throws -> ETSI014KeyRequest {
        var request = ETSI014KeyRequest()
        for (name, value) in query {
            guard ["number", "size"].contains(name) else {
                throw KeyRefusal.badRequest("GET takes number and size only: use POST")
            }
            guard value.utf8.first != UInt8(ascii: "+"), let number = Int(value) else {
                throw KeyRefusal.badRequest("\(name) shall be an integer")
            }
            if name == "number" { request.number = number } else { request.size = number }
        }
        return request
    }

    /// The GET form of "get key with key IDs": one `key_ID`.
    func keyID() throws -> String {
        guard query.count == 1, query[0].name == "key_ID" else {
            throw KeyRefusal.badRequest("GET takes one key_ID: use POST")
        }
        return query[0].value
    }
}
