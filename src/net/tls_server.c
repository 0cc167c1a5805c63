#include "net/tls_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <uv.h> /* error codes only */

#include "net/tls_identity.h"
#include "net/tls_names.h"
#include "net/tls_staple.h"

/* A session of one kind of listener is not taken up again at the other, nor one of a client that
 * was asked for another certificate, or for none: the handshake that resumes it asks for nothing.
 */
#define SESSION_ID_CONTEXT "weir"
#define SESSION_ID_CONTEXT_OF_STREAMS "weir streams"

struct tls_server {
    SSL_CTX *context;
    EVP_CIPHER *cipher; /* what tickets are sealed with, fetched once */
    tls_names_cb names;
    tls_names_cb acme_names; /* NULL: no validations */
    tls_ring_cb ring;        /* NULL: the seed's secrets do */
    void *owner;             /* borrowed */
    struct tls_tickets tickets;
    unsigned char stream_alpn[TLS_ALPN_BYTES]; /* what streams choose among */
    unsigned stream_alpn_len;                  /* 0: they choose nothing */
};

/* What we speak, by preference (RFC 7301); the first where the listener offers HTTP/2. */
static const unsigned char protocols_http2[] = "\x02h2\x08http/1.1\x08http/1.0";
static const unsigned char protocols[] = "\x08http/1.1\x08http/1.0";
/* Their addresses are the words for it. */
static const char offers_http2, is_validation;
static const unsigned char acme_protocol[] = "acme-tls/1";

void tls_server_offer(SSL *ssl, bool has_http2)
{
    SSL_set_app_data(ssl, has_http2 ? (void *)(uintptr_t)&offers_http2 : NULL);
}

/* What of TLS 1.2 HTTP/2's clients may not refuse (RFC 9113, section 9.2.2 and appendix A). */
static bool is_fit_for_http2(SSL *ssl)
{
    if (SSL_version(ssl) >= TLS1_3_VERSION)
        return true;
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
    int exchange = cipher ? SSL_CIPHER_get_kx_nid(cipher) : NID_undef;
    return SSL_version(ssl) == TLS1_2_VERSION && cipher && SSL_CIPHER_is_aead(cipher) &&
           (exchange == NID_kx_ecdhe || exchange == NID_kx_dhe);
}

bool tls_server_is_validation(const SSL *ssl)
{
    return SSL_get_app_data(ssl) == &is_validation;
}

