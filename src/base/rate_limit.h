/* rate_limit.h - how many a second may pass, told apart by a hash: token buckets, each filled to a
 * second's worth. What shares a bucket shares its limit.
 *
 * Thread: one owner, or under its lock. Memory: the buckets are the caller's. */
#ifndef BASE_RATE_LIMIT_H
#define BASE_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define RATE_LIMIT_MAX_PER_S 1000000

struct rate_bucket {
    uint64_t at_ms;
    uint32_t used_milli; /* thousandths taken and not yet given back */
};

struct rate_limit {
    uint32_t per_s; /* 0: no limit */
    uint32_t bucket_count;
    struct rate_bucket *buckets; /* borrowed, zeroed at first */
};

/* Takes one out of the bucket of `hash`; false when there is none. A clock that is behind the one
 * of the last call gives nothing back. */
bool rate_limit_take(struct rate_limit *limit, uint64_t hash, uint64_t now_ms);

#endif
