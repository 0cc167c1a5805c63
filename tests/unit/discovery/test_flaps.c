#include "unit/test.h"

#include <stdlib.h>

#include "discovery/flaps.h"

static struct flaps flaps;
static uint64_t now_ms, next_ms;

static int setup(void **state)
{
    (void)state;
    flaps_init(&flaps);
    now_ms = 1000000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flaps_deinit(&flaps);
    return 0;
}

/* Two instances: whether the first is let in, when both are there. */
static bool see(bool is_first_usable, bool is_second_there)
{
    struct discovered_list *list;
    assert_int_equal(discovered_list_create(&list), 0);
    struct discovered first = {.instance = STR("first"),
                               .host = STR("10.0.0.1"),
                               .status =
                                   is_first_usable ? DISCOVERED_PASSING : DISCOVERED_CRITICAL};
    struct discovered second = {.instance = STR("second"), .host = STR("10.0.0.2")};
    discovered_list_add(list, &first);
    if (is_second_there)
        discovered_list_add(list, &second);
    discovered_list_seal(list);
    next_ms = flaps_damp(&flaps, list, now_ms);
    bool is_in = list->items[0].status == DISCOVERED_PASSING;
    discovered_list_destroy(list);
    return is_in;
}

/* Goes, and would come back a second later. */
static bool flap_once(void)
{
    assert_false(see(false, true));
    now_ms += 1;
    return see(true, true);
}

TEST(three_times_a_minute_is_no_flapping)
{
    assert_true(see(true, true));
    for (int i = 0; i < 3; i++) {
        assert_true(flap_once());
        assert_int_equal(next_ms, 0);
        now_ms += 1000;
    }
}

TEST(who_goes_more_often_waits_twice_as_long_each_time)
{
    assert_true(see(true, true));
    for (int i = 0; i < 3; i++)
        assert_true(flap_once());
    for (uint64_t pause_ms = 1000; pause_ms <= 16000; pause_ms *= 2) {
        assert_false(flap_once());
        assert_int_equal(next_ms, pause_ms - 1);
        now_ms += next_ms;
        assert_true(see(true, true));
        assert_int_equal(next_ms, 0);
    }
}

TEST(peace_of_a_minute_is_forgiven)
{
    assert_true(see(true, true));
    for (int i = 0; i < 4; i++)
        flap_once();
    now_ms += 61000;
    assert_true(see(true, true));
    for (int i = 0; i < 3; i++)
        assert_true(flap_once());
    assert_false(flap_once());
    assert_int_equal(next_ms, 999); /* as if it were the first time */
}

TEST(the_last_usable_one_is_never_held_back)
{
    assert_true(see(true, false));
    for (int i = 0; i < 10; i++) {
        assert_false(see(false, false));
        assert_true(see(true, false));
    }
}

TEST(what_is_long_gone_is_forgotten)
{
    see(true, true);
    see(false, true);
    assert_int_equal(flaps.by_instance.count, 2);
    now_ms += 121000;
    see(false, true);
    assert_int_equal(flaps.by_instance.count, 1);
}

#define TS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TS(three_times_a_minute_is_no_flapping), TS(who_goes_more_often_waits_twice_as_long_each_time),
    TS(peace_of_a_minute_is_forgiven), TS(the_last_usable_one_is_never_held_back),
    TS(what_is_long_gone_is_forgotten))
