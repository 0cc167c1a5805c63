/* upstream_conn.h - one connection to a target: carries one exchange at a time, or is shared by
 * many (upstream_http2.h), and then speaks HTTP/2.
 *
 * It is read all its life, also while idle: what comes then (mostly the end) closes it before a
 * request can run into it.
 *
 * Thread: its worker's. Memory: from the worker's spare list; goes back when the socket is closed.
 */
#ifndef PROXY_UPSTREAM_CONN_H
#define PROXY_UPSTREAM_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "net/stream.h"

struct worker;
struct exchange;
struct upstream_http2;
struct upstream_peer;
struct upstream_pool;

/*   CONNECTING --> BUSY <--> IDLE, and from each of them --> CLOSED */
enum upstream_conn_state {
    UPSTREAM_CONNECTING = 0,
    UPSTREAM_BUSY,
    UPSTREAM_IDLE,
    UPSTREAM_CLOSED,
};

/* What is to be spoken on it. */
enum upstream_version {
    UPSTREAM_HTTP1 = 0,
    UPSTREAM_EITHER, /* as ALPN says */
    UPSTREAM_HTTP2,
};

struct upstream_conn {
    struct stream stream; /* first: the stream's callbacks turn it back */
    struct list link;     /* in its pool's idle list, later the spare list */
    struct list age;      /* in worker->idle_upstreams */
    struct worker *worker;
    struct upstream_pool *pool;
    struct upstream_peer *peer;   /* counted in; NULL: without TLS */
    struct upstream_http2 *http2; /* owned; NULL: it isn't shared */
    struct exchange *exchange;    /* NULL while idle, and when it is shared */
    uint64_t idle_since_ms;
    uint32_t request_count; /* sent on it so far */
    bool is_hedge;          /* it carries its exchange's second try: proxy/hedge.h */
    enum upstream_version version;
    enum upstream_conn_state state;
    uv_connect_t connect;
};

/* Starts to connect for the exchange, with TLS where there is a peer; exchange_connected tells how
 * it went, always later. Where ALPN has chosen HTTP/2 the connection may be shared from then on. 0,
 * or a negative UV_E… when not even that is possible. */
int upstream_conn_open(struct upstream_pool *pool, struct upstream_peer *peer,
                       struct exchange *exchange, enum upstream_version version,
                       struct upstream_conn **ret);

/* Closes, and forgets its exchange; twice is harmless. */
void upstream_conn_close(struct upstream_conn *conn);

#endif
