#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http2_meter.h"

static unsigned take_all(struct http2_meter *meter, enum http2_nuisance kind, uint64_t now_ms)
{
    unsigned count = 0;
    while (http2_meter_take(meter, kind, now_ms))
        count++;
    return count;
}

static void a_burst_is_allowed_and_comes_back_with_time(void **state)
{
    (void)state;
    struct http2_meter meter;
    http2_meter_init(&meter, 1000);
    unsigned burst = take_all(&meter, HTTP2_PINGS, 1000);
    assert_in_range(burst, 100, 1000);
    assert_int_equal(take_all(&meter, HTTP2_PINGS, 1000), 0);
    unsigned second = take_all(&meter, HTTP2_PINGS, 2000);
    assert_in_range(second, 1, burst / 5);
    assert_int_equal(take_all(&meter, HTTP2_PINGS, 1000000), burst);
}

static void kinds_are_counted_apart(void **state)
{
    (void)state;
    struct http2_meter meter;
    http2_meter_init(&meter, 0);
    take_all(&meter, HTTP2_PINGS, 0);
    assert_true(http2_meter_take(&meter, HTTP2_RESETS, 0));
    assert_string_not_equal(http2_meter_reason(HTTP2_PINGS), http2_meter_reason(HTTP2_RESETS));
}

static void what_is_given_adds_to_it(void **state)
{
    (void)state;
    struct http2_meter meter;
    http2_meter_init(&meter, 0);
    take_all(&meter, HTTP2_WINDOW_UPDATES, 0);
    http2_meter_give(&meter, HTTP2_WINDOW_UPDATES, 4);
    assert_int_equal(take_all(&meter, HTTP2_WINDOW_UPDATES, 0), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_allowed_and_comes_back_with_time),
        cmocka_unit_test(kinds_are_counted_apart),
        cmocka_unit_test(what_is_given_adds_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
