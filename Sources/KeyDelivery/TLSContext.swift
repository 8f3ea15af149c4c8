import CTLS
import Diagnostics
import Foundation

/// The certificate and key with which one end of mutual TLS shows itself, and the authorities that it believes.
///
/// OpenSSL's library, TLS 1.2 and later, without resumption. `@unchecked Sendable`: nothing changes after `init`, and
/// the library counts references under locks of its own.
public final class TLSContext: @unchecked Sendable {
    enum Side { case server, client }

    /// Threads of connections may outlive `main`, so the library does not take itself apart at exit.
    private static let library = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil)

    let side: Side
    let context: OpaquePointer
    /// Of a client: whether the server's certificate must name the host that was called.
    let checksHost: Bool

    /// For a server: callers without a certificate of one of the authorities fail in the handshake.
    ///
    /// - Parameters: paths of PEM files; `certificate` may hold intermediate certificates too.
    /// - Throws: `Failure(.configuration)` that names the file.
    public static func server(certificate: String, privateKey: String, authority: String) throws -> TLSContext {
        try TLSContext(.server, certificate, privateKey, authority, checksHost: false)
    }

    /// - Parameter checksHost: false only where the peer's identity is told by its KME ID.
    public static func client(
        certificate: String, privateKey: String, authority: String, checksHost: Bool = true
    ) throws -> TLSContext {
        try TLSContext(.client, certificate, privateKey, authority, checksHost: checksHost)
    }

    private init(
        _ side: Side, _ certificate: String, _ privateKey: String, _ authority: String, checksHost: Bool
    ) throws {
        _ = Self.library
        self.side = side
        self.checksHost = checksHost
        guard let context = SSL_CTX_new(side == .server ? TLS_server_method() : TLS_client_method()) else {
            throw Failure(.internalError, at: "TLS", "no context: \(tlsProblem())", remedy: "report the fault")
        }
        self.context = context
        try load(certificate, privateKey, authority)
    }

    deinit { SSL_CTX_free(context) }

    private func load(_ certificate: String, _ privateKey: String, _ authority: String) throws {
        ERR_clear_error()
        _ = ctls_require_tls12(context)
        _ = ctls_set_mode(context)
        ctls_no_resumption(context)
        for path in [certificate, privateKey, authority] where !FileManager.default.isReadableFile(atPath: path) {
            throw Failure(.noInput, at: path, "cannot be read", remedy: "check the path and its permissions")
        }
        let mode = try FileManager.default.attributesOfItem(atPath: privateKey)[.posixPermissions] as? Int ?? 0
        guard mode & 0o007 == 0 else {
            throw Failure(
                .configuration, at: privateKey, "every account of this machine may read this private key",
                remedy: "chmod 600 it, and make a new one if others may have read it")
        }
        func require(_ result: Int32, _ path: String, _ problem: String) throws {
            guard result == 1 else {
                throw Failure(
                    .configuration, at: path, "\(problem): \(tlsProblem())",
                    remedy: "give PEM files: a certificate, its unencrypted private key, the authority's certificate")
            }
        }
        try require(SSL_CTX_use_certificate_chain_file(context, certificate), certificate, "is no certificate")
        try require(
            SSL_CTX_use_PrivateKey_file(context, privateKey, SSL_FILETYPE_PEM), privateKey, "is no private key")
        try require(SSL_CTX_check_private_key(context), privateKey, "is not the key of \(certificate)")
        try require(SSL_CTX_load_verify_locations(context, authority, nil), authority, "is no certificate")
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        if side == .server {
            SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(authority))
            _ = SSL_CTX_set_session_id_context(context, Array("dsgd".utf8), 4)
        }
    }
}

/// What the library noted last of this thread's errors, and forgets.
func tlsProblem() -> String {
    let code = ERR_get_error()
    ERR_clear_error()
    guard code != 0 else { return "no reason given" }
    guard let text = ERR_reason_error_string(code) else { return "error \(code)" }
    return String(cString: text)
}
