#include "health/trial.h"

#include "health/board.h"

/*   NO_TRIAL --control--> OFFERED --a pick--> CLAIMED --the exchange's end--> NO_TRIAL, or OFFERED
 *
 * upstream->trials counts those that are OFFERED: who moves one in or out counts it. */

static bool move(struct target_state *target, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong_explicit(&target->trial, &from, to, memory_order_relaxed,
                                                   memory_order_relaxed);
}

void trial_offer(struct upstream_state *upstream, struct target_state *target)
{
    if (move(target, TARGET_NO_TRIAL, TARGET_TRIAL_OFFERED))
        atomic_fetch_add_explicit(&upstream->trials, 1, memory_order_relaxed);
}

void trial_withdraw(struct upstream_state *upstream, struct target_state *target)
{
    if (move(target, TARGET_TRIAL_OFFERED, TARGET_NO_TRIAL))
        atomic_fetch_sub_explicit(&upstream->trials, 1, memory_order_relaxed);
}

static bool was_tried(const struct target_state *target, struct target_state *const *tried,
                      unsigned tried_count)
{
    for (unsigned i = 0; i < tried_count; i++)
        if (tried[i] == target)
            return true;
    return false;
}

/* What a request that succeeds disproves. (With probes that would tell by themselves, control
 * offers none while they fail.) */
#define HEALABLE ((uint32_t)(TARGET_OUT_PASSIVE | TARGET_OUT_PROBE))

static bool may_be_tried(const struct target_state *target)
{
    uint32_t out = atomic_load_explicit(&target->health, memory_order_relaxed) & TARGET_OUT_ANY;
    return out && !(out & ~HEALABLE);
}

struct target_state *trial_claim(struct upstream_state *upstream, struct target_state *const *tried,
                                 unsigned tried_count)
{
    if (!trial_is_on_offer(upstream))
        return NULL;
    const struct endpoints *endpoints = upstream_state_endpoints(upstream);
    for (uint32_t i = 0; i < endpoints->count; i++) {
        struct target_state *target = endpoints->items[i].target;
        if (endpoints->items[i].weight == 0 || !may_be_tried(target) ||
            was_tried(target, tried, tried_count) ||
            !move(target, TARGET_TRIAL_OFFERED, TARGET_TRIAL_CLAIMED))
            continue;
        atomic_fetch_sub_explicit(&upstream->trials, 1, memory_order_relaxed);
        return target;
    }
    return NULL;
}

struct passive_news trial_end(struct upstream_state *upstream, struct target_state *target,
                              enum health_result result, uint16_t status)
{
    if (result == HEALTH_IGNORED) {
        if (move(target, TARGET_TRIAL_CLAIMED, TARGET_TRIAL_OFFERED))
            atomic_fetch_add_explicit(&upstream->trials, 1, memory_order_relaxed);
        return (struct passive_news){.turn = PASSIVE_NO_TURN};
    }
    bool has_passed = result == HEALTH_SUCCESS;
    if (has_passed) {
        passive_forget(target);
        board_set(target, HEALABLE, 0);
    }
    move(target, TARGET_TRIAL_CLAIMED, TARGET_NO_TRIAL);
    return (struct passive_news){has_passed ? PASSIVE_TRIAL_PASSED : PASSIVE_TRIAL_FAILED, result,
                                 status, 1};
}
