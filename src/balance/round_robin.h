/* round_robin.h - weighted round-robin as a wheel: every target stands on it as often as its weight
 * says, spread evenly, and a pick is a step.
 *
 * Thread: round_robin_plan on control, before the endpoints are published; the rest the picking
 * worker's. */
#ifndef BALANCE_ROUND_ROBIN_H
#define BALANCE_ROUND_ROBIN_H

#include "balance/choice.h"

#define ROUND_ROBIN_MAX_WHEEL                                                                      \
    16384 /* larger sums of weights are scaled down; nobody with a weight is left out */

/* Fills endpoints->wheel from the weights of the targets that are usable now. 0 or UV_ENOMEM. */
int round_robin_plan(struct endpoints *endpoints);

/* Whose turn it is; NULL when nobody may be picked. */
const struct endpoint *round_robin_pick(const struct choice *choice);

/* The place so many steps after the next turn's. Few steps: no division is worth it. */
static inline uint32_t round_robin_place(const struct choice *choice, uint32_t steps)
{
    uint32_t place = choice->slot->cursor + steps, len = choice->endpoints->wheel_len;
    if (steps > len)
        return place % len;
    while (place >= len)
        place -= len;
    return place;
}

/* Who stands there. Not for an empty wheel. */
static inline const struct endpoint *round_robin_peek(const struct choice *choice, uint32_t steps)
{
    const struct endpoints *endpoints = choice->endpoints;
    return &endpoints->items[endpoints->wheel[round_robin_place(choice, steps)]];
}

/* Leaves out so many turns. */
static inline void round_robin_skip(const struct choice *choice, uint32_t steps)
{
    choice->slot->cursor = round_robin_place(choice, steps);
}

#endif
