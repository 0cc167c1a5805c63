#include "net/tls_client.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <uv.h> /* error codes only */

#include "net/ip.h"
#include "net/tls.h"
#include "net/tls_identity.h"

#define SYSTEM_STORE "/etc/ssl/certs/ca-certificates.crt"
#define MAX_NAME_BYTES 254 /* a host name has at most 253 */

struct tls_client {
    _Atomic unsigned refs;
    SSL_CTX *context;
    bool verifies;
};

/* --- whom to trust --- */

int tls_store_load(const char *paths, const char *field, struct x509_store_st **ret,
                   struct error *err)
{
    X509_STORE *store = X509_STORE_new();
    if (!store)
        return UV_ENOMEM;
    struct str rest = str_of(paths);
    while (rest.ptr) {
        char path[1024];
        struct str word = str_trim(str_cut(&rest, ','));
        if (str_equal(word, STR("system")))
            word = STR(SYSTEM_STORE);
        bool fits = word.len < sizeof(path);
        memcpy(path, word.ptr ? word.ptr : "", fits ? word.len : 0);
        path[fits ? word.len : 0] = '\0';
        if (!fits || X509_STORE_load_file(store, path) != 1) {
            ERR_clear_error();
            X509_STORE_free(store);
            error_set(err, field, "can't read certificates from \"%.*s\"", STR_ARG(word));
            return UV_EINVAL;
        }
    }
    *ret = store;
    return 0;
}

int tls_store_create(const struct str *pems, unsigned count, struct x509_store_st **ret)
{
    X509_STORE *store = X509_STORE_new();
    if (!store)
        return UV_ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        BIO *bio = BIO_new_mem_buf(pems[i].ptr, (int)pems[i].len);
        X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
        if (cert)
            X509_STORE_add_cert(store, cert);
        X509_free(cert);
        BIO_free(bio);
    }
    ERR_clear_error();
    *ret = store;
    return 0;
}

void tls_store_unref(struct x509_store_st *store)
{
    X509_STORE_free(store);
}

/* --- the context --- */

/* The server has given a session to come back with. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **slot = SSL_get_app_data(ssl);
    SSL_SESSION_free(*slot);
    *slot = session;
    return 1; /* kept */
}

static int set_up(struct tls_client *client, const struct tls_client_settings *settings)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    SSL_CTX *context = client->context;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, on_new_session);
    if (!settings->carries_streams &&
        SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols) - 1) != 0)
        return UV_ENOMEM;
    if (settings->identity && tls_identity_use_for_all(settings->identity, context))
        return UV_EINVAL;
    client->verifies = settings->verifies;
    if (settings->verifies) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_verify_depth(context, (int)settings->depth);
        if (settings->trusted)
            SSL_CTX_set1_cert_store(context, settings->trusted);
    }
    return 0;
}

int tls_client_create(const struct tls_client_settings *settings, struct tls_client **ret)
{
    struct tls_client *client = calloc(1, sizeof(*client));
    if (!client)
        return UV_ENOMEM;
    atomic_init(&client->refs, 1);
    client->context = SSL_CTX_new(TLS_client_method());
    int rc = client->context ? set_up(client, settings) : UV_ENOMEM;
    ERR_clear_error();
    if (rc)
        tls_client_unref(client);
    else
        *ret = client;
    return rc;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
    return client;
}

bool tls_client_is_last(const struct tls_client *client)
{
    return !client || atomic_load_explicit(&client->refs, memory_order_acquire) == 1;
}

void tls_client_unref(struct tls_client *client)
{
    if (!client || atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(client->context);
    free(client);
}

/* --- connections --- */

/* An address is checked for but not sent: a server name is a host's (RFC 6066, section 3). */
static bool set_name(const struct tls_client *client, SSL *ssl, struct str name)
{
    char text[MAX_NAME_BYTES];
    union ip_address address;
    if (name.len == 0 || name.len >= sizeof(text))
        return !client->verifies; /* nobody in particular */
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    if (ip_parse(name, 0, &address))
        return !client->verifies || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), text) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, text) == 1 &&
           (!client->verifies || SSL_set1_host(ssl, text) == 1);
}

/* HTTP/1 is what the context offers. */
static bool set_alpn(SSL *ssl, enum tls_alpn alpn)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    unsigned len = alpn == TLS_ALPN_HTTP2 ? 3 : sizeof(both) - 1;
    return alpn == TLS_ALPN_HTTP1 || SSL_set_alpn_protos(ssl, both, len) == 0;
}

int tls_client_begin(struct tls_client *client, struct stream *stream, struct str name,
                     enum tls_alpn alpn, struct ssl_session_st **session)
{
    SSL *ssl = SSL_new(client->context);
    if (!ssl || !set_alpn(ssl, alpn)) {
        ERR_clear_error();
        SSL_free(ssl);
        return UV_ENOMEM;
    }
    if (!set_name(client, ssl, name)) {
        ERR_clear_error();
        SSL_free(ssl);
        return UV_EINVAL;
    }
    SSL_set_app_data(ssl, session);
    if (*session)
        SSL_set_session(ssl, *session);
    return tls_connect(stream, ssl);
}

void tls_session_free(struct ssl_session_st *session)
{
    SSL_SESSION_free(session);
}