/* A validation is known by its one protocol (RFC 8737, section 3) before anything else is chosen:
 * with TLS 1.2 the certificate's turn is before ALPN's. Who validates has no certificate to show;
 * so nothing of such a connection may count later, and it gets no ticket. */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    static const unsigned char only_acme[] = "\x00\x0b\x0a"
                                             "acme-tls/1";
    struct tls_server *server = arg;
    const unsigned char *list;
    size_t len;
    (void)alert;
    if (!server->acme_names ||
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &list,
                                  &len) != 1 ||
        len != sizeof(only_acme) - 1 || memcmp(list, only_acme, len) != 0 ||
        !server->acme_names(server->owner))
        return SSL_CLIENT_HELLO_SUCCESS;
    SSL_set_app_data(ssl, (void *)(uintptr_t)&is_validation);
    SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
    SSL_set_num_tickets(ssl, 0);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned in_len, void *arg)
{
    (void)arg;
    unsigned char *chosen;
    if (tls_server_is_validation(ssl)) {
        *out = acme_protocol;
        *out_len = sizeof(acme_protocol) - 1;
        return SSL_TLSEXT_ERR_OK;
    }
    bool has_http2 = SSL_get_app_data(ssl) == &offers_http2 && is_fit_for_http2(ssl);
    const unsigned char *ours = has_http2 ? protocols_http2 : protocols;
    unsigned ours_len = (has_http2 ? sizeof(protocols_http2) : sizeof(protocols)) - 1;
    if (SSL_select_next_proto(&chosen, out_len, ours, ours_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

size_t tls_server_write_alpn(const char *list, unsigned char wire[TLS_ALPN_BYTES])
{
    size_t len = 0;
    struct str rest = str_of(list);
    do {
        struct str name = str_trim(str_cut(&rest, ','));
        if (name.len == 0 || name.len > UINT8_MAX || len + 1 + name.len > TLS_ALPN_BYTES)
            return 0;
        for (size_t i = 0; i < name.len; i++)
            if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
                return 0;
        wire[len++] = (unsigned char)name.len;
        memcpy(wire + len, name.ptr, name.len);
        len += name.len;
    } while (rest.ptr);
    return len;
}

/* Who offers none of them is refused (RFC 7301, section 3.2); who offers nothing is not. */
static int on_stream_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                          const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    const struct tls_server *server = arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, server->stream_alpn, server->stream_alpn_len, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Asked only in a full handshake: who resumes has seen the certificate. */
static int on_certificate(SSL *ssl, void *arg)
{
    struct tls_server *server = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_names *names = name ? server->names(server->owner) : NULL;
    if (tls_server_is_validation(ssl)) {
        names = name ? server->acme_names(server->owner) : NULL;
        struct tls_identity *proof = names ? tls_names_find(names, str_of(name)) : NULL;
        return proof && tls_identity_use(proof, ssl) == 0;
    }
    struct tls_identity *identity = names ? tls_names_find(names, str_of(name)) : NULL;
    return !identity || tls_identity_use(identity, ssl) == 0;
}

/* The extension is answered as RFC 6066, section 3 wants it, by default identity or another: a name
 * that we don't know is no reason to refuse. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl, (void)alert, (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static int seal_with(const struct tls_server *server, const struct tls_ticket_key *key,
                     unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                          sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex2(cipher, server->cipher, key->cipher, iv, is_sealing, NULL) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's numbers: 0 no such key, 1 as it should be, 2 the same but send a new ticket, -1 failed.
 */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_sealing)
{
    struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct tls_ticket_key *key;
    bool is_current = true;
    uint64_t now_s = (uint64_t)time(NULL);
    if (server->ring)
        tls_tickets_use_ring(&server->tickets, server->ring(server->owner), now_s);
    if (is_sealing) {
        key = tls_tickets_current(&server->tickets, now_s);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(server->cipher)) != 1)
            return -1;
        memcpy(name, key->name, sizeof(key->name));
    } else {
        key = tls_tickets_find(&server->tickets, name, now_s, &is_current);
        if (!key)
            return 0;
    }
    if (!seal_with(server, key, iv, cipher, mac, is_sealing))
        return -1;
    /* A ticket of 1.3 is good for one connection (RFC 8446, appendix C.4): each gets its successor.
     */
    return is_current && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
}

