#include "proxy/upstream_pool.h"

#include <assert.h>
#include <stdlib.h>

#include "model/target_state.h"
#include "model/upstream_state.h"
#include "proxy/pending.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_http2.h"
#include "proxy/worker_core.h"

#define SWEEP_INTERVAL_MS 1000

static struct target_slot *slot_of(const struct upstream_pool *pool)
{
    return &pool->target->slots[pool->worker->index];
}

/* The worker alone writes the count. */
static void count_connections(const struct upstream_pool *pool)
{
    atomic_store_explicit(&slot_of(pool)->connections, pool->conn_count, memory_order_relaxed);
}

static void free_if_unused(struct upstream_pool *pool)
{
    if (pool->conn_count > 0 || pool->user_count > 0)
        return;
    list_remove(&pool->link);
    slot_of(pool)->pool = NULL;
    atomic_store_explicit(&slot_of(pool)->worker, NULL, memory_order_relaxed);
    target_state_unref(pool->target);
    upstream_state_unref(pool->upstream);
    free(pool);
}

static bool is_gone(const struct upstream_pool *pool)
{
    return atomic_load_explicit(&pool->target->gone, memory_order_relaxed);
}

/* --- users --- */

struct upstream_pool *upstream_pool_join(struct worker *worker, struct upstream_state *upstream,
                                         struct target_state *target)
{
    struct upstream_pool *pool = target->slots[worker->index].pool;
    if (!pool) {
        pool = calloc(1, sizeof(*pool));
        if (!pool)
            return NULL;
        pool->worker = worker;
        pool->upstream = upstream_state_ref(upstream);
        pool->target = target_state_ref(target);
        list_init(&pool->idle);
        list_init(&pool->shared);
        list_push_back(&worker->pools, &pool->link);
        target->slots[worker->index].pool = pool;
        atomic_store_explicit(&target->slots[worker->index].worker, worker, memory_order_release);
    }
    pool->user_count++;
    return pool;
}

void upstream_pool_leave(struct upstream_pool *pool)
{
    pool->user_count--;
    free_if_unused(pool);
}

/* --- idle connections --- */

static void take_from_idle(struct upstream_conn *conn)
{
    list_remove(&conn->link);
    list_remove(&conn->age);
    conn->worker->idle_upstream_count--;
    slot_of(conn->pool)->idle_connections--;
    worker_count(&conn->worker->stats.upstream_idle, -1);
}

/* Nearly always the first: services that share a target mostly speak to it in one way. */
static struct upstream_conn *find_idle(const struct upstream_pool *pool,
                                       const struct upstream_peer *peer)
{
    LIST_EACH(link, &pool->idle)
    {
        struct upstream_conn *conn = LIST_ENTRY(link, struct upstream_conn, link);
        if (conn->peer == peer)
            return conn;
    }
    return NULL;
}

struct upstream_conn *upstream_pool_lease(struct upstream_pool *pool, struct upstream_peer *peer,
                                          struct exchange *exchange)
{
    struct upstream_conn *conn = find_idle(pool, peer);
    if (!conn)
        return NULL;
    take_from_idle(conn);
    conn->state = UPSTREAM_BUSY;
    conn->exchange = exchange;
    return conn;
}

void upstream_pool_take_from_idle(struct upstream_conn *conn)
{
    take_from_idle(conn);
    conn->state = UPSTREAM_BUSY;
}

/* Idle, the connection would take a place from requests that wait at another worker. */
static bool is_wanted_elsewhere(const struct upstream_pool *pool)
{
    return __builtin_expect(upstream_state_endpoints(pool->upstream)->max_connections > 0, 0) &&
           pending_has_others(pool->worker, pool->upstream);
}

static bool may_stay(const struct upstream_conn *conn)
{
    const struct worker *worker = conn->worker;
    return worker->state == WORKER_RUNNING && !is_gone(conn->pool) &&
           !is_wanted_elsewhere(conn->pool) && worker->settings.upstream_pool_size > 0 &&
           conn->request_count < worker->settings.upstream_max_requests;
}

