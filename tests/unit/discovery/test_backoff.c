#include "unit/test.h"

#include "discovery/backoff.h"

TEST(waits_grow_to_the_cap_and_no_further)
{
    struct backoff backoff;
    backoff_init(&backoff);
    uint64_t bound = 100;
    for (int i = 0; i < 200; i++) {
        uint64_t wait = backoff_next_ms(&backoff, 100, 10000);
        assert_in_range(wait, 1, bound);
        bound = bound * 2 < 10000 ? bound * 2 : 10000;
    }
}

TEST(waits_are_spread_over_the_whole_range)
{
    struct backoff backoff;
    backoff_init(&backoff);
    unsigned low = 0;
    for (int i = 0; i < 1000; i++) {
        backoff_reset(&backoff);
        low += backoff_next_ms(&backoff, 100, 100) <= 50;
    }
    assert_in_range(low, 350, 650);
}

TEST(a_reset_starts_over)
{
    struct backoff backoff;
    backoff_init(&backoff);
    for (int i = 0; i < 10; i++)
        backoff_next_ms(&backoff, 100, 10000);
    backoff_reset(&backoff);
    assert_in_range(backoff_next_ms(&backoff, 100, 10000), 1, 100);
}

TEST(dither_stays_within_a_tenth)
{
    struct backoff backoff;
    backoff_init(&backoff);
    for (int i = 0; i < 1000; i++)
        assert_in_range(backoff_dither(&backoff, 1000), 900, 1100);
    assert_int_equal(backoff_dither(&backoff, 1), 1);
}

TEST(a_burst_passes_and_then_one_each_period)
{
    struct token_bucket bucket = {0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(token_bucket_take(&bucket, 5, 250, 1000), 0);
    assert_int_equal(token_bucket_take(&bucket, 5, 250, 1000), 250);
    assert_int_equal(token_bucket_take(&bucket, 5, 250, 1250), 250);
    assert_int_equal(token_bucket_take(&bucket, 5, 250, 1500), 250);
}

TEST(a_rest_fills_the_bucket)
{
    struct token_bucket bucket = {0};
    for (int i = 0; i < 5; i++)
        token_bucket_take(&bucket, 5, 250, 1000);
    for (int i = 0; i < 5; i++)
        assert_int_equal(token_bucket_take(&bucket, 5, 250, 10000), 0);
    assert_true(token_bucket_take(&bucket, 5, 250, 10000) > 0);
}

RUN(T(waits_grow_to_the_cap_and_no_further), T(waits_are_spread_over_the_whole_range),
    T(a_reset_starts_over), T(dither_stays_within_a_tenth),
    T(a_burst_passes_and_then_one_each_period), T(a_rest_fills_the_bucket))
