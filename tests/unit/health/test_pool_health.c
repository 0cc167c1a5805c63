/* The life of a pool: rounds, news, probes' results, panic, orders, and state that stays. */
#include "health/pool_health.h"

#include "health.h"
#include "health/board.h"
#include "unit/dead_port.h"
#include "unit/loop.h"

#define CONSUL TARGET_OUT_CONSUL
#define MAX_TARGETS 4

static struct fixture {
    uv_loop_t loop;
    struct monitor *monitor;
    struct upstream_state *upstream;
    struct pool_health *pool;
    struct target_state *targets[MAX_TARGETS];
    unsigned count;
    unsigned replans;
    bool is_closed;
} f;

static void on_replan(void *owner)
{
    (void)owner;
    f.replans++;
}

static void set_up(unsigned count, struct health_rules *rules)
{
    memset(&f, 0, sizeof(f));
    uv_loop_init(&f.loop);
    assert_int_equal(monitor_create(&f.loop, 50, &f.monitor), 0);
    assert_int_equal(upstream_state_create(STR("u"), 1, &f.upstream), 0);
    assert_int_equal(pool_health_create(f.monitor, f.upstream, on_replan, NULL, &f.pool), 0);
    f.count = count;
    struct endpoint items[MAX_TARGETS];
    for (unsigned i = 0; i < count; i++) {
        f.targets[i] = target_at("127.0.0.1", (uint16_t)(1 + i)); /* nobody listens there */
        items[i] = (struct endpoint){.target = f.targets[i], .weight = 1};
    }
    struct endpoints *endpoints;
    assert_int_equal(endpoints_create(ENDPOINTS_KNOWN, items, count, &endpoints), 0);
    endpoints_destroy(upstream_state_swap(f.upstream, endpoints));
    pool_health_set_rules(f.pool, rules);
    health_rules_unref(rules);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void tear_down(void)
{
    pool_health_destroy(f.pool);
    assert_null(f.upstream->health);
    monitor_close(f.monitor, on_closed, &f.is_closed);
    assert_true(LOOP_UNTIL(&f.loop, f.is_closed));
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    upstream_state_unref(f.upstream);
    for (unsigned i = 0; i < MAX_TARGETS; i++)
        target_state_unref(f.targets[i]);
}

/* One discovery update: what Consul says of each; -1: it is not there. */
static void update(const int consul[])
{
    pool_health_begin(f.pool);
    for (unsigned i = 0; i < f.count; i++)
        if (consul[i] >= 0)
            assert_int_equal(pool_health_meet(f.pool, f.targets[i], 1, (uint32_t)consul[i]), 0);
    pool_health_end(f.pool);
}

static void fail_once(unsigned index)
{
    struct passive_news news =
        passive_failed(f.pool ? upstream_state_endpoints(f.upstream)->rules : NULL,
                       f.targets[index], HEALTH_TCP_FAILURE);
    if (news.turn != PASSIVE_NO_TURN)
        pool_health_hear(f.pool, f.targets[index], &news);
}

/* As if a worker had seen the row fill. */
static void eject(unsigned index)
{
    const struct passive_news news = {PASSIVE_OUT, HEALTH_TCP_FAILURE, 0, 3};
    board_set(f.targets[index], TARGET_OUT_PASSIVE, TARGET_OUT_PASSIVE);
    pool_health_hear(f.pool, f.targets[index], &news);
}

static unsigned count_usable(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < f.count; i++)
        count += target_state_is_usable(f.targets[i]);
    return count;
}

static struct health_rules *passive_only(void)
{
    return rules_from("{}", "{\"healthy\":{\"interval\":0.05},"
                            "\"unhealthy\":{\"tcp_failures\":3}}");
}

TEST(what_consul_calls_critical_goes_while_enough_are_left)
{
    set_up(4, NULL);
    update((int[]){0, 0, 0, 0});
    assert_int_equal(count_usable(), 4);
    update((int[]){CONSUL, CONSUL, 0, 0});
    assert_int_equal(count_usable(), 2);
    assert_false(pool_health_is_panicking(f.pool));
    tear_down();
}