void upstream_pool_release(struct upstream_conn *conn)
{
    struct worker *worker = conn->worker;
    if (!may_stay(conn) || stream_start_reading(&conn->stream)) {
        upstream_conn_close(conn);
        return;
    }
    if (worker->idle_upstream_count >= worker->settings.upstream_pool_size)
        upstream_conn_close(LIST_ENTRY(worker->idle_upstreams.next, struct upstream_conn, age));

    conn->state = UPSTREAM_IDLE;
    conn->exchange = NULL;
    conn->idle_since_ms = worker_now(worker);
    if (!conn->http2)
        list_push_front(&conn->pool->idle, &conn->link);
    list_push_back(&worker->idle_upstreams, &conn->age);
    worker->idle_upstream_count++;
    slot_of(conn->pool)->idle_connections++;
    worker_count(&worker->stats.upstream_idle, 1);
    if (!list_is_linked(&worker->idle_sweep.link))
        timer_wheel_arm(&worker->wheel, &worker->idle_sweep, SWEEP_INTERVAL_MS);
}

void upstream_pool_on_sweep(struct timer_node *node)
{
    struct worker *worker = LIST_ENTRY(node, struct worker, idle_sweep);
    uint64_t now_ms = worker_now(worker);
    while (!list_is_empty(&worker->idle_upstreams)) {
        struct upstream_conn *oldest =
            LIST_ENTRY(worker->idle_upstreams.next, struct upstream_conn, age);
        if (now_ms - oldest->idle_since_ms < worker->settings.upstream_idle_timeout_ms)
            break;
        upstream_conn_close(oldest);
    }
    if (!list_is_empty(&worker->idle_upstreams))
        timer_wheel_arm(&worker->wheel, &worker->idle_sweep, SWEEP_INTERVAL_MS);
}

static struct upstream_conn *oldest_idle(const struct upstream_pool *pool)
{
    return list_is_empty(&pool->idle) ? upstream_http2_find_idle(&pool->shared)
                                      : LIST_ENTRY(pool->idle.prev, struct upstream_conn, link);
}

void upstream_pool_close_idle(struct upstream_pool *pool)
{
    pool->user_count++; /* it must not go under the loop's feet */
    for (struct upstream_conn *conn; (conn = oldest_idle(pool)) != NULL;)
        upstream_conn_close(conn);
    upstream_pool_leave(pool);
}

static bool is_at_limit(const struct upstream_pool *pool)
{
    uint32_t max = upstream_state_endpoints(pool->upstream)->max_connections, sum = 0;
    for (uint32_t i = 0; i < pool->target->worker_count; i++)
        sum += atomic_load_explicit(&pool->target->slots[i].connections, memory_order_relaxed);
    return max > 0 && sum >= max;
}

void upstream_pool_make_way(struct upstream_pool *pool)
{
    struct upstream_conn *conn = oldest_idle(pool);
    if (conn && is_at_limit(pool))
        upstream_conn_close(conn);
}

void upstream_pool_make_room(struct worker *worker)
{
    LIST_EACH(link, &worker->pools)
    {
        struct upstream_pool *pool = LIST_ENTRY(link, struct upstream_pool, link);
        struct upstream_conn *conn = oldest_idle(pool);
        if (conn && pending_has_others(worker, pool->upstream) && is_at_limit(pool))
            upstream_conn_close(conn);
    }
}

void upstream_pool_close_all(struct worker *worker)
{
    while (!list_is_empty(&worker->idle_upstreams))
        upstream_conn_close(LIST_ENTRY(worker->idle_upstreams.next, struct upstream_conn, age));
}

/* --- for upstream_conn.c --- */

void upstream_pool_count_in(struct upstream_pool *pool)
{
    pool->conn_count++;
    count_connections(pool);
    worker_count(&pool->worker->stats.upstream_opened, 1);
    worker_count(&pool->worker->stats.upstream_open, 1);
}

void upstream_pool_count_out(struct upstream_pool *pool)
{
    assert(pool->conn_count > 0);
    pool->conn_count--;
    count_connections(pool);
    pending_call_waiters(pool->upstream);
    worker_count(&pool->worker->stats.upstream_open, -1);
    free_if_unused(pool);
}

void upstream_pool_add(struct upstream_pool *pool, struct upstream_conn *conn)
{
    conn->pool = pool;
    upstream_pool_count_in(pool);
}

void upstream_pool_remove(struct upstream_conn *conn)
{
    struct upstream_pool *pool = conn->pool;
    if (conn->state == UPSTREAM_IDLE)
        take_from_idle(conn);
    conn->pool = NULL;
    upstream_pool_count_out(pool);
}
