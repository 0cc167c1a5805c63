/* upstream_state.h - what outlives every update of an upstream: the pointer to its endpoints, and
 * each worker's place on the wheel.
 *
 * Thread: created and swapped by control; workers read. per_worker[n] belongs to worker n.
 * Memory: reference-counted; snapshots and the discovery registry hold references. */
#ifndef MODEL_UPSTREAM_STATE_H
#define MODEL_UPSTREAM_STATE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/str.h"
#include "model/endpoints.h"

struct pool_health; /* health/pool_health.h */

/* What a worker keeps of an upstream: a cache line each, so that workers don't disturb one another.
 */
struct upstream_slot {
    alignas(64) uint32_t cursor; /* its place on the wheel */
    uint32_t in_flight;          /* exchanges that have chosen one of the targets */
    uint32_t typical; /* how long answers take, and how many are bad: balance/outlier.h */
    uint32_t bad_share;
    uint64_t first_tries; /* counted for what may be repeated: proxy/limits.h */
    uint64_t budget_tries;
    uint64_t budget_ms;
    uint32_t budget_shared;
    uint32_t budget_floor;
    void *pending;          /* the worker's requests that wait: proxy/pending.h; NULL: none */
    _Atomic(void *) waiter; /* who that is, while there are some */
};

/* What happens seldom is counted here, by all workers, for metrics. */
enum upstream_event {
    UPSTREAM_RETRY = 0,       /* a try was repeated at another target */
    UPSTREAM_RETRY_DENIED,    /* it would have been, but the budget was spent */
    UPSTREAM_LIMITED,         /* a request was refused at once: all targets at their limit */
    UPSTREAM_PENDING,         /* a request had to wait for a target */
    UPSTREAM_PENDING_LATE,    /* it waited in vain */
    UPSTREAM_PENDING_NO_ROOM, /* it was refused, as too many waited */
    UPSTREAM_HEDGE,           /* a second try was begun beside the first */
    UPSTREAM_HEDGE_WON,       /* it answered first */
    UPSTREAM_EVENT_COUNT,
};

struct upstream_state {
    _Atomic uint32_t refs;
    _Atomic(struct endpoints *) endpoints; /* owned; never NULL */
    char *name;                            /* owned; for logs */
    _Atomic uint32_t trials;               /* targets that offer one (health/trial.h) */
    struct pool_health *health;            /* control's alone, borrowed; NULL once withdrawn */
    uint32_t worker_count;
    alignas(64) _Atomic uint32_t pending; /* requests that wait, of all workers */
    _Atomic uint32_t hedge_delay_us;      /* measured: proxy/hedge.h; 0: not yet */
    _Atomic uint64_t events[UPSTREAM_EVENT_COUNT];
    struct upstream_slot per_worker[];
};

/* With pending endpoints; the caller owns the first reference. 0 or UV_ENOMEM. */
int upstream_state_create(struct str name, uint32_t worker_count, struct upstream_state **ret);
struct upstream_state *upstream_state_ref(struct upstream_state *upstream);
void upstream_state_unref(struct upstream_state *upstream); /* NULL is fine */

/* The array of this moment: borrowed until the calling loop callback returns, no longer. */
static inline struct endpoints *upstream_state_endpoints(struct upstream_state *upstream)
{
    return atomic_load_explicit(&upstream->endpoints, memory_order_acquire);
}

static inline void upstream_state_count(struct upstream_state *upstream, enum upstream_event event)
{
    atomic_fetch_add_explicit(&upstream->events[event], 1, memory_order_relaxed);
}

/* Control publishes `endpoints` (ownership passes) and gets the old array, which it may destroy
 * only after every worker has turned its loop. */
struct endpoints *upstream_state_swap(struct upstream_state *upstream, struct endpoints *endpoints);

#endif
