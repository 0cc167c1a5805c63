/* choice.h - what the algorithms share: one pick under way, and whom it may fall on.
 *
 * Thread: the picking worker's. Memory: none. */
#ifndef BALANCE_CHOICE_H
#define BALANCE_CHOICE_H

#include "balance/balancer.h"
#include "balance/slow_start.h"

struct choice {
    const struct endpoints *endpoints;
    struct upstream_slot *slot; /* the worker's */
    struct balancer_query *query;
};

static inline uint32_t choice_in_flight(const struct choice *choice,
                                        const struct target_state *target)
{
    return atomic_load_explicit(&target->slots[choice->query->worker_index].in_flight,
                                memory_order_relaxed);
}

static inline bool choice_was_tried(const struct choice *choice, const struct target_state *target)
{
    for (unsigned i = 0; i < choice->query->tried_count; i++)
        if (choice->query->tried[i] == target)
            return true;
    return false;
}

/* All workers count; two of them may pass a limit together by one each. A connection that is idle
 * here is there for the taking. */
static inline bool choice_is_full(const struct choice *choice, const struct target_state *target)
{
    uint32_t in_flight = 0, connections = 0;
    for (uint32_t i = 0; i < target->worker_count; i++) {
        const struct target_slot *slot = &target->slots[i];
        in_flight += atomic_load_explicit(&slot->in_flight, memory_order_relaxed);
        connections += atomic_load_explicit(&slot->connections, memory_order_relaxed);
    }
    const struct endpoints *endpoints = choice->endpoints;
    if (endpoints->max_in_flight > 0 && in_flight >= endpoints->max_in_flight)
        return true;
    return endpoints->max_connections > 0 && connections >= endpoints->max_connections &&
           target->slots[choice->query->worker_index].idle_connections == 0;
}

/* Whether the target may be picked at all. */
static inline bool choice_allows(const struct choice *choice, const struct target_state *target)
{
    if (!target_state_is_usable(target) || choice_was_tried(choice, target))
        return false;
    if (__builtin_expect(endpoints_are_limited(choice->endpoints), 0) &&
        choice_is_full(choice, target)) {
        choice->query->was_full = true;
        return false;
    }
    return true;
}

/* Whether a target that starts slowly takes this pick. `token` decides: random, or of the key. */
static inline bool choice_admits(const struct choice *choice, const struct target_state *target,
                                 uint32_t token)
{
    return slow_start_admits(choice->endpoints, target, choice->query->now_ms, token);
}

/* The same by chance. */
static inline bool choice_admits_now(const struct choice *choice, const struct target_state *target)
{
    const struct balancing *balancing = choice->endpoints->balancing;
    return !balancing || balancing->slow_start_ms == 0 ||
           choice_admits(choice, target, (uint32_t)random_next(choice->query->random));
}

#endif
