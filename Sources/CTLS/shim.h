// OpenSSL's TLS, with those of its macros as functions that Swift cannot see.
#ifndef CTLS_SHIM_H
#define CTLS_SHIM_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static inline int ctls_require_tls12(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}

static inline long ctls_set_mode(SSL_CTX *context) {
    return SSL_CTX_set_mode(
        context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

// No sessions are resumed, so that each connection proves its certificate anew.
static inline void ctls_no_resumption(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(context, 0);
}

// What the library wants to send, and forgetting it once it is sent.
static inline long ctls_pending(BIO *bio, char **at) { return BIO_get_mem_data(bio, at); }
static inline int ctls_forget(BIO *bio) { return BIO_reset(bio); }

static inline long ctls_set_server_name(SSL *connection, const char *host) {
    return SSL_set_tlsext_host_name(connection, host);
}

static inline int ctls_name_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline const GENERAL_NAME *ctls_name(const GENERAL_NAMES *names, int index) {
    return sk_GENERAL_NAME_value(names, index);
}

// The text of a DNS name or URI among the alternative names; null for names of other kinds.
static inline const ASN1_STRING *ctls_name_text(const GENERAL_NAME *name) {
    if (name->type != GEN_DNS && name->type != GEN_URI) return 0;
    return name->d.ia5;
}

#endif