TEST(too_many_criticals_are_not_believed_until_each_has_failed)
{
    set_up(4, NULL);
    update((int[]){0, 0, 0, 0});
    update((int[]){CONSUL, CONSUL, CONSUL, 0});
    assert_true(pool_health_is_panicking(f.pool));
    assert_int_equal(count_usable(), 4);
    fail_once(1);
    assert_int_equal(word_of(f.targets[1]), CONSUL | TARGET_DISPROVED);
    assert_int_equal(count_usable(), 3);
    update((int[]){CONSUL, CONSUL, CONSUL, CONSUL});
    assert_int_equal(count_usable(), 3); /* what failed stays out */
    update((int[]){CONSUL, 0, 0, 0});
    assert_false(pool_health_is_panicking(f.pool));
    assert_int_equal(count_usable(), 3);
    assert_int_equal(word_of(f.targets[0]), CONSUL);
    tear_down();
}

TEST(maintenance_is_obeyed_to_the_last_target)
{
    set_up(2, NULL);
    update((int[]){0, 0});
    update((int[]){TARGET_OUT_MAINTENANCE, TARGET_OUT_MAINTENANCE});
    assert_false(pool_health_is_panicking(f.pool));
    assert_int_equal(count_usable(), 0);
    tear_down();
}

TEST(one_that_never_passed_is_not_kept_by_panic)
{
    set_up(2, NULL);
    update((int[]){CONSUL, CONSUL});
    assert_false(pool_health_is_panicking(f.pool));
    assert_int_equal(count_usable(), 0);
    tear_down();
}

TEST(an_ejected_target_is_offered_for_trial_after_its_pause)
{
    set_up(1, passive_only());
    update((int[]){0});
    eject(0);
    assert_int_equal(atomic_load(&f.targets[0]->trial), TARGET_NO_TRIAL);
    assert_true(LOOP_UNTIL(&f.loop, atomic_load(&f.targets[0]->trial) == TARGET_TRIAL_OFFERED));
    assert_int_equal(f.replans, 1);
    assert_string_equal(pool_health_why(f.pool, f.targets[0]),
                        "3 requests in a row found no connection");
    tear_down();
}

TEST(a_pause_that_ends_while_consul_objects_is_not_the_last_word)
{
    set_up(3, passive_only());
    update((int[]){0, 0, 0});
    eject(0);
    update((int[]){CONSUL, 0, 0});
    LOOP_FOR(&f.loop, 150);
    assert_int_equal(atomic_load(&f.targets[0]->trial), TARGET_NO_TRIAL);
    update((int[]){0, 0, 0});
    assert_true(LOOP_UNTIL(&f.loop, atomic_load(&f.targets[0]->trial) == TARGET_TRIAL_OFFERED));
    update((int[]){TARGET_OUT_MAINTENANCE, 0, 0});
    assert_int_equal(atomic_load(&f.upstream->trials), 0);
    update((int[]){0, 0, 0});
    assert_true(LOOP_UNTIL(&f.loop, atomic_load(&f.targets[0]->trial) == TARGET_TRIAL_OFFERED));
    tear_down();
}

TEST(state_stays_over_a_thousand_updates_and_a_change_of_rules)
{
    set_up(3, passive_only());
    update((int[]){0, 0, 0});
    eject(1);
    for (int round = 0; round < 1000; round++)
        update((int[]){0, 0, round % 2 ? 0 : -1});
    assert_int_equal(word_of(f.targets[1]), TARGET_OUT_PASSIVE);
    struct health_rules *rules = rules_from("{}", "{\"unhealthy\":{\"http_failures\":9}}");
    pool_health_set_rules(f.pool, rules);
    health_rules_unref(rules);
    assert_int_equal(word_of(f.targets[1]), TARGET_OUT_PASSIVE);
    pool_health_set_rules(f.pool, NULL); /* nothing is checked any more */
    assert_int_equal(word_of(f.targets[1]), 0);
    tear_down();
}

