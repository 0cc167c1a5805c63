#include "balance/least_connections.h"

#include "unit/balance/pools.h"

TEST(an_idle_pool_is_used_in_turns_by_weight)
{
    struct pool pool;
    unsigned counts[3];
    pool_init(&pool, BALANCING_LEAST_CONNECTIONS, 3);
    pool.weights[1] = 300;
    pool_publish(&pool);
    count_picks(&pool, 1000, counts);
    assert_int_equal(counts[0], 200);
    assert_int_equal(counts[1], 600);
    assert_int_equal(counts[2], 200);
    pool_deinit(&pool);
}

TEST(the_target_with_the_fewest_under_way_is_picked)
{
    struct pool pool;
    pool_init(&pool, BALANCING_LEAST_CONNECTIONS, 4);
    for (int i = 0; i < 40; i++)
        pool_pick(&pool);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(in_flight(&pool, i), 10);
    for (int i = 0; i < 3; i++)
        pool_report(&pool, 2, BALANCER_GOOD, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pool_pick(&pool), 2);
    pool_deinit(&pool);
}

TEST(what_is_under_way_is_shared_by_weight)
{
    struct pool pool;
    pool_init(&pool, BALANCING_LEAST_CONNECTIONS, 3);
    pool.weights[0] = 100;
    pool.weights[1] = 200;
    pool.weights[2] = 700;
    pool_publish(&pool);
    for (int i = 0; i < 1000; i++)
        pool_pick(&pool);
    expect_near(in_flight(&pool, 0), 100, 2);
    expect_near(in_flight(&pool, 1), 200, 2);
    expect_near(in_flight(&pool, 2), 700, 2);
    pool_deinit(&pool);
}

TEST(a_target_that_hangs_takes_no_more_than_the_busiest)
{
    struct pool pool;
    pool_init(&pool, BALANCING_LEAST_CONNECTIONS, 10);
    for (int i = 0; i < 1000; i++) {
        uint32_t index = pool_pick(&pool);
        if (index != 0)
            pool_report(&pool, index, BALANCER_GOOD, 1);
    }
    assert_int_equal(in_flight(&pool, 0), 1);
    pool_deinit(&pool);
}

TEST(its_turns_are_spread_over_all_others)
{
    struct pool pool;
    unsigned counts[5] = {0};
    pool_init(&pool, BALANCING_LEAST_CONNECTIONS, 5);
    for (uint32_t i = 0; i < 5; i++) /* one of them hangs */
        pool_pick(&pool);
    for (uint32_t i = 0; i < 5; i++)
        if (i != 2)
            pool_report(&pool, i, BALANCER_GOOD, 1);
    for (int i = 0; i < 40000; i++) {
        uint32_t index = pool_pick(&pool);
        counts[index]++;
        pool_report(&pool, index, BALANCER_GOOD, 1);
    }
    assert_int_equal(counts[2], 0);
    for (int i = 0; i < 5; i++)
        if (i != 2)
            expect_near(counts[i], 10000, 5);
    pool_deinit(&pool);
}

TEST(who_is_out_or_without_weight_is_not_picked)
{
    struct pool pool;
    pool_init(&pool, BALANCING_LEAST_CONNECTIONS, 4);
    pool.weights[1] = 0;
    pool_publish(&pool);
    atomic_store(&pool.targets[2]->health, TARGET_OUT_PROBE);
    for (int i = 0; i < 100; i++)
        pool_pick(&pool);
    assert_int_equal(in_flight(&pool, 1) + in_flight(&pool, 2), 0);
    assert_int_equal(in_flight(&pool, 0), 50);
    assert_int_equal(in_flight(&pool, 3), 50);
    pool_deinit(&pool);
}

TEST(a_large_pool_stays_even)
{
    struct pool pool;
    uint32_t most = 0;
    pool_init(&pool, BALANCING_LEAST_CONNECTIONS, MAX_TARGETS);
    for (int i = 0; i < 4 * MAX_TARGETS; i++)
        pool_pick(&pool);
    for (uint32_t i = 0; i < MAX_TARGETS; i++)
        most = in_flight(&pool, i) > most ? in_flight(&pool, i) : most;
    assert_in_range(most, 4, 5);
    pool_deinit(&pool);
}

RUN(T(its_turns_are_spread_over_all_others), T(an_idle_pool_is_used_in_turns_by_weight),
    T(the_target_with_the_fewest_under_way_is_picked), T(what_is_under_way_is_shared_by_weight),
    T(a_target_that_hangs_takes_no_more_than_the_busiest),
    T(who_is_out_or_without_weight_is_not_picked), T(a_large_pool_stays_even))