static int check_clients(SSL_CTX *context, const struct tls_server_settings *settings,
                         struct error *err)
{
    if (settings->client_check == TLS_CLIENT_NONE)
        return 0;
    const char *file = settings->client_ca_file;
    STACK_OF(X509_NAME) *names = file ? SSL_load_client_CA_file(file) : NULL;
    if (!names || SSL_CTX_load_verify_file(context, file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        ERR_clear_error();
        error_set(err, "ssl_client_certificate", "%s%s",
                  file ? "can't read the certificates in " : "must be set to check clients",
                  file ? file : "");
        return UV_EINVAL;
    }
    SSL_CTX_set_client_CA_list(context, names); /* takes them */
    SSL_CTX_set_verify(
        context,
        SSL_VERIFY_PEER |
            (settings->client_check == TLS_CLIENT_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    SSL_CTX_set_verify_depth(context, (int)settings->client_depth);
    return 0;
}

static bool digest_file(EVP_MD_CTX *digest, const char *path)
{
    unsigned char bytes[4096];
    size_t len;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool is_good = true;
    while (is_good && (len = fread(bytes, 1, sizeof(bytes), file)) > 0)
        is_good = EVP_DigestUpdate(digest, bytes, len) == 1;
    is_good = is_good && !ferror(file);
    fclose(file);
    return is_good;
}

static int set_session_context(SSL_CTX *context, const struct tls_server_settings *settings)
{
    struct str own =
        settings->carries_streams ? STR(SESSION_ID_CONTEXT_OF_STREAMS) : STR(SESSION_ID_CONTEXT);
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned id_len = (unsigned)own.len;
    memcpy(id, own.ptr, own.len);
    if (settings->client_check != TLS_CLIENT_NONE) {
        const uint32_t numbers[] = {settings->client_check, settings->client_depth};
        EVP_MD_CTX *digest = EVP_MD_CTX_new();
        bool is_good = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                       EVP_DigestUpdate(digest, own.ptr, own.len) == 1 &&
                       EVP_DigestUpdate(digest, numbers, sizeof(numbers)) == 1 &&
                       digest_file(digest, settings->client_ca_file) &&
                       EVP_DigestFinal_ex(digest, id, &id_len) == 1;
        EVP_MD_CTX_free(digest);
        if (!is_good)
            return UV_ENOMEM;
    }
    _Static_assert(SSL_MAX_SSL_SESSION_ID_LENGTH >= 32, "SHA-256 fits");
    return SSL_CTX_set_session_id_context(context, id, id_len) == 1 ? 0 : UV_ENOMEM;
}

static int set_up(struct tls_server *server, const struct tls_server_settings *settings,
                  struct error *err)
{
    SSL_CTX *context = server->context;
    int rc = tls_level_use(settings->level, context, err);
    if (!rc)
        rc = check_clients(context, settings, err);
    if (rc)
        return rc;
    if (tls_identity_use_for_all(settings->identity, context)) {
        const char *why = ERR_reason_error_string(ERR_get_error());
        ERR_clear_error();
        error_set(err, "ssl_cert", "can't be used: %s", why ? why : "OpenSSL refuses it");
        return UV_EINVAL;
    }
    /* Renegotiation is a way to make a server work, and gone from 1.3. Buffers of a connection that
     * is idle go back. */
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_app_data(context, server);
    SSL_CTX_set_cert_cb(context, on_certificate, server);
    SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    if (!settings->carries_streams)
        SSL_CTX_set_alpn_select_cb(context, on_alpn, server);
    else if (settings->stream_protocols)
        server->stream_alpn_len =
            (unsigned)tls_server_write_alpn(settings->stream_protocols, server->stream_alpn);
    if (server->stream_alpn_len > 0)
        SSL_CTX_set_alpn_select_cb(context, on_stream_alpn, server);
    tls_staple_use(context);
    /* Sessions are kept by clients, in their tickets: no memory here, any worker may resume. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, (long)settings->session_timeout_s);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
    return set_session_context(context, settings);
}

int tls_server_create(const struct tls_server_settings *settings, tls_names_cb names, void *owner,
                      struct tls_server **ret, struct error *err)
{
    struct tls_server *server = calloc(1, sizeof(*server));
    if (!server)
        return UV_ENOMEM;
    server->names = names;
    server->owner = owner;
    server->context = SSL_CTX_new(TLS_server_method());
    server->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    int rc = server->context && server->cipher ? set_up(server, settings, err) : UV_ENOMEM;
    if (rc) {
        tls_server_destroy(server);
        return rc;
    }
    tls_tickets_init(&server->tickets, &settings->seed, settings->session_timeout_s,
                     (uint64_t)time(NULL));
    *ret = server;
    return 0;
}

void tls_server_destroy(struct tls_server *server)
{
    if (!server)
        return;
    SSL_CTX_free(server->context);
    EVP_CIPHER_free(server->cipher);
    tls_tickets_deinit(&server->tickets);
    free(server);
}

void tls_server_answer_acme(struct tls_server *server, tls_names_cb names)
{
    server->acme_names = names;
    SSL_CTX_set_client_hello_cb(server->context, on_client_hello, server);
}

void tls_server_share_tickets(struct tls_server *server, tls_ring_cb ring)
{
    server->ring = ring;
}

struct ssl_ctx_st *tls_server_context(struct tls_server *server)
{
    return server->context;
}
