#include "balance/rotation.h"

#include "balance/outlier.h"
#include "balance/round_robin.h"

/* With so few under way nobody lags; it is also what a target that hangs can hold up. */
#define NEVER_TOO_MANY 2
#define LOOK_AHEAD 4

/* It has something to do, and has not answered anything for longer than an answer takes. */
static bool is_silent(const struct choice *choice, const struct target_state *target)
{
    const struct target_slot *slot = &target->slots[choice->query->worker_index];
    return slot->awaited > 0 &&
           choice->query->now_ms > slot->silent_since_ms + outlier_slow_ms(choice->slot);
}

/* Not to be picked when there is somebody better. */
static bool is_shunned(const struct choice *choice, const struct target_state *target)
{
    return outlier_is_avoided(choice, target) || is_silent(choice, target);
}

static bool is_suspect(const struct choice *choice, const struct target_state *target)
{
    return choice_in_flight(choice, target) > NEVER_TOO_MANY || is_shunned(choice, target);
}

/* More than twice as much under way, by weight, and then some. */
static bool lags_behind(const struct choice *choice, const struct endpoint *endpoint,
                        const struct endpoint *other)
{
    uint64_t has = choice_in_flight(choice, endpoint->target);
    uint64_t has_other = choice_in_flight(choice, other->target);
    return has * other->weight >
           2 * has_other * endpoint->weight + NEVER_TOO_MANY * (uint64_t)other->weight;
}

static bool is_better(const struct choice *choice, const struct endpoint *other,
                      const struct endpoint *first)
{
    if (other == first || !choice_allows(choice, other->target) ||
        is_shunned(choice, other->target) || !choice_admits_now(choice, other->target))
        return false;
    return is_shunned(choice, first->target) || lags_behind(choice, first, other);
}

const struct endpoint *rotation_pick(const struct choice *choice)
{
    const struct endpoint *first = round_robin_pick(choice);
    if (choice->endpoints->taker_count < 2 || !first ||
        __builtin_expect(!is_suspect(choice, first->target), 1))
        return first;
    for (uint32_t steps = 0; steps < LOOK_AHEAD; steps++) {
        const struct endpoint *other = round_robin_peek(choice, steps);
        if (!is_better(choice, other, first))
            continue;
        round_robin_skip(choice, steps + 1); /* it is its own turn that it takes */
        return other;
    }
    return first;
}
