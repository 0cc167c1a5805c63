#include "balance/rotation.h"

#include "balance/outlier.h"

#include "unit/balance/pools.h"

TEST(an_idle_pool_is_used_in_turns_to_the_letter)
{
    struct pool pool;
    unsigned counts[20];
    pool_init(&pool, BALANCING_ROTATION, 20);
    for (uint32_t i = 0; i < 20; i++)
        pool_report(&pool, pool_pick(&pool), BALANCER_GOOD, i % 5);
    count_picks(&pool, 2000, counts);
    for (int i = 0; i < 20; i++)
        assert_int_equal(counts[i], 100);
    pool_deinit(&pool);
}

TEST(weights_are_kept_when_all_are_busy_alike)
{
    struct pool pool;
    unsigned counts[3] = {0};
    pool_init(&pool, BALANCING_ROTATION, 3);
    pool.weights[0] = 500;
    pool.weights[2] = 300;
    pool_publish(&pool);
    uint32_t under_way[90]; /* the oldest is answered first */
    for (int i = 0; i < 90; i++)
        under_way[i] = pool_pick(&pool);
    for (int i = 0; i < 9000; i++) {
        pool_report(&pool, under_way[i % 90], BALANCER_GOOD, 10);
        counts[under_way[i % 90] = pool_pick(&pool)]++;
    }
    expect_near(counts[0], 5000, 2);
    expect_near(counts[1], 1000, 2);
    expect_near(counts[2], 3000, 2);
    pool_deinit(&pool);
}

/* One target answers after two seconds, the others at once; clients give up after one second. */
TEST(an_instance_that_hangs_holds_up_a_handful)
{
    struct pool pool;
    unsigned lost = 0;
    uint64_t asked_ms[100] = {0};
    uint32_t waiting = 0, first = 0;
    pool_init(&pool, BALANCING_ROTATION, 10);
    for (int request = 0; request < 20000; request++) { /* two a millisecond */
        pool.now_ms += (uint64_t)request % 2;
        while (first < waiting && pool.now_ms - asked_ms[first] >= 1000) {
            pool_report(&pool, 7, BALANCER_UNTOLD, 1000);
            first++;
        }
        uint32_t index = pool_pick(&pool);
        if (index == 7) {
            assert_true(waiting < 100);
            asked_ms[waiting++] = pool.now_ms;
            lost++;
        } else {
            pool_report(&pool, index, BALANCER_GOOD, 1);
        }
    }
    assert_in_range(lost, 3, 10); /* of 20,000: 99.95 % are answered */
    pool_deinit(&pool);
}

TEST(one_request_that_waits_for_long_is_enough_to_step_over_its_target)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROTATION, 3);
    pool_report(&pool, pool_pick(&pool), BALANCER_GOOD, 2);
    uint32_t silent = pool_pick(&pool);
    pool.now_ms += 1000;
    for (int i = 0; i < 100; i++) {
        uint32_t index = pool_pick(&pool);
        assert_int_not_equal(index, silent);
        pool_report(&pool, index, BALANCER_GOOD, 2);
    }
    pool_report(&pool, silent, BALANCER_GOOD, 1000); /* it speaks: all is well */
    for (int i = 0; i < 3; i++)
        pool_pick(&pool);
    assert_int_equal(in_flight(&pool, silent), 1);
    pool_deinit(&pool);
}

/* Else each slow answer would buy it three requests more. */
TEST(a_slow_answer_is_no_reason_to_ask_for_more)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROTATION, 3);
    pool_report(&pool, pool_pick(&pool), BALANCER_GOOD, 2);
    for (int i = 0; i < 6; i++)
        pool_pick(&pool); /* two each */
    for (uint32_t i = 1; i < 3; i++) {
        pool_report(&pool, i, BALANCER_GOOD, 2);
        pool_report(&pool, i, BALANCER_GOOD, 2);
    }
    pool.now_ms += 1000;
    pool_report(&pool, 0, BALANCER_GOOD, 1000); /* the other one is still awaited */
    for (int i = 0; i < 30; i++) {
        uint32_t index = pool_pick(&pool);
        assert_int_not_equal(index, 0);
        pool_report(&pool, index, BALANCER_GOOD, 2);
    }
    pool_report(&pool, 0, BALANCER_GOOD, 2);
    unsigned counts[3];
    count_picks(&pool, 300, counts);
    assert_int_equal(counts[0], 100);
    pool_deinit(&pool);
}

