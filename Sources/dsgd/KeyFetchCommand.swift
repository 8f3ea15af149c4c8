import ArgumentParser
import Diagnostics
import Foundation
import KeyDelivery
import Storage

struct KeyFetchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fetch",
        abstract: "Take keys of any key server that speaks ETSI GS QKD 014.",
        discussion: """
            New keys, as their master:  dsgd keys fetch --url https://kme:8443 --slave-sae bob --bytes 400000000 -o key
            The same keys, as slave:    dsgd keys fetch --url https://kme2:8443 --master-sae alice --ids ids.txt -o key
            What the server gives:      dsgd keys fetch --url https://kme:8443 --slave-sae bob --status

            Each with --cert, --key and --ca. The keys go to the file, one after the other, and nowhere else; their
            identifiers, which the slave needs and which are no secret, go to standard output, one a line. A file of
            keys is yours to protect and to erase.
            """)

    @Option(help: "Address of the key server: https://host:port.") var url: String
    @Option(help: "Certificate of this application (PEM).") var cert: String
    @Option(help: "Its private key (PEM).") var key: String
    @Option(help: "Certificate of the authority that issued the server's (PEM).") var ca: String
    @Option(help: "KME ID that the server's certificate must name; the host's name is then not asked for.")
    var kmeID: String?
    @Option(name: .customLong("slave-sae"), help: "New keys for this application and that one.") var slave: String?
    @Option(name: .customLong("master-sae"), help: "Keys that this master got, by --ids.") var master: String?
    @Flag(help: "Print the server's status as JSON and take no key.") var status = false
    @Option(help: "Number of new keys.") var number: Int?
    @Option(help: "Bits of each new key; the server's default otherwise.") var size: Int?
    @Option(help: "Bytes of new key in all, in keys as large and requests as few as the server allows.") var bytes: Int?
    @Option(help: "File with the identifiers of keys, one a line.") var ids: String?
    @Option(name: [.short, .long], help: "File for the keys.") var output: String?
    @Option(help: "Seconds that a request may take.") var timeout = 60.0

    func validate() throws {
        guard (slave == nil) != (master == nil) else { throw ValidationError("Name --slave-sae or --master-sae.") }
        guard !status || slave != nil else { throw ValidationError("--status needs --slave-sae.") }
        guard status != (output != nil) else { throw ValidationError("Name the file for the keys with -o.") }
        guard (master != nil) == (ids != nil) else { throw ValidationError("--ids goes with --master-sae.") }
        guard bytes == nil || number == nil && size == nil else {
            throw ValidationError("--bytes chooses number and size itself.")
        }
        guard number ?? 1 > 0, size ?? 8 > 0, bytes ?? 1 > 0, timeout > 0 else {
            throw ValidationError("Numbers must be greater than zero.")
        }
    }

    func run() throws {
        let context = try TLSContext.client(certificate: cert, privateKey: key, authority: ca, checksHost: kmeID == nil)
        let client = try ETSI014Client(url: url, context: context, kmeID: kmeID, timeout: timeout)
        defer { client.close() }
        if status, let slave { return try printJSON(client.status(slave: slave)) }
        guard let output else { return }
        let file = try PartialFile(path: output)
        var count = 0
        func take(_ keys: KeyContainer) throws {
            try keys.forEach { identifier, key in
                try file.write(key)
                try printResult(identifier)
            }
            client.recycle(keys)
            count += 1
        }
        if let master, let ids {
            try fetch(try identifiers(ids), of: master, client, take)
        } else if let slave {
            if let bytes {
                try KeyBatches(try client.status(slave: slave)).forEach(bytes: bytes) { number, bits in
                    try take(client.newKeys(slave: slave, number: number, bits: bits))
                }
            } else {
                try take(client.newKeys(slave: slave, number: number ?? 1, bits: size))
            }
        }
        try file.commit()
        Terminal.say("\(file.byteCount) bytes of key in \(count) request\(count == 1 ? "" : "s")")
    }

    /// A key that is asked for is gone from the server, so the batches are of the server's own size.
    private func fetch(
        _ identifiers: [String], of master: String, _ client: ETSI014Client, _ take: (KeyContainer) throws -> Void
    ) throws {
        for batch in KeyBatches.slices(identifiers) { try take(client.keys(batch, master: master)) }
    }

    private func identifiers(_ path: String) throws -> [String] {
        guard let text = FileManager.default.contents(atPath: path) else {
            throw Failure(.noInput, at: path, "cannot be read", remedy: "check the path and its permissions")
        }
        let lines = String(decoding: text, as: UTF8.self).split(whereSeparator: \.isNewline)
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        guard !lines.isEmpty, lines.allSatisfy({ UUID(uuidString: $0) != nil }) else {
            throw Failure(.data, at: path, "it holds other lines than key identifiers", remedy: "one UUID a line")
        }
        return lines
    }
}
