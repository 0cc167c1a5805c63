/* trial.h - half-open: one request at a time goes to a target that live traffic took out, to see
 * whether it is back.
 *
 * Control offers a trial, exactly one pick claims it, and the exchange that did ends it.
 *
 * Thread: offer and withdraw on control, the rest on workers. Memory: none. */
#ifndef HEALTH_TRIAL_H
#define HEALTH_TRIAL_H

#include "health/passive.h"
#include "model/upstream_state.h"

void trial_offer(struct upstream_state *upstream, struct target_state *target);
/* Takes back an offer that nobody has claimed. */
void trial_withdraw(struct upstream_state *upstream, struct target_state *target);

static inline bool trial_is_on_offer(const struct upstream_state *upstream)
{
    return atomic_load_explicit(&upstream->trials, memory_order_relaxed) > 0;
}

/* A target with a trial that is not among `tried`, now claimed; NULL: none. Borrowed until the
 * calling loop callback returns. */
struct target_state *trial_claim(struct upstream_state *upstream, struct target_state *const *tried,
                                 unsigned tried_count);

/* How a claimed trial went: HEALTH_SUCCESS brings the target back at once, a failure leaves it,
 * HEALTH_IGNORED (the client left before the answer) puts the trial on offer again. */
struct passive_news trial_end(struct upstream_state *upstream, struct target_state *target,
                              enum health_result result, uint16_t status);

#endif
