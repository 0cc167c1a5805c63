#include "balance/round_robin.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#define RANDOM_TRIES 8

/* The k-th of w turns of a target belongs at (k + 1/2) / w of the wheel; sorting all turns by that
 * place spreads each target evenly, whatever the other weights. */
struct turn {
    uint64_t place; /* in units of 1 / 2^40 of the wheel */
    uint32_t index;
};

static int by_place(const void *left, const void *right)
{
    const struct turn *a = left, *b = right;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static bool takes_turns(const struct endpoint *endpoint)
{
    return endpoint->weight > 0 && target_state_is_usable(endpoint->target);
}

/* How many turns a weight gets. */
struct scale {
    uint64_t divisor; /* of all weights */
    uint64_t sum;     /* of all weights, divided */
};

static uint32_t turns_of(const struct scale *scale, uint32_t weight)
{
    uint64_t turns = weight / scale->divisor;
    if (scale->sum > ROUND_ROBIN_MAX_WHEEL)
        turns = (turns * ROUND_ROBIN_MAX_WHEEL + scale->sum / 2) / scale->sum;
    return turns > 0 ? (uint32_t)turns : 1;
}

static uint32_t count_takers(const struct endpoints *endpoints, uint64_t *ret_weight)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < endpoints->count; i++) {
        if (!takes_turns(&endpoints->items[i]))
            continue;
        *ret_weight += endpoints->items[i].weight;
        count++;
    }
    return count;
}

static struct scale measure(const struct endpoints *endpoints)
{
    struct scale scale = {0};
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (takes_turns(&endpoints->items[i]))
            scale.divisor = common_divisor(scale.divisor, endpoints->items[i].weight);
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (takes_turns(&endpoints->items[i]))
            scale.sum += endpoints->items[i].weight / scale.divisor;
    return scale;
}

/* Nobody is usable. The first one back is to be found at once, before the next plan: a turn each.
 */
static int plan_for_the_first_back(struct endpoints *endpoints)
{
    if (endpoints->count == 0)
        return 0;
    endpoints->wheel = malloc(endpoints->count * sizeof(*endpoints->wheel));
    if (!endpoints->wheel)
        return UV_ENOMEM;
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (endpoints->items[i].weight > 0)
            endpoints->wheel[endpoints->wheel_len++] = i;
    return 0;
}

int round_robin_plan(struct endpoints *endpoints)
{
    struct scale scale = measure(endpoints);
    free(endpoints->wheel);
    endpoints->wheel = NULL;
    endpoints->wheel_len = 0;
    endpoints->weight_sum = 0;
    endpoints->taker_count = count_takers(endpoints, &endpoints->weight_sum);
    if (scale.sum == 0)
        return plan_for_the_first_back(endpoints);

    size_t most = (scale.sum > ROUND_ROBIN_MAX_WHEEL ? ROUND_ROBIN_MAX_WHEEL * 2 : scale.sum) +
                  endpoints->count; /* rounding adds at most one turn a target */
    struct turn *turns = malloc(most * sizeof(*turns));
    uint32_t len = 0;
    if (!turns)
        return UV_ENOMEM;
    for (uint32_t i = 0; i < endpoints->count; i++) {
        if (!takes_turns(&endpoints->items[i]))
            continue;
        uint32_t count = turns_of(&scale, endpoints->items[i].weight);
        for (uint32_t k = 0; k < count; k++)
            turns[len++] = (struct turn){((2 * (uint64_t)k + 1) << 40) / (2 * (uint64_t)count), i};
    }
    qsort(turns, len, sizeof(*turns), by_place);

    endpoints->wheel = malloc(len * sizeof(*endpoints->wheel));
    if (!endpoints->wheel) {
        free(turns);
        return UV_ENOMEM;
    }
    for (uint32_t i = 0; i < len; i++)
        endpoints->wheel[i] = turns[i].index;
    endpoints->wheel_len = len;
    free(turns);
    return 0;
}

static const struct endpoint *at(const struct endpoints *endpoints, uint32_t place)
{
    return &endpoints->items[endpoints->wheel[place]];
}

static bool may_take(const struct choice *choice, const struct endpoint *endpoint)
{
    return choice_allows(choice, endpoint->target) && choice_admits_now(choice, endpoint->target);
}

/* Who takes the turn of a target that can't: anyone on the wheel, as the one next to it would get
 * twice its share. Who starts slowly takes it only for want of others. */
static const struct endpoint *find_stand_in(const struct choice *choice, uint32_t place)
{
    const struct endpoints *endpoints = choice->endpoints;
    uint32_t len = endpoints->wheel_len;
    for (int tries = 0; tries < RANDOM_TRIES; tries++) {
        const struct endpoint *endpoint =
            at(endpoints, (uint32_t)(random_next(choice->query->random) % len));
        if (may_take(choice, endpoint))
            return endpoint;
    }
    for (uint32_t steps = 0; steps < len; steps++) {
        const struct endpoint *endpoint = at(endpoints, (place + steps) % len);
        if (choice_allows(choice, endpoint->target))
            return endpoint;
    }
    return NULL;
}

const struct endpoint *round_robin_pick(const struct choice *choice)
{
    const struct endpoints *endpoints = choice->endpoints;
    uint32_t len = endpoints->wheel_len;
    if (len == 0)
        return NULL;
    uint32_t place = choice->slot->cursor;
    if (place >= len) /* the wheel was longer before */
        place %= len;
    choice->slot->cursor = place + 1 == len ? 0 : place + 1;
    const struct endpoint *endpoint = at(endpoints, place);
    return may_take(choice, endpoint) ? endpoint : find_stand_in(choice, place);
}
