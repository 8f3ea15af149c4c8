import CTLS
package import Channel
import Diagnostics
import Glibc
import Kernels

/// One end of a TLS connection over a socket, with deadlines. One thread at a time uses it.
///
/// The library sees memory only: what it wants to send and what came in pass through two buffers, so that the socket's
/// own deadlines hold for the handshake too.
package final class TLSConnection {
    package let socket: Socket
    private let connection: OpaquePointer
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    private let wire: UnsafeMutableRawBufferPointer
    private static let wireSize = 128 << 10

    /// Does the handshake; both ends have shown their certificates when it returns.
    ///
    /// - Parameter host: of a client, the name or address that was called.
    package init(_ context: TLSContext, over socket: Socket, host: String = "", _ deadline: Deadline) throws {
        guard let connection = SSL_new(context.context), let incoming = BIO_new(BIO_s_mem()),
            let outgoing = BIO_new(BIO_s_mem())
        else {
            throw Failure(.internalError, at: "TLS", "no memory for a connection", remedy: "report the fault")
        }
        self.socket = socket
        self.connection = connection
        self.incoming = incoming
        self.outgoing = outgoing
        wire = .allocate(byteCount: Self.wireSize, alignment: 64)
        SSL_set_bio(connection, incoming, outgoing)
        if context.side == .server {
            SSL_set_accept_state(connection)
        } else {
            SSL_set_connect_state(connection)
            try name(host, context.checksHost)
        }
        try run(deadline) { SSL_do_handshake(connection) }
    }

    deinit {
        SSL_free(connection)
        wire.deallocate()
    }

    private func name(_ host: String, _ checks: Bool) throws {
        let isAddress = checks && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host) == 1
        ERR_clear_error()
        if isAddress { return }
        _ = ctls_set_server_name(connection, host)
        guard !checks || SSL_set1_host(connection, host) == 1 else {
            throw Failure(.usage, at: host, "is no host name", remedy: "name a host or an address")
        }
    }

    /// Calls the library until it has what it needs; returns what its function returned, 0 when the peer has ended.
    @discardableResult
    private func run(_ deadline: Deadline, _ step: () -> Int32) throws -> Int {
        while true {
            ERR_clear_error()
            let result = step()
            let state = SSL_get_error(connection, result)
            // An alert that says why goes out too; that it may not arrive changes nothing.
            if state == SSL_ERROR_SSL {
                let problem = problem()
                try? flush(deadline)
                throw Failure(
                    .notAuthorised, at: socket.remote, "TLS failed: \(problem)",
                    remedy: "check certificate, key and authority of both ends")
            }
            try flush(deadline)
            if result > 0 { return Int(result) }
            switch state {
            case SSL_ERROR_WANT_READ:
                if try !receive(deadline) {
                    // A peer that refuses a certificate of TLS 1.3 says so after the handshake, or just closes.
                    guard SSL_is_init_finished(connection) == 1 else {
                        throw Failure(
                            .peerUnavailable, at: socket.remote, "the peer closed during the TLS handshake",
                            remedy: "check the certificate that is shown to it")
                    }
                    return 0
                }
            case SSL_ERROR_ZERO_RETURN: return 0
            default:
                throw Failure(
                    .peerUnavailable, at: socket.remote, "the TLS connection broke", remedy: "connect again")
            }
        }
    }

    private func problem() -> String {
        let verdict = SSL_get_verify_result(connection)
        let text = tlsProblem()
        guard verdict != Int(X509_V_OK), let reason = X509_verify_cert_error_string(verdict) else { return text }
        return "\(text) (\(String(cString: reason)))"
    }

    private func flush(_ deadline: Deadline) throws {
        var at: UnsafeMutablePointer<CChar>?
        let count = ctls_pending(outgoing, &at)
        guard count > 0, let at else { return }
        try socket.write(UnsafeRawBufferPointer(start: at, count: count), deadline)
        _ = ctls_forget(outgoing)
    }

    /// Takes what the socket has; false when the peer has closed it.
    private func receive(_ deadline: Deadline) throws -> Bool {
        while true {
            let count = recv(socket.descriptor, wire.baseAddress, wire.count, 0)
            if count > 0 {
                _ = BIO_write(incoming, wire.baseAddress, Int32(count))
                return true
            }
            if count == 0 { return false }
            guard errno == EAGAIN || errno == EINTR else {
                throw Failure(
                    .peerUnavailable, at: socket.remote, "the connection broke", remedy: "connect again")
            }
            guard try socket.readable(deadline) else {
                throw Failure(
                    .transient, at: socket.remote, "the peer sent nothing in time",
                    remedy: "try again; look whether the peer hangs")
            }
        }
    }

    /// Reads what there is, at least a byte; 0 when the peer has ended.
    package func read(_ bytes: UnsafeMutableRawBufferPointer, _ deadline: Deadline) throws -> Int {
        let size = Int32(min(bytes.count, 1 << 30))
        return try run(deadline) { SSL_read(connection, bytes.baseAddress, size) }
    }

    /// Reads as many bytes as there is room for. False when the peer had ended before the first of them and `mayEnd`.
    func readWhole(_ bytes: UnsafeMutableRawBufferPointer, _ deadline: Deadline, mayEnd: Bool) throws -> Bool {
        var done = 0
        while done < bytes.count {
            let count = try read(bytes.slice(done..<bytes.count), deadline)
            if count == 0, done == 0, mayEnd { return false }
            guard count > 0 else {
                throw Failure(
                    .peerUnavailable, at: socket.remote, "it ended in the middle of a message",
                    remedy: "connect again")
            }
            done += count
        }
        return true
    }

    package func write(_ bytes: UnsafeRawBufferPointer, _ deadline: Deadline) throws {
        var done = 0
        while done < bytes.count {
            // A part at a time keeps what is encrypted and not sent small.
            let part = bytes.slice(done..<min(bytes.count, done + Self.wireSize))
            let count = try run(deadline) { SSL_write(connection, part.baseAddress, Int32(part.count)) }
            guard count > 0 else {
                throw Failure(
                    .peerUnavailable, at: socket.remote, "the peer closed the connection", remedy: "connect again")
            }
            done += count
        }
    }

    /// Says that nothing more comes, and closes the socket.
    package func close() {
        ERR_clear_error()
        if SSL_is_init_finished(connection) == 1 { _ = SSL_shutdown(connection) }
        try? flush(Deadline(in: 1))
        socket.finishSending()
    }

    /// The names that the peer's certificate holder goes by: common names of the subject, and alternative names that
    /// are DNS names or URIs.
    var peerNames: [String] {
        guard let certificate = SSL_get1_peer_certificate(connection) else { return [] }
        defer { X509_free(certificate) }
        var names: [String] = []
        if let subject = X509_get_subject_name(certificate) {
            var index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
            while index >= 0 {
                if let entry = X509_NAME_get_entry(subject, index) {
                    names.append(contentsOf: text(X509_NAME_ENTRY_get_data(entry)))
                }
                index = X509_NAME_get_index_by_NID(subject, NID_commonName, index)
            }
        }
        if let pointer = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) {
            let others = OpaquePointer(pointer)
            for index in 0..<max(0, ctls_name_count(others)) {
                names.append(contentsOf: text(ctls_name_text(ctls_name(others, index))))
            }
            GENERAL_NAMES_free(others)
        }
        return names
    }

    /// One name, or none when it holds a NUL, with which a name could be made to look like another.
    private func text(_ string: UnsafePointer<ASN1_STRING>?) -> [String] {
        guard let string else { return [] }
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = ASN1_STRING_to_UTF8(&bytes, string)
        guard count >= 0, let bytes else { return [] }
        defer { CRYPTO_free(bytes, "", 0) }
        let text = UnsafeBufferPointer(start: bytes, count: Int(count))
        return text.contains(0) ? [] : [String(decoding: text, as: UTF8.self)]
    }
}