/* Nothing of it is awaited: nobody would ever say that it is well again. */
TEST(a_bad_answer_is_forgotten_while_a_long_body_flows)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROTATION, 3);
    pool_report(&pool, pool_pick(&pool), BALANCER_GOOD, 2);
    uint32_t streaming = pool_pick(&pool);
    balancer_hear(pool.targets[streaming], 0, pool.now_ms);
    atomic_store(&pool.targets[streaming]->bad_row, 1);
    unsigned counts[3];
    count_picks(&pool, 300, counts);
    assert_int_equal(counts[streaming], 100);
    pool_deinit(&pool);
}

/* One of the four is forgiven: it is not to take what all should. */
TEST(where_bad_answers_are_the_rule_a_lucky_one_draws_no_traffic)
{
    struct pool pool;
    unsigned counts[4] = {0};
    pool_init(&pool, BALANCING_ROTATION, 4);
    for (int i = 0; i < 400; i++)
        pool_report(&pool, pool_pick(&pool), BALANCER_BAD, 1);
    uint32_t lucky = pool_pick(&pool);
    pool_report(&pool, lucky, BALANCER_GOOD, 1);
    for (int i = 0; i < 8; i++)
        counts[pool_pick(&pool)]++;
    for (int i = 0; i < 4; i++)
        assert_int_equal(counts[i], 2);
    pool_deinit(&pool);
}

TEST(a_long_body_is_no_silence)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROTATION, 3);
    pool_report(&pool, pool_pick(&pool), BALANCER_GOOD, 2);
    uint32_t streaming = pool_pick(&pool);
    balancer_hear(pool.targets[streaming], 0, pool.now_ms);
    pool.now_ms += 100000;
    unsigned counts[3];
    count_picks(&pool, 300, counts);
    assert_int_equal(counts[streaming], 100);
    pool_deinit(&pool);
}

TEST(two_neighbours_that_hang_do_not_shield_each_other)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROTATION, 10);
    for (int i = 0; i < 1000; i++) {
        uint32_t index = pool_pick(&pool);
        if (index != 3 && index != 4)
            pool_report(&pool, index, BALANCER_GOOD, 1);
    }
    assert_in_range(in_flight(&pool, 3), 3, 4);
    assert_in_range(in_flight(&pool, 4), 3, 4);
    pool_deinit(&pool);
}

TEST(who_fails_where_the_others_do_not_is_avoided_then_tried_again)
{
    struct pool pool;
    unsigned failures = 0;
    pool_init(&pool, BALANCING_ROTATION, 10);
    for (int i = 0; i < 4000; i++) { /* four seconds */
        pool.now_ms++;
        uint32_t index = pool_pick(&pool);
        failures += index == 2;
        pool_report(&pool, index, index == 2 ? BALANCER_BAD : BALANCER_GOOD, 1);
    }
    assert_int_equal(failures, 3);

    pool.now_ms += OUTLIER_FIRST_PAUSE_MS;
    unsigned counts[10];
    count_picks(&pool, 1000, counts); /* it is well again */
    for (int i = 0; i < 10; i++)
        assert_int_equal(counts[i], 100);
    pool_deinit(&pool);
}

TEST(a_trial_is_one_request_and_a_bad_one_doubles_the_pause)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROTATION, 3);
    struct target_state *target = pool.targets[0];
    for (int i = 0; i < 9; i++) {
        uint32_t index = pool_pick(&pool);
        pool_report(&pool, index, index == 0 ? BALANCER_BAD : BALANCER_GOOD, 1);
    }
    assert_int_equal(atomic_load(&target->avoided_until_ms), pool.now_ms + OUTLIER_FIRST_PAUSE_MS);

    pool.now_ms += OUTLIER_FIRST_PAUSE_MS;
    for (int i = 0; i < 30; i++) {
        uint32_t index = pool_pick(&pool);
        if (index != 0)
            pool_report(&pool, index, BALANCER_GOOD, 1);
    }
    assert_int_equal(in_flight(&pool, 0), 1);
    pool_report(&pool, 0, BALANCER_BAD, 1);
    assert_int_equal(atomic_load(&target->avoided_until_ms),
                     pool.now_ms + 2 * (uint64_t)OUTLIER_FIRST_PAUSE_MS);
    pool_deinit(&pool);
}

