/* slow_start.h - a target that is new or has recovered takes a share of its turns that grows over
 * the upstream's slow_start seconds.
 *
 * Thread: any; slow_start_plan on control. Memory: none. */
#ifndef BALANCE_SLOW_START_H
#define BALANCE_SLOW_START_H

#include "model/endpoints.h"

#define SLOW_START_LEAST_PERCENT 10 /* a target that gets nothing would never warm up */

/* Where more than half of the targets are new, all of them count as warm from now on: there is
 * nobody to take the rest. */
void slow_start_plan(const struct endpoints *endpoints, uint64_t now_ms);

/* The share in 2^32 parts that the target takes at this time. */
static inline uint32_t slow_start_share(const struct endpoints *endpoints,
                                        const struct target_state *target, uint64_t now_ms)
{
    uint32_t window_ms = endpoints->balancing ? endpoints->balancing->slow_start_ms : 0;
    uint64_t since = atomic_load_explicit(&target->ready_since_ms, memory_order_relaxed);
    if (window_ms == 0 || since == 0 || now_ms >= since + window_ms)
        return UINT32_MAX;
    uint64_t age = now_ms > since ? now_ms - since : 0; /* clocks of two threads */
    uint64_t least = (uint64_t)window_ms * SLOW_START_LEAST_PERCENT / 100;
    return (uint32_t)(((age > least ? age : least) << 32) / window_ms);
}

/* Whether it takes this pick. Of one token the answer stays yes once it is yes. */
static inline bool slow_start_admits(const struct endpoints *endpoints,
                                     const struct target_state *target, uint64_t now_ms,
                                     uint32_t token)
{
    return token <= slow_start_share(endpoints, target, now_ms);
}

#endif
