/* connection.h - one client of the Admin API: reads its requests one after another, has each
 * answered, and closes.
 *
 * Requests that came together (pipelining) are answered one by one in their order: while one is
 * under way nothing is read, so a connection holds at most one request and one answer.
 *
 * Thread: control. Memory: a connection frees itself when its handles have closed. */
#ifndef ADMIN_CONNECTION_H
#define ADMIN_CONNECTION_H

#include <stdbool.h>

#include <uv.h>

#include "base/list.h"
#include "net/stream.h"

struct admin_endpoints;
struct admin_node;
struct connection;
struct tls_server;

/* What the connections of one server share; the server's, embedded. */
struct connection_set {
    uv_loop_t *loop;
    const struct admin_node *node;
    struct admin_endpoints *endpoints; /* the server's */
    struct stream_buffer buffer;       /* the server's: where all read to */
    struct tls_server *tls;            /* the server's; NULL: no listener has TLS */
    struct list idle;                  /* waiting for a request, the longest first */
    struct list busy;                  /* within one */
    unsigned count;                    /* all that are not yet freed */
    bool is_closing;
    bool is_full; /* others wait for a place: answers end their connection */
    void (*on_freed)(struct connection_set *set);
};

/* Takes over a connection that waits at `listener`, with TLS unless `tls` is NULL. 0 or a negative
 * UV_E…. */
int connection_accept(struct connection_set *set, uv_stream_t *listener, struct tls_server *tls);
/* Closes the one that has been idle longest; false when none is. */
bool connection_close_idle(struct connection_set *set);
/* For room: closes the one that has kept us waiting longest, idle or with half a request; false
 * when all are being answered. */
bool connection_evict(struct connection_set *set);
void connection_close_all(struct connection_set *set);

#endif
