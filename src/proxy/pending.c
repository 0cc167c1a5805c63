#include "proxy/pending.h"

#include <stdlib.h>

#include "model/target_state.h"
#include "proxy/exchange.h"
#include "proxy/worker_core.h"

/*            pending_wait                     pending_serve, and a target has room
 *   at pick ---------------> in the queue --------------------------------------> on to its target
 *                                 '-- time is over, the client has left, no target any more --> out
 *
 * A worker that leaves a target reads upstream->pending after it has counted itself out, and one
 * whose request begins to wait counts the targets after it has written it: with a fence between the
 * two on either side, one of them sees the other. */

struct pending {
    struct list link;                /* worker->pendings */
    struct upstream_state *upstream; /* borrowed: the exchanges' configuration holds it */
    struct worker *worker;
    struct list exchanges; /* by their link; who came first is first */
    struct list places;    /* likewise: of streams */
    uint32_t count;        /* of both */
    bool is_serving;       /* it is being gone through, and must stay */
};

static struct upstream_slot *slot_of(const struct exchange *x)
{
    return &x->match.route->service->upstream->per_worker[x->worker->index];
}

static uint32_t count_of(const struct worker *worker, const struct upstream_state *upstream)
{
    const struct pending *pending = upstream->per_worker[worker->index].pending;
    return pending ? pending->count : 0;
}

bool pending_has_turn(const struct exchange *x)
{
    return __builtin_expect(!slot_of(x)->pending, 1) || x->is_called;
}

bool pending_has_others(const struct worker *worker, const struct upstream_state *upstream)
{
    return count_of(worker, upstream) == 0 &&
           atomic_load_explicit(&upstream->pending, memory_order_relaxed) > 0;
}

/* --- the queue --- */

static struct pending *open_queue(struct worker *worker, struct upstream_state *upstream)
{
    struct upstream_slot *slot = &upstream->per_worker[worker->index];
    struct pending *pending = slot->pending;
    if (pending)
        return pending;
    pending = calloc(1, sizeof(*pending));
    if (!pending)
        return NULL;
    pending->upstream = upstream;
    pending->worker = worker;
    list_init(&pending->exchanges);
    list_init(&pending->places);
    list_push_back(&worker->pendings, &pending->link);
    slot->pending = pending;
    atomic_store_explicit(&slot->waiter, worker, memory_order_release);
    return pending;
}

static void close_if_empty(struct pending *pending)
{
    if (pending->is_serving || pending->count > 0)
        return;
    struct upstream_slot *slot = &pending->upstream->per_worker[pending->worker->index];
    slot->pending = NULL;
    atomic_store_explicit(&slot->waiter, NULL, memory_order_relaxed);
    list_remove(&pending->link);
    free(pending);
}

/* A connection that is idle at another worker takes a place that is wanted here. */
static void ask_for_room(const struct worker *worker, const struct endpoints *endpoints)
{
    for (uint32_t i = 0; endpoints->max_connections > 0 && i < endpoints->count; i++) {
        struct target_state *target = endpoints->items[i].target;
        for (uint32_t k = 0; k < target->worker_count; k++) {
            struct worker *other =
                atomic_load_explicit(&target->slots[k].worker, memory_order_acquire);
            if (other && other != worker)
                worker_call(other);
        }
    }
}

/* One more waits: the queue to stand in, or NULL, as there is no room or no memory. */
static struct pending *enter(struct worker *worker, struct upstream_state *upstream,
                             const struct balancing *balancing)
{
    uint32_t before = atomic_fetch_add_explicit(&upstream->pending, 1, memory_order_seq_cst);
    struct pending *pending = before < balancing->max_pending ? open_queue(worker, upstream) : NULL;
    if (!pending) {
        atomic_fetch_sub_explicit(&upstream->pending, 1, memory_order_relaxed);
        upstream_state_count(upstream, UPSTREAM_PENDING_NO_ROOM);
        return NULL;
    }
    pending->count++;
    upstream_state_count(upstream, UPSTREAM_PENDING);
    atomic_thread_fence(memory_order_seq_cst);
    ask_for_room(worker, upstream_state_endpoints(upstream));
    return pending;
}

static void leave(struct pending *pending)
{
    pending->count--;
    atomic_fetch_sub_explicit(&pending->upstream->pending, 1, memory_order_relaxed);
    close_if_empty(pending);
}

