/* upstream_http2.h - connections to a target that speak HTTP/2, shared by a worker's exchanges:
 * each has a lane, which is one stream.
 *
 * http/http2_client.h knows the protocol; this has its sessions' sockets and says which connection
 * a lane is on: any to the same peer that has room, one that is still connecting too, else a new
 * one. Frames are sent once a turn of the loop. A connection that the target takes leave of
 * (GOAWAY), or that fell silent, gets no new lanes and is closed with its last one.
 *
 * Thread: its worker's. Memory: a block for each connection, owned by its upstream_conn, and one
 * for each lane, from the worker's spare list. */
#ifndef PROXY_UPSTREAM_HTTP2_H
#define PROXY_UPSTREAM_HTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"
#include "http/http2.h"

struct exchange;
struct upstream_conn;
struct upstream_http2;
struct upstream_peer;
struct upstream_pool;
struct worker;

/* Of the exchange that has it: what it does to its upstream. */
struct upstream_lane {
    struct list link; /* its connection's, later the spare list */
    struct upstream_http2 *http2;
    struct exchange *exchange;
    struct http2_stream stream;
    uint64_t sent_ms;
    bool is_open;   /* the stream is: the request's head was sent */
    bool is_failed; /* told: nothing comes any more */
};

/* A lane to the pool's target. 1: on a connection that is there; 0: one is being made, and
 * exchange_connected tells later how that went; or a negative UV_E…. needs_new: on a connection of
 * its own. */
int upstream_lane_lease(struct upstream_pool *pool, struct upstream_peer *peer,
                        struct exchange *exchange, bool needs_new, struct upstream_lane **ret);
/* Only on a connection that is there; NULL: none has room. */
struct upstream_lane *upstream_lane_find(struct upstream_pool *pool, struct upstream_peer *peer,
                                         struct exchange *exchange);
/* The exchange's own connection has turned out to speak HTTP/2 (ALPN): it is shared from now on,
 * and the exchange has its first lane. 0, or a negative UV_E…, and the connection is the
 * exchange's still. */
int upstream_lane_take_over(struct upstream_conn *conn, struct upstream_lane **ret);
/* The exchange is done with it: what is not over is cancelled. was_silent: it waited in vain. */
void upstream_lane_close(struct upstream_lane *lane, bool was_silent);
bool upstream_lane_is_connecting(const struct upstream_lane *lane);
/* Its connection was idle before: what becomes of it may be the usual end of such a one. */
bool upstream_lane_is_alone(const struct upstream_lane *lane);

/* A head as HTTP/1 writes it, in memory that may be written to. is_last: and nothing else. These
 * return 0, or a negative UV_E… when nothing can be written any more. */
int upstream_lane_head(struct upstream_lane *lane, struct str head, bool is_last);
int upstream_lane_content(struct upstream_lane *lane, const struct str *pieces, unsigned count);
int upstream_lane_end(struct upstream_lane *lane, struct str trailers);
void upstream_lane_read(struct upstream_lane *lane, bool is_wanted);

static inline size_t upstream_lane_queued(const struct upstream_lane *lane)
{
    return lane->stream.queued;
}

/* What happens to a connection; for upstream_conn.c. */
void upstream_http2_connected(struct upstream_http2 *http2, int error, const char *reason);
void upstream_http2_take(struct upstream_http2 *http2, const char *bytes, size_t len);
void upstream_http2_ended(struct upstream_http2 *http2, int error);
void upstream_http2_drained(struct upstream_http2 *http2, int error);
void upstream_http2_destroy(struct upstream_http2 *http2); /* its lanes are closed */
/* Of a pool's `shared` one without lanes; NULL: there is none. */
struct upstream_conn *upstream_http2_find_idle(const struct list *shared);

/* Sends what connections have to say; before the worker's loop sleeps. */
void upstream_http2_flush_all(struct worker *worker);
/* For the spare list's end. */
void upstream_lane_free(struct list *link);

#endif
