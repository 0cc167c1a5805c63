#include "proxy/hedge.h"

#include <assert.h>
#include <stdlib.h>

#include "balance/balancer.h"
#include "model/target_state.h"
#include "proxy/exchange.h"
#include "proxy/limits.h"
#include "proxy/outcome.h"
#include "proxy/pending.h"
#include "proxy/request.h"
#include "proxy/try.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_pool.h"
#include "proxy/worker_core.h"

/*   ARMED --time--> CONNECTING --> SENT --its answer came first, or the first try failed--> the try
 *                        '-----------'--the first try answered, or this one failed--> gone */
enum hedge_state { HEDGE_ARMED = 0, HEDGE_CONNECTING, HEDGE_SENT };

struct hedge {
    struct list link; /* the spare list */
    struct timer_node timer;
    struct exchange *x;
    enum hedge_state state;
    struct upstream_pool *pool; /* from CONNECTING on, as is the connection */
    struct upstream_conn *conn;
    bool is_reused;
    uint64_t sent_ms;
};

/* The measured delay: microseconds below which the configured share of answers comes. It moves with
 * each sample by a part of itself, up by p and down by 1 - p, so that it rests where 1 - p of the
 * samples are above it. */
#define FIRST_DELAY_US 100000
#define LEAST_DELAY_US 10000 /* below, the clock's milliseconds and chance decide */
#define STEP_PART 32

static struct upstream_state *upstream_of(const struct exchange *x)
{
    return x->match.route->service->upstream;
}

static const struct balancing *balancing_of(const struct exchange *x)
{
    return upstream_state_endpoints(upstream_of(x))->balancing;
}

void hedge_learn(const struct exchange *x, uint64_t waited_ms)
{
    const struct balancing *balancing = balancing_of(x);
    if (!balancing || balancing->hedge_delay_ms > 0)
        return;
    _Atomic uint32_t *word = &upstream_of(x)->hedge_delay_us;
    double delay = atomic_load_explicit(word, memory_order_relaxed);
    if (delay == 0)
        delay = FIRST_DELAY_US;
    double share = balancing->hedge_percentile / 100, step = delay / STEP_PART;
    delay += (double)waited_ms * 1000 > delay ? step * share : -step * (1 - share);
    if (delay < LEAST_DELAY_US)
        delay = LEAST_DELAY_US;
    if (delay > UINT32_MAX / 2.0)
        delay = UINT32_MAX / 2.0;
    /* Of two workers that do this at once, one's sample is lost: there are more. */
    atomic_store_explicit(word, (uint32_t)delay, memory_order_relaxed);
}

static uint64_t delay_ms(const struct exchange *x)
{
    const struct balancing *balancing = balancing_of(x);
    if (balancing->hedge_delay_ms > 0)
        return balancing->hedge_delay_ms;
    uint32_t us = atomic_load_explicit(&upstream_of(x)->hedge_delay_us, memory_order_relaxed);
    return (us ? us : FIRST_DELAY_US) / 1000;
}

/* --- its end --- */

static void give_back(struct exchange *x)
{
    struct hedge *hedge = x->hedge;
    x->hedge = NULL;
    timer_wheel_disarm(&x->worker->hedge_wheel, &hedge->timer);
    if (!spare_list_keep(&x->worker->spare_hedges, &hedge->link))
        free(hedge);
}

/* Only compared: a later try goes elsewhere. */
static void note_tried(struct exchange *x, struct target_state *target)
{
    if (x->tried_count < RETRY_MAX_TRIES)
        x->tried[x->tried_count++] = target;
}

static void leave(struct exchange *x, enum balancer_result result)
{
    struct hedge *hedge = x->hedge;
    const struct balancer_report report = {
        .worker_index = x->worker->index,
        .now_ms = worker_now(x->worker),
        .result = result,
        .waited_ms = hedge->state == HEDGE_SENT ? worker_now(x->worker) - hedge->sent_ms : 0,
    };
    balancer_report(upstream_of(x), hedge->pool->target, &report);
    note_tried(x, hedge->pool->target);
    if (hedge->conn)
        upstream_conn_close(hedge->conn);
    upstream_pool_leave(hedge->pool);
    pending_call_waiters(upstream_of(x));
    give_back(x);
}

void hedge_cancel(struct exchange *x)
{
    if (x->hedge->state == HEDGE_ARMED)
        give_back(x);
    else
        leave(x, BALANCER_UNTOLD);
}

static void fail(struct exchange *x, bool is_fault)
{
    if (is_fault)
        outcome_tell_second(x, x->hedge->pool->target, 0);
    leave(x, is_fault ? BALANCER_BAD : BALANCER_UNTOLD);
}

/* --- its beginning --- */

static bool may_be_hedged(const struct exchange *x)
{
    return retry_is_idempotent(x->request.method) && !x->request.has_upgrade && !x->is_trial &&
           !x->has_hedged;
}

static bool is_worth_it(const struct exchange *x)
{
    return x->response_part == RESPONSE_HEAD && !x->has_news && !x->has_failed &&
           !x->has_responded && x->request_part == REQUEST_DONE && x->is_replayable &&
           upstream_state_endpoints(upstream_of(x))->taker_count > 1;
}

