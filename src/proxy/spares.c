#include "proxy/spares.h"

#include <malloc.h>
#include <stdlib.h>

#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/hedge.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_http2.h"
#include "proxy/worker_core.h"

/* A handful of each kind stays for good. */
#define KEPT_ALWAYS 16
/* So many structs free pages enough to hand them to the kernel, which takes a system call or more.
 */
#define WORTH_A_TRIM 64

static void free_client(struct list *link)
{
    free(LIST_ENTRY(link, struct downstream, link));
}

static void free_upstream(struct list *link)
{
    free(LIST_ENTRY(link, struct upstream_conn, link));
}

static void free_reply(struct list *link)
{
    free(LIST_ENTRY(link, struct reply, link));
}

static void free_exchange(struct list *link)
{
    exchange_destroy(LIST_ENTRY(link, struct exchange, link));
}

static void free_some(struct spare_list *spares, void (*free_one)(struct list *), unsigned count)
{
    for (; count > 0; count--)
        free_one(spare_list_take(spares));
    spares->least = spares->count;
}

/* Frees what was not needed since the last look; returns how many structs that were. */
static unsigned shed(struct spare_list *spares, void (*free_one)(struct list *))
{
    unsigned count = spares->least > KEPT_ALWAYS ? spares->least - KEPT_ALWAYS : 0;
    free_some(spares, free_one, count);
    return count;
}

static bool has_more_than_kept(const struct worker *worker)
{
    return worker->spare_clients.count > KEPT_ALWAYS ||
           worker->spare_upstreams.count > KEPT_ALWAYS ||
           worker->spare_hedges.count > KEPT_ALWAYS || worker->spare_lanes.count > KEPT_ALWAYS ||
           worker->spare_replies.count > KEPT_ALWAYS || worker->spare_exchanges.count > KEPT_ALWAYS;
}

static void on_look(struct timer_node *node)
{
    struct worker *worker = LIST_ENTRY(node, struct worker, spares_look);
    unsigned freed = shed(&worker->spare_clients, free_client);
    freed += shed(&worker->spare_upstreams, free_upstream);
    freed += shed(&worker->spare_hedges, hedge_free);
    freed += shed(&worker->spare_lanes, upstream_lane_free);
    freed += shed(&worker->spare_replies, free_reply);
    freed += shed(&worker->spare_exchanges, free_exchange);
    if (freed >= WORTH_A_TRIM)
        malloc_trim(0);
    if (has_more_than_kept(worker))
        spares_look_later(worker);
}

void spares_look_later(struct worker *worker)
{
    if (!list_is_linked(&worker->spares_look.link) && worker->state == WORKER_RUNNING)
        timer_wheel_arm(&worker->wheel, &worker->spares_look, SPARES_INTERVAL_MS);
}

void spares_init(struct worker *worker)
{
    list_init(&worker->spare_clients.items);
    list_init(&worker->spare_exchanges.items);
    list_init(&worker->spare_upstreams.items);
    list_init(&worker->spare_replies.items);
    list_init(&worker->spare_hedges.items);
    list_init(&worker->spare_lanes.items);
    timer_node_init(&worker->spares_look, on_look);
}

void spares_free(struct worker *worker)
{
    free_some(&worker->spare_clients, free_client, worker->spare_clients.count);
    free_some(&worker->spare_upstreams, free_upstream, worker->spare_upstreams.count);
    free_some(&worker->spare_hedges, hedge_free, worker->spare_hedges.count);
    free_some(&worker->spare_lanes, upstream_lane_free, worker->spare_lanes.count);
    free_some(&worker->spare_replies, free_reply, worker->spare_replies.count);
    free_some(&worker->spare_exchanges, free_exchange, worker->spare_exchanges.count);
}