TEST(a_target_that_returns_soon_is_what_it_was)
{
    set_up(2, passive_only());
    update((int[]){0, 0});
    eject(1);
    update((int[]){0, -1});
    target_state_unref(f.targets[1]);
    f.targets[1] = target_at("127.0.0.1", 2);
    update((int[]){0, 0});
    assert_int_equal(word_of(f.targets[1]), TARGET_OUT_PASSIVE);
    /* But it starts slowly, where the upstream says so: what left and returns was restarted. */
    assert_int_not_equal(atomic_load(&f.targets[1]->ready_since_ms), 0);
    tear_down();
}

TEST(another_instance_at_the_same_address_begins_anew)
{
    set_up(1, passive_only());
    update((int[]){0});
    eject(0);
    target_state_unref(f.targets[0]);
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", 1, &address);
    const struct target_identity identity = {.host = STR("127.0.0.1"),
                                             .instance = STR("another"),
                                             .address = (const struct sockaddr *)&address};
    assert_int_equal(target_state_create(&identity, 1, &f.targets[0]), 0);
    update((int[]){0});
    assert_int_equal(word_of(f.targets[0]), 0);
    tear_down();
}

TEST(orders_win_over_what_was_found_out)
{
    set_up(1, passive_only());
    update((int[]){0});
    pool_health_order(f.pool, f.targets[0], false);
    assert_int_equal(word_of(f.targets[0]), TARGET_OUT_MANUAL);
    LOOP_FOR(&f.loop, 150);
    assert_int_equal(atomic_load(&f.targets[0]->trial), TARGET_NO_TRIAL); /* no trial against it */
    pool_health_order(f.pool, f.targets[0], true);
    assert_int_equal(word_of(f.targets[0]), 0);
    eject(0);
    pool_health_order(f.pool, f.targets[0], true);
    assert_int_equal(word_of(f.targets[0]), 0);
    tear_down();
}

TEST(probes_that_find_nobody_take_a_target_out)
{
    set_up(1, rules_from("{\"type\":\"tcp\",\"timeout\":1,\"healthy\":{\"interval\":0.02},"
                         "\"unhealthy\":{\"interval\":0.02,\"tcp_failures\":3}}",
                         "{}"));
    uint16_t port;
    int dead = dead_port(&port);
    target_state_unref(f.targets[0]);
    f.targets[0] = target_at("127.0.0.1", port);
    update((int[]){0});
    assert_true(LOOP_UNTIL(&f.loop, word_of(f.targets[0]) == TARGET_OUT_PROBE));
    assert_string_equal(
        pool_health_why(f.pool, f.targets[0]),
        "3 probes in a row failed, the last found no connection: connection refused");
    tear_down();
    close(dead);
}

TEST(every_turn_is_an_event)
{
    set_up(1, passive_only());
    update((int[]){0});
    eject(0);
    const char *text = events_text(&f.monitor->events, 1);
    assert_non_null(text);
    assert_non_null(strstr(text, "\"reasons\":\"passive\""));
    assert_non_null(strstr(text, "\"takes_traffic\":false"));
    assert_null(events_text(&f.monitor->events, 2));
    tear_down();
}

RUN(T(what_consul_calls_critical_goes_while_enough_are_left),
    T(too_many_criticals_are_not_believed_until_each_has_failed),
    T(maintenance_is_obeyed_to_the_last_target), T(one_that_never_passed_is_not_kept_by_panic),
    T(an_ejected_target_is_offered_for_trial_after_its_pause),
    T(a_pause_that_ends_while_consul_objects_is_not_the_last_word),
    T(state_stays_over_a_thousand_updates_and_a_change_of_rules),
    T(a_target_that_returns_soon_is_what_it_was),
    T(another_instance_at_the_same_address_begins_anew), T(orders_win_over_what_was_found_out),
    T(probes_that_find_nobody_take_a_target_out), T(every_turn_is_an_event))
