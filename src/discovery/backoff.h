/* backoff.h - how long to wait after a failure, and how often to ask at all.
 *
 * A backoff doubles its bound with every failure and waits a random part of it ("full jitter"), so
 * that many that failed together don't come back together. It never gives up. A token bucket lets a
 * burst pass and then one each period.
 *
 * Thread: one owner. Memory: none. */
#ifndef DISCOVERY_BACKOFF_H
#define DISCOVERY_BACKOFF_H

#include <stdint.h>

#include "base/random.h"

struct backoff {
    unsigned failures;
    struct random_state random;
};

void backoff_init(struct backoff *backoff);
void backoff_reset(struct backoff *backoff);
/* Counts a failure: between 1 and min(cap_ms, base_ms * 2^failures before) milliseconds. */
uint64_t backoff_next_ms(struct backoff *backoff, uint64_t base_ms, uint64_t cap_ms);
/* Between 90 and 110 % of it. */
uint64_t backoff_dither(struct backoff *backoff, uint64_t ms);

struct token_bucket {
    uint64_t full_ms; /* when the bucket will be full again */
};

/* Takes a token; returns how long its taker must wait before it may act: 0 while the burst lasts.
 */
uint64_t token_bucket_take(struct token_bucket *bucket, unsigned burst, uint64_t period_ms,
                           uint64_t now_ms);

#endif
