#include "balance/latency.h"

#include "unit/balance/pools.h"

/* Answers take `ms` milliseconds; one is under way at a time. */
static void run(struct pool *pool, unsigned picks, const uint64_t *ms, unsigned *counts)
{
    for (uint32_t i = 0; i < pool->count; i++)
        counts[i] = 0;
    for (unsigned n = 0; n < picks; n++) {
        pool->now_ms++;
        uint32_t index = pool_pick(pool);
        counts[index]++;
        pool_report(pool, index, BALANCER_GOOD, ms[index]);
    }
}

TEST(twenty_equal_targets_are_even_within_10_percent)
{
    struct pool pool;
    unsigned counts[20] = {0};
    pool_init(&pool, BALANCING_LATENCY, 20);
    for (int i = 0; i < 100000; i++) { /* noise, as on any machine */
        pool.now_ms++;
        uint32_t index = pool_pick(&pool);
        counts[index]++;
        pool_report(&pool, index, BALANCER_GOOD, 4 + random_next(&pool.random) % 5);
    }
    for (int i = 0; i < 20; i++)
        expect_near(counts[i], 5000, 10);
    pool_deinit(&pool);
}

TEST(weights_are_kept_among_equal_targets)
{
    struct pool pool;
    unsigned counts[3];
    pool_init(&pool, BALANCING_LATENCY, 3);
    pool.weights[0] = 500;
    pool.weights[2] = 300;
    pool_publish(&pool);
    run(&pool, 9000, (uint64_t[]){5, 5, 5}, counts);
    expect_near(counts[0], 5000, 2);
    expect_near(counts[1], 1000, 2);
    expect_near(counts[2], 3000, 2);
    pool_deinit(&pool);
}

TEST(a_slow_target_is_left_alone)
{
    struct pool pool;
    unsigned counts[10];
    uint64_t ms[10];
    for (int i = 0; i < 10; i++)
        ms[i] = i == 3 ? 2000 : 5;
    pool_init(&pool, BALANCING_LATENCY, 10);
    run(&pool, 20000, ms, counts);
    assert_in_range(counts[3], 1, 4);
    pool_deinit(&pool);
}

TEST(it_comes_back_once_its_average_has_sunk)
{
    struct pool pool;
    unsigned counts[4];
    pool_init(&pool, BALANCING_LATENCY, 4);
    run(&pool, 400, (uint64_t[]){500, 5, 5, 5}, counts);
    assert_in_range(counts[0], 1, 3);
    pool.now_ms += 30 * (uint64_t)LATENCY_MEMORY_MS;
    run(&pool, 4000, (uint64_t[]){5, 5, 5, 5}, counts);
    expect_near(counts[0], 1000, 10);
    pool_deinit(&pool);
}

TEST(failing_fast_draws_no_traffic)
{
    struct pool pool;
    unsigned failures = 0;
    pool_init(&pool, BALANCING_LATENCY, 10);
    for (int i = 0; i < 10000; i++) {
        pool.now_ms++;
        uint32_t index = pool_pick(&pool);
        failures += index == 6;
        pool_report(&pool, index, index == 6 ? BALANCER_BAD : BALANCER_GOOD, index == 6 ? 0 : 20);
    }
    assert_in_range(failures, 1, 20);
    pool_deinit(&pool);
}

TEST(what_is_under_way_counts)
{
    struct pool pool;
    unsigned hung = 0;
    pool_init(&pool, BALANCING_LATENCY, 10);
    for (int i = 0; i < 10000; i++) { /* the answers of one never come */
        uint32_t index = pool_pick(&pool);
        if (index == 1)
            hung++;
        else
            pool_report(&pool, index, BALANCER_GOOD, 1);
    }
    assert_in_range(hung, 1, 5);
    pool_deinit(&pool);
}

TEST(a_new_target_starts_at_the_median)
{
    struct pool pool;
    unsigned counts[6];
    pool_init(&pool, BALANCING_LATENCY, 5);
    run(&pool, 5000, (uint64_t[]){10, 20, 30, 40, 50}, counts);
    pool.targets[5] = new_target(FIRST_PORT + 5);
    pool.weights[5] = 100;
    pool.count = 6;
    pool_publish(&pool);
    expect_near(latency_average_us(pool.targets[5], pool.now_ms), 30000, 35);
    pool_deinit(&pool);
}

RUN(T(twenty_equal_targets_are_even_within_10_percent), T(weights_are_kept_among_equal_targets),
    T(a_slow_target_is_left_alone), T(it_comes_back_once_its_average_has_sunk),
    T(failing_fast_draws_no_traffic), T(what_is_under_way_counts),
    T(a_new_target_starts_at_the_median))
