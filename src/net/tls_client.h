/* tls_client.h - the client's side of TLS: whom to trust and whether to look, who we are if asked,
 * and sessions that are resumed.
 *
 * Thread: immutable and counted, so any; OpenSSL's context has locks of its own, which connections
 * take when they begin. Memory: OpenSSL's context. */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct ssl_session_st;
struct stream;
struct tls_client;
struct tls_identity;
struct x509_store_st;

/* Certificates to trust, from files: a comma list of paths, of which "system" is the machine's. 0
 * and a store that the caller unrefs, UV_ENOMEM, or UV_EINVAL with *err (field: `field`). */
int tls_store_load(const char *paths, const char *field, struct x509_store_st **ret,
                   struct error *err);
/* The same from PEM texts; one that is none is left out. 0 or UV_ENOMEM. */
int tls_store_create(const struct str *pems, unsigned count, struct x509_store_st **ret);
void tls_store_unref(struct x509_store_st *store); /* NULL is fine */

/* All borrowed during tls_client_create. */
struct tls_client_settings {
    bool verifies;                       /* the server's certificate, and its name */
    uint32_t depth;                      /* certificates between the server's and a trusted one */
    struct x509_store_st *trusted;       /* NULL: nobody */
    const struct tls_identity *identity; /* for servers that ask; NULL: none */
    bool carries_streams;                /* what is spoken is not ours to say: no ALPN */
};

/* 0 with one reference, UV_ENOMEM, or UV_EINVAL: OpenSSL doesn't take the identity. */
int tls_client_create(const struct tls_client_settings *settings, struct tls_client **ret);
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_unref(struct tls_client *client); /* NULL is fine */
/* Whether the caller's reference is the last one; NULL: it is. */
bool tls_client_is_last(const struct tls_client *client);

/* What ALPN offers. */
enum tls_alpn {
    TLS_ALPN_HTTP1 = 0, /* nothing, where the client carries streams */
    TLS_ALPN_HTTP2,
    TLS_ALPN_HTTP2_OR_HTTP1,
};

/* Begins the handshake on a stream that is connected; its on_secured tells the end. `name` is whom
 * we want to speak to, a host name or an IP address, and what the certificate is checked for.
 * *session, which must live as long as the stream is open, is the last session with this server or
 * NULL; it is replaced when the server gives another. 0, or a negative UV_E…. */
int tls_client_begin(struct tls_client *client, struct stream *stream, struct str name,
                     enum tls_alpn alpn, struct ssl_session_st **session);
void tls_session_free(struct ssl_session_st *session); /* NULL is fine */

#endif
