/* worker_core.h - what the files of proxy/ share of a worker; all others see worker.h.
 *
 * Thread: the worker's own, but for what is marked _Atomic and the functions of worker.h.
 * Memory: one block, owned by control through worker.h. */
#ifndef PROXY_WORKER_CORE_H
#define PROXY_WORKER_CORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "base/list.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/tally.h"
#include "base/timer_wheel.h"
#include "model/snapshot.h"
#include "net/listener.h"
#include "net/stream.h"
#include "proxy/acceptor.h"
#include "proxy/deadline.h"
#include "proxy/outcome.h"
#include "proxy/retry.h"
#include "proxy/spares.h"
#include "proxy/wall_clock.h"
#include "proxy/worker.h"

#define WORKER_READ_BYTES 65536u
#define WORKER_TICK_MS 100

struct access_log;
struct stream_pipe;
struct upstream_peer;
struct tls_server;

/* A snapshot in use by this worker: its exchanges are counted here, without atomics. */
struct snapshot_use {
    struct snapshot *snapshot; /* referenced */
    uint32_t exchange_count;
    bool is_current;
};

/* Written by this worker alone, read by anyone: no atomic addition is needed. */
struct worker_stats {
    _Atomic uint64_t connections_accepted;
    _Atomic uint64_t connections_active;
    _Atomic uint64_t connections_waiting;
    _Atomic uint64_t streams_accepted;
    _Atomic uint64_t streams_active;
    _Atomic uint64_t accept_pauses;
    _Atomic uint64_t requests_total;
    _Atomic uint64_t exchanges_active;
    _Atomic uint64_t tls_handshakes;
    _Atomic uint64_t tls_resumed;
    _Atomic uint64_t tls_failed;
    struct tally tls_failures; /* of these, by reason */
    metrics_cell http2_connections;
    metrics_cell failures[TRY_FAILURE_COUNT];
    metrics_cell upstream_opened; /* connections begun */
    metrics_cell upstream_http2;  /* of these, those that speak HTTP/2 */
    metrics_cell upstream_reused; /* tries on a kept one */
    metrics_cell upstream_open;   /* at this moment */
    metrics_cell upstream_idle;
    struct tally refused;        /* bad requests, by status and reason */
    struct tally answered;       /* by weir itself, by status and message */
    struct tally streams_failed; /* by status and reason */
};

#define UPSTREAM_PEER_BUCKETS 256

/* upstream_peer.c's. */
struct upstream_peers {
    struct upstream_peer *buckets[UPSTREAM_PEER_BUCKETS];
    struct list by_age;
    unsigned count;
};

/*   RUNNING --worker_stop--> STOPPING --no client left--> ENDING --handles closed--> loop ends */
enum worker_state { WORKER_RUNNING = 0, WORKER_STOPPING, WORKER_ENDING };

struct worker {
    uv_loop_t loop;
    uv_thread_t thread;
    unsigned index;
    enum worker_state state;
    struct worker_settings settings;
    struct mailbox mailbox;
    struct timer_wheel wheel;
    struct timer_wheel hedge_wheel; /* finer */
    struct wall_clock clock;
    struct random_state random;
    struct acceptor acceptors[ACCEPTOR_MAX]; /* those for requests first */
    bool is_full; /* clients were at their limit, and are still near it */

    struct stream_buffer read_buffer; /* owned; every read of this thread lands here */
    struct stream_pipe *pipe;         /* owned; NULL: none could be had */
    struct tls_server *tls;           /* owned; NULL: no listener is TLS */
    struct tls_server *stream_tls;    /* the same for streams */
    char *scratch;                    /* owned; where heads are written before they are sent */
    size_t scratch_bytes;

    _Atomic(struct snapshot *) next; /* a reference handed over by control, or NULL */
    struct snapshot_use *config;     /* NULL until the first snapshot */
    uv_async_t config_news;
    uv_async_t calls;   /* other workers', see worker_call */
    uv_prepare_t flush; /* runs while anything is dirty */

    struct list clients;           /* every downstream */
    struct list dirty_multiplexes; /* that have frames to send, perhaps */
    struct list dirty_upstreams;   /* the same of connections to targets */
    struct list relays;            /* every stream */
    struct list waiting_relays;    /* those that wait for an upstream's first endpoints */
    struct list parked;            /* exchanges that wait for an upstream's first endpoints */
    struct list pendings;          /* queues of exchanges that wait for a free target */
    struct list pools;
    struct upstream_peers peers;
    struct list idle_upstreams; /* upstream connections, the one idle for longest first */
    unsigned idle_upstream_count;
    struct timer_node idle_sweep;
    struct spare_list spare_clients;
    struct spare_list spare_exchanges;
    struct spare_list spare_upstreams;
    struct spare_list spare_replies;
    struct spare_list spare_hedges;
    struct spare_list spare_lanes;
    struct timer_node spares_look;

    struct access_log *access_log; /* owned; NULL: off */
    struct failure_limit failure_limit;
    struct worker_stats stats;

    struct timer_node grace;
    struct mail stop_mail;
    struct mail reopen_mail;
    _Atomic bool is_reopening; /* the mail is on its way */
    uint32_t grace_ms;
    void (*on_stopped)(void *arg);
    void *on_stopped_arg;
};

static inline uint64_t worker_now(const struct worker *worker)
{
    return uv_now(&worker->loop);
}

static inline void worker_count(_Atomic uint64_t *counter, int64_t by)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + (uint64_t)by, memory_order_relaxed);
}

/* The configuration of this moment for a new exchange, which is counted in; NULL before the first.
 */
struct snapshot_use *worker_lease_config(struct worker *worker);
void worker_release_config(struct worker *worker, struct snapshot_use *config);
/* The same for a look at it, within the current callback. */
const struct snapshot *worker_look_at_config(struct worker *worker);

/* Places that requests wait for may be free, or are wanted by another worker's: it looks after
 * both soon. On any worker's thread; no worker is gone before all have stopped. */
static inline void worker_call(struct worker *worker)
{
    uv_async_send(&worker->calls);
}

/* What is dirty is looked after before the loop waits for events again. */
void worker_flush_soon(struct worker *worker);

/* The last client has gone: a worker that is stopping ends its loop. */
void worker_client_gone(struct worker *worker);

#endif
