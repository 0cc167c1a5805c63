/* upstream_pool.h - a worker's connections to one target: idle ones are leased last in, first out.
 *
 * A pool lives while a connection or an exchange uses it; the worker's place in the target's
 * slots[] points to it.
 *
 * Thread: its worker's. Memory: one small block; holds references to its target and upstream. */
#ifndef PROXY_UPSTREAM_POOL_H
#define PROXY_UPSTREAM_POOL_H

#include <stdint.h>

#include "base/list.h"

struct worker;
struct target_state;
struct upstream_state;
struct upstream_conn;
struct upstream_peer;
struct exchange;

struct upstream_pool {
    struct list link; /* worker->pools */
    struct worker *worker;
    struct upstream_state *upstream; /* referenced */
    struct target_state *target;     /* referenced */
    struct list idle;                /* the one used last is first */
    struct list shared;              /* those that speak HTTP/2, the newest first */
    uint32_t shared_streams; /* that the target allowed on the last of them; 0: none known */
    unsigned conn_count;     /* idle, connecting and busy */
    unsigned user_count;     /* exchanges that chose this target */
};

/* The pool of a target, made if need be, with the caller counted in as a user; NULL when memory is
 * short. */
struct upstream_pool *upstream_pool_join(struct worker *worker, struct upstream_state *upstream,
                                         struct target_state *target);
void upstream_pool_leave(struct upstream_pool *pool);

/* An idle connection for the exchange, to that peer (NULL: without TLS), or NULL. */
struct upstream_conn *upstream_pool_lease(struct upstream_pool *pool, struct upstream_peer *peer,
                                          struct exchange *exchange);

/* The exchange is done with a connection that can carry another: it becomes idle, or is closed
 * where the target is gone, a limit says so, or requests at another worker wait for its place. */
void upstream_pool_release(struct upstream_conn *conn);

/* A shared connection has got a lane: it isn't idle any more. */
void upstream_pool_take_from_idle(struct upstream_conn *conn);

/* Bookkeeping of upstream_conn.c. */
void upstream_pool_add(struct upstream_pool *pool, struct upstream_conn *conn);
void upstream_pool_remove(struct upstream_conn *conn); /* the pool may be gone after it */

/* Connections that carry no requests (proxy/relay.h) are counted here and kept by their owner. */
void upstream_pool_count_in(struct upstream_pool *pool);
void upstream_pool_count_out(struct upstream_pool *pool); /* the pool may be gone after it */

/* The target left: what is idle is closed. */
void upstream_pool_close_idle(struct upstream_pool *pool);
/* A connection is about to be opened though some are idle, which don't fit: where the target has as
 * many as it may, one of those goes. For a pool that the caller has joined. */
void upstream_pool_make_way(struct upstream_pool *pool);
/* Another worker's requests wait for a connection to a target that has as many as it may: of those
 * that are idle here, one is closed for each such target. */
void upstream_pool_make_room(struct worker *worker);
/* Closes what has been idle for too long; a timer's callback on worker->idle_sweep. */
struct timer_node;
void upstream_pool_on_sweep(struct timer_node *node);
/* The worker ends: every idle connection goes. */
void upstream_pool_close_all(struct worker *worker);

#endif