enum pending_verdict pending_wait(struct exchange *x)
{
    struct upstream_state *upstream = x->match.route->service->upstream;
    const struct endpoints *endpoints = upstream_state_endpoints(upstream);
    if (x->is_pending && !x->has_waited_out)
        return PENDING_WAITS;
    if (x->is_pending) {
        pending_leave(x);
        upstream_state_count(upstream, UPSTREAM_PENDING_LATE);
        return PENDING_LATE;
    }
    if (!endpoints->balancing || endpoints->balancing->max_pending == 0 || x->tried_count > 0) {
        upstream_state_count(upstream, UPSTREAM_LIMITED);
        return PENDING_NO_QUEUE;
    }
    struct pending *pending = enter(x->worker, upstream, endpoints->balancing);
    if (!pending)
        return PENDING_NO_ROOM;
    list_remove(&x->link);
    list_push_back(&pending->exchanges, &x->link);
    x->is_pending = true;
    x->has_waited_out = false;
    deadline_set(&x->worker->wheel, &x->deadline, endpoints->balancing->pending_timeout_ms);
    return PENDING_NEW;
}

bool pending_is_alone(const struct exchange *x)
{
    const struct pending *pending = slot_of(x)->pending;
    return pending && pending->count == 1;
}

void pending_leave(struct exchange *x)
{
    if (!x->is_pending)
        return;
    x->is_pending = false;
    x->is_called = false;
    list_remove(&x->link);
    deadline_clear(&x->deadline);
    leave(slot_of(x)->pending);
}

/* --- streams --- */

bool pending_place_has_turn(const struct worker *worker, const struct upstream_state *upstream,
                            const struct pending_place *place)
{
    return !upstream->per_worker[worker->index].pending || place->is_called;
}

enum pending_verdict pending_place_take(struct worker *worker, struct upstream_state *upstream,
                                        struct pending_place *place, uint32_t *ret_wait_ms)
{
    const struct balancing *balancing = upstream_state_endpoints(upstream)->balancing;
    if (place->is_taken)
        return PENDING_WAITS;
    if (!balancing || balancing->max_pending == 0) {
        upstream_state_count(upstream, UPSTREAM_LIMITED);
        return PENDING_NO_QUEUE;
    }
    struct pending *pending = enter(worker, upstream, balancing);
    if (!pending)
        return PENDING_NO_ROOM;
    list_push_back(&pending->places, &place->link);
    place->is_taken = true;
    *ret_wait_ms = balancing->pending_timeout_ms;
    return PENDING_NEW;
}

bool pending_place_is_alone(const struct worker *worker, const struct upstream_state *upstream)
{
    return count_of(worker, upstream) == 1;
}

void pending_place_leave(struct worker *worker, struct upstream_state *upstream,
                         struct pending_place *place)
{
    if (!place->is_taken)
        return;
    place->is_taken = place->is_called = false;
    list_remove(&place->link);
    leave(upstream->per_worker[worker->index].pending);
}

/* --- waking --- */

void pending_call_waiters(struct upstream_state *upstream)
{
    if (!endpoints_are_limited(upstream_state_endpoints(upstream)))
        return;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&upstream->pending, memory_order_relaxed) == 0)
        return;
    for (uint32_t i = 0; i < upstream->worker_count; i++) {
        struct worker *worker =
            atomic_load_explicit(&upstream->per_worker[i].waiter, memory_order_acquire);
        if (worker)
            worker_call(worker);
    }
}

/* Those who came first go first: the first one that has to stay ends it, with false. */
static bool serve_exchanges(struct pending *pending)
{
    while (!list_is_empty(&pending->exchanges)) {
        struct list *first = pending->exchanges.next;
        struct exchange *x = LIST_ENTRY(first, struct exchange, link);
        x->is_called = true;
        exchange_endpoints_changed(x); /* it may be gone, and its memory another's */
        if (pending->exchanges.next == first && x->is_pending && x->is_called) {
            x->is_called = false;
            return false;
        }
    }
    return true;
}

static void serve_places(struct pending *pending)
{
    while (!list_is_empty(&pending->places)) {
        struct list *first = pending->places.next;
        struct pending_place *place = LIST_ENTRY(first, struct pending_place, link);
        place->is_called = true;
        place->look_again(place); /* likewise */
        if (pending->places.next == first && place->is_called) {
            place->is_called = false;
            break;
        }
    }
}

static void serve(struct pending *pending)
{
    pending->is_serving = true;
    if (serve_exchanges(pending))
        serve_places(pending);
    pending->is_serving = false;
    close_if_empty(pending);
}

void pending_serve(struct worker *worker)
{
    LIST_EACH(link, &worker->pendings)
    serve(LIST_ENTRY(link, struct pending, link));
}
