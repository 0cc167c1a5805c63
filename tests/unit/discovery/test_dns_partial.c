#include "unit/test.h"

#include <stdlib.h>

#include "discovery/dns_partial.h"

static struct dns_partial partial;
static struct discovered_list *last;

static int setup(void **state)
{
    (void)state;
    partial = (struct dns_partial){0};
    last = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_partial_deinit(&partial);
    discovered_list_destroy(last);
    return 0;
}

/* Takes an answer that shows these ports. */
static void show(uint64_t now_ms, const uint16_t *ports, unsigned count)
{
    struct discovered_list *now, *merged;
    assert_int_equal(discovered_list_create(&now), 0);
    for (unsigned i = 0; i < count; i++) {
        const struct discovered item = {.host = STR("10.0.0.1"), .port = ports[i], .weight = 1};
        assert_int_equal(discovered_list_add(now, &item), 0);
    }
    discovered_list_seal(now);
    assert_int_equal(dns_partial_merge(&partial, last, now, now_ms, &merged), 0);
    discovered_list_destroy(now);
    discovered_list_destroy(last);
    last = merged;
}

#define SHOW(now_ms, ...)                                                                          \
    show(now_ms, (const uint16_t[]){__VA_ARGS__},                                                  \
         sizeof((const uint16_t[]){__VA_ARGS__}) / sizeof(uint16_t))

TEST(answers_add_up)
{
    SHOW(1000, 3, 1);
    SHOW(2000, 2, 3);
    SHOW(3000, 4);
    assert_int_equal(last->count, 4);
    for (uint16_t i = 0; i < 4; i++)
        assert_int_equal(last->items[i].port, i + 1);
}

TEST(what_is_not_shown_for_half_a_minute_is_gone)
{
    SHOW(1000, 1, 2, 3);
    for (uint64_t ms = 2000; ms <= 30000; ms += 1000)
        SHOW(ms, 1, 2);
    assert_int_equal(last->count, 3);
    SHOW(31000, 1, 2);
    assert_int_equal(last->count, 2);
}

TEST(a_small_part_is_given_more_time)
{
    uint16_t ports[60];
    for (uint16_t i = 0; i < 60; i++)
        ports[i] = (uint16_t)(i + 1);
    show(1000, ports, 60);
    for (uint64_t ms = 2000; ms <= 200000; ms += 1000)
        SHOW(ms, 1, 2, 3); /* 12 times 20 seconds are what it takes */
    assert_int_equal(last->count, 60);
    for (uint64_t ms = 201000; ms <= 242000; ms += 1000)
        SHOW(ms, 1, 2, 3);
    assert_int_equal(last->count, 3);
}

#define TL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TL(answers_add_up), TL(what_is_not_shown_for_half_a_minute_is_gone),
    TL(a_small_part_is_given_more_time))
