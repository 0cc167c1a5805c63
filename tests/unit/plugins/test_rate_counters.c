#include "plugins/rate_counters.h"

#include <stdio.h>
#include <string.h>

#include "unit/test.h"

#define NOON 1709208000 /* 2024-02-29 12:00:00 UTC */

static bool once(const char *name, enum rate_period period, double max, int64_t now_s)
{
    const struct rate_limit limit = {period, max};
    uint64_t used;
    return rate_counters_take(str_of(name), &limit, 1, now_s, &used);
}

TEST(windows_are_the_calendars)
{
    static const struct {
        enum rate_period period;
        int64_t begins_at, ends_at;
    } cases[] = {
        {RATE_SECOND, NOON + 61, NOON + 62},  {RATE_MINUTE, NOON + 60, NOON + 120},
        {RATE_HOUR, NOON, NOON + 3600},       {RATE_DAY, NOON - 43200, NOON + 43200},
        {RATE_MONTH, 1706745600, 1709251200}, /* the 1st of February and of March */
        {RATE_YEAR, 1704067200, 1735689600},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rate_window window = rate_window_of(cases[i].period, NOON + 61);
        assert_int_equal(window.begins_at, cases[i].begins_at);
        assert_int_equal(window.ends_at, cases[i].ends_at);
    }
}

TEST(exactly_as_many_as_allowed_pass_in_a_window)
{
    for (int i = 0; i < 5; i++)
        assert_int_equal(once("exact", RATE_MINUTE, 3, NOON + i), i < 3);
    assert_true(once("another", RATE_MINUTE, 3, NOON));
    assert_true(once("exact", RATE_MINUTE, 3, NOON + 60));
}

TEST(a_clock_that_lags_a_little_begins_no_window_again)
{
    static const enum rate_period periods[] = {RATE_SECOND, RATE_MINUTE, RATE_MONTH};
    static const int64_t turns[] = {NOON, NOON, 1709251200};
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "late-%d", i);
        assert_true(once(name, periods[i], 2, turns[i]));
        assert_true(once(name, periods[i], 2, turns[i] - 1));
        assert_false(once(name, periods[i], 2, turns[i]));
        assert_false(once(name, periods[i], 2, turns[i] - 1));
    }
    assert_true(once("set back", RATE_MINUTE, 1, NOON));
    assert_true(once("set back", RATE_MINUTE, 1, NOON - 86400)); /* somebody has set the clock */
}

TEST(what_one_limit_refuses_no_other_counts)
{
    const struct rate_limit limits[] = {{RATE_SECOND, 1}, {RATE_HOUR, 2}};
    uint64_t used[2];
    struct str name = STR("both");
    assert_true(rate_counters_take(name, limits, 2, NOON, used));
    assert_int_equal(used[1], 0);
    for (int i = 0; i < 5; i++)
        assert_false(rate_counters_take(name, limits, 2, NOON, used));
    assert_true(rate_counters_take(name, limits, 2, NOON + 1, used));
    assert_int_equal(used[0], 0);
    assert_int_equal(used[1], 1);
    assert_false(rate_counters_take(name, limits, 2, NOON + 2, used));
    assert_int_equal(used[1], 2);
}

TEST(a_broken_limit_lets_the_next_whole_number_pass)
{
    assert_true(once("half", RATE_DAY, 1.5, NOON));
    assert_true(once("half", RATE_DAY, 1.5, NOON));
    assert_false(once("half", RATE_DAY, 1.5, NOON));
}

TEST(many_are_told_apart_and_what_is_over_goes)
{
    char name[32];
    for (int round = 0; round < 3; round++) {
        int64_t now_s = NOON + round * 86400;
        for (int i = 0; i < 20000; i++) {
            snprintf(name, sizeof(name), "many-%d", i);
            assert_true(once(name, RATE_DAY, 1, now_s));
        }
        for (int i = 0; i < 20000; i++) {
            snprintf(name, sizeof(name), "many-%d", i);
            assert_false(once(name, RATE_DAY, 1, now_s));
        }
    }
}

TEST(more_than_there_is_room_for_does_no_harm)
{
    char name[32];
    unsigned passed = 0;
    for (unsigned i = 0; i < RATE_COUNTERS_MAX + RATE_COUNTERS_MAX / 4; i++) {
        snprintf(name, sizeof(name), "flood-%u", i);
        passed += once(name, RATE_YEAR, 1, NOON + 10 * 86400);
    }
    assert_int_equal(passed, RATE_COUNTERS_MAX + RATE_COUNTERS_MAX / 4);
    assert_true(once("late", RATE_YEAR, 1, NOON + 10 * 86400));
    assert_false(once("late", RATE_YEAR, 1, NOON + 10 * 86400));
}

RUN(T(windows_are_the_calendars), T(exactly_as_many_as_allowed_pass_in_a_window),
    T(a_clock_that_lags_a_little_begins_no_window_again), T(what_one_limit_refuses_no_other_counts),
    T(a_broken_limit_lets_the_next_whole_number_pass), T(many_are_told_apart_and_what_is_over_goes),
    T(more_than_there_is_room_for_does_no_harm))
