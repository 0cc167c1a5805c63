/* downstream.h - a client's connection: one exchange after another, and nothing between them.
 *
 * While idle it holds no buffer and no exchange. It knows no HTTP: bytes go to the exchange, which
 * says what was not its own.
 *
 * Thread: its worker's. Memory: from the worker's spare list; goes back when the socket is closed.
 */
#ifndef PROXY_DOWNSTREAM_H
#define PROXY_DOWNSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"
#include "net/stream.h"
#include "proxy/client.h"
#include "proxy/client_address.h"

struct acceptor;
struct multiplex;
struct tls_server;
struct worker;

/* A connection of HTTP/2 is SHARED by many exchanges, from its preface on, and multiplex.h's.
 *
 *                     first byte                    nothing unread
 *   IDLE  ----------------------------> BUSY -----------------------------> CLOSED
 *     ^  <----------------------------  |  |                                  ^
 *     |        response written,        |  +--> LINGERING: FIN sent, the rest |
 *     +-----------  kept alive          |       of the request is read and    |
 *                                       |       dropped for a while ----------+ */
enum downstream_state {
    DOWNSTREAM_IDLE = 0,
    DOWNSTREAM_BUSY,
    DOWNSTREAM_SHARED,
    DOWNSTREAM_LINGERING,
    DOWNSTREAM_CLOSED,
};

struct downstream {
    struct stream stream; /* first: the stream's callbacks turn it back */
    struct list link;     /* worker->clients, later the spare list */
    struct worker *worker;
    struct tls_server *tls_server; /* the acceptor's; NULL: none */
    struct client client;          /* of the exchange while BUSY; its deadline runs in all states */
    struct multiplex *multiplex;   /* owned: while SHARED; else NULL */
    char *early; /* owned: bytes that came before their exchange's turn; NULL: none */
    uint32_t early_start, early_end;
    uint32_t lingered_bytes;
    uint16_t port; /* the listener's */
    enum downstream_state state : 8;
    bool checks_server_name; /* its requests must be for the host that its handshake named */
    bool is_tls;             /* it came to a listener of TLS */
    bool offers_http2;       /* the listener does: by ALPN, or to who begins with the preface */
    bool awaits_preface;     /* or a request of HTTP/1; what there is of it is in `early` */
    bool awaits_origin; /* a PROXY header has to come first; what there is of it is in `early` */
    bool is_trusted;    /* the peer is a proxy whose word on its clients is taken */
    bool is_pumping;    /* early bytes are being handed out further up the stack */
    bool has_ended;     /* the client sent FIN */
    bool has_begun;     /* at least one byte ever came */
    uint8_t peer_len;
    char peer[CLIENT_ADDRESS_BYTES];
};

/* Takes the waiting connection of a listener, or one that is already accepted. */
void downstream_accept(const struct acceptor *acceptor, uv_stream_t *listener);
void downstream_adopt(const struct acceptor *acceptor, int fd);

/* The exchange has no use for these bytes, which end the current read: they wait for the next one.
 * Reading stops meanwhile. */
void downstream_keep_early(struct downstream *conn, const char *bytes, size_t len);

/* Hands over what waits there: *ret_len bytes, owned by the caller; NULL when nothing does. */
char *downstream_take_early(struct downstream *conn, size_t *ret_len);

/* Ends the connection, and the exchange with it must have ended before. */
void downstream_close(struct downstream *conn);
void downstream_abort(struct downstream *conn); /* with a reset */
/* The same when all is said, and written, that the client should get to read: it may go on sending
 * for a while. */
void downstream_finish(struct downstream *conn);
/* Cuts what is under way, and closes: nothing is waited for any longer. */
void downstream_cut(struct downstream *conn);
/* Some target has left: see exchange_target_left. */
void downstream_target_left(struct downstream *conn);

/* Closes a connection that has had its request and waits for another. */
void downstream_close_if_idle(struct downstream *conn);

/* The worker is stopping: an idle connection goes, a new one gets a moment to send its request. */
void downstream_stop(struct downstream *conn);

/* Who is at the other end, or, by a PROXY header, at the far end of the load balancer. */
static inline struct str downstream_peer(const struct downstream *conn)
{
    return str_make(conn->peer, conn->peer_len);
}

#endif