TEST(of_two_the_bad_one_is_avoided_until_it_is_the_last)
{
    struct pool pool;
    unsigned counts[2];
    pool_init(&pool, BALANCING_ROTATION, 2);
    for (int i = 0; i < 200; i++) {
        uint32_t index = pool_pick(&pool);
        pool_report(&pool, index, index == 0 ? BALANCER_BAD : BALANCER_GOOD, 1);
    }
    count_picks(&pool, 100, counts);
    assert_int_equal(counts[0], 0);
    atomic_store(&pool.targets[1]->health, TARGET_OUT_CONSUL);
    pool_publish(&pool);
    count_picks(&pool, 100, counts);
    assert_int_equal(counts[0], 100);
    pool_deinit(&pool);
}

TEST(a_stream_that_flows_on_does_not_keep_its_target_avoided)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROTATION, 3);
    uint32_t streaming = pool_pick(&pool);
    balancer_hear(pool.targets[streaming], 0, pool.now_ms); /* for hours */
    for (int i = 0; i < 9; i++) {
        uint32_t index = pool_pick(&pool);
        pool_report(&pool, index, index == streaming ? BALANCER_BAD : BALANCER_GOOD, 1);
    }
    unsigned counts[3];
    assert_int_not_equal(atomic_load(&pool.targets[streaming]->avoided_until_ms), 0);
    count_picks(&pool, 300, counts);
    assert_int_equal(counts[streaming], 0);

    pool.now_ms += OUTLIER_FIRST_PAUSE_MS;
    count_picks(&pool, 300, counts);
    assert_int_equal(counts[streaming], 100);
    pool_deinit(&pool);
}

TEST(where_all_fail_nobody_is_left_out)
{
    struct pool pool;
    unsigned counts[4] = {0};
    pool_init(&pool, BALANCING_ROTATION, 4);
    for (int i = 0; i < 4000; i++) {
        uint32_t index = pool_pick(&pool);
        counts[index]++;
        pool_report(&pool, index, BALANCER_BAD, 1);
    }
    for (int i = 0; i < 4; i++)
        expect_near(counts[i], 1000, 2);
    pool_deinit(&pool);
}

/* One answer in ten takes a second, wherever it is asked for: that is the service's way. */
TEST(a_mixed_workload_makes_no_outlier)
{
    struct pool pool;
    unsigned counts[10] = {0};
    pool_init(&pool, BALANCING_ROTATION, 10);
    for (int i = 0; i < 100000; i++) {
        pool.now_ms++;
        uint32_t index = pool_pick(&pool);
        counts[index]++;
        bool is_long = random_next(&pool.random) % 10 == 0;
        pool_report(&pool, index, BALANCER_GOOD, is_long ? 1000 : 2);
    }
    for (int i = 0; i < 10; i++)
        expect_near(counts[i], 10000, 15);
    pool_deinit(&pool);
}

TEST(a_pool_of_one_is_used_whatever_it_does)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROTATION, 1);
    for (int i = 0; i < 100; i++)
        pool_report(&pool, pool_pick(&pool), BALANCER_BAD, 1);
    pool_deinit(&pool);
}

RUN(T(a_long_body_is_no_silence), T(a_slow_answer_is_no_reason_to_ask_for_more),
    T(a_bad_answer_is_forgotten_while_a_long_body_flows),
    T(where_bad_answers_are_the_rule_a_lucky_one_draws_no_traffic),
    T(one_request_that_waits_for_long_is_enough_to_step_over_its_target),
    T(an_idle_pool_is_used_in_turns_to_the_letter), T(weights_are_kept_when_all_are_busy_alike),
    T(an_instance_that_hangs_holds_up_a_handful),
    T(two_neighbours_that_hang_do_not_shield_each_other),
    T(who_fails_where_the_others_do_not_is_avoided_then_tried_again),
    T(a_trial_is_one_request_and_a_bad_one_doubles_the_pause),
    T(of_two_the_bad_one_is_avoided_until_it_is_the_last),
    T(a_stream_that_flows_on_does_not_keep_its_target_avoided),
    T(where_all_fail_nobody_is_left_out), T(a_mixed_workload_makes_no_outlier),
    T(a_pool_of_one_is_used_whatever_it_does))
