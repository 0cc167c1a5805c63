#include "balance/least_connections.h"

#include "balance/round_robin.h"

/* Below 0: with one more, a has less under way for its weight than b; 0: as much. */
static int compare(const struct choice *choice, const struct endpoint *a, const struct endpoint *b)
{
    uint64_t load_a = (choice_in_flight(choice, a->target) + (uint64_t)1) * b->weight;
    uint64_t load_b = (choice_in_flight(choice, b->target) + (uint64_t)1) * a->weight;
    return load_a < load_b ? -1 : load_a > load_b;
}

const struct endpoint *least_connections_pick(const struct choice *choice)
{
    const struct endpoints *endpoints = choice->endpoints;
    const struct endpoint *best = round_robin_pick(choice);
    if (!best || choice_in_flight(choice, best->target) == 0)
        return best;

    uint32_t look = endpoints->count < LEAST_CONNECTIONS_MAX_LOOK ? endpoints->count
                                                                  : LEAST_CONNECTIONS_MAX_LOOK;
    uint32_t at = (uint32_t)(best - endpoints->items), equals = 1;
    for (uint32_t i = 1; i < look; i++) {
        at = at + 1 == endpoints->count ? 0 : at + 1;
        const struct endpoint *other = &endpoints->items[at];
        int order = other->weight > 0 ? compare(choice, other, best) : 1;
        if (order > 0 || !choice_allows(choice, other->target) ||
            !choice_admits_now(choice, other->target))
            continue;
        equals = order < 0 ? 1 : equals + 1;
        if (random_next(choice->query->random) % equals == 0) /* each with the same chance */
            best = other;
    }
    return best;
}
