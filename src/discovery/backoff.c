#include "discovery/backoff.h"

#define FAILURES_MAX 32 /* shifts beyond are of no use: every cap is passed */

void backoff_init(struct backoff *backoff)
{
    backoff->failures = 0;
    random_init(&backoff->random);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}

uint64_t backoff_next_ms(struct backoff *backoff, uint64_t base_ms, uint64_t cap_ms)
{
    uint64_t bound_ms = base_ms << backoff->failures;
    if (bound_ms > cap_ms)
        bound_ms = cap_ms;
    if (backoff->failures < FAILURES_MAX)
        backoff->failures++;
    return 1 + random_next(&backoff->random) % bound_ms;
}

uint64_t backoff_dither(struct backoff *backoff, uint64_t ms)
{
    uint64_t spread_ms = ms / 5;
    return ms - spread_ms / 2 + (spread_ms ? random_next(&backoff->random) % spread_ms : 0);
}

uint64_t token_bucket_take(struct token_bucket *bucket, unsigned burst, uint64_t period_ms,
                           uint64_t now_ms)
{
    if (bucket->full_ms < now_ms)
        bucket->full_ms = now_ms;
    bucket->full_ms += period_ms;
    uint64_t tolerance_ms = burst * period_ms;
    return bucket->full_ms - now_ms > tolerance_ms ? bucket->full_ms - now_ms - tolerance_ms : 0;
}
