#include "health/pool_orders.h"

#include <stdio.h>

#include "health/board.h"
#include "health/pool_health.h"
#include "unit/health/health.h"
#include "unit/loop.h"
#include "unit/test.h"

/* A pool of two static targets, "127.0.0.1:1" and "127.0.0.1:2". */
static struct {
    uv_loop_t loop;
    struct monitor *monitor;
    struct upstream_state *upstream;
    struct pool_health *pool;
    struct target_state *targets[2];
    bool is_closed;
} f;

static const char never[] = "{\"healthy\":{\"interval\":0},\"unhealthy\":{\"tcp_failures\":3}}";

static void on_replan(void *owner)
{
    (void)owner;
}

static void set_rules(const char *active, const char *passive)
{
    struct health_rules *rules = rules_from(active, passive);
    pool_health_set_rules(f.pool, rules);
    health_rules_unref(rules);
}

static void set_up(void)
{
    memset(&f, 0, sizeof(f));
    uv_loop_init(&f.loop);
    assert_int_equal(monitor_create(&f.loop, 50, &f.monitor), 0);
    assert_int_equal(upstream_state_create(STR("u"), 1, &f.upstream), 0);
    assert_int_equal(pool_health_create(f.monitor, f.upstream, on_replan, NULL, &f.pool), 0);
    f.targets[0] = target_at("127.0.0.1", 1);
    f.targets[1] = target_at("127.0.0.1", 2);
    set_rules("{}", never);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void tear_down(void)
{
    pool_health_destroy(f.pool);
    monitor_close(f.monitor, on_closed, &f.is_closed);
    assert_true(LOOP_UNTIL(&f.loop, f.is_closed));
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    upstream_state_unref(f.upstream);
    target_state_unref(f.targets[0]);
    target_state_unref(f.targets[1]);
}

static void meet(bool has_first, bool has_second)
{
    pool_health_begin(f.pool);
    if (has_first)
        assert_int_equal(pool_health_meet(f.pool, f.targets[0], 1, 0), 0);
    if (has_second)
        assert_int_equal(pool_health_meet(f.pool, f.targets[1], 1, 0), 0);
    pool_health_end(f.pool);
}

static struct health_order of_first(const char *token, bool is_healthy)
{
    return (struct health_order){.key = STR("first"),
                                 .token = str_of(token),
                                 .host = STR("127.0.0.1"),
                                 .port = 1,
                                 .is_healthy = is_healthy,
                                 .stands = !is_healthy};
}

static void set(const struct health_order *order)
{
    assert_int_equal(pool_health_set_orders(f.pool, order, order ? 1 : 0), 0);
}

TEST(a_new_order_is_carried_out_once)
{
    set_up();
    set(NULL);
    meet(true, true);
    struct health_order order = of_first("a", false);
    set(&order);
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    assert_int_equal(word_of(f.targets[1]), 0);
    assert_string_equal(pool_health_why(f.pool, f.targets[0]),
                        "ordered unhealthy by the Admin API");
    board_set(f.targets[0], TARGET_OUT_MANUAL, 0); /* as probes would */
    set(&order);
    assert_int_equal(word_of(f.targets[0]), 0);
    order.token = STR("b"); /* said again */
    set(&order);
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    order = of_first("c", true);
    set(&order);
    assert_int_equal(word_of(f.targets[0]), 0);
    set(NULL); /* forgotten is not ordered */
    assert_int_equal(word_of(f.targets[0]), 0);
    tear_down();
}

TEST(one_that_stands_holds_for_who_joins_later)
{
    set_up();
    struct health_order order = of_first("a", false);
    set(&order); /* it was there before the pool */
    meet(true, true);
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    assert_int_equal(word_of(f.targets[1]), 0);
    meet(false, true);
    board_set(f.targets[0], TARGET_OUT_MANUAL, 0);
    meet(true, true);
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    meet(false, true);
    order = of_first("b", true); /* while it was away */
    set(&order);
    meet(true, true);
    assert_int_equal(word_of(f.targets[0]), 0);
    tear_down();
}

TEST(one_that_goes_with_its_target_is_not_there_for_the_next)
{
    set_up();
    struct health_order order = of_first("a", false);
    set(NULL);
    meet(true, true);
    set(&order);
    meet(false, true);
    meet(true, true); /* away for a moment only */
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    meet(false, true);
    set(NULL);
    target_state_unref(f.targets[0]);
    f.targets[0] = target_at("127.0.0.1", 1);
    meet(true, true);
    assert_int_equal(word_of(f.targets[0]), 0);
    tear_down();
}

TEST(one_that_told_the_moment_does_not)
{
    set_up();
    struct health_order order = of_first("a", false);
    order.stands = false;
    set(&order);
    meet(true, true);
    assert_int_equal(word_of(f.targets[0]), 0);
    tear_down();
}

TEST(where_probes_heal_or_nothing_is_checked_it_does_not_hold)
{
    set_up();
    set_rules("{\"healthy\":{\"successes\":1},\"unhealthy\":{\"interval\":1000}}", never);
    struct health_order order = of_first("a", false);
    set(&order);
    meet(true, true);
    assert_true(pool_health_heals(f.pool));
    assert_int_equal(word_of(f.targets[0]), 0);
    set_rules("{}", never);
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    pool_health_set_rules(f.pool, NULL);
    assert_int_equal(word_of(f.targets[0]), 0);
    set_rules("{}", never);
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    tear_down();
}

TEST(an_address_has_its_own_word_over_its_target_s)
{
    set_up();
    set(NULL);
    meet(true, true);
    struct health_order orders[] = {of_first("a", true), of_first("b", false)};
    orders[0].key = STR("address");
    orders[0].address = STR("127.0.0.1:1");
    assert_int_equal(pool_health_set_orders(f.pool, orders, 2), 0);
    assert_int_equal(word_of(f.targets[0]), 0);
    meet(false, true);
    meet(true, true);
    assert_int_equal(word_of(f.targets[0]), 0);
    orders[0].address = STR("127.0.0.1:9"); /* another one of the same name */
    orders[0].token = STR("c");
    orders[1].token = STR("d");
    assert_int_equal(pool_health_set_orders(f.pool, orders, 2), 0);
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    tear_down();
}

TEST(an_order_about_an_instance_is_not_for_the_next_at_its_address)
{
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", 1, &address);
    struct target_identity identity = {.host = STR("127.0.0.1"),
                                       .instance = STR("web-1"),
                                       .address = (const struct sockaddr *)&address};
    struct target_state *web1, *web2;
    assert_int_equal(target_state_create(&identity, 1, &web1), 0);
    identity.instance = STR("web-2");
    assert_int_equal(target_state_create(&identity, 1, &web2), 0);
    const struct health_order order = {.address = STR("127.0.0.1:1"), .instance = STR("web-1")};
    assert_true(health_order_is_about(&order, web1));
    assert_false(health_order_is_about(&order, web2));
    const struct health_order stored = {.host = STR("127.0.0.1"), .port = 1};
    assert_false(health_order_is_about(&stored, web1)); /* a row of the same address is another */
    target_state_unref(web1);
    target_state_unref(web2);
}

TEST(an_ipv6_address_is_itself_in_every_spelling)
{
    struct sockaddr_in6 address;
    struct target_state *target;
    uv_ip6_addr("::1", 80, &address);
    const struct target_identity identity = {.host = STR("::1"),
                                             .address = (const struct sockaddr *)&address};
    assert_int_equal(target_state_create(&identity, 1, &target), 0);
    const struct health_order order = {.host = STR("0:0:0:0:0:0:0:1"), .port = 80};
    const struct health_order other = {.host = STR("0:0:0:0:0:0:0:2"), .port = 80};
    assert_true(health_order_is_about(&order, target));
    assert_false(health_order_is_about(&other, target));
    target_state_unref(target);
}

RUN(T(a_new_order_is_carried_out_once), T(one_that_stands_holds_for_who_joins_later),
    T(one_that_goes_with_its_target_is_not_there_for_the_next),
    T(one_that_told_the_moment_does_not),
    T(where_probes_heal_or_nothing_is_checked_it_does_not_hold),
    T(an_address_has_its_own_word_over_its_target_s),
    T(an_order_about_an_instance_is_not_for_the_next_at_its_address),
    T(an_ipv6_address_is_itself_in_every_spelling))