static struct target_state *choose(struct exchange *x)
{
    struct target_state *tried[RETRY_MAX_TRIES + 1];
    for (unsigned i = 0; i < x->tried_count; i++)
        tried[i] = x->tried[i];
    tried[x->tried_count] = x->pool->target;
    struct balancer_query query = {
        .worker_index = x->worker->index,
        .now_ms = worker_now(x->worker),
        .random = &x->worker->random,
        .tried = tried,
        .tried_count = x->tried_count + 1,
        .has_hash = x->has_hash,
        .hash = x->hash,
    };
    return balancer_pick(upstream_of(x), &query);
}

static void send_second(struct exchange *x)
{
    struct hedge *hedge = x->hedge;
    hedge->state = HEDGE_SENT;
    hedge->sent_ms = worker_now(x->worker);
    if (request_send_to(x, hedge->pool->target, hedge->conn))
        fail(x, !hedge->is_reused);
}

static void lease(struct exchange *x)
{
    struct hedge *hedge = x->hedge;
    struct upstream_peer *peer;
    if (try_find_peer(x, hedge->pool->target, &peer)) {
        fail(x, false);
        return;
    }
    hedge->conn = upstream_pool_lease(hedge->pool, peer, x);
    hedge->is_reused = hedge->conn != NULL;
    if (!hedge->conn)
        upstream_pool_make_way(hedge->pool);
    if (!hedge->conn && upstream_conn_open(hedge->pool, peer, x, UPSTREAM_HTTP1, &hedge->conn)) {
        fail(x, true);
        return;
    }
    hedge->conn->is_hedge = true;
    if (hedge->is_reused)
        send_second(x);
}

static void begin(struct exchange *x)
{
    struct upstream_state *upstream = upstream_of(x);
    struct target_state *target = NULL;
    uint64_t now_ms = worker_now(x->worker);
    if (is_worth_it(x) && !limits_take_retry(&upstream->per_worker[x->worker->index], now_ms))
        upstream_state_count(upstream, UPSTREAM_RETRY_DENIED);
    else if (is_worth_it(x))
        target = choose(x);
    struct upstream_pool *pool = target ? upstream_pool_join(x->worker, upstream, target) : NULL;
    if (target && !pool) {
        const struct balancer_report report = {
            .worker_index = x->worker->index, .now_ms = now_ms, .result = BALANCER_UNTOLD};
        balancer_report(upstream, target, &report);
    }
    if (!pool) {
        give_back(x);
        return;
    }
    upstream_state_count(upstream, UPSTREAM_HEDGE);
    x->has_hedged = true;
    x->try_count++;
    x->hedge->pool = pool;
    x->hedge->state = HEDGE_CONNECTING;
    lease(x);
}

static void on_due(struct timer_node *node)
{
    begin(LIST_ENTRY(node, struct hedge, timer)->x);
}

static struct hedge *make(struct worker *worker)
{
    struct list *spare = spare_list_take(&worker->spare_hedges);
    return spare ? LIST_ENTRY(spare, struct hedge, link) : malloc(sizeof(struct hedge));
}

void hedge_arm(struct exchange *x)
{
    if (!may_be_hedged(x) || x->has_failed)
        return;
    struct hedge *hedge = make(x->worker);
    if (!hedge) /* then not */
        return;
    *hedge = (struct hedge){.x = x};
    list_init(&hedge->link);
    timer_node_init(&hedge->timer, on_due);
    x->hedge = hedge;
    timer_wheel_arm(&x->worker->hedge_wheel, &hedge->timer, delay_ms(x));
}

/* --- its outcome --- */

/* The first try is left: cancelled, or failed. */
static void become_the_try(struct exchange *x)
{
    struct hedge hedge = *x->hedge;
    struct target_state *first = x->pool->target;
    give_back(x);
    try_leave(x, false);
    note_tried(x, first);
    try_resume(x, hedge.pool, hedge.conn);
    hedge.conn->is_hedge = false;
    x->is_reused = hedge.is_reused;
    x->sent_ms = hedge.sent_ms;
    x->is_second = true;
    x->is_panicking =
        atomic_load_explicit(&x->pool->target->health, memory_order_relaxed) & TARGET_IN_PANIC;
}

bool hedge_take_over(struct exchange *x)
{
    if (x->hedge->state != HEDGE_SENT)
        return false;
    outcome_log_try(x, "the second try, which is under way");
    become_the_try(x);
    return true;
}

void hedge_free(struct list *link)
{
    free(LIST_ENTRY(link, struct hedge, link));
}

void hedge_connected(struct exchange *x, int error)
{
    if (error)
        fail(x, true);
    else
        send_second(x);
}

/* The status of an answer that the first try may still better, of "HTTP/1.1 5xx"; else 0. */
static uint16_t bad_status(const char *bytes, size_t len)
{
    uint64_t status = 0;
    bool is_whole = len >= 12 && str_to_u64(str_make(bytes + 9, 3), &status);
    return is_whole && status >= 500 ? (uint16_t)status : 0;
}

void hedge_upstream_bytes(struct exchange *x, const char *bytes, size_t len)
{
    uint16_t status = bad_status(bytes, len);
    if (status) {
        outcome_tell_second(x, x->hedge->pool->target, status);
        leave(x, BALANCER_BAD);
        return;
    }
    upstream_state_count(upstream_of(x), UPSTREAM_HEDGE_WON);
    become_the_try(x);
    exchange_upstream_bytes(x, bytes, len);
}

void hedge_upstream_ended(struct exchange *x, int error)
{
    (void)error;
    fail(x, !x->hedge->is_reused); /* a kept connection may end at any time */
}
