/* outlier.h - finds targets that answer badly, or slowly, where the others do not, and has them
 * avoided for a while.
 *
 * Softly: an avoided target is picked when there is no better one, so no pool is emptied by it, and
 * no health word is touched. It needs no setting: what is slow, and how many bad answers in a row
 * are no accident, is measured on the pool. After a pause, which doubles each time, one request a
 * worker tries it again; a good answer forgives all. Until it has been found out, one bad answer is
 * enough to give it nothing more while others are awaited: it would hold them up as well.
 *
 * Thread: the reporting worker's. Memory: words in upstream_slot (the worker's) and target_state
 * (shared, written only by bad answers and by the good one that ends them). */
#ifndef BALANCE_OUTLIER_H
#define BALANCE_OUTLIER_H

#include "balance/choice.h"

#define OUTLIER_FIRST_PAUSE_MS 5000
#define OUTLIER_MAX_PAUSE_MS 60000
#define OUTLIER_SHARE_UNIT 65536 /* upstream_slot.bad_share where all answers are bad */

/* How long an answer may take before it counts as slow. */
uint64_t outlier_slow_ms(const struct upstream_slot *slot);

void outlier_report(struct upstream_slot *slot, struct target_state *target,
                    const struct balancer_report *report);

/* The same for a target whose last answer was a bad one. Inline, as a call would cost the others.
 */
static inline bool outlier_is_suspect_avoided(const struct choice *choice,
                                              const struct target_state *target)
{
    uint64_t until = atomic_load_explicit(&target->avoided_until_ms, memory_order_relaxed);
    /* What has begun to be answered, a stream say, is no trial whose outcome is open. */
    bool is_awaited = target->slots[choice->query->worker_index].awaited > 0;
    if (until != 0 && (choice->query->now_ms < until || is_awaited))
        return true;
    bool is_bad_usual = choice->slot->bad_share >= OUTLIER_SHARE_UNIT / 2; /* it tells nothing */
    return !is_bad_usual && is_awaited;
}

static inline bool outlier_is_avoided(const struct choice *choice,
                                      const struct target_state *target)
{
    uint32_t row = atomic_load_explicit(&target->bad_row, memory_order_relaxed);
    return __builtin_expect(row != 0, 0) && outlier_is_suspect_avoided(choice, target);
}

#endif
