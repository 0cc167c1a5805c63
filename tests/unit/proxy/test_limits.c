#include "proxy/limits.h"

#include "unit/test.h"

static unsigned take_all(struct upstream_slot *slot, uint64_t now_ms)
{
    unsigned taken = 0;
    while (limits_take_retry(slot, now_ms))
        taken++;
    return taken;
}

TEST(a_quiet_upstream_may_repeat_ten_times_a_second)
{
    struct upstream_slot slot = {0};
    assert_int_equal(take_all(&slot, 1000000), 10);
    assert_int_equal(take_all(&slot, 1000000), 0);
    assert_int_equal(take_all(&slot, 1000099), 0);
    assert_int_equal(take_all(&slot, 1000100), 1);
    assert_int_equal(take_all(&slot, 1001100), 10);
    assert_int_equal(take_all(&slot, 9001100), 10); /* no more is saved */
}

TEST(a_fifth_of_the_requests_may_be_repeated_besides)
{
    struct upstream_slot slot = {0};
    take_all(&slot, 1000);
    slot.first_tries += 1000;
    assert_int_equal(take_all(&slot, 1000), 200);
    slot.first_tries += 4;
    assert_int_equal(take_all(&slot, 1000), 0);
    slot.first_tries += 1;
    assert_int_equal(take_all(&slot, 1000), 1);
}

TEST(what_is_saved_for_a_bad_moment_has_a_limit)
{
    struct upstream_slot slot = {0};
    slot.first_tries = 1000000;
    assert_int_equal(take_all(&slot, 1000), LIMITS_SAVED_RETRIES + 10);
}

/* 1,000 requests a second, each of which would be tried six times. */
TEST(where_all_fails_the_targets_see_a_fifth_more_and_the_floor)
{
    struct upstream_slot slot = {0};
    unsigned tries = 0;
    for (uint64_t ms = 1; ms <= 10000; ms++) {
        slot.first_tries++;
        tries++;
        for (int retry = 0; retry < 5 && limits_take_retry(&slot, ms); retry++)
            tries++;
    }
    assert_in_range(tries, 11900, 12000 + 10 * 10 + 10);
}

TEST(the_total_time_is_that_of_one_try_but_never_short)
{
    struct service service = {
        .connect_timeout_ms = 60000, .write_timeout_ms = 60000, .read_timeout_ms = 60000};
    assert_int_equal(limits_total_ms(&service), 180000);
    service = (struct service){
        .connect_timeout_ms = 100, .write_timeout_ms = 100, .read_timeout_ms = 100};
    assert_int_equal(limits_total_ms(&service), LIMITS_LEAST_TOTAL_MS);
}

RUN(T(a_quiet_upstream_may_repeat_ten_times_a_second),
    T(a_fifth_of_the_requests_may_be_repeated_besides),
    T(what_is_saved_for_a_bad_moment_has_a_limit),
    T(where_all_fails_the_targets_see_a_fifth_more_and_the_floor),
    T(the_total_time_is_that_of_one_try_but_never_short))
