#include "base/rate_limit.h"

bool rate_limit_take(struct rate_limit *limit, uint64_t hash, uint64_t now_ms)
{
    if (limit->per_s == 0)
        return true;
    struct rate_bucket *bucket = &limit->buckets[hash % limit->bucket_count];
    uint64_t passed_ms = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;
    uint64_t given_back = passed_ms < 1000 ? passed_ms * limit->per_s : 1000ULL * limit->per_s;
    uint64_t used = bucket->used_milli;
    used = used > given_back ? used - given_back : 0;
    bool may = used + 1000 <= limit->per_s * 1000ULL;
    bucket->at_ms += passed_ms;
    bucket->used_milli = (uint32_t)(may ? used + 1000 : used);
    return may;
}
