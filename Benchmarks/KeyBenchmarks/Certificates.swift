internal import Diagnostics
internal import Foundation
internal import KeyDelivery

/// An authority and the certificates that it issued, which OpenSSL's command makes: P-256, good for two days.
struct Certificates {
    let directory: String

    init(_ directory: String, names: [String]) throws {
        self.directory = directory
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority "
                + "-keyout authority.key -out authority.pem")
        try Data("subjectAltName=IP:127.0.0.1\n".utf8).write(to: URL(fileURLWithPath: path("address.ext")))
        for name in names {
            try openssl(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name) -keyout \(name).key "
                    + "-out \(name).csr")
            try openssl(
                "x509 -req -in \(name).csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 "
                    + "-extfile address.ext -out \(name).pem")
        }
    }

    func path(_ file: String) -> String { "\(directory)/\(file)" }

    func client(_ name: String) throws -> TLSContext {
        try .client(
            certificate: path("\(name).pem"), privateKey: path("\(name).key"), authority: path("authority.pem"))
    }

    private func openssl(_ arguments: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments.split(separator: " ").map(String.init)
        process.currentDirectoryURL = URL(fileURLWithPath: directory)
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(
                .noInput, at: "openssl", "it cannot make a certificate", remedy: "install the openssl command")
        }
    }
}
