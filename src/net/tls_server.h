/* tls_server.h - the server's side of TLS as a thread's listeners offer it: versions and ciphers,
 * who we are by default and by name, ALPN, tickets, whether clients must show a certificate.
 *
 * What goes on on a connection is tls.h's.
 *
 * Thread: one owner, a worker or control; nothing in it is shared, so that no handshake waits for
 * another thread's. Memory: one block and OpenSSL's context. */
#ifndef NET_TLS_SERVER_H
#define NET_TLS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/tls_level.h"
#include "net/tls_tickets.h"

struct ssl_ctx_st;
struct ssl_st;
struct tls_identity;
struct tls_names;
struct tls_server;

#define TLS_ALPN_BYTES 256

enum tls_client_check { TLS_CLIENT_NONE = 0, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

/* All borrowed during tls_server_create, but for the callback's owner. */
struct tls_server_settings {
    const struct tls_level *level;
    const struct tls_identity *identity; /* for clients that name nobody, or nobody known */
    struct tls_ticket_seed seed;
    uint32_t session_timeout_s; /* how long a session may be resumed */
    enum tls_client_check client_check;
    const char *client_ca_file;   /* PEM: who may vouch for clients; needed to check them */
    uint32_t client_depth;        /* certificates between a client's and an authority's */
    bool carries_streams;         /* what is spoken is not ours to say: no ALPN, but for: */
    const char *stream_protocols; /* a comma list, by preference; NULL: none is chosen */
};

/* "mqtt,postgresql" as ALPN has it on the wire: the length, or 0 where it makes no sense. */
size_t tls_server_write_alpn(const char *list, unsigned char wire[TLS_ALPN_BYTES]);

/* The names of this moment; NULL when there are none. Runs in a handshake, on the owner's thread.
 */
typedef const struct tls_names *(*tls_names_cb)(void *owner);

/* The secrets of tickets that nodes share at this moment; NULL: none. Likewise. */
typedef const struct tls_ticket_ring *(*tls_ring_cb)(void *owner);

/* 0, UV_ENOMEM, or UV_EINVAL with *err, whose field is a setting's name. */
int tls_server_create(const struct tls_server_settings *settings, tls_names_cb names, void *owner,
                      struct tls_server **ret, struct error *err);
/* From now on secrets are asked for before the seed's are used. */
void tls_server_share_tickets(struct tls_server *server, tls_ring_cb ring);
/* From now on a client that speaks of nothing but "acme-tls/1" (RFC 8737) is shown who we are by
 * these names, and its connection ends with the handshake. While there are none, or for another
 * name, it is refused. */
void tls_server_answer_acme(struct tls_server *server, tls_names_cb names);
void tls_server_destroy(struct tls_server *server); /* NULL is fine; after its connections */

struct ssl_ctx_st *tls_server_context(struct tls_server *server);
/* Whether this connection may choose HTTP/2 by ALPN. */
void tls_server_offer(struct ssl_st *ssl, bool has_http2);
/* Whether it was a validation: nothing may follow on it. */
bool tls_server_is_validation(const struct ssl_st *ssl);

#endif
