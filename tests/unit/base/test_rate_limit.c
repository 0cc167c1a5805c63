#include "base/rate_limit.h"

#include <string.h>

#include "unit/test.h"

static struct rate_bucket buckets[16];

static struct rate_limit limit_of(uint32_t per_s)
{
    memset(buckets, 0, sizeof(buckets));
    return (struct rate_limit){.per_s = per_s, .bucket_count = 16, .buckets = buckets};
}

TEST(a_second_of_them_may_come_at_once_and_then_as_time_gives_them_back)
{
    struct rate_limit limit = limit_of(10);
    uint64_t now_ms = 5000;
    for (int i = 0; i < 10; i++)
        assert_true(rate_limit_take(&limit, 7, now_ms));
    assert_false(rate_limit_take(&limit, 7, now_ms));
    assert_true(rate_limit_take(&limit, 8, now_ms)); /* another's */
    assert_false(rate_limit_take(&limit, 7, now_ms + 99));
    assert_true(rate_limit_take(&limit, 7, now_ms + 100));
    assert_false(rate_limit_take(&limit, 7, now_ms + 101));
    for (int i = 0; i < 10; i++)
        assert_true(rate_limit_take(&limit, 7, now_ms + 3600000));
    assert_false(rate_limit_take(&limit, 7, now_ms + 3600000));
}

TEST(the_highest_rate_does_not_overflow)
{
    struct rate_limit limit = limit_of(RATE_LIMIT_MAX_PER_S);
    for (int i = 0; i < RATE_LIMIT_MAX_PER_S; i++)
        assert_true(rate_limit_take(&limit, 0, 1));
    assert_false(rate_limit_take(&limit, 0, 1));
}

TEST(a_clock_that_is_behind_gives_nothing_back)
{
    struct rate_limit limit = limit_of(1);
    assert_true(rate_limit_take(&limit, 0, 5000));
    assert_false(rate_limit_take(&limit, 0, 4000)); /* another thread's */
    assert_false(rate_limit_take(&limit, 0, 5999));
    assert_true(rate_limit_take(&limit, 0, 6000));
}

TEST(no_limit_is_none)
{
    struct rate_limit limit = {.per_s = 0};
    for (int i = 0; i < 1000; i++)
        assert_true(rate_limit_take(&limit, 0, 1));
}

RUN(T(a_second_of_them_may_come_at_once_and_then_as_time_gives_them_back),
    T(the_highest_rate_does_not_overflow), T(a_clock_that_is_behind_gives_nothing_back),
    T(no_limit_is_none))
