#include "balance/balancer.h"

#include <assert.h>

#include "balance/choice.h"
#include "balance/consistent_hash.h"
#include "balance/latency.h"
#include "balance/least_connections.h"
#include "balance/outlier.h"
#include "balance/rotation.h"
#include "balance/round_robin.h"

static const struct endpoint *pick_by_hash(const struct choice *choice)
{
    /* Requests without what is hashed on are spread: to put them all on one target helps nobody. */
    return choice->query->has_hash ? consistent_hash_pick(choice) : round_robin_pick(choice);
}

static const struct endpoint *(*const algorithms[])(const struct choice *choice) = {
    [BALANCING_ROTATION] = rotation_pick,
    [BALANCING_ROUND_ROBIN] = round_robin_pick,
    [BALANCING_LEAST_CONNECTIONS] = least_connections_pick,
    [BALANCING_CONSISTENT_HASH] = pick_by_hash,
    [BALANCING_LATENCY] = latency_pick,
};

/* in_flight is written by its worker alone: no atomic addition is needed. */
static void count_in(struct upstream_slot *slot, struct target_slot *target, uint64_t now_ms)
{
    uint32_t before = atomic_load_explicit(&target->in_flight, memory_order_relaxed);
    atomic_store_explicit(&target->in_flight, before + 1, memory_order_relaxed);
    slot->in_flight++;
    if (target->awaited++ == 0)
        target->silent_since_ms = now_ms;
}

static void count_out(struct upstream_slot *slot, struct target_slot *target,
                      const struct balancer_report *report)
{
    uint32_t before = atomic_load_explicit(&target->in_flight, memory_order_relaxed);
    assert(before > 0 && slot->in_flight > 0);
    atomic_store_explicit(&target->in_flight, before - 1, memory_order_relaxed);
    slot->in_flight--;
    target->awaited -= !report->was_heard;
}

/* Between the last preferred target's failure and the next plan. */
static const struct endpoint *find_stand_by(const struct choice *choice)
{
    const struct endpoints *endpoints = choice->endpoints;
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (endpoints->items[i].stands_by && choice_allows(choice, endpoints->items[i].target))
            return &endpoints->items[i];
    return NULL;
}

struct target_state *balancer_pick(struct upstream_state *upstream, struct balancer_query *query)
{
    const struct choice choice = {
        .endpoints = upstream_state_endpoints(upstream),
        .slot = &upstream->per_worker[query->worker_index],
        .query = query,
    };
    query->was_full = false;
    const struct endpoint *endpoint = algorithms[choice.endpoints->algorithm](&choice);
    if (!endpoint && !(endpoint = find_stand_by(&choice)))
        return NULL;
    count_in(choice.slot, &endpoint->target->slots[query->worker_index], query->now_ms);
    return endpoint->target;
}

void balancer_count_in(struct upstream_state *upstream, struct target_state *target,
                       uint32_t worker_index, uint64_t now_ms)
{
    count_in(&upstream->per_worker[worker_index], &target->slots[worker_index], now_ms);
}

void balancer_report(struct upstream_state *upstream, struct target_state *target,
                     const struct balancer_report *report)
{
    struct upstream_slot *slot = &upstream->per_worker[report->worker_index];
    count_out(slot, &target->slots[report->worker_index], report);
    enum balancing_algorithm algorithm = upstream_state_endpoints(upstream)->algorithm;
    if (algorithm == BALANCING_ROTATION)
        outlier_report(slot, target, report);
    else if (algorithm == BALANCING_LATENCY)
        latency_report(target, report);
}

int balancer_plan(struct endpoints *endpoints, uint64_t now_ms)
{
    int rc = round_robin_plan(endpoints);
    if (!rc && endpoints->algorithm == BALANCING_CONSISTENT_HASH)
        rc = consistent_hash_plan(endpoints);
    if (endpoints->algorithm == BALANCING_LATENCY)
        latency_plan(endpoints, now_ms);
    slow_start_plan(endpoints, now_ms);
    return rc;
}
